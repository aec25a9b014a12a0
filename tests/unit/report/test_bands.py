"""The error of the time on the page: read back from the tables alone, and refused where it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.errors import SpecError
from hwsim.report import draw
from hwsim.report.bands import band_shown
from hwsim.report.reading import read_folder
from hwsim.result.bands import ALTERED, RELATIVES, ErrorBand, ErrorTable
from tests.unit.report.folders import edit_csv, edit_json, sample_folder

CONV = ErrorBand(120, 5.5, -20.0, 25.0, measured_on="machine")
KIN = ErrorBand(40, 9.0, -10.0, 30.0, RELATIVES, "other, <b>third</b>")
ERRORS = ErrorTable(
    (("transfer", "int8"), ("conv2d", "int8"), ("sparse_matmul", "int8")), (KIN, CONV, None), ""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sample_folder(tmp_path / "out", errors=ERRORS)


def test_bands_are_read_back(folder: Path) -> None:
    run = read_folder(folder)
    assert [row.band for row in run.operators] == [KIN, CONV, None]
    assert [row.work for row in run.operators] == ["transfer int8", "conv2d int8", "sparse_matmul int8"]
    assert run.summary.not_validated == ""
    # 50 / 1.3 + 1700 / 1.25 and 50 / 0.9 + 1700 / 0.8 ps.
    assert run.summary.low_s == pytest.approx(1398.46e-12, rel=1e-5)
    assert run.summary.high_s == pytest.approx(2180.56e-12, rel=1e-5)


def test_the_page_shows_the_time_with_its_band(folder: Path) -> None:
    page = draw(folder).decode()
    real = "1.4\u202fns to 2.18\u202fns"
    assert f'<a href="#error">Real time</a>: {real}, if it errs like 8 in 10 of 120 operators' in page
    table = page.split('id="error"')[1].split("</section>")[0]
    for words in ("conv2d int8", "-20 to +25\u202f%", "97.1\u202f%", "120", "machine"):
        assert words in table
    assert "relatives: other, &lt;b&gt;third&lt;/b&gt;" in table
    assert "sparse matmul" not in table  # it took no time
    shown = band_shown(read_folder(folder)).classes
    assert [(one.work, one.share) for one in shown] == [
        ("conv2d int8", "97.1\u202f%"), ("transfer int8", "2.9\u202f%"),
    ]  # fmt: skip


def test_a_page_without_a_band_says_why(tmp_path: Path) -> None:
    errors = ErrorTable(ERRORS.classes, (None, None, None), ALTERED)
    page = draw(sample_folder(tmp_path / "out", errors=errors)).decode()
    assert '<a href="#error">Not validated</a>: design altered' in page
    assert "The table of errors" not in page


def test_classes_without_measurements_are_listed_beside_others(tmp_path: Path) -> None:
    errors = ErrorTable(ERRORS.classes, (None, CONV, None), "")
    table = draw(sample_folder(tmp_path / "out", errors=errors)).decode().split('id="error"')[1]
    assert "not known" in table.split("</table>")[0]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("error_p10_pct", "-100", "is no error band"),
        ("error_p10_pct", "40", "is no error band"),
        ("error_p10_pct", "", "must be a number"),
        ("error_p90_pct", "nan", "must be a number"),
        ("error_mdape_pct", "-1", "must be a number"),
        ("error_rows", "many", "must be a whole number"),
        ("error_basis", "hearsay", "is no error band"),
        ("error_p90_pct", "26", "validation.low_s of result.json"),
        ("error_rows", "", "validation.low_s of result.json"),
    ],
)
def test_damaged_bands_are_refused(folder: Path, column: str, value: str, told: str) -> None:
    def damage(rows: list[list[str]]) -> None:
        rows[2][rows[0].index(column)] = value

    edit_csv(folder / "operators.csv", damage)
    with pytest.raises(SpecError, match=told):
        draw(folder)


@pytest.mark.parametrize(("member", "value"), [("low_s", 1e-9), ("high_s", None), ("reason", "none")])
def test_a_band_that_the_tables_do_not_give_is_refused(folder: Path, member: str, value: object) -> None:
    edit_json(folder / "result.json", lambda top: top["summary"]["validation"].update({member: value}))
    with pytest.raises(SpecError, match="not of one run"):
        draw(folder)


def test_the_columns_are_needed(folder: Path) -> None:
    edit_csv(folder / "operators.csv", lambda rows: [row.pop() for row in rows])
    with pytest.raises(SpecError, match="error_measured_on: there must be one column"):
        draw(folder)
