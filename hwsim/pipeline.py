"""The whole route of a run: load, schedule, plan, simulate, cost, check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hwsim.checks import check_result
from hwsim.cost import Technology, area_table, load_technology, price_actions
from hwsim.design import Design, load_design
from hwsim.devices import Device, make_device
from hwsim.errors import SpecError, UnsupportedError
from hwsim.plan import Plan, Program, join_plans
from hwsim.plan.residency import Schedule, schedule
from hwsim.result import Provenance, Result, TimingTable, Trace, UsageTable
from hwsim.sim import StallTable, attribute_stalls, simulate
from hwsim.sim import Trace as SimTrace
from hwsim.version import __version__
from hwsim.workload import Workload, load_workload

Progress = Callable[[int, int], None]
Overrides = Mapping[str, str] | Sequence[str]

ALWAYS_UNMODELLED = (
    "numbers: this run computed times, energy and area, and did not execute the arithmetic",
    "power delivery, cooling, and the boards and hosts around the device",
)


def run(
    workload: str | Path | Workload,
    design: str | Path | Design,
    *,
    dtype: str | None = None,
    weight_dtype: str | None = None,
    overrides: Overrides = (),
    timing: str = "auto",
    progress: Progress | None = None,
    **parameters: int,
) -> Result:
    """Run a workload on a design and return what was found.

    `workload` and `design` are names of the library, paths, or loaded objects. `dtype` is the number format
    of activations (and of weights, unless `weight_dtype` says else); without it the design's own.
    `overrides` are "path=value" for design fields; `parameters` (batch=..., seed=...) re-infer the workload.
    `timing` is "auto", "events" or "fast": the paths agree to the picosecond. `progress` is called with
    (tiles done, tiles in all). Raises HwsimError for bad input.
    """
    graph = load_workload(workload, **parameters)
    machine = load_design(design, overrides)
    spec = machine.device_spec
    graph = graph.astype(dtype or spec.dtype, weight_dtype)
    device = make_device(spec)
    _refuse_unsupported(graph, device, machine.name)
    order = schedule(
        graph,
        chip_bytes=device.chip_bytes,
        memory_bytes=device.memory_bytes,
        host_link=device.host_link,
        background_share=device.background_share,
    )
    plans, program = make_program(device, order)
    trace = simulate(program, timing, progress)
    stalls = _stalls(device, trace)
    result = _cost(graph, machine, device, order, plans, _columns(trace), stalls)
    check_result(result, order, plans, device.pipeline)
    return result


def make_program(device: Device, order: Schedule) -> tuple[tuple[Plan, ...], Program]:
    """Plan every operator of a schedule and join the plans, with each operator waiting for its producers."""
    plans = tuple(
        device.plan(op, residency) for op, residency in zip(order.operators, order.residencies, strict=True)
    )
    waits: list[dict[str, int]] = [{} for _ in plans]
    for edge in order.edges:
        consumer, producer = order.operators[edge.consumer], order.operators[edge.producer]
        name = device.wait_name(consumer, producer, edge.place)
        # Results leave in order, so the latest producer of a kind stands for all of them.
        waits[edge.consumer][name] = max(waits[edge.consumer].get(name, -1), edge.producer)
    return plans, join_plans(device.pipeline, plans, waits)


def _refuse_unsupported(graph: Workload, device: Device, design: str) -> None:
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
        raise UnsupportedError(f"{design} cannot run {graph.name}: " + "; ".join(lines))
    if not graph.operators:
        raise SpecError(f"{graph.name} has no operators, so there is nothing to run")


def _cost(
    graph: Workload,
    machine: Design,
    device: Device,
    order: Schedule,
    plans: tuple[Plan, ...],
    trace: Trace,
    stalls: StallTable,
) -> Result:
    technology = load_technology(machine.technology.table, machine.technology.node_nm)
    spec = machine.device_spec
    activations = graph.tensors[graph.inputs[0]].dtype if graph.inputs else spec.dtype
    weights = next((t.dtype for t in graph.tensors.values() if t.role == "weight"), activations)
    return Result(
        workload=graph.name,
        design=machine.name,
        batch=graph.batch,
        dtype=activations if weights == activations else f"{activations}x{weights}",
        synthetic=graph.synthetic,
        clock_hz=device.clock_hz,
        macs_per_cycle=device.macs_per_cycle,
        focus=device.focus,
        timing=_timing_table(device, order, plans, trace, stalls),
        usage=_usage_table(device, order, plans, technology),
        area=area_table(device.components(), technology),
        peak_chip_bytes=order.peak_chip_bytes,
        spilled=order.spilled,
        published=machine.published,
        provenance=_provenance(graph, machine, device, technology.name, trace.path),
        trace=trace,
    )


def _columns(found: SimTrace) -> Trace:
    """The outcome of a simulation as a result keeps it: the columns without the program."""
    program = found.program
    return Trace(
        stages=program.pipeline.stage_names,
        stage_resources=tuple(s.resource for s in program.pipeline.stages),
        first_tile=program.first_tile,
        kind_of_tile=program.kind_of_tile,
        durations_ps=program.durations_ps,
        start_ps=found.start_ps,
        makespan_ps=found.makespan_ps,
        path=found.path,
    )


def _stalls(device: Device, trace: SimTrace) -> StallTable:
    """Stalls of the focus stage by name: conditions that a device gives one name share a column."""
    apart = [replace(cause, name=f"{cause.kind} {cause.what}") for cause in device.causes]
    found = attribute_stalls(trace, device.focus, apart)
    names = [*(cause.name for cause in device.causes), *found.causes[len(apart) :]]
    causes = tuple(dict.fromkeys(names))
    member = np.array([[name == cause for cause in causes] for name in names], dtype=np.int64)
    return StallTable(found.focus, causes, found.stall_ps @ member, found.active_ps)


def _timing_table(
    device: Device, order: Schedule, plans: Sequence[Plan], trace: Trace, stalls: StallTable
) -> TimingTable:
    pipeline = device.pipeline
    resources = tuple(r.name for r in pipeline.resources)
    bounds = np.zeros((len(plans), len(resources)), dtype=np.int64)
    for i, (op, residency) in enumerate(zip(order.operators, order.residencies, strict=True)):
        for name, floor in device.bound_ps(op, residency).items():
            bounds[i, resources.index(name)] = floor
    return TimingTable(
        names=tuple(op.name for op in order.operators),
        kinds=tuple(op.kind for op in order.operators),
        layers=tuple(op.layer for op in order.operators),
        macs=np.array([op.macs for op in order.operators], dtype=np.int64),
        tiles=np.diff(trace.first_tile),
        completion_ps=_completion(trace),
        stages=pipeline.stage_names,
        stage_resources=tuple(s.resource for s in pipeline.stages),
        busy_ps=np.array([plan.busy_ps for plan in plans], dtype=np.int64).reshape(len(plans), -1),
        causes=stalls.causes,
        active_ps=stalls.active_ps,
        stalls_ps=stalls.stall_ps,
        resources=resources,
        servers=tuple(r.servers for r in pipeline.resources),
        bound_ps=bounds,
        makespan_ps=trace.makespan_ps,
    )


def _completion(trace: Trace) -> np.ndarray:
    """(O,) when the last stage of each operator's tiles ends; an operator without tiles (a view) is complete
    with its predecessor."""
    counts = np.diff(trace.first_tile)
    found = np.zeros(len(counts), dtype=np.int64)
    some = np.flatnonzero(counts)
    if some.size:
        for stage in range(len(trace.stages)):
            if trace.durations_ps[stage].any():
                last = np.maximum.reduceat(trace.ends(stage), trace.first_tile[:-1][some])
                found[some] = np.maximum(found[some], last)
    return np.maximum.accumulate(found)


def _usage_table(device: Device, order: Schedule, plans: Sequence[Plan], technology: Technology) -> UsageTable:
    keys: dict[tuple[str, str], int] = {}
    for plan in plans:
        for key in plan.action_totals:
            keys.setdefault(key, len(keys))
    counts = np.zeros((len(plans), len(keys)), dtype=np.int64)
    for i, plan in enumerate(plans):
        for key, count in plan.action_totals.items():
            counts[i, keys[key]] = count
    prices = price_actions(device.components(), tuple(keys), technology)
    names = tuple(op.name for op in order.operators)
    return UsageTable(names, tuple(keys), counts, prices.pj_per_count, prices.sources)


def _provenance(graph: Workload, machine: Design, device: Device, technology: str, path: str) -> Provenance:
    ideal = tuple(f"{name}: unlimited in this design, so it has no energy and no area" for name in device.ideal)
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
        notes=tuple(graph.notes),
        unmodelled=(*ALWAYS_UNMODELLED, *device.unmodelled, *ideal),
    )

