"""Tensors: name, shape, number format, role, and values that exist only once somebody asks for them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Int64Array
from hwsim.errors import CapacityError, SpecError
from hwsim.tensor.formats import format_bits
from hwsim.tensor.storage import SCALE_BITS, Quantisation, Storage

Array = NDArray[Any]
Shape = tuple[int, ...]
Role = Literal["input", "weight", "activation", "constant", "output", "cache"]
Values = Callable[[], Array]

# More elements than any network of today has in one tensor (a 70-billion-parameter network has 2**28).
MAX_ELEMENTS = 2**40
# What may be made in memory at once: 8 GiB of fp32.
MAX_VALUE_ELEMENTS = 2**31
MAX_RANK = 16


def check_shape(shape: Shape, what: str) -> None:
    """Refuse dimensions below one and tensors no machine holds. Raises SpecError naming `what`."""
    if len(shape) > MAX_RANK:
        raise SpecError(f"{what} has {len(shape)} dimensions, and hwsim takes at most {MAX_RANK}")
    for size in shape:
        if type(size) is not int or not 1 <= size <= MAX_ELEMENTS:
            raise SpecError(
                f"{what} has shape {format_shape(shape)}: every dimension must be an integer of at least 1 "
                f"and at most {MAX_ELEMENTS:,}"
            )
    if math.prod(shape) > MAX_ELEMENTS:
        raise SpecError(
            f"{what} has shape {format_shape(shape)}, {math.prod(shape):.3g} elements: more than the "
            f"{MAX_ELEMENTS:.3g} hwsim takes for one tensor"
        )


def format_shape(shape: Shape) -> str:
    """[1, 3, 224, 224] as people write it."""
    return f"[{', '.join(map(str, shape))}]"


@dataclass(frozen=True)
class Tensor:
    """`shape` in elements, `dtype` a number format, `density` the share of elements that are not zero.

    `values` returns the numbers before any quantisation (as the file or the seed gives them), anew at each
    call; it takes no part in comparisons, since what it returns follows from the workload's source and seed.
    `storage` is the exact size of what is stored where that is not the dense tensor; `size_bytes` stays the
    dense one, since only a machine that knows the codec saves anything. `codebook` lists the few values that
    shared weights have beside zero. `quantisation` is the grid that someone chose; without it the scale
    follows from the values. Of role "cache" is what stays in a device's memory from run to run and grows:
    keys and values of attention. A tensor with an `index_range` holds indices, whole numbers from 0 up to
    below it, and keeps its format whatever the network's is.
    """

    name: str
    shape: Shape
    dtype: str
    role: Role
    density: float = 1.0
    storage: Storage | None = None
    codebook: tuple[float, ...] = ()
    quantisation: Quantisation | None = None
    index_range: int = 0
    values: Values | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_shape(self.shape, f"tensor {self.name!r}")
        format_bits(self.dtype)
        if not 0.0 <= self.density <= 1.0:
            raise SpecError(f"tensor {self.name!r} has density {self.density}: it must lie between 0 and 1")
        self._check_grid()

    def _check_grid(self) -> None:
        grid = self.quantisation
        if grid is None or grid.axis is None:
            return
        if not 0 <= grid.axis < len(self.shape) or len(grid.scales) != self.shape[grid.axis]:
            raise SpecError(
                f"tensor {self.name!r} of shape {format_shape(self.shape)} has {len(grid.scales)} scales "
                f"along axis {grid.axis}: a grid needs one for every index of an axis that is there"
            )

    @property
    def codec(self) -> str:
        """How the tensor is stored."""
        return "dense" if self.storage is None else self.storage.codec

    @property
    def stored_parts(self) -> dict[str, int]:
        """Bits of the tensor as it is stored, by part; "scales" are those of the chosen grid, with its zero
        points."""
        parts = {"values": self.size_bits} if self.storage is None else dict(self.storage.parts)
        if (grid := self.quantisation) is not None:
            zeros = len(grid.zero_points) * format_bits(self.dtype) if any(grid.zero_points) else 0
            parts["scales"] = len(grid.scales) * SCALE_BITS + zeros
        return parts

    @property
    def stored_bits(self) -> int:
        """Bits of the tensor as it is stored, each counted once."""
        return sum(self.stored_parts.values())

    @cached_property
    def elements(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def size_bits(self) -> int:
        return self.elements * format_bits(self.dtype)

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of the dense tensor, rounded up."""
        return -(-self.size_bits // 8)


def read_values(tensor: Tensor) -> Array:
    """The values of `tensor`, shaped and read-only. Raises SpecError when it has none, CapacityError when
    they would not fit in memory."""
    if tensor.values is None:
        raise SpecError(
            f"tensor {tensor.name!r} has no values of its own: the network computes or receives it"
        )
    if tensor.elements > MAX_VALUE_ELEMENTS:
        raise CapacityError(
            f"tensor {tensor.name!r} has {tensor.elements:,} elements, too many to make at once "
            f"(at most {MAX_VALUE_ELEMENTS:,})"
        )
    values = tensor.values()
    if values.shape != tensor.shape:
        values = values.reshape(tensor.shape)
    values.setflags(write=False)
    return values


# How seeded values are drawn. Weights follow He et al., "Delving Deep into Rectifiers", ICCV 2015, eq. 10:
# a normal of variance 2 / fan-in keeps activations of ReLU networks of one size from layer to layer. The
# rest stays near a trained network's values and away from 0 and 1, which would hide a forgotten term.
Distribution = Literal["weight", "bias", "scale", "shift", "mean", "variance"]


@dataclass(frozen=True, slots=True)
class Seeded:
    """Values drawn from a seed: the same for the same (workload, tensor, seed) in every process."""

    workload: str
    tensor: str
    shape: Shape
    seed: int
    distribution: Distribution
    fan_in: int = 1

    def __call__(self) -> Array:
        draw = _generator(self.workload, self.tensor, self.seed)
        if self.distribution == "variance":
            return draw.uniform(0.5, 1.5, self.shape).astype(np.float32)
        normal = draw.standard_normal(self.shape, dtype=np.float32)
        if self.distribution == "weight":
            return normal * np.float32(math.sqrt(2.0 / self.fan_in))
        return normal * np.float32(0.1) + np.float32(1.0 if self.distribution == "scale" else 0.0)


def shared_values(bits: int, scale: float) -> tuple[float, ...]:
    """The 2**bits - 1 values beside zero that seeded shared weights take: evenly spaced, of root mean square
    `scale`."""
    half = 2 ** (bits - 1)
    steps = np.array([step for step in range(1 - half, half + 1) if step], dtype=np.float64)
    values = steps * (scale / math.sqrt(float((steps**2).mean())))
    return tuple(float(value) for value in values.astype(np.float32))


@dataclass(frozen=True, slots=True)
class SeededSparse:
    """Sparse numbers drawn from a seed: `kept` places of the shape, every choice of them as likely, hold one
    of `values` each, all as likely; without `values` a normal number of standard deviation `scale`."""

    workload: str
    tensor: str
    shape: Shape
    seed: int
    kept: int
    scale: float = 1.0
    values: tuple[float, ...] = ()

    def __call__(self) -> Array:
        draw = _generator(self.workload, self.tensor, self.seed)
        found = np.zeros(math.prod(self.shape), dtype=np.float32)
        places = _places(draw, len(found), self.kept)
        if self.values:
            chosen = draw.integers(len(self.values), size=self.kept)
            found[places] = np.array(self.values, dtype=np.float32)[chosen]
        else:
            numbers = draw.standard_normal(self.kept, dtype=np.float32)
            found[places] = np.where(numbers == 0, np.float32(1), numbers) * np.float32(self.scale)
        return found.reshape(self.shape)


@dataclass(frozen=True, slots=True)
class SeededIndices:
    """Whole numbers from 0 up to below `below` drawn from a seed, all as likely."""

    workload: str
    tensor: str
    shape: Shape
    seed: int
    below: int

    def __call__(self) -> Array:
        draw = _generator(self.workload, self.tensor, self.seed)
        return draw.integers(self.below, size=self.shape, dtype=np.int32)


def draw_input(workload: str, tensor: Tensor, seed: int) -> Array:
    """What a network receives when nobody says: standard normal numbers, as many of them not zero as the
    tensor's density says; of indices any that there are, all as likely."""
    if tensor.index_range:
        return SeededIndices(workload, tensor.name, tensor.shape, seed, tensor.index_range)()
    if tensor.density == 1:
        return Seeded(workload, tensor.name, tensor.shape, seed, "weight", fan_in=2)()
    kept = max(1, round(tensor.density * tensor.elements))
    return SeededSparse(workload, tensor.name, tensor.shape, seed, kept)()


def _places(draw: np.random.Generator, elements: int, kept: int) -> Int64Array:
    """`kept` of so many places, in order. Each element is taken or left by chance, and then as many are
    added or given up, again by chance, as the count is off: much quicker than a permutation."""
    taken = draw.random(elements, dtype=np.float32) < kept / max(1, elements)
    while (excess := int(np.count_nonzero(taken)) - kept) > 0:
        taken[draw.choice(np.flatnonzero(taken), excess, replace=False)] = False
    while (missing := kept - int(np.count_nonzero(taken))) > 0:
        taken[draw.integers(elements, size=missing)] = True
    return np.flatnonzero(taken)


def _generator(workload: str, tensor: str, seed: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{workload}\0{tensor}\0{seed}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


@dataclass(frozen=True, slots=True)
class Filled:
    """One number everywhere."""

    shape: Shape
    number: float

    def __call__(self) -> Array:
        return np.full(self.shape, self.number, dtype=np.float32)
