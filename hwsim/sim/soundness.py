"""What a program must be before it is simulated, and the account of a simulation that cannot go on.

Both timing paths rely on these checks: neither can hang or read out of bounds on a program that passes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwsim.arrays import BoolArray, Int64Array
from hwsim.errors import CapacityError, DeadlockError, Problem, SpecError
from hwsim.plan import Pipeline, Program

# The start of a tile that was never served. Twice this still fits int64, so that never + duration is safe.
NEVER_PS = 2**62


def check_sound(program: Program) -> None:
    """Raises SpecError listing every fault of the program, CapacityError where times could overflow."""
    problems = [*_pipeline_faults(program.pipeline)]
    if not problems:
        problems = [*_column_faults(program)]
    if problems:
        raise SpecError([Problem("", 0, 0, "program", message) for message in problems])
    check_lengths(program)


def check_lengths(program: Program) -> None:
    """Raises CapacityError where times could overflow."""
    counts = np.bincount(program.kind_of_tile, minlength=program.durations_ps.shape[1])
    # The makespan is at most the sum of all durations: until the end, some server is always at work.
    if float((program.durations_ps.astype(np.float64) @ counts.astype(np.float64)).sum()) > NEVER_PS / 4:
        total_ps = sum(
            duration * count
            for row in program.durations_ps.tolist()
            for duration, count in zip(row, counts.tolist(), strict=True)
        )
        if total_ps >= NEVER_PS:
            raise CapacityError(
                f"the demands of the program add up to {total_ps / 1e12:.3g} s, and times are kept up to "
                f"{NEVER_PS / 1e12:.3g} s (2**62 ps): use a smaller workload or faster resources"
            )


def _pipeline_faults(pipeline: Pipeline) -> Iterator[str]:
    stages = {stage.name: stage for stage in pipeline.stages}
    resources = {resource.name for resource in pipeline.resources}
    if not stages:
        yield "the pipeline has no stages"
    for noun, named in (
        ("stages", pipeline.stages),
        ("resources", pipeline.resources),
        ("pools", pipeline.pools),
        ("waits", pipeline.waits),
    ):
        names = [part.name for part in named]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"two {noun} are called {name!r}"
    for stage in pipeline.stages:
        if stage.resource not in resources:
            yield f"stage {stage.name} uses resource {stage.resource!r}, which the pipeline does not have"
        for name in stage.after:
            if name not in stages:
                yield f"stage {stage.name} is after {name!r}, which is no stage"
    yield from _amount_faults(pipeline)
    holds = [(f"pool {pool.name}", "is taken by", pool.taken_by, pool.freed_by) for pool in pipeline.pools]
    holds += [(f"wait {wait.name}", "holds back", wait.stage, wait.upon) for wait in pipeline.waits]
    for what, verb, held, other in holds:
        for name in dict.fromkeys((held, other)):
            if name not in stages:
                yield f"{what} names {name!r}, which is no stage"
        if held in stages and not stages[held].in_order:
            yield f"{what} {verb} stage {held}, which is out of order: only in-order stages wait and take"


def _amount_faults(pipeline: Pipeline) -> Iterator[str]:
    for resource in pipeline.resources:
        if resource.servers < 1:
            yield f"resource {resource.name} has {resource.servers} servers; it needs one or more"
    for pool in pipeline.pools:
        if pool.slots < 0:
            yield f"pool {pool.name} has {pool.slots} slots; it needs none or more"


def _column_faults(program: Program) -> Iterator[str]:
    pipeline = program.pipeline
    kinds = program.durations_ps.shape[-1]
    for name, column, rows in (
        ("durations_ps", program.durations_ps, len(pipeline.stages)),
        ("takes", program.takes, len(pipeline.pools)),
        ("frees", program.frees, len(pipeline.pools)),
    ):
        if column.shape != (rows, kinds):
            yield f"{name} has shape {column.shape}; {rows} rows of {kinds} kinds are needed"
    if program.durations_ps.min(initial=0) < 0:
        yield f"a duration is negative ({program.durations_ps.min()} ps)"
    if program.kind_of_tile.ndim != 1:
        yield f"kind_of_tile has {program.kind_of_tile.ndim} dimensions; one is needed"
    elif program.kind_of_tile.min(initial=0) < 0 or program.kind_of_tile.max(initial=-1) >= kinds:
        yield f"kind_of_tile names a kind outside 0 to {kinds - 1}"
    first = program.first_tile
    if not (first.size and first[0] == 0 and first[-1] == program.tiles and (np.diff(first) >= 0).all()):
        yield f"first_tile does not rise from 0 to the number of tiles, {program.tiles}"
    if not len(program.wait_tiles) == len(program.wait_upon) == len(pipeline.waits):
        yield f"{len(pipeline.waits)} waits need as many entries in wait_tiles and wait_upon"
        return
    for wait, waiting, upon in zip(pipeline.waits, program.wait_tiles, program.wait_upon, strict=True):
        if waiting.shape != upon.shape or waiting.ndim != 1:
            yield f"wait {wait.name}: wait_tiles and wait_upon differ in shape"
        elif waiting.size and not (
            min(waiting.min(), upon.min()) >= 0 and max(waiting.max(), upon.max()) < program.tiles
        ):
            yield f"wait {wait.name} names a tile outside 0 to {program.tiles - 1}"
        elif (np.diff(waiting) < 0).any():
            yield f"wait {wait.name}: the waiting tiles are not ascending"


def deadlock(program: Program, start_ps: Int64Array) -> DeadlockError:
    """The account of a run that stands still: the first blocked tile of each stage, and what it waits for.

    `start_ps` (S, n) holds NEVER_PS for what was never served. Nothing is under way any more, so whatever
    has started has ended.
    """
    pipeline = program.pipeline
    served = start_ps < NEVER_PS
    left = int(np.count_nonzero(~served.all(axis=0)))
    lines = [f"the pipeline stands still with {left} of {program.tiles} tiles unfinished:"]
    for index, stage in enumerate(pipeline.stages):
        if not served[index].all():
            tile = int(np.argmin(served[index]))
            reasons = ", ".join(_reasons(program, served, index, tile))
            lines.append(f"  {stage.name} of {_tile_name(program, tile)} waits for {reasons}")
    lines.append("look for waits that point forward or in a circle, and for slots that are never given back")
    return DeadlockError("\n".join(lines))


def _reasons(program: Program, served: BoolArray, index: int, tile: int) -> Iterator[str]:
    pipeline = program.pipeline
    at = {name: row for row, name in enumerate(pipeline.stage_names)}
    stage = pipeline.stages[index]
    for name in dict.fromkeys(stage.after):
        if not served[at[name]][tile]:
            yield f"its {name}"
    for wait, waiting, upon in zip(pipeline.waits, program.wait_tiles, program.wait_upon, strict=True):
        if wait.stage == stage.name:
            for other in dict.fromkeys(upon[waiting == tile].tolist()):
                if not served[at[wait.upon]][other]:
                    yield f"{wait.upon} of {_tile_name(program, other)} (wait {wait.name})"
    kind = program.kind_of_tile
    for row, pool in enumerate(pipeline.pools):
        if pool.taken_by == stage.name and program.takes[row, kind[tile]]:
            taken = int(np.count_nonzero(program.takes[row, kind] & served[index]))
            freed = int(np.count_nonzero(program.frees[row, kind] & served[at[pool.freed_by]]))
            if taken - freed >= pool.slots:
                yield f"a slot of pool {pool.name} ({pool.slots} slots, {taken} taken, {freed} given back)"


def _tile_name(program: Program, tile: int) -> str:
    if len(program.first_tile) <= 2:
        return f"tile {tile}"
    operator = int(np.searchsorted(program.first_tile, tile, side="right")) - 1
    return f"tile {tile} (operator {operator})"
