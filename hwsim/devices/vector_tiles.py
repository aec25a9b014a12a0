"""Operators of the activation unit: how many element operations they take and how they are cut into tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CapacityError
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import Operand, Residency
from hwsim.tensor.formats import format_bits
from hwsim.units import format_bytes
from hwsim.workload.operators import (
    Elementwise,
    Lrn,
    Operator,
    OperatorProblem,
    Pool,
    Recurrent,
    Softmax,
    WinogradTransform,
)

VECTOR_KINDS = ("pool", "elementwise", "softmax", "lrn", "move")
# What the activation unit of the systolic kind runs: the work of a Winograd transform is that of its tiles,
# which only `vector_operations` counts.
UNIT_KINDS = (*VECTOR_KINDS, "winograd")

# A lane does one simple operation on one element a cycle. Softmax passes four times over its row: maximum,
# exponential of the difference, sum, division. LRN squares and adds `size` neighbours, then scales, raises
# to a power and multiplies. These counts are hwsim's own reading of the definitions.
SOFTMAX_PASSES = 4
LRN_EXTRA_PASSES = 3


# Of a recurrent cell, for each unit of its state behind the gates (hwsim's own reading too): f c' + i g,
# tanh, and the product with o; the product with r, and h' - n, times z, plus n; nothing, as the gate is the
# state. A gate itself takes two: its sum is converted with its function, and the input's part is added.
RECURRENT_UPDATES = {"lstm": 5, "gru": 4, "rnn": 0}


# Steps that ride with the conversion of a result: one multiplication and one addition are part of it.
LINEAR_STEPS = ("bias", "scale")


def result_operations(operator: Operator) -> int:
    """Element operations of the activation unit for one result of any operator, fused steps included. A pass
    converts a result, scales and shifts it and applies one function; each further function is one more.
    Those of a Winograd transform, which belong to whole tiles, come on top: see `vector_operations`."""
    functions = sum(step.function not in LINEAR_STEPS for step in operator.epilogue)
    return _element_operations(operator.problem) + max(0, functions - 1)


def vector_operations(operator: Operator, results: int, total: int) -> int:
    """Element operations for `results` of the `total` results of an operator of the activation unit."""
    work = results * result_operations(operator)
    if isinstance(operator.problem, WinogradTransform):
        # Rounded up for each slice; edge tiles are transformed whole.
        work += math.ceil(Fraction(operator.problem.operations * results, total))
    return work


def _element_operations(problem: OperatorProblem) -> int:
    if isinstance(problem, Pool):
        return problem.R * problem.S
    if isinstance(problem, Elementwise):
        return max(1, problem.operands)
    if isinstance(problem, Softmax):
        return SOFTMAX_PASSES
    if isinstance(problem, Lrn):
        return problem.size + LRN_EXTRA_PASSES
    if isinstance(problem, Recurrent):
        # A product of the input within the step converts its sums too.
        return problem.gates * (3 if problem.I else 2) + RECURRENT_UPDATES[problem.cell]
    return 1


@dataclass(frozen=True, eq=False)
class VectorTiles:
    """Equal slices of an operator's results (the last may be shorter): one or two kinds."""

    results: NDArray[np.int64]  # (kinds,) results of a tile
    total: int
    kind_of_tile: NDArray[np.int32]

    def operations(self, operator: Operator) -> NDArray[np.int64]:
        """(kinds,) element operations of a tile."""
        counts = [vector_operations(operator, some, self.total) for some in self.results.tolist()]
        return np.array(counts, dtype=np.int64)

    def buffer_reads(
        self, operator: Operator, residency: Residency, operand_bytes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(kinds,) bytes that a tile reads from the buffer: its operands once, but the patches of a Winograd
        transform, which overlap by two rows and columns, each whole."""
        problem = operator.problem
        if isinstance(problem, WinogradTransform) and problem.direction == "input":
            # There are as many numbers in a patch as its transform has.
            return -(-self.results * format_bits(residency.operands[0].dtype) // 8)
        return operand_bytes

    def share(self, operands: Sequence[Operand], place: str) -> NDArray[np.int64]:
        """(kinds,) bytes of the operands in `place` that a tile touches: its share of their size. The whole
        sums to at least the size, since every tile rounds up."""
        size = sum(o.size_bytes for o in operands if o.place == place)
        return -(-size * self.results // self.total)


def vector_tiles(operator: Operator, residency: Residency, buffer: str = "unified_buffer") -> VectorTiles:
    """One tile where all is on chip; else slices of which two fit the streaming room in `buffer`, a field of
    the design. Raises CapacityError when not even the results that need one another fit."""
    total = max(1, residency.output.elements)
    size = total
    _check_room(operator, residency, buffer)
    if residency.stream_bytes is not None:
        moved = sum(o.size_bytes for o in (*residency.operands, residency.output) if o.place != "chip")
        slices = max(1, -(-2 * moved // max(1, residency.stream_bytes)))
        together = _together(operator.problem)
        size = max(1, total // slices // together) * together
    count = -(-total // size)
    check_tiles(count, f"operator {operator.name} needs", "", f"use a larger {buffer}")
    last = total - (count - 1) * size
    kinds = [size, last] if count > 1 and last != size else [size]
    kind_of_tile = np.zeros(count, dtype=np.int32)
    kind_of_tile[-1] = len(kinds) - 1
    return VectorTiles(np.array(kinds, dtype=np.int64), total, kind_of_tile)


def _together(problem: OperatorProblem) -> int:
    """Results that are made from the same elements and so in one tile: a row of a softmax, a patch of a
    Winograd transform."""
    if isinstance(problem, WinogradTransform):
        return problem.places if problem.direction == "input" else problem.tile**2
    return problem.cols if isinstance(problem, Softmax) else 1


def _check_room(operator: Operator, residency: Residency, buffer: str) -> None:
    """What one step needs at a time, twice: a row (softmax), a window (pool), neighbours (LRN), a patch
    (Winograd) or an element of each operand, and its results."""
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
    elif isinstance(problem, WinogradTransform):
        read = problem.places
    output = residency.output
    needed = 2 * -(-(read + results) * output.size_bytes // max(1, output.elements))
    if needed > residency.stream_bytes:
        raise CapacityError(
            f"operator {operator.name} needs {format_bytes(needed)} of streaming buffer (double-buffered), "
            f"and {format_bytes(residency.stream_bytes)} of {buffer} are left for it: use a larger {buffer}"
        )
