"""The page of a compression: what it says of a table, and that nothing in it can act."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hwsim.compress import compress
from hwsim.report import Origin, draw_compression
from hwsim.report.wording import NARROW
from tests.unit.report.test_page import HOSTILE, Reader

ORIGIN = Origin("net.yaml", "ab" * 32, "small.yaml", "Makes it small.", "Somebody, 2020", 7, "0.1")


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    return compress("lenet300", "deep_compression").table.to_dict()


def test_the_page_says_what_the_table_says(table: dict[str, Any]) -> None:
    text = Reader(draw_compression(table, ORIGIN)).text.replace(NARROW, " ")
    totals = table["totals"]
    for said in (
        "lenet300 by deep_compression", "Makes it small.", "net.yaml", "ab" * 32, "small.yaml",
        "Somebody, 2020",
        f"{totals['kept']:,} of {totals['weights']:,} weights", f"{totals['ratio']:.3g}\u00d7",
        "Every stored bit is in one part", *table["history"], *table["notes"],
    ):  # fmt: skip
        assert said in text, said
    for row in table["layers"]:
        assert f"{row['layer']} {row['codec']}, {row['codebook_entries']} shared {row['weights']:,}" in text
    for part in totals["parts"]:
        assert re.search(rf"{part} \d+\.\d %", text), part


def test_every_layer_is_in_the_table_in_full(table: dict[str, Any]) -> None:
    page = draw_compression(table, ORIGIN).decode()
    for row in table["layers"]:
        assert f'data-v="{row["stored_bits"]}"' in page
        assert f'data-v="{row["density"]!r}"' in page


def test_what_was_not_computed_is_said_with_its_reason(table: dict[str, Any]) -> None:
    changed = table | {"output_change": None, "not_computed": "it is too large"}
    assert "not computed: it is too large" in Reader(draw_compression(changed, ORIGIN)).text


def test_accuracy_and_fewer_macs_are_shown_where_they_are_known(table: dict[str, Any]) -> None:
    text = Reader(draw_compression(table, ORIGIN)).text
    assert "Accuracy" not in text
    assert "Work" not in text
    changed = table | {"accuracy_before": 0.97, "accuracy_after": 0.95, "macs_after": 1000}
    text = Reader(draw_compression(changed, ORIGIN)).text.replace(NARROW, " ")
    assert "Accuracy 95.0 % 97.0 % before" in text
    assert "Work 1 kMAC for 266 kMAC before" in text


@pytest.mark.parametrize("recipe", ["ternary", "int8_per_channel", "low_rank_2x", "prune_90", "sparse_2to4"])
def test_every_kind_of_recipe_gives_a_page(recipe: str) -> None:
    """Factors have no ratio and no SQNR, levels no noise, and what is only pruned one part."""
    table = compress("lenet5", recipe).table.to_dict()
    text = Reader(draw_compression(table, ORIGIN)).text
    assert f"lenet5 by {recipe}" in text
    assert "nan" not in text.lower().split()


def test_hostile_names_stay_text(table: dict[str, Any]) -> None:
    layers = [row | {"layer": HOSTILE, "codec": HOSTILE} for row in table["layers"]]
    changed = table | {"layers": layers, "workload": HOSTILE, "history": [HOSTILE], "notes": [HOSTILE]}
    page = draw_compression(changed, Origin(*([HOSTILE] * 5), 7, "0.1"))
    reader = Reader(page)
    assert sum(tag == "script" for tag, _ in reader.tags) == 1
    assert all(tag != "img" for tag, _ in reader.tags)
    assert "alert(1)" not in "".join(reader.raw["script"])


def test_same_table_same_bytes(table: dict[str, Any]) -> None:
    assert draw_compression(table, ORIGIN) == draw_compression(table, ORIGIN)
