"""Runs every shipped workload on four machines and writes reports/workloads.csv and workloads.md.

make workloads
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from hwsim.comparison import compare
from hwsim.design import load_design
from hwsim.design.kinds.gpu import GpuSpec
from hwsim.pipeline import run
from hwsim.result.comparison import RAN, ComparisonRow
from hwsim.workload import Workload, load_workload
from hwsim.workload.graph import operands

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "reports"
SHELF = ROOT / "workloads"
DESIGNS = ("tpu_v1", "eie_64pe", "v100", "xeon_e5_2699v3")
# Prompts and single tokens, of one sequence and of many: workload, design, batch.
PHASES = (
    ("gpt2_prefill", "v100", 1), ("gpt2_decode", "v100", 1), ("gpt2_decode", "v100", 64),
    ("gpt2_prefill", "a100", 1), ("gpt2_decode", "a100", 1), ("gpt2_decode", "a100", 64),
    ("llama_7b_prefill", "a100", 1), ("llama_7b_decode", "a100", 1),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One workload, as its file has it, on one design. Without a time, `reason` says why there is none.
    `limit` is the busiest resource, busy for `busy_pct` of the run."""

    workload: str
    batch: int
    design: str
    outcome: str
    time_ms: str
    limit: str
    busy_pct: str
    reason: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A network that reads a prompt, or makes a token. `floor_ms` is the time of its weights and caches alone
    at the memory's bandwidth; `peak_pct` its MACs' share of what the machine could do in `time_ms`."""

    workload: str
    design: str
    batch: int
    time_ms: str
    limit: str
    busy_pct: str
    floor_ms: str
    peak_pct: str


def shipped() -> list[str]:
    """The names of the workloads that come with hwsim."""
    return sorted(path.stem for path in SHELF.iterdir() if path.is_file())


def measure(workload: str, design: str) -> Row:
    """One row of the table."""
    (found,) = compare(workload, design).rows
    return _row(found)


def _row(found: ComparisonRow) -> Row:
    figures = found.figures
    if figures is None:
        return Row(found.workload, found.batch, found.design, found.outcome, "", "", "", found.reason)
    return Row(
        found.workload, found.batch, found.design, found.outcome, _digits(figures.latency_s * 1e3),
        figures.limit, f"{100 * figures.limit_busy:.0f}", "",
    )  # fmt: skip


def measure_phase(workload: str, design: str, batch: int) -> Phase:
    """One row of the table of prompts and tokens."""
    machine = load_design(design)
    loaded = load_workload(workload, batch=batch)
    result = run(loaded, machine)
    graph = loaded.astype(machine.device_spec.dtype)
    assert isinstance(machine.device_spec, GpuSpec)
    bandwidth = machine.device_spec.memory.bandwidth_bytes_per_s
    peak = result.macs_per_cycle * result.clock_hz * result.latency_s
    return Phase(
        workload, design, batch, _digits(result.latency_s * 1e3), result.limit,
        f"{100 * result.busy_share[result.limit]:.0f}", _digits(moved_bytes(graph) / bandwidth * 1e3),
        f"{100 * graph.macs / peak:.0f}",
    )  # fmt: skip


def moved_bytes(graph: Workload) -> int:
    """Bytes of weights and caches that some operator reads whole: not tables that are looked up."""
    whole = {name for op in graph.operators for name in operands(op) if op.kind not in ("gather", "append")}
    grown = {op.output: op.inputs[0] for op in graph.operators if op.kind == "append"}
    read = whole | {grown[name] for name in whole if name in grown}
    held = (t for t in graph.tensors.values() if t.role in ("weight", "constant", "cache"))
    return sum(t.size_bytes for t in held if t.name in read)


def _digits(number: float) -> str:
    """Four significant digits, never with an exponent."""
    return f"{float(f'{number:.4g}'):.12f}".rstrip("0").rstrip(".")


# -- the page ----------------------------------------------------------------------------------------------


def page(rows: Sequence[Row], phases: Sequence[Phase]) -> str:
    """The report, in Markdown."""
    reasons: list[str] = []
    lines = [HEADER, f"| workload | batch | {' | '.join(DESIGNS)} |", "|---|---:|" + "---|" * len(DESIGNS)]
    for name in dict.fromkeys(row.workload for row in rows):
        own = {row.design: row for row in rows if row.workload == name}
        cells = [_cell(own[design], reasons) for design in DESIGNS]
        lines.append(f"| {name} | {own[DESIGNS[0]].batch} | {' | '.join(cells)} |")
    ran = sum(row.outcome == RAN for row in rows)
    lines += ["", f"{ran} of {len(rows)} pairs ran. Why the others cannot:", ""]
    lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, start=1)]
    lines += ["", PHASE_HEADER]
    lines += [
        f"| {p.workload} | {p.design} | {p.batch} | {p.time_ms} | {p.limit} {p.busy_pct} % | {p.floor_ms} | "
        f"{p.peak_pct} |"
        for p in phases
    ]
    return "\n".join(lines) + "\n"


def _cell(row: Row, reasons: list[str]) -> str:
    if row.outcome == RAN:
        return f"{row.time_ms} ms, {row.limit} {row.busy_pct} %"
    reason = _general(row)
    if reason not in reasons:
        reasons.append(reason)
    return f"{row.outcome} [{reasons.index(reason) + 1}]"


def _general(row: Row) -> str:
    """A reason without the names of operators and figures of one network, so that many share it."""
    text = re.sub(r"\d[\d,]* operators? \(first: [^)]*\): |^operator \S+: ", "", row.reason)
    return f"{row.design}: {text}"


HEADER = """# Which shipped workload runs where

Every workload that comes with hwsim on a machine of each kind, at the file's own batch, in the machine's own
number format. A cell holds the time of one batch and the busiest resource, with the share of the time that it
is busy. `make workloads` writes this page anew; tests compare its rows with the shelf, and run some again.
"""

PHASE_HEADER = """## Reading a prompt, and making a token

A prompt of 512 tokens reuses each weight 512 times: arithmetic decides. A single token reads every weight,
and the keys and values of all places before it, once: the memory decides, and the time cannot be below
that of the bytes at its bandwidth. A small network with a batch of one is the exception: there the launches
of many short operators (`front_end`) take longer than the bytes.

| workload | design | batch | time, ms | limit | bytes at bandwidth, ms | of peak, % |
|---|---|---:|---:|---|---:|---:|"""


def write(path: Path, columns: Iterable[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read_rows(path: Path = REPORTS / "workloads.csv") -> list[Row]:
    """The rows of an earlier run."""
    return [Row(**{**line, "batch": int(line["batch"])}) for line in _lines(path)]


def read_phases(path: Path = REPORTS / "workload_phases.csv") -> list[Phase]:
    return [Phase(**{**line, "batch": int(line["batch"])}) for line in _lines(path)]


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    rows = []
    for name in shipped():
        for design in DESIGNS:
            rows.append(measure(name, design))
            sys.stderr.write(f"{name} on {design}: {rows[-1].time_ms or rows[-1].outcome}\n")
    phases = [measure_phase(*pair) for pair in PHASES]
    write(REPORTS / "workloads.csv", (field.name for field in fields(Row)), map(astuple, rows))
    write(REPORTS / "workload_phases.csv", (field.name for field in fields(Phase)), map(astuple, phases))
    (REPORTS / "workloads.md").write_text(page(rows, phases), encoding="utf-8")
    sys.stdout.write(f"wrote workloads.csv, workload_phases.csv and workloads.md in {REPORTS}\n")


if __name__ == "__main__":
    main()
