"""Recurrent operators on a systolic machine: step after step, the matrix products of a step on the array, and
on the activation unit the gates and the new state.

The first tile that reads the state takes the only slot of the pool `state`, and the last tile of a step
frees it when the new state has left the activation unit. Products of the input, where a step makes them, wait
for no state and may run ahead. Weights come from memory anew in every step, as the array holds one block of
them at a time; only a matrix that is one block stays in a weight-stationary array from the first step to the
last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.devices.systolic_gemm import Gemm
from hwsim.devices.systolic_vector import RECURRENT_UPDATES
from hwsim.errors import CapacityError
from hwsim.plan import Plan
from hwsim.plan.mapping import GemmMapping, StepMapping
from hwsim.plan.residency import Operand, Residency, scratch_bytes
from hwsim.tensor.formats import accumulator_format, format_bits
from hwsim.units import format_bytes
from hwsim.workload.operators import Recurrent

Int64Array = NDArray[np.int64]

# Of one sum: it is converted; or it is, with its function, and the input's part is added.
INPUT_PASSES, GATE_PASSES = 1, 2


def step_products(problem: Recurrent, residency: Residency) -> tuple[Gemm, ...]:
    """The products of one step: of the input, where the steps multiply it, and of the state. Operands are on
    chip by then; sums leave as wide as they are added up, for the gates."""
    rows, out = problem.gates * problem.H, residency.output
    wide = format_bits(accumulator_format(out.dtype))

    def gemm(a_dtype: str, depth: int, b: Operand, passes: int) -> Gemm:
        bits = format_bits(a_dtype)
        a = Operand(problem.N * depth, -(-problem.N * depth * bits // 8), a_dtype, "chip")
        sums = Operand(problem.N * rows, problem.N * rows * wide // 8, out.dtype, "chip")
        b_bits = format_bits(b.dtype)
        return Gemm(1, problem.N, rows, depth, a, b, sums, bits, b_bits, wide, passes)

    state = gemm(out.dtype, problem.H, residency.operands[1], GATE_PASSES)
    if not problem.I:
        return (state,)
    return gemm(residency.operands[0].dtype, problem.I, residency.operands[2], INPUT_PASSES), state


@dataclass(frozen=True, slots=True)
class StepMoves:
    """What a step moves beside its products, in bytes: its share of the input and of the result where they
    lie in memory, and reads and writes of the unified buffer by its pointwise work; and that work, in cycles
    and element operations of a number format."""

    load: int
    store: int
    reads: int
    writes: int
    cycles: int
    operations: int
    dtype: str


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
    own = format_bits(out.dtype)
    units = problem.N * problem.H
    gates = units * problem.gates * format_bits(accumulator_format(out.dtype)) // 8
    state = -(-units * own // 8)
    cell = state if problem.cell == "lstm" else 0
    given = -(-x.size_bytes // problem.T)
    load = 0 if x.place == "chip" else given
    store = state if out.place == "memory" else 0
    needed = 2 * ((load if x.place == "memory" else 0) + store)
    if residency.stream_bytes is not None and needed > residency.stream_bytes:
        raise CapacityError(
            f"operator {name} needs {format_bytes(needed)} of streaming buffer for its steps "
            f"(double-buffered), and {format_bytes(residency.stream_bytes)} of the unified buffer are left "
            "for it: use a larger unified_buffer or a smaller batch"
        )
    operations = units * RECURRENT_UPDATES[problem.cell]
    return StepMoves(
        load, store,
        reads=gates + (gates if problem.I else given) + cell,
        writes=state + cell,
        cycles=0 if lanes is None else -(-operations // lanes),
        operations=operations,
        dtype=out.dtype,
    )  # fmt: skip


def one_step(products: Sequence[Plan], moves: StepMoves) -> Plan:
    """The products of a step as one plan: what the step brings with its first tile, what waits for the state
    with the first of the last product, and what ends it with the last tile of all."""
    offsets = np.cumsum([0, *(p.demands.shape[1] for p in products)])
    of_tile = np.concatenate([p.kind_of_tile + np.int32(o) for p, o in zip(products, offsets, strict=False)])
    # Those three tiles are of kinds of their own.
    ends = sorted({0, len(of_tile) - products[-1].tiles, len(of_tile) - 1})
    pick = [*range(int(offsets[-1])), *of_tile[ends].tolist()]
    of_tile[ends] = np.arange(offsets[-1], len(pick))
    first, reader, last = (int(of_tile[i]) for i in (0, len(of_tile) - products[-1].tiles, -1))
    demands, takes, frees = (
        np.concatenate([getattr(p, name) for p in products], axis=1)[:, pick]
        for name in ("demands", "takes", "frees")
    )
    pipeline = products[0].pipeline
    stages, pools = list(pipeline.stage_names), [pool.name for pool in pipeline.pools]
    demands[stages.index("load"), first] += moves.load
    demands[stages.index("drain"), last] += moves.cycles
    demands[stages.index("store"), last] += moves.store
    for name, moved, begin, end in (
        ("state", True, reader, last), ("stream", moves.load > 0, first, last),
        ("outbound", moves.store > 0, last, last),
    ):  # fmt: skip
        takes[pools.index(name), begin] |= moved
        frees[pools.index(name), end] |= moved
    actions = {key: np.concatenate([p.actions[key] for p in products])[pick] for key in products[0].actions}
    for key, count in (
        (("activation_unit", f"op_{moves.dtype}"), moves.operations),
        (("unified_buffer", "read"), moves.reads),
        (("unified_buffer", "write"), moves.writes),
    ):
        if key in actions:  # not an ideal part
            actions[key][last] += count
    return Plan(pipeline, of_tile, demands, takes, frees, actions)


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
    held = _stays(mapping, dataflow)
    biases = sum(o.size_bytes for o in residency.operands[1 + problem.weights :] if o.place != "chip")

    def step(*, first: bool, last: bool) -> Plan:
        brings = [biases if first else 0, *(0 for _ in products[1:])]
        turns = (first or not held, last or not held)
        cut = zip(products, mapping.products, brings, strict=True)
        return one_step([columns(gemm, one, extra, *turns) for gemm, one, extra in cut], moves)

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
