"""How long ONNX graphs take to load."""

from __future__ import annotations

from pathlib import Path

import onnx
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.workload import Workload
from hwsim.workload.frontends.onnx import read_content, read_onnx

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
MOST_S = 3.0  # what a person waits for the largest graph of the onnx wheel, of 1,746 nodes


def bench_import(path: Path) -> Workload:
    """From the file to the workload, nothing kept from before."""
    return read_onnx(path, read_content(path), {}, 0)


def test_densenet121(benchmark: BenchmarkFixture) -> None:
    path = LIGHT / "light_densenet121.onnx"
    net = benchmark(bench_import, path)
    assert net.parameter_count > 7_000_000
    assert benchmark.stats["max"] <= MOST_S
