"""Plans that systolic arrays of one shape share, whatever their clock, memory and links: tiles are made once
for all of them, and each chooses among mappings at its own rates."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hwsim.plan import Pipeline, Plan
from hwsim.plan.mapping import GemmMapping


@dataclass(frozen=True, slots=True)
class Candidate:
    """One mapping of a product, its plan at the rates of whoever made it, and what it asks of each resource
    with one server."""

    mapping: GemmMapping
    plan: Plan
    amounts: tuple[tuple[int, int], ...]  # place among the pipeline's resources, amount in all

    def floor_ps(self, pipeline: Pipeline) -> tuple[int, int]:
        """What a mapping is chosen by: the busiest resource's time, then the sum over all resources."""
        busy = [pipeline.resources[place].duration_ps(amount) for place, amount in self.amounts]
        return max(busy), sum(busy)


class SharedPlans:
    """What arrays of one shape have in common."""

    def __init__(self, *shape: Hashable) -> None:
        self._found = _plans_of(*shape)

    def plan(self, key: Hashable, pipeline: Pipeline, make: Callable[[], Plan]) -> Plan:
        """The plan called `key`, made by whoever needs it first, at the rates of `pipeline`."""
        if key not in self._found:
            self._found[key] = make()
        return _at_rates(self._found[key], pipeline)

    def best(
        self,
        key: Hashable,
        pipeline: Pipeline,
        make: Callable[[], Iterable[tuple[GemmMapping, Plan]]],
        in_turns: bool,
    ) -> tuple[GemmMapping, Plan]:
        """Of the mappings of a product that `make` makes with their plans, the first with the least floor.
        Where shifting in and computing take turns (`in_turns`), the array does both."""
        if key not in self._found:
            made = ((mapping, plan, asked(plan, in_turns)) for mapping, plan in make())
            self._found[key] = tuple(Candidate(*one) for one in made)
        chosen: Candidate = min(self._found[key], key=lambda one: one.floor_ps(pipeline))
        return chosen.mapping, _at_rates(chosen.plan, pipeline)


@lru_cache(maxsize=64)
def _plans_of(*shape: Hashable) -> dict[Hashable, Any]:
    """Plans, or candidates for them. `shape` is all that decides tiles."""
    del shape
    return {}


def _at_rates(plan: Plan, pipeline: Pipeline) -> Plan:
    return plan if plan.pipeline is pipeline else plan.at_rates(pipeline)


def asked(plan: Plan, in_turns: bool) -> tuple[tuple[int, int], ...]:
    """What a plan asks of each resource with one server, by its place in the pipeline."""
    totals: dict[str, int] = {}
    for stage, total in zip(plan.pipeline.stages, plan.stage_totals.tolist(), strict=True):
        name = "array" if in_turns and stage.name == "shift" else stage.resource
        totals[name] = totals.get(name, 0) + total
    return tuple(
        (place, totals[resource.name])
        for place, resource in enumerate(plan.pipeline.resources)
        if resource.servers == 1 and resource.name in totals
    )
