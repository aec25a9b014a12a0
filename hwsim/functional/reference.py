"""The independent reference of products: direct convolution and matrix products in float64, without tiles.

It shares no code with what executes Programs: no im2col, no blocks, no kernels. A convolution is a sum over
the places of its window, each a product of the weights there with the feature map shifted there.

Whole numbers are exact: float64 holds every sum of products up to 2**53, which is asserted.

Bound for floats (elementwise, derived). With u the unit roundoff of fp32, a sum of K products that is
evaluated in any order of fp32 operations has an error of at most gamma_n * sum |a| |b| with gamma_n = n u /
(1 - n u), where n counts the roundings that one term goes through: at most one for its product, K - 1 within
and between the partial sums, and one for each tile that the sum is cut into (Higham, Accuracy and Stability
of Numerical Algorithms, 2nd ed., section 3.1, lemma 3.1). The reference computes sum |a| |b| by running |a|
and |b| through itself. Bias and functions are computed in double precision; a function spreads the interval
around its argument, and the result is rounded once, by u of its own format, or half the smallest step near
zero.
"""

from __future__ import annotations

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import Attributes, Conv2d, Matmul

EXACT = 2.0**53
CHUNK = 2**23  # elements of a second operand that are turned into float64 at a time


def product(problem: Conv2d | Matmul, attributes: Attributes, a: Array, b: Array) -> Float64Array:
    """The sums of a conv2d or matmul, in float64: [N, K, P, Q] or [B, M, N]."""
    if isinstance(problem, Conv2d):
        return convolve(problem, a, b)
    return multiply(problem, attributes, a, b)


def convolve(c: Conv2d, x: Array, weights: Array) -> Float64Array:
    """out[n,k,p,q] = sum over the window's places (r, s) of weights[k,:,r,s] . x[n,:,p*stride+r-pad,..]."""
    top, left, bottom, right = c.pad
    # Room below and to the right for windows that hang over the padding.
    tall = max(c.H + top + bottom, (c.P - 1) * c.stride[0] + (c.R - 1) * c.dilation[0] + 1)
    wide = max(c.W + left + right, (c.Q - 1) * c.stride[1] + (c.S - 1) * c.dilation[1] + 1)
    around = np.zeros((c.N, c.C, tall, wide))
    around[:, :, top : top + c.H, left : left + c.W] = x
    per_group, makes = c.C // c.groups, c.K // c.groups
    w = weights.reshape(c.groups, makes, per_group, c.R, c.S)
    total = np.zeros((c.N, c.groups, makes, c.P * c.Q))
    for r in range(c.R):
        for s in range(c.S):
            y, z = r * c.dilation[0], s * c.dilation[1]
            seen = around[
                :, :, y : y + (c.P - 1) * c.stride[0] + 1 : c.stride[0],
                z : z + (c.Q - 1) * c.stride[1] + 1 : c.stride[1],
            ].reshape(c.N, c.groups, per_group, c.P * c.Q)  # fmt: skip
            here = w[:, :, :, r, s].astype(np.float64)
            if per_group == 1:
                total += here * seen
            else:
                total += here @ seen
    return total.reshape(c.N, c.K, c.P, c.Q)


def multiply(problem: Matmul, attributes: Attributes, a: Array, b: Array) -> Float64Array:
    """[B, M, N] sums of a matmul, by numpy's own rule of broadcasting; chunk by chunk of columns, so that
    large weights are never all in float64."""
    turned = dict(attributes)
    left = np.atleast_2d(a)
    right = b.reshape(-1, 1) if b.ndim == 1 else b
    left = np.swapaxes(left, -1, -2) if turned.get("trans_a") else left
    right = np.swapaxes(right, -1, -2) if turned.get("trans_b") else right
    columns = right.shape[-1]
    step = max(1, CHUNK * columns // max(1, right.size))
    wide = left.astype(np.float64)
    parts = [
        np.matmul(wide, right[..., first : first + step].astype(np.float64))
        for first in range(0, columns, step)
    ]
    return np.concatenate(parts, axis=-1).reshape(problem.B, problem.M, problem.N)


def gamma(roundings: int, unit_roundoff: float) -> float:
    """n u / (1 - n u), Higham's lemma 3.1; infinite where n u reaches 1."""
    nu = roundings * unit_roundoff
    return nu / (1 - nu) if nu < 1 else float("inf")


def requantised(sums: Float64Array, multipliers: Array, shifts: Array, rounding: str) -> Float64Array:
    """sums * multipliers / 2**shifts rounded, in whole numbers: quotient and remainder decide. Multipliers
    and shifts broadcast along the sums."""
    multiplier, shift = np.asarray(multipliers, dtype=np.int64), np.asarray(shifts, dtype=np.int64)
    limit = 2**62 // np.abs(multiplier)
    scaled = np.clip(sums, -limit, limit).astype(np.int64) * multiplier
    quotient, remainder = np.divmod(scaled, np.left_shift(1, shift))
    if rounding == "truncate":
        return quotient.astype(np.float64)
    middle = np.where(shift > 0, np.left_shift(1, np.maximum(shift - 1, 0)), 1)  # no remainder reaches 1 of 1
    up, tie = remainder > middle, remainder == middle
    if rounding == "half_up":
        up |= tie
    else:
        up = np.where(tie, quotient % 2 == 1, up)
    return (quotient + up).astype(np.float64)


def requantised_single(sums: Float64Array, ratios: Array) -> Float64Array:
    """The same with ratios in fp32: sums are rounded to fp32, the exact product (48 bits at most, which
    float64 holds) to fp32 too, and that to the nearest whole number, which is even where two are as near."""
    exact = np.float64(np.asarray(sums, dtype=np.float32)) * ratios.astype(np.float64)
    single = np.asarray(exact, dtype=np.float32).astype(np.float64)
    below = np.floor(single)
    rest = single - below
    up = (rest > 0.5) | ((rest == 0.5) & (np.mod(below, 2) == 1))
    found: Float64Array = below + up
    return found


def whole_units(values: Array, zero_points: Array) -> Array:
    """Exact whole numbers of what stored integers stand for: their distance from the zero point, which is
    shaped to meet them. Copies only where there is one."""
    return values.astype(np.int64) - zero_points if zero_points.any() else values


def wrapped(sums: Float64Array, bits: int) -> Float64Array:
    """What an accumulator of `bits` holds of exact sums: two's complement, which drops what lies above."""
    span = 2.0**bits
    return sums - span * np.floor(sums / span + 0.5)
