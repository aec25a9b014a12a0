"""`validate`: predictions, the roofline beside them, summaries, and rows that cannot run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from hwsim.errors import OutputError, SpecError
from hwsim.validate import Outcome, ValidationReport, measured, validate
from hwsim.validate.rows import MeasuredRow

COLUMNS = ("design", "op", "dtype", "metric", "value", "M", "N", "K", "overrides")
ARRAY = "array.rows=16 array.cols=16 dataflow=os"
KEYS = (
    "design", "op", "dtype", "metric", "rows", "mdape_pct", "mape_pct", "p90_pct", "bias_pct",
    "roofline_mdape_pct", "half_rows", "half_mdape_pct", "half_mape_pct", "half_p90_pct",
    "calibrated_mdape_pct", "calibrated_mape_pct", "calibrated_p90_pct",
)  # fmt: skip


def table(folder: Path, *rows: tuple[object, ...], columns: tuple[str, ...] = COLUMNS) -> Path:
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows((columns, *rows))
    return path


def gemm(
    m: int, n: int, k: int, value: float, metric: str = "compute_cycles", **changes: str
) -> tuple[object, ...]:
    row = {"design": "systolic_plain", "op": "gemm", "dtype": "int8", "overrides": ARRAY} | changes
    return row["design"], row["op"], row["dtype"], metric, value, m, n, k, row["overrides"]


def test_cycles_and_microseconds_of_one_tile(tmp_path: Path) -> None:
    # Output-stationary, one tile: 16 + 16 + 10 - 2 cycles of a nanosecond.
    path = table(tmp_path, gemm(16, 16, 10, 40), gemm(16, 16, 10, 0.05, "latency_us"))
    cycles, latency = validate(path).outcomes
    assert (cycles.predicted, cycles.error_pct) == (40, 0)
    assert latency.predicted == pytest.approx(0.04)
    assert latency.error_pct == pytest.approx(-20)


def test_each_metric_is_a_group_of_its_own(tmp_path: Path) -> None:
    path = table(tmp_path, gemm(16, 16, 10, 40), gemm(16, 16, 10, 0.05, "latency_us"), gemm(16, 16, 9, 40))
    found = validate(path).as_json()
    assert [tuple(group) for group in found] == [KEYS, KEYS]
    assert [(group["metric"], group["rows"]) for group in found] == [("compute_cycles", 2), ("latency_us", 1)]


def test_summary_by_hand() -> None:
    outcomes = []
    for line, (predicted, roofline) in enumerate([(110, 50), (80, 60), (100, 70), (150, 20)], start=2):
        row = MeasuredRow(
            "f.csv", line, "chip", "gemm", "int8", "latency_us", 100, {}, 1, 1, (), {"value": "100"}
        )
        outcomes.append(Outcome(row, predicted, roofline))
    outcomes.append(Outcome(row, reason="it rained"))
    (found,) = ValidationReport(tuple(outcomes)).as_json()
    # Errors 10, -20, 0, 50; their sizes sorted 0, 10, 20, 50; rank 2.7 of 0 to 3 lies at 20 + 0.7 x 30.
    figures = [found[key] for key in KEYS[4:10]]
    assert figures == [4, pytest.approx(15), pytest.approx(20), pytest.approx(41), pytest.approx(10), 45]


def test_roofline_of_a_compute_bound_row(tmp_path: Path) -> None:
    # 128 x 128 x 128 multiplications on 256 elements.
    (found,) = validate(table(tmp_path, gemm(128, 128, 128, 1))).outcomes
    assert found.roofline == 8192


def test_roofline_of_a_memory_bound_row(tmp_path: Path) -> None:
    # 2,560 x 2,560 bytes of weights at 34 GB/s; activations stay on chip. The host link is no part of it.
    row = gemm(1, 2560, 2560, 1, "latency_us", design="tpu_v1", overrides="")
    (found,) = validate(table(tmp_path, row)).outcomes
    assert found.roofline == pytest.approx(6_553_600 / 34e3, rel=1e-6)
    assert found.predicted is not None
    assert found.predicted > found.roofline


def test_roofline_knows_the_number_format(tmp_path: Path) -> None:
    rows = [
        gemm(4096, 256, 256, 1, "latency_us", design="tpu_v1", overrides="", dtype=dtype)
        for dtype in ("int8", "int16")
    ]
    narrow, wide = validate(table(tmp_path, *rows)).outcomes
    assert narrow.roofline is not None
    assert wide.roofline == pytest.approx(4 * narrow.roofline, rel=1e-6)


def test_convolution_with_stride_and_padding(tmp_path: Path) -> None:
    columns = (
        "design", "op", "dtype", "metric", "value", "batch", "in_channels", "height", "width", "out_channels",
        "kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w", "overrides",
    )  # fmt: skip
    start = ("systolic_plain", "conv2d", "int8", "compute_cycles")
    row = (*start, 1, 2, 3, 17, 7, 16, 3, 5, 2, 1, 1, 2, ARRAY)
    blank = (*start, 1, "", 3, 17, 7, 16, 3, 5, "", "", "", "", ARRAY)
    found = validate(table(tmp_path, row, blank, columns=columns)).outcomes
    # im2col: K = 3 x 3 x 5 = 45. Strided and padded M = 2 x 9 x 7 = 126, eight tiles; else 15 x 3, three.
    assert [o.predicted for o in found] == [8 * (16 + 16 + 45 - 2), 3 * (16 + 16 + 45 - 2)]


def test_rows_that_share_a_program_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[object] = []
    real = measured.run
    monkeypatch.setattr(
        measured, "run", lambda *given, **named: (runs.append(given), real(*given, **named))[1]
    )
    rows = [
        gemm(16, 16, 10, 40),
        gemm(16, 16, 10, 1, "latency_us"),
        gemm(16, 16, 10, 44),
        gemm(16, 16, 11, 41),
    ]
    report = validate(table(tmp_path, *rows))
    assert len(runs) == 2
    assert [o.predicted for o in report.outcomes] == [40, pytest.approx(0.04), 40, 41]


def test_what_cannot_run_is_counted_by_reason(tmp_path: Path) -> None:
    rows = [
        gemm(1, 1, 1, 1, op="attention"), gemm(1, 1, 1, 1, op="attention"),
        gemm(1, 1, 1, 1, op="fft"), gemm(1, 1, 1, 1, design="abacus"), gemm(9, 9, 9, 1, dtype="fp16"),
        gemm(8, 8, 8, 1, dtype="fp16"), gemm(1, 1, 1, 1, "joules"), gemm(1, 1, 1, 1, dtype="int7"),
        gemm(1, 1, 1, 1, overrides="array.rowz=2"), gemm(16, 16, 10, 40),
    ]  # fmt: skip
    report = validate(table(tmp_path, *rows))
    assert (report.rows_run, report.rows_not_run) == (1, 9)
    counts = list(report.reasons.values())
    assert counts == [2, 2, 1, 1, 1, 1, 1]
    text = "\n".join(report.reasons)
    for part in (
        "operator attention is not one of gemm, conv2d",
        "operator fft is not one of gemm, conv2d",
        "design abacus is not known",
        "matmul on systolic_plain: the array multiplies int8, not fp16",
        "metric joules is not one of latency_us, compute_cycles",
        "unknown number format 'int7'",
        "array.rowz",
    ):
        assert part in text
    assert len(report.as_json()) == 1


def test_density_is_not_dropped(tmp_path: Path) -> None:
    path = table(tmp_path, (*gemm(16, 16, 10, 40), 0.5), columns=(*COLUMNS, "density"))
    assert validate(path).reasons == {"operator gemm takes no density below 1": 1}


def test_too_many_tiles_are_a_reason_with_figures(tmp_path: Path) -> None:
    path = table(tmp_path, gemm(1_000_000, 1_000_000, 1, 1))
    (reason,) = validate(path).reasons
    assert "more than" in reason


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    path = table(tmp_path, (*gemm(16, 16, 10, 40), "hello"), columns=(*COLUMNS, "comment"))
    assert validate(path).unused_columns == ("comment",)


def test_another_design_for_all_rows(tmp_path: Path) -> None:
    path = table(tmp_path, gemm(16, 16, 10, 40, design="abacus"))
    assert validate(path, design="systolic_plain").exact == 1
    (found,) = validate(path, design="systolic_plain").as_json()
    assert found["design"] == "systolic_plain"
    with pytest.raises(SpecError, match="abacus"):
        validate(path, design="abacus")


def test_progress_counts_rows(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    validate(table(tmp_path, gemm(1, 1, 1, 1), gemm(2, 1, 1, 1)), progress=lambda *at: seen.append(at))
    assert seen == [(0, 2), (1, 2), (2, 2)]


def test_table_of_all_rows(tmp_path: Path) -> None:
    path = table(tmp_path, gemm(16, 16, 10, 50), gemm(1, 1, 1, 1, op="attention"))
    out = validate(path).write_table(tmp_path / "made" / "table.csv")
    ran, did_not = csv.DictReader(io.StringIO(out.read_text(encoding="utf-8")))
    assert (ran["line"], ran["M"], ran["overrides"], ran["measured"]) == ("2", "16", ARRAY, "50")
    assert (ran["predicted"], ran["error_pct"], ran["roofline"], ran["reason"]) == ("40", "-20", "10", "")
    assert (did_not["predicted"], did_not["error_pct"], did_not["roofline"]) == ("", "", "")
    assert did_not["reason"].startswith("operator attention is not one of ")


def test_table_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    report = validate(table(tmp_path, gemm(16, 16, 10, 50)))
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    for target in (tmp_path, tmp_path / "file" / "below.csv", "a\0b", tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match="cannot write"):
            report.write_table(target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "rows.csv"]
