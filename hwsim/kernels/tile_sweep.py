"""The quick compiled loop of the tile pipeline, tile by tile: three times as fast as `tile_pipeline.schedule`
where every resource has one server, and no later tile can overtake an earlier one."""

from __future__ import annotations

from typing import NamedTuple

from hwsim.arrays import Int64Array
from hwsim.kernels.compile import compiled_in_place, inlined
from hwsim.kernels.tile_pipeline import NEVER, UNLIMITED, Columns

FAR = 64  # how many places an early free may move up in the list of frees before `sweep` gives up


class Sweep(NamedTuple):
    """What `sweep` keeps from tile to tile."""

    start: Int64Array  # (S, n)
    ends: Int64Array  # (S,) of the tile at hand
    issued: Int64Array  # (S,) when the last tile was issued
    asked: Int64Array  # (R,) when a server was last asked for
    asked_by: Int64Array  # (R,) by whom: stage * n + tile
    idle: Int64Array  # (R,) when the server is idle
    wait_row: Int64Array  # (W,) first row not yet passed
    taken: Int64Array  # (P,) slots taken so far
    freed: Int64Array  # (P,) slots given back so far
    free_at: Int64Array  # (P, n) when they are free, ascending


@inlined
def _awaited_end(c: Columns, s: Sweep, stage: int, tile: int) -> int:
    """When all that the tile waits for has ended, NEVER or more if that is not known; passes its rows."""
    latest = 0
    for link in range(1, c.awaits[stage, 0] + 1):
        wait = c.awaits[stage, link]
        upon = c.upon[wait]
        row = s.wait_row[wait]
        while row < c.wait_first[wait + 1] and c.wait_tiles[row] == tile:
            other = c.wait_upon[row]
            latest = max(latest, s.start[upon, other] + c.durations[c.kind_of_tile[other], upon])
            row += 1
        s.wait_row[wait] = row
    return latest


@inlined
def _slots_free(c: Columns, s: Sweep, stage: int, kind: int) -> int:
    """When the slots are free that the tile needs, NEVER if that is not known; takes them."""
    latest = 0
    for link in range(1, c.taken[stage, 0] + 1):
        pool = c.taken[stage, link]
        if c.takes[kind, pool]:
            place = s.taken[pool] - c.slots[pool]  # take number k needs the free number k - slots
            s.taken[pool] += 1
            if place >= s.freed[pool]:
                latest = NEVER
            elif place >= 0:
                latest = max(latest, s.free_at[pool, place])
    return latest


@inlined
def _give_back(c: Columns, s: Sweep, stage: int, kind: int, end: int) -> bool:
    """Enter the slots freed at `end` in order of time; False when that is too much work."""
    near = True
    for link in range(1, c.freed[stage, 0] + 1):
        pool = c.freed[stage, link]
        if c.frees[kind, pool]:
            last = place = s.freed[pool]
            s.freed[pool] = last + 1
            while place > 0 and s.free_at[pool, place - 1] > end and last - place < FAR:
                s.free_at[pool, place] = s.free_at[pool, place - 1]
                place -= 1
            s.free_at[pool, place] = end
            near = near and last - place < FAR
    return near


@compiled_in_place
def sweep(c: Columns, order: Int64Array, s: Sweep) -> int:
    """Fill `s.start`, all NEVER before, tile by tile; returns the end of the last service, or -1 where that
    cannot be done: a start hangs on a later tile, or requests do not come in the order in which they are
    granted (`start` is then unfinished).

    `order` holds the stages with none before what it is after. Right only where every limited resource has
    one server, and where what frees a slot comes after what takes it.
    """
    makespan = 0
    tiles = c.kind_of_tile.size
    for tile in range(tiles):
        kind = c.kind_of_tile[tile]
        for stage in order:
            duration = c.durations[kind, stage]
            begin = 0
            for link in range(1, c.before[stage, 0] + 1):
                begin = max(begin, s.ends[c.before[stage, link]])
            if c.in_order[stage]:
                begin = max(
                    begin, s.issued[stage], _awaited_end(c, s, stage, tile), _slots_free(c, s, stage, kind)
                )
                s.issued[stage] = begin
            if begin >= NEVER:
                return -1
            if duration > 0 and c.manner[stage] != UNLIMITED:
                resource = c.resource[stage]
                by = stage * tiles + tile
                # First come, first served is the order of the sweep only while requests come in it.
                if begin < s.asked[resource] or (begin == s.asked[resource] and by < s.asked_by[resource]):
                    return -1
                s.asked[resource] = begin
                s.asked_by[resource] = by
                begin = max(begin, s.idle[resource])
                s.idle[resource] = begin + duration
            s.start[stage, tile] = begin
            end = begin + duration
            s.ends[stage] = end
            makespan = max(makespan, end)
            if not _give_back(c, s, stage, kind, end):
                return -1
    return makespan
