"""The whole route of a run: load, schedule, plan, simulate, cost, check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from hwsim.checks import check_result
from hwsim.compress.lowering import Chosen, Given, choice_texts, read_choices
from hwsim.design import Design, load_design
from hwsim.errors import CapacityError, UnsupportedError, VerificationError
from hwsim.functional import estimate_s, verify_program
from hwsim.lowering import lowered
from hwsim.placement import Machine, make_machine, prepare, price, read_ahead
from hwsim.preparation import Prepared
from hwsim.progress import Progress
from hwsim.result import Provenance, Result, TimingTable, Trace, UsageTable
from hwsim.result.bands import ErrorTable
from hwsim.result.sharing import sharing_note
from hwsim.result.shipped_bands import error_table
from hwsim.result.verification import Verification
from hwsim.sim import attribute_stalls, completions, simulate
from hwsim.tensor.encoding import FixedPoint, find_fixed_point
from hwsim.version import __version__
from hwsim.workload import Workload, load_with
from hwsim.workload.graph import multiplied
from hwsim.workload.operators import OperatorProblem, Transfer

__all__ = ["Prepared", "prepare", "run", "verify"]

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
    lower: Given = (),
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
    `lower` makes choices of `hwsim.compress.lowering`: {"attention": "unfused"}, or "attention=unfused".
    `timing` is "auto", "events" or "fast": the paths agree to the picosecond. `verify` computes the numbers
    of the timed schedule as well and compares them with a reference (None: where that takes a few seconds at
    most). `progress` is called with (tiles done, tiles in all), anew for the numbers; `phase` with what is
    being done before there are tiles to count. Raises HwsimError for bad input, and VerificationError for
    wrong numbers.
    """
    chosen = read_choices(lower)
    graph, described, machine = _loaded(workload, design, dtype, weight_dtype, overrides, chosen, parameters)
    prepared = _prepared(graph, described, machine, phase)
    trace = simulate(prepared.program, timing, progress)
    result = _result(described, machine, prepared, trace, chosen)
    check_result(result)
    said = result.provenance
    must = verify is True
    if not must and (verify is False or estimate_s(prepared.workload, prepared.program) > VERIFIES_WITHIN_S):
        return result
    try:
        found = _verify(described, prepared, progress=progress)
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
    lower: Given = (),
    fixed_point: str | None = None,
    rounding: str = "nearest_even",
    approximate: bool = False,
    progress: Progress | None = None,
    phase: Phase | None = None,
    **parameters: int,
) -> Verification:
    """Execute the schedule that `run` times, in the machine's own number format, and compare every
    operator's results with an independent reference: integers bit for bit, floats within a derived bound.

    `fixed_point` ("q7.8") reads integers of as many bits as Qm.n, which saturates and rounds by `rounding`
    ("nearest_even", "half_up", "truncate"); without it each tensor has a scale. `approximate` computes
    functions, softmax and normalisation between integers in whole numbers, as integer machines do, each
    within a bound of its own. The rest is as for `run`.
    Raises VerificationError for the first wrong operator, other HwsimErrors for bad input.
    """
    fixed = None if fixed_point is None else find_fixed_point(fixed_point, rounding)
    if fixed is not None and dtype is None:
        dtype = f"int{fixed.bits}"
    chosen = read_choices(lower)
    graph, described, machine = _loaded(workload, design, dtype, weight_dtype, overrides, chosen, parameters)
    prepared = _prepared(graph, described, machine, phase)
    return _verify(described, prepared, fixed_point=fixed, approximate=approximate, progress=progress)


def _loaded(
    workload: str | Path | Workload,
    design: str | Path | Design,
    dtype: str | None,
    weight_dtype: str | None,
    overrides: Overrides,
    chosen: Chosen,
    parameters: Mapping[str, int],
) -> tuple[Workload, Design, Machine]:
    """The network in its number formats and as it is lowered, the design, and what runs networks on it.
    Devices that share a network each keep their own format where none is chosen."""
    graph = load_with(workload, parameters)
    described = load_design(design, overrides)
    machine = make_machine(described)
    kept = graph.formats_chosen or described.host_device
    if dtype is not None or weight_dtype is not None or not kept:
        graph = graph.astype(dtype or described.device_spec.dtype, weight_dtype)
    return lowered(graph, machine, chosen), described, machine


def _prepared(graph: Workload, design: Design, machine: Machine, phase: Phase | None = None) -> Prepared:
    try:
        if phase is not None and machine.reads_contents:
            phase("running the network to see which activations are zero")
            read_ahead(graph, machine)  # kept for `prepare`
        if phase is not None:
            phase("planning the tiles of each operator")
        return prepare(graph, machine)
    except (UnsupportedError, CapacityError) as error:
        raise type(error)(f"{graph.name} on {design.name}: {error}") from None


def _verify(
    design: Design,
    prepared: Prepared,
    *,
    fixed_point: FixedPoint | None = None,
    approximate: bool = False,
    progress: Progress | None = None,
) -> Verification:
    where = f"{prepared.workload.name} on {design.name}"
    try:
        found = verify_program(
            prepared.workload,
            prepared.schedule,
            prepared.program,
            accumulator_bits=prepared.accumulator_bits,
            design=design.name,
            fixed_point=fixed_point,
            approximate=approximate,
            progress=progress,
        )
    except VerificationError as error:
        raise error.within(where) from None
    except UnsupportedError as error:
        raise UnsupportedError(f"{where}: {error}") from None
    return replace(found, dtype=_formats(prepared))


def _result(design: Design, machine: Machine, prepared: Prepared, trace: Trace, chosen: Chosen) -> Result:
    prices = price(design, machine, prepared.keys)
    graph, order = prepared.workload, prepared.schedule
    names = tuple(op.name for op in order.operators)
    timing = _timing_table(machine, prepared, trace)
    shared = (sharing_note(timing),) if timing.where else ()
    return Result(
        workload=graph.name,
        design=design.name,
        batch=graph.batch,
        dtype=_formats(prepared),
        synthetic=graph.synthetic,
        clock_hz=machine.clock_hz,
        macs_per_cycle=machine.macs_per_cycle,
        focus=machine.focus,
        timing=timing,
        usage=UsageTable(names, prepared.keys, prepared.counts, prices.pj_per_count, prices.sources),
        area=prices.area,
        peak_chip_bytes=order.peak_chip_bytes,
        spilled=order.spilled,
        weights=prepared.weights,
        errors=ErrorTable() if prepared.where else error_table(design, prepared.classes),
        published=design.published,
        provenance=_provenance(
            design,
            machine,
            prepared,
            technology=prices.technology,
            timing=trace.path,
            chosen=chosen,
            notes=shared,
        ),
        trace=trace,
    )


def _formats(prepared: Prepared) -> str:
    """'int8', 'int16xint8' where weights differ, and 'int8+fp32' where devices do."""
    graph = prepared.workload
    pairs = [(graph.dtype, graph.weight_dtype)]
    if prepared.where:
        products = (multiplied(op)[:2] for op in graph.operators if multiplied(op))
        pairs = [(graph.tensors[a].dtype, graph.tensors[b].dtype) for a, b in products] or pairs
    return "+".join(dict.fromkeys("x".join(dict.fromkeys(pair)) for pair in pairs))


def _timing_table(machine: Machine, prepared: Prepared, trace: Trace) -> TimingTable:
    stalls = attribute_stalls(prepared.program, trace, machine.focus, machine.causes)
    operators, resources = prepared.schedule.operators, machine.pipeline.resources
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
        where=prepared.where,
        moved_bytes=np.array([_moved_bytes(problem) for problem in problems], dtype=np.int64),
    )


def _moved_bytes(problem: OperatorProblem) -> int:
    """What crosses a link."""
    return problem.size_bytes if isinstance(problem, Transfer) and problem.direction == "link" else 0


def _provenance(
    design: Design,
    machine: Machine,
    prepared: Prepared,
    *,
    technology: str,
    timing: str,
    chosen: Chosen,
    notes: tuple[str, ...],
) -> Provenance:
    graph = prepared.workload
    ideal = tuple(
        f"{name}: unlimited in this design, so it has no energy and no area" for name in machine.ideal
    )
    return Provenance(
        version=__version__,
        workload_source=graph.source.path,
        workload_sha256=graph.source.sha256,
        design_source=design.path,
        design_sha256=design.sha256,
        overrides=design.overrides,
        parameters=dict(graph.parameters),
        technology=technology,
        timing=timing,
        lowering=choice_texts(chosen),
        notes=(*graph.notes, *prepared.notes, *notes),
        unmodelled=(NUMBERS_UNMODELLED, *ALWAYS_UNMODELLED, *machine.unmodelled, *ideal),
    )
