"""Calibration and the calibrated roofline: constants come back from rows that were made with them, and bad
input is named and writes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.design import load_design
from hwsim.errors import SpecError
from hwsim.library import find
from hwsim.pipeline import run
from hwsim.validate.calibrate import calibrate, constants_of
from hwsim.validate.roofline import calibrated_rooflines, fit_roofline, roofline_terms
from hwsim.validate.rows import read_rows
from hwsim.workload import matmul

HEADER = "design,op,dtype,M,N,K,harness,metric,value\n"
SIZES = [(m, n, k) for m in (64, 1000) for n, k in ((256, 512), (1024, 300), (2000, 2048))]
TRUE = ("calibration.host_efficiency=0.6", "calibration.host_overlap=0.3")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows that a TPU v1 with other constants takes, and one that another design took."""
    path = tmp_path_factory.mktemp("rows") / "measured.csv"
    lines = [HEADER]
    for m, n, k in SIZES:
        latency_us = run(matmul(m, n, k), "tpu_v1", overrides=TRUE).latency_s * 1e6
        lines.append(f"tpu_v1,gemm,int8,{m},{n},{k},made,latency_us,{latency_us:.6g}\n")
    lines.append("systolic_32,gemm,int8,8,8,8,made,latency_us,1\n")
    path.write_text("".join(lines))
    return path


def test_constants_come_back(measured: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.yaml"
    found = calibrate(find("designs", "tpu_v1"), measured, output, folds=2)
    assert found.before.mdape_pct > 10
    assert found.fitted.mape_pct < 1
    assert found.held_out.mape_pct < 2
    assert (found.rows, found.folds, dict(found.rows_left_out)) == (6, 2, {"design systolic_32": 1})
    written = load_design(output)
    assert constants_of(written)["calibration.host_efficiency"][1] == pytest.approx(
        found.constants[0].fitted, rel=1e-3
    )
    # Nothing else has changed, and the file says what the constants rest on.
    before = load_design("tpu_v1").device_spec.model_dump()
    after = written.device_spec.model_dump()
    assert {key for key in before if before[key] != after[key]} == {"calibration"}
    text = output.read_text()
    assert f"6 rows of measured.csv (sha256 {found.data_sha256[:12]})" in text
    assert text.count("fitted_on") == 1
    # What `calibrate` says of all rows is what a run of the new file shows.
    errors = [
        abs(
            run(matmul(m, n, k), output).latency_s / run(matmul(m, n, k), "tpu_v1", overrides=TRUE).latency_s
            - 1
        )
        for m, n, k in SIZES
    ]
    assert 100 * np.mean(errors) == pytest.approx(found.fitted.mape_pct, abs=0.1)


def test_fewer_rows_than_constants(measured: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.csv"
    short.write_text("".join(measured.read_text().splitlines(keepends=True)[:2]))
    output = tmp_path / "new.yaml"
    with pytest.raises(SpecError, match="1 rows for the 2 constants of tpu_v1"):
        calibrate("tpu_v1", short, output)
    assert not output.exists()


def test_faulty_files_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(
        HEADER + "tpu_v1,gemm,int8,64,x,64,made,latency_us,5\ntpu_v1,gemm,int8,64,64,64,made,latency_us,-1\n"
    )
    output = tmp_path / "new.yaml"
    with pytest.raises(SpecError, match=r"bad\.csv:2:1: N: .*\n.*bad\.csv:3:1: value"):
        calibrate("tpu_v1", bad, output)
    assert not output.exists()


def test_a_design_without_constants(measured: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="systolic_plain names no constant under `calibration`"):
        calibrate("systolic_plain", measured, tmp_path / "new.yaml")


def test_a_section_on_one_line_is_refused(measured: Path, tmp_path: Path) -> None:
    text = find("designs", "tpu_v1").read_text()
    head = text[: text.index("calibration:")]
    flow = tmp_path / "flow.yaml"
    flow.write_text(head + "calibration: {host_efficiency: 0.5}  # test\n")
    with pytest.raises(SpecError, match="no `calibration:` section on lines of its own"):
        calibrate(flow, measured, tmp_path / "new.yaml", folds=2)
    assert not (tmp_path / "new.yaml").exists()


def test_roofline_constants_by_hand() -> None:
    rng = np.random.default_rng(0)
    operations = 10 ** rng.uniform(6, 12, 40)
    moved = 10 ** rng.uniform(4, 9, 40)
    measured_us = (5e-6 + np.maximum(operations / 1e13, moved / 3e11)) * 1e6
    found = fit_roofline(operations, moved, measured_us, np.arange(40))
    assert found.launch_s == pytest.approx(5e-6, rel=2e-2)
    assert found.operations_per_s == pytest.approx(1e13, rel=2e-2)
    assert found.bytes_per_s == pytest.approx(3e11, rel=2e-2)


def test_rooflines_are_scored_on_rows_they_have_not_seen(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    lines = [HEADER]
    for i, (m, n, k) in enumerate(SIZES):
        moved = m * n + m * k + n * k
        time_us = 3 + max(2 * m * n * k / 1e6, moved / 1e5)
        lines.append(f"a,gemm,int8,{m},{n},{k},one,latency_us,{time_us:.8g}\n")
        lines.append(f"a,gemm,int8,{m},{n},{k},two,latency_us,{time_us + 100:.8g}\n")
        if i < 4:
            lines.append(f"few,gemm,int8,{m},{n},{k},one,latency_us,1\n")
    path.write_text("".join(lines))
    rows = read_rows(path).rows
    assert roofline_terms(rows[0]) == (2 * 64 * 256 * 512, 64 * 256 + 64 * 512 + 256 * 512)
    one, two = calibrated_rooflines(rows)
    assert (one.group.harness, two.group.harness) == ("one", "two")
    for score, launch_s in ((one, 3e-6), (two, 103e-6)):
        assert (len(score.fitted_rows), len(score.scored_rows)) == (3, 3)
        assert not {r.line for r in score.fitted_rows} & {r.line for r in score.scored_rows}
        assert score.errors.rows == 3
        assert score.constants.launch_s == pytest.approx(launch_s, rel=0.5)
