"""Where axes have their lines: round values on linear axes, powers of ten on logarithmic ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

LINES = 4  # about so many on a linear axis


@dataclass(frozen=True)
class Tick:
    """A line across the plot and its label, `at` percent from the top or from the left."""

    at: float
    label: str


def linear_ticks(top: float) -> list[float]:
    """Round values from zero to the first one that is not below `top`."""
    if top <= 0:
        return [0.0]
    raw = top / LINES
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * scale for factor in (1, 2, 2.5, 5, 10) if factor * scale >= raw * (1 - 1e-9))
    count = math.ceil(top / step * (1 - 1e-9))
    return [index * step for index in range(count + 1)]


def decades(low: float, high: float) -> tuple[int, int]:
    """The exponents of ten that hold both values between them, at least one decade apart."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return first, max(last, first + 1)
