"""Requantising and adding, against Python's own integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from hwsim.kernels.matrix_tiles import add_to_sums, requantise


def rounded(value: Fraction, rounding: int) -> int:
    below = math.floor(value)
    if rounding == 0:
        return round(value)
    return below + (rounding == 1 and value - below >= Fraction(1, 2))


@pytest.mark.parametrize("rounding", [0, 1, 2])
@pytest.mark.parametrize(("multiplier", "shift"), [(1, 0), (1, 1), (3, 2), (536870913, 40), (-7, 4), (1, 62)])
def test_requantising_is_exact(multiplier: int, shift: int, rounding: int) -> None:
    draw = np.random.default_rng(1)
    sums = np.concatenate([np.arange(-40, 40), draw.integers(-(2**31), 2**31, 400)]).reshape(-1, 4)
    bias = np.array([0, 5, -7, 2**20])
    out = np.empty(sums.shape, dtype=np.int32)
    requantise(sums, bias, multiplier, shift, rounding, -100, 90, out)
    for i, j in np.ndindex(sums.shape):
        value = Fraction((int(sums[i, j]) + int(bias[j])) * multiplier, 2**shift)
        assert out[i, j] == min(max(rounded(value, rounding), -100), 90)


@pytest.mark.parametrize("bits", [8, 16, 32, 62])
def test_sums_wrap_around_at_their_width(bits: int) -> None:
    sums = np.array([[2 ** (bits - 1) - 1, -(2 ** (bits - 1)), 5]])
    add_to_sums(sums, np.array([[1.0, -1.0, 2.0]]), bits)
    assert sums.tolist() == [[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 7]]
