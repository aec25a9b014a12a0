"""What each step of a recurrent operator really works on, read as `walk` reads products: which blocks of
weights, which input, and the state of which step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.arrays import BoolArray, Int64Array
from hwsim.functional.walk import NOTHING, Columns, TileWalk, latest, through, where_sums_go
from hwsim.plan.mapping import StepMapping
from hwsim.plan.residency import Residency
from hwsim.tensor.formats import format_bits
from hwsim.workload.recurrent import Recurrent, recurrent_parts


@dataclass(frozen=True, eq=False)
class StepWalk:
    """The walk of a recurrent operator. The first column of its boxes is step * products + product. For each
    step: of which step the state is that it reads (NOTHING: what the first finds), of which step what gates
    made for one more product (NOTHING: nothing yet), of which step the input that is there (NOTHING: none
    came), and whether the state it makes reaches the place where the next operator looks; and whether the
    last cell does, where it is kept."""

    tiles: TileWalk
    states_from: Int64Array  # (steps,)
    hidden_from: Int64Array  # (steps,)
    inputs_from: Int64Array  # (steps,)
    stores: BoolArray  # (steps,)
    stores_cell: bool


def step_walk(problem: Recurrent, mapping: StepMapping, columns: Columns, residency: Residency) -> StepWalk:
    """The walk of a recurrent operator, from what the Program states of its tiles."""
    columns = columns.first(min(columns.tiles, mapping.tiles))
    products, size, count = len(mapping.products), mapping.step_tiles, columns.tiles
    boxes = np.tile(mapping.boxes(), (mapping.steps, 1))[:count]
    product = boxes[:, 0].copy()
    boxes[:, 0] += np.arange(count) // size * products
    every = np.ones(count, dtype=np.bool_)
    at = recurrent_parts(problem, residency.operands)
    hidden = at.projection if problem.P else at.state_weight
    weights = {"input": at.input_weight, "state": at.state_weight, "hidden": hidden}
    whats = [what for what, _, _ in problem.products]
    held = [operand for operand in (weights[what] for what in whats) if operand is not None]
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
    constants = [o.size_bytes for o in residency.operands[1 + problem.weights :] if o.place != "chip"]
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
    to_memory, stored = residency.output.place == "memory", columns.demand("store")
    stores = stored[ends] > 0 if to_memory else every[ends]
    state = sum(product.tiles for product in mapping.products[: whats.index("state")])
    last = mapping.step_tiles - mapping.products[-1].tiles
    return StepWalk(
        tiles,
        states_from=_read_from(mapping, columns, state, -1, 1),
        hidden_from=_read_from(mapping, columns, last, last - 1, 0),
        inputs_from=inputs,
        stores=stores,
        stores_cell=not to_memory or int(stored.sum()) >= residency.output.size_bytes,
    )


def _read_from(mapping: StepMapping, columns: Columns, reader: int, maker: int, steps_ago: int) -> Int64Array:
    """(steps,) of which step something is that tile `reader` of each step begins to read, where tile `maker`
    makes it, counted from the first tile of the step (so -1 is the last of the step before): of the step so
    many `steps_ago`, if the reader waits for the maker's end, and else of one more before."""
    found = np.arange(mapping.steps) - steps_ago
    pool = columns.pool("state")
    if pool is None:
        return found
    taken, freed = (np.flatnonzero(flags) for flags in pool)
    for step in range(steps_ago, mapping.steps):
        tile = step * mapping.step_tiles + reader
        at = int(np.searchsorted(taken, tile))
        waits = at < len(taken) and taken[at] == tile and 0 < at <= len(freed)
        if not waits or freed[at - 1] < step * mapping.step_tiles + maker:
            found[step] = max(step - steps_ago - 1, NOTHING)
    return found
