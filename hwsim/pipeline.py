"""The whole route of a run: load, schedule, plan, simulate, cost, check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hwsim.checks import check_plans, check_result, check_storage
from hwsim.cost import area_table, load_technology, price_actions
from hwsim.design import Design, load_design
from hwsim.devices import Device, make_device
from hwsim.errors import CapacityError, SpecError, UnsupportedError, VerificationError
from hwsim.functional import estimate_s, execute_stored, verify_program
from hwsim.plan import Plan, Program, join_plans
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import STREAM_SHARES, Contents, Schedule, WeightStorage, schedule
from hwsim.plan.weights import kept_weights, weight_columns
from hwsim.result import Provenance, Result, TimingTable, Trace, UsageTable, WeightTable
from hwsim.result.verification import Verification
from hwsim.sim import attribute_stalls, completions, simulate
from hwsim.tensor.encoding import FixedPoint, find_fixed_point
from hwsim.version import __version__
from hwsim.workload import Workload, load_workload
from hwsim.workload.graph import WEIGHTED
from hwsim.workload.operators import Transfer

Progress = Callable[[int, int], None]
Phase = Callable[[str], None]
Overrides = Mapping[str, str] | Sequence[str]

VERIFIES_WITHIN_S = 3.0  # what a run that may choose spends on its numbers

NUMBERS_UNMODELLED = "numbers: this run computed times, energy and area, and did not execute the arithmetic"
ALWAYS_UNMODELLED = ("power delivery, cooling, and the boards and hosts around the device",)


def run(
    workload: str | Path | Workload,
    design: str | Path | Design,
    *,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    overrides: Overrides = (),
    timing: str = "auto",
    verify: bool | None = False,
    progress: Progress | None = None,
    phase: Phase | None = None,
    **parameters: int,
) -> Result:
    """Run a workload on a design and return what was found.

    `workload` and `design` are names of the library, paths, or loaded objects. `dtype` is the number format
    of activations (and of weights, unless `weight_dtype` says else); without it what the
    workload was given by `astype` or a constructor, else the design's own.
    `overrides` are "path=value" for design fields; `parameters` (batch=..., seed=...) re-infer the workload.
    `timing` is "auto", "events" or "fast": the paths agree to the picosecond. `verify` computes the numbers
    of the timed schedule as well and compares them with a reference (None: where that takes a few seconds at
    most). `progress` is called with (tiles done, tiles in all), anew for the numbers; `phase` with what is
    being done before there are tiles to count. Raises HwsimError for bad input, and VerificationError for
    wrong numbers.
    """
    graph, machine, device = _loaded(workload, design, dtype, weight_dtype, overrides, parameters)
    prepared = _prepared(graph, machine, device, phase)
    trace = simulate(prepared.program, timing, progress)
    result = _result(graph, machine, device, prepared, trace)
    check_result(result)
    said = result.provenance
    must = verify is True
    if not must and (verify is False or estimate_s(graph, prepared.program) > VERIFIES_WITHIN_S):
        return result
    try:
        found = _verify(graph, machine, device, prepared, progress=progress)
    except UnsupportedError as error:
        if must:
            raise
        notes = (*said.notes, f"the numbers were not checked: {error}")
        return replace(result, provenance=replace(said, notes=notes))
    unmodelled = tuple(part for part in said.unmodelled if part != NUMBERS_UNMODELLED)
    return replace(result, verified=True, verification=found, provenance=replace(said, unmodelled=unmodelled))


def verify(
    workload: str | Path | Workload,
    design: str | Path | Design,
    *,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    overrides: Overrides = (),
    fixed_point: str | None = None,
    rounding: str = "nearest_even",
    progress: Progress | None = None,
    phase: Phase | None = None,
    **parameters: int,
) -> Verification:
    """Execute the schedule that `run` times, in the machine's own number format, and compare every
    operator's results with an independent reference: integers bit for bit, floats within a derived bound.

    `fixed_point` ("q7.8") reads integers of as many bits as Qm.n, which saturates and rounds by `rounding`
    ("nearest_even", "half_up", "truncate"); without it each tensor has a scale. The rest is as for `run`.
    Raises VerificationError for the first wrong operator, other HwsimErrors for bad input.
    """
    fixed = None if fixed_point is None else find_fixed_point(fixed_point, rounding)
    if fixed is not None and dtype is None:
        dtype = f"int{fixed.bits}"
    graph, machine, device = _loaded(workload, design, dtype, weight_dtype, overrides, parameters)
    prepared = _prepared(graph, machine, device, phase)
    return _verify(graph, machine, device, prepared, fixed_point=fixed, progress=progress)


def _loaded(
    workload: str | Path | Workload,
    design: str | Path | Design,
    dtype: str | None,
    weight_dtype: str | None,
    overrides: Overrides,
    parameters: Mapping[str, int],
) -> tuple[Workload, Design, Device]:
    graph = load_workload(workload, **parameters)
    machine = load_design(design, overrides)
    spec = machine.device_spec
    if dtype is None and weight_dtype is None and graph.formats_chosen:
        return graph, machine, make_device(spec)
    return graph.astype(dtype or spec.dtype, weight_dtype), machine, make_device(spec)


def _prepared(graph: Workload, machine: Design, device: Device, phase: Phase | None = None) -> Prepared:
    try:
        if phase is not None and device.reads_contents:
            _refuse_unsupported(graph, device)
            phase("running the network to see which activations are zero")
            read_contents(graph)  # kept for `prepare`
        if phase is not None:
            phase("planning the tiles of each operator")
        return prepare(graph, device)
    except (UnsupportedError, CapacityError) as error:
        raise type(error)(f"{graph.name} on {machine.name}: {error}") from None


def _verify(
    graph: Workload,
    machine: Design,
    device: Device,
    prepared: Prepared,
    *,
    fixed_point: FixedPoint | None = None,
    progress: Progress | None = None,
) -> Verification:
    where = f"{graph.name} on {machine.name}"
    try:
        return verify_program(
            graph,
            prepared.schedule,
            prepared.program,
            accumulator_bits=device.accumulator_bits,
            design=machine.name,
            fixed_point=fixed_point,
            progress=progress,
        )
    except VerificationError as error:
        raise error.within(where) from None
    except UnsupportedError as error:
        raise UnsupportedError(f"{where}: {error}") from None


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that does not depend on time: schedule, plans, program, bounds and action counts."""

    schedule: Schedule
    plans: tuple[Plan, ...]
    program: Program
    bound_ps: NDArray[np.int64]  # (operators, resources)
    keys: tuple[tuple[str, str], ...]  # actions
    counts: NDArray[np.int64]  # (operators, keys)
    weights: WeightTable
    notes: tuple[str, ...] = ()  # of how weights are kept


@lru_cache(maxsize=64)
def prepare(graph: Workload, device: Device) -> Prepared:
    """Schedule and plan a workload on a device. Kept for the pair, since only time differs between runs of
    it; workloads and devices are immutable."""
    _refuse_unsupported(graph, device)
    contents = read_contents(graph) if device.reads_contents else {}
    storage = device.weight_storage(graph, contents)
    check_storage(graph, storage)
    order, plans, program = _fit(graph, device, storage, contents)
    check_plans(order, plans, device.pipeline)
    resources = [r.name for r in device.pipeline.resources]
    bound_ps = np.zeros((len(plans), len(resources)), dtype=np.int64)
    for i, (op, residency) in enumerate(zip(order.operators, order.residencies, strict=True)):
        for name, floor in device.bound_ps(op, residency).items():
            bound_ps[i, resources.index(name)] = floor
    keys = tuple(dict.fromkeys(key for plan in plans for key in plan.action_totals))
    counts = np.array([[plan.action_totals.get(key, 0) for key in keys] for plan in plans], dtype=np.int64)
    counts = counts.reshape(len(plans), len(keys))
    weights = WeightTable(**weight_columns(kept_weights(graph, order, plans)))
    return Prepared(order, plans, program, bound_ps, keys, counts, weights, storage.notes)


@lru_cache(maxsize=64)
def read_contents(graph: Workload) -> Mapping[str, Contents]:
    """What tensors hold, for a device whose time depends on it: weights as they are, and which elements of
    inputs and activations are not zero, from executing the network in its own number formats."""
    products = [op for op in graph.operators if op.kind in WEIGHTED]
    computed = dict.fromkeys(
        name
        for op in products
        for name in op.inputs
        if graph.tensors[name].role not in ("weight", "constant")
    )
    stored = execute_stored(graph, {}, keep=tuple(computed)) if computed else {}
    found = {
        name: Contents(graph.tensors[name], _held(numbers.values != 0)) for name, numbers in stored.items()
    }
    weights = (name for op in products for name in op.inputs if name not in computed)
    return MappingProxyType(found | {name: Contents(graph.tensors[name]) for name in weights})


def _held(array: NDArray[np.bool_]) -> NDArray[np.bool_]:
    array.setflags(write=False)
    return array


def _fit(
    graph: Workload, device: Device, storage: WeightStorage, contents: Mapping[str, Contents]
) -> tuple[Schedule, tuple[Plan, ...], Program]:
    """Schedule and plan with the room for streaming that serves best: the least sum, over operators, of the
    time of their busiest resource. A share that some tile cannot do with is passed over."""
    best: tuple[int, Schedule, tuple[Plan, ...]] | None = None
    refusal: CapacityError | None = None
    chip_bytes = None if device.chip_bytes is None else device.chip_bytes - storage.taken_bytes
    for share in STREAM_SHARES:
        order = schedule(
            graph,
            chip_bytes=chip_bytes,
            memory_bytes=device.memory_bytes,
            host_link=device.host_link,
            stream_share=share,
            background_share=device.background_share,
            storage=storage,
            contents=contents,
        )
        try:
            plans = _plans(device, order)
        except CapacityError as error:
            refusal = error
            continue
        measure = sum(_busiest_ps(plan) for plan in plans)
        if best is None or measure < best[0]:
            best = measure, order, plans
        if not order.spilled:
            break  # nothing streams, so no other share can differ
    if best is None:
        assert refusal is not None
        raise refusal
    _, order, plans = best
    return order, plans, make_program(device, order, plans)


def _plans(device: Device, order: Schedule) -> tuple[Plan, ...]:
    plans = []
    tiles = 0
    for op, residency in zip(order.operators, order.residencies, strict=True):
        plans.append(device.plan(op, residency))
        tiles += plans[-1].tiles
        # Here and not once at the end: plans hold the kind of each tile, and a run may have many operators.
        check_tiles(tiles, "the run needs", f"up to operator {op.name}", "run the network in parts")
    return tuple(plans)


def _busiest_ps(plan: Plan) -> int:
    """Time of the resource that an operator keeps busy longest."""
    amounts: dict[str, int] = {}
    for stage, total in zip(plan.pipeline.stages, plan.stage_totals.tolist(), strict=True):
        amounts[stage.resource] = amounts.get(stage.resource, 0) + total
    return max(r.duration_ps(-(-amounts.get(r.name, 0) // r.servers)) for r in plan.pipeline.resources)


def make_program(device: Device, order: Schedule, plans: Sequence[Plan]) -> Program:
    """Join the plans of a schedule, with each operator waiting for its producers."""
    waits: list[dict[str, set[int]]] = [{} for _ in plans]
    for edge in order.edges:
        consumer, producer = order.operators[edge.consumer], order.operators[edge.producer]
        name = device.wait_name(consumer, edge.operand, producer, edge.place)
        waits[edge.consumer].setdefault(name, set()).add(edge.producer)
    return join_plans(device.pipeline, plans, waits)


def _refuse_unsupported(graph: Workload, device: Device) -> None:
    """One error for all operators that the device cannot run, grouped by reason."""
    reasons: dict[str, list[str]] = {}
    for op in graph.operators:
        formats = [graph.tensors[name].dtype for name in op.inputs]
        if reason := device.supports(op, formats):
            reasons.setdefault(reason, []).append(op.name)
    if reasons:
        lines = [
            f"{len(names)} operator{'s' if len(names) > 1 else ''} (first: {names[0]}): {reason}"
            for reason, names in reasons.items()
        ]
        raise UnsupportedError("; ".join(lines))
    if not graph.operators:
        raise SpecError(f"{graph.name} has no operators, so there is nothing to run")


def _result(graph: Workload, machine: Design, device: Device, prepared: Prepared, trace: Trace) -> Result:
    technology = load_technology(machine.technology.table, machine.technology.node_nm)
    prices = price_actions(device.components(), prepared.keys, technology)
    order = prepared.schedule
    names = tuple(op.name for op in order.operators)
    formats = (graph.dtype, graph.weight_dtype)
    return Result(
        workload=graph.name,
        design=machine.name,
        batch=graph.batch,
        dtype=formats[0] if formats[0] == formats[1] else "x".join(formats),
        synthetic=graph.synthetic,
        clock_hz=device.clock_hz,
        macs_per_cycle=device.macs_per_cycle,
        focus=device.focus,
        timing=_timing_table(device, prepared, trace),
        usage=UsageTable(names, prepared.keys, prepared.counts, prices.pj_per_count, prices.sources),
        area=area_table(device.components(), technology),
        peak_chip_bytes=order.peak_chip_bytes,
        spilled=order.spilled,
        weights=prepared.weights,
        published=machine.published,
        provenance=_provenance(graph, machine, device, prepared, technology.name, trace.path),
        trace=trace,
    )


def _timing_table(device: Device, prepared: Prepared, trace: Trace) -> TimingTable:
    stalls = attribute_stalls(prepared.program, trace, device.focus, device.causes)
    operators, resources = prepared.schedule.operators, device.pipeline.resources
    problems = [op.problem for op in operators]
    parts = tuple(dict.fromkeys(part for plan in prepared.plans for part in plan.part_totals))
    cycles = [[plan.part_totals.get(part, 0) for part in parts] for plan in prepared.plans]
    return TimingTable(
        names=tuple(op.name for op in operators),
        kinds=tuple(op.kind for op in operators),
        layers=tuple(op.layer for op in operators),
        macs=np.array([op.macs for op in operators], dtype=np.int64),
        tiles=np.diff(trace.first_tile),
        completion_ps=completions(trace),
        overlapped=np.array([isinstance(p, Transfer) and p.direction == "background" for p in problems]),
        stages=trace.stages,
        stage_resources=trace.stage_resources,
        busy_ps=np.array([plan.busy_ps for plan in prepared.plans], dtype=np.int64),
        causes=stalls.causes,
        active_ps=stalls.active_ps,
        stalls_ps=stalls.stall_ps,
        resources=tuple(r.name for r in resources),
        servers=tuple(r.servers for r in resources),
        bound_ps=prepared.bound_ps,
        makespan_ps=trace.makespan_ps,
        parts=parts,
        part_cycles=np.array(cycles, dtype=np.int64).reshape(len(operators), len(parts)),
    )


def _provenance(
    graph: Workload, machine: Design, device: Device, prepared: Prepared, technology: str, path: str
) -> Provenance:
    ideal = tuple(
        f"{name}: unlimited in this design, so it has no energy and no area" for name in device.ideal
    )
    return Provenance(
        version=__version__,
        workload_source=graph.source.path,
        workload_sha256=graph.source.sha256,
        design_source=machine.path,
        design_sha256=machine.sha256,
        overrides=machine.overrides,
        parameters=dict(graph.parameters),
        technology=technology,
        timing=path,
        notes=(*graph.notes, *prepared.notes),
        unmodelled=(NUMBERS_UNMODELLED, *ALWAYS_UNMODELLED, *device.unmodelled, *ideal),
    )
