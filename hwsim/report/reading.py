"""Reads a result folder back: what each file says, and that all of them tell of one run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwsim.report.bands import ERROR_COLUMNS, read_band
from hwsim.report.fields import CURE, JsonObject, fail, parse_json, read_bytes, read_csv, read_gzip, safe
from hwsim.report.weight_rows import WeightRow, WeightTotals, read_totals, read_weights, weight_sums
from hwsim.result import Provenance
from hwsim.result.bands import ErrorBand, TimeBand, time_band
from hwsim.result.folder import FORMAT, VERIFICATION, WEIGHTS
from hwsim.units import PS_PER_S

AGREEMENT = 1e-6  # relative; what the files say of the same total may differ by rounding only
COLUMNS = {
    "operators.csv": (
        "operator", "kind", "layer", "macs", "tiles", "completion_ps", "elapsed_ps", "limit", "active_ps",
        *ERROR_COLUMNS,
    ),
    "usage.csv": (
        "operator", "component", "action", "count", "energy_pj_per_count", "energy_pj", "source",
    ),
    "area.csv": ("component", "area_mm2", "leakage_w", "source"),
    VERIFICATION: ("operator", "results", "exact", "bound_used"),
}  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """result.json: what was run, its totals, and where they come from."""

    workload: str
    design: str
    batch: int
    dtype: str
    synthetic: bool
    latency_s: float
    cycles: int
    macs: int
    multiplications: int
    utilization: float
    energy_j: float
    area_mm2: float
    peak_chip_bytes: int
    spilled: tuple[str, ...]
    weights: WeightTotals | None  # None where no weight is compressed
    not_validated: str  # why nothing is known of the error of the time; empty where something is
    low_s: float  # the shortest and the longest real time that error makes of it; 0 where it is not known
    high_s: float
    verified: bool | None
    busy_share: Mapping[str, float]
    stall_share: Mapping[str, float]
    cycle_share: Mapping[str, float]  # what the PEs' cycles go to; empty where the machine does not tell
    clock_hz: int
    macs_per_cycle: float
    focus: str
    energy_by_component: Mapping[str, tuple[float, float]]  # dynamic, leakage, in J
    published: Mapping[str, float]
    provenance: Provenance


@dataclass(frozen=True)
class OperatorRow:
    """One row of operators.csv, times in ps."""

    number: int  # 1 is issued first
    name: str
    kind: str
    layer: str
    macs: int
    tiles: int
    elapsed_ps: int
    limit: str
    active_ps: int
    stalls_ps: Mapping[str, int]  # by cause
    busy_ps: Mapping[str, int]  # by resource
    padding: int = 0  # multiplications of zeros that are stored, where the machine tells
    work: str = ""  # its class, and number formats
    band: ErrorBand | None = None  # of the error of times of that class
    where: str = ""  # the device or link that runs it, where devices share the network


@dataclass(frozen=True)
class UsageRow:
    """One row of usage.csv."""

    operator: str
    component: str
    action: str
    count: int
    energy_pj_per_count: float
    energy_pj: float
    source: str


@dataclass(frozen=True)
class AreaRow:
    """One row of area.csv."""

    component: str
    area_mm2: float
    leakage_w: float
    source: str


@dataclass(frozen=True)
class CheckedRow:
    """One row of verification.csv: results compared with the reference, bit for bit or within a bound."""

    operator: str
    results: int
    exact: bool
    bound_used: float  # the largest share of its bound that any result took


@dataclass(frozen=True)
class Span:
    """One event of the trace, in us. `tiles` counts what was merged into it (1: a tile of its own)."""

    start_us: float
    end_us: float
    operator: str
    tiles: int

    @property
    def length_us(self) -> float:
        return self.end_us - self.start_us


@dataclass(frozen=True)
class Row:
    """One thread of the trace, spans by start."""

    name: str
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Run:
    """All that a result folder says."""

    summary: Summary
    operators: tuple[OperatorRow, ...]
    usage: tuple[UsageRow, ...]
    area: tuple[AreaRow, ...]
    weights: tuple[WeightRow, ...]  # empty where no weight is compressed
    checked: tuple[CheckedRow, ...]  # empty where the numbers were not checked
    timeline: tuple[Row, ...]  # the first one holds the operators themselves
    merged: bool  # whether the trace has one event an operator and stage instead of one a tile

    @property
    def time_band(self) -> TimeBand | None:
        """How far real times are from simulated ones, where that is known."""
        if self.summary.not_validated:
            return None
        return time_band([row.elapsed_ps for row in self.operators], [row.band for row in self.operators])


def read_folder(folder: str | Path) -> Run:
    """What the result folder holds. Raises SpecError, naming the file and the place in it, when the folder is
    no result of hwsim, is damaged, or is put together from several runs."""
    folder = Path(folder)
    try:
        there = folder.is_dir()
    except (OSError, ValueError):  # no right to look; a NUL in the name
        there = False
    if not there:
        fail(folder, "", "is not a folder; name the folder that `hwsim run` said it wrote")
    summary = _read_summary(folder / "result.json")
    operators = _read_operators(folder / "operators.csv")
    usage = tuple(
        UsageRow(
            row.text("operator"), row.text("component"), row.text("action"), row.whole("count"),
            row.number("energy_pj_per_count"), row.number("energy_pj"), row.text("source"),
        )
        for row in read_csv(folder / "usage.csv", COLUMNS["usage.csv"])
    )  # fmt: skip
    area = tuple(
        AreaRow(
            row.text("component"), row.number("area_mm2"), row.number("leakage_w"), row.text("source")
        )
        for row in read_csv(folder / "area.csv", COLUMNS["area.csv"])
    )  # fmt: skip
    timeline, merged = _read_trace(folder / "trace.json.gz")
    checked = _read_verification(folder / VERIFICATION) if summary.verified else ()
    weights = read_weights(folder / WEIGHTS) if summary.weights is not None else ()
    run = Run(summary, operators, usage, area, weights, checked, timeline, merged)
    _check_agreement(folder, run)
    return run


def _read_summary(path: Path) -> Summary:
    top = JsonObject(path, "", parse_json(path, read_bytes(path)))
    if top.members.get("format") != FORMAT:
        fail(path, "format", f"must be {FORMAT!r}: this is not a result that this hwsim can read; {CURE}")
    said, machine = top.part("summary"), top.part("machine")
    energy = top.part("energy_by_component")
    parts = {name: energy.part(name) for name in energy.members}
    checked = said.part("validation")
    return Summary(
        workload=said.text("workload"),
        design=said.text("design"),
        batch=said.whole("batch"),
        dtype=said.text("dtype"),
        synthetic=said.flag("synthetic"),
        latency_s=said.number("latency_s"),
        cycles=said.whole("cycles"),
        macs=said.whole("macs"),
        multiplications=said.whole("multiplications"),
        utilization=said.number("utilization"),
        energy_j=said.number("energy_j"),
        area_mm2=said.number("area_mm2"),
        peak_chip_bytes=said.whole("peak_chip_bytes"),
        spilled=said.texts("spilled"),
        weights=read_totals(said),
        not_validated=checked.text("reason"),
        low_s=checked.maybe_number("low_s") or 0.0,
        high_s=checked.maybe_number("high_s") or 0.0,
        verified=said.maybe_flag("verified"),
        busy_share=said.numbers("busy_share"),
        stall_share=said.numbers("stall_share"),
        cycle_share=said.numbers("cycle_share"),
        clock_hz=machine.whole("clock_hz"),
        macs_per_cycle=machine.number("macs_per_cycle"),
        focus=machine.text("focus"),
        energy_by_component={
            safe(name): (part.number("dynamic_j"), part.number("leakage_j")) for name, part in parts.items()
        },
        published=top.numbers("published"),
        provenance=_read_provenance(top.part("provenance")),
    )


def _read_provenance(made: JsonObject) -> Provenance:
    return Provenance(
        version=made.text("version"),
        workload_source=made.text("workload_source"),
        workload_sha256=made.text("workload_sha256"),
        design_source=made.text("design_source"),
        design_sha256=made.text("design_sha256"),
        overrides=made.texts("overrides"),
        parameters=made.wholes("parameters"),
        technology=made.text("technology"),
        timing=made.text("timing"),
        notes=made.texts("notes"),
        unmodelled=made.texts("unmodelled"),
        lowering=made.texts("lowering") if "lowering" in made.members else (),  # not in earlier folders
    )


def _read_operators(path: Path) -> tuple[OperatorRow, ...]:
    rows = read_csv(path, COLUMNS[path.name])
    if not rows:
        fail(path, "", f"names no operator; {CURE}")
    return tuple(
        OperatorRow(
            row.number_in_file, row.text("operator"), row.text("kind"), row.text("layer"), row.whole("macs"),
            row.whole("tiles"), row.whole("elapsed_ps"), row.text("limit"), row.whole("active_ps"),
            row.wholes("stall_", "_ps"), row.wholes("busy_", "_ps"),
            row.wholes("pe_cycles_", "").get("padding", 0), row.text("class"), read_band(row),
            row.text("where") if "where" in row.cells else "",
        )
        for row in rows
    )  # fmt: skip


def _read_verification(path: Path) -> tuple[CheckedRow, ...]:
    rows = read_csv(path, COLUMNS[path.name])
    if not rows:
        fail(path, "", f"names no operator; {CURE}")
    return tuple(
        CheckedRow(row.text("operator"), row.whole("results"), row.flag("exact"), row.number("bound_used"))
        for row in rows
    )


def _read_trace(path: Path) -> tuple[tuple[Row, ...], bool]:
    """Rows by thread number, and whether tiles are merged. The events are those of hwsim.result.chrome."""
    top = JsonObject(path, "", parse_json(path, read_gzip(path)))
    events = top.members.get("traceEvents")
    if not isinstance(events, list):
        fail(path, "traceEvents", f"must be a list; {CURE}")
    names: dict[int, str] = {}
    spans: dict[int, list[Span]] = {}
    merged = False
    for index, found in enumerate(events):
        event = JsonObject(path, f"traceEvents[{index}]", found)
        phase = event.text("ph")
        if phase == "M" and event.text("name") == "thread_name":
            names[event.whole("tid")] = event.part("args").text("name")
        elif phase == "X":
            details = event.part("args")
            tiles = details.whole("tiles") if "tiles" in details.members else 1
            merged |= "tiles" in details.members
            start_us, length_us = event.number("ts"), event.number("dur")
            span = Span(start_us, start_us + length_us, details.text("operator"), tiles)
            spans.setdefault(event.whole("tid"), []).append(span)
    rows = []
    for thread, name in sorted(names.items()):
        rows.append(Row(name, tuple(sorted(spans.pop(thread, ()), key=lambda s: (s.start_us, s.end_us)))))
    if spans:
        fail(path, "traceEvents", f"holds events of a thread without a name; {CURE}")
    return tuple(rows), merged


def _check_agreement(folder: Path, run: Run) -> None:
    """Every total of result.json must be what the tables add up to."""
    said = run.summary
    latency_s = sum(row.elapsed_ps for row in run.operators) / PS_PER_S
    leakage_w = math.fsum(row.leakage_w for row in run.area)
    energy_j = math.fsum(row.energy_pj for row in run.usage) * 1e-12 + leakage_w * latency_s
    split_ps = sum(row.active_ps + sum(row.stalls_ps.values()) for row in run.operators)
    last_us = max((span.end_us for row in run.timeline for span in row.spans), default=0.0)
    band = run.time_band
    low_s, high_s = (0.0, 0.0) if band is None else band.real_s(said.latency_s)
    for name, file, total, stated in (
        ("latency_s", "operators.csv", latency_s, said.latency_s),
        ("latency_s", "operators.csv (active and stalls)", split_ps / PS_PER_S, said.latency_s),
        ("latency_s", "trace.json.gz", last_us / 1e6, said.latency_s),
        ("macs", "operators.csv", sum(row.macs for row in run.operators), said.macs),
        ("energy_j", "usage.csv and area.csv", energy_j, said.energy_j),
        ("area_mm2", "area.csv", math.fsum(row.area_mm2 for row in run.area), said.area_mm2),
        (
            "energy_j", "energy_by_component",
            math.fsum(map(math.fsum, said.energy_by_component.values())), said.energy_j,
        ),
        ("validation.low_s", "operators.csv", low_s, said.low_s),
        ("validation.high_s", "operators.csv", high_s, said.high_s),
        *weight_sums(run.weights, said.weights),
    ):  # fmt: skip
        if not math.isclose(total, stated, rel_tol=AGREEMENT):
            fail(
                folder,
                f"{name} of result.json is {stated:g}",
                f"but {file} gives {total:g}: the files are not of one run; {CURE}",
            )
    known = {row.name for row in run.operators}
    for name, found in (
        ("usage.csv", [row.operator for row in run.usage]),
        (VERIFICATION, [row.operator for row in run.checked]),
        (WEIGHTS, [row.operator for row in run.weights]),
    ):
        if stray := [operator for operator in found if operator not in known]:
            fail(folder / name, stray[0], f"is not an operator of operators.csv; {CURE}")
