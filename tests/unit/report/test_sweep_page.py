"""The page of a sweep: what is read back, what damaged files are told, and what stands on it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.explore.export import swept
from hwsim.report import draw, render
from hwsim.report.sweep import REASONS_CHARS, figure
from hwsim.report.sweep_reading import read_swept
from hwsim.result.swept import ABOUT, TABLE, Swept, SweptMetric
from tests.swept_points import REASON, axis, sample_points
from tests.unit.report.folders import edit_csv, edit_json


def saved(path: Path, count: int = 96, **changes: Any) -> Path:
    return swept(replace(sample_points(count), **changes)).save(path)


def points_of(page: bytes) -> dict[str, Any]:
    """What the page's scripts are given."""
    found = re.search(rb'<script type="application/json" id="points">(.*?)</script>', page, re.DOTALL)
    assert found
    held: dict[str, Any] = json.loads(found[1])
    return held


def column(packed: dict[str, Any], rows: int) -> np.ndarray[Any, Any]:
    if "same" in packed:
        return np.full(rows, np.nan if packed["same"] is None else packed["same"])
    return np.frombuffer(base64.b64decode(packed["packed"]), dtype=f"<{packed['type']}")


def same(one: Swept, other: Swept) -> bool:
    for field in fields(Swept):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "metrics":
            assert list(a) == list(b)
            assert all(np.array_equal(a[name], b[name], equal_nan=True) for name in a)
        else:
            assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b, field.name
    return True


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    assert same(read_swept(saved(tmp_path / "out")), swept(sample_points()))


def test_figures_below_zero_and_without_end_come_back(tmp_path: Path) -> None:
    points = sample_points(12)
    odd = np.array([-3.5, np.inf, -np.inf, np.nan, 0.0, 1e-320] * 2)
    folder = swept(replace(points, metrics={**points.metrics, "sqnr_db": odd})).save(tmp_path / "out")
    assert np.array_equal(read_swept(folder).metrics["sqnr_db"], odd, equal_nan=True)
    held = points_of(draw(folder))
    (packed,) = (one["column"] for one in held["metrics"] if one["name"] == "sqnr_db")
    assert np.array_equal(column(packed, 12), odd, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda top: top["axes"][0].pop("values"), r"axes\[0\].values: is missing"),
        (
            lambda top: top["axes"][0]["numbers"].pop(),
            r"axes\[0\].numbers: must be one number for each value",
        ),
        (lambda top: top["axes"][0]["numbers"].__setitem__(0, "8"), r"axes\[0\].numbers: must be a list of"),
        (lambda top: top["axes"][0].update(kind="knob"), r"axes\[0\].kind: must be one of"),
        (lambda top: top["axes"][1].update(name="array.rows"), "axes: names must differ"),
        (lambda top: top["axes"][0].update(name="latency_s"), "axes: names must differ"),
        (lambda top: top["known"][0].update(form="loud"), r"known\[0\].form: must be one of"),
        (lambda top: top["known"][0].update(better="none"), r"known\[0\].better: must be one of"),
        (lambda top: top.update(objectives=["beauty"]), "objectives: 'beauty' is not among the metrics"),
        (lambda top: top["choices"][0].update(row=96), r"choices\[0\].row: must be below 96"),
        (lambda top: top["effects"][0].update(share=1.5), r"effects\[0\].share: must lie between"),
        (lambda top: top["effects"][0].update(least=None), r"effects\[0\].least: must be a number"),
        (lambda top: top.update(tried=-1), "tried: must be a whole number"),
        (lambda top: top.update(sentences=[1]), "sentences: must be a text"),
    ],
)
def test_damage_is_told_with_its_place(
    change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path / "out")
    edit_json(folder / ABOUT, change)
    with pytest.raises(SpecError, match=words):
        render(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("place", "text", "words"),
    [
        ("array.rows", "9", r"row 3, array.rows: must be a value of the axis"),
        ("array.dataflow", "is", r"row 3, array.dataflow: must be a value of the axis"),
        ("latency_s", "fast", r"row 3, latency_s: must be a number"),
        ("feasible", "yes", r"row 3, feasible: must be true or false"),
    ],
)
def test_a_damaged_table_is_told_with_its_place(place: str, text: str, words: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "out")
    edit_csv(folder / TABLE, lambda rows: rows[3].__setitem__(rows[0].index(place), text))
    with pytest.raises(SpecError, match=words):
        render(folder)


def test_same_files_same_bytes_wherever_they_are(tmp_path: Path) -> None:
    assert draw(saved(tmp_path / "one")) == draw(saved(tmp_path / "two"))


def test_scripts_are_given_every_bit(tmp_path: Path) -> None:
    points = sample_points()
    held = points_of(draw(saved(tmp_path / "out")))
    assert [one["name"] for one in held["axes"]] == [one.name for one in points.axes]
    for i, one in enumerate(held["axes"]):
        wanted = np.where(points.indices[:, i] < 0, len(one["values"]), points.indices[:, i])
        assert np.array_equal(column(one["column"], 96), wanted)
    for one in held["metrics"]:
        assert np.array_equal(column(one["column"], 96), points.metrics[one["name"]], equal_nan=True)
    assert {one["name"] for one in held["metrics"]}.isdisjoint({"accuracy", "sqnr_db"})  # nothing is known
    for name, texts in (("limits", points.limits), ("reasons", points.reasons)):
        codes = column(held[name]["column"], 96).astype(int)
        assert tuple(held[name]["names"][code] for code in codes) == texts
    assert np.array_equal(column(held["frontier"], 96), points.frontier)
    assert held["outcomes"]["names"][0] == "ok"


def test_an_axis_of_many_values_takes_two_bytes(tmp_path: Path) -> None:
    points = sample_points(300)
    many = axis("array.rows", "field", [str(i) for i in range(300)], range(300))
    indices = points.indices.copy()
    indices[:, 0] = range(300)
    folder = saved(tmp_path / "out", 300, axes=(many, *points.axes[1:]), indices=indices)
    assert np.array_equal(column(points_of(draw(folder))["axes"][0]["column"], 300), np.arange(300))


def test_a_page_of_ten_thousand_points_stays_below_two_megabytes(tmp_path: Path) -> None:
    """Each with every metric, ten axes, and a long reason of its own where it failed."""
    points = sample_points(10_000)
    drawn = np.random.default_rng(0)
    failed = points.status != 0
    more = [axis(f"memories.level_{i}.size", "field", [f"{k} KiB" for k in range(9)]) for i in range(5)]
    folder = saved(
        tmp_path / "out", 10_000,
        axes=(*points.axes, *more),
        indices=np.concatenate([points.indices, drawn.integers(0, 9, (10_000, 5))], axis=1),
        metrics={name: np.where(failed, np.nan, drawn.random(10_000)) for name in points.metrics},
        reasons=tuple(f"{i} " * 100 if bad else "" for i, bad in enumerate(failed)),
    )  # fmt: skip
    page = draw(folder)
    assert len(page) < 2_000_000
    told = points_of(page)["reasons"]["names"]
    assert sum(map(len, told)) < REASONS_CHARS + 1000
    assert told[-1] == "see points.csv beside this page"
    assert told[1].startswith("16 16 16")


def test_texts_of_files_are_not_markup(tmp_path: Path) -> None:
    evil = "</script><script>taken()</script>"
    points = sample_points(40)
    words = axis(evil, "field", [evil, "<b>", "&amp;", "x"])
    page = draw(
        saved(
            tmp_path / "out",
            40,
            axes=(points.axes[0], words, *points.axes[2:]),
            description=evil,
            limits=(evil,) * 40,
        )
    ).decode()
    assert "<script>taken" not in page
    assert page.count("<script") == 2
    assert REASON not in page  # it has a < in it
    held = points_of(page.encode())
    assert held["axes"][1]["name"] == held["axes"][1]["values"][0] == evil


def test_the_words_the_bars_and_the_failures_stand_on_the_page(tmp_path: Path) -> None:
    points = sample_points()
    page = draw(saved(tmp_path / "out")).decode()
    found = swept(points)
    for sentence in found.sentences:
        assert sentence.replace("<", "&lt;").replace("`", "`") in page
    assert page.count('data-open="') == len(found.choices) == 4
    assert page.count('class="bars matters"') == 3
    failed = [reason for reason in points.reasons if reason]
    assert page.count("no room &amp; no host") == len(set(failed)) == 3
    assert f"constraint</th><td>{points.constraints[0].replace('<', '&lt;')}" in page


def test_a_page_of_some_says_so(tmp_path: Path) -> None:
    whole = draw(swept(sample_points(400)).save(tmp_path / "whole")).decode()
    some = draw(swept(sample_points(400), most=100).save(tmp_path / "some")).decode()
    assert "100 points of 400 are on this page" in some
    assert "are on this page" not in whole


@pytest.mark.parametrize(
    ("form", "unit", "value", "text"),
    [
        ("si", "s", 0.00135, "1.35 ms"),
        ("bytes", "", 24 * 2**20, "24 MiB"),
        ("percent", "", 0.856, "85.6 %"),
        ("plain", "/s", 12345.6, "12,346/s"),
        ("plain", "mm\u00b2", 83.84, "83.8 mm\u00b2"),
        ("plain", "dB", -3.456, "-3.46 dB"),
        ("plain", "dB", float("inf"), "inf"),
        ("si", "J", float("nan"), "not known"),
    ],
)
def test_figures_are_written_as_people_read_them(form: str, unit: str, value: float, text: str) -> None:
    metric = SweptMetric("x", "x", "x", "min", form, unit)
    assert figure(metric, value).replace("\u202f", " ") == text
