"""`validate`: every row of a measurement file through the route of `hwsim run`, and its error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path

from hwsim.design import Design, load_design
from hwsim.devices import make_device
from hwsim.errors import CapacityError, HwsimError, Problem, SpecError, UnsupportedError
from hwsim.pipeline import run
from hwsim.progress import Progress
from hwsim.result import Result
from hwsim.units import PS_PER_S, PS_PER_US
from hwsim.validate.conditions import row_overrides
from hwsim.validate.constructors import Operands, make_workload, operands_of, operator_sizes, refusal
from hwsim.validate.rows import MeasuredRow, MeasuredTable, read_rows, refuse
from hwsim.validate.score import Outcome, ValidationReport
from hwsim.workload import Workload

# Shipped files in the row format, in sets/.
REFERENCE_SETS = (
    "scalesim_cycles.csv",
    "deepbench_gemm.csv",
    "deepbench_conv.csv",
    "deepbench_rnn.csv",
    "deepbench_spmm.csv",
    "transformer_gemm.csv",
    "llmcompass_gemm.csv",
    "eie_table4.csv",
)


ProgramKey = tuple[str, tuple[str, ...], str, str, tuple[tuple[str, int], ...], Operands]


def _latency_us(ps: float, _clock_hz: int) -> float:
    return ps / PS_PER_US


def _cycles(ps: float, clock_hz: int) -> float:
    return ps * clock_hz / PS_PER_S


# Stalls for what comes from outside: simulators and papers that count compute cycles leave them out, as
# SCALE-Sim (its stall cycles) and the EIE paper (a one-time cost) do.
OUTSIDE = ("weight_stall", "input", "weight_load", "input_load", "reload")


def compute_cycles(result: Result) -> float:
    """Cycles of the run without those in which the machine waits for what comes from outside."""
    timing = result.timing
    waiting = [i for i, cause in enumerate(timing.causes) if cause in OUTSIDE]
    ps = timing.makespan_ps - int(timing.stalls_ps[:, waiting].sum())
    return float(-(-ps * result.clock_hz // PS_PER_S))


# Metric -> the prediction of a run, and a time in ps as that metric. A latency is the whole simulated
# schedule, from its first event to its last: a measured kernel includes fill, drain and waits. Cycles are
# exact where one is a whole number of picoseconds, as in systolic_plain.
METRICS: Mapping[str, tuple[Callable[[Result], float], Callable[[float, int], float]]] = {
    "latency_us": (lambda result: result.timing.makespan_ps / PS_PER_US, _latency_us),
    "compute_cycles": (compute_cycles, _cycles),
}


def validate(
    file: str | Path | None = None,
    *,
    design: str | Path | Design | None = None,
    progress: Progress | None = None,
) -> ValidationReport:
    """Run each row of a CSV file of measurements and return predictions, errors and summaries.

    A row runs as it was measured: with its own overrides, and with the state of the caches and the harness
    that it names where its design knows them.
    Without `file`, all reference sets that ship with hwsim. With `design`, every row runs on it instead of on
    the design that the row names (the row's overrides still apply). `progress` is called with (rows done,
    rows in all). Rows that share a program are run once; rows that hwsim cannot run keep the reason.
    Raises SpecError, with file and line, for a file that is not in the format.
    """
    tables = [read_rows(file)] if file is not None else list(_reference_tables())
    rows = [row for table in tables for row in table.rows]
    if design is not None:
        design = load_design(design)
        rows = [_on(row, design.name) for row in rows]
    _check_sizes(rows)
    runner = _Runner(design)
    outcomes = []
    for index, row in enumerate(rows):
        if progress is not None:
            progress(index, len(rows))
        outcomes.append(runner.outcome(row))
    if progress is not None:
        progress(len(rows), len(rows))
    unused = tuple(dict.fromkeys(name for table in tables for name in table.unused))
    return ValidationReport(tuple(outcomes), unused)


def reference_rows() -> tuple[MeasuredRow, ...]:
    """The measurements that ship with hwsim, in the order of their files."""
    return tuple(row for table in _reference_tables() for row in table.rows)


def _reference_tables() -> Iterator[MeasuredTable]:
    for name in REFERENCE_SETS:
        with as_file(files("hwsim.validate") / "sets" / name) as path:
            table = read_rows(path)
        # The name alone: where hwsim is installed is no part of a report.
        yield replace(table, rows=tuple(replace(row, file=name) for row in table.rows))


def _on(row: MeasuredRow, design: str) -> MeasuredRow:
    return replace(row, design=design, cells={**row.cells, "design": design})


def _check_sizes(rows: Sequence[MeasuredRow]) -> None:
    """Raise SpecError for all rows that lack a size, before the first is run."""
    problems: list[Problem] = []
    for row in rows:
        try:
            if not refusal(row):
                operator_sizes(row)
        except SpecError as error:
            problems += error.problems
    refuse(problems)


@dataclass(frozen=True, slots=True)
class _Found:
    """What is kept of a run: the result and its trace would fill the memory."""

    figures: Mapping[str, float]
    rooflines: Mapping[str, float]
    reason: str = ""
    operator: str = ""


@dataclass
class _Runner:
    """Runs rows, each distinct program and each distinct design once."""

    design: Design | None  # runs all rows; None: the one that each names
    found: dict[ProgramKey, _Found] = field(default_factory=dict)
    designs: dict[tuple[str, tuple[str, ...]], Design | str] = field(default_factory=dict)

    def outcome(self, row: MeasuredRow) -> Outcome:
        if row.metric not in METRICS:
            return Outcome(row, reason=f"metric {row.metric} is not one of {', '.join(METRICS)}")
        if reason := refusal(row):
            return Outcome(row, reason=reason)
        named = self._machine(row.design, ())
        if isinstance(named, str):
            return Outcome(row, reason=named)
        overrides = row_overrides(row, named)
        key = (row.design, overrides, row.dtype, row.op, operator_sizes(row), operands_of(row))
        if key not in self.found:
            self.found[key] = self._run(key)
        found = self.found[key]
        if found.reason:
            return Outcome(row, reason=found.reason)
        figure, roofline = found.figures[row.metric], found.rooflines[row.metric]
        return Outcome(row, figure, roofline, operator=found.operator)

    def _run(self, key: ProgramKey) -> _Found:
        name, overrides, dtype, op, sizes, operands = key
        machine = self._machine(name, overrides)
        if isinstance(machine, str):
            return _Found({}, {}, machine)
        try:
            graph = make_workload(op, sizes, operands).astype(dtype)
            if reason := _unsupported(graph, machine):
                return _Found({}, {}, reason)
            result = run(graph, machine, dtype=dtype)
        except (SpecError, UnsupportedError, CapacityError) as error:
            return _Found({}, {}, _reason(error))
        floor_ps = peak_roofline_ps(result, machine)
        figures = {metric: predict(result) for metric, (predict, _) in METRICS.items()}
        rooflines = {metric: convert(floor_ps, result.clock_hz) for metric, (_, convert) in METRICS.items()}
        classes = result.errors.classes  # none where several devices share the work
        operator = classes[int(result.timing.elapsed_ps.argmax())][0] if classes else ""
        return _Found(figures, rooflines, operator=operator)

    def _machine(self, name: str, overrides: tuple[str, ...]) -> Design | str:
        """The design, or why there is none."""
        key = (name, overrides)
        if key not in self.designs:
            try:
                self.designs[key] = load_design(name if self.design is None else self.design, overrides)
            except HwsimError as error:
                unknown = str(error).startswith("there is no design")
                self.designs[key] = f"design {name} is not known" if unknown else _reason(error)
        return self.designs[key]


def _unsupported(graph: Workload, machine: Design) -> str:
    """Why the design cannot run the workload, without the workload's name: the same for all sizes."""
    device = make_device(machine.device_spec)
    for op in graph.operators:
        if reason := device.supports(op, [graph.tensors[name].dtype for name in op.inputs]):
            return f"{op.kind} on {machine.name}: {reason}"
    return ""


def _reason(error: HwsimError) -> str:
    return "; ".join(str(error).splitlines())


def peak_roofline_ps(result: Result, design: Design) -> int:
    """The peak roofline of a result: the larger of its useful MACs at the machine's peak rate for the number
    format, and its compulsory bytes at the bandwidth of its memory (Williams et al., "Roofline", CACM 52,
    2009). Links to a host are no part of it."""
    timing = result.timing
    memories = {part.name for part in make_device(design.device_spec).components() if part.kind == "dram"}
    peak = timing.stage_resources[timing.stages.index(result.focus)]
    totals = zip(timing.resources, timing.servers, timing.bound_ps.sum(axis=0).tolist(), strict=True)
    return max(
        (-(-int(total) // servers) for name, servers, total in totals if name in memories or name == peak),
        default=0,
    )
