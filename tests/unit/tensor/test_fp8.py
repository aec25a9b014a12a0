"""The fp8 formats, all 256 bit patterns of each, against a decoder of bits and exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest

from hwsim.tensor import find_format
from hwsim.tensor.encoding import Encoding

# Exponent bits, bits behind the point, bias: OCP 8-bit Floating Point Specification 1.0.
LAYOUTS = {"fp8_e4m3": (4, 3, 7), "fp8_e5m2": (5, 2, 15)}


def decode(dtype: str, code: int) -> Fraction | None:
    """The number of a bit pattern; None for infinities and what is not a number."""
    exponent_bits, fraction_bits, bias = LAYOUTS[dtype]
    sign = -1 if code & 0x80 else 1
    exponent, fraction = code >> fraction_bits & (2**exponent_bits - 1), code & (2**fraction_bits - 1)
    if dtype == "fp8_e4m3" and code & 0x7F == 0x7F:
        return None  # the only pattern that e4m3 gives up; its highest exponent holds numbers
    if dtype == "fp8_e5m2" and exponent == 31:
        return None
    if exponent == 0:
        return sign * Fraction(fraction, 2**fraction_bits) * Fraction(2) ** (1 - bias)
    return sign * (1 + Fraction(fraction, 2**fraction_bits)) * Fraction(2) ** (exponent - bias)


def numbers(dtype: str) -> list[Fraction]:
    """Every number of the format, ascending; 0 once."""
    return sorted({found for code in range(256) if (found := decode(dtype, code)) is not None})


def store(dtype: str, *reals: Fraction | float) -> list[float]:
    return Encoding(find_format(dtype)).store(np.array([float(x) for x in reals])).tolist()


@pytest.mark.parametrize(
    ("dtype", "count", "largest", "smallest"),
    [("fp8_e4m3", 253, 448, Fraction(1, 512)), ("fp8_e5m2", 247, 57344, Fraction(1, 65536))],
)
def test_the_decoder_knows_the_specification(
    dtype: str, count: int, largest: int, smallest: Fraction
) -> None:
    known = numbers(dtype)
    assert (len(known), known[-1], known[0]) == (count, largest, -largest)
    assert min(x for x in known if x > 0) == smallest
    assert Encoding(find_format(dtype)).largest == largest
    assert Encoding(find_format(dtype)).smallest_step == smallest


@pytest.mark.parametrize("dtype", LAYOUTS)
def test_every_number_is_stored_as_itself(dtype: str) -> None:
    known = numbers(dtype)
    assert [Fraction(x) for x in store(dtype, *known)] == known


@pytest.mark.parametrize("dtype", LAYOUTS)
def test_what_lies_between_goes_to_the_nearest_and_ties_to_the_even_pattern(dtype: str) -> None:
    codes = {decode(dtype, code): code for code in range(255, -1, -1)}
    for below, above in pairwise(numbers(dtype)):
        middle = (below + above) / 2
        step = (above - below) / 1024
        even = below if codes[below] % 2 == 0 else above
        assert [Fraction(x) for x in store(dtype, middle - step, middle, middle + step)] == [
            below,
            even,
            above,
        ]


@pytest.mark.parametrize("dtype", LAYOUTS)
def test_conversions_saturate(dtype: str) -> None:
    top = float(numbers(dtype)[-1])
    assert store(dtype, top * 1.0001, 1e30, -1e30, math.inf, -math.inf) == [top, top, -top, top, -top]
    assert math.isnan(store(dtype, math.nan)[0])
    assert math.copysign(1.0, store(dtype, -0.0)[0]) == -1.0


@pytest.mark.parametrize(
    ("dtype", "other"), [("fp8_e4m3", ml_dtypes.float8_e4m3fn), ("fp8_e5m2", ml_dtypes.float8_e5m2)]
)
def test_ml_dtypes_agrees(dtype: str, other: type) -> None:
    draw = np.random.default_rng(11)
    reals = draw.standard_normal(20_000) * 10.0 ** draw.integers(-6, 4, 20_000)
    top = Encoding(find_format(dtype)).largest
    wanted = np.clip(reals, -top, top).astype(np.float32)
    # By way of fp32, as ml_dtypes does; no draw lies so near a tie that it would matter.
    assert (Encoding(find_format(dtype)).store(reals) == wanted.astype(other).astype(np.float32)).all()


@pytest.mark.parametrize("pair", [("fp8_e4m3", "fp8_e4m3"), ("fp8_e4m3", "fp8_e5m2"), ("fp8_e5m2",) * 2])
def test_products_are_exact_in_fp32(pair: tuple[str, str]) -> None:
    left, right = (np.array([float(x) for x in numbers(dtype)]) for dtype in pair)
    exact = np.outer(left, right)
    single = np.outer(left.astype(np.float32), right.astype(np.float32))
    assert (single.astype(np.float64) == exact).all()
