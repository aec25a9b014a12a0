"""How long sequence networks take to load and to run: `make bench`. Timings decide no test."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.design import load_design
from hwsim.library import find
from hwsim.pipeline import run
from hwsim.schema import read_source
from hwsim.workload import load_workload
from hwsim.workload.frontends.yaml import read_yaml

# Llama's 70 billion parameters in two bytes each are more than one accelerator's memory holds today.
ROOM = ("memory.size=160 GB",)


@pytest.mark.parametrize("name", ["bert_base", "gpt2_decode", "llama_70b_decode", "mixtral_prefill"])
def test_load(benchmark: BenchmarkFixture, name: str) -> None:
    """The file read, checked and lowered anew each time."""
    path = find("workloads", name)
    benchmark(lambda: read_yaml(read_source(path), {}, 0))


@pytest.mark.parametrize(
    ("name", "design", "overrides"),
    [("bert_base", "v100", ()), ("gpt2_decode", "v100", ()), ("llama_70b_decode", "h100", ROOM)],
    ids=["bert_base_v100", "gpt2_decode_v100", "llama_70b_decode_h100"],
)
def test_warm(benchmark: BenchmarkFixture, name: str, design: str, overrides: tuple[str, ...]) -> None:
    workload, machine = load_workload(name), load_design(design, overrides)
    result = benchmark(run, workload, machine)
    benchmark.extra_info |= {"operators": len(workload.operators), "tiles": result.trace.tiles}
