"""CPUs and GPUs beside measured operators: what issue and README promise, group by group."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.design import load_design
from hwsim.validate import ValidationReport
from hwsim.validate.baselines import Half, bootstrap
from hwsim.validate.measured import REFERENCE_SETS
from hwsim.validate.platform_power import compare_power, measured_power, median_energy_error_pct
from hwsim.validate.plot import scatter
from hwsim.validate.robust_fit import errors_of
from hwsim.validate.silicon import silicon_pages

GEMM = {
    ("v100", "fp32"): 6, ("v100", "fp16"): 8, ("p100", "fp32"): 5, ("titan_x_pascal", "fp32"): 10,
    ("knl_7250", "fp32"): 7, ("a100", "fp16"): 7,
}  # fmt: skip
CONV_PCT, RECURRENT_PCT = 22, 25


def test_every_shipped_row_runs_and_keeps_source_and_licence(reference_report: ValidationReport) -> None:
    assert not reference_report.reasons
    assert {o.row.file for o in reference_report.outcomes} == set(REFERENCE_SETS)
    for outcome in reference_report.outcomes:
        assert outcome.row.cells["source"]
        assert outcome.row.cells["licence"] in ("Apache-2.0", "MIT", "BSD-3-Clause", "fact")


@pytest.mark.parametrize(("design", "dtype"), GEMM)
def test_matrix_products_are_within_what_is_demanded(
    reference_report: ValidationReport, design: str, dtype: str
) -> None:
    (found,) = [s for s in reference_report.summaries if (s.design, s.op, s.dtype) == (design, "gemm", dtype)]
    assert found.mdape_pct <= GEMM[design, dtype]
    assert found.half_mdape_pct is not None
    assert found.calibrated_mdape_pct is not None
    assert found.half_mdape_pct <= found.calibrated_mdape_pct + 1.5


def test_convolutions_are_within_what_is_demanded(reference_report: ValidationReport) -> None:
    found = [s for s in reference_report.summaries if s.op == "conv2d" and s.dtype != "int8"]
    assert len(found) == 6
    assert all(s.mdape_pct <= CONV_PCT for s in found)


def test_all_matrix_products_beat_the_calibrated_roofline(reference_report: ValidationReport) -> None:
    halves = [reference_report.halves[design, "gemm", dtype, "latency_us"] for design, dtype in GEMM]
    pooled = halves[0]
    for half in halves[1:]:
        pooled = pooled.joined(half)
    shares = bootstrap(pooled)
    assert shares.rows == len(pooled.measured) > 400
    assert min(shares.mape_share, shares.p90_share) >= 0.9


def test_table_4_of_the_eie_paper(reference_report: ValidationReport) -> None:
    rows = [
        o for o in reference_report.outcomes
        if o.row.file == "eie_table4.csv"
        and (o.row.design, o.row.op, o.row.sizes["M"]) != ("tegra_k1", "gemm", 64)
    ]  # fmt: skip
    assert len(rows) == 55
    predicted = np.array([o.predicted for o in rows], dtype=np.float64)
    measured = np.array([o.row.measured for o in rows], dtype=np.float64)
    assert errors_of(predicted, measured).mdape_pct <= 25


def test_rows_are_run_as_they_were_measured(reference_report: ValidationReport) -> None:
    """Hot caches and DeepBench's launch cost, which the design as it stands does not have."""
    knl = load_design("knl_7250").device_spec
    assert (knl.cache_state, knl.harness) == ("cold", "")
    small = min(
        (o for o in reference_report.outcomes if o.row.design == "knl_7250" and o.row.op == "gemm"),
        key=lambda o: o.row.measured,
    )
    assert small.predicted is not None
    assert small.predicted > knl.calibration.launch_us["deepbench"]


def test_energy_of_the_measured_layers() -> None:
    found = compare_power({row.design for row in measured_power()})
    scored = [c for c in found if not c.contradictory]
    assert (len(found), len(scored)) == (48, 44)
    assert median_energy_error_pct(scored) <= 25
    for design in ("i7_5930k", "titan_x_maxwell", "tegra_k1"):
        assert median_energy_error_pct([c for c in scored if c.measured.design == design]) <= 25


def test_bootstrap_by_hand() -> None:
    measured = np.full(40, 100.0)
    better = Half(measured, measured * 1.01, measured * 1.2)
    worse = Half(measured, measured * 1.2, measured * 1.01)
    assert (bootstrap(better).mape_share, bootstrap(better).p90_share) == (1, 1)
    assert (bootstrap(worse).mape_share, bootstrap(worse).p90_share) == (0, 0)


def test_a_plot_has_every_point_inside() -> None:
    text = scatter({"a <b>": [(1.0, 2.0), (1000.0, 999.0)], "c": [(0.5, 40_000.0)]})
    assert text.count('r="2.4"') == 3
    assert "a &lt;b&gt;" in text
    assert text == scatter({"a <b>": [(1.0, 2.0), (1000.0, 999.0)], "c": [(0.5, 40_000.0)]})


def test_a_page_lists_all_groups_and_constants(reference_report: ValidationReport) -> None:
    fields, table, plot = silicon_pages(reference_report, "cpu")
    assert "| knl_7250 | fp32 | gemm | deepbench | 92 |" in str(fields["groups"])
    assert "launch_us.deepbench" in str(fields["constants"])
    assert len(table.splitlines()) == 5
    assert plot.startswith("<svg ")
