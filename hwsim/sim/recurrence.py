"""The fast path: lays a program out as the arrays of the compiled loops and runs them.

Shares nothing with `events` but the columns it reads and writes; both follow the rule of time stated in
`hwsim.sim.simulate`, to the picosecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.kernels.tile_pipeline import (
    ALONE,
    NEVER,
    QUEUED,
    UNLIMITED,
    Columns,
    State,
    schedule,
)
from hwsim.kernels.tile_sweep import Sweep, sweep
from hwsim.plan import Program


def run(program: Program) -> tuple[Int64Array, int]:
    """Starts (S, n) in picoseconds, NEVER_PS where a deadlock left a tile unserved, and the makespan."""
    columns = lay_out(program)
    return run_laid_out(program, columns, sweep_order(program, columns))


def run_laid_out(program: Program, columns: Columns, order: Int64Array | None) -> tuple[Int64Array, int]:
    """The quick loop where there is an order for it and it can, else the general one."""
    swept = None if order is None else run_sweep(program, columns, order)
    return swept if swept is not None else run_schedule(program, columns)


def run_sweep(program: Program, columns: Columns, order: Int64Array) -> tuple[Int64Array, int] | None:
    """The quick loop, with the stages in an order of `sweep_order`; None where it cannot."""
    state = Sweep(
        start=_unserved(program),
        ends=_zeros(len(order)),
        issued=_zeros(len(order)),
        asked=_zeros(len(columns.servers)),
        asked_by=_zeros(len(columns.servers)),
        idle=_zeros(len(columns.servers)),
        wait_row=columns.wait_first[:-1].copy(),
        taken=_zeros(len(columns.slots)),
        freed=_zeros(len(columns.slots)),
        free_at=np.empty((len(columns.slots), program.tiles), dtype=np.int64),
    )
    makespan_ps = int(sweep(columns, order, state))
    return (state.start, makespan_ps) if makespan_ps >= 0 else None


def run_schedule(program: Program, columns: Columns) -> tuple[Int64Array, int]:
    """The general loop."""
    state = _state(program, columns)
    makespan_ps = int(schedule(columns, state))
    return state.start, makespan_ps


def lay_out(program: Program) -> Columns:
    """The program as arrays of indices. Columns are copied: numba compiles all anew for read-only ones."""
    pipeline = program.pipeline
    stages, pools, waits = pipeline.stages, pipeline.pools, pipeline.waits
    at = {name: index for index, name in enumerate(pipeline.stage_names)}
    resources = {resource.name: index for index, resource in enumerate(pipeline.resources)}
    taker = [at[pool.taken_by] for pool in pools]
    waiter = [at[wait.stage] for wait in waits]
    upon = [at[wait.upon] for wait in waits]
    # What no tile of this program takes or waits for is left out: a machine has more than most programs use.
    used = [pool for pool, row in enumerate(program.takes) if row.any()]
    waited = [wait for wait, rows in enumerate(program.wait_tiles) if len(rows)]
    manners = _manners(program)
    links = [(index, at[name]) for index, stage in enumerate(stages) for name in dict.fromkeys(stage.after)]
    return Columns(
        kind_of_tile=np.array(program.kind_of_tile, dtype=np.int32),
        durations=np.array(program.durations_ps.T, dtype=np.int64, order="C"),
        in_order=np.array([stage.in_order for stage in stages], dtype=np.bool_),
        manner=manners,
        resource=_ints(resources[stage.resource] for stage in stages),
        servers=_ints(min(resource.servers, NEVER) for resource in pipeline.resources),
        slots=_ints(min(pool.slots, NEVER) for pool in pools),
        before=_table(len(stages), links),
        behind=_table(len(stages), [(earlier, later) for later, earlier in links]),
        taken=_table(len(stages), [(stage, pool) for pool, stage in enumerate(taker) if pool in used]),
        freed=_table(len(stages), [(at[pools[pool].freed_by], pool) for pool in used]),
        awaits=_table(len(stages), [(waiter[wait], wait) for wait in waited]),
        awaited=_table(len(stages), [(stage, wait) for wait, stage in enumerate(upon)]),
        queuing=_queuing(program, manners),
        takes=np.array(program.takes.T, dtype=np.bool_, order="C"),
        frees=np.array(program.frees.T, dtype=np.bool_, order="C"),
        taker=_ints(taker),
        waiter=_ints(waiter),
        upon=_ints(upon),
        wait_first=np.cumsum([0, *map(len, program.wait_tiles)], dtype=np.int64),
        wait_tiles=_joined(program.wait_tiles),
        wait_upon=_joined(program.wait_upon),
    )


def _manners(program: Program) -> Int64Array:
    """How each stage meets its resource. Stages that never demand anything do not use theirs."""
    pipeline = program.pipeline
    demands = [bool(row.any()) for row in program.durations_ps]
    users: dict[str, int] = {}
    for stage, demanding in zip(pipeline.stages, demands, strict=True):
        users[stage.resource] = users.get(stage.resource, 0) + demanding
    manners = []
    for stage, demanding in zip(pipeline.stages, demands, strict=True):
        count = users[stage.resource]
        if not demanding or pipeline.resource_of(stage).servers >= count * program.tiles:
            manners.append(UNLIMITED)
        else:
            manners.append(ALONE if stage.in_order and count == 1 else QUEUED)
    return _ints(manners)


def _queuing(program: Program, manners: Int64Array) -> Int64Array:
    """Of each resource the in-order stages whose requests queue there."""
    pipeline = program.pipeline
    at = {resource.name: index for index, resource in enumerate(pipeline.resources)}
    rows = [
        (at[stage.resource], index)
        for index, stage in enumerate(pipeline.stages)
        if stage.in_order and manners[index] == QUEUED
    ]
    return _table(len(pipeline.resources), rows)


def sweep_order(program: Program, columns: Columns) -> Int64Array | None:
    """Stages so that none comes before what it is after, if `sweep` serves this program."""
    limited = columns.resource[columns.manner != UNLIMITED]
    if (columns.servers[limited] > 1).any():
        return None
    pipeline = program.pipeline
    beyond: dict[str, set[str]] = {}  # stage -> itself and all stages it comes after
    while len(beyond) < len(pipeline.stages):
        found = [s for s in pipeline.stages if s.name not in beyond and all(a in beyond for a in s.after)]
        if not found:
            return None  # a circle
        for stage in found:
            beyond[stage.name] = {stage.name}.union(*(beyond[a] for a in stage.after))
    if not all(pool.taken_by in beyond[pool.freed_by] for pool in pipeline.pools):
        return None
    return _ints(pipeline.stage_index(name) for name in beyond)


def _state(program: Program, columns: Columns) -> State:
    """Empty heaps with room for the worst case: untouched pages of an array cost nothing."""
    stages, tiles = len(columns.in_order), program.tiles
    resources, pools = len(columns.servers), len(columns.slots)
    demands = np.bincount(columns.resource, minlength=resources) * tiles
    limited = columns.resource[columns.manner != UNLIMITED]
    queued = columns.resource[(columns.manner == QUEUED) & ~columns.in_order]
    queues = bool((columns.manner == QUEUED).any())
    free = [row for row, stage in enumerate(program.pipeline.stages) if not stage.in_order]
    released = np.empty((2, 1, len(free) * tiles), dtype=np.int64)
    # Out-of-order stages that follow nothing are issued from time 0, in tile order: already a heap.
    first = [row for row in free if not program.pipeline.stages[row].after]
    for place, row in enumerate(first):
        released[0, 0, place * tiles : (place + 1) * tiles] = 0
        released[1, 0, place * tiles : (place + 1) * tiles] = np.arange(row * tiles, (row + 1) * tiles)
    most_busy = int(np.minimum(columns.servers, demands)[limited].max(initial=0))
    return State(
        start=_unserved(program),
        following=_zeros(stages),
        ready=np.full(stages, NEVER, dtype=np.int64),
        stale=columns.in_order.copy(),
        wait_row=columns.wait_first[:-1].copy(),
        credit=columns.slots.copy(),
        slots=np.empty((2, pools, tiles), dtype=np.int64),
        slots_size=_zeros(pools),
        busy=np.empty((2, resources, most_busy), dtype=np.int64),
        busy_size=_zeros(resources),
        queue=np.empty((2, stages, tiles * queues), dtype=np.int64),
        queue_first=_zeros(stages),
        queue_end=_zeros(stages),
        requests=np.empty((2, resources, int(demands[queued].max(initial=0))), dtype=np.int64),
        requests_size=_zeros(resources),
        waiting=_zeros(resources),
        released=released,
        released_size=_ints([len(first) * tiles]),
    )


def _unserved(program: Program) -> Int64Array:
    return np.full((len(program.pipeline.stages), program.tiles), NEVER, dtype=np.int64)


def _zeros(count: int) -> Int64Array:
    return np.zeros(count, dtype=np.int64)


def _table(rows: int, pairs: Sequence[tuple[int, int]]) -> Int64Array:
    """One row a stage: how many members it has, then the members."""
    members: list[list[int]] = [[] for _ in range(rows)]
    for row, member in pairs:
        members[row].append(member)
    table = np.zeros((rows, 1 + max(map(len, members), default=0)), dtype=np.int64)
    for row, found in enumerate(members):
        table[row, 0] = len(found)
        table[row, 1 : 1 + len(found)] = found
    return table


def _ints(values: Iterable[int]) -> Int64Array:
    return np.array(list(values), dtype=np.int64)


def _joined(parts: Sequence[Int64Array]) -> Int64Array:
    return np.concatenate(parts).astype(np.int64, copy=False) if parts else np.zeros(0, dtype=np.int64)
