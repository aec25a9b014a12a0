"""Grids of whole numbers: which one covers a range, and how weights are laid on it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.compress.calibrate import Ranges, find_range
from hwsim.compress.layers import WeightRef, held, read_weight
from hwsim.errors import SpecError
from hwsim.tensor.formats import find_format
from hwsim.tensor.storage import Quantisation
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.graph import Workload

Per = Literal["tensor", "channel"]
WeightRounding = Literal["nearest", "stochastic"]
INTEGER_BITS = (4, 8, 16)

_LEAST_SCALE = 2.0**-200  # so that a tensor of zeros has a grid too


@dataclass(frozen=True, slots=True)
class Grid:
    """How grids of `dtype` are laid: around zero or from end to end, with any scale or with powers of two
    (fixed point)."""

    dtype: str
    symmetric: bool = True
    power_of_two: bool = False

    def __post_init__(self) -> None:
        found = find_format(self.dtype)
        if found.kind != "int" or found.bits not in INTEGER_BITS:
            raise SpecError(
                f"{self.dtype} has no grid to choose: int4, int8 and int16 have one; `Workload.astype` "
                "changes to any other format"
            )

    @property
    def low(self) -> int:
        """The least stored number; symmetric scales leave the most negative one unused."""
        half = 1 << (find_format(self.dtype).bits - 1)
        return -half + 1 if self.symmetric and not self.power_of_two else -half

    @property
    def high(self) -> int:
        return (1 << (find_format(self.dtype).bits - 1)) - 1

    @property
    def reach(self) -> int:
        """The largest distance of a stored number from a zero point."""
        return -self.low if self.symmetric else self.high - self.low

    @property
    def levels(self) -> int:
        """Steps on one side of zero; on both where numbers of one sign have all of them."""
        return self.high if self.symmetric else self.high - self.low

    def over(self, low: float, high: float, least_scale: float = _LEAST_SCALE) -> tuple[float, int]:
        """Scale (of at least `least_scale`) and zero point for numbers from `low` to `high`. Zero is always
        on the grid, so that padding and pruned weights stay exact."""
        low, high = min(low, 0.0), max(high, 0.0)
        least = max(least_scale, _LEAST_SCALE)
        if not self.symmetric:
            scale = max((high - low) / (self.high - self.low), least)
            return scale, min(max(self.low + round(-low / scale), self.low), self.high)
        scale = max(high / self.high, low / self.low, least)
        return (2.0 ** math.ceil(math.log2(scale)) if self.power_of_two else scale), 0

    @property
    def words(self) -> str:
        """For the history."""
        if self.power_of_two:
            return f"fixed point of {find_format(self.dtype).bits} bits"
        return f"{self.dtype} {'symmetric' if self.symmetric else 'asymmetric'}"


@dataclass(frozen=True, slots=True)
class WeightPlan:
    """How weights are laid on grids: one a tensor or one an output channel, by which range, rounded how."""

    grid: Grid
    per: Per
    ranges: Ranges
    rounding: WeightRounding
    seed: int

    def __post_init__(self) -> None:
        for what, value, known in (("per", self.per, Per), ("rounding", self.rounding, WeightRounding)):
            if value not in get_args(known):
                raise SpecError(f"{what} is {value!r}: it must be {' or '.join(get_args(known))}")

    def lay(self, workload: Workload, ref: WeightRef, least_scale: float = 0.0) -> Tensor:
        """The weight on its grid. Rounding to the nearest is left to whoever stores it; a stochastic choice
        is made here, once, and gives numbers that lie on the grid. Raises SpecError for weights that are not
        finite."""
        values = read_weight(workload, ref)
        chosen = self._choose(values, ref, least_scale)
        tensor = replace(workload.tensors[ref.tensor], dtype=self.grid.dtype, quantisation=chosen)
        if self.rounding == "nearest":
            return tensor
        values = self._stochastic(values, chosen, ref)
        density = float(np.count_nonzero(values)) / values.size
        return replace(tensor, values=held(values), density=density, codebook=(), storage=None)

    def _choose(self, values: Array, ref: WeightRef, least_scale: float) -> Quantisation:
        parts = [values] if self.per == "tensor" else list(np.moveaxis(values, ref.out_axis, 0))
        pairs = [
            self.grid.over(*find_range(part, self.ranges, self.grid.levels), least_scale) for part in parts
        ]
        scales, zero_points = zip(*pairs, strict=True)
        return Quantisation(
            tuple(scales), tuple(zero_points), ref.out_axis if self.per == "channel" else None
        )

    def _stochastic(self, values: Array, chosen: Quantisation, ref: WeightRef) -> Array:
        """Each number goes to one of its two neighbours on the grid: up with the probability of its distance
        from the lower one, so that its expectation stays (Gupta et al., ICML 2015, section 3)."""
        scales, zeros = along(chosen, values.ndim)
        digest = hashlib.blake2b(f"{ref.tensor}\0{self.seed}".encode(), digest_size=16).digest()
        draw = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
        stored = np.floor(values / scales + draw.random(values.shape)) + zeros
        found: Array = (np.clip(stored, self.grid.low, self.grid.high) - zeros) * scales
        return found

    @property
    def words(self) -> str:
        """For the history."""
        return ", ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        yield f"{self.grid.words} per {self.per}"
        yield self.ranges.words
        if self.rounding == "stochastic":
            yield f"rounded stochastically from seed {self.seed}"


def along(chosen: Quantisation, rank: int) -> tuple[Float64Array, Float64Array]:
    """Scales and zero points, shaped to meet a tensor of `rank` dimensions."""
    shape = [1] * rank
    if chosen.axis is not None:
        shape[chosen.axis] = -1
    zero_points = np.array(chosen.zero_points, dtype=np.float64)
    return np.array(chosen.scales, dtype=np.float64).reshape(shape), zero_points.reshape(shape)
