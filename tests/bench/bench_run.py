"""How long runs take: `make bench`. Timings decide no test; the README holds what was measured.

"warm" repeats a run in one process: the workload is loaded and planned once, and time is simulated anew each
time. "new point" plans anew too, as a sweep over designs does.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.design import load_design
from hwsim.pipeline import run
from hwsim.workload import load_workload

SMALL_ARRAY = ("array.rows=8", "array.cols=8")


@pytest.mark.parametrize(
    ("overrides", "name"), [((), "256x256"), (SMALL_ARRAY, "8x8")], ids=["tpu_v1", "tpu_v1_8x8"]
)
def test_warm(benchmark: BenchmarkFixture, overrides: tuple[str, ...], name: str) -> None:
    workload, design = load_workload("resnet50"), load_design("tpu_v1", overrides)
    result = benchmark(run, workload, design)
    benchmark.extra_info |= {"array": name, "tiles": result.trace.tiles}


def test_new_point(benchmark: BenchmarkFixture) -> None:
    """Another clock each time, so that no plan can be used again."""
    workload = load_workload("resnet50")
    clocks = itertools.count(500)
    benchmark.pedantic(
        run,
        setup=lambda: ((workload, load_design("tpu_v1", (f"clock={next(clocks)} MHz",))), {}),
        rounds=30,
        warmup_rounds=2,
    )


@pytest.mark.parametrize("numbers", ["--verify", "--no-verify"])
def test_command(benchmark: BenchmarkFixture, tmp_path: Path, numbers: str) -> None:
    """`hwsim run resnet50 --design tpu_v1` in a fresh process, compiled kernels cached."""
    hwsim = Path(sys.executable).with_name("hwsim")
    command = [hwsim, "run", "resnet50", "--design", "tpu_v1", "--out", tmp_path / "out", "--quiet", numbers]
    benchmark.pedantic(
        subprocess.run,
        args=(command,),
        kwargs={"check": True, "capture_output": True, "env": os.environ},
        rounds=5,
        warmup_rounds=1,
    )
