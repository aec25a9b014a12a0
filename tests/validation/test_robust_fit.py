"""Robust fits: known constants come back, outliers do not pull, folds are held out."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.arrays import Float64Array, Int64Array
from hwsim.validate.robust_fit import cross_validate, errors_of, fit, halves

WORK = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 3.0, 6.0, 12.0, 24.0, 48.0])
EVERYTHING = np.arange(len(WORK))


def line(constants: Float64Array, rows: Int64Array) -> Float64Array | None:
    """A launch and a rate."""
    predicted: Float64Array = constants[0] + WORK[rows] / constants[1]
    return predicted


def test_known_constants_come_back() -> None:
    measured = 5.0 + WORK / 0.5
    assert fit(line, (1.0, 1.0), measured, EVERYTHING) == pytest.approx([5.0, 0.5], rel=1e-2)


def test_rows_that_nothing_explains_do_not_pull() -> None:
    measured = 5.0 + WORK / 0.5
    measured[[3, 7]] *= 50
    found = fit(line, (1.0, 1.0), measured, EVERYTHING)
    assert found == pytest.approx([5.0, 0.5], rel=2e-2)
    # Least squares would be far away: the outliers carry all of its loss.
    design = np.stack([np.ones_like(WORK), WORK], axis=1)
    squares = np.linalg.lstsq(design, measured, rcond=None)[0]
    assert abs(squares[0] - 5.0) > 50


def test_constants_stay_in_bounds() -> None:
    def bounded(constants: Float64Array, rows: Int64Array) -> Float64Array | None:
        return None if constants[1] > 1 else line(constants, rows)

    measured = 5.0 + WORK / 3.0  # a rate of 3 would fit
    found = fit(bounded, (5.0, 0.9), measured, EVERYTHING)
    assert found[1] == pytest.approx(1.0, rel=2e-2)
    assert found[1] <= 1


def test_a_constant_that_no_row_depends_on_stays() -> None:
    def with_idle(constants: Float64Array, rows: Int64Array) -> Float64Array | None:
        return line(constants[:2], rows)

    measured = 5.0 + WORK / 0.5
    found = fit(with_idle, (1.0, 1.0, 0.7), measured, EVERYTHING, pull=1e-3)
    assert found[2] == pytest.approx(0.7, rel=0.05)
    assert found[:2] == pytest.approx([5.0, 0.5], rel=2e-2)


def test_folds_are_predicted_with_constants_of_the_others() -> None:
    measured = 5.0 + WORK / 0.5
    measured[4] *= 3  # one odd row: it is in the fold that is fitted without it
    folds = cross_validate(line, (1.0, 1.0), measured, 4, seed=1)
    assert sorted(np.concatenate([fold.rows for fold in folds]).tolist()) == EVERYTHING.tolist()
    odd = next(fold for fold in folds if 4 in fold.rows)
    place = odd.rows.tolist().index(4)
    assert odd.predicted[place] == pytest.approx(5 + 16 / 0.5, rel=3e-2)
    assert odd.constants == pytest.approx([5.0, 0.5], rel=3e-2)


def test_errors_by_hand() -> None:
    found = errors_of(np.array([110.0, 80.0, 100.0]), np.array([100.0, 100.0, 100.0]))
    assert (found.rows, found.mdape_pct, found.mape_pct) == (3, pytest.approx(10), pytest.approx(10))
    assert found.p90_pct == pytest.approx(18)


def test_halves_part_the_rows() -> None:
    first, second = halves(7, seed=3)
    assert (len(first), len(second)) == (3, 4)
    assert sorted([*first, *second]) == list(range(7))
    assert halves(7, seed=3)[0].tolist() == first.tolist()
