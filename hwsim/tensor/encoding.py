"""Encodings: how real numbers are stored in a number format, and how they round and saturate on the way in.

Integers stand for multiples of a scale: symmetric, one scale a tensor, or the fixed 2**-n of Qm.n. Floats
stand for themselves and are kept in fp32 arrays whose every element the format can hold.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import SpecError
from hwsim.tensor.formats import Format, find_format
from hwsim.tensor.tensor import Array

Float64Array = NDArray[np.float64]
Rounding = Literal["nearest_even", "half_up", "truncate"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)

# Significant bits with the hidden one, the largest number, and the spacing of the smallest ones. IEEE
# 754-2019, table 3.5, for fp32 and fp16; bf16 is the upper half of fp32.
_FLOATS = {
    "fp32": (24, float(np.finfo(np.float32).max), 2.0**-149),
    "fp16": (11, 65504.0, 2.0**-24),
    "bf16": (8, (2 - 2.0**-7) * 2.0**127, 2.0**-133),
}

# int32 activations and weights are quantised to 16 bits and held in 32, so that their products can be summed.
_MOST_BITS = 16

_CHUNK = 2**18  # elements rounded at a time, so that what lies between stays in a cache


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Qm.n in two's complement: a sign, `whole` bits before and `fraction` bits behind the point. Results
    outside saturate; bits that do not fit are rounded by `rounding`: to the nearest with ties to even, to the
    nearest with ties upwards, or towards minus infinity by dropping them."""

    whole: int
    fraction: int
    rounding: Rounding = "nearest_even"

    @property
    def bits(self) -> int:
        return 1 + self.whole + self.fraction

    @property
    def name(self) -> str:
        return f"q{self.whole}.{self.fraction}"


def find_fixed_point(name: str, rounding: str = "nearest_even") -> FixedPoint:
    """The fixed-point format written "q7.8". Raises SpecError for any other text, for a size that is not 4,
    8 or 16 bits with the sign, and for an unknown rounding."""
    match = re.fullmatch(r"[qQ](\d{1,2})\.(\d{1,2})", name)
    if match is None:
        raise SpecError(
            f"cannot read {name!r} as a fixed-point format: write q, the bits before and those behind the "
            "point, such as q7.8"
        )
    if rounding not in ROUNDINGS:
        raise SpecError(f"unknown rounding {rounding!r}: hwsim knows {', '.join(ROUNDINGS)}")
    found = FixedPoint(int(match[1]), int(match[2]), rounding)  # type: ignore[arg-type]
    if found.bits not in (4, 8, 16):
        raise SpecError(
            f"{name} has {found.bits} bits with its sign: hwsim runs fixed point on int4, int8 and int16 "
            "arithmetic, so write 4, 8 or 16 in all, such as q7.8"
        )
    return found


@dataclass(frozen=True)
class Encoding:
    """How one tensor is stored: real = stored * scale. `scale` is 1 for floats."""

    format: Format
    scale: float = 1.0
    rounding: Rounding = "nearest_even"
    symmetric: bool = True  # integers leave their most negative number unused

    @property
    def is_float(self) -> bool:
        return self.format.kind == "float"

    @cached_property
    def limits(self) -> tuple[int, int]:
        """The least and the largest stored integer."""
        half = 2 ** (min(self.format.bits, _MOST_BITS) - 1)
        return (-half + 1 if self.symmetric else -half), half - 1

    @property
    def unit_roundoff(self) -> float:
        """Half the distance from 1 to the next larger float: the relative error of one rounding."""
        return 2.0 ** -_FLOATS[self.format.name][0]

    @property
    def largest(self) -> float:
        """The largest float; what lies beyond saturates to it."""
        return _FLOATS[self.format.name][1]

    @property
    def smallest_step(self) -> float:
        """Distance between the smallest floats: twice the absolute error of a rounding near zero."""
        return _FLOATS[self.format.name][2]

    def store(self, reals: Array) -> Array:
        """`reals` in this encoding: rounded, then saturated. Not-a-number becomes 0 in integers, which have
        none."""
        if self.is_float:
            return _store_float(reals, self.format.name, self.largest)
        found = np.empty(reals.shape, dtype=self.integer_type)
        source, target = reals.reshape(-1), found.reshape(-1)
        for first in range(0, reals.size, _CHUNK):
            part = source[first : first + _CHUNK].astype(np.float64) / self.scale
            scaled = np.clip(round_reals(part, self.rounding), *self.limits)
            target[first : first + _CHUNK] = np.nan_to_num(scaled)
        return found

    @property
    def integer_type(self) -> type[np.signedinteger]:
        return np.int8 if self.format.bits <= 8 else np.int16 if self.format.bits <= 16 else np.int32

    def reals(self, stored: Array) -> Float64Array:
        """What stored elements stand for."""
        if self.is_float:
            return stored.astype(np.float64)
        return stored.astype(np.float64) * self.scale


def round_reals(values: Float64Array, rounding: Rounding) -> Float64Array:
    """Whole numbers near `values`, by one of the three rules. A new array."""
    if rounding == "nearest_even":
        return np.rint(values)
    below = np.floor(values)
    return below if rounding == "truncate" else below + (values - below >= 0.5)


def scaled_encoding(dtype: str, largest: float) -> Encoding:
    """The encoding of a tensor whose numbers reach `largest` in size: symmetric, so that zero is exact, and
    with the scale that just holds it. Raises SpecError for a format without such numbers."""
    found = find_format(dtype)
    if found.kind == "float":
        return Encoding(found)
    if found.kind != "int":
        raise SpecError(f"hwsim has no arithmetic for {dtype}")
    high = 2 ** (min(found.bits, _MOST_BITS) - 1) - 1
    usable = largest if math.isfinite(largest) and largest > 0 else float(high)
    return Encoding(found, max(usable / high, 2.0**-200))


def _store_float(reals: Array, name: str, largest: float) -> Array:
    if name == "fp32":
        with np.errstate(over="ignore"):
            single = np.asarray(reals, dtype=np.float32)
        return np.clip(single, -np.float32(largest), np.float32(largest))
    clipped = np.asarray(np.clip(reals, -largest, largest), dtype=np.float64)
    if name == "fp16":
        return clipped.astype(np.float16).astype(np.float32)
    # bf16 by its definition: 8 significant bits, spaced no closer than its smallest numbers. A conversion by
    # way of fp32 would round twice.
    _, exponent = np.frexp(clipped)
    places = 8 - np.maximum(exponent, -125)
    found: Array = np.ldexp(np.rint(np.ldexp(clipped, places)), -places).astype(np.float32)
    return found
