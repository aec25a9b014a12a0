"""How long compression takes on large networks, and how much memory."""

from __future__ import annotations

import resource
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.compress import Compressed, compress
from hwsim.workload import load_workload


def test_deep_compression_of_alexnet(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """61 million weights, table and folder included: at most 60 s on two cores, and 3 GB."""

    def run() -> Compressed:
        found = compress("alexnet", "deep_compression")
        found.save(tmp_path / "out")
        return found

    found = benchmark.pedantic(run, rounds=1)
    assert found.table.totals.weights > 60e6
    assert benchmark.stats.stats.max < 60
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    benchmark.extra_info["peak_gb"] = peak_bytes / 1e9
    assert peak_bytes < 3e9


def test_loading_of_what_was_compressed(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    compress("alexnet", "deep_compression").save(tmp_path / "out")
    loaded = benchmark.pedantic(load_workload, (tmp_path / "out",), rounds=1)
    assert loaded.parameter_count > 60e6
