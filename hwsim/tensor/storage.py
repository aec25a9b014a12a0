"""How a tensor lies in a file or a memory: its exact size by part, and the grid that its numbers lie on."""

from __future__ import annotations

from dataclasses import dataclass


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
    (`axis` None), or one of each for every index of `axis`."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int | None = None
