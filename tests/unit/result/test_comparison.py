"""A comparison's rows, ratios and folder, on figures made by hand."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.errors import OutputError
from hwsim.result.comparison import (
    ABOUT,
    FAULT,
    TABLE,
    WRONG,
    check_comparison_folder,
    is_comparison,
)
from hwsim.result.folder import PAGE
from tests.comparisons import REASON, SPARSE, sample_comparison


def test_figures_for_one_inference_and_ratios_to_the_networks_first_row() -> None:
    dense_a, dense_b, sparse_a, sparse_b, other_a, other_b = sample_comparison().records()
    assert (dense_a["throughput_per_s"], dense_a["energy_per_inference_j"]) == (500, 8e-3)
    assert (dense_a["speedup"], dense_a["energy_gain"], dense_a["average_power_w"]) == (1, 1, 4)
    # Four inputs in 4 ms are 1,000/s, and 16 mJ are 4 mJ each.
    assert (sparse_a["throughput_per_s"], sparse_a["speedup"], sparse_a["energy_gain"]) == (1000, 2, 2)
    # Four in 1 ms for 1 mJ: 4,000/s, 0.25 mJ each.
    assert (sparse_b["speedup"], sparse_b["energy_gain"]) == (8, 32)
    assert (dense_b["outcome"], dense_b["reason"]) == ("unsupported", REASON)
    assert all(dense_b[name] is None for name in ("latency_s", "speedup", "energy_j", "limit", "verified"))
    # The first row of the other network did not run, so the second is what its ratios are to.
    assert other_a["speedup"] is None
    assert (other_b["speedup"], other_b["energy_gain"]) == (1, 1)


def test_executed_share_is_of_the_macs() -> None:
    shares = [row.executed_share for row in sample_comparison().rows]
    assert shares == [1.0, None, 1.0, 0.1, None, None]


def test_a_run_without_time_has_no_rate_and_no_ratio() -> None:
    sample = sample_comparison()
    first = sample.rows[0]
    assert first.figures is not None
    still = replace(first, figures=replace(first.figures, latency_s=0.0, energy_j=0.0))
    found = replace(sample, rows=(still, *sample.rows[1:]))
    record, *others = found.records()
    assert (record["throughput_per_s"], record["average_power_w"], record["speedup"]) == (None, None, None)
    assert others[1]["speedup"] is None
    assert others[1]["energy_gain"] == 0.0


def test_only_wrong_numbers_and_faults_count_as_faults() -> None:
    sample = sample_comparison()
    rows = [replace(sample.rows[1], outcome=outcome) for outcome in (WRONG, FAULT, "no room", "refused")]
    assert [row.outcome for row in replace(sample, rows=tuple(rows)).faults] == [WRONG, FAULT]


def test_frame_and_csv_hold_every_row() -> None:
    sample = sample_comparison()
    frame = sample.frame()
    assert len(frame) == 6
    assert frame["latency_s"].isna().sum() == 2
    rows = list(csv.DictReader(io.StringIO(sample.to_csv().decode("utf-8"), newline="")))
    assert [row["design"] for row in rows] == ["a", "b"] * 3
    assert [row["form"] for row in rows[2:4]] == [SPARSE] * 2
    assert (rows[1]["latency_s"], rows[1]["reason"]) == ("", REASON)
    assert float(rows[3]["energy_per_inference_j"]) == 2.5e-4


def test_the_folder_holds_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        saved = sample_comparison().save(tmp_path / name, lambda folder: folder.joinpath(TABLE).read_bytes())
        assert saved.folder == tmp_path / name
        assert {path.name for path in saved.folder.iterdir()} == {ABOUT, TABLE, PAGE}
        assert is_comparison(saved.folder)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    about = json.loads((tmp_path / "one" / ABOUT).read_text())
    assert about["rows"] == list(sample_comparison().records())
    assert "folder" not in about
    assert sample_comparison().save(tmp_path / "one").summary()["folder"] == str(tmp_path / "one")


def test_numbers_that_are_not_finite_are_written_as_null(tmp_path: Path) -> None:
    sample = sample_comparison()
    first = sample.rows[0]
    assert first.figures is not None
    endless = replace(first, figures=replace(first.figures, energy_j=math.inf))
    saved = replace(sample, rows=(endless, *sample.rows[1:])).save(tmp_path / "out")
    assert saved.folder is not None
    assert json.loads((saved.folder / ABOUT).read_text())["rows"][0]["energy_j"] is None


def test_only_an_earlier_comparison_is_replaced(tmp_path: Path) -> None:
    sample_comparison().save(tmp_path / "out")
    sample_comparison(version="2").save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / ABOUT).read_text())["version"] == "2"
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("keep")
    for refused in (check_comparison_folder, sample_comparison().save):
        with pytest.raises(OutputError, match="not a comparison of hwsim"):
            refused(foreign)
    assert (foreign / "notes.txt").read_text() == "keep"
    assert not is_comparison(foreign)


def test_a_folders_name_follows_what_was_compared() -> None:
    sample = sample_comparison()
    assert sample.default_name() == sample_comparison().default_name()
    assert sample.default_name().startswith("compare-net-")
    fewer = replace(sample, designs=sample.designs[:1])
    assert fewer.default_name() != sample.default_name()
