"""The page of a comparison: what is read back, what damaged files are told, and what is drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import SpecError
from hwsim.report import draw, render
from hwsim.report.comparison import LogBars, _charts
from hwsim.report.comparison_reading import read_comparison
from hwsim.result.comparison import ABOUT, Comparison
from tests.comparisons import REASON, SPARSE, sample_comparison
from tests.unit.report.folders import edit_json, sample_folder


def saved(path: Path, **changes: Any) -> Path:
    found = sample_comparison(**changes).save(path).folder
    assert found is not None
    return found


def test_what_is_read_back_is_what_was_written(tmp_path: Path) -> None:
    found = read_comparison(saved(tmp_path / "out"))
    assert found == sample_comparison()
    assert list(found.records()) == list(sample_comparison().records())


def test_derived_figures_in_the_file_are_not_believed(tmp_path: Path) -> None:
    folder = saved(tmp_path / "out")
    edit_json(folder / ABOUT, lambda top: top["rows"][3].update(speedup=1e9, throughput_per_s=-1))
    assert list(read_comparison(folder).records()) == list(sample_comparison().records())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda top: top.update(format="hwsim comparison 9"), "no result|format|result.json"),
        (lambda top: top["rows"].pop(), "one row for each workload on each design"),
        (lambda top: top["rows"].append(top["rows"][0]), "one row for each workload on each design"),
        (
            lambda top: top.update(
                rows=top["rows"] + top["rows"][:2], workloads=top["workloads"] + top["workloads"][:1]
            ),
            "one row for each workload on each design",
        ),
        (lambda top: top.update(rows=[], workloads=[]), "one row for each workload on each design"),
        (lambda top: top["rows"][0].update(outcome="fine"), r"rows\[0\].outcome: must be one of ran"),
        (lambda top: top["rows"][0].update(latency_s=None), r"rows\[0\].latency_s: must be a number"),
        (lambda top: top["rows"][0].update(energy_j=-1), r"rows\[0\].energy_j: must be a number"),
        (lambda top: top["rows"][0].update(batch=0), r"rows\[0\].batch: must be at least 1"),
        (lambda top: top["rows"][2].pop("verified"), r"rows\[2\].verified: is missing"),
        (lambda top: top.update(rows="none"), "rows: must be a list"),
        (lambda top: top["rows"].__setitem__(1, 7), r"rows\[1\]: must be an object"),
        (lambda top: top["designs"][0].update(published={"tdp_w": "x"}), r"designs\[0\].published.tdp_w"),
        (lambda top: top["workloads"][1].update(history=[1]), r"workloads\[1\].history"),
    ],
)
def test_a_damaged_file_is_told_with_the_place(
    change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path / "out")
    edit_json(folder / ABOUT, change)
    with pytest.raises(SpecError, match=words):
        render(folder)
    assert not (folder / "report.html").exists()


def test_each_kind_of_folder_gets_its_page(tmp_path: Path) -> None:
    comparison, result = saved(tmp_path / "c"), sample_folder(tmp_path / "r")
    assert "<h1>net, other" in render(comparison).read_text()
    assert "<h1>sample" in render(result).read_text()


def test_same_files_same_bytes_wherever_they_are(tmp_path: Path) -> None:
    assert draw(saved(tmp_path / "one")) == draw(saved(tmp_path / "two"))


def test_nothing_from_outside_is_markup(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script>"\u202e\x1b'
    sample = sample_comparison()
    rows = tuple(replace(row, workload=evil, design=evil + row.design, reason=evil) for row in sample.rows)
    workloads = tuple(
        replace(one, workload=evil, source=evil, history=(evil,), parameters={evil: 1})
        for one in sample.workloads
    )
    designs = tuple(
        replace(
            one,
            design=evil + one.design,
            description=evil,
            source=evil,
            overrides=(evil,),
            unmodelled=(evil,),
        )
        for one in sample.designs
    )
    page = draw(saved(tmp_path / "out", rows=rows, workloads=workloads, designs=designs)).decode()
    assert page.count("<script>") == 1  # our own
    assert "alert(1)" in page
    assert "\u202e" not in page
    assert "\x1b" not in page


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    page = draw(saved(tmp_path / "out")).decode()
    assert "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="(?!#|data:|comparison\.csv)[^"]*"', page) == []


def test_what_did_not_run_is_told_with_its_reason_and_has_no_bar(tmp_path: Path) -> None:
    page = draw(saved(tmp_path / "out")).decode()
    section = page.split('id="failures"')[1].split("</section>")[0]
    assert "no way to run" in section
    assert "<b>" not in section
    assert "b (net, batch 1, dense); a (other, batch 2, dense)" in section
    assert REASON not in page  # escaped
    assert "2 runs of 6 did not end with figures" in page
    whole = sample_comparison()
    ran = tuple(row for row in whole.rows if row.workload == "net" and row.form == SPARSE)
    page = draw(saved(tmp_path / "ran", rows=ran, workloads=whole.workloads[1:2])).decode()
    assert 'id="failures"' not in page


def chart(heading: str, found: Comparison) -> LogBars:
    return next(one for one in _charts(found) if one.heading == heading)


def test_bars_lie_on_a_logarithmic_axis() -> None:
    # For one inference: 2 ms, 1 ms, 0.25 ms and 0.5 us lie between 100 ns and 10 ms, five decades.
    time = chart("Time", sample_comparison())
    lengths = [bar.length for _, bars in time.groups for bar in bars]
    assert [None if length is None else round(length, 2) for length in lengths] == [
        86.02, None, 80.0, 67.96, None, 13.98,
    ]  # fmt: skip
    assert [bar.amount for _, bars in time.groups for bar in bars][1] == "unsupported"
    assert [round(tick.at) for tick in time.ticks] == [0, 40, 80]
    assert [round(line) for line in time.lines] == [20, 40, 60, 80]
    area = chart("Area", sample_comparison())
    assert [[bar.name for bar in bars] for _, bars in area.groups] == [["a", "b"]]


def test_the_cards_name_the_best_of_each_network(tmp_path: Path) -> None:
    page = draw(saved(tmp_path / "out")).decode()
    cards = page.split('class="figures"')[1].split("</dl>")[0]
    text = " ".join(re.sub(r"<[^>]+>", " ", cards).split())
    assert (
        "net: fastest b 4,000/s, 10 % not zero, csc, batch 4; 8 times as fast as a (dense, batch 1)" in text
    )
    assert "net: least energy b 250 \u00b5J each, 10 % not zero, csc, batch 4; 32 times less than a" in text
    assert "other: fastest b" in text


def test_a_comparison_in_which_nothing_ran_has_a_page(tmp_path: Path) -> None:
    sample = sample_comparison()
    bare = tuple(replace(sample.rows[1], workload=r.workload, form=r.form, batch=r.batch, design=r.design,
                         kind=r.kind) for r in sample.rows)  # fmt: skip
    page = draw(saved(tmp_path / "out", rows=bare)).decode()
    assert "None of the designs could run any of the workloads" in page
    assert 'id="bars"' not in page


def test_the_table_holds_every_digit(tmp_path: Path) -> None:
    page = draw(saved(tmp_path / "out")).decode()
    table = page.split('id="layertable"')[1].split("</table>")[0]
    assert table.count("<tr>") == 7
    assert 'data-v="0.00025"' in table
    assert f'data-v="{1e-3 / 0.95!r}">917\u202f\u00b5s to 1.05\u202fms' in table
    headings = re.findall(r'data-column="([^"]+)"', table)
    assert set(headings) >= set(json.loads((tmp_path / "out" / ABOUT).read_text())["rows"][0]) - {
        "energy_j", "macs", "multiplications", "limit_busy", "low_s", "verified", "reason",
    }  # fmt: skip
