"""How long the check of numbers takes: `make bench`. Timings decide no test; the README holds them."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.pipeline import verify
from hwsim.workload import load_workload


@pytest.mark.parametrize("name", ["resnet50", "vgg16", "alexnet", "googlenet", "mobilenet_v1"])
def test_int8_on_tpu_v1(benchmark: BenchmarkFixture, name: str) -> None:
    """The whole check: both flows, execution, reference, comparison. Kernels are compiled before."""
    verify("lenet5", "tpu_v1")
    workload = load_workload(name)
    found = benchmark.pedantic(verify, args=(workload, "tpu_v1"), rounds=1)
    assert found.bit_exact
    benchmark.extra_info |= {"results": int(found.elements.sum()), "tiles": int(found.tiles.sum())}
