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
from hwsim.plan import Plan
from hwsim.plan.residency import Operand, Residency
from hwsim.tensor.formats import accumulator_format, format_bits
from hwsim.workload.operators import Recurrent


def step_demands(
    layer: Recurrent, residency: Residency, passes: int, spec: CpuSpec, *, first: bool
) -> Iterator[Demands]:
    """The parallel loops of one step: its products, and its gates with `passes` operations for each unit of
    the state. In the `first` step weights lie where they do when an operator begins; in later ones caches
    have seen them."""
    x, out = residency.operands[0], residency.output
    wide = accumulator_format(out.dtype)
    sums = _operand(layer.N * layer.gates * layer.H, wide)
    state = _operand(layer.N * layer.H, out.dtype)
    weights = residency.operands[1 : 1 + layer.weights]
    if not first:
        weights = tuple(Operand(w.elements, w.size_bytes, w.dtype, "chip") for w in weights)
    given = Operand(x.elements // layer.T, -(-x.size_bytes // layer.T), x.dtype, x.place)
    read = [sums, given]
    if layer.I:
        yield _product(layer, layer.I, given, weights[1], sums, spec)
        read = [sums, sums]
    yield _product(layer, layer.H, state, weights[0], sums, spec)
    made = Operand(state.elements, state.size_bytes, out.dtype, out.place)
    yield vector_demands([*read, state], made, passes, spec)


def one_after_another(first: Sequence[Plan], then: Sequence[Plan], times: int) -> Plan:
    """The loops of `first`, and those of `then` so many times, as one plan."""
    plans = [*first, *then] if times else [*first]
    offsets = np.cumsum([0, *(plan.demands.shape[1] for plan in plans)]).tolist()
    parts = [plan.kind_of_tile + offset for plan, offset in zip(plans, offsets, strict=False)]
    of_tile = np.concatenate(
        [*parts[: len(first)], np.tile(np.concatenate([*parts[len(first) :], _NONE]), times)]
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


def _product(layer: Recurrent, depth: int, a: Operand, b: Operand, sums: Operand, spec: CpuSpec) -> Demands:
    product = Product(1, layer.N, layer.gates * layer.H, depth, a, b, sums, 0)
    return gemv_demands(product, spec) if min(product.m, product.n) == 1 else best_demands(product, spec)


def _operand(elements: int, dtype: str) -> Operand:
    return Operand(elements, -(-elements * format_bits(dtype) // 8), dtype, "chip")
