"""Durations in exact picoseconds, totals of a plan, and how plans are joined."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.plan import Pipeline, Plan, Resource, SlotPool, Stage, Wait, join_plans

PIPELINE = Pipeline(
    stages=(
        Stage("fetch", "port", "bytes", charges=(("memory", "read"), ("fifo", "write"))),
        Stage("compute", "array", "cycles", after=("fetch",)),
    ),
    resources=(Resource("port", Fraction(3)), Resource("array", Fraction(700_000_000))),
    pools=(SlotPool("fifo", "fetch", "compute", 2),),
    waits=(Wait("raw", "compute", "compute"),),
)


def a_plan(tiles: list[int], demands: list[list[int]]) -> Plan:
    kinds = len(demands[0])
    taken = np.ones((1, kinds), dtype=np.bool_)
    return Plan(PIPELINE, np.array(tiles, dtype=np.int32), np.array(demands), taken, taken.copy())


@pytest.mark.parametrize(
    ("rate", "amount", "duration_ps"),
    [
        (Fraction(700_000_000), 1, 1429),  # 1,428.57 rounded up
        (Fraction(700_000_000), 7, 10_000),  # exact: seven cycles are 10 ns
        (Fraction(34_000_000_000), 65_536, 1_927_530),  # 64 KiB at 34 GB/s is 1,927,529.41
        (Fraction(10**12), 5, 5),
        (Fraction(10**13), 1, 1),  # a tenth of a picosecond
        (Fraction(3), 10**13, 3_333_333_333_333_333_333_333_334),  # no int64 on the way
        (Fraction(1, 3), 2, 6 * 10**12),
        (Fraction(3), 0, 0),
        (None, 10**9, 0),
    ],
)
def test_durations_round_up_exactly(rate: Fraction | None, amount: int, duration_ps: int) -> None:
    assert Resource("r", rate).duration_ps(amount) == duration_ps


@given(st.integers(1, 10**15), st.fractions(Fraction(1, 1000), 10**13, max_denominator=10**6))
def test_a_duration_is_the_least_that_serves(amount: int, rate: Fraction) -> None:
    duration = Resource("r", rate).duration_ps(amount)
    assert duration * rate >= amount * 10**12 > (duration - 1) * rate


def test_totals_of_a_plan_by_hand() -> None:
    plan = a_plan([0, 1, 1], [[6, 1], [7, 14]])
    assert plan.tiles_of_kind.tolist() == [1, 2]
    assert plan.stage_totals.tolist() == [8, 35]
    assert plan.durations_ps.tolist() == [[2 * 10**12, 333_333_333_334], [10_000, 20_000]]
    assert plan.busy_ps.tolist() == [2 * 10**12 + 2 * 333_333_333_334, 50_000]
    assert plan.action_totals == {("memory", "read"): 8, ("fifo", "write"): 8}


def test_actions_and_charges_of_one_name_add_up() -> None:
    plan = Plan(
        PIPELINE,
        np.zeros(2, dtype=np.int32),
        np.array([[5], [1]]),
        np.ones((1, 1), np.bool_),
        np.ones((1, 1), np.bool_),
        {("memory", "read"): np.array([3]), ("array", "mac_int8"): np.array([11])},
    )
    assert plan.action_totals == {("memory", "read"): 16, ("array", "mac_int8"): 22, ("fifo", "write"): 10}


def test_joined_plans_keep_their_order_kinds_and_waits() -> None:
    first, second = a_plan([0, 1], [[1, 2], [3, 4]]), a_plan([0], [[9], [9]])
    nothing = a_plan([], [[], []])
    program = join_plans(
        PIPELINE, [first, nothing, second, first], [{}, {"raw": [0]}, {"raw": [0]}, {"raw": {2, 0}}]
    )
    assert program.first_tile.tolist() == [0, 2, 2, 3, 5]
    # Kinds 0 and 1 are those of `first`, stated once for its two uses; 2 is that of `second`.
    assert program.kind_of_tile.tolist() == [0, 1, 2, 0, 1]
    assert program.durations_ps.shape == (2, 3)
    # Operator 2 waits with its first tile for the last tile of 0, operator 3 for those of 0 and 2; an
    # operator without tiles waits for nothing.
    assert program.wait_tiles[0].tolist() == [2, 3, 3]
    assert program.wait_upon[0].tolist() == [1, 1, 2]


def test_arrays_of_a_plan_are_read_only() -> None:
    plan = a_plan([0], [[1], [1]])
    with pytest.raises(ValueError, match="read-only"):
        plan.demands[0, 0] = 2
