"""What each tile of a product really works on, read from the columns of the Program that was timed.

Nothing here asks which operands a tile ought to have. Blocks arrive where the plan fetches them, enter the
array where it shifts them in, and stay until the next; sums begin where it takes accumulators, and leave
where it drains. So a plan that forgets, repeats or misplaces any of this computes other numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.plan import Pipeline, Program
from hwsim.plan.mapping import GemmMapping
from hwsim.plan.residency import Residency
from hwsim.tensor.formats import format_bits

NOTHING = -1


@dataclass(frozen=True, eq=False)
class TileWalk:
    """Columns over the tiles of one product, in issue order. `rows_from` and `block_from` name the tile whose
    rows of the first operand, and whose block of the second, are what this tile multiplies (NOTHING: zeros,
    since none came). With `holds_rows` it is the first operand that stays in the array: of the rows loaded by
    then, the columns of tile `rows_from`."""

    boxes: Int64Array  # (n, 7): b, m0, m1, n0, n1, k0, k1
    holds_rows: bool
    rows_loaded: Int64Array  # (n,) tile whose rows last came into the streaming buffer
    block_fetched: Int64Array  # (n,) tile whose block of the second operand last came
    rows_from: Int64Array  # (n,)
    block_from: Int64Array  # (n,)
    opens: BoolArray  # (n,) sums begin at zero
    drains: BoolArray  # (n,) sums leave through the activation unit
    stores: BoolArray  # (n,) results that leave here reach the place where the next operator looks
    loses: BoolArray  # (n,) the accumulators are given up behind this tile
    constants_arrive: bool  # biases and other operands of fused steps were fetched

    @property
    def tiles(self) -> int:
        return len(self.boxes)


ARRAY_STAGES = ("weights", "load", "shift", "drain", "store")  # what the walk reads


def is_array(pipeline: Pipeline) -> bool:
    """Whether tiles pass the stages of an array, which say which blocks it holds."""
    return set(ARRAY_STAGES) <= set(pipeline.stage_names)


class ProgramColumns:
    """The flags and demands of each operator's tiles as the joined Program states them."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._offsets: dict[int, int] = {}
        kinds = 0
        for plan in program.plans:
            if id(plan) not in self._offsets:
                self._offsets[id(plan)] = kinds
                kinds += plan.demands.shape[1]

    def kinds(self, index: int) -> Int32Array:
        """(n,) kinds of the tiles of operator `index`, into the columns of the Program."""
        first, end = self.program.first_tile[index : index + 2]
        kinds: Int32Array = self.program.kind_of_tile[first:end]
        return kinds

    def columns(self, index: int) -> Columns:
        """What the Program states of the tiles of operator `index`."""
        plan, kinds = self.program.plans[index], self.kinds(index)
        demands = plan.demands[:, kinds - self._offsets[id(plan)]]
        takes, frees = self.program.takes[:, kinds], self.program.frees[:, kinds]
        if (own := plan.within) is None:
            return Columns(plan.pipeline, demands, takes, frees)
        stages = slice(own.first_stage, own.first_stage + len(own.pipeline.stages))
        pools = slice(own.first_pool, own.first_pool + len(own.pipeline.pools))
        return Columns(own.pipeline, demands[stages], takes[pools], frees[pools])

    def walk(self, index: int, residency: Residency) -> TileWalk:
        """The walk of product `index` of the Program, which was cut into boxes."""
        mapping, kinds = self.program.plans[index].mapping, self.kinds(index)
        assert isinstance(mapping, GemmMapping)
        columns = self.columns(index)
        boxes = mapping.boxes()
        count = min(len(boxes), len(kinds))  # a tile that is not issued does nothing
        return _walk(boxes[:count], columns.first(count), residency)


@dataclass(frozen=True, eq=False)
class Columns:
    """Demands and flags of some tiles, as the Program states them."""

    pipeline: Pipeline
    demands: Int64Array  # (stages, tiles)
    takes: BoolArray  # (pools, tiles)
    frees: BoolArray

    @property
    def tiles(self) -> int:
        return int(self.demands.shape[1])

    def first(self, count: int) -> Columns:
        return Columns(self.pipeline, self.demands[:, :count], self.takes[:, :count], self.frees[:, :count])

    def demand(self, stage: str) -> Int64Array:
        amounts: Int64Array = self.demands[self.pipeline.stage_index(stage)]
        return amounts

    def pool(self, name: str) -> tuple[BoolArray, BoolArray] | None:
        """Who takes and who frees a slot of the pool; None where the machine has no such limit."""
        names = [pool.name for pool in self.pipeline.pools]
        if name not in names:
            return None
        return self.takes[names.index(name)], self.frees[names.index(name)]


def _walk(boxes: Int64Array, columns: Columns, residency: Residency) -> TileWalk:
    a, b = residency.operands[:2]
    count = len(boxes)
    every = np.ones(count, dtype=np.bool_)
    _, _, _, n0, n1, k0, k1 = boxes.T
    block_bytes = -(-(n1 - n0) * (k1 - k0) * format_bits(b.dtype) // 8)
    fetched_bytes = columns.demand("weights")
    # A block has come when all its bytes have; what is on chip already is read where it lies.
    block_fetched = latest(every if b.place == "chip" else fetched_bytes >= block_bytes)
    rows_loaded = latest(every if a.place == "chip" else columns.demand("load") > 0)
    planes = columns.pool("planes")
    shifted = latest(every if planes is None else planes[0])
    shift = columns.pipeline.stages[columns.pipeline.stage_index("shift")]
    holds_rows = "load" in shift.after
    opens, drains, loses = where_sums_go(boxes, columns)
    constants = [o.size_bytes for o in residency.operands[2:] if o.place != "chip"]
    blocks = 0 if b.place == "chip" else int(block_bytes[fetched_bytes >= block_bytes].sum())
    return TileWalk(
        boxes=boxes,
        holds_rows=holds_rows,
        rows_loaded=rows_loaded,
        block_fetched=block_fetched,
        rows_from=shifted if holds_rows else rows_loaded,
        block_from=block_fetched if holds_rows else through(block_fetched, shifted),
        opens=opens,
        drains=drains,
        stores=columns.demand("store") > 0 if residency.output.place == "memory" else every,
        loses=loses,
        constants_arrive=int(fetched_bytes.sum()) - blocks >= sum(constants),
    )


def where_sums_go(boxes: Int64Array, columns: Columns) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Where sums begin, leave, and lose their place. Without a limit on accumulators each block of results
    has its own; where the activation unit is ideal as well, nothing of the plan tells when sums leave, and
    they do so with the last tile that adds to them."""
    same = (boxes[1:, :5] == boxes[:-1, :5]).all(axis=1)
    first, last = np.r_[True, ~same][: len(boxes)], np.r_[~same, True][: len(boxes)]
    pool = columns.pool("accumulators")
    drain = columns.demand("drain") > 0
    opens, frees = (first, np.zeros(len(boxes), dtype=np.bool_)) if pool is None else pool
    if not drain.any():
        drain = last if pool is None else frees
    return opens, drain, frees


def latest(happens: BoolArray) -> Int64Array:
    """(n,) the latest tile, up to this one, at which something happened; NOTHING before the first."""
    if not len(happens):
        return np.zeros(0, dtype=np.int64)
    marked = np.where(happens, np.arange(len(happens)), NOTHING)
    return np.maximum.accumulate(marked)


def through(source: Int64Array, moment: Int64Array) -> Int64Array:
    """What `source` was at an earlier tile `moment`."""
    return np.where(moment == NOTHING, NOTHING, source[np.maximum(moment, 0)])


def covering(walk: TileWalk, batch: int, row: int, column: int) -> Sequence[int]:
    """The tiles, in issue order, whose box holds one element of the result."""
    b, m0, m1, n0, n1, _, _ = walk.boxes.T
    found = (b == batch) & (m0 <= row) & (row < m1) & (n0 <= column) & (column < n1)
    return [int(i) for i in np.flatnonzero(found)]
