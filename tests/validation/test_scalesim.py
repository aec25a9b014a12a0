"""Cycles of systolic arrays against SCALE-Sim's, all of them through the simulator, and by hand."""

from __future__ import annotations

import pytest

from hwsim.pipeline import run
from hwsim.validate import ValidationReport
from hwsim.workload import matmul


def test_every_row_of_the_cycles_is_exact(reference_report: ValidationReport) -> None:
    mine = [o for o in reference_report.outcomes if o.row.file == "scalesim_cycles.csv"]
    assert len(mine) == 1500
    assert not [(o.row.place, o.predicted, o.row.measured) for o in mine if o.error_pct != 0]
    (summary,) = [s for s in reference_report.summaries if s.design == "systolic_plain"]
    assert summary.rows == 1500
    assert summary.mdape_pct == summary.mape_pct == summary.p90_pct == summary.bias_pct == 0
    assert summary.roofline_mdape_pct > 50
    for outcome in mine:
        assert outcome.row.cells["source"].startswith("SCALE-Sim 3.0.0, ")
        assert outcome.row.cells["licence"] == "MIT"


@pytest.mark.parametrize("timing", ["fast", "events"])
@pytest.mark.parametrize(
    ("dataflow", "m", "n", "k", "cycles"),
    [
        # os: folds over M and N, each 16 + 8 + K - 2. 40 x 20 x 7: 3 x 3 folds of 29.
        ("os", 40, 20, 7, 261),
        # ws: folds over K and N, each 2 x 16 + 8 + M - 2. 3 x 9 x 33: 3 x 2 folds of 41.
        ("ws", 3, 9, 33, 246),
        # is: folds over K and M, each 2 x 16 + 8 + N - 2. 9 x 5 x 16: 1 x 2 folds of 43.
        ("is", 9, 5, 16, 86),
    ],
)
def test_cycles_by_hand(dataflow: str, m: int, n: int, k: int, cycles: int, timing: str) -> None:
    array = ("array.rows=16", "array.cols=8", f"dataflow={dataflow}")
    assert run(matmul(m, n, k), "systolic_plain", overrides=array, timing=timing).cycles == cycles


@pytest.mark.parametrize(
    ("m", "n", "k", "cycles"),
    [
        (16, 16, 1, 36),
        (33, 17, 10, 6 * 45),
        (1, 1, 100, 135),
        (160, 48, 64, 30 * 99),
        (7, 250, 1000, 16 * 1035),
    ],
)
def test_array_whose_tile_costs_35_cycles_more_than_its_depth(m: int, n: int, k: int, cycles: int) -> None:
    """Each tile pays K steps, the skew of 16 + 16 - 2 and a serial drain of 5."""
    options = ("array.rows=16", "array.cols=16", "dataflow=os", "array.drain=serial", "array.drain_cycles=5")
    assert run(matmul(m, n, k), "systolic_plain", overrides=options).cycles == cycles
