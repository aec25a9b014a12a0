"""Where a place of a sequence stands, as numbers: sines and cosines to add, angles to turn by, and counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hwsim.tensor.tensor import Array, Shape

SINUSOID_BASE = 10_000.0  # Vaswani et al., 2017, sec. 3.5


@dataclass(frozen=True, slots=True)
class Sinusoids:
    """[places, width], the first row that of place `start`: row p holds sin(p / base^(2 i / width)) at 2 i
    and the cosine of the same at 2 i + 1 (Vaswani et al., "Attention is all you need", 2017, sec. 3.5)."""

    start: int
    places: int
    width: int

    def __call__(self) -> Array:
        angles = _angles(self.start, self.places, self.width, SINUSOID_BASE)
        found = np.empty((self.places, 2 * angles.shape[1]))
        found[:, 0::2], found[:, 1::2] = np.sin(angles), np.cos(angles)
        return found[:, : self.width].astype(np.float32)


@dataclass(frozen=True, slots=True)
class Rotation:
    """[places, size / 2]: the cosine or the sine of p / base^(2 i / size) for each place p from `start` on
    (Su et al., "RoFormer", 2021, sec. 3.2)."""

    function: Literal["cosine", "sine"]
    start: int
    places: int
    size: int
    base: float

    def __call__(self) -> Array:
        angles = _angles(self.start, self.places, self.size, self.base)
        found: Array = np.cos(angles) if self.function == "cosine" else np.sin(angles)
        return found.astype(np.float32)


def _angles(start: int, places: int, width: int, base: float) -> Array:
    """[places, ceil(width / 2)]."""
    rates = base ** (-np.arange(0, width, 2) / width)
    found: Array = np.arange(start, start + places)[:, None] * rates
    return found


@dataclass(frozen=True, slots=True)
class Counted:
    """Whole numbers in a row: `start`, `start` + `step` and so on, as many as `shape` has places."""

    shape: Shape
    start: int = 0
    step: int = 1

    def __call__(self) -> Array:
        count = int(np.prod(self.shape))
        found: Array = (self.start + self.step * np.arange(count)).astype(np.int32).reshape(self.shape)
        return found
