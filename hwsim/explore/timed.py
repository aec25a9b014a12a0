"""What is found of a run before its prices: time, what limits it, and counts of actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.plan import Pipeline, Plan
from hwsim.plan.residency import Schedule
from hwsim.preparation import action_counts

PURE_DELAY_SERVERS = 10**6  # a resource with so many servers limits nothing


@dataclass(frozen=True, eq=False)
class Counted:
    """What plans come to, at any rates. `useful_macs` are those on no padding."""

    keys: tuple[tuple[str, str], ...]  # actions
    counts: Int64Array  # (operators, keys)
    useful_macs: int


@dataclass(frozen=True, eq=False)
class Timed:
    """A run without its prices; `limit` is the resource with the largest share of busy time."""

    counted: Counted
    makespan_ps: int
    limit: str


def counted(order: Schedule, plans: Sequence[Plan]) -> Counted:
    """Counts of the plans of a schedule, one of each operator."""
    keys, counts = action_counts(plans)
    macs = np.array([op.macs for op in order.operators], dtype=np.int64)
    columns = [i for i, (_, action) in enumerate(keys) if action.startswith("mac_")]
    padding = np.array([plan.part_totals.get("padding", 0) for plan in plans], dtype=np.int64)
    useful = np.minimum(macs, counts[:, columns].sum(axis=1) - padding)
    return Counted(keys, counts, int(useful.sum()))


def limit_of(pipeline: Pipeline, busy_ps: Int64Array, makespan_ps: int) -> str:
    """The resource with the largest share of busy time, of `busy_ps` (S,) by stage."""
    totals = dict.fromkeys((r.name for r in pipeline.resources), 0)
    for stage, time_ps in zip(pipeline.stages, busy_ps.tolist(), strict=True):
        totals[stage.resource] += time_ps
    shares = {
        r.name: totals[r.name] / r.servers / (makespan_ps or 1)
        for r in pipeline.resources
        if r.servers < PURE_DELAY_SERVERS
    }
    return max(shares, key=lambda name: shares[name], default="")
