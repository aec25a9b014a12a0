"""Sweep and Result as notebooks show them, and the public names."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import hwsim
from hwsim.explore import notebook
from hwsim.explore import sweep as sweep_module
from hwsim.explore.sweep_result import Sweep
from tests.sweeps import Quick, write_space


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sweep:
    monkeypatch.setattr(sweep_module, "Evaluator", Quick)
    return hwsim.sweep(write_space(tmp_path), store=tmp_path / "s.db", workers=0, check=0)


def parsed(html: str) -> ET.Element:
    """The piece as a tree, so that every tag must be closed."""
    return ET.fromstring(html)


def test_the_frame_is_what_the_store_holds(found: Sweep) -> None:
    assert found.store is not None
    frame = hwsim.load_sweep(found.store)
    assert frame.equals(found.frame())
    assert list(frame.columns[:4]) == [
        "array.rows",
        "array.cols",
        "array.dataflow",
        "weight_fifo.depth_tiles",
    ]
    best = found.frontier()
    assert len(best) == found.frontier_size == int(frame.frontier.sum())
    assert best.latency_s.is_monotonic_increasing
    assert (frame.feasible == ((frame.status == "ok") & (frame.area_mm2 <= 200))).all()


def test_the_frontier_dominates_all_else(found: Sweep) -> None:
    frame = found.frame()
    figures = frame[frame.feasible][["latency_s", "energy_j", "area_mm2"]].to_numpy()
    best = found.frontier()[["latency_s", "energy_j", "area_mm2"]].to_numpy()
    for point in figures:
        beaten = ((figures <= point).all(axis=1) & (figures < point).any(axis=1)).any()
        assert beaten != (best == point).all(axis=1).any()


def test_a_notebook_shows_the_first_points_and_a_plot(found: Sweep) -> None:
    html = found._repr_html_()
    tree = parsed(html)
    rows = tree.findall(".//tbody/tr")
    assert len(rows) == notebook.SHOWN + 1
    assert rows[-1].findtext("td") == f"and {found.frontier_size - notebook.SHOWN:,} more"
    assert [cell.text for cell in rows[0]][:1] == [
        found.points.texts(found.frontier_order()[0])["array.rows"]
    ]
    feasible = int(found.points.feasible.sum())
    assert len(tree.findall(".//circle")) == feasible
    assert f"{found.points.counts['unsupported']:,} without figures" in html


def test_a_plot_of_many_points_stays_small(found: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "DRAWN", 50)
    circles = parsed(found._repr_html_()).findall(".//circle")
    assert len(circles) <= 50 + found.frontier_size


def test_names_are_escaped(found: Sweep) -> None:
    object.__setattr__(found.points, "limits", ("<script>&",) * len(found.points))
    html = found._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;&amp;" in html


def test_a_sweep_without_objectives_has_no_frontier(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sweep_module, "Evaluator", Quick)
    path = write_space(tmp_path)
    path.write_text(path.read_text().replace("[latency_s, energy_j, area_mm2]", "[area_mm2]"))
    one = hwsim.sweep(path, workers=0, check=0)
    least = np.nanmin(one.points.metrics["area_mm2"][one.points.feasible])
    assert (one.frontier().area_mm2 == least).all()
    assert "circle" not in one._repr_html_()  # a plot needs two


def test_a_result_shows_its_figures_and_what_was_busy() -> None:
    result = hwsim.run("lenet5", "tpu_v1")
    html = result._repr_html_()
    tree = parsed(html)
    cells = {row[0].text: row[1].text for row in tree.findall(".//tr")}
    assert cells["busiest resource"] == result.limit
    assert cells["numbers"] == "not computed"
    assert cells["error of the time"] == result.error_words
    names = [text.text for text in tree.findall(".//text")]
    assert result.limit == names[0]
    assert f"{result.busy_share[result.limit]:.1%}" == names[1]
    assert result._repr_html_() == html
