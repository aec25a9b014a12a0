"""Recurrent layers on a CPU: in every step the matrix products of the step, as any others, and then its gates
over all cores. Each is a parallel loop of its own, launched and joined, so that the next begins when all
cores are done with it.

Weights stay in the caches from step to step as far as the rule of `cpu_gemm` finds room for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hwsim.design.kinds.cpu import CpuSpec
from hwsim.devices.cpu_gemm import Demands, Product, best_demands
from hwsim.devices.cpu_stream import gemv_demands, vector_demands
from hwsim.devices.recurrent_work import CONVERTED, last_operations, step_operations
from hwsim.plan import Plan
from hwsim.plan.residency import Operand, Residency
from hwsim.tensor.formats import accumulator_format, format_bits
from hwsim.workload.recurrent import Recurrent, recurrent_parts


def step_demands(
    layer: Recurrent, residency: Residency, memory_bytes_per_s: int, spec: CpuSpec, *, first: bool
) -> Iterator[Demands]:
    """The parallel loops of one step: its products; its gates, behind those that they wait for; and what
    ends it where what the gates made is multiplied once more. In the `first` step weights lie where they do
    when an operator begins; in later ones caches have seen them."""
    at, out = recurrent_parts(layer, residency.operands), residency.output
    wide = accumulator_format(out.dtype)

    def seen(weight: Operand | None) -> Operand:
        assert weight is not None
        return weight if first else Operand(weight.elements, weight.size_bytes, weight.dtype, "chip")

    def sums(rows: int) -> Operand:
        return _operand(layer.N * rows, wide)

    def multiplied(
        rows: int, depth: int, a: Operand, b: Operand, sums: Operand, pointwise: int = 0
    ) -> Demands:
        product = Product(1, layer.N, rows, depth, a, b, sums, pointwise)
        if min(product.m, product.n) == 1:
            return gemv_demands(product, spec)
        return best_demands(product, memory_bytes_per_s, spec)

    state, unit = (_operand(layer.N * size, out.dtype) for size in (layer.S, layer.H))
    made = Operand(state.elements, state.size_bytes, out.dtype, out.place)
    given = Operand(at.x.elements // layer.T, -(-at.x.size_bytes // layer.T), at.x.dtype, at.x.place)
    added = given
    if layer.I:
        added = sums(layer.gates * layer.H)
        yield multiplied(layer.gates * layer.H, layer.I, given, seen(at.input_weight), added)
    rows = next(rows for what, rows, _ in layer.products if what == "state")
    yield multiplied(rows, layer.S, state, seen(at.state_weight), sums(rows))
    operations, late = step_operations(layer), layer.products[-1][0] == "hidden"
    peepholes = [] if at.peepholes is None else [_operand(at.peepholes.elements, at.peepholes.dtype)]
    read = [sums(rows), added, unit, *peepholes]  # the cell of an LSTM, or the state
    yield vector_demands(read, unit if late else made, operations[0], 0, spec)
    if layer.P:
        yield multiplied(layer.P, layer.H, unit, seen(at.projection), made, CONVERTED)
    elif late:
        yield multiplied(layer.H, layer.H, unit, seen(at.state_weight), sums(layer.H))
        yield vector_demands([sums(layer.H), added, unit, state], made, operations[1], 0, spec)


def kept_cell(layer: Recurrent, residency: Residency, spec: CpuSpec) -> Demands:
    """The loop behind the last step that puts its cell where the result is."""
    out = residency.output
    cell = _operand(layer.N * layer.H, out.dtype)
    row = Operand(cell.elements, cell.size_bytes, out.dtype, out.place)
    return vector_demands([cell], row, last_operations(layer), 0, spec)


def one_after_another(
    first: Sequence[Plan], then: Sequence[Plan], times: int, last: Sequence[Plan] = ()
) -> Plan:
    """The loops of `first`, those of `then` so many times, and those of `last`, as one plan."""
    again = [*then] if times else []
    plans = [*first, *again, *last]
    offsets = np.cumsum([0, *(plan.demands.shape[1] for plan in plans)]).tolist()
    parts = [plan.kind_of_tile + offset for plan, offset in zip(plans, offsets, strict=False)]
    middle = np.concatenate([*parts[len(first) : len(first) + len(again)], _NONE])
    of_tile = np.concatenate(
        [*parts[: len(first)], np.tile(middle, times), *parts[len(first) + len(again) :]]
    )
    demands, takes, frees = (
        np.concatenate([getattr(plan, name) for plan in plans], axis=1)
        for name in ("demands", "takes", "frees")
    )
    actions = {
        key: np.concatenate(
            [plan.actions.get(key, np.zeros(plan.demands.shape[1], np.int64)) for plan in plans]
        )
        for key in dict.fromkeys(key for plan in plans for key in plan.actions)
    }
    return Plan(plans[0].pipeline, of_tile.astype(np.int32), demands, takes, frees, actions)


_NONE = np.zeros(0, dtype=np.int32)


def _operand(elements: int, dtype: str) -> Operand:
    return Operand(elements, -(-elements * format_bits(dtype) // 8), dtype, "chip")
