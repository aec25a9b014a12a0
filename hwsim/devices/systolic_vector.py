"""Operators of the activation unit: how many element operations they take and how they are cut into tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.plan.residency import Operand, Residency
from hwsim.workload.operators import Elementwise, Lrn, Move, OperatorProblem, Pool, Softmax

VECTOR_KINDS = ("pool", "elementwise", "softmax", "lrn", "move")

# A lane does one simple operation on one element a cycle. Softmax passes four times over its row: maximum,
# exponential of the difference, sum, division. LRN squares and adds `size` neighbours, then scales, raises
# to a power and multiplies. These counts are hwsim's own reading of the definitions.
SOFTMAX_PASSES = 4
LRN_EXTRA_PASSES = 3


def element_operations(problem: OperatorProblem) -> int:
    """Element operations of the activation unit for one result."""
    if isinstance(problem, Pool):
        return problem.R * problem.S
    if isinstance(problem, Elementwise):
        return max(1, problem.operands)
    if isinstance(problem, Softmax):
        return SOFTMAX_PASSES
    if isinstance(problem, Lrn):
        return problem.size + LRN_EXTRA_PASSES
    assert isinstance(problem, Move)
    return 1


@dataclass(frozen=True, eq=False)
class VectorTiles:
    """Equal slices of an operator's results (the last may be shorter): one or two kinds."""

    results: NDArray[np.int64]  # (kinds,) results of a tile
    total: int
    kind_of_tile: NDArray[np.int32]

    def share(self, operands: Sequence[Operand], place: str) -> NDArray[np.int64]:
        """(kinds,) bytes of the operands in `place` that a tile touches: its share of their size. The whole
        sums to at least the size, since every tile rounds up."""
        size = sum(o.size_bytes for o in operands if o.place == place)
        return -(-size * self.results // self.total)


def vector_tiles(residency: Residency) -> VectorTiles:
    """One tile where all is on chip; else slices of which two fit the streaming buffer."""
    total = max(1, residency.output.elements)
    size = total
    if residency.stream_bytes is not None:
        moved = sum(o.size_bytes for o in (*residency.operands, residency.output) if o.place != "chip")
        slices = max(1, -(-2 * moved // max(1, residency.stream_bytes)))
        size = max(1, total // slices)
    count = -(-total // size)
    last = total - (count - 1) * size
    kinds = [size, last] if count > 1 and last != size else [size]
    kind_of_tile = np.zeros(count, dtype=np.int32)
    kind_of_tile[-1] = len(kinds) - 1
    return VectorTiles(np.array(kinds, dtype=np.int64), total, kind_of_tile)
