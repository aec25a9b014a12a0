"""Recurrent operators on a systolic machine: step after step, the matrix products of a step on the array, and
on the activation unit the gates and the new state.

The first tile that reads the state takes the only slot of the pool `state`, and the last tile of a step
frees it when the new state has left the activation unit. Where what the gates make is multiplied once more (a
projection, or the state that a GRU has reset), that product takes the slot in its turn, behind the gates.
Products of the input, where a step makes them, wait for no state and may run ahead. Weights come from memory
anew in every step, as the array holds one block of them at a time; only a matrix that is one block stays in a
weight-stationary array from the first step to the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.devices.recurrent_work import (
    begin_operations,
    end_updates,
    gate_updates,
    last_operations,
    passes,
)
from hwsim.devices.systolic_gemm import Gemm
from hwsim.errors import CapacityError
from hwsim.plan import Plan
from hwsim.plan.mapping import GemmMapping, StepMapping
from hwsim.plan.residency import Operand, Residency, scratch_bytes
from hwsim.tensor.formats import accumulator_format, format_bits
from hwsim.units import format_bytes
from hwsim.workload.recurrent import PEEPHOLES, Recurrent, recurrent_parts


def step_products(problem: Recurrent, residency: Residency) -> tuple[Gemm, ...]:
    """The products of one step in their order. Operands are on chip by then; sums leave as wide as they are
    added up, for the gates."""
    at, out = recurrent_parts(problem, residency.operands), residency.output
    wide = format_bits(accumulator_format(out.dtype))
    late = at.projection if problem.P else at.state_weight
    weights = {"input": at.input_weight, "state": at.state_weight, "hidden": late}

    def gemm(what: str, rows: int, depth: int) -> Gemm:
        b, dtype = weights[what], at.x.dtype if what == "input" else out.dtype
        assert b is not None
        bits = format_bits(dtype)
        a = Operand(problem.N * depth, -(-problem.N * depth * bits // 8), dtype, "chip")
        sums = Operand(problem.N * rows, problem.N * rows * wide // 8, out.dtype, "chip")
        operations = passes(problem, what)
        return Gemm(1, problem.N, rows, depth, a, b, sums, bits, format_bits(b.dtype), wide, operations)

    return tuple(gemm(*product) for product in problem.products)


@dataclass(frozen=True, slots=True)
class Work:
    """Pointwise work on the activation unit: bytes that it reads from the unified buffer and writes there,
    and element operations."""

    reads: int = 0
    writes: int = 0
    operations: int = 0

    def __add__(self, other: Work) -> Work:
        reads, writes = self.reads + other.reads, self.writes + other.writes
        return Work(reads, writes, self.operations + other.operations)


@dataclass(frozen=True, slots=True)
class StepMoves:
    """What a step moves beside its products, in bytes: its share of the input and of the result where they
    lie in memory; and its work behind the sums of gates, and behind one more product of what they made.
    `begin` is the first step's own work, `last` the last one's, which stores `last_store` bytes more."""

    load: int
    store: int
    gates: Work
    end: Work
    begin: Work
    last: Work
    last_store: int
    dtype: str
    lanes: int | None

    def cycles(self, work: Work) -> int:
        """Of the activation unit."""
        return 0 if self.lanes is None else -(-work.operations // self.lanes)

    def of_step(self, *, first: bool, last: bool) -> StepMoves:
        """The same with the work of a first or last step in its place."""
        return replace(
            self,
            gates=self.gates + self.begin if first else self.gates,
            end=self.end + self.last if last else self.end,
            store=self.store + (self.last_store if last else 0),
        )


def step_moves(problem: Recurrent, residency: Residency, lanes: int | None, name: str) -> StepMoves:
    """Raises CapacityError where the chip has no room for the state and the gates, or the streaming buffer
    none for the inputs and results of two steps."""
    x, out = residency.operands[0], residency.output
    if residency.scratch_place != "chip":
        kept = format_bytes(scratch_bytes(problem, out.dtype))
        raise CapacityError(
            f"operator {name} holds {kept} of state and gates during a step, for which the unified buffer "
            "has no room beside what is streamed: use a larger unified_buffer or a smaller batch"
        )
    load = 0 if x.place == "chip" else -(-x.size_bytes // problem.T)
    to_memory, own = out.place == "memory", format_bits(out.dtype)
    store = -(-problem.N * problem.S * own // 8) if to_memory else 0
    cell = -(-problem.N * problem.H * own // 8) if problem.keeps_cell else 0
    last_store = cell if to_memory else 0
    needed = 2 * ((load if x.place == "memory" else 0) + store + last_store)
    if residency.stream_bytes is not None and needed > residency.stream_bytes:
        raise CapacityError(
            f"operator {name} needs {format_bytes(needed)} of streaming buffer for its steps "
            f"(double-buffered), and {format_bytes(residency.stream_bytes)} of the unified buffer are left "
            "for it: use a larger unified_buffer or a smaller batch"
        )
    at = recurrent_parts(problem, residency.operands)
    came = sum(o.size_bytes for o in (at.initial_state, at.initial_cell) if o is not None)
    begins = begin_operations(problem)
    return StepMoves(
        load, store, _gate_work(problem, residency), _end_work(problem, residency),
        Work(came, -(-begins * own // 8), begins), Work(cell, cell, last_operations(problem)), last_store,
        out.dtype, lanes,
    )  # fmt: skip


def _gate_work(problem: Recurrent, residency: Residency) -> Work:
    """Sums of gates, the input's part of them, the cell and peepholes are read, and the state where it is
    reset; the state, or what one more product multiplies, and the cell are written."""
    own, wide = _widths(residency)
    units = problem.N * problem.H
    rows = next(rows for what, rows, _ in problem.products if what == "state")
    sums, unit_bytes = problem.N * rows * wide // 8, -(-units * own // 8)
    given = sums if problem.I else _given_bytes(problem, residency, rows)
    cell = unit_bytes if problem.cell == "lstm" else 0
    peepholes = PEEPHOLES * problem.H * wide // 8 if problem.peepholes else 0
    state = unit_bytes if problem.resets_before else 0
    reads = sums + given + cell + peepholes + state
    return Work(reads, unit_bytes + cell, units * gate_updates(problem))


def _end_work(problem: Recurrent, residency: Residency) -> Work:
    """Behind one more product: its sums are read and the state is written; a GRU also reads the input's part,
    the gate z and the state before."""
    own, wide = _widths(residency)
    if problem.products[-1][0] != "hidden":
        return Work()
    state = -(-problem.N * problem.S * own // 8)
    sums = problem.N * problem.products[-1][1] * wide // 8
    if problem.P:
        return Work(sums, state)
    given = sums if problem.I else _given_bytes(problem, residency, problem.H)
    return Work(2 * sums + given + state, state, problem.N * problem.H * end_updates(problem))


def _widths(residency: Residency) -> tuple[int, int]:
    """Bits of a state and of a sum."""
    dtype = residency.output.dtype
    return format_bits(dtype), format_bits(accumulator_format(dtype))


def _given_bytes(problem: Recurrent, residency: Residency, rows: int) -> int:
    """Bytes of a step's input that gates of so many rows add: all of it where all gates add the same."""
    whole = -(-residency.operands[0].size_bytes // problem.T)
    return whole if problem.skip else -(-whole * rows // (problem.gates * problem.H))


def one_step(products: Sequence[Plan], moves: StepMoves, *, late: bool) -> Plan:
    """The products of a step as one plan: what the step brings with its first tile; what waits for the state
    with the first tile of the product that reads it; where one more product waits for the gates (`late`), the
    last tile before it and its first; and what ends the step with the last tile of all."""
    of_tile, pick, at = _apart(products, late)
    demands, takes, frees = (
        np.concatenate([getattr(p, name) for p in products], axis=1)[:, pick]
        for name in ("demands", "takes", "frees")
    )
    pipeline = products[0].pipeline
    stages, pools = list(pipeline.stage_names), [pool.name for pool in pipeline.pools]
    demands[stages.index("load"), at.first] += moves.load
    demands[stages.index("store"), at.last] += moves.store
    for name, moved, begin, end in (
        ("state", True, at.reader, at.gates), ("state", late, at.late, at.last),
        ("stream", moves.load > 0, at.first, at.last), ("outbound", moves.store > 0, at.last, at.last),
    ):  # fmt: skip
        takes[pools.index(name), begin] |= moved
        frees[pools.index(name), end] |= moved
    actions = {key: np.concatenate([p.actions[key] for p in products])[pick] for key in products[0].actions}
    for work, kind in ((moves.gates, at.gates), (moves.end, at.last)):
        demands[stages.index("drain"), kind] += moves.cycles(work)
        for key, count in (
            (("activation_unit", f"op_{moves.dtype}"), work.operations),
            (("unified_buffer", "read"), work.reads),
            (("unified_buffer", "write"), work.writes),
        ):
            if key in actions:  # not an ideal part
                actions[key][kind] += count
    return Plan(pipeline, of_tile, demands, takes, frees, actions)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Of the tiles of a step that do more than multiply, the kinds that they are alone in: the first; the
    first that reads the state; the last before the gates; the first behind them, or the last; the last."""

    first: int
    reader: int
    gates: int
    late: int
    last: int


def _apart(products: Sequence[Plan], late: bool) -> tuple[NDArray[np.int32], list[int], _Kinds]:
    """The kind of each tile of a step, of each kind the one of all products' kinds that it is like, and the
    kinds of tiles apart."""
    offsets = np.cumsum([0, *(p.demands.shape[1] for p in products)])
    of_tile = np.concatenate([p.kind_of_tile + np.int32(o) for p, o in zip(products, offsets, strict=False)])
    counts, last = [p.tiles for p in products], len(of_tile) - 1
    gates = last - counts[-1] if late else last
    tiles = (0, sum(counts[: len(products) - 1 - late]), gates, gates + 1 if late else last, last)
    apart = sorted(set(tiles))
    pick = [*range(int(offsets[-1])), *of_tile[apart].tolist()]
    of_tile[apart] = np.arange(offsets[-1], len(pick))
    return of_tile, pick, _Kinds(*(int(of_tile[tile]) for tile in tiles))


def all_steps(
    problem: Recurrent,
    residency: Residency,
    mapping: StepMapping,
    moves: StepMoves,
    dataflow: str,
    columns: Callable[[Gemm, GemmMapping, int, bool, bool], Plan],
) -> Plan:
    """The steps of an operator one after the other: a first, which brings the biases, a last, and equal ones
    between. `columns` plans a product with constants that come along, and says whether its block of weights
    comes and whether it goes."""
    products = step_products(problem, residency)
    held, late = _stays(mapping, dataflow), problem.products[-1][0] == "hidden"
    biases = sum(o.size_bytes for o in residency.operands[1 + problem.weights :] if o.place != "chip")

    def step(*, first: bool, last: bool) -> Plan:
        brings = [biases if first else 0, *(0 for _ in products[1:])]
        turns = (first or not held, last or not held)
        cut = zip(products, mapping.products, brings, strict=True)
        parts = [columns(gemm, one, extra, *turns) for gemm, one, extra in cut]
        return one_step(parts, moves.of_step(first=first, last=last), late=late)

    if mapping.steps == 1:
        return replace(step(first=True, last=True), mapping=mapping)
    turns = (step(first=True, last=False), step(first=False, last=False), step(first=False, last=True))
    offsets = np.cumsum([0, *(plan.demands.shape[1] for plan in turns)]).tolist()
    counts = (1, mapping.steps - 2, 1)
    of_tile = np.concatenate(
        [np.tile(p.kind_of_tile + o, count) for p, o, count in zip(turns, offsets, counts, strict=False)]
    )
    demands, takes, frees = (
        np.concatenate([getattr(p, name) for p in turns], axis=1) for name in ("demands", "takes", "frees")
    )
    actions = {key: np.concatenate([p.actions[key] for p in turns]) for key in turns[0].actions}
    return Plan(turns[0].pipeline, of_tile.astype(np.int32), demands, takes, frees, actions, mapping)


def _stays(mapping: StepMapping, dataflow: str) -> bool:
    """Whether the weights of all steps are one block that a weight-stationary array holds."""
    one = mapping.products[0]
    return dataflow == "ws" and len(mapping.products) == 1 and one.tile_n >= one.n and one.tile_k >= one.k
