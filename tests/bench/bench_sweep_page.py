"""How long the page of a sweep of ten thousand points takes to write, to open and to draw anew: `make bench`.
Timings decide no test."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.explore.export import swept
from hwsim.report import draw
from tests import browser as headless
from tests.swept_points import sample_points

COUNT = 10_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return swept(sample_points(COUNT)).save(tmp_path / "out", draw)


def test_writing_the_page_of_ten_thousand_points(benchmark: BenchmarkFixture, folder: Path) -> None:
    benchmark.extra_info["size_bytes"] = len(benchmark.pedantic(draw, args=(folder,), rounds=3))


def test_opening_and_redrawing_it(benchmark: BenchmarkFixture, folder: Path, tmp_path: Path) -> None:
    """In headless Chromium, which draws without a GPU: the times of its own clock, ms, of what a filter and a
    range ask for at every move."""
    with headless.browser(tmp_path / "profile") as chromium:
        chromium.show(1280, "light")
        benchmark.pedantic(chromium.open, args=((folder / "report.html").as_uri(),), rounds=3)
        for what in ("filter()", "scatter.draw()", "parallel.drawLines()", "table.refresh()"):
            script = f"const begun = performance.now(); {what}; return performance.now() - begun"
            benchmark.extra_info[f"{what} ms"] = min(chromium.run(script) for _ in range(5))
