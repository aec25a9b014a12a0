"""The general compiled loop of the tile pipeline: when does each tile start in each stage? (`tile_sweep` is
quicker, and gives up where a later tile can overtake an earlier one.)

Services are never preempted, so the end of one is known the moment it is granted; the loop therefore has no
completion events. It keeps, for every in-order stage, the time at which its next tile can be issued as far as
the grants so far tell, and repeats one step: take an issue of this instant or the earliest to come, or, when
every issue of the instant is made, the earliest grant. What is learnt later than an instant cannot change
what was done at it: a grant at t ends after t, and a demand of length zero is granted as it is issued.
"""

from __future__ import annotations

from typing import NamedTuple

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.kernels.compile import compiled_in_place, inlined

# How a stage meets its resource.
UNLIMITED = 0  # never fewer servers than demands: granted as issued
ALONE = 1  # the only user of its resource, in order: the grant is known as it is issued
QUEUED = 2  # grants wait until all requests of the instant are in

NEVER = 2**62  # start of a tile not granted; NEVER + any duration fits int64, no sum of durations reaches it


class Columns(NamedTuple):
    """A program as the loops read it: S stages, R resources, P pools, W waits, n tiles, k kinds.

    The tables of indices (`before` to `queuing`) have one row a stage, the last one a resource: a count, then
    so many indices.
    """

    kind_of_tile: Int32Array  # (n,)
    durations: Int64Array  # (k, S)
    in_order: BoolArray  # (S,)
    manner: Int64Array  # (S,) UNLIMITED, ALONE or QUEUED
    resource: Int64Array  # (S,)
    servers: Int64Array  # (R,)
    slots: Int64Array  # (P,)
    before: Int64Array  # stages that must have ended
    behind: Int64Array  # stages that it must end before
    taken: Int64Array  # pools it takes from
    freed: Int64Array  # pools it gives back to
    awaits: Int64Array  # waits that hold it back
    awaited: Int64Array  # waits upon it
    queuing: Int64Array  # of each resource: the in-order stages that are QUEUED at it
    takes: BoolArray  # (k, P)
    frees: BoolArray  # (k, P)
    taker: Int64Array  # (P,) stage
    waiter: Int64Array  # (W,) stage
    upon: Int64Array  # (W,) stage
    wait_first: Int64Array  # (W + 1,) rows of each wait in the two columns below
    wait_tiles: Int64Array  # waiting tile, ascending in each wait
    wait_upon: Int64Array  # tile waited for


class State(NamedTuple):
    """What `schedule` keeps. Heaps are min-heaps of (key, tie), one a row; `*_size` is their fill."""

    start: Int64Array  # (S, n)
    following: Int64Array  # (S,) next tile to issue in order
    ready: Int64Array  # (S,) when it can be issued, as far as is known
    stale: BoolArray  # (S,) `ready` must be worked out again
    wait_row: Int64Array  # (W,) first row not yet passed
    credit: Int64Array  # (P,) slots never taken
    slots: Int64Array  # (2, P, ...) heap: when given-back slots are free
    slots_size: Int64Array
    busy: Int64Array  # (2, R, ...) heap: when each server that was ever used is free
    busy_size: Int64Array
    queue: Int64Array  # (2, S, ...) of an in-order stage, whose requests come in order: request time, tile
    queue_first: Int64Array  # (S,) place of the first request that is not granted
    queue_end: Int64Array  # (S,) place behind the last
    requests: Int64Array  # (2, R, ...) heap, of the other stages: (request time, stage * n + tile)
    requests_size: Int64Array
    waiting: Int64Array  # (R,) requests in queues and heap together
    released: Int64Array  # (2, 1, ...) heap: (time, stage * n + tile) of out-of-order issues to come
    released_size: Int64Array


@inlined
def _push(heaps: Int64Array, size: Int64Array, heap: int, key: int, tie: int) -> None:
    at = size[heap]
    size[heap] = at + 1
    while at > 0:
        parent = (at - 1) >> 1
        above = heaps[0, heap, parent]
        if above < key or (above == key and heaps[1, heap, parent] <= tie):
            break
        heaps[0, heap, at] = above
        heaps[1, heap, at] = heaps[1, heap, parent]
        at = parent
    heaps[0, heap, at] = key
    heaps[1, heap, at] = tie


@inlined
def _replace_least(heaps: Int64Array, size: Int64Array, heap: int, key: int, tie: int) -> None:
    at = 0
    while 2 * at + 1 < size[heap]:
        child = 2 * at + 1
        low, low_tie = heaps[0, heap, child], heaps[1, heap, child]
        if child + 1 < size[heap]:
            right, right_tie = heaps[0, heap, child + 1], heaps[1, heap, child + 1]
            if right < low or (right == low and right_tie < low_tie):
                child, low, low_tie = child + 1, right, right_tie
        if key < low or (key == low and tie <= low_tie):
            break
        heaps[0, heap, at] = low
        heaps[1, heap, at] = low_tie
        at = child
    heaps[0, heap, at] = key
    heaps[1, heap, at] = tie


@inlined
def _drop_least(heaps: Int64Array, size: Int64Array, heap: int) -> None:
    last = size[heap] - 1
    size[heap] = last
    if last > 0:
        _replace_least(heaps, size, heap, heaps[0, heap, last], heaps[1, heap, last])


@inlined
def _stages_end(c: Columns, start: Int64Array, stage: int, tile: int) -> int:
    """When all stages before `stage` have ended for the tile; NEVER or more when that is not known."""
    latest = 0
    kind = c.kind_of_tile[tile]
    for link in range(1, c.before[stage, 0] + 1):
        earlier = c.before[stage, link]
        latest = max(latest, start[earlier, tile] + c.durations[kind, earlier])
    return latest


@inlined
def _ready(c: Columns, s: State, stage: int) -> int:
    """When the next tile of an in-order stage can be issued, as far as the grants so far tell."""
    tile = s.following[stage]
    latest = NEVER
    if tile < c.kind_of_tile.size:
        latest = _stages_end(c, s.start, stage, tile)
        for link in range(1, c.awaits[stage, 0] + 1):
            wait = c.awaits[stage, link]
            upon = c.upon[wait]
            row = s.wait_row[wait]
            while row < c.wait_first[wait + 1] and c.wait_tiles[row] == tile:
                other = c.wait_upon[row]
                latest = max(latest, s.start[upon, other] + c.durations[c.kind_of_tile[other], upon])
                row += 1
        for link in range(1, c.taken[stage, 0] + 1):
            pool = c.taken[stage, link]
            if c.takes[c.kind_of_tile[tile], pool] and s.credit[pool] == 0:
                latest = max(latest, s.slots[0, pool, 0] if s.slots_size[pool] > 0 else NEVER)
    return latest


@inlined
def _pass(c: Columns, s: State, stage: int, tile: int) -> None:
    """The in-order stage issues the tile: take its slots, and look at the next tile."""
    kind = c.kind_of_tile[tile]
    for link in range(1, c.taken[stage, 0] + 1):
        pool = c.taken[stage, link]
        if c.takes[kind, pool]:
            if s.credit[pool] > 0:
                s.credit[pool] -= 1
            else:
                _drop_least(s.slots, s.slots_size, pool)
    for link in range(1, c.awaits[stage, 0] + 1):
        wait = c.awaits[stage, link]
        row = s.wait_row[wait]
        while row < c.wait_first[wait + 1] and c.wait_tiles[row] == tile:
            row += 1
        s.wait_row[wait] = row
    s.following[stage] = tile + 1
    s.stale[stage] = True


@inlined
def _serve(c: Columns, s: State, resource: int, now: int, duration: int) -> int:
    """When the next server of the resource takes up a demand asked for now."""
    begin = now
    if s.busy_size[resource] < c.servers[resource]:
        _push(s.busy, s.busy_size, resource, begin + duration, 0)
    else:
        begin = max(begin, s.busy[0, resource, 0])
        _replace_least(s.busy, s.busy_size, resource, begin + duration, 0)
    return begin


@inlined
def _settle(c: Columns, s: State, stage: int, tile: int, end: int) -> int:
    """The end of a service is known: tell all who hang on it. An out-of-order stage behind it that needs no
    server is over as soon, and so are those behind that; returns the last end that is known now."""
    tiles, kind = c.kind_of_tile.size, c.kind_of_tile[tile]
    latest, over = end, stage
    while over >= 0:
        stage, over, over_at = over, -1, 0
        for link in range(1, c.behind[stage, 0] + 1):
            later = c.behind[stage, link]
            if c.in_order[later]:
                s.stale[later] |= s.following[later] == tile
                continue
            known = _stages_end(c, s.start, later, tile)
            if known >= NEVER:
                continue
            if over < 0 and (c.durations[kind, later] == 0 or c.manner[later] == UNLIMITED):
                over, over_at = later, known
            else:
                _push(s.released, s.released_size, 0, known, later * tiles + tile)
        for link in range(1, c.awaited[stage, 0] + 1):
            wait = c.awaited[stage, link]
            row = s.wait_row[wait]
            if row < c.wait_first[wait + 1] and c.wait_tiles[row] == s.following[c.waiter[wait]]:
                s.stale[c.waiter[wait]] = True
        for link in range(1, c.freed[stage, 0] + 1):
            pool = c.freed[stage, link]
            if c.frees[kind, pool]:
                _push(s.slots, s.slots_size, pool, end, 0)
                s.stale[c.taker[pool]] = True
        if over >= 0:
            # Not before: a stage that follows both would be told of it twice.
            s.start[over, tile] = over_at
            end = over_at + c.durations[kind, over]
            latest = max(latest, end)
    return latest


@inlined
def _next_issue(c: Columns, s: State, now: int) -> tuple[int, int, int]:
    """(time, stage, tile) of the earliest issue as far as is known, or of any that can be made now, since
    their order changes nothing; time NEVER: none."""
    time, stage = NEVER, 0
    for candidate in range(c.in_order.size):
        if s.stale[candidate]:
            s.stale[candidate] = False
            s.ready[candidate] = _ready(c, s, candidate)
        if s.ready[candidate] < time:
            time, stage = s.ready[candidate], candidate
            if time <= now:
                break
    tile = s.following[stage]
    if s.released_size[0] > 0 and s.released[0, 0, 0] < time:
        time = s.released[0, 0, 0]
        stage, tile = s.released[1, 0, 0] // c.kind_of_tile.size, s.released[1, 0, 0] % c.kind_of_tile.size
    return time, stage, tile


@inlined
def _next_grant(c: Columns, s: State) -> tuple[int, int]:
    """(time, resource) of the earliest grant of the requests made so far; time NEVER: none."""
    time, resource = NEVER, 0
    for candidate in range(c.servers.size):
        if s.waiting[candidate] > 0:
            idle = s.busy_size[candidate] < c.servers[candidate]
            free_at = 0 if idle else s.busy[0, candidate, 0]
            if free_at < time:
                time, resource = free_at, candidate
    return time, resource


@inlined
def _request(c: Columns, s: State, stage: int, tile: int, now: int) -> None:
    """A QUEUED stage asks its resource for a server."""
    resource = c.resource[stage]
    s.waiting[resource] += 1
    if c.in_order[stage]:
        place = s.queue_end[stage]
        s.queue[0, stage, place] = now
        s.queue[1, stage, place] = tile
        s.queue_end[stage] = place + 1
    else:
        _push(s.requests, s.requests_size, resource, now, stage * c.kind_of_tile.size + tile)


@inlined
def _first_request(c: Columns, s: State, resource: int) -> tuple[int, int]:
    """(stage, tile) of the first request at a resource, by time, stage and tile; it is taken out."""
    tiles, time, tie, of_queue = c.kind_of_tile.size, NEVER, 0, -1
    if s.requests_size[resource] > 0:
        time, tie = s.requests[0, resource, 0], s.requests[1, resource, 0]
    for link in range(1, c.queuing[resource, 0] + 1):
        stage = c.queuing[resource, link]
        place = s.queue_first[stage]
        if place < s.queue_end[stage]:
            asked, by = s.queue[0, stage, place], stage * tiles + s.queue[1, stage, place]
            if asked < time or (asked == time and by < tie):
                time, tie, of_queue = asked, by, stage
    if of_queue >= 0:
        s.queue_first[of_queue] += 1
    else:
        _drop_least(s.requests, s.requests_size, resource)
    s.waiting[resource] -= 1
    return tie // tiles, tie % tiles


@compiled_in_place
def schedule(c: Columns, s: State) -> int:
    """Fill `s.start`, all NEVER before, and return the end of the last service."""
    now = makespan = 0
    while True:
        at, stage, tile = _next_issue(c, s, now)
        # What can be issued at this instant is issued before anything is granted in it.
        grant_at, resource = (now, 0) if at <= now else _next_grant(c, s)
        if at >= NEVER and grant_at >= NEVER:
            break
        if at <= max(grant_at, now):
            now = max(now, at)
            if c.in_order[stage]:
                _pass(c, s, stage, tile)
            else:
                _drop_least(s.released, s.released_size, 0)
            resource = c.resource[stage]
            limited = c.durations[c.kind_of_tile[tile], stage] > 0 and c.manner[stage] != UNLIMITED
            if limited and c.manner[stage] == QUEUED:
                _request(c, s, stage, tile, now)
                continue
        else:
            now = max(now, grant_at)
            stage, tile = _first_request(c, s, resource)
            limited = True
        duration = c.durations[c.kind_of_tile[tile], stage]
        begin = _serve(c, s, resource, now, duration) if limited else now
        s.start[stage, tile] = begin
        makespan = max(makespan, _settle(c, s, stage, tile, begin + duration))
    return makespan
