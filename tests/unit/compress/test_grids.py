"""Grids: which one covers a range, and how weights are laid on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.compress.calibrate import Ranges
from hwsim.compress.grids import Grid, WeightPlan
from hwsim.compress.layers import select
from hwsim.errors import SpecError
from tests.weighted import linear_layers

ENDS = st.floats(-1e6, 1e6, allow_nan=False)


def test_symmetric_grids_reach_the_larger_end() -> None:
    assert Grid("int8").over(-1.0, 3.0) == (3.0 / 127, 0)
    assert Grid("int8").over(-6.35, 3.0) == (pytest.approx(0.05), 0)
    assert Grid("int4").over(0.0, 7.0) == (1.0, 0)
    assert (Grid("int8").low, Grid("int8").high) == (-127, 127)


def test_asymmetric_grids_reach_from_end_to_end_and_hold_zero() -> None:
    assert Grid("int8", symmetric=False).over(-1.0, 3.0) == (4.0 / 255, -64)  # -128 + 255 / 4
    assert Grid("int8", symmetric=False).over(0.0, 2.55) == (pytest.approx(0.01), -128)
    assert Grid("int8", symmetric=False).over(1.0, 2.55) == (pytest.approx(0.01), -128)  # zero belongs to it
    assert Grid("int4", symmetric=False).over(-15.0, -1.0) == (1.0, 7)


def test_fixed_point_takes_the_least_power_of_two() -> None:
    grid = Grid("int8", power_of_two=True)
    assert grid.over(-1.0, 0.9) == (2.0**-7, 0)  # -128 / 128 is -1
    assert grid.over(-0.9, 1.0) == (2.0**-6, 0)  # 127 / 128 falls short of 1
    assert grid.over(-200.0, 3.0) == (2.0, 0)
    assert Grid("int16", power_of_two=True).over(0.0, 3.0) == (2.0**-13, 0)


@given(first=ENDS, second=ENDS, dtype=st.sampled_from(["int4", "int8", "int16"]), symmetric=st.booleans())
def test_a_grid_holds_zero_and_both_ends(first: float, second: float, dtype: str, symmetric: bool) -> None:
    low, high = sorted((first, second))
    for grid in (Grid(dtype, symmetric), Grid(dtype, power_of_two=True)):
        scale, zero = grid.over(low, high)
        assert grid.low <= zero <= grid.high
        for end in (min(low, 0.0), max(high, 0.0)):
            stored = min(max(round(end / scale) + zero, grid.low), grid.high)
            # An end may move by half a step for the zero point, and by half a step for its own rounding.
            assert abs((stored - zero) * scale - end) <= scale * 1.000001


def test_other_formats_have_no_grid() -> None:
    for dtype in ("fp16", "int32", "uint8", "ternary"):
        with pytest.raises(SpecError, match=f"{dtype} has no grid to choose"):
            Grid(dtype)


def test_a_least_scale_is_kept() -> None:
    assert Grid("int8").over(-1.0, 1.0, least_scale=0.5) == (0.5, 0)
    assert Grid("int8", power_of_two=True).over(-1.0, 1.0, least_scale=0.3) == (0.5, 0)


# -- weights ---------------------------------------------------------------------------------------------

FIRST = [[1.0, -0.5], [10.0, 5.0], [0.0, 0.0]]


def _plan(**changes: object) -> WeightPlan:
    chosen = {"grid": Grid("int8"), "per": "channel", "ranges": Ranges(), "rounding": "nearest", "seed": 0}
    return WeightPlan(**{**chosen, **changes})  # type: ignore[arg-type]


def test_channels_have_their_own_scales() -> None:
    net = linear_layers(FIRST)
    laid = _plan().lay(net, select(net)[0])
    assert laid.dtype == "int8"
    assert laid.quantisation is not None
    assert laid.quantisation.axis == 0
    assert laid.quantisation.scales[:2] == (1.0 / 127, 10.0 / 127)
    assert laid.quantisation.scales[2] > 0  # a channel of zeros has a grid too
    whole = _plan(per="tensor").lay(net, select(net)[0]).quantisation
    assert whole is not None
    assert (whole.scales, whole.axis) == ((10.0 / 127,), None)


def test_stochastic_rounding_keeps_the_mean_and_takes_neighbours() -> None:
    step = 1.0 / 127
    values = np.full((4, 10_000), 10.3 * step, dtype=np.float32)
    values[:, 0] = 1.0
    net = linear_layers(values)
    laid = _plan(rounding="stochastic").lay(net, select(net)[0])
    assert laid.values is not None
    stored = laid.values() / step
    assert np.allclose(stored, np.rint(stored), atol=1e-9)
    assert set(np.rint(stored[:, 1:]).astype(int).ravel()) == {10, 11}
    # 40,000 draws of probability 0.3: the standard error of the mean is 0.0023.
    assert stored[:, 1:].mean() == pytest.approx(10.3, abs=0.012)
    assert stored[:, 0] == pytest.approx(127)  # what lies on the grid stays
    again = _plan(rounding="stochastic").lay(net, select(net)[0])
    other = _plan(rounding="stochastic", seed=1).lay(net, select(net)[0])
    assert again.values is not None
    assert other.values is not None
    assert np.array_equal(again.values(), laid.values())
    assert not np.array_equal(other.values(), laid.values())


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(SpecError, match="per is 'row': it must be tensor or channel"):
        _plan(per="row")
    with pytest.raises(SpecError, match="rounding is 'up'"):
        _plan(rounding="up")
