"""Operators that are no products, cut into slices of their results that fit a streaming buffer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Int32Array, Int64Array
from hwsim.devices.vector_work import repeated_bytes, vector_operations
from hwsim.errors import CapacityError
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import Operand, Residency
from hwsim.tensor.formats import format_bits
from hwsim.units import format_bytes
from hwsim.workload.operators import (
    Elementwise,
    Lrn,
    Norm,
    Operator,
    OperatorProblem,
    Pool,
    Reduce,
    Resize,
    Softmax,
    WinogradTransform,
)


@dataclass(frozen=True, eq=False)
class VectorTiles:
    """Equal slices of an operator's results (the last may be shorter): one or two kinds."""

    results: Int64Array  # (kinds,) results of a tile
    total: int
    kind_of_tile: Int32Array

    def operations(self, operator: Operator) -> Int64Array:
        """(kinds,) element operations of a tile."""
        counts = [vector_operations(operator, some, self.total) for some in self.results.tolist()]
        return np.array(counts, dtype=np.int64)

    def buffer_reads(self, operator: Operator, residency: Residency, operand_bytes: Int64Array) -> Int64Array:
        """(kinds,) bytes that a tile reads from the buffer: its operands once, but patches that overlap, of a
        Winograd transform or of a convolution's copies, each whole."""
        problem = operator.problem
        if isinstance(problem, WinogradTransform) and problem.direction == "input":
            # There are as many numbers in a patch as its transform has.
            return -(-self.results * format_bits(residency.operands[0].dtype) // 8)
        return operand_bytes + self._part_of(repeated_bytes(operator, residency))

    def share(self, operands: Sequence[Operand], place: str) -> Int64Array:
        """(kinds,) bytes of the operands in `place` that a tile touches: its share of their size. The whole
        sums to at least the size, since every tile rounds up."""
        return self._part_of(sum(o.size_bytes for o in operands if o.place == place))

    def _part_of(self, amount: int) -> Int64Array:
        """(kinds,) a tile's share, rounded up; the products may be larger than int64 holds."""
        shares = [-(-amount * some // self.total) for some in self.results.tolist()]
        return np.array(shares, dtype=np.int64)


def vector_tiles(operator: Operator, residency: Residency, buffer: str = "unified_buffer") -> VectorTiles:
    """One tile where all is on chip; else slices of which two fit the streaming room in `buffer`, a field of
    the design, beside the constants that each of them needs. Raises CapacityError when not even the results
    that need one another fit."""
    total = max(1, residency.output.elements)
    size = total
    if residency.stream_bytes is not None:
        constants = _constants(operator, residency)
        held = sum(o.size_bytes for o in constants)
        _check_room(operator, residency, held, buffer)
        moved = sum(o.size_bytes for o in (*residency.operands, residency.output) if o.place != "chip") - held
        slices = max(1, -(-2 * moved // max(1, residency.stream_bytes - held)))
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
    """Results that are made from the same elements and so in one tile: a row of a softmax, a group that is
    normalised, a patch of a Winograd transform."""
    if isinstance(problem, WinogradTransform):
        return problem.places if problem.direction == "input" else problem.tile**2
    return problem.cols if isinstance(problem, Softmax | Norm) else 1


def _constants(operator: Operator, residency: Residency) -> tuple[Operand, ...]:
    """Operands from outside that every tile needs whole: scale and shift of a norm. They come once."""
    operands = residency.operands[1:] if isinstance(operator.problem, Norm) else ()
    return tuple(o for o in operands if o.place != "chip")


def _check_room(operator: Operator, residency: Residency, held: int, buffer: str) -> None:
    """The constants, and twice what one step needs at a time: a row (softmax, norm, reduction), a window
    (pool), neighbours (LRN), a patch (Winograd) or an element of each operand, and its results."""
    problem = operator.problem
    results = _together(problem)
    read = results
    if isinstance(problem, Pool):
        read = problem.R * problem.S
    elif isinstance(problem, Reduce):
        read = problem.cols
    elif isinstance(problem, Resize):
        read = problem.taps
    elif isinstance(problem, Lrn):
        read = problem.size
    elif isinstance(problem, Elementwise):
        read = problem.operands
    elif isinstance(problem, WinogradTransform):
        read = problem.places
    output, room = residency.output, residency.stream_bytes or 0
    needed = held + 2 * -(-(read + results) * output.size_bytes // max(1, output.elements))
    if needed > room:
        raise CapacityError(
            f"operator {operator.name} needs {format_bytes(needed)} of streaming buffer (double-buffered), "
            f"and {format_bytes(room)} of {buffer} are left for it: use a larger {buffer}"
        )
