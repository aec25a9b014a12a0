"""Requantising and adding, against Python's own integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hwsim.kernels.matrix_tiles import LARGEST_PRODUCT, add_to_sums, requantise


def rounded(value: Fraction, rounding: int) -> int:
    below = math.floor(value)
    if rounding == 0:
        return round(value)
    return below + (rounding == 1 and value - below >= Fraction(1, 2))


COLUMNS = [(1, 0), (1, 1), (3, 2), (536870913, 40), (-7, 4), (1, 62), (2**30, 0), (-(2**30) + 1, 31)]


@pytest.mark.parametrize("zero_point", [0, -60])
@pytest.mark.parametrize("rounding", [0, 1, 2])
@pytest.mark.parametrize("first", range(len(COLUMNS)))
def test_requantising_is_exact(first: int, rounding: int, zero_point: int) -> None:
    """Each column by its own multiplier and shift."""
    columns = [COLUMNS[(first + j) % len(COLUMNS)] for j in range(4)]
    multipliers, shifts = (np.array(part, dtype=np.int64) for part in zip(*columns, strict=True))
    draw = np.random.default_rng(1)
    sums = np.concatenate([np.arange(-40, 40), draw.integers(-(2**31), 2**31, 400)]).reshape(-1, 4)
    bias = np.array([0, 5, -7, 2**20])
    out = np.empty(sums.shape, dtype=np.int32)
    most = LARGEST_PRODUCT // np.abs(multipliers)
    requantise(sums, bias, multipliers, shifts, most, rounding, zero_point, -100, 90, out)
    for i, j in np.ndindex(sums.shape):
        multiplier, shift = columns[j]
        value = Fraction((int(sums[i, j]) + int(bias[j])) * multiplier, 2**shift)
        assert out[i, j] == min(max(rounded(value, rounding) + zero_point, -100), 90)


@pytest.mark.parametrize("bits", [8, 16, 32, 62])
def test_sums_wrap_around_at_their_width(bits: int) -> None:
    sums = np.array([[2 ** (bits - 1) - 1, -(2 ** (bits - 1)), 5]])
    add_to_sums(sums, np.array([[1.0, -1.0, 2.0]]), bits)
    assert sums.tolist() == [[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 7]]
