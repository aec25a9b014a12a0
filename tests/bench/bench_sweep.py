"""What a sweep costs beside its evaluations: dispatch, processes, hashes, the store and the frontier, with an
evaluator that takes no time. 20,000 points, and how much memory 100,000 take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.explore import sweep as sweep_module
from hwsim.explore.axes import IntArray
from hwsim.explore.outcome import METRICS, Outcomes
from hwsim.explore.space import Space
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


class Free:
    """A formula over columns."""

    def __init__(self, space: Space) -> None:
        self.axes = len(space.axes)

    def evaluate(self, indices: IntArray) -> Outcomes:
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
