"""Fits of few positive constants by least mean absolute log error, and their cross-validation.

The error of a row is |ln(predicted / measured)|: twice too fast counts as much as twice too slow, and a row
that nothing explains pulls no harder than its distance. The search is Nelder and Mead's simplex (Computer
Journal 7, 1965) over the logarithms of the constants, begun anew from its own end until that gains nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Float64Array, Int64Array

# Constants, and the rows to predict (indices) -> predictions. None: the constants are out of bounds.
Predict = Callable[[Float64Array, Int64Array], Float64Array | None]

STEP = 0.4  # of the first simplex, in logarithms: a factor of 1.5
STEPS = 200  # of one simplex, for each constant
RESTARTS = 3
GAIN = 1e-4  # of the mean absolute log error, a hundredth of a percent: a search that gains less has ended


@dataclass(frozen=True, slots=True)
class Errors:
    """Of predictions, in percent of the measured value: median, mean and 90th percentile of the size."""

    rows: int
    mdape_pct: float
    mape_pct: float
    p90_pct: float


@dataclass(frozen=True, eq=False)
class Fold:
    """One part of a cross-validation: constants fitted on the other rows, and predictions of these."""

    rows: Int64Array
    constants: Float64Array
    predicted: Float64Array


def errors_of(predicted: Float64Array, measured: Float64Array) -> Errors:
    """How far predictions are from measurements."""
    sizes = np.abs(predicted / measured - 1) * 100
    return Errors(len(sizes), float(np.median(sizes)), float(sizes.mean()), float(np.percentile(sizes, 90)))


def fit(
    predict: Predict,
    start: Sequence[float],
    measured: Float64Array,
    rows: Int64Array,
    pull: float = 0.0,
    weights: Float64Array | None = None,
    step: float = STEP,
    gain: float = GAIN,
) -> Float64Array:
    """The constants, all above zero, with the least mean absolute log error on `rows`, searched from `start`.
    `weights` are of all rows; without them each counts the same. `step` is that of the first simplex, in
    logarithms; a search that gains less than `gain` has ended. Each constant that leaves its start costs
    `pull` times the distance in logarithms, so that one which no row depends on stays. Where no constants
    near `start` are in bounds, `start` itself."""
    origin = np.log(np.array(start, dtype=np.float64))

    def loss(logs: Float64Array) -> float:
        predicted = predict(np.exp(logs), rows)
        if predicted is None or not (predicted > 0).all():
            return math.inf
        errors = np.abs(np.log(predicted / measured[rows]))
        error = float(np.average(errors, weights=None if weights is None else weights[rows]))
        return error + pull * float(np.abs(logs - origin).sum())

    best = origin
    least = loss(best)
    for _ in range(RESTARTS):
        found, value = _simplex(loss, best, step, gain)
        # Constants at a bound leave the simplex no room on one side: the next begins on the other.
        step *= -0.5
        gained = least - value
        if value < least:
            best, least = found, value
        if gained < gain and step > 0:
            break
    return np.exp(best)


def cross_validate(
    predict: Predict,
    start: Sequence[float],
    measured: Float64Array,
    folds: int,
    seed: int = 0,
    pull: float = 0.0,
) -> tuple[Fold, ...]:
    """Cut the rows at random into `folds` parts, and predict each with constants fitted on the others."""
    order = np.random.default_rng(seed).permutation(len(measured))
    found = []
    for part in range(folds):
        rows = np.sort(order[part::folds])
        others = np.setdiff1d(order, rows)
        constants = fit(predict, start, measured, others, pull)
        predicted = predict(constants, rows)
        assert predicted is not None
        found.append(Fold(rows, constants, predicted))
    return tuple(found)


def halves(rows: int, seed: int = 0) -> tuple[Int64Array, Int64Array]:
    """Two random halves of so many rows, the first the smaller one."""
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[: rows // 2]), np.sort(order[rows // 2 :])


def _simplex(
    loss: Callable[[Float64Array], float], start: Float64Array, step: float, gain: float
) -> tuple[Float64Array, float]:
    """The end of one simplex, and its loss."""
    count = len(start)
    points = [start, *(start + step * unit for unit in np.eye(count))]
    values = [loss(point) for point in points]
    for _ in range(STEPS * count):
        order = sorted(range(count + 1), key=values.__getitem__)
        points, values = [points[i] for i in order], [values[i] for i in order]
        if math.isfinite(values[-1]) and values[-1] - values[0] < gain / 10:
            break
        middle = np.mean(points[:-1], axis=0)
        across = 2 * middle - points[-1]
        value = loss(across)
        if value < values[0]:
            further = 3 * middle - 2 * points[-1]
            beyond = loss(further)
            points[-1], values[-1] = (further, beyond) if beyond < value else (across, value)
        elif value < values[-2]:
            points[-1], values[-1] = across, value
        else:
            inside = (middle + points[-1]) / 2
            value = loss(inside)
            if value < values[-1]:
                points[-1], values[-1] = inside, value
            else:
                points = [points[0], *((point + points[0]) / 2 for point in points[1:])]
                values = [values[0], *map(loss, points[1:])]
        if max(float(np.ptp(column)) for column in zip(*points, strict=True)) < gain:
            break
    least = min(range(count + 1), key=values.__getitem__)
    return points[least], values[least]
