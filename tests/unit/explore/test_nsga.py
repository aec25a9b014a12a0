"""NSGA-II on grids: what it finds beside every point, and how it takes failures, constraints, odd tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.explore.frontier import hypervolume, non_dominated
from hwsim.explore.methods import Method, make_method
from hwsim.explore.space import Space
from hwsim.explore.space_file import Nsga2Spec
from tests.spaces import ARRAY, Values, array_figures, space_of

Rows = np.ndarray[Any, np.dtype[np.int64]]


def search(evaluations: int, *, seed: int = 0, population: int = 40, **settings: Any) -> tuple[Space, Method]:
    method = Nsga2Spec(kind="nsga2", evaluations=evaluations, population=population)
    space = space_of(ARRAY, method=method, seed=seed, **settings)
    return space, make_method(space)


def found(method: Method) -> Values:
    """The figures of all that a search tries."""
    parts = []
    while len(rows := method.ask(64)):
        parts.append(array_figures(rows))
        method.tell(rows, parts[-1], np.zeros(len(rows)))
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def exhaustive() -> Values:
    space = space_of(ARRAY)
    return array_figures(space.grid(0, space.total))


def test_a_fiftieth_of_the_points_finds_95_percent_of_the_hypervolume(exhaustive: Values) -> None:
    """51,840 points, 1,000 evaluations, median of five seeds: below the worst figures of all points, and,
    harder, of logarithms below the worst of the frontier."""
    best = exhaustive[non_dominated(exhaustive)]
    worst, edge = exhaustive.max(axis=0), np.log(best.max(axis=0))
    plain, logs = hypervolume(best, worst), hypervolume(np.log(best), edge)
    shares = []
    for seed in range(5):
        tried = found(search(1000, seed=seed)[1])
        assert len(tried) == 1000
        shares.append([hypervolume(tried, worst) / plain, hypervolume(np.log(tried), edge) / logs])
    assert np.median(shares, axis=0).min() >= 0.95, shares


def test_it_learns(exhaustive: Values) -> None:
    """Its later half is nearer to the frontier than its first generation: fewer of all points dominate it."""
    tried = found(search(400)[1])

    def dominating(points: Values) -> float:
        return float(np.median([(exhaustive <= point).all(axis=1).sum() for point in points]))

    assert dominating(tried[200:]) < dominating(tried[:40]) / 10


def test_what_is_told_in_another_order_changes_nothing() -> None:
    _, method = search(120)
    _, other = search(120)
    for _ in range(3):
        rows, same = method.ask(100), np.concatenate([other.ask(13) for _ in range(4)])
        np.testing.assert_array_equal(rows, same)
        assert len(rows) == 40
        assert not len(method.ask(1)), "it waits to be told"
        figures = array_figures(rows)
        method.tell(rows, figures, np.zeros(40))
        for part in (slice(20, 40), slice(0, 20)):
            other.tell(rows[part][::-1], figures[part][::-1], np.zeros(20))
    assert not len(method.ask(1))
    assert not len(other.ask(1))


def test_the_last_generation_is_cut_to_what_is_left() -> None:
    assert len(found(search(97)[1])) == 97
    assert len(found(search(3, population=4)[1])) == 3


def test_constraints_are_met_though_few_points_meet_them() -> None:
    """Area and time limits that one point in about a thousand meets."""
    space, method = search(600, seed=3)
    feasible = 0
    every = array_figures(space.grid(0, space.total))
    limits = np.array([np.quantile(every[:, 0], 0.1), np.inf, np.quantile(every[:, 2], 0.4)])
    share = (every <= limits).all(axis=1).mean()
    assert 0 < share < 0.003
    while len(rows := method.ask(40)):
        figures = array_figures(rows)
        excess = np.maximum(figures / limits - 1, 0).sum(axis=1)
        method.tell(rows, figures, excess)
        feasible += int((excess == 0).sum())
    assert feasible > 30 * share * 600


def test_points_without_figures_are_avoided() -> None:
    """All of the `os` half fails: told as infinitely far from meeting the constraints, or as not a number."""
    _, method = search(400)
    failed = []
    while len(rows := method.ask(40)):
        figures = array_figures(rows)
        bad = rows[:, 5] == 1
        figures[bad] = np.nan
        method.tell(rows, figures, np.where(bad & (rows[:, 0] > 3), np.inf, 0.0))
        failed.append(bad.mean())
    assert failed[0] > 0.3
    assert np.mean(failed[-3:]) < 0.15


@pytest.mark.parametrize("figure", [np.inf, -np.inf, 0.0, -1e300])
def test_odd_figures_do_no_harm(figure: float) -> None:
    _, method = search(200)
    total = 0
    while len(rows := method.ask(40)):
        figures = array_figures(rows)
        figures[::3, 0] = figure
        method.tell(rows, figures, np.zeros(len(rows)))
        total += len(rows)
    assert total == 200


def test_points_that_all_fail_end_in_nothing_but_the_budget() -> None:
    _, method = search(120)
    total = 0
    while len(rows := method.ask(40)):
        method.tell(rows, np.full((len(rows), 3), np.nan), np.full(len(rows), np.inf))
        total += len(rows)
    assert total == 120


@pytest.mark.parametrize(
    "objectives", [("latency_s",), ("latency_s", "energy_j", "area_mm2", "average_power_w")]
)
def test_any_number_of_objectives(objectives: tuple[str, ...]) -> None:
    _, method = search(120, objectives=objectives)
    while len(rows := method.ask(40)):
        figures = array_figures(rows)
        more = np.column_stack([figures, figures[:, 1] / figures[:, 0]])[:, : len(objectives)]
        method.tell(rows, more, np.zeros(len(rows)))
    if len(objectives) == 1:
        assert more[:, 0].min() < 1e-3


def test_what_was_not_asked_for_is_refused() -> None:
    _, method = search(100)
    rows = method.ask(2)
    other = np.array([[8, 8, 7, 7, 4, 1]])
    with pytest.raises(SpecError, match="not asked for"):
        method.tell(other, array_figures(other), np.zeros(1))
    method.tell(rows, array_figures(rows), np.zeros(2))
    with pytest.raises(SpecError, match="told before"):
        method.tell(rows, array_figures(rows), np.zeros(2))


def test_a_slow_network_is_not_dominated_by_a_quick_one() -> None:
    method = Nsga2Spec(kind="nsga2", evaluations=600, population=60)
    space = space_of(ARRAY, method=method, workloads=["quick", "slow", "slower"])
    chosen, tried = make_method(space), []
    while len(rows := chosen.ask(60)):
        figures = array_figures(rows[:, 1:])
        figures[:, :2] *= 100.0 ** rows[:, :1]
        chosen.tell(rows, figures, np.zeros(len(rows)))
        tried.append(rows[:, 0])
    shares = np.bincount(np.concatenate(tried[-3:]), minlength=3) / 180
    assert shares.min() > 0.15, shares
