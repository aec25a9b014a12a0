"""`hwsim run`: what goes to standard output and what to standard error, parameters, and the summary."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwsim.cli.main import main
from hwsim.cli.run import read_parameters
from hwsim.cli.screen import Screen, emit
from hwsim.cli.summary import _equals, percent, span, summary
from hwsim.errors import SpecError
from hwsim.result import Result
from hwsim.result.bands import ErrorBand, ErrorTable
from tests.samples import sample_result, sample_weights

ROOT = Path(__file__).parents[3]
KEYS = {
    "workload", "design", "batch", "dtype", "latency_s", "cycles", "throughput_per_s", "macs", "utilization",
    "energy_j", "average_power_w", "area_mm2", "bound", "verified", "folder",
}  # fmt: skip


def drawn(result: Result, width: int, encoding: str = "utf-8") -> str:
    """The summary on a screen of `width` columns."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    screen = Screen()
    screen.file = stream
    screen.width = width
    emit(screen, summary(result, width))
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


@pytest.fixture
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """`hwsim run lenet5 --design tpu_v1 ...` in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    return lambda *options: CliRunner().invoke(main, ["run", "lenet5", "--design", "tpu_v1", *options])


def test_json_is_one_strict_object_and_all_of_standard_output(run_here) -> None:
    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is not JSON")

    result = run_here("--json", "--batch", "2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout, parse_constant=refuse)
    assert set(found) >= KEYS
    assert (found["workload"], found["design"], found["batch"], found["dtype"]) == (
        "lenet5",
        "tpu_v1",
        2,
        "int8",
    )
    assert found["verified"] is True
    assert found["validation"]["reason"] == "no times of this design were measured"
    assert found["macs"] == 2 * 2_293_000
    assert found["throughput_per_s"] == pytest.approx(2 / found["latency_s"])
    assert (
        json.loads((Path(found["folder"]) / "result.json").read_text())["summary"]["cycles"]
        == found["cycles"]
    )


def test_the_default_folder_follows_the_inputs(run_here, tmp_path: Path) -> None:
    folders = [run_here("-q", *options).stdout.strip() for options in ((), (), ("--set", "array.rows=128"))]
    first, again, other = folders
    assert all(folders)
    assert first == again != other
    assert Path(first).parent == tmp_path / "reports" / "runs"
    assert Path(first).name.startswith("lenet5-tpu_v1-")


def test_out_names_the_folder_and_the_bytes_do_not_depend_on_it(run_here, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run_here("--out", name).exit_code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_both_timing_paths_write_the_same_tables(run_here, tmp_path: Path) -> None:
    for path in ("events", "fast"):
        assert run_here("--timing", path, "--out", path).exit_code == 0
    for name in ("operators.csv", "usage.csv", "area.csv", "trace.json.gz"):
        assert (tmp_path / "events" / name).read_bytes() == (tmp_path / "fast" / name).read_bytes()


def test_the_summary_says_all_that_matters(run_here) -> None:
    result = run_here()
    assert result.exit_code == 0
    assert result.stderr == "" or result.stderr.startswith("hwsim: working")
    for words in (
        "lenet5 on tpu_v1, batch 1, int8", "cycles at 700 MHz", "/s ", "2.29 MMAC", "28 W idle, 40 W busy",
        "modelled silicon area, not die area", "limited by", "Busy, by resource", "Time of the compute stage",
        "weight_stall", "Energy by component", "Heaviest", "ip1", "Not modelled", "Verified",
        "workloads/lenet5.yaml", "designs/tpu_v1.yaml", "Result in reports/runs/lenet5-tpu_v1-", "perfetto",
    ):  # fmt: skip
        assert words in result.stdout, words
    assert "synthetic" not in result.stdout
    assert all(line == line.rstrip() for line in result.stdout.splitlines())


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    result = sample_result(workload="w" * 60, synthetic=True)
    long = replace(
        result.timing, names=("n" * 90, "a", "b"), resources=("memory", "array" * 5, "delay"),
        stage_resources=("memory", "memory", "array" * 5, "delay"),
    )  # fmt: skip
    text = drawn(replace(result, timing=long, folder=Path("/out")), width)
    assert max(len(line) for line in text.splitlines()) <= width


def test_the_time_stands_with_its_error_band_or_the_reason_why_not() -> None:
    assert re.search(
        r"^time +1.75 ns .*\nvalidated +no +no times of this design were measured$",
        drawn(sample_result(folder=Path("/out")), 100), flags=re.M,
    )  # fmt: skip
    band = ErrorBand(120, 5.0, -20.0, 25.0, measured_on="machine")
    found = sample_result(folder=Path("/out"), errors=ErrorTable((("", ""),) * 3, (band,) * 3, ""))
    said = "validated +1.4 to 2.19 ns +if it errs like 8 in 10 of 120 operators measured on it$"
    assert re.search(f"^{said}", drawn(found, 100), flags=re.M)


@pytest.mark.parametrize(
    ("low_s", "high_s", "said"),
    [
        (11.2e-3, 13.9e-3, "11.2 to 13.9 ms"),
        (839e-6, 1.5e-3, "839 us to 1.5 ms"),
        (0.5, 2.0, "500 ms to 2 s"),
    ],
)
def test_a_span_of_times_names_a_unit_once_where_it_can(low_s: float, high_s: float, said: str) -> None:
    assert span(low_s, high_s) == said


def test_synthetic_workloads_spills_and_notes_are_marked() -> None:
    text = drawn(sample_result(synthetic=True, spilled=("a", "b"), folder=Path("/out")), 120)
    for words in (
        "synthetic",
        "2 tensors had no room",
        "a note",
        "refresh",
        "from sample.yaml and machine.yaml",
        "rows=2",
    ):
        assert words in text


def test_names_from_files_are_neither_markup_nor_control_codes() -> None:
    names = ("[red]x[/red]", "a\x1b]0;title\x07", ":smile:")
    result = sample_result(workload="[bold]w\x1b[2J", design="d\rd")
    text = drawn(replace(result, timing=replace(result.timing, names=names), folder=Path("/o\x1b")), 120)
    assert "\x1b[2J" not in text
    assert "\x07" not in text
    assert "\r" not in text
    for shown in ("[bold]w\\x1b[2J", "d\\rd", "[red]x[/red]", "a\\x1b]0;title\\x07", "/o\\x1b"):
        assert shown in text


def limited(**timing: object) -> str:
    """What the summary of the sample says of its limit."""
    result = sample_result(folder=Path("/out"))
    text = drawn(replace(result, timing=replace(result.timing, **timing)), 200)
    return next(" ".join(line.split()) for line in text.splitlines() if line.startswith("limited by"))


def test_a_limit_that_is_busy_less_than_half_says_what_goes_on_meanwhile() -> None:
    assert limited() == (
        "limited by array busy 48.6 %, no resource for half of the time: compute goes on for 48.6 % of it; "
        "it waits for weights (48.6 %)"
    )
    assert limited(servers=(1, 4, 10**9)) == (
        "limited by memory busy 39.4 %, no resource for half of the time: compute goes on for 48.6 % of it, "
        "with 1 of 4 array at work; it waits for weights (48.6 %)"
    )
    assert limited(makespan_ps=1690) == "limited by array busy 50.3 %"


def test_operators_that_are_equal_stand_in_one_row() -> None:
    """Three convolutions of 1,000, 994 and 986 ps: the last is more than a hundredth shorter."""
    timing = replace(
        sample_result().timing, kinds=("conv2d",) * 3, macs=np.array([6, 6, 6]), tiles=np.array([1, 1, 1]),
        completion_ps=np.array([1000, 1994, 2980]), makespan_ps=2980,
        bound_ps=np.zeros((3, 3), np.int64), busy_ps=np.full((3, 4), 10, np.int64),
    )  # fmt: skip
    assert _equals(timing) == [[0, 1], [2]]
    assert _equals(replace(timing, macs=np.array([6, 7, 6]))) == [[0], [2], [1]]
    text = drawn(replace(sample_result(folder=Path("/out")), timing=timing), 100)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "Heaviest 3 of 3 operators, equal ones together, 100.0 % of the time" in rows
    assert any(row.startswith("input:x and 1 like it conv2d 1.99 ns 66.9 % 12 ") for row in rows)


def test_a_terminal_without_blocks_gets_ascii() -> None:
    text = drawn(sample_result(folder=Path("/out")), 80, "ascii")
    assert "######" in text


def test_a_run_of_no_time_has_a_summary() -> None:
    result = sample_result(folder=Path("/out"))
    timing = replace(
        result.timing, makespan_ps=0, completion_ps=np.zeros(3, np.int64), active_ps=np.zeros(3, np.int64),
        stalls_ps=np.zeros((3, 2), np.int64), busy_ps=np.zeros((3, 4), np.int64),
    )  # fmt: skip
    assert "inf/s" in drawn(replace(result, timing=timing), 80)


def test_shares_are_never_rounded_to_nothing() -> None:
    shares = (0.0, 0.0001, 0.0005, 0.5, 1.0)
    assert [percent(share) for share in shares] == ["0 %", "<0.1 %", "0.1 %", "50.0 %", "100.0 %"]


def test_parameters_are_read_once_each() -> None:
    assert read_parameters(("a=3", " b = 4 "), batch=2, seed=None) == {"batch": 2, "a": 3, "b": 4}
    assert read_parameters(("past + 1=3",)) == {"past + 1": 3}  # as files may call an open size
    for bad in ("a", "a=", "a=1.5", "a=1e3", "=3", " =3", "a=\u0663", "batch=1"):
        with pytest.raises(SpecError, match="--param"):
            read_parameters((bad,), batch=2)
    with pytest.raises(SpecError, match="a is given twice"):
        read_parameters(("a=1", "a=1"))


def test_a_run_loads_neither_pandas_nor_matplotlib_nor_onnx(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from hwsim.cli.main import main
try:
    main(["run", "lenet5", "--design", "tpu_v1", "--out", "out", "-q"])
except SystemExit as stop:
    assert not stop.code, stop.code
loaded = [name for name in ("pandas", "matplotlib", "onnx") if name in sys.modules]
assert not loaded, loaded
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr


def test_the_summary_says_where_compressed_weights_help_nothing() -> None:
    said = "compressed weights help nothing here: machine keeps weights dense"
    assert said in " ".join(drawn(sample_result(weights=sample_weights()), 80).split())
    assert "compressed weights" not in drawn(sample_result(), 80)


def test_why_numbers_were_not_checked_takes_the_place_of_the_advice_to_check_them() -> None:
    sample = sample_result()
    notes = ("a note", "the numbers were not checked: no device can")
    told = drawn(replace(sample, provenance=replace(sample.provenance, notes=notes)), 80)
    assert "Not verified  no device can" in told
    assert "--verify computes" not in told
    assert told.count("Note ") == 1


def test_long_names_of_parts_leave_their_bars_whole() -> None:
    parts = {"activation_registers": 0.6, "other_registers_still": 0.4}
    result = sample_result()
    object.__setattr__(
        result, "energy_parts", {n: {"dynamic_j": s, "leakage_j": 0.0} for n, s in parts.items()}
    )
    for width in (80, 96, 120):
        told = drawn(result, width)
        assert "activ.._registers" in told
        assert "\u2026" not in told
