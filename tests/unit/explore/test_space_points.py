"""Points of spaces: keys that know every file, axes that do not count, values that cannot be meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.methods import no_point
from hwsim.explore.space import Space, load_space, read_space
from hwsim.library import find

HEAD = "name: t\nworkloads: [lenet5]\ndesigns: [tpu_v1]\naxes:\n"


def loaded(folder: Path, text: str) -> Space:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


def test_keys_know_the_content_of_technology_tables(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    shipped = find("technology", "horowitz").read_text(encoding="utf-8")
    table.write_text(shipped, encoding="utf-8")
    text = f"name: t\nworkloads: [lenet5]\ndesigns: [tpu_v1]\naxes: {{technology.table: ['{table}']}}\n"
    before = loaded(tmp_path, text).keys(np.zeros((1, 1), dtype=np.int64))
    table.write_text(shipped + "\n", encoding="utf-8")
    assert loaded(tmp_path, text).keys(np.zeros((1, 1), dtype=np.int64)) != before
    table.unlink()
    with pytest.raises(SpecError, match=r"mine\.csv"):
        loaded(tmp_path, text)


def test_a_section_that_the_design_lacks_can_be_an_axis(tmp_path: Path) -> None:
    text = HEAD.replace("tpu_v1", "systolic_32") + "  host_link.bandwidth: [1 GB/s, 4 GB/s]\n"
    outcomes = Evaluator(space := loaded(tmp_path, text)).evaluate(space.grid(0, 2))
    assert outcomes.ok.all(), outcomes.reasons
    assert outcomes.metrics["latency_s"][0] > outcomes.metrics["latency_s"][1]


@pytest.mark.parametrize("values", ["[8, 16]", "[16, 8]"])
def test_an_axis_that_does_not_count_excludes_nothing(tmp_path: Path, values: str) -> None:
    """Whatever its first value is."""
    space = loaded(
        tmp_path,
        "name: t\nworkloads: [lenet5]\ndesigns: [systolic_32, v100]\n"
        f"axes:\n  array.rows: {{values: {values}, when: design == systolic_32}}\n"
        "constraints: [array.rows <= 8]\n",
    )
    rows = space.grid(0, space.total)
    rows = rows[(space.canonical(rows) == rows).all(axis=1) & space.allowed(rows)]
    assert [space.texts(row.tolist()) for row in rows] == [
        {"design": "systolic_32", "array.rows": "8"}, {"design": "v100"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ("  array.rows: [8]\n  systolic.array.rows: [32]\n", "is the same field as array.rows"),
        ("  workload.batch: [1 KiB]\n", "'1 KiB' is no whole number"),
        ("  workload.batch: ['nan']\n", "'nan' is no whole number"),
        ("  array.rows: {low: 1, high: 4, step: 1e-320}\n", "more than 10,000 values: take a larger step"),
        ("  array.rows: {low: 1, high: 4, step: 1, scale: log}\n", "scale.* is for a range with a `count`"),
    ],
)
def test_axes_that_cannot_be_meant_are_refused(tmp_path: Path, axes: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        loaded(tmp_path, HEAD + axes)


def test_an_override_is_told_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(HEAD + "  array.rows: {low: 8, high: 16, factor: 2}\n", encoding="utf-8")
    with pytest.raises(
        SpecError,
        match=r"^--set axes\.array\.rows\.low=0: axes\.array\.rows: a range with a factor begins above zero",
    ):
        load_space(read_space(path, ("axes.array.rows.low=0",)))


def test_a_large_grid_says_what_contradicts_itself(tmp_path: Path) -> None:
    space = loaded(
        tmp_path,
        HEAD + "  array.rows: {low: 1, high: 2100, step: 1}\n  array.cols: {low: 1, high: 2100, step: 1}\n"
        "constraints: [array.rows < 4, array.rows > 100]\n",
    )
    said = no_point(space)
    assert "of 1,000,000 drawn from 4,410,000, `array.rows < 4` excludes 99" in said
    assert "`array.rows > 100` excludes 4" in said
