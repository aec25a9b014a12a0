"""How a tensor lies in a file or a memory: its exact size by part, and the grid that its numbers lie on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwsim.errors import SpecError

SCALE_BITS = 32  # of each scale of a chosen grid


@dataclass(frozen=True, slots=True)
class Storage:
    """Exact size of a tensor under a codec. `parts` gives bits by part ("values", "index", "pointers",
    "codebook", "code tables", "header"): every stored bit is in one part, and in one only."""

    codec: str
    parts: tuple[tuple[str, int], ...]

    @property
    def bits(self) -> int:
        """All stored bits."""
        return sum(bits for _, bits in self.parts)


@dataclass(frozen=True, slots=True)
class Quantisation:
    """A chosen grid: real = (stored - zero point) * scale. One scale and zero point for the whole tensor
    (`axis` None), or one of each for every index of `axis`. Raises SpecError for scales that are not
    positive, and for other than one zero point a scale."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        if len(self.scales) != len(self.zero_points) or not self.scales:
            raise SpecError(
                f"a grid needs one zero point for each scale, and has {len(self.zero_points)} for "
                f"{len(self.scales)}"
            )
        if self.axis is None and len(self.scales) > 1:
            raise SpecError(f"a grid of {len(self.scales)} scales must name the axis that they lie along")
        for scale in self.scales:
            if not (math.isfinite(scale) and scale > 0):
                raise SpecError(f"a grid has the scale {scale}: every scale must be positive and finite")
