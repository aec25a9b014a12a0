"""Error bands of a run: what errors of operators make of its time, and how that is said."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.result import Result
from hwsim.result.bands import (
    ALTERED,
    PAPER,
    RELATIVES,
    UNMEASURED,
    ErrorBand,
    ErrorTable,
    TimeBand,
    time_band,
)
from hwsim.result.folder import write_folder
from tests.samples import sample_result

# The sample: transfer 50 ps, conv2d 1,700 ps, matmul 0 ps of 1,750 ps.
CLASSES = (("transfer", "int8"), ("conv2d", "int8"), ("matmul", "int8"))
CONV = ErrorBand(120, 5.5, -20.0, 25.0, measured_on="machine")
MOVE = ErrorBand(7, 1.0, -50.0, 100.0, measured_on="machine")
KIN = ErrorBand(40, 9.0, -10.0, 30.0, RELATIVES, "other, third")
TIMES = ErrorBand(5, 5.0, -25.0, 5.0, PAPER, "Table IV")


def result(*bands: ErrorBand | None, reason: str = "") -> Result:
    return sample_result(errors=ErrorTable(CLASSES, bands, reason))


def band(*bands: ErrorBand | None) -> TimeBand:
    found = result(*bands).time_band
    assert found is not None
    return found


def test_an_error_of_one_operator_is_that_of_its_time() -> None:
    # (simulated - real) / real is -20 to +25 %, so the real time is simulated / 1.25 to simulated / 0.8.
    found = time_band([400], [CONV])
    assert found is not None
    assert (found.p10_pct, found.p90_pct) == (pytest.approx(-20), pytest.approx(25))
    assert found.real_s(400e-12) == (pytest.approx(320e-12), pytest.approx(500e-12))


def test_real_times_of_operators_add_up() -> None:
    # 1700 / 1.25 + 50 / 2 = 1385 and 1700 / 0.8 + 50 / 0.5 = 2225 ps.
    found = band(MOVE, CONV, None)
    assert found.real_s(1750e-12) == (pytest.approx(1385e-12), pytest.approx(2225e-12))
    assert found.share == 1
    assert found.rows == 127


def test_what_is_not_covered_is_taken_to_err_alike_and_said() -> None:
    found = band(None, CONV, None)
    assert found.real_s(1750e-12) == (pytest.approx(1400e-12), pytest.approx(2187.5e-12))
    assert found.share == pytest.approx(1700 / 1750)
    assert found.remark == "if it errs like 8 in 10 of 120 operators measured on it; covers 97 % of the time"
    assert found.words == "-20 to +25 %, 97 % of the time"


def test_too_little_that_is_covered_says_nothing_of_the_whole() -> None:
    found = result(MOVE, None, None)
    assert found.time_band is None
    assert found.error_words == (
        "not validated (3 % of the time is in operators of a class that was measured)"
    )
    assert time_band([499, 501], [CONV, None]) is None
    assert time_band([500, 500], [CONV, None]) is not None
    assert time_band([0, 0], [CONV, None]) is None


def test_what_a_band_rests_on_is_said() -> None:
    assert band(None, KIN, None).remark.startswith(
        "if it errs like 8 in 10 of 40 operators measured on relatives of it (other, third)"
    )
    assert "by its relatives" in band(None, KIN, None).words
    both = band(KIN, CONV, None)
    assert "120 operators measured on it and 40 operators measured on relatives of it" in both.remark
    assert "partly by its relatives" in both.words
    few = band(TIMES, TIMES, None)
    assert few.remark == "if it errs like 5 times in Table IV"  # too few for a tenth
    assert few.words == "-25 to +5 %, by Table IV"
    assert "8 in 10" not in band(MOVE, CONV, None).remark


@pytest.mark.parametrize("reason", [ALTERED, UNMEASURED])
def test_without_bands_there_is_a_reason(reason: str) -> None:
    found = result(None, None, None, reason=reason)
    assert found.time_band is None
    assert found.error_words == f"not validated ({reason})"
    said = found.summary()["validation"]
    assert isinstance(said, dict)
    assert (said["reason"], said["low_s"], said["measurements"]) == (reason, None, None)
    assert sample_result().not_validated == UNMEASURED


def test_the_summary_holds_the_band() -> None:
    said = result(KIN, CONV, None).validation()
    assert said["low_s"] == pytest.approx(1700e-12 / 1.25 + 50e-12 / 1.3)
    assert (said["reason"], said["measurements"], said["time_share"]) == ("", 160, 1)
    assert said["basis"] == ["silicon", "relatives"]
    assert set(said["measured_on"]) == {"machine", "other, third"}  # type: ignore[call-overload]


def test_operators_carry_their_class_and_band(tmp_path: Path) -> None:
    folder = write_folder(result(KIN, CONV, None), tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO((folder / "operators.csv").read_bytes().decode(), newline="")))
    assert [row["class"] for row in rows] == ["transfer int8", "conv2d int8", "matmul int8"]
    assert [row["error_rows"] for row in rows] == ["40", "120", ""]
    assert [row["error_p90_pct"] for row in rows] == ["30.0", "25.0", ""]
    assert [row["error_measured_on"] for row in rows] == ["other, third", "machine", ""]
    plain = write_folder(replace(result(), errors=ErrorTable()), tmp_path / "plain")
    rows = list(csv.DictReader(io.StringIO((plain / "operators.csv").read_bytes().decode(), newline="")))
    assert {row["class"] + row["error_rows"] for row in rows} == {""}
