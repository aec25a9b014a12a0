"""Each device's plans as one Program: columns side by side, a tile for each transfer, and the waits that hold
the devices together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim import preparation
from hwsim.checks import check_transfers
from hwsim.devices import Device
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.placement.issue import Issued, issue_order, part_of
from hwsim.placement.machine import (
    ELSEWHERE,
    LINK,
    TRANSFER,
    Machine,
    SharedMachine,
    between,
    ends_of,
    flight_ps,
    flight_stage,
    transfer_stage,
)
from hwsim.placement.place import Placed, place
from hwsim.plan import Plan, join_plans
from hwsim.plan.residency import Contents, Edge, Residency, Schedule
from hwsim.plan.weights import weight_columns
from hwsim.preparation import Planned, Prepared, action_counts, plan_workload, read_contents
from hwsim.result import WeightTable
from hwsim.workload import Workload
from hwsim.workload.operators import Transfer

Waits = list[dict[str, set[int]]]  # of each operator: the operators that it waits for, by the wait's name


def prepare(graph: Workload, machine: Machine) -> Prepared:
    """Schedule and plan a workload on a device, or on devices that share it."""
    if isinstance(machine, SharedMachine):
        return _prepare_shared(graph, machine)
    return preparation.prepare(graph, machine)


def read_ahead(graph: Workload, machine: Machine) -> None:
    """What `prepare` would do first, for a machine that reads contents: refuse what cannot run, and execute
    the network. Kept for `prepare`."""
    if isinstance(machine, SharedMachine):
        placed = place(graph, machine)
        for name, device in machine.devices.items():
            _contents(placed, name, device)
        return
    preparation.refuse_unsupported(graph, machine)
    read_contents(graph)


@lru_cache(maxsize=64)
def _prepare_shared(graph: Workload, machine: SharedMachine) -> Prepared:
    placed = place(graph, machine)
    issued = issue_order(placed, machine)
    parts = {
        name: _part(placed, issued, name, device)
        for name, device in machine.devices.items()
        if any(one.at(name) is not None for one in issued)
    }
    index = {one.operator.name: i for i, one in enumerate(issued)}
    wide = _Widened(machine, parts)
    plans = tuple(wide.plan(one) for one in issued)
    tensors = placed.workload.tensors
    check_transfers(
        plans,
        {
            i: (transfer_stage(one.link), (one.device, one.target), tensors[one.operator.inputs[0]])
            for i, one in enumerate(issued)
            if one.link
        },
    )
    keys, counts = action_counts(plans)
    return Prepared(
        workload=placed.workload,
        schedule=_joined(issued, parts, index),
        plans=plans,
        program=join_plans(machine.pipeline, plans, _waits(issued, machine, parts, index)),
        bound_ps=_bounds(issued, machine, parts),
        keys=keys,
        counts=counts,
        weights=WeightTable(**weight_columns([row for p in parts.values() for row in p.kept_weights])),
        accumulator_bits={one.operator.name: machine.devices[one.device].accumulator_bits for one in issued},
        notes=(*placed.notes, *(f"{n}: {note}" for n, p in parts.items() for note in p.storage.notes)),
        where=tuple(one.where for one in issued),
    )


def _part(placed: Placed, issued: Sequence[Issued], name: str, device: Device) -> Planned:
    """What one device does, planned. Faults name the device."""
    graph, order = part_of(placed.workload, issued, name)
    try:
        return plan_workload(graph, device, _contents(placed, name, device), order)
    except (UnsupportedError, CapacityError) as error:
        raise type(error)(f"device {name}: {error}") from None


def _contents(placed: Placed, name: str, device: Device) -> Mapping[str, Contents]:
    """What is in the tensors of a device that reads them."""
    own = frozenset(op for op, runs in placed.device_of.items() if runs == name)
    if not device.reads_contents or not own:
        return {}
    return {**read_contents(placed.workload, own), **placed.weights}


# -- columns -------------------------------------------------------------------------------------------


class _Widened:
    """Plans of single devices with the rows of all others beside them. Equal plans stay one object."""

    def __init__(self, machine: SharedMachine, parts: Mapping[str, Planned]) -> None:
        self.machine = machine
        self._plans = {
            (name, op.name): plan
            for name, part in parts.items()
            for op, plan in zip(part.order.operators, part.plans, strict=True)
        }
        self._wide: dict[tuple[str, int], Plan] = {}

    def plan(self, one: Issued) -> Plan:
        if one.link:
            return self._transfer(one)
        own = self._plans[one.device, one.operator.name]
        key = one.device, id(own)
        if key not in self._wide:
            self._wide[key] = self._placed(one.device, own)
        return self._wide[key]

    def _placed(self, device: str, own: Plan) -> Plan:
        pipeline, span = self.machine.pipeline, self.machine.spans[device]
        kinds = own.demands.shape[1]
        demands = np.zeros((len(pipeline.stages), kinds), dtype=np.int64)
        takes, frees = (np.zeros((len(pipeline.pools), kinds), dtype=np.bool_) for _ in range(2))
        demands[span.first_stage : span.first_stage + len(own.demands)] = own.demands
        takes[span.first_pool : span.first_pool + len(own.takes)] = own.takes
        frees[span.first_pool : span.first_pool + len(own.frees)] = own.frees
        return replace(
            own,
            pipeline=pipeline,
            demands=demands,
            takes=takes,
            frees=frees,
            actions={(f"{device}.{part}", action): n for (part, action), n in own.actions.items()},
            within=span,
        )

    def _transfer(self, one: Issued) -> Plan:
        """One tile: what the sender asks, the link, and the receiver."""
        ends = [
            _alone(self._placed(device, self._plans[device, one.operator.name]))
            for device in (one.device, one.target)
        ]
        pipeline, problem = self.machine.pipeline, one.operator.problem
        assert isinstance(problem, Transfer)
        demands = ends[0].demands + ends[1].demands
        demands[pipeline.stage_index(transfer_stage(one.link))] += problem.size_bytes
        demands[pipeline.stage_index(flight_stage(one.link))] += flight_ps(self.machine.links[one.link])
        return Plan(
            pipeline,
            np.zeros(1, dtype=np.int32),
            demands,
            ends[0].takes | ends[1].takes,
            ends[0].frees | ends[1].frees,
            {**ends[0].actions, **ends[1].actions},
        )


def _alone(plan: Plan) -> Plan:
    """A plan of one tile, with the kind of that tile only."""
    assert plan.tiles == 1
    own = plan.kind_of_tile
    return replace(
        plan,
        kind_of_tile=np.zeros(1, dtype=np.int32),
        demands=plan.demands[:, own],
        takes=plan.takes[:, own],
        frees=plan.frees[:, own],
        actions={key: counts[own] for key, counts in plan.actions.items()},
    )


def _bounds(
    issued: Sequence[Issued], machine: SharedMachine, parts: Mapping[str, Planned]
) -> NDArray[np.int64]:
    """(operators, resources) floors: those that each device knows, and of a link its bytes at its rate."""
    resources = {resource.name: i for i, resource in enumerate(machine.pipeline.resources)}
    places = {(name, op.name): i for name, part in parts.items() for i, op in enumerate(part.order.operators)}
    bound_ps = np.zeros((len(issued), len(resources)), dtype=np.int64)
    for i, one in enumerate(issued):
        for name in (one.device, one.target):
            if name:
                floors = parts[name].bounds_ps(places[name, one.operator.name])
                for resource, floor in floors.items():
                    bound_ps[i, resources[f"{name}.{resource}"]] = floor
        if isinstance(one.operator.problem, Transfer) and one.link:
            link = machine.pipeline.resources[resources[one.link]]
            bound_ps[i, resources[one.link]] = link.duration_ps(one.operator.problem.size_bytes)
    return bound_ps


# -- order and waits -----------------------------------------------------------------------------------


def _joined(issued: Sequence[Issued], parts: Mapping[str, Planned], index: Mapping[str, int]) -> Schedule:
    """All devices' schedules as one. Where a tensor spills is said with it; peaks of all devices add up."""
    residencies: list[Residency | None] = [None] * len(issued)
    edges: list[Edge] = []
    for part in parts.values():
        at = [index[op.name] for op in part.order.operators]
        for place_, residency in zip(at, part.order.residencies, strict=True):
            if not issued[place_].link:
                residencies[place_] = residency
        edges += [replace(e, consumer=at[e.consumer], producer=at[e.producer]) for e in part.order.edges]
    return Schedule(
        tuple(one.operator for one in issued),
        tuple(residencies),
        tuple(edges),
        tuple(f"{tensor} on {name}" for name, part in parts.items() for tensor in part.order.spilled),
        sum(part.order.peak_chip_bytes for part in parts.values()),
        sum(part.order.memory_bytes for part in parts.values()),
    )


def _waits(
    issued: Sequence[Issued],
    machine: SharedMachine,
    parts: Mapping[str, Planned],
    index: Mapping[str, int],
) -> Waits:
    """What each operator waits for: its own device's operators as that device says, and transfers."""
    waits: Waits = [{} for _ in issued]
    made: dict[int, tuple[int, str]] = {}  # transfer -> what makes its tensor, and the stage where it is
    arrivals: list[tuple[int, int, str, str]] = []  # reader, transfer, device, that device's own wait
    for name, part in parts.items():
        own = {wait.name: wait for wait in part.device.pipeline.waits}
        operators = part.order.operators
        for edge in part.order.edges:
            reader, maker = operators[edge.consumer], operators[edge.producer]
            wait = part.device.wait_name(reader, edge.operand, maker, edge.place)
            i, j = index[reader.name], index[maker.name]
            if issued[j].link:
                arrivals.append((i, j, name, wait))
                continue
            waits[i].setdefault(f"{name}.{wait}", set()).add(j)
            if issued[i].link:
                made[i] = j, f"{name}.{own[wait].upon}"
    for i, (j, upon) in made.items():
        for stage in (transfer_stage(issued[i].link), *_held(issued[i], parts[issued[i].target])):
            waits[i].setdefault(between(LINK, stage, upon), set()).add(j)
    for i, j, name, own_wait in arrivals:
        wait_ = next(w for w in parts[name].device.pipeline.waits if w.name == own_wait)
        held, (source, upon) = f"{name}.{wait_.stage}", made[j]
        waits[i].setdefault(between(ELSEWHERE, held, upon), set()).add(source)
        for stage in (*_sent(issued[j], machine), f"{name}.{wait_.upon}"):
            waits[i].setdefault(between(TRANSFER, held, stage), set()).add(j)
    return waits


def _held(one: Issued, part: Planned) -> Iterator[str]:
    """The stages of the receiver in which a transfer begins to arrive."""
    order = [op.name for op in part.order.operators]
    plan = part.plans[order.index(one.operator.name)]
    for stage, total in zip(plan.pipeline.stages, plan.stage_totals.tolist(), strict=True):
        if total and stage.in_order:
            yield f"{one.target}.{stage.name}"


def _sent(one: Issued, machine: SharedMachine) -> tuple[str, ...]:
    """The stages after which all of a transfer has left, and is there."""
    ends = ends_of(machine.devices[one.device].pipeline)
    return (flight_stage(one.link), *(f"{one.device}.{stage}" for stage in ends))
