"""Families: a network on machines that differ in nothing but the rates of their resources. Schedules, tiles,
waits and counts are made once for all of them; what is left for each is to pick mappings and to be timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from hwsim.bounded import Bounded
from hwsim.devices import ChoosesByRates, Device, chooses_by_rates
from hwsim.errors import CapacityError, HwsimError
from hwsim.explore.timed import Timed, counted, limit_of
from hwsim.placement import Machine, SharedMachine
from hwsim.plan import Pipeline, Plan
from hwsim.plan.options import pick_all
from hwsim.plan.pipeline import row_durations_ps
from hwsim.plan.program import check_tiles, merge_plans
from hwsim.plan.residency import STREAM_SHARES, Schedule
from hwsim.preparation import amounts_asked, refuse_unsupported, scheduled, waits_of
from hwsim.sim import Retimed
from hwsim.workload import Workload

KEPT_BYTES = 64 << 20  # of families, and of what they have laid out, by one evaluator


def family_key(graph: Workload, machine: Machine) -> Hashable:
    """What points have in common that are best evaluated one after the other."""
    if isinstance(machine, SharedMachine) or not chooses_by_rates(machine):
        return graph, machine
    room = (machine.chip_bytes, machine.memory_bytes, machine.host_link, machine.background_share)
    return graph, machine.family, room


class Families:
    """Those that one evaluator meets."""

    def __init__(self) -> None:
        self._kept = Bounded[Family | None](KEPT_BYTES, lambda family: family.size_bytes if family else 1)
        self._tries = Bounded[_Try](KEPT_BYTES, lambda tried: tried.size_bytes)
        self._laid_out = Bounded[LaidOut](KEPT_BYTES, lambda laid_out: laid_out.size_bytes)

    def timed(self, graph: Workload, device: Device) -> Timed | None:
        """What `hwsim.run` would find of time and counts; None where it has to be asked itself: of a device
        whose plans depend on more than rates, and of what cannot run, for the reason why."""
        if not chooses_by_rates(device):
            return None
        family = self._kept.once(family_key(graph, device), lambda: self._made(graph, device))
        try:
            return None if family is None else family.timed(device.pipeline)
        except (HwsimError, OverflowError):  # times that int64 does not hold are told by who plans anew
            return None

    def _made(self, graph: Workload, device: ChoosesByRates) -> Family | None:
        try:
            refuse_unsupported(graph, device)
            return Family(graph, device, self._tried)
        except HwsimError:
            return None

    def _tried(self, order: Schedule, device: ChoosesByRates) -> _Try:
        """One for all families of a shape whose rooms come to the same schedule, which is one object then."""
        key = id(order), device.family  # nothing else is called so while it is kept
        return self._tries.once(key, lambda: _Try(order, device, self._laid_out))


class Family:
    """A network on all machines that choose among the same plans as `device`. Raises CapacityError where no
    plan has room."""

    def __init__(
        self,
        graph: Workload,
        device: ChoosesByRates,
        tried: Callable[[Schedule, ChoosesByRates], _Try],
    ) -> None:
        self._tries: list[_Try] = []
        refusal: CapacityError | None = None
        storage = device.weight_storage(graph, {})
        for share in STREAM_SHARES:
            order = scheduled(graph, device, storage, share)
            try:
                self._tries.append(tried(order, device))
            except CapacityError as error:
                refusal = error
                continue
            if not order.spilled:
                break
        if not self._tries:
            assert refusal is not None
            raise refusal
        self.size_bytes = sum(one.size_bytes for one in self._tries)

    def timed(self, pipeline: Pipeline) -> Timed:
        """At the rates of one machine, with the room for streaming that `plan_workload` chooses. Raises
        CapacityError where a schedule that rates alone decide on has no room, or takes too long."""
        found = [one.at(pipeline) for one in self._tries]
        best = min(found, key=lambda laid_out: laid_out.busiest_ps(pipeline)) if len(found) > 1 else found[0]
        return best.timed(pipeline)


class _Try:
    """A schedule, and the plans that rates choose among."""

    def __init__(self, order: Schedule, device: ChoosesByRates, kept: Bounded[LaidOut]) -> None:
        self._order, self._device, self._kept = order, device, kept
        firsts = sorted(set(order.alike))
        self._options = [device.options(order.operators[i], order.residencies[i]) for i in firsts]
        self._distinct = np.searchsorted(firsts, order.alike)  # of each operator, which options
        choices = [amounts for options in self._options for amounts in options.choices]
        none = np.zeros((0, len(device.pipeline.resources)), dtype=np.int64)
        self._amounts = np.concatenate([none, *choices])
        self._begins = np.cumsum([0, *map(len, choices)])
        self._rules = [options.rule for options in self._options if options.rule is not None]
        self.size_bytes = sum(options.size_bytes for options in self._options)

    def at(self, pipeline: Pipeline) -> LaidOut:
        """What the rates of a machine choose."""
        picks = pick_all(self._amounts, self._begins, pipeline)
        ruled = tuple(rule(pipeline) for rule in self._rules)
        return self._kept.once((self, picks.tobytes(), ruled), lambda: self._lay_out(picks.tolist(), ruled))

    def _lay_out(self, picks: Sequence[int], ruled: Sequence[Hashable]) -> LaidOut:
        left, own = iter(picks), iter(ruled)
        made = [
            options.make(tuple(islice(left, len(options.choices))) if options.rule is None else next(own))
            for options in self._options
        ]
        plans = [made[i] for i in self._distinct.tolist()]
        check_tiles(sum(plan.tiles for plan in plans), "the run needs", "", "run the network in parts")
        return LaidOut(self._order, self._device, plans)


class LaidOut:
    """Plans that some machines of a family choose, joined, and what is counted of them."""

    def __init__(self, order: Schedule, device: Device, plans: Sequence[Plan]) -> None:
        pipeline = device.pipeline
        joined = merge_plans(pipeline, plans, waits_of(order, device))
        self._joined = replace(joined, plans=())  # they take room, and time needs them no more
        self._retimed = Retimed(self._joined.program(pipeline))
        self._tiles_of_kind = np.bincount(self._joined.kind_of_tile, minlength=self._joined.demands.shape[1])
        self._counted = counted(order, plans)
        distinct = {id(plan): plan for plan in plans}
        self._asked = np.array([amounts_asked(plan) for plan in distinct.values()], dtype=np.int64)
        times = Counter(map(id, plans))
        self._times = [times[at] for at in distinct]
        self.size_bytes = 2 * self._joined.size_bytes  # loops have columns of their own

    def timed(self, pipeline: Pipeline) -> Timed:
        """At the rates of one machine."""
        durations_ps = self._joined.durations_ps(pipeline)
        makespan_ps = self._retimed.makespan_ps(durations_ps)
        limit = limit_of(pipeline, durations_ps @ self._tiles_of_kind, makespan_ps)
        return Timed(self._counted, makespan_ps, limit)

    def busiest_ps(self, pipeline: Pipeline) -> int:
        """The sum over operators of the time of their busiest resource."""
        longest_ps = row_durations_ps(pipeline.resources, self._asked.T).max(axis=0)
        return sum(ps * times for ps, times in zip(longest_ps.tolist(), self._times, strict=True))
