"""Trace: what happened when. Starts are stored; ends follow from the tiles' kinds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hwsim.arrays import Int32Array, Int64Array


@dataclass(frozen=True, eq=False)
class Trace:
    """Start and end of every stage of every tile. S stages, n tiles, k kinds.

    A stage of length zero starts and ends when it was issued. `first_tile` gives each operator's range.
    """

    stages: tuple[str, ...]
    stage_resources: tuple[str, ...]
    first_tile: Int64Array  # (operators + 1,)
    kind_of_tile: Int32Array  # (n,)
    durations_ps: Int64Array  # (S, k)
    start_ps: Int64Array  # (S, n)
    makespan_ps: int
    path: str  # "events" or "fast"

    def __post_init__(self) -> None:
        self.start_ps.setflags(write=False)

    @property
    def tiles(self) -> int:
        return len(self.kind_of_tile)

    @cached_property
    def end_ps(self) -> Int64Array:
        """(S, n)"""
        ends: Int64Array = self.start_ps + self.durations_ps[:, self.kind_of_tile]
        ends.setflags(write=False)
        return ends

    def ends(self, stage: int) -> Int64Array:
        """(n,) ends of one stage, without making the whole table."""
        found: Int64Array = self.start_ps[stage] + self.durations_ps[stage][self.kind_of_tile]
        return found
