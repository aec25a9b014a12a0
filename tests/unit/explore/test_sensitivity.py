"""Effects of axes, by hand and against the variance that a formula puts there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwsim.explore.axes import Axis
from hwsim.explore.sensitivity import sensitivity


def axis(name: str, count: int) -> Axis:
    return Axis(name, "field", tuple(f"{name}{i}" for i in range(count)), None)


def grid(*sizes: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.stack(np.unravel_index(np.arange(int(np.prod(sizes))), sizes), axis=1)


def test_a_whole_grid_by_hand() -> None:
    """y = 0, 1, 4, 5: means 0.5 and 4.5 of the first axis, 2 and 3 of the second. Of the sum of squares 17,
    16 lies between those of the first and 1 between those of the second."""
    effects = sensitivity(
        [axis("b", 2), axis("a", 2)], grid(2, 2)[:, ::-1], np.array([1.0, 2, 5, 6]), points=4
    )
    assert [(e.axis, e.least_at, e.least, e.most_at, e.most) for e in effects] == [
        ("a", "a0", 1.5, "a1", 5.5),
        ("b", "b0", 3.0, "b1", 4.0),
    ]
    assert [e.share for e in effects] == pytest.approx([16 / 17, 1 / 17])


def test_what_spans_decades_is_compared_by_logarithms() -> None:
    """Products of powers of ten: exponents 0, 2 and 0, 1 add up; means are geometric."""
    effects = sensitivity([axis("a", 2), axis("b", 2)], grid(2, 2), np.array([1.0, 10, 100, 1000]), points=4)
    assert [e.share for e in effects] == pytest.approx([0.8, 0.2])
    assert effects[0].least == pytest.approx(10**0.5)
    assert effects[0].most == pytest.approx(10**2.5)
    negative = sensitivity(
        [axis("a", 2), axis("b", 2)], grid(2, 2), -np.array([1.0, 10, 100, 1000]), points=4
    )
    assert (negative[0].least_at, negative[0].least) == ("a1", pytest.approx(-(10**2.5)))


def test_chance_is_taken_off_samples() -> None:
    """Of 60 points drawn from noise, groups of three differ by chance alone: on average that is nothing."""
    random = np.random.default_rng(4)
    shares, raw = [], []
    for _ in range(40):
        rows = random.integers(20, size=(60, 1))
        noise = random.normal(size=60)
        shares.append(sensitivity([axis("a", 20)], rows, noise, points=10**6)[0].share or 0.0)
        raw.append(sensitivity([axis("a", 20)], rows, noise, points=60)[0].share or 0.0)
    assert np.mean(raw) > 0.25
    assert np.mean(shares) < 0.08


def test_a_sample_is_near_to_the_whole() -> None:
    rows = grid(12, 10, 8)
    values = 3.0 * rows[:, 0] + rows[:, 1] ** 2 / 4 + np.sin(rows.sum(axis=1))
    axes = [axis("a", 12), axis("b", 10), axis("c", 8)]
    whole = {e.axis: e.share for e in sensitivity(axes, rows, values, points=len(rows))}
    some = np.random.default_rng(1).permutation(len(rows))[:240]
    sample = {e.axis: e.share for e in sensitivity(axes, rows[some], values[some], points=len(rows))}
    assert sample == pytest.approx(whole, abs=0.06)
    assert max(whole, key=lambda name: whole[name] or 0) == "a"


def test_an_axis_counts_where_it_is_active() -> None:
    """The second axis counts with a0 alone: else its index is -1, which is no value. Of the sum of squares,
    41, 27 lies between those of the first (means 3 and 9), and 14 between those of the second."""
    rows, axes = np.array([[0, 0], [0, 1], [0, 2], [1, -1]]), [axis("a", 2), axis("b", 3)]
    effects = {e.axis: e for e in sensitivity(axes, rows, np.array([1.0, 2, 6, 9]), points=4)}
    assert effects["a"].share == pytest.approx(27 / 41)
    assert effects["b"].share == pytest.approx(14 / 41)
    assert (effects["b"].least_at, effects["b"].most_at, effects["b"].most) == ("b0", "b2", 6)


def test_what_cannot_be_told() -> None:
    rows = grid(3)
    assert sensitivity([axis("a", 3)], rows, np.array([np.nan, np.inf, np.nan])) == ()
    assert sensitivity([axis("a", 3)], rows[:1], np.array([2.0])) == (), "one value only"
    alone = sensitivity([axis("a", 3)], rows, np.array([1.0, 2.0, 3.0]), points=100)
    assert alone[0].share is None, "each value came once: chance or not?"
    level = sensitivity([axis("a", 3)], np.repeat(rows, 2, axis=0), np.full(6, 0.1), points=6)
    assert level[0].share == 0
