"""Frontiers against brute force, hypervolumes and knees by hand."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import SpecError
from hwsim.explore import frontier
from hwsim.explore.frontier import hypervolume, knee, non_dominated


def brute(points: np.ndarray) -> np.ndarray:
    found = []
    for point in points:
        worse = (points <= point).all(axis=1) & (points < point).any(axis=1)
        found.append(not worse.any())
    return np.array(found, dtype=bool)


@given(st.integers(1, 5), st.integers(0, 150), st.integers(1, 6), st.integers(0, 2**31))
@settings(deadline=None, max_examples=300)
def test_it_is_what_brute_force_finds(objectives: int, count: int, levels: int, seed: int) -> None:
    points = np.random.default_rng(seed).integers(levels, size=(count, objectives)).astype(float)
    for most in (0, count):  # by compiled code, and by all pairs
        with patch.object(frontier, "_BY_PAIRS", most):
            np.testing.assert_array_equal(non_dominated(points), brute(points) if count else np.ones(0, bool))


@given(st.integers(2, 5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_points_of_one_plane_are_all_kept(objectives: int, seed: int) -> None:
    points = np.random.default_rng(seed).dirichlet(np.ones(objectives), size=200)
    with patch.object(frontier, "_BY_PAIRS", 0):
        assert non_dominated(np.round(points, 12)).sum() >= 190  # rounding may make a few comparable


def test_infinite_objectives_are_dominated() -> None:
    points = np.array([[1.0, np.inf, 2.0], [1.0, 5.0, 2.0], [np.inf, np.inf, np.inf]])
    for most in (0, 3):
        with patch.object(frontier, "_BY_PAIRS", most):
            assert non_dominated(points).tolist() == [False, True, False]


@pytest.mark.parametrize("points", [np.array([[1.0, np.nan]]), np.ones(3)])
def test_what_is_no_point_is_refused(points: np.ndarray) -> None:
    with pytest.raises(SpecError, match=r"not a number|dimensions"):
        non_dominated(points)


def test_hypervolume_by_hand() -> None:
    points = np.array([[1.0, 3.0], [2.0, 2.0], [2.5, 2.5], [9.0, 0.0]])
    # Below (4, 4): 3 x 1 of the first, and 2 x 1 more of the second; the last lies outside.
    assert hypervolume(points, np.array([4.0, 4.0])) == pytest.approx(5.0)
    assert hypervolume(points, np.array([0.5, 0.5])) == 0.0


def test_the_knee_is_where_both_are_good() -> None:
    points = np.array([[0.0, 10.0], [1.0, 2.0], [6.0, 1.0], [10.0, 0.0]])
    assert knee(points) == 1
    assert knee(np.array([[1.0, 1000.0], [10.0, 10.0], [1000.0, 1.0]])) == 1
    assert knee(np.array([[3.0, 4.0]])) == 0
    with pytest.raises(SpecError, match="none"):
        knee(np.zeros((0, 2)))
