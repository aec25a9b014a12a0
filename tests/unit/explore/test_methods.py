"""Methods: what they ask for, never twice, within sizes and constraints, the same for a seed everywhere."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import SpecError
from hwsim.explore.methods import MAX_SPREAD, Method, make_method
from hwsim.explore.sampling import shuffled
from hwsim.explore.space import Space
from hwsim.explore.space_file import GridSpec, MethodSpec, Nsga2Spec, SampleSpec
from tests.processes import printed
from tests.spaces import ARRAY, space_of

Rows = np.ndarray[Any, np.dtype[np.int64]]
KINDS = ("random", "lhs", "sobol", "nsga2")
PARTLY: dict[str, Any] = {
    "rows": [8, 16, 32, 64],
    "cols": [8, 16, 32, 64],
    "flow": ["ws", "os"],
    "depth": {"values": [1, 2, 4], "when": "flow == ws"},
}


def method_of(kind: str, points: int) -> MethodSpec:
    if kind == "grid":
        return GridSpec(kind="grid")
    if kind == "nsga2":
        return Nsga2Spec(kind="nsga2", evaluations=points, population=8)
    return SampleSpec(kind=kind, points=points)


def figures_of(rows: Rows, space: Space) -> np.ndarray:
    """Three made-up objectives of a row."""
    spread = rows / np.maximum(np.array(space.sizes) - 1, 1)
    return np.stack([spread.sum(1), ((1 - spread) ** 2).sum(1), np.abs(spread - 0.4).sum(1)], axis=1)


def asked(method: Method, space: Space, count: int = 7) -> Rows:
    """All that a method asks for, `count` at a time."""
    parts = []
    while len(rows := method.ask(count)):
        assert len(rows) <= count
        parts.append(rows)
        method.tell(rows, figures_of(rows, space), np.zeros(len(rows)))
    return np.concatenate([np.zeros((0, len(space.axes)), dtype=np.int64), *parts])


def points_of_partly() -> list[tuple[int, ...]]:
    """The points of PARTLY under rows >= cols, by hand: `depth` counts with ws alone."""
    whole = itertools.product(range(4), range(4), range(2), range(3))
    return [p for p in whole if p[0] >= p[1] and (p[2] == 0 or p[3] == 0)]


def test_a_grid_is_every_point_once_in_order() -> None:
    space = space_of(PARTLY, constraints=["rows >= cols"])
    method = make_method(space)
    assert [tuple(row) for row in asked(method, space).tolist()] == points_of_partly()
    assert method.most == 40
    assert method.sentence == "Every one of the 40 points."
    assert not len(method.ask(5))


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_different_points_that_exist(kind: str) -> None:
    space = space_of(PARTLY, constraints=["rows >= cols"], method=method_of(kind, 39))
    rows = [tuple(row) for row in asked(make_method(space), space).tolist()]
    assert len(rows) == len(set(rows)) == 39
    assert set(rows) < set(points_of_partly())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("points", [40, 10**6])
def test_every_point_is_tried_where_that_takes_no_more(kind: str, points: int) -> None:
    space = space_of(PARTLY, constraints=["rows >= cols"], method=method_of(kind, points))
    method = make_method(space)
    assert [tuple(row) for row in asked(method, space).tolist()] == points_of_partly()
    assert method.sentence == f"Every one of the 40 points, since {kind} may try as many as {points:,}."


@given(
    st.sampled_from(KINDS), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(2, 60),
    st.integers(0, 2**40), st.integers(1, 50),
)  # fmt: skip
@settings(deadline=None, max_examples=80)
def test_no_point_comes_twice(kind: str, sizes: list[int], points: int, seed: int, count: int) -> None:
    axes = {f"a{i}": list(range(1, size + 1)) for i, size in enumerate(sizes)}
    space = space_of(axes, method=method_of(kind, points), seed=seed)
    rows = asked(make_method(space), space, count)
    assert len(np.unique(rows, axis=0)) == len(rows) == min(points, space.total)
    assert (rows >= 0).all()
    assert (rows < np.array(space.sizes)).all()
    again = asked(make_method(space), space, 1000)
    np.testing.assert_array_equal(rows, again, "how many are asked for at once must not matter")


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_asks_for_other_points(kind: str) -> None:
    first, second = (space_of(ARRAY, method=method_of(kind, 20), seed=seed) for seed in (1, 2))
    assert not np.array_equal(asked(make_method(first), first), asked(make_method(second), second))


PRINT = """
import sys
from tests.spaces import ARRAY, array_figures, space_of
from tests.unit.explore.test_methods import KINDS, asked, make_method, method_of
for kind in KINDS:
    space = space_of(ARRAY, method=method_of(kind, 60), seed=7)
    print(kind, asked(make_method(space), space).tolist())
"""


def test_the_seed_decides_in_every_process() -> None:
    first, second = (printed(PRINT, hash_seed=seed) for seed in (1, 2))
    assert first.startswith(b"random [[")
    assert first == second


def test_each_point_is_as_likely_as_any_other_to_be_drawn_first() -> None:
    firsts = Counter(
        int(next(shuffled(space, seed))[0, 0])
        for space in [space_of({"a": range(1, 11)})]
        for seed in range(2000)
    )
    # Chi-squared with 9 degrees of freedom: above 27.9 once in a thousand times.
    assert sum((firsts[i] - 200) ** 2 / 200 for i in range(10)) < 27.9


def test_drawing_takes_no_room() -> None:
    axes = {f"a{i}": range(1, 1001) for i in range(5)}  # 10^15 points
    space = space_of(axes, method=SampleSpec(kind="random", points=1000), constraints=["a0 > a1"])
    rows = asked(make_method(space), space, 400)
    assert len(np.unique(rows, axis=0)) == 1000
    assert (rows[:, 0] > rows[:, 1]).all()
    assert abs(rows[:, 4].mean() - 499.5) < 50  # five standard errors


def test_a_latin_hypercube_takes_every_value_equally_often() -> None:
    axes = {"a": range(1, 9), "b": range(1, 65), "c": range(1, 65), "d": range(1, 65)}
    space = space_of(axes, method=SampleSpec(kind="lhs", points=64))
    rows = asked(make_method(space), space)
    assert set(Counter(rows[:, 0].tolist()).values()) == {8}
    assert set(Counter(rows[:, 1].tolist()).values()) == {1}


def test_a_sobol_sequence_fills_the_plane() -> None:
    axes = {name: range(1, 65) for name in "abcd"}
    space = space_of(axes, method=SampleSpec(kind="sobol", points=64))
    rows = asked(make_method(space), space)
    # A scrambled sequence of 2^6 points has 8 in each eighth of an axis and 1 in each 8 x 8 cell of two axes.
    assert set(Counter((rows[:, 2] // 8).tolist()).values()) == {8}
    assert len(set(zip((rows[:, 0] // 8).tolist(), (rows[:, 1] // 8).tolist(), strict=True))) == 64


# -- what cannot be ------------------------------------------------------------------------------------------


def test_constraints_that_leave_no_point_say_what_each_excludes() -> None:
    space = space_of(PARTLY, constraints=["rows > 100", "cols <= 16"])
    with pytest.raises(
        SpecError, match=r"no point left: of 96, `rows > 100` excludes 96, `cols <= 16` excludes 48"
    ):
        make_method(space)


def test_a_grid_too_large_to_try_is_refused() -> None:
    space = space_of({f"a{i}": range(1, 1001) for i in range(3)})
    with pytest.raises(SpecError, match=r"1,000,000,000 points is too large.*nsga2"):
        make_method(space)


@pytest.mark.parametrize("kind", ["lhs", "sobol"])
def test_too_many_points_of_a_spread_are_refused(kind: str) -> None:
    space = space_of(
        {f"a{i}": range(1, 1001) for i in range(3)}, method=SampleSpec(kind=kind, points=MAX_SPREAD + 1)
    )
    with pytest.raises(SpecError, match=f"{kind} takes at most 1,000,000 points; .*random"):
        make_method(space)


def test_constraints_that_leave_none_of_very_many_points_are_told() -> None:
    axes = {f"a{i}": range(1, 1001) for i in range(4)}
    space = space_of(axes, constraints=["a0 * a1 > 2000000"], method=SampleSpec(kind="random", points=10))
    with pytest.raises(SpecError, match=r"draws.*excluded by `a0 \* a1 > 2000000`"):
        make_method(space).ask(1)
