"""Prints how far fp32 execution is from onnxruntime on the networks of the onnx wheel, with seeded weights:

.venv/bin/python -m tests.bench.compare_onnxruntime [name ...]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.oracles.test_onnxruntime_numbers import beside_onnxruntime

NAMES = (
    "squeezenet", "shufflenet", "bvlc_alexnet", "inception_v1", "inception_v2", "zfnet512", "resnet50",
    "densenet121", "vgg19",
)  # fmt: skip


def main(names: tuple[str, ...]) -> None:
    print(f"{'network':<14}{'output':<22}{'largest':>12}{'difference':>12}{'relative':>10}{'seconds':>9}")
    for name in names:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found, wanted = beside_onnxruntime(name, Path(folder))
        seconds = time.perf_counter() - started
        for output, values in wanted.items():
            size = float(np.abs(values).max())
            difference = float(np.abs(found.outputs[output] - values).max())
            figures = f"{size:>12.4g}{difference:>12.3g}{difference / size:>10.2g}{seconds:>9.1f}"
            print(f"{name:<14}{output:<22}{figures}")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or NAMES)
