"""What each step of a recurrent operator really works on, read as `walk` reads products: which blocks of
weights, which input, and the state of which step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.functional.walk import (
    NOTHING,
    BoolArray,
    Columns,
    Int64Array,
    TileWalk,
    latest,
    through,
    where_sums_go,
)
from hwsim.plan.mapping import StepMapping
from hwsim.plan.residency import Residency
from hwsim.tensor.formats import format_bits


@dataclass(frozen=True, eq=False)
class StepWalk:
    """The walk of a recurrent operator. The first column of its boxes is step * products + product, the
    state's product last. For each step: of which step the state is that it reads (NOTHING: the zero before
    the first), of which step the input that is there (NOTHING: none came), and whether the state it makes
    reaches the place where the next operator looks."""

    tiles: TileWalk
    states_from: Int64Array  # (steps,)
    inputs_from: Int64Array  # (steps,)
    stores: BoolArray  # (steps,)


def step_walk(mapping: StepMapping, columns: Columns, residency: Residency) -> StepWalk:
    """The walk of a recurrent operator, from what the Program states of its tiles."""
    columns = columns.first(min(columns.tiles, mapping.tiles))
    products, size, count = len(mapping.products), mapping.step_tiles, columns.tiles
    boxes = np.tile(mapping.boxes(), (mapping.steps, 1))[:count]
    product = boxes[:, 0].copy()
    boxes[:, 0] += np.arange(count) // size * products
    every = np.ones(count, dtype=np.bool_)
    # Weights of the state are the second operand, those of the input the third.
    held = [residency.operands[1 if p == products - 1 else 2] for p in range(products)]
    bits = np.array([format_bits(operand.dtype) for operand in held], dtype=np.int64)[product]
    on_chip = np.array([operand.place == "chip" for operand in held])[product]
    block_bytes = -(-(boxes[:, 4] - boxes[:, 3]) * (boxes[:, 6] - boxes[:, 5]) * bits // 8)
    fetched_bytes = columns.demand("weights")
    came = fetched_bytes >= block_bytes
    block_fetched = latest(on_chip | came)
    planes = columns.pool("planes")
    shifted = latest(every if planes is None else planes[0])
    shift = columns.pipeline.stages[columns.pipeline.stage_index("shift")]
    holds_rows = "load" in shift.after
    opens, drains, loses = where_sums_go(boxes, columns)
    constants = [o.size_bytes for o in residency.operands[1 + products :] if o.place != "chip"]
    blocks = int(block_bytes[came & ~on_chip].sum())
    x = residency.operands[0]
    loaded = every if x.place == "chip" else columns.demand("load") >= -(-x.size_bytes // mapping.steps)
    tiles = TileWalk(
        boxes=boxes,
        holds_rows=holds_rows,
        rows_loaded=latest(loaded),
        block_fetched=block_fetched,
        rows_from=shifted if holds_rows else np.arange(count),
        block_from=block_fetched if holds_rows else through(block_fetched, shifted),
        opens=opens,
        drains=drains,
        stores=every,
        loses=loses,
        constants_arrive=int(fetched_bytes.sum()) - blocks >= sum(constants),
    )
    ends = np.minimum(np.arange(1, mapping.steps + 1) * size, count) - 1
    inputs = np.where(tiles.rows_loaded[ends] == NOTHING, NOTHING, tiles.rows_loaded[ends] // size)
    stores = columns.demand("store")[ends] > 0 if residency.output.place == "memory" else every[ends]
    return StepWalk(tiles, _states_from(mapping, columns), inputs, stores)


def _states_from(mapping: StepMapping, columns: Columns) -> Int64Array:
    """(steps,) of which step the state is that a step reads: the one before, if it waits for the end of that,
    and else one more before."""
    size, reads = mapping.step_tiles, mapping.step_tiles - mapping.products[-1].tiles
    found = np.arange(mapping.steps) - 1
    pool = columns.pool("state")
    if pool is None:
        return found
    taken, freed = (np.flatnonzero(flags) for flags in pool)
    for step in range(1, mapping.steps):
        at = np.searchsorted(taken, step * size + reads)
        waits = at < len(taken) and taken[at] == step * size + reads and 0 < at <= len(freed)
        if not waits or freed[at - 1] < step * size - 1:
            found[step] = max(step - 2, NOTHING)
    return found
