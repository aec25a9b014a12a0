"""Reading a result folder back: whole ones give what was written, all others one clear SpecError."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import OutputError, SpecError
from hwsim.report import draw, fields, render
from hwsim.report.fields import safe
from hwsim.report.reading import read_folder
from hwsim.result.folder import FILES
from tests.samples import OPERATORS, sample_result
from tests.unit.report.folders import checked_folder, compressed_folder, edit_csv, edit_json, sample_folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_folder(tmp_path_factory.mktemp("whole") / "out")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


def test_what_is_read_is_what_was_written(whole: Path) -> None:
    run, result = read_folder(whole), sample_result()
    assert run.summary.latency_s == result.latency_s == 1.75e-9
    assert (run.summary.clock_hz, run.summary.macs_per_cycle, run.summary.focus) == (10**9, 4, "compute")
    assert run.summary.provenance == result.provenance
    assert run.summary.published == result.published
    assert tuple(row.name for row in run.operators) == OPERATORS
    assert [row.number for row in run.operators] == [1, 2, 3]
    assert run.operators[2].stalls_ps == {"input": 0, "weights": 750}
    assert run.operators[1].busy_ps == {"memory": 300 + 0, "array": 600, "delay": 3000}
    assert [(row.component, row.count, row.energy_pj) for row in run.usage] == [
        ("memory", 8, 20.0), ("memory", 30, 75.0), ("array", 6, pytest.approx(1.8)), ("memory", 40, 100.0),
        ("array", 4, pytest.approx(1.2)),
    ]  # fmt: skip
    assert [(row.component, row.area_mm2) for row in run.area] == [("memory", 1.5), ("array", 0.5)]
    assert not run.merged
    assert run.timeline[0].name == "operators"
    compute = next(row for row in run.timeline if row.name == "compute on array")
    assert [(round(span.start_us * 1e6), round(span.end_us * 1e6)) for span in compute.spans] == [
        (150, 350), (350, 550), (550, 750), (750, 1000),
    ]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(SpecError, match=f"{name}: there is no such file.*hwsim run"):
        draw(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(SpecError, match=f"{name}: is a folder"):
        draw(folder)


@pytest.mark.parametrize("name", FILES)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused(whole: Path, tmp_path_factory: Any, name: str, content: bytes) -> None:
    damaged = Path(shutil.copytree(whole, tmp_path_factory.mktemp("random") / "out"))
    (damaged / name).write_bytes(content)
    with pytest.raises(SpecError, match=name.replace(".", r"\.")):
        draw(damaged)


@given(
    name=st.sampled_from(FILES),
    place=st.floats(0, 1, exclude_max=True),
    width=st.integers(0, 12),
    content=st.binary(max_size=12),
)
def test_damage_in_the_middle_is_refused_or_drawn(
    whole: Path, tmp_path_factory: Any, name: str, place: float, width: int, content: bytes
) -> None:
    damaged = Path(shutil.copytree(whole, tmp_path_factory.mktemp("damage") / "out"))
    raw = (whole / name).read_bytes()
    raw = gzip.decompress(raw) if name.endswith(".gz") else raw
    at = int(place * len(raw))
    raw = raw[:at] + content + raw[at + width :]
    (damaged / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    with suppress(SpecError):
        assert draw(damaged).startswith(b"<!DOCTYPE html>")


def put(*keys: str, value: object) -> Callable[[dict[str, Any]], object]:
    """A change of one member."""

    def change(found: dict[str, Any]) -> None:
        for key in keys[:-1]:
            found = found[key]
        found[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("format", value="hwsim result 0"), "format: must be 'hwsim result 1'"),
        (put("summary", value=[]), "summary: must be an object"),
        (put("summary", "workload", value=3), "summary.workload: must be a text"),
        (put("summary", "batch", value=1.5), "summary.batch: must be a whole number"),
        (put("summary", "batch", value=True), "summary.batch: must be a whole number"),
        (put("summary", "batch", value=-1), "summary.batch: must be a whole number"),
        (put("summary", "batch", value=10**400), "summary.batch: must be a whole number"),
        (put("summary", "latency_s", value=None), "summary.latency_s: must be a number"),
        (put("summary", "latency_s", value=float("nan")), "summary.latency_s: must be a number"),
        (put("summary", "latency_s", value=float("inf")), "summary.latency_s: must be a number"),
        (put("summary", "latency_s", value=-1.0), "summary.latency_s: must be a number"),
        (put("summary", "verified", value="yes"), "summary.verified: must be true or false"),
        (put("summary", "spilled", value="x"), "summary.spilled: must be a list"),
        (put("summary", "spilled", value=[1]), "summary.spilled: must be a text"),
        (put("summary", "busy_share", value={"array": "x"}), "busy_share.array: must be a number"),
        (put("machine", "clock_hz", value="fast"), "machine.clock_hz: must be a whole number"),
        (put("energy_by_component", "array", value=1), "energy_by_component.array: must be an object"),
        (put("provenance", "parameters", value={"batch": "x"}), "parameters.batch: must be a whole number"),
        (put("provenance", "notes", value=None), "provenance.notes: must be a list"),
    ],
)
def test_wrong_members_of_the_summary_are_named(
    folder: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    edit_json(folder / "result.json", change)
    with pytest.raises(SpecError, match=rf"result\.json: .*{said}"):
        draw(folder)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("operators.csv", lambda rows: rows.clear(), "operator: there must be one column"),
        ("operators.csv", lambda rows: rows[0].__setitem__(1, "operator"), "operator: there must be one col"),
        ("operators.csv", lambda rows: rows.__delitem__(slice(1, None)), "names no operator"),
        ("operators.csv", lambda rows: rows[2].pop(), "row 2: must have"),
        ("operators.csv", lambda rows: rows[1].__setitem__(3, "-1"), "row 1, macs: must be a whole number"),
        ("operators.csv", lambda rows: rows[1].__setitem__(3, "9" * 30), "row 1, macs: must be a whole"),
        ("usage.csv", lambda rows: rows[3].__setitem__(5, "nan"), "row 3, energy_pj: must be a number"),
        ("usage.csv", lambda rows: rows[3].__setitem__(5, "1e999"), "row 3, energy_pj: must be a number"),
        ("usage.csv", lambda rows: rows[3].__setitem__(0, "who?"), r"who\?: is not an operator"),
        ("area.csv", lambda rows: rows[1].__setitem__(1, ""), "row 1, area_mm2: must be a number"),
    ],
)
def test_wrong_rows_of_tables_are_named(
    folder: Path, name: str, change: Callable[[list[list[str]]], object], said: str
) -> None:
    edit_csv(folder / name, change)
    with pytest.raises(SpecError, match=f"{name}: {said}"):
        draw(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("traceEvents", value=None), "traceEvents: must be a list"),
        (lambda found: found["traceEvents"].append(7), r"traceEvents\[\d+\]: must be an object"),
        (lambda found: found["traceEvents"][-1].pop("ts"), r"traceEvents\[\d+\]\.ts: is missing"),
        (lambda found: found["traceEvents"][-1].__setitem__("tid", 99), "a thread without a name"),
    ],
)
def test_wrong_events_of_the_trace_are_named(
    folder: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    edit_json(folder / "trace.json.gz", change)
    with pytest.raises(SpecError, match=rf"trace\.json\.gz: .*{said}"):
        draw(folder)


def test_a_trace_cut_short_is_refused(folder: Path) -> None:
    raw = (folder / "trace.json.gz").read_bytes()
    (folder / "trace.json.gz").write_bytes(raw[:-9])
    with pytest.raises(SpecError, match=r"trace\.json\.gz: ends in the middle"):
        draw(folder)


def test_files_beyond_the_limit_are_refused_packed_or_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (folder / "result.json").stat().st_size
    monkeypatch.setattr(fields, "MAX_FILE_BYTES", size)
    (folder / "trace.json.gz").write_bytes(gzip.compress(b" " * (size + 1)))
    with pytest.raises(SpecError, match=r"trace\.json\.gz: unpacks to more than"):
        draw(folder)
    (folder / "result.json").write_bytes(b" " * (size + 1))
    with pytest.raises(SpecError, match=r"result\.json: holds .* at most"):
        draw(folder)


def test_deeply_nested_json_is_refused(folder: Path) -> None:
    (folder / "result.json").write_text("[" * 200_000)
    with pytest.raises(SpecError, match=r"result\.json: is not JSON"):
        draw(folder)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("operators.csv", lambda rows: rows[3].__setitem__(6, "1"), "latency_s of result.json is 1.75e-09"),
        ("operators.csv", lambda rows: rows[2].__setitem__(8, "1"), "active and stalls. gives"),
        ("operators.csv", lambda rows: rows[2].__setitem__(3, "7"), "macs of result.json is 10"),
        ("usage.csv", lambda rows: rows[2].__setitem__(5, "1"), "energy_j of result.json is"),
        ("area.csv", lambda rows: rows[1].__setitem__(1, "9"), "area_mm2 of result.json is 2"),
    ],
)
def test_files_of_different_runs_are_refused(
    folder: Path, name: str, change: Callable[[list[list[str]]], object], said: str
) -> None:
    edit_csv(folder / name, change)
    with pytest.raises(SpecError, match=f"{said}.*not of one run"):
        draw(folder)


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [
        (1, 0, "who?", r"who\?: is not an operator"),
        (2, 1, "", "row 2, results: must be a whole number"),
        (2, 2, "1", "row 2, exact: must be true or false"),
        (2, 3, "inf", "row 2, bound_used: must be a number"),
    ],
)
def test_wrong_rows_of_a_verification_are_named(
    tmp_path: Path, row: int, column: int, value: str, said: str
) -> None:
    checked = checked_folder(tmp_path / "out")
    draw(checked)
    edit_csv(checked / "verification.csv", lambda rows: rows[row].__setitem__(column, value))
    with pytest.raises(SpecError, match=rf"verification\.csv: .*{said}"):
        draw(checked)


def test_a_verified_run_without_its_verification_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"verification\.csv: there is no such file"):
        draw(sample_folder(tmp_path / "out", verified=True))


def test_compressed_weights_are_read_back(tmp_path: Path, whole: Path) -> None:
    run = read_folder(compressed_folder(tmp_path / "out"))
    assert run.summary.weights is not None
    assert run.summary.weights.stored_bits == 28064
    assert run.summary.weights.remark.startswith("compressed weights help nothing here: machine keeps")
    first, second = run.weights
    assert (first.operator, first.tensor, first.operators, first.codebook) == ("conv1", "conv1.w", 2, 15)
    assert (first.density, first.codec, first.quantised, first.on_chip) == (0.25, "bitmask", False, False)
    assert (second.tensor, second.quantised, second.on_chip, second.held_bytes) == (
        'fc "2".w',
        True,
        True,
        2000,
    )
    assert (read_folder(whole).summary.weights, read_folder(whole).weights) == (None, ())
    assert not (whole / "weights.csv").exists()


@pytest.mark.parametrize(
    ("row", "heading", "value", "said"),
    [
        (1, "operator", "who?", r"who\?: is not an operator"),
        (2, "density", "1.5", "row 2, density: must lie between 0 and 1"),
        (2, "density", "x", "row 2, density: must be a number"),
        (1, "stored_bits", "-1", "row 1, stored_bits: must be a whole number"),
        (1, "on_chip", "1", "row 1, on_chip: must be true or false"),
        (0, "held_bytes", "held", "held_bytes: there must be one column"),
    ],
)
def test_wrong_rows_of_weights_are_named(
    tmp_path: Path, row: int, heading: str, value: str, said: str
) -> None:
    folder = compressed_folder(tmp_path / "out")
    draw(folder)
    edit_csv(folder / "weights.csv", lambda rows: rows[row].__setitem__(rows[0].index(heading), value))
    with pytest.raises(SpecError, match=rf"weights\.csv: .*{said}"):
        draw(folder)


@pytest.mark.parametrize(
    "heading", ["weights", "density", "stored_bits", "dense_bits", "held_bytes", "moved_bytes", "macs"]
)
def test_weights_of_another_run_are_refused(tmp_path: Path, heading: str) -> None:
    folder = compressed_folder(tmp_path / "out")
    edit_csv(folder / "weights.csv", lambda rows: rows[1].__setitem__(rows[0].index(heading), "1"))
    with pytest.raises(SpecError, match=r"compressed_weights\.\w+ of result.json is .*not of one run"):
        draw(folder)


def test_a_run_with_compressed_weights_needs_their_table(tmp_path: Path) -> None:
    folder = compressed_folder(tmp_path / "out")
    (folder / "weights.csv").unlink()
    with pytest.raises(SpecError, match=r"weights\.csv: there is no such file"):
        draw(folder)
    edit_json(folder / "result.json", put("summary", "compressed_weights", value=7))
    with pytest.raises(SpecError, match=r"result\.json: .*compressed_weights: must be an object"):
        draw(folder)


def test_a_trace_of_another_run_is_refused(folder: Path) -> None:
    def longer(found: dict[str, Any]) -> None:
        for event in found["traceEvents"]:
            if event["ph"] == "X":
                event["dur"] *= 2

    edit_json(folder / "trace.json.gz", longer)
    with pytest.raises(SpecError, match=r"trace\.json\.gz gives .*not of one run"):
        draw(folder)


@pytest.mark.parametrize("path", ["nowhere", "a\0b", "x" * 300])
def test_what_is_no_folder_is_said_to_be_none(tmp_path: Path, path: str) -> None:
    with pytest.raises(SpecError, match="is not a folder; name the folder that `hwsim run`"):
        render(tmp_path / path)


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "report.html").write_text("old")

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="no space left"):
        render(folder)
    assert (folder / "report.html").read_text() == "old"
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "report.html"])


@given(st.text())
def test_safe_text_is_printable_and_safe_text_stays(text: str) -> None:
    assert safe(text).isprintable()
    assert safe(safe(text)) == safe(text)
    assert json.dumps(safe(text)).encode()
