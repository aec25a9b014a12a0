"""Functions as integer machines compute them, in whole numbers; `approximation` states the scheme. What comes
out stands for reals, which are then rounded to the result's format."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.functional.approximation import (
    ENTRY_BITS,
    EXP_FRACTION,
    NORM_FRACTION,
    SEGMENTS,
    SHARE_FRACTION,
    mean_fraction,
)
from hwsim.functional.functions import apply_unary
from hwsim.functional.numbers import Stored, attribute
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import Attributes, Norm, Operator

# I-BERT's polynomial of e**p between -ln 2 and 0, a (p + b)**2 + c, equations 12 and 13 of the paper, with
# all divided by a: a scale that shares do not keep.
_SHIFT = round(1.353 * 2**EXP_FRACTION)
_LEAST = round(0.344 / 0.3585 * 2 ** (2 * EXP_FRACTION))
_LN2 = round(math.log(2.0) * 2**EXP_FRACTION)
_FARTHEST = 62  # halvings, after which a power is 0


def look_up(function: str, attributes: Attributes, x: Encoding, stored: Array) -> Float64Array:
    """A function of stored integers by its table."""
    low, high = x.limits
    shift = max(0, (high - low).bit_length() - SEGMENTS.bit_length() + 1)
    ends = low + (np.arange(((high - low) >> shift) + 2) << shift)
    places = (ends - x.zero_point).astype(np.float64) * x.scale
    exact = apply_unary(function, attributes, places)
    unit = float(np.abs(exact).max()) / (2 ** (ENTRY_BITS - 1) - 1) or 1.0
    entries = np.rint(exact / unit).astype(np.int64)
    place = stored.astype(np.int64) - low
    segment = place >> shift
    beyond = place - (segment << shift)
    sums = entries[segment] * ((1 << shift) - beyond) + entries[segment + 1] * beyond
    found: Float64Array = sums * (unit / (1 << shift))
    return found


def shares_of_rows(x: Float64Array) -> None:
    """Softmax of each row of x (rows, columns), in place."""
    with np.errstate(invalid="ignore"):
        behind = np.rint((x - x.max(axis=1, keepdims=True)) * 2**EXP_FRACTION)
    seen = np.isfinite(behind)
    whole = np.where(seen, np.maximum(behind, -_FARTHEST * _LN2), 0).astype(np.int64)
    halvings = -whole // _LN2
    rest = whole + halvings * _LN2
    powers = np.where(seen, ((rest + _SHIFT) ** 2 + _LEAST) >> halvings, 0)
    total = np.maximum(powers.sum(axis=1, keepdims=True), 1)
    shares = ((powers << SHARE_FRACTION) + total // 2) // total
    x[...] = shares * 2.0**-SHARE_FRACTION


def normalise(op: Operator, problem: Norm, inputs: Sequence[Stored]) -> Float64Array:
    """A normalisation: whole numbers up to the division, and constants behind it."""
    x = inputs[0]
    units = x.values.astype(np.int64).reshape(problem.rows, problem.cols) - x.encoding.zero_point
    fraction = mean_fraction(x.encoding, problem.cols)
    shifted = units << fraction
    if problem.function != "rms_norm":
        shifted = shifted - _divided(shifted.sum(axis=1, keepdims=True), problem.cols)
    epsilon = attribute(op.attributes, "epsilon", 0.0) / x.encoding.scale**2 * 4**fraction
    squares = (shifted**2).sum(axis=1, keepdims=True) // problem.cols + np.int64(min(round(epsilon), 2**60))
    spread = np.maximum(_root(squares), 1)
    rows = _divided(shifted << NORM_FRACTION, spread).astype(np.float64) * 2.0**-NORM_FRACTION
    if not epsilon:
        rows[squares[:, 0] == 0] = np.nan  # nothing over nothing
    found: Float64Array = rows.reshape(x.values.shape)
    for index, constant in enumerate(inputs[1:]):
        along = constant.reals
        if problem.function == "group_norm":
            along = along.reshape(-1, *[1] * (found.ndim - 2))
        found = found + along if index else found * along
    return found


def _divided(numbers: Int64Array, by: Int64Array | int) -> Int64Array:
    """Rounded to the nearest, halves upwards."""
    found: Int64Array = (2 * numbers + by) // (2 * np.int64(by))
    return found


def _root(squares: Int64Array) -> Int64Array:
    """The largest whole number whose square is not more."""
    found = np.sqrt(squares.astype(np.float64)).astype(np.int64)
    found -= found * found > squares
    found += (found + 1) * (found + 1) <= squares
    return found
