"""The totals of a run without its Result: time, energy, area, limit and utilization, by the same sums."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.design import Design
from hwsim.explore.outcome import Found
from hwsim.placement import Machine, SharedMachine, make_machine, prepare, price
from hwsim.plan import Plan, Program
from hwsim.plan.residency import Schedule
from hwsim.preparation import (
    action_counts,
    make_program,
    plan_workload,
    read_contents,
    refuse_unsupported,
)
from hwsim.sim import simulate
from hwsim.units import PS_PER_S
from hwsim.workload import Workload
from hwsim.workload.graph import multiplied

PURE_DELAY_SERVERS = 10**6  # a resource with so many servers limits nothing


def figures(graph: Workload, design: Design) -> Found:
    """What `hwsim.run` finds for a network in its formats on a design. Raises HwsimError as that does."""
    machine = make_machine(design)
    prepared = _prepared(graph, machine)
    makespan_ps = simulate(prepared.program, "fast").makespan_ps
    prices = price(design, machine, prepared.keys)
    latency_s = makespan_ps / PS_PER_S
    dynamic_j = float((prepared.counts * prices.pj_per_count).sum()) * 1e-12
    return Found(
        limit=_limit(prepared, makespan_ps),
        latency_s=latency_s,
        energy_j=dynamic_j + math.fsum(prices.area.leakage_w) * latency_s,
        area_mm2=math.fsum(prices.area.area_mm2),
        batch=graph.batch,
        utilization=_utilization(machine, prepared, latency_s),
        weight_bytes=_weight_bytes(graph),
    )


@dataclass(frozen=True, eq=False)
class _Parts:
    """What totals are made of."""

    program: Program
    plans: tuple[Plan, ...]
    macs: NDArray[np.int64]  # (operators,)
    keys: tuple[tuple[str, str], ...]
    counts: NDArray[np.int64]  # (operators, keys)


def _prepared(graph: Workload, machine: Machine) -> _Parts:
    """Schedule, plans and Program, by the functions that a run uses, less what only its Result shows."""
    if isinstance(machine, SharedMachine):
        whole = prepare(graph, machine)
        return _Parts(whole.program, whole.plans, _macs(whole.schedule), whole.keys, whole.counts)
    refuse_unsupported(graph, machine)
    contents = read_contents(graph) if machine.reads_contents else {}
    planned = plan_workload(graph, machine, contents, checked=False)
    program = make_program(machine, planned.order, planned.plans)
    return _Parts(program, planned.plans, _macs(planned.order), *action_counts(planned.plans))


@lru_cache(maxsize=256)
def _macs(order: Schedule) -> NDArray[np.int64]:
    return np.array([op.macs for op in order.operators], dtype=np.int64)


def _limit(prepared: _Parts, makespan_ps: int) -> str:
    """The resource with the largest share of busy time."""
    pipeline = prepared.program.pipeline
    busy_ps = sum((plan.busy_ps for plan in prepared.plans), np.zeros(len(pipeline.stages), dtype=np.int64))
    totals = dict.fromkeys((r.name for r in pipeline.resources), 0)
    for stage, time_ps in zip(pipeline.stages, busy_ps.tolist(), strict=True):
        totals[stage.resource] += time_ps
    shares = {
        r.name: totals[r.name] / r.servers / (makespan_ps or 1)
        for r in pipeline.resources
        if r.servers < PURE_DELAY_SERVERS
    }
    return max(shares, key=lambda name: shares[name], default="")


def _utilization(machine: Machine, prepared: _Parts, latency_s: float) -> float:
    """Share of the peak rate that did useful work, padding zeros left out."""
    columns = [i for i, (_, action) in enumerate(prepared.keys) if action.startswith("mac_")]
    done = prepared.counts[:, columns].sum(axis=1)
    padding = np.array([plan.part_totals.get("padding", 0) for plan in prepared.plans], dtype=np.int64)
    peak = latency_s * machine.clock_hz * machine.macs_per_cycle
    return int(np.minimum(prepared.macs, done - padding).sum()) / peak if peak else 0.0


@lru_cache(maxsize=256)
def _weight_bytes(graph: Workload) -> float:
    """Bytes of all weights that are multiplied, as they are stored."""
    names = dict.fromkeys(name for op in graph.operators for name in multiplied(op))
    weights = [graph.tensors[name] for name in names if graph.tensors[name].role in ("weight", "constant")]
    return float(sum(-(-t.stored_bits // 8) for t in weights))
