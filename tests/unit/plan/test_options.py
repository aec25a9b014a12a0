"""Mappings are chosen exactly: by brute force over whole numbers, at rates and sizes of any kind."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.plan import Options, Pipeline, Plan, Resource, Stage
from hwsim.plan.options import pick, pick_all
from hwsim.plan.pipeline import row_durations_ps

RATES = st.one_of(
    st.none(), st.fractions(min_value=Fraction(1, 10**6), max_value=10**13, max_denominator=10**6)
)
AMOUNTS = st.one_of(st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 2**60))


@st.composite
def choices(draw: st.DrawFn) -> tuple[Pipeline, list[list[list[int]]]]:
    """A machine, and of each choice its mappings, each an amount of every resource."""
    rates = draw(st.lists(RATES, min_size=1, max_size=4))
    mapping = st.lists(AMOUNTS, min_size=len(rates), max_size=len(rates))
    made = draw(st.lists(st.lists(mapping, min_size=1, max_size=5), max_size=4))
    return Pipeline((), tuple(Resource(f"r{i}", rate) for i, rate in enumerate(rates))), made


def exact_ps(amount: int, rate: Fraction | None) -> int:
    return 0 if rate is None else -int(-(amount * 10**12 / rate) // 1)


@given(choices())
@settings(deadline=None, max_examples=300)
def test_the_least_floor_is_picked(drawn: tuple[Pipeline, list[list[list[int]]]]) -> None:
    pipeline, made = drawn
    expected = []
    for mappings in made:
        times = [
            [exact_ps(a, r.rate) for a, r in zip(row, pipeline.resources, strict=True)] for row in mappings
        ]
        expected.append(min(range(len(times)), key=lambda i: (max(times[i]), sum(times[i]))))
    rows = [row for mappings in made for row in mappings]
    amounts = np.array(rows, dtype=np.int64).reshape(len(rows), len(pipeline.resources))
    begins = np.cumsum([0, *map(len, made)])
    assert pick_all(amounts, begins, pipeline).tolist() == expected
    assert [pick(np.array(mappings), pipeline) for mappings in made] == expected


@given(
    st.lists(
        st.tuples(RATES, st.lists(st.integers(0, 2**40), min_size=3, max_size=3)), min_size=1, max_size=5
    )
)
@settings(deadline=None, max_examples=200)
def test_durations_are_rounded_up_once(rows: list[tuple[Fraction | None, list[int]]]) -> None:
    resources = [Resource(f"r{i}", rate) for i, (rate, _) in enumerate(rows)]
    expected = [[exact_ps(a, rate) for a in amounts] for rate, amounts in rows]
    if max(map(max, expected)) >= 2**63:
        with pytest.raises(OverflowError):
            row_durations_ps(resources, np.array([amounts for _, amounts in rows]))
    else:
        found = row_durations_ps(resources, np.array([amounts for _, amounts in rows]))
        assert found.tolist() == expected


def test_a_plan_comes_at_the_rates_of_who_asks() -> None:
    def machine(rate: int) -> Pipeline:
        return Pipeline(
            (Stage("move", "port", "bytes"),), (Resource("port", Fraction(rate)), Resource("b", None))
        )

    none = np.zeros((0, 1), dtype=np.bool_)
    slow, fast = machine(10), machine(1000)
    plans = [Plan(slow, np.zeros(1, np.int32), np.array([[size]]), none, none) for size in (7, 5)]
    options = Options.among(plans, [[7, 0], [5, 0]])
    assert options.at(slow) is plans[1]
    assert options.at(fast).busy_ps.tolist() == [5 * 10**9]
    assert plans[1].busy_ps.tolist() == [5 * 10**11]
