"""Trace: what happened when. The outcome of a simulation, as columns over stages and tiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwsim.plan import Program
from hwsim.plan.program import Int64Array

# The start of a tile that was never served. Twice this still fits int64, so that never + duration is safe.
NEVER_PS = 2**62


@dataclass(frozen=True, eq=False)
class Trace:
    """When every tile was served in every stage; S stages, n tiles. Arrays are read-only.

    A start is when a server took the tile up (for a demand of length zero: when it was issued), not when
    the tile was issued: between the two it waited for a server. `path` is the timing path that found it.
    """

    program: Program
    start_ps: Int64Array  # (S, n)
    makespan_ps: int
    path: str  # "events" or "fast"

    def __post_init__(self) -> None:
        self.start_ps.setflags(write=False)

    @cached_property
    def end_ps(self) -> Int64Array:
        """(S, n) start plus the duration of the tile's kind."""
        ends = np.stack([self.stage_end_ps(stage) for stage in range(len(self.start_ps))])
        ends.setflags(write=False)
        return ends

    def stage_end_ps(self, stage: int) -> Int64Array:
        """(n,) the ends of one stage, for those who do not need them all."""
        program = self.program
        durations_ps: Int64Array = program.durations_ps[stage].take(program.kind_of_tile)
        ends_ps: Int64Array = self.start_ps[stage] + durations_ps
        return ends_ps
