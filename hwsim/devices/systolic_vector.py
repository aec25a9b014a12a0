"""Operators of the activation unit: how many element operations they take and how they are cut into tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CapacityError
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import Operand, Residency
from hwsim.units import format_bytes
from hwsim.workload.operators import Elementwise, Lrn, Operator, OperatorProblem, Pool, Softmax

VECTOR_KINDS = ("pool", "elementwise", "softmax", "lrn", "move")

# A lane does one simple operation on one element a cycle. Softmax passes four times over its row: maximum,
# exponential of the difference, sum, division. LRN squares and adds `size` neighbours, then scales, raises
# to a power and multiplies. These counts are hwsim's own reading of the definitions.
SOFTMAX_PASSES = 4
LRN_EXTRA_PASSES = 3


# Steps that ride with the conversion of a result: one multiplication and one addition are part of it.
LINEAR_STEPS = ("bias", "scale")


def result_operations(operator: Operator) -> int:
    """Element operations of the activation unit for one result of any operator, fused steps included. A pass
    converts a result, scales and shifts it and applies one function; each further function is one more."""
    functions = sum(step.function not in LINEAR_STEPS for step in operator.epilogue)
    return _element_operations(operator.problem) + max(0, functions - 1)


def _element_operations(problem: OperatorProblem) -> int:
    if isinstance(problem, Pool):
        return problem.R * problem.S
    if isinstance(problem, Elementwise):
        return max(1, problem.operands)
    if isinstance(problem, Softmax):
        return SOFTMAX_PASSES
    if isinstance(problem, Lrn):
        return problem.size + LRN_EXTRA_PASSES
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


def vector_tiles(operator: Operator, residency: Residency) -> VectorTiles:
    """One tile where all is on chip; else slices of which two fit the streaming buffer. Raises CapacityError
    when not even the results that need one another fit."""
    total = max(1, residency.output.elements)
    size = total
    _check_room(operator, residency)
    if residency.stream_bytes is not None:
        moved = sum(o.size_bytes for o in (*residency.operands, residency.output) if o.place != "chip")
        slices = max(1, -(-2 * moved // max(1, residency.stream_bytes)))
        together = _together(operator.problem)
        size = max(1, total // slices // together) * together
    count = -(-total // size)
    check_tiles(count, f"operator {operator.name} needs", "", "use a larger unified_buffer")
    last = total - (count - 1) * size
    kinds = [size, last] if count > 1 and last != size else [size]
    kind_of_tile = np.zeros(count, dtype=np.int32)
    kind_of_tile[-1] = len(kinds) - 1
    return VectorTiles(np.array(kinds, dtype=np.int64), total, kind_of_tile)


def _together(problem: OperatorProblem) -> int:
    """Results that are made from the same elements and so in one tile: a row of a softmax."""
    return problem.cols if isinstance(problem, Softmax) else 1


def _check_room(operator: Operator, residency: Residency) -> None:
    """What one step needs at a time, twice: a row (softmax), a window (pool), neighbours (LRN) or an element
    of each operand, and its results."""
    if residency.stream_bytes is None:
        return
    problem = operator.problem
    results = _together(problem)
    read = results
    if isinstance(problem, Pool):
        read = problem.R * problem.S
    elif isinstance(problem, Lrn):
        read = problem.size
    elif isinstance(problem, Elementwise):
        read = problem.operands
    output = residency.output
    needed = 2 * -(-(read + results) * output.size_bytes // max(1, output.elements))
    if needed > residency.stream_bytes:
        raise CapacityError(
            f"operator {operator.name} needs {format_bytes(needed)} of streaming buffer (double-buffered), "
            f"and {format_bytes(residency.stream_bytes)} of the unified buffer are left for it: use a larger "
            "unified_buffer"
        )
