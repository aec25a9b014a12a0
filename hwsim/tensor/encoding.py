"""Encodings: how real numbers are stored in a number format, and how they round and saturate on the way in.

Integers stand for multiples of a scale: symmetric, one scale a tensor, or the fixed 2**-n of Qm.n, or a grid
that someone chose, with zero points and with scales by channel. Ternary (-1, 0, 1) and binary (-1, 1) numbers
are such integers too. Floats stand for themselves and are kept in fp32 arrays whose every element the format
can hold.

Where nobody chose a grid, ternary follows Li, Zhang and Liu, "Ternary weight networks" (2016): numbers up to
0.7 of the mean size become 0, and the scale is the mean size of the others. Binary follows Rastegari et al.,
"XNOR-Net" (ECCV 2016), section 3.1: the sign, and the mean size as the scale. 0 is stored as 1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.errors import SpecError
from hwsim.tensor.formats import Format, find_format
from hwsim.tensor.storage import Quantisation
from hwsim.tensor.tensor import Array, Tensor

Rounding = Literal["nearest_even", "half_up", "truncate"]
ROUNDINGS: tuple[str, ...] = get_args(Rounding)

# The largest number, and the spacing of the smallest ones. IEEE 754-2019, table 3.5, for fp32 and fp16; bf16
# is the upper half of fp32; the fp8 formats are those of the OCP 8-bit Floating Point Specification 1.0, with
# conversions that saturate.
_FLOATS = {
    "fp32": (float(np.finfo(np.float32).max), 2.0**-149),
    "fp16": (65504.0, 2.0**-24),
    "bf16": ((2 - 2.0**-7) * 2.0**127, 2.0**-133),
    "fp8_e4m3": (448.0, 2.0**-9),
    "fp8_e5m2": (57344.0, 2.0**-16),
}

# int32 activations and weights are quantised to 16 bits and held in 32, so that their products can be summed.
_MOST_BITS = 16

TERNARY_THRESHOLD = 0.7  # of the mean size, as Li, Zhang and Liu state

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
    """How one tensor is stored: real = (stored - zero_point) * scale. `scale` is 1 for floats. `by_channel`
    holds the scales and zero points of the channels instead, where they differ. `threshold` is the size up
    to which ternary stores 0; None is the nearest, half a scale."""

    format: Format
    scale: float = 1.0
    rounding: Rounding = "nearest_even"
    symmetric: bool = True  # integers leave their most negative number unused
    zero_point: int = 0
    threshold: float | None = None
    by_channel: Quantisation | None = None

    @property
    def is_float(self) -> bool:
        return self.format.kind == "float"

    @cached_property
    def limits(self) -> tuple[int, int]:
        """The least and the largest stored integer."""
        if self.format.kind == "levels":
            return -1, 1
        half = 2 ** (min(self.format.bits, _MOST_BITS) - 1)
        return (-half + 1 if self.symmetric else -half), half - 1

    @cached_property
    def scales(self) -> Float64Array:
        """What one unit stands for, [1] or [channels]."""
        grid = self.by_channel
        return np.array([self.scale] if grid is None else grid.scales, dtype=np.float64)

    @cached_property
    def zero_points(self) -> Int64Array:
        """The stored numbers that stand for 0, [1] or [channels]."""
        grid = self.by_channel
        return np.array([self.zero_point] if grid is None else grid.zero_points, dtype=np.int64)

    @property
    def unit_roundoff(self) -> float:
        """Half the distance from 1 to the next larger float: the relative error of one rounding."""
        return 2.0**-self.format.significand

    @property
    def largest(self) -> float:
        """The largest float; what lies beyond saturates to it."""
        return _FLOATS[self.format.name][0]

    @property
    def smallest_step(self) -> float:
        """Distance between the smallest floats: twice the absolute error of a rounding near zero."""
        return _FLOATS[self.format.name][1]

    def store(self, reals: Array) -> Array:
        """`reals` in this encoding: rounded, then saturated. Not-a-number becomes 0 in integers, which have
        none (and -1 in binary)."""
        if self.is_float:
            return _store_float(reals, self.format, self.largest, self.smallest_step)
        found = np.empty(reals.shape, dtype=self.integer_type)
        if self.by_channel is not None:
            grid, place = self.by_channel, [slice(None)] * reals.ndim
            assert grid.axis is not None
            for i, (scale, zero) in enumerate(zip(grid.scales, grid.zero_points, strict=True)):
                place[grid.axis] = slice(i, i + 1)
                one = replace(self, scale=scale, zero_point=zero, by_channel=None)
                found[tuple(place)] = one.store(reals[tuple(place)])
            return found
        source, target = reals.reshape(-1), found.reshape(-1)
        for first in range(0, reals.size, _CHUNK):
            part = source[first : first + _CHUNK].astype(np.float64)
            target[first : first + _CHUNK] = self._integers(part)
        return found

    def _integers(self, reals: Float64Array) -> Float64Array:
        if self.format.name == "binary":
            return np.where(reals >= 0, 1.0, -1.0)
        if self.threshold is not None:
            return np.where(np.abs(reals) > self.threshold, np.sign(reals), 0.0)
        whole = np.nan_to_num(round_reals(reals / self.scale, self.rounding), nan=0.0)
        return np.clip(whole + self.zero_point, *self.limits)

    @property
    def integer_type(self) -> type[np.signedinteger]:
        return np.int8 if self.format.bits <= 8 else np.int16 if self.format.bits <= 16 else np.int32

    def reals(self, stored: Array) -> Float64Array:
        """What stored elements stand for."""
        if self.is_float:
            return stored.astype(np.float64)
        units = stored.astype(np.float64) - self.along(self.zero_points, stored.ndim)
        found: Float64Array = units * self.along(self.scales, stored.ndim)
        return found

    def along(self, numbers: Array, rank: int) -> Array:
        """`numbers`, one for the tensor or one a channel, shaped to meet an array of the tensor's rank."""
        shape = [1] * rank
        if self.by_channel is not None and self.by_channel.axis is not None:
            shape[self.by_channel.axis] = -1
        return numbers.reshape(shape)


def round_reals(values: Float64Array, rounding: Rounding) -> Float64Array:
    """Whole numbers near `values`, by one of the three rules. A new array."""
    if rounding == "nearest_even":
        return np.rint(values)
    below = np.floor(values)
    return below if rounding == "truncate" else below + (values - below >= 0.5)


def scaled_encoding(dtype: str, reals: Array) -> Encoding:
    """The encoding of a tensor with the numbers `reals`: symmetric, so that zero is exact, and with the scale
    that just holds the largest; ternary and binary as this file's first lines say. Raises SpecError for a
    format without such numbers."""
    found = find_format(dtype)
    if found.kind == "float":
        return Encoding(found)
    if found.kind == "levels":
        return _levels(found, reals)
    if found.kind != "int":
        raise SpecError(f"hwsim has no arithmetic for {dtype}")
    high = 2 ** (min(found.bits, _MOST_BITS) - 1) - 1
    largest = largest_size(reals)
    return Encoding(found, max(largest / high if largest else 1.0, 2.0**-200))


def chosen_encoding(tensor: Tensor) -> Encoding:
    """The encoding on the grid that someone chose for `tensor`: nearest even, the whole range of the format.
    Raises SpecError for a format that has no grid, and for a zero point outside its range."""
    grid, found = tensor.quantisation, find_format(tensor.dtype)
    assert grid is not None
    if found.kind not in ("int", "levels"):
        raise SpecError(
            f"tensor {tensor.name!r} has a grid and the format {tensor.dtype}: grids are of int4, int8, "
            "int16, ternary and binary numbers"
        )
    base = Encoding(found, symmetric=False)
    low, high = base.limits if found.kind == "int" else (0, 0)
    for zero in grid.zero_points:
        if not low <= zero <= high:
            takes = f"those from {low} to {high}" if high else "only 0"
            raise SpecError(
                f"tensor {tensor.name!r} has the zero point {zero}, and {tensor.dtype} takes {takes}"
            )
    if grid.axis is not None:
        return replace(base, by_channel=grid)
    return replace(base, scale=grid.scales[0], zero_point=grid.zero_points[0])


def largest_size(values: Array) -> float:
    """The largest finite |value|; 0 when there is none."""
    if not values.size:
        return 0.0
    most = max(abs(float(values.max())), abs(float(values.min())))
    if math.isfinite(most):
        return most
    finite = values[np.isfinite(values)]
    return max(abs(float(finite.max())), abs(float(finite.min()))) if finite.size else 0.0


def _levels(found: Format, reals: Array) -> Encoding:
    sizes = np.abs(np.asarray(reals, dtype=np.float64))
    sizes = sizes[np.isfinite(sizes)]
    mean = float(sizes.mean()) if sizes.size else 0.0
    if found.name == "binary":
        return Encoding(found, mean or 1.0)
    threshold = TERNARY_THRESHOLD * mean
    kept = sizes[sizes > threshold]
    return Encoding(found, float(kept.mean()) if kept.size else 1.0, threshold=threshold)


def _store_float(reals: Array, to: Format, largest: float, step: float) -> Array:
    if to.name == "fp32":
        with np.errstate(over="ignore"):
            single = np.asarray(reals, dtype=np.float32)
        return np.clip(single, -np.float32(largest), np.float32(largest))
    clipped = np.asarray(np.clip(reals, -largest, largest), dtype=np.float64)
    if to.name == "fp16":
        return clipped.astype(np.float16).astype(np.float32)
    # By definition: so many significant bits, spaced no closer than the smallest numbers. A conversion by way
    # of fp32 would round twice.
    _, exponent = np.frexp(clipped)
    places = to.significand - np.maximum(exponent, to.significand + round(math.log2(step)))
    found: Array = np.ldexp(np.rint(np.ldexp(clipped, places)), -places).astype(np.float32)
    return found
