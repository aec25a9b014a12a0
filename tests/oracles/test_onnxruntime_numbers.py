"""Whole networks executed tile by tile in fp32, beside onnxruntime on the same weights and input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.functional import verify_program
from hwsim.pipeline import prepare
from hwsim.result import Verification
from hwsim.workload import load_workload
from tests.onnx_weights import weighted

FORMATS = Path(__file__).parents[1] / "formats.yaml"
RELATIVE = 1e-4
ARRAY = ("array.rows=128", "array.cols=128", "accumulators.rows=2048", "weight_memory.size=unlimited")


def beside_onnxruntime(name: str, folder: Path) -> tuple[Verification, dict[str, np.ndarray]]:
    """What hwsim and what onnxruntime compute for light_<name>."""
    path = folder / f"{name}.onnx"
    onnx.save(weighted(name), path)
    workload = load_workload(path).astype("fp32")
    device = make_device(load_design(FORMATS, ARRAY).device_spec)
    prepared = prepare(workload, device)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    x = np.random.default_rng(7).standard_normal(given.shape).astype(np.float32)
    found = verify_program(
        workload, prepared.schedule, prepared.program, accumulator_bits=32, inputs={given.name: x}
    )
    names = [output.name for output in session.get_outputs()]
    return found, dict(zip(names, session.run(names, {given.name: x}), strict=True))


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_networks_compute_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    found, wanted = beside_onnxruntime(name, tmp_path)
    assert set(found.outputs) == set(wanted)
    for output, values in wanted.items():
        size = np.abs(values).max()
        assert size > 0
        assert np.abs(found.outputs[output] - values).max() <= RELATIVE * size, output
