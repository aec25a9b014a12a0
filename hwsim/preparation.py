"""All of a run that comes before time: the network's own zeros where they matter, schedule, plans, Program,
bounds and action counts; on one device, or on the part of a network that one of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.checks import check_plans, check_storage
from hwsim.devices import Device
from hwsim.errors import CapacityError, SpecError, UnsupportedError
from hwsim.functional import execute_stored
from hwsim.plan import Plan, Program, join_plans
from hwsim.plan.classes import OperatorClass, operator_classes
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import STREAM_SHARES, Contents, Schedule, WeightStorage, schedule
from hwsim.plan.weights import KeptWeight, kept_weights, weight_columns
from hwsim.result import WeightTable
from hwsim.workload import Workload
from hwsim.workload.graph import WEIGHTED, multiplied
from hwsim.workload.operators import Operator

_DENSE = WeightStorage()
_NOTHING: Mapping[str, Contents] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that does not depend on time. `workload` is what runs: the network as it was given, or as several
    devices share it; then `where` says what runs each operator, a device or a link."""

    workload: Workload
    schedule: Schedule
    plans: tuple[Plan, ...]
    program: Program
    bound_ps: NDArray[np.int64]  # (operators, resources)
    keys: tuple[tuple[str, str], ...]  # actions
    counts: NDArray[np.int64]  # (operators, keys)
    weights: WeightTable
    accumulator_bits: int | Mapping[str, int]  # of all operators, or by the name of each
    classes: tuple[OperatorClass, ...] = ()
    notes: tuple[str, ...] = ()  # of how weights are kept, and of who runs what
    where: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Planned:
    """What one device does of a network, before all is joined."""

    workload: Workload
    device: Device
    order: Schedule
    plans: tuple[Plan, ...]
    storage: WeightStorage

    @property
    def kept_weights(self) -> tuple[KeptWeight, ...]:
        return kept_weights(self.workload, self.order, self.plans)

    def bounds_ps(self, index: int) -> dict[str, int]:
        """Floors of one operator, by resource."""
        return self.device.bound_ps(self.order.operators[index], self.order.residencies[index])


@lru_cache(maxsize=64)
def prepare(graph: Workload, device: Device) -> Prepared:
    """Schedule and plan a workload on a device. Kept for the pair, since only time differs between runs of
    it; workloads and devices are immutable."""
    refuse_unsupported(graph, device)
    planned = plan_workload(graph, device, read_contents(graph) if device.reads_contents else {})
    order, plans = planned.order, planned.plans
    program = make_program(device, order, plans)  # it refuses times that bounds could not hold either
    resources = [r.name for r in device.pipeline.resources]
    bound_ps = np.zeros((len(plans), len(resources)), dtype=np.int64)
    for i, first in enumerate(order.alike):
        if first < i:
            bound_ps[i] = bound_ps[first]
            continue
        for name, floor in planned.bounds_ps(i).items():
            bound_ps[i, resources.index(name)] = floor
    keys, counts = action_counts(plans)
    return Prepared(
        workload=graph,
        schedule=order,
        plans=plans,
        program=program,
        bound_ps=bound_ps,
        keys=keys,
        counts=counts,
        weights=WeightTable(**weight_columns(planned.kept_weights)),
        accumulator_bits=device.accumulator_bits,
        classes=operator_classes(graph, order.operators, planned.storage.nonzeros, _streamed(planned)),
        notes=planned.storage.notes,
    )


def _streamed(planned: Planned) -> frozenset[str]:
    """Weights that come from outside, on a device that keeps weights on the chip where they have room."""
    if not planned.device.reads_contents:
        return frozenset()
    held = planned.storage.on_chip
    names = (name for op in planned.workload.operators for name in multiplied(op))
    return frozenset(n for n in names if planned.workload.tensors[n].role == "weight" and n not in held)


def action_counts(plans: Sequence[Plan]) -> tuple[tuple[tuple[str, str], ...], NDArray[np.int64]]:
    """All actions that plans charge, and how often each plan does: (plans, actions)."""
    rows = {id(plan): plan for plan in plans}  # equal plans are one object
    keys = tuple(dict.fromkeys(key for plan in rows.values() for key in plan.action_totals))
    row_of = {at: i for i, at in enumerate(rows)}
    counts = np.array([[p.action_totals.get(key, 0) for key in keys] for p in rows.values()], dtype=np.int64)
    return keys, counts.reshape(len(rows), len(keys))[[row_of[id(plan)] for plan in plans]]


@lru_cache(maxsize=64)
def read_contents(graph: Workload, operators: frozenset[str] | None = None) -> Mapping[str, Contents]:
    """What tensors hold, for a device whose time depends on it: weights as they are, and which elements of
    inputs and activations are not zero, from executing the network in its own number formats. Of all
    products, or of the `operators` named."""
    products = [
        op for op in graph.operators if op.kind in WEIGHTED and (operators is None or op.name in operators)
    ]
    computed = dict.fromkeys(
        name
        for op in products
        for name in op.inputs
        if graph.tensors[name].role not in ("weight", "constant", "cache")
    )
    stored = execute_stored(graph, {}, keep=tuple(computed)) if computed else {}
    found = {
        name: Contents(graph.tensors[name], _held(numbers.values != 0)) for name, numbers in stored.items()
    }
    known = known_contents(graph)
    weights = (name for op in products for name in op.inputs if name not in computed)
    return MappingProxyType(found | {name: known[name] for name in weights})


@lru_cache(maxsize=64)
def known_contents(graph: Workload) -> Mapping[str, Contents]:
    """What is known of the operands of products before the network is executed: weights as they are, and of
    what it computes nothing, so that no element counts as zero."""
    found: dict[str, Contents] = {}
    for name in dict.fromkeys(n for op in graph.operators if op.kind in WEIGHTED for n in op.inputs):
        tensor = graph.tensors[name]
        fixed = tensor.role in ("weight", "constant", "cache")
        found[name] = Contents(tensor, None if fixed else np.broadcast_to(np.True_, tensor.shape))
    return MappingProxyType(found)


def _held(array: NDArray[np.bool_]) -> NDArray[np.bool_]:
    array.setflags(write=False)
    return array


def plan_workload(
    graph: Workload,
    device: Device,
    contents: Mapping[str, Contents],
    order: Sequence[Operator] | None = None,
    *,
    checked: bool = True,
) -> Planned:
    """Schedule and plan with the room for streaming that serves best: the least sum, over operators, of the
    time of their busiest resource. A share that some tile cannot do with is passed over. `order` is as for
    `schedule`. Without `checked` the honesty rules are not applied to the plans: for sweeps, which apply them
    to samples."""
    storage = device.weight_storage(graph, contents)
    check_storage(graph, storage)
    best: tuple[int, Schedule, tuple[Plan, ...]] | None = None
    refusal: CapacityError | None = None
    for share in STREAM_SHARES:
        tried = scheduled(graph, device, storage, share, contents, order)
        try:
            plans = _plans(device, tried)
        except CapacityError as error:
            refusal = error
            continue
        if best is None and not tried.spilled:
            best = 0, tried, plans
            break  # nothing streams, so no other share can differ
        busiest = {i: _busiest_ps(plans[i]) for i in set(tried.alike)}
        measure = sum(busiest[i] for i in tried.alike)
        if best is None or measure < best[0]:
            best = measure, tried, plans
        if not tried.spilled:
            break
    if best is None:
        assert refusal is not None
        raise refusal
    _, found, plans = best
    if checked:
        check_plans(found, plans, device.pipeline)
    return Planned(graph, device, found, plans, storage)


def scheduled(
    graph: Workload,
    device: Device,
    storage: WeightStorage,
    share: int,
    contents: Mapping[str, Contents] = _NOTHING,
    order: Sequence[Operator] | None = None,
) -> Schedule:
    """The schedule of a network on a device that keeps one part in `share` of its buffer for streaming."""
    chip_bytes = None if device.chip_bytes is None else device.chip_bytes - storage.taken_bytes
    room = (chip_bytes, device.memory_bytes, device.host_link, share, device.background_share)
    if order is None and not contents and storage == _DENSE:
        return _scheduled(graph, *room)
    return schedule(graph, *room, storage=storage, contents=contents, order=order)


@lru_cache(maxsize=256)
def _scheduled(graph: Workload, *room: Any) -> Schedule:
    """Schedules that many designs share: they know of a device only what it has room for."""
    return _first_of_equals(schedule(graph, *room))


@lru_cache(maxsize=256)
def _first_of_equals(order: Schedule) -> Schedule:
    """Rooms in which the same has place have the same schedule, and it is one object."""
    return order


def _plans(device: Device, order: Schedule) -> tuple[Plan, ...]:
    plans: list[Plan] = []
    tiles = 0
    for i, first in enumerate(order.alike):
        op = order.operators[i]
        plans.append(plans[first] if first < i else device.plan(op, order.residencies[i]))
        tiles += plans[-1].tiles
        # Here and not once at the end: plans hold the kind of each tile, and a run may have many operators.
        check_tiles(tiles, "the run needs", f"up to operator {op.name}", "run the network in parts")
    return tuple(plans)


def _busiest_ps(plan: Plan) -> int:
    """Time of the resource that an operator keeps busy longest."""
    amounts = zip(plan.pipeline.resources, amounts_asked(plan), strict=True)
    return max(resource.duration_ps(amount) for resource, amount in amounts)


def amounts_asked(plan: Plan) -> list[int]:
    """What an operator asks of each resource of its machine, its servers sharing the work."""
    amounts: dict[str, int] = {}
    for stage, total in zip(plan.pipeline.stages, plan.stage_totals.tolist(), strict=True):
        amounts[stage.resource] = amounts.get(stage.resource, 0) + total
    return [-(-amounts.get(r.name, 0) // r.servers) for r in plan.pipeline.resources]


def make_program(device: Device, order: Schedule, plans: Sequence[Plan]) -> Program:
    """Join the plans of a schedule, with each operator waiting for its producers."""
    return join_plans(device.pipeline, plans, waits_of(order, device))


def waits_of(order: Schedule, device: Device) -> list[dict[str, set[int]]]:
    """Of each operator the names of its waits, and the operators that each waits for."""
    waits: list[dict[str, set[int]]] = [{} for _ in order.operators]
    for edge in order.edges:
        consumer, producer = order.operators[edge.consumer], order.operators[edge.producer]
        name = device.wait_name(consumer, edge.operand, producer, edge.place)
        waits[edge.consumer].setdefault(name, set()).add(edge.producer)
    return waits


def refuse_unsupported(graph: Workload, device: Device) -> None:
    """One error for all operators that the device cannot run, grouped by reason; and for weights that it
    cannot keep, which are known before the network is executed."""
    reasons: dict[str, list[str]] = {}
    for op in graph.operators:
        formats = [graph.tensors[name].dtype for name in op.inputs]
        if reason := device.supports(op, formats):
            reasons.setdefault(reason, []).append(op.name)
    refuse(graph, reasons)
    if device.reads_contents:
        device.weight_storage(graph, known_contents(graph))


def refuse(graph: Workload, reasons: Mapping[str, Sequence[str]]) -> None:
    """Raise UnsupportedError for operators by the reason that they cannot run, if there are any, SpecError
    for a workload without operators."""
    if reasons:
        lines = [
            f"{len(names)} operator{'s' if len(names) > 1 else ''} (first: {names[0]}): {reason}"
            for reason, names in reasons.items()
        ]
        raise UnsupportedError("; ".join(lines))
    if not graph.operators:
        raise SpecError(f"{graph.name} has no operators, so there is nothing to run")
