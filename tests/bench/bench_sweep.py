"""Sweeps as people start them, 1,000 and 100,000 points of ResNet-50, beside the time of one run; and what a
sweep costs beside its evaluations: dispatch, processes, hashes, the store and the frontier, with an evaluator
that takes no time."""

from __future__ import annotations

import subprocess
import sys
import time
import timeit
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.arrays import Int64Array
from hwsim.design import load_design
from hwsim.explore import sweep as sweep_module
from hwsim.explore.outcome import METRICS, Outcomes
from hwsim.explore.space import Space
from hwsim.pipeline import run
from hwsim.workload import load_workload
from tests.conftest import ROOT

SPACE = """
name: wide
workloads: [lenet5]
designs: [{design}]
axes:
  array.rows: {{low: 1, high: 64, step: 1}}
  array.cols: {{low: 1, high: 64, step: 1}}
  array.dataflow: [ws, os]
  weight_memory.bandwidth: {{low: 1 GB/s, high: 12 GB/s, step: 1 GB/s}}
constraints: [area_mm2 <= 2000]
method: {{kind: random, points: {points}}}
"""


RESNET50 = """
name: arrays
workloads: [resnet50]
designs: [tpu_v1]
axes:
  array.rows: {low: 32, high: 512, factor: 2}
  array.cols: {low: 32, high: 512, factor: 2}
  unified_buffer.size: [4 MiB, 8 MiB, 16 MiB, 32 MiB]
  weight_memory.bandwidth: {low: 17 GB/s, high: 272 GB/s, %s}
  array.dataflow: [ws, os]
objectives: [latency_s, energy_j, area_mm2]
"""


def one_run_s() -> float:
    """The least time of one run of ResNet-50 that is planned already."""
    workload, design = load_workload("resnet50"), load_design("tpu_v1")
    run(workload, design)
    return min(timeit.repeat(lambda: run(workload, design), number=1, repeat=20))


def test_resnet50_sweep(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """1,000 points with two workers, store and three points run again, in a process that has swept before:
    new workers each time, which know no plans, forked from a server that has loaded what they need."""
    space, store = tmp_path / "space.yaml", tmp_path / "s.db"
    space.write_text(RESNET50 % "factor: 2", encoding="utf-8")

    def swept() -> int:
        store.unlink(missing_ok=True)
        return len(sweep_module.sweep(space, store=store, workers=2))

    assert benchmark.pedantic(swept, rounds=5, warmup_rounds=1) == 1000
    rate, one_s = 1000 / benchmark.stats.stats.min, one_run_s()
    benchmark.extra_info |= {
        "points_per_s": round(rate),
        "one run, ms": round(one_s * 1e3, 2),
        "points in the time of a run": round(rate * one_s, 2),
    }


@pytest.mark.parametrize("points", [1000, 100_000])
def test_resnet50_command(benchmark: BenchmarkFixture, tmp_path: Path, points: int) -> None:
    """The whole command with two workers: start of processes, store, three points run again, and what it
    prints. Memory is that of all its processes, their shared pages counted once."""
    space, store = tmp_path / "space.yaml", tmp_path / "s.db"
    count = points // 200  # bandwidths
    space.write_text(RESNET50 % ("factor: 2" if count == 5 else f"count: {count}"), encoding="utf-8")
    command = ["hwsim", "sweep", str(space), "-o", str(store), "--workers", "2", "--quiet"]
    peaks = []

    def swept() -> None:
        store.unlink(missing_ok=True)
        sweep = subprocess.Popen(
            [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, start_new_session=True
        )
        most = 0
        while sweep.poll() is None:
            most = max(most, session_kib(sweep.pid))
            time.sleep(0.2)
        peaks.append(most / 1024)
        assert sweep.returncode == 0

    benchmark.pedantic(swept, rounds=3 if points == 1000 else 1, warmup_rounds=int(points == 1000))
    benchmark.extra_info |= {
        "points_per_s": round(points / benchmark.stats.stats.min),
        "MiB": round(max(peaks)),
    }
    assert max(peaks) < 1024


def session_kib(leader: int) -> int:
    """Memory of all processes of a session, KiB, pages that several share counted once. Linux only."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):  # it may end meanwhile
            if int((process / "stat").read_text().rsplit(")", 1)[1].split()[3]) == leader:
                rollup = (process / "smaps_rollup").read_text()
                total += int(rollup.split("Pss:")[1].split()[0])
    return total


class Free:
    """A formula over columns."""

    def __init__(self, space: Space) -> None:
        self.axes = len(space.axes)

    def evaluate(self, indices: Int64Array) -> Outcomes:
        count = len(indices)
        r, c, flow, wide = (indices[:, i].astype(np.float64) for i in range(self.axes))
        columns = {name: np.full(count, np.nan) for name in METRICS}
        columns["area_mm2"] = (1 + r) * (1 + c) + wide / 10
        columns["latency_s"] = (1 + flow) / ((1 + r) * (1 + c)) / (1 + wide) ** 0.5
        columns["energy_j"] = 1 + np.abs(r - c) / 64 + wide / 9
        return Outcomes(columns, np.zeros(count, dtype=np.int8), ("array",) * count, ("",) * count)


def space_of(folder: Path, points: int) -> Path:
    path = folder / "space.yaml"
    path.write_text(SPACE.format(design=ROOT / "tests" / "tiny.yaml", points=points), encoding="utf-8")
    return path


def swept(space: Path, store: Path) -> int:
    """Points that two workers put into a new store."""
    store.unlink(missing_ok=True)
    sweep_module.Evaluator = Free  # type: ignore[misc, assignment]
    return len(sweep_module.sweep(space, store=store, workers=2, check=0))


def test_sweep_beside_its_evaluations(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    points = 20_000
    space = space_of(tmp_path, points)
    assert benchmark.pedantic(swept, args=(space, tmp_path / "s.db"), rounds=3, warmup_rounds=1) == points
    benchmark.extra_info["points_per_s"] = round(points / benchmark.stats.stats.min)


def test_sweep_memory_does_not_grow(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """In processes of their own; what differs is what 73,000 more points take, their table at the end too."""
    program = (
        "import resource, sys; from pathlib import Path; from tests.bench.bench_sweep import swept; "
        "swept(Path(sys.argv[1]), Path(sys.argv[2])); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak_mib(points: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", program, str(space_of(tmp_path, points)), str(tmp_path / "s.db")],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
        return int(done.stdout) / 1024

    few = peak_mib(25_000)
    many = benchmark.pedantic(peak_mib, args=(98_304,), rounds=1)
    benchmark.extra_info |= {"25,000 points, MiB": round(few), "98,304 points, MiB": round(many)}
    assert many < few + 150
    assert many < 1024
