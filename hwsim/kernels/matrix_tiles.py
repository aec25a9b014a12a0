"""The array's part of a tile in machine code: operands gathered, partial sums added, results requantised."""

from __future__ import annotations

import numpy as np

from hwsim.arrays import Int32Array, Int64Array, RealArray
from hwsim.kernels.compile import compiled_in_place

NEAREST_EVEN, HALF_UP, TRUNCATE = 0, 1, 2
LARGEST_PRODUCT = 2**62


@compiled_in_place
def gather_windows(
    padded: RealArray,
    out: RealArray,
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
def add_to_sums(sums: Int64Array, partial: RealArray, bits: int) -> None:
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
    multipliers: Int64Array,
    shifts: Int64Array,
    most: Int64Array,
    rounding: int,
    zero_point: int,
    low: int,
    high: int,
    out: Int32Array,
) -> None:
    """out = (sums + bias) * multipliers / 2**shifts, rounded, moved by `zero_point`, then saturated to
    low..high. All but the sums have one number a column. Sums beyond `most`, 2**62 / |multiplier|, would
    overflow the product and are saturated first: their results lie outside."""
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            multiplier, shift = multipliers[j], shifts[j]
            value = min(max(sums[i, j] + bias[j], -most[j]), most[j]) * multiplier
            if rounding == NEAREST_EVEN and shift > 0:
                value += (np.int64(1) << (shift - 1)) - 1 + ((value >> shift) & 1)
            elif rounding == HALF_UP and shift > 0:
                value += np.int64(1) << (shift - 1)
            out[i, j] = min(max((value >> shift) + zero_point, low), high)
