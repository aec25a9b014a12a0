"""Rounding and saturation, against exact fractions and against ml_dtypes."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.tensor import find_format
from hwsim.tensor.encoding import Encoding, find_fixed_point, scaled_encoding


@pytest.mark.parametrize(
    ("rounding", "wanted"),
    [
        ("nearest_even", [-8, -2, -2, 0, 0, 0, 2, 2, 7]),
        ("half_up", [-8, -2, -1, 0, 0, 1, 2, 3, 7]),
        ("truncate", [-8, -2, -2, -1, 0, 0, 1, 2, 7]),
    ],
)
def test_fixed_point_rounds_and_saturates(rounding: str, wanted: list[int]) -> None:
    q = find_fixed_point("q1.2", rounding)
    encoding = Encoding(find_format("int4"), 2.0**-q.fraction, q.rounding, symmetric=False)
    quarters = np.array([-99, -2, -1.5, -0.4, 0.4, 0.5, 1.5, 2.5, 99]) / 4
    assert encoding.store(quarters).tolist() == wanted
    assert encoding.reals(encoding.store(quarters))[0] == -2.0


@pytest.mark.parametrize("dtype", ["int4", "int8", "int16", "int32"])
def test_a_scale_just_holds_the_largest_number(dtype: str) -> None:
    encoding = scaled_encoding(dtype, np.array([1.0, -3.25, math.nan, -math.inf]))
    stored = encoding.store(np.array([-3.25, 0.0, 3.25, 99.0, math.nan, math.inf]))
    high = encoding.limits[1]
    assert stored.tolist() == [-high, 0, high, high, 0, high]
    assert high == 2 ** (min(16, int(dtype[3:])) - 1) - 1


def test_all_zeros_have_a_scale() -> None:
    assert scaled_encoding("int8", np.zeros(3)).store(np.zeros(3)).tolist() == [0, 0, 0]


def test_bf16_is_what_ml_dtypes_makes_of_fp32() -> None:
    bits = np.random.default_rng(3).integers(0, 2**32, 20_000, dtype=np.uint64).astype(np.uint32)
    floats = bits.view(np.float32)
    floats = floats[np.isfinite(floats) & (np.abs(floats) < 3.38e38)]
    found = Encoding(find_format("bf16")).store(floats)
    assert (found == floats.astype(ml_dtypes.bfloat16).astype(np.float32)).all()


def test_doubles_are_rounded_once() -> None:
    """Just above a tie: by way of fp32 they would become the tie, and go down."""
    above = np.array([1 + 2.0**-8 + 2.0**-40])
    assert Encoding(find_format("bf16")).store(above)[0] == 1 + 2.0**-7
    above = np.array([1 + 2.0**-11 + 2.0**-40])
    assert Encoding(find_format("fp16")).store(above)[0] == 1 + 2.0**-10


@pytest.mark.parametrize(("dtype", "largest"), [("fp16", 65504.0), ("bf16", 3.3895313892515355e38)])
def test_floats_saturate(dtype: str, largest: float) -> None:
    encoding = Encoding(find_format(dtype))
    assert encoding.store(np.array([1e39, -1e39, math.inf])).tolist() == [largest, -largest, largest]
    assert encoding.largest == largest


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_the_unit_roundoff_bounds_one_rounding(dtype: str) -> None:
    encoding = Encoding(find_format(dtype))
    reals = np.random.default_rng(5).standard_normal(2000) * 10.0 ** np.random.default_rng(6).integers(
        -3, 4, 2000
    )
    for real, stored in zip(reals.tolist(), encoding.store(reals).tolist(), strict=True):
        allowed = max(encoding.unit_roundoff * abs(real), encoding.smallest_step / 2)
        assert abs(Fraction(stored) - Fraction(real)) <= Fraction(allowed)


@pytest.mark.parametrize("name", ["7.8", "q7", "q7.7", "q20.11", "q", "qq7.8", "q-1.9"])
def test_other_fixed_point_formats_are_refused(name: str) -> None:
    with pytest.raises(SpecError, match=r"q7\.8"):
        find_fixed_point(name)


def test_an_unknown_rounding_is_refused() -> None:
    with pytest.raises(SpecError, match="nearest_even, half_up, truncate"):
        find_fixed_point("q7.8", "stochastic")
