"""How far the approximations of integer machines may lie from the functions themselves, before results are
rounded. Shares no code with what executes them.

Tables: a straight line between two ends h apart is off by at most h**2 / 8 times the largest second
derivative (de Boor, A Practical Guide to Splines, 1978, ch. III), which CURVATURE has of each function, and
by at most h / 4 times the span of its slopes, which SLOPES has (at a share t of the way it is t (1 - t) h
times the difference of the mean slopes on both sides); and by the rounding of its ends. Nothing lies between
neighbouring integers, where each has an end of its own.

Softmax: the polynomial is off by POLYNOMIAL of the power; the argument is rounded, and so are ln 2, once for
each halving, and the constants. A share is off by the error of its own power and by that of their sum, which
is the mean of the errors, weighted by the shares.

Normalisation: the mean is rounded to F bits behind the point, the variance is cut to 2 F bits, and so is its
root to F.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.functional import reference_vector
from hwsim.functional.approximation import (
    ENTRY_BITS,
    EXP_FRACTION,
    NORM_FRACTION,
    SEGMENTS,
    SHARE_FRACTION,
    mean_fraction,
)
from hwsim.functional.numbers import Stored
from hwsim.tensor.encoding import Encoding
from hwsim.workload.operators import Attributes, Elementwise, Norm, Operator, Softmax

# Largest second derivatives: 1 / (6 sqrt(3)); 4 / (3 sqrt(3)); sqrt(2 / pi), at 0, of both forms of gelu;
# 1 / 2; mish at -0.088, found numerically; 4 / sqrt(2 pi e); 1 / 4.
CURVATURE: Mapping[str, float] = MappingProxyType(
    {
        "sigmoid": 0.0963, "tanh": 0.7699, "gelu": 0.7979, "gelu_tanh": 0.7979, "silu": 0.5, "mish": 0.6443,
        "erf": 0.9679, "softplus": 0.25,
    }
)  # fmt: skip
# Largest less least first derivative: 1 / 4; 1; 1.1290 and -0.1290 of gelu, and nearly those of its other
# form; 1.0999 and -0.0999; 1.0885 and -0.1129; 2 / sqrt(pi); 1.
SLOPES: Mapping[str, float] = MappingProxyType(
    {
        "sigmoid": 0.25, "tanh": 1.0, "gelu": 1.2581, "gelu_tanh": 1.2582, "silu": 1.1997, "mish": 1.2015,
        "erf": 1.1284, "softplus": 1.0,
    }
)  # fmt: skip
POLYNOMIAL = 3.1e-3  # of 0.3585 (p + 1.353)**2 + 0.344 over e**p, found numerically


def approximation_error(op: Operator, inputs: Sequence[Stored], result: Float64Array) -> Float64Array:
    """Of each element of a result of an operator that is approximated."""
    problem, x = op.problem, inputs[0]
    if isinstance(problem, Elementwise):
        return np.full(result.shape, table_error(problem.function, op.attributes, x.encoding))
    if isinstance(problem, Softmax):
        return _softmax_error(op, result)
    assert isinstance(problem, Norm)
    return _norm_error(op, problem, inputs).reshape(result.shape)


def table_error(function: str, attributes: Attributes, x: Encoding) -> float:
    """Of any result of a table over all numbers of an encoding."""
    low, high = x.limits
    segment: int = 2 ** math.ceil(math.log2(max(1.0, (high - low + 1) / SEGMENTS)))
    wide = segment * x.scale
    line = min(wide**2 / 8 * CURVATURE[function], wide / 4 * SLOPES[function]) if segment > 1 else 0.0
    ends = [(end - x.zero_point) * x.scale for end in (low, high + segment)]
    places = np.linspace(ends[0], ends[1], 4 * SEGMENTS)
    largest = float(np.abs(reference_vector.unary(function, attributes, places)).max())
    return float(line + 1.01 * largest / (2**ENTRY_BITS - 2) + 2.0**-40 * largest)


def _softmax_error(op: Operator, shares: Float64Array) -> Float64Array:
    """Powers far below the largest of a row are cut off to less than a share can tell."""
    given = dict(op.attributes)
    axis = int(str(given.get("axis", -1))) % shares.ndim
    axes = tuple(range(axis, shares.ndim)) if given.get("flattened") else (axis,)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Halvings of each power; a share of nothing is cut off whatever they are.
        halvings = np.log2(shares.max(axis=axes, keepdims=True)) - np.log2(shares)
    halvings = np.clip(np.nan_to_num(halvings, nan=0.0, posinf=64.0), 0.0, 64.0)
    each = POLYNOMIAL + (halvings + 3) * 2.0**-EXP_FRACTION
    common = (shares * each).sum(axis=axes, keepdims=True)
    error: Float64Array = shares * (each + common) / np.maximum(1 - common, 0.5)
    return error + 2.0 ** -(SHARE_FRACTION + 1) + 2.0 ** (3 - 2 * EXP_FRACTION)


def _norm_error(op: Operator, problem: Norm, inputs: Sequence[Stored]) -> Float64Array:
    x = inputs[0]
    step = 2.0 ** -mean_fraction(x.encoding, problem.cols)
    units = x.reals.reshape(problem.rows, problem.cols) / x.encoding.scale
    centred = problem.function != "rms_norm"
    from_mean = units - units.mean(axis=1, keepdims=True) if centred else units
    epsilon = float(str(dict(op.attributes)["epsilon"])) / x.encoding.scale**2
    spread = np.sqrt((from_mean**2).mean(axis=1, keepdims=True) + epsilon)
    mean = step / 2 if centred else 0.0
    variance = mean**2 + 1.5 * step**2
    with np.errstate(divide="ignore", invalid="ignore"):
        off = step + np.minimum(variance / spread, math.sqrt(variance))
        least = np.maximum(spread - off, step)
        error = (mean + np.abs(from_mean) * off / spread) / least + 2.0 ** -(NORM_FRACTION + 1)
    # Without epsilon, equal numbers are nothing over nothing: what double precision leaves of that is noise.
    error = np.where(spread <= 2.0**-40 * np.abs(units).max(axis=1, keepdims=True), np.inf, error)
    found: Float64Array = np.nan_to_num(error, nan=0.0, posinf=2.0**60).reshape(x.values.shape)
    if len(inputs) > 1:
        along = np.abs(inputs[1].reals)
        shape = (-1, *[1] * (found.ndim - 2)) if problem.function == "group_norm" else along.shape
        found = found * along.reshape(shape)
    return found
