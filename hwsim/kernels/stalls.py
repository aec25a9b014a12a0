"""The compiled walk that shares out the idle time of a stage among causes."""

from __future__ import annotations

from typing import NamedTuple

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.kernels.compile import compiled_in_place, inlined

# Kinds of cause.
STAGE = 0  # a stage of the same tile has not ended
ROWS = 1  # what the tile waits for, listed in rows, has not ended
SLOT = 2  # no slot is free


class CauseColumns(NamedTuple):
    """Causes as the walk reads them: C causes, k kinds."""

    kind: Int64Array  # (C,) STAGE, ROWS or SLOT
    stage: Int64Array  # (C,) STAGE: which
    place: Int64Array  # (C,) ROWS and SLOT: first entry in `when`; the walk moves it on
    last: Int64Array  # (C,) one past the last entry
    tile: Int64Array  # ROWS: the waiting tile of each entry, ascending
    when: Int64Array  # ROWS: end of what is awaited; SLOT: times at which slots become free, ascending
    spare: Int64Array  # (C,) SLOT: slots never taken; the walk uses them up
    takes: BoolArray  # (C, k) SLOT: which kinds take


@compiled_in_place
def freed_times(
    starts: Int64Array, durations: Int64Array, kind_of_tile: Int32Array, frees: BoolArray, freed: Int64Array
) -> int:
    """Write the ends of one stage's freeing tiles into `freed`, in tile order. Returns how many, negated
    (less one) where they are not ascending."""
    count = 0
    ascending = True
    for tile in range(kind_of_tile.size):
        kind = kind_of_tile[tile]
        if frees[kind]:
            freed[count] = starts[tile] + durations[kind]
            if count > 0 and freed[count] < freed[count - 1]:
                ascending = False
            count += 1
    return count if ascending else -count - 1


@inlined
def _met(c: CauseColumns, cause: int, starts: Int64Array, durations: Int64Array, tile: int, kind: int) -> int:
    """When the condition of the cause was met for the tile (0: it never held the tile back)."""
    met = 0
    if c.kind[cause] == STAGE:
        stage = c.stage[cause]
        met = starts[stage, tile] + durations[stage, kind]
    elif c.kind[cause] == ROWS:
        while c.place[cause] < c.last[cause] and c.tile[c.place[cause]] == tile:
            met = max(met, c.when[c.place[cause]])
            c.place[cause] += 1
    elif c.takes[cause, kind]:
        if c.spare[cause] > 0:
            c.spare[cause] -= 1
        else:
            met = c.when[c.place[cause]]
            c.place[cause] += 1
    return met


@compiled_in_place
def share_out(
    starts: Int64Array,
    durations: Int64Array,
    kind_of_tile: Int32Array,
    first_tile: Int64Array,
    focus: int,
    c: CauseColumns,
    stalls: Int64Array,
    active: Int64Array,
) -> int:
    """Add to `stalls` (operators, C + 2) and `active` (operators,), zero before; returns the end of the
    last work. starts (S, n), durations (S, k), first_tile (operators + 1,)."""
    causes = c.kind.size
    now = 0
    for operator in range(active.size):
        for tile in range(first_tile[operator], first_tile[operator + 1]):
            kind = kind_of_tile[tile]
            start = starts[focus, tile]
            for cause in range(causes):
                met = min(_met(c, cause, starts, durations, tile, kind), start)
                if met > now:
                    stalls[operator, cause] += met - now
                    now = met
            if start > now:
                stalls[operator, causes] += start - now
                now = start
            end = start + durations[focus, kind]
            if end > now:
                active[operator] += end - now
                now = end
    return now


@compiled_in_place
def last_ends(
    starts: Int64Array,
    durations: Int64Array,
    kind_of_tile: Int32Array,
    first_tile: Int64Array,
    last: Int64Array,
) -> int:
    """Fill `last` (operators,), zero before, with the last end of any stage of each operator's tiles;
    returns the last of all."""
    latest = 0
    for operator in range(last.size):
        now = 0
        for tile in range(first_tile[operator], first_tile[operator + 1]):
            kind = kind_of_tile[tile]
            for stage in range(durations.shape[0]):
                now = max(now, starts[stage, tile] + durations[stage, kind])
        last[operator] = now
        latest = max(latest, now)
    return latest
