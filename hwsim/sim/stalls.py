"""Why a stage stood still: every picosecond of a run goes to work or to a named cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.errors import SpecError
from hwsim.plan import Cause, Program
from hwsim.result import Trace

if TYPE_CHECKING:
    from hwsim.kernels.stalls import CauseColumns

OTHER = "other"
TAIL = "tail"


@dataclass(frozen=True, eq=False)
class StallTable:
    """Where the time of one in-order stage went, by operator. Arrays are read-only.

    `stall_ps` has a column for each of `causes`: the names asked for, then "other" (held back by none of
    them, such as a shared resource) and "tail" (after the stage's last tile, in the row of the last operator
    that has tiles). `active_ps` is the time with at least one tile in service: the busy time of a resource
    with one server. active_ps.sum() + stall_ps.sum() is the makespan, exactly.
    """

    focus: str
    causes: tuple[str, ...]
    stall_ps: Int64Array  # (operators, causes)
    active_ps: Int64Array  # (operators,)

    def __post_init__(self) -> None:
        self.stall_ps.setflags(write=False)
        self.active_ps.setflags(write=False)

    @property
    def totals_ps(self) -> dict[str, int]:
        """Stalls of the whole run by cause."""
        return dict(zip(self.causes, self.stall_ps.sum(axis=0).tolist(), strict=True))


def attribute_stalls(program: Program, trace: Trace, focus: str, causes: Sequence[Cause]) -> StallTable:
    """Share out the idle time of the in-order stage `focus`, tile by tile.

    The gap before a tile is from the last end of the tiles before it to its start. The first cause takes
    the gap up to the time its condition was met, the next from there up to its own, and so on; "other" takes
    the rest. The condition of a cause is, by kind: "stage", the end of stage `what` for the tile; "wait", the
    last end among what Wait `what` makes the tile wait for; "pool", when the slot of pool `what` that the
    tile takes was free: take number k (from 0) needs the free number k - slots in order of time. A tile
    that does not wait or take has met the condition from the start.

    Causes of one name share a column. Raises SpecError for an unknown or out-of-order focus, for causes that
    name nothing in the pipeline, and for the reserved names "other" and "tail".
    """
    from hwsim.kernels.stalls import share_out  # numba takes 0.3 s to load

    pipeline = program.pipeline
    in_order = [stage.name for stage in pipeline.stages if stage.in_order]
    if focus not in in_order:
        known = ", ".join(in_order)
        raise SpecError(f"stalls of stage {focus!r} cannot be told; in-order stages are {known}")
    names = tuple(cause.name for cause in causes)
    if reserved := {OTHER, TAIL}.intersection(names):
        raise SpecError(f"stall causes cannot be called {', '.join(sorted(reserved))}: those names are taken")
    operators = len(program.first_tile) - 1
    stall_ps = np.zeros((operators, len(names) + 2), dtype=np.int64)
    active_ps = np.zeros(operators, dtype=np.int64)
    done_ps = share_out(
        trace.start_ps,
        np.array(program.durations_ps, dtype=np.int64, order="C"),
        np.array(program.kind_of_tile, dtype=np.int32),
        np.array(program.first_tile, dtype=np.int64),
        pipeline.stage_index(focus),
        _cause_columns(program, trace, causes),
        stall_ps,
        active_ps,
    )
    if program.tiles:
        last = int(np.flatnonzero(np.diff(program.first_tile))[-1])
        stall_ps[last, -1] = trace.makespan_ps - done_ps
    merged = (*dict.fromkeys(names), OTHER, TAIL)
    member = np.array(
        [[name == column for column in merged] for name in (*names, OTHER, TAIL)], dtype=np.int64
    )
    return StallTable(focus, merged, stall_ps @ member, active_ps)


def completions(trace: Trace) -> Int64Array:
    """(operators,) when the last stage of each operator's tiles ends; 0 for one without tiles (a view)."""
    from hwsim.kernels.stalls import last_ends

    last: Int64Array = np.zeros(len(trace.first_tile) - 1, dtype=np.int64)
    last_ends(
        trace.start_ps,
        np.array(trace.durations_ps, dtype=np.int64, order="C"),
        np.array(trace.kind_of_tile, dtype=np.int32),
        np.array(trace.first_tile, dtype=np.int64),
        last,
    )
    return last


def _cause_columns(program: Program, trace: Trace, causes: Sequence[Cause]) -> CauseColumns:
    from hwsim.kernels.stalls import ROWS, SLOT, STAGE, CauseColumns

    pipeline = program.pipeline
    codes = {"stage": STAGE, "wait": ROWS, "pool": SLOT}
    known = {
        "stage": list(pipeline.stage_names),
        "wait": [wait.name for wait in pipeline.waits],
        "pool": [pool.name for pool in pipeline.pools],
    }
    count = len(causes)
    kind, stage, spare = (np.zeros(count, dtype=np.int64) for _ in range(3))
    takes = np.zeros((count, program.durations_ps.shape[1]), dtype=np.bool_)
    tiles: list[Int64Array] = []
    whens: list[Int64Array] = []
    for row, cause in enumerate(causes):
        if cause.what not in known.get(cause.kind, ()):
            raise SpecError(f"stall cause {cause.name!r}: the pipeline has no {cause.kind} {cause.what!r}")
        index = known[cause.kind].index(cause.what)
        kind[row] = codes[cause.kind]
        tile = when = np.zeros(0, dtype=np.int64)
        if cause.kind == "stage":
            stage[row] = index
        elif cause.kind == "wait":
            tile, when = program.wait_tiles[index], _awaited_ends_ps(program, trace, index)
        else:
            spare[row] = pipeline.pools[index].slots
            takes[row] = program.takes[index]
            when = _freed_ps(program, trace, index)
            tile = np.zeros(len(when), dtype=np.int64)
        tiles.append(tile)
        whens.append(when)
    ends = np.cumsum([0, *map(len, whens)], dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int64)
    return CauseColumns(
        kind=kind,
        stage=stage,
        place=ends[:-1].copy(),
        last=ends[1:].copy(),
        tile=np.concatenate([nothing, *tiles]),
        when=np.concatenate([nothing, *whens]),
        spare=spare,
        takes=takes,
    )


def _awaited_ends_ps(program: Program, trace: Trace, index: int) -> Int64Array:
    """Ends of what each row of a Wait waits for."""
    stage = program.pipeline.stage_index(program.pipeline.waits[index].upon)
    upon = program.wait_upon[index]
    ends: Int64Array = trace.start_ps[stage, upon] + program.durations_ps[stage, program.kind_of_tile[upon]]
    return ends


def _freed_ps(program: Program, trace: Trace, index: int) -> Int64Array:
    """When slots of a pool were given back, ascending."""
    from hwsim.kernels.stalls import freed_times

    stage = program.pipeline.stage_index(program.pipeline.pools[index].freed_by)
    freed: Int64Array = np.empty(program.tiles, dtype=np.int64)
    count = freed_times(
        trace.start_ps[stage],
        np.array(program.durations_ps[stage], dtype=np.int64),
        np.array(program.kind_of_tile, dtype=np.int32),
        np.array(program.frees[index], dtype=np.bool_),
        freed,
    )
    if count >= 0:
        return freed[:count]
    return np.sort(freed[: -count - 1], kind="stable")
