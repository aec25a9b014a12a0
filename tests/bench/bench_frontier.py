"""How fast the best of a million points are found, and what a search spends on choosing its points."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.explore.frontier import non_dominated
from hwsim.explore.methods import make_method
from hwsim.explore.space_file import Nsga2Spec
from tests.spaces import ARRAY, array_figures, space_of


@pytest.mark.parametrize("objectives", [2, 3])
def test_frontier_of_a_million_random_points(benchmark: BenchmarkFixture, objectives: int) -> None:
    points = np.random.default_rng(0).random((10**6, objectives))
    non_dominated(points[:100])  # compiled
    keep = benchmark.pedantic(non_dominated, args=(points,), rounds=3)
    benchmark.extra_info["on the frontier"] = int(keep.sum())


def test_thousand_evaluations_of_nsga2(benchmark: BenchmarkFixture) -> None:
    """What it takes to choose them; the figures are formulas and cost next to nothing."""
    space = space_of(ARRAY, method=Nsga2Spec(kind="nsga2", evaluations=1000))

    def search() -> int:
        method, count = make_method(space), 0
        while len(rows := method.ask(64)):
            method.tell(rows, array_figures(rows), np.zeros(len(rows)))
            count += len(rows)
        return count

    assert benchmark.pedantic(search, rounds=3) == 1000
