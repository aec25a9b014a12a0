"""How long the report page takes to write and to open: `make bench`. Timings decide no test."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.pipeline import run
from hwsim.report import draw
from hwsim.result.folder import write_folder
from tests import browser as headless


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(run("resnet50", "tpu_v1"), tmp_path / "out", draw)


def test_writing_the_page_of_resnet50(benchmark: BenchmarkFixture, folder: Path) -> None:
    benchmark(draw, folder)


def test_opening_the_page_of_resnet50(benchmark: BenchmarkFixture, folder: Path, tmp_path: Path) -> None:
    """In headless Chromium; `load_event_ms` is its own clock."""
    with headless.browser(tmp_path / "profile") as chromium:
        benchmark.pedantic(chromium.open, args=((folder / "report.html").as_uri(),), rounds=5)
        script = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
        benchmark.extra_info["load_event_ms"] = chromium.run(script)
