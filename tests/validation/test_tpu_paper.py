"""The TPU v1 beside its paper: what is demanded, what is fitted, and that the gaps are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hwsim.design import load_design
from hwsim.result.shipped_bands import TABLE, error_bands, read_bands
from hwsim.validate import ValidationReport, fit_host, report
from hwsim.validate.__main__ import main
from hwsim.validate.eie_paper import EiePaper
from hwsim.validate.published import tpu_v1_published
from hwsim.validate.tpu_paper import TpuPaper, compare_tpu, cycle_shares

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def paper() -> TpuPaper:
    return compare_tpu()


def simulated(paper: TpuPaper, section: str, subject: str) -> dict[str, float]:
    comparisons = getattr(paper, section)
    return {c.published.figure: c.simulated for c in comparisons if c.published.subject == subject}


def test_nothing_demanded_is_missed(paper: TpuPaper) -> None:
    assert not paper.misses
    assert sum(c.allowed is not None for _, found in paper.sections for c in found) == 3 + 2 + 6


def test_matrix_cycles_of_mlp0(paper: TpuPaper) -> None:
    found = simulated(paper, "normalised", "MLP0")
    assert found == {
        "active": pytest.approx(15.4, abs=1.5),
        "weight_stall": pytest.approx(65.3, abs=1.5),
        "weight_shift": pytest.approx(19.3, abs=1.5),
    }
    assert sum(found.values()) == pytest.approx(100)


def test_weight_tile(paper: TpuPaper) -> None:
    found = simulated(paper, "weight_tile", "chip")
    assert int(found["tile_arrival"]) == 1349  # 65,536 bytes at 34 GB/s and 700 MHz: 1,349.27
    assert found["shift_in"] == pytest.approx(256, abs=0.001)


def test_floor_plan(paper: TpuPaper) -> None:
    found = simulated(paper, "floor_plan", "floor plan")
    for block, share in (("data_buffers", 37), ("compute", 30), ("io", 10), ("control", 2)):
        assert found[block] == pytest.approx(share, abs=10), block
    whole = found["data_buffers"] + found["compute"] + found["io"] + found["control"]
    assert whole == pytest.approx(79)  # every modelled square micrometre is in one of the four


@pytest.mark.parametrize("name", ["MLP0", "CNN0"])
def test_columns_of_table_3(paper: TpuPaper, name: str) -> None:
    for value in (
        lambda figure: tpu_v1_published()[name, figure].value,
        lambda figure: cycle_shares(paper.results[name])[figure],
    ):
        split = ("active", "weight_stall", "weight_shift", "non_matrix")
        assert sum(value(figure) for figure in split) == pytest.approx(100)
        assert value("useful_macs") + value("unused_macs") == pytest.approx(value("active"), abs=0.11)
        assert value("raw") + value("input") < value("non_matrix")


def test_host_constants_are_those_of_the_fit(paper: TpuPaper) -> None:
    fit = fit_host.fit_host()
    calibration = load_design("tpu_v1").device_spec.calibration
    assert calibration is not None
    assert calibration.host_efficiency == fit.host_efficiency
    assert calibration.host_overlap == fit.host_overlap
    mlp0 = simulated(paper, "counters", "MLP0")
    assert mlp0["non_matrix"] == pytest.approx(17.5, abs=0.1)  # Table 3
    assert mlp0["host_share"] == pytest.approx(21, abs=0.1)  # Table 5


def test_fit_does_not_read_its_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Had the paper said 18 %, other constants would give that, and the same non-matrix share."""
    table = dict(tpu_v1_published())
    table["MLP0", "host_share"] = replace(table["MLP0", "host_share"], value=18.0)
    monkeypatch.setattr(fit_host, "tpu_v1_published", lambda: table)
    fit = fit_host.fit_host()
    assert fit.host_efficiency == pytest.approx(fit_efficiency(18.0), abs=0.001)
    assert fit.found_host_share == pytest.approx(0.18, abs=0.001)
    assert fit.found_non_matrix == pytest.approx(0.175, abs=0.001)


def fit_efficiency(host_share: float) -> float:
    """From the constant shipped: it goes with the inverse of the host's share."""
    calibration = load_design("tpu_v1").device_spec.calibration
    assert calibration is not None
    return calibration.host_efficiency * 21.0 / host_share


def test_gap_of_cnn0_is_told_and_not_tuned(paper: TpuPaper) -> None:
    cnn0 = [c for c in paper.counters if c.published.subject == "CNN0"]
    assert all(c.allowed is None for c in cnn0)
    found = simulated(paper, "counters", "CNN0")
    order = (found["active"], paper.cnn0_unfitted["active"], paper.cnn0_without_host["active"])
    assert list(order) == sorted(order)
    assert paper.cnn0_without_host["active"] > 90


def test_committed_reports_are_what_the_code_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference_report: ValidationReport, eie_paper: EiePaper
) -> None:
    committed = ROOT / "reports" / "validation"
    if not committed.is_dir():
        pytest.skip("this tree has no reports")
    monkeypatch.setattr(report, "validate", lambda **_: reference_report)
    monkeypatch.setattr(report, "compare_eie", lambda: eie_paper)
    shipped = ROOT / "hwsim" / "result" / TABLE
    *written, bands = report.write_reports(tmp_path, bands=tmp_path / "shipped" / TABLE)
    assert bands.read_bytes() == shipped.read_bytes(), f"run `make validation`: {TABLE}"
    assert {path.name for path in written} == {path.name for path in committed.iterdir()}
    for path in written:
        assert path.read_bytes() == (committed / path.name).read_bytes(), (
            f"run `make validation`: {path.name}"
        )


def test_command_line_of_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    reference_report: ValidationReport, eie_paper: EiePaper,
) -> None:  # fmt: skip
    monkeypatch.setattr(report, "validate", lambda **_: reference_report)
    monkeypatch.setattr(report, "compare_eie", lambda: eie_paper)
    assert main([str(tmp_path / "made")]) == 0
    printed = capsys.readouterr().out
    assert str(tmp_path / "made" / "tpu_v1.md") in printed
    assert TABLE not in printed
    assert main([str(tmp_path / "made"), str(tmp_path / TABLE)]) == 0
    assert read_bands((tmp_path / TABLE).read_text()) == error_bands()
    assert main(["--help"]) == 2
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main([str(tmp_path / "file")]) == 1
    assert "hwsim: error: cannot write" in capsys.readouterr().err
