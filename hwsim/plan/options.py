"""Options: mappings of an operator among which the rates of a machine choose, and how they choose.

What a mapping asks of each resource knows no rate. Machines that differ in nothing but rates share the
options of all operators, and each picks its own plans among them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.plan.pipeline import Pipeline, row_durations_ps
from hwsim.plan.program import Plan
from hwsim.units import PS_PER_S

Picked = TypeVar("Picked", bound=Hashable)

RULED_PLANS = 4  # kept of an operator: rates seldom pick more
_LARGE_PS = 2.0**58  # times below it add up in int64, over more resources than machines have


@dataclass(frozen=True, eq=False)
class Options:
    """Plans of one operator. `choices` are independent of one another: (mappings, resources) what each
    mapping asks in all of the resources that it is chosen by. `make` gives the plan of the mappings picked, a
    row of each choice, at the rates of whoever asked first; or, without choices, of what a `rule` of its own
    finds for the rates of a machine. `size_bytes` is what its plans take."""

    choices: tuple[Int64Array, ...]
    make: Callable[[Any], Plan]
    size_bytes: int
    rule: Callable[[Pipeline], Hashable] | None = None

    @classmethod
    def among(cls, plans: Sequence[Plan], amounts: Sequence[Sequence[int]]) -> Options:
        """One choice among plans, one or more, that ask such amounts of the resources."""
        table = np.array(amounts, dtype=np.int64)
        return cls((table,), lambda picks: plans[picks[0]], sum(plan.size_bytes for plan in plans))

    @classmethod
    def only(cls, plan: Plan) -> Options:
        """No choice."""
        return cls((), lambda _: plan, plan.size_bytes)

    @classmethod
    def ruled(
        cls, rule: Callable[[Pipeline], Picked], make: Callable[[Picked], Plan], pipeline: Pipeline
    ) -> Options:
        """What `rule` picks at the rates of a machine, `pipeline` being the first that asks."""
        kept = lru_cache(maxsize=RULED_PLANS)(make)
        return cls((), kept, RULED_PLANS * kept(rule(pipeline)).size_bytes, rule)

    def at(self, pipeline: Pipeline) -> Plan:
        """The plan at the rates of a machine."""
        if self.rule is None:
            plan = self.make(tuple(pick(amounts, pipeline) for amounts in self.choices))
        else:
            plan = self.make(self.rule(pipeline))
        return plan if plan.pipeline is pipeline else plan.at_rates(pipeline)


def pick(amounts: Int64Array, pipeline: Pipeline) -> int:
    """The first of one choice's mappings with the least floor; see `pick_all`."""
    return int(pick_all(amounts, np.array([0, len(amounts)]), pipeline)[0])


def pick_all(amounts: Int64Array, begins: Int64Array, pipeline: Pipeline) -> Int64Array:
    """(choices,) of each choice the first mapping with the least floor: the time of the busiest resource,
    then the sum over all. `amounts` (mappings of all choices, resources); choice i has the rows `begins[i]`
    to `begins[i + 1]`, and the row is counted from its first."""
    longest, added = _floors_ps(amounts, pipeline)
    choice = np.repeat(np.arange(len(begins) - 1), np.diff(begins))
    order = np.lexsort((added, longest, choice))  # stable: equal ones stay in their order
    return order[begins[:-1]] - begins[:-1]


def _floors_ps(amounts: Int64Array, pipeline: Pipeline) -> tuple[Int64Array, Int64Array]:
    """(mappings,) time of the busiest resource, and of all resources together."""
    resources = pipeline.resources
    most = amounts.max(axis=0, initial=0).tolist()
    if any(r.rate and m * PS_PER_S / float(r.rate) > _LARGE_PS for r, m in zip(resources, most, strict=True)):
        # Exact for times of any length, as ranks: only their order is asked for.
        exact = [[r.duration_ps(a) for r, a in zip(resources, row, strict=True)] for row in amounts.tolist()]
        return _ranks([max(row) for row in exact]), _ranks([sum(row) for row in exact])
    busy_ps = row_durations_ps(resources, amounts.T)
    return busy_ps.max(axis=0), busy_ps.sum(axis=0)


def _ranks(values: list[int]) -> Int64Array:
    rank = {value: i for i, value in enumerate(sorted(set(values)))}
    return np.array([rank[value] for value in values], dtype=np.int64)
