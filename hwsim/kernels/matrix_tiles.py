"""The array's part of a tile in machine code: operands gathered, partial sums added, results requantised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.kernels.compile import compiled_in_place

Reals = NDArray[np.float32] | NDArray[np.float64]
Int64Array = NDArray[np.int64]

NEAREST_EVEN, HALF_UP, TRUNCATE = 0, 1, 2


@compiled_in_place
def gather_windows(
    padded: Reals,
    out: Reals,
    first_row: int,
    first_column: int,
    first_channel: int,
    positions: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    """Fill `out` (rows, columns) from a padded feature map [N, C, H, W]: row i is output position
    first_row + i of N x P x Q, column j is place first_column + j of the window, channels (from
    `first_channel`) outermost."""
    height, width = window
    for i in range(out.shape[0]):
        row = first_row + i
        image, place = divmod(row, positions[0] * positions[1])
        y, x = divmod(place, positions[1])
        y *= stride[0]
        x *= stride[1]
        channel, inside = divmod(first_column, height * width)
        r, s = divmod(inside, width)
        channel += first_channel
        for j in range(out.shape[1]):
            out[i, j] = padded[image, channel, y + r * dilation[0], x + s * dilation[1]]
            s += 1
            if s == width:
                s = 0
                r += 1
                if r == height:
                    r = 0
                    channel += 1


@compiled_in_place
def add_to_sums(sums: Int64Array, partial: Reals, bits: int) -> None:
    """sums += partial in two's complement of `bits` (below 64), wrapping around as an adder does. `partial`
    holds whole numbers."""
    half = np.int64(1) << np.int64(bits - 1)
    mask = 2 * half - 1
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            sums[i, j] = ((sums[i, j] + np.int64(partial[i, j]) + half) & mask) - half


@compiled_in_place
def requantise(
    sums: Int64Array,
    bias: Int64Array,
    multiplier: int,
    shift: int,
    rounding: int,
    low: int,
    high: int,
    out: NDArray[np.int32],
) -> None:
    """out = (sums + bias) * multiplier / 2**shift, rounded, then saturated to low..high. `bias` has one
    number a column. Sums that would overflow the product are saturated first: their results lie outside."""
    most = (np.int64(1) << np.int64(62)) // abs(np.int64(multiplier))
    half = (np.int64(1) << np.int64(shift)) >> np.int64(1)
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            value = min(max(sums[i, j] + bias[j], -most), most) * multiplier
            if rounding == NEAREST_EVEN and shift > 0:
                value += half - 1 + ((value >> shift) & 1)
            elif rounding == HALF_UP:
                value += half
            out[i, j] = min(max(value >> shift, low), high)
