"""Networks of one product and changes of their plans, for tests of numbers on machines with caches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.plan import Plan
from hwsim.preparation import Prepared, prepare
from hwsim.result import Verification
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Step
from tests.changed_plans import Change, each, verify_changed

BUILTIN = Source("builtin", "constructor", "")


def product(
    m: int,
    n: int,
    k: int,
    *,
    batch: int = 1,
    dtype: str = "fp32",
    transposed: bool = False,
    density: float = 1.0,
) -> Workload:
    """relu(a b + bias), b a weight; a bias for plain products alone."""
    g = GraphBuilder("product", dtype="fp32")
    lead = (batch,) if batch > 1 else ()
    a = g.input("a", (*lead, m, k))
    b = g.weight("b", (*lead, n, k) if transposed else (*lead, k, n), fan_in=k, density=density)
    bias = "" if batch > 1 else g.weight("bias", (n,), "bias")
    y = g.matmul(Label("y"), a, b, bias, transpose_b=transposed)
    return with_relu(g.build([y], BUILTIN)).astype(dtype)


def convolution(
    n: int, c: int, h: int, w: int, k: int, window: int, *, stride: int = 1, pad: int = 0, dilation: int = 1,
    groups: int = 1, dtype: str = "fp32",
) -> Workload:  # fmt: skip
    """relu(conv(x) + bias)."""
    g = GraphBuilder("convolution", dtype="fp32")
    x = g.input("x", (n, c, h, w))
    depth = c // groups
    weight = g.weight("w", (k, depth, window, window), fan_in=depth * window * window)
    y = g.conv2d(
        Label("y"), x, weight, g.weight("bias", (k,), "bias"), stride=(stride, stride), pad=(pad,) * 4,
        dilation=(dilation, dilation), groups=groups,
    )  # fmt: skip
    return with_relu(g.build([y], BUILTIN)).astype(dtype)


def attention(
    heads: int, groups: int, queries: int, keys: int, size: int = 8, *, masked: bool = False,
    dtype: str = "fp32", **given: object,
) -> Workload:  # fmt: skip
    """Scaled dot-product attention of a batch of two, values of two numbers less than keys."""
    g = GraphBuilder("attention", dtype="fp32")
    q = g.input("q", (2, heads, queries, size))
    k, v = g.input("k", (2, groups, keys, size)), g.input("v", (2, groups, keys, size - 2))
    mask = g.input("m", (queries, keys)) if masked else ""
    y = g.attention(Label("y"), q, k, v, mask, **given)  # type: ignore[arg-type]
    return g.build([y], BUILTIN).astype(dtype)


def with_relu(workload: Workload) -> Workload:
    """The last operator with a relu behind it."""
    *before, last = workload.operators
    return replace(workload, operators=(*before, replace(last, epilogue=(*last.epilogue, Step("relu")))))


def prepared(workload: Workload, design: str, *overrides: str) -> Prepared:
    return prepare(workload, make_device(load_design(design, overrides).device_spec))


def place_of(right: Prepared) -> int:
    """Which operator of the schedule is the product."""
    return next(
        i for i, op in enumerate(right.schedule.operators) if op.kind in ("conv2d", "matmul", "attention")
    )


def plan_of(right: Prepared) -> Plan:
    return right.plans[place_of(right)]


def check(workload: Workload, right: Prepared, change: Change = lambda plan: plan) -> Verification:
    """Verify with the product's plan changed."""
    return verify_changed(workload, right, place_of(right), change, accumulator_bits=right.accumulator_bits)


def without_tile(tile: int) -> Change:
    return lambda plan: replace(plan, kind_of_tile=np.delete(plan.kind_of_tile, tile))


def tile_again(tile: int) -> Change:
    """One tile issued twice."""
    return lambda plan: replace(
        plan, kind_of_tile=np.insert(plan.kind_of_tile, tile, plan.kind_of_tile[tile]).astype(np.int32)
    )


def with_demand(stage: str, tile: int, amount: int = 0, *, less: int = 0) -> Change:
    """One tile asks `amount` of a stage, or so much `less` than it did."""

    def change(plan: Plan) -> Plan:
        found = each(plan)
        demands, row = found.demands.copy(), plan.pipeline.stage_index(stage)
        demands[row, tile] = demands[row, tile] - less if less else amount
        return replace(found, demands=demands)

    return change
