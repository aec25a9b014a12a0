"""The table of layers: one row an operator, in the order of issue, each cell as shown and in full."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hwsim.report.reading import OperatorRow, Run
from hwsim.report.roofline import executed, memory_bytes, memory_port
from hwsim.report.wording import percent, quantity, size
from hwsim.units import PS_PER_S

MAX_ROWS = 1000  # layers listed; more are in operators.csv
LEAKAGE = "leakage"


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and what it is sorted by and written to a file as."""

    shown: str
    value: str


Record = TypeVar("Record")


@dataclass(frozen=True)
class Column(Generic[Record]):
    """What stands above a column on the page, its name in a CSV file, where units stand in names, and the
    cell of each row."""

    shown: str
    name: str
    numeric: bool
    cell: Callable[[Record], Cell]


@dataclass(frozen=True)
class LayerTable:
    """Rows in the order of issue; `left_out` layers, those that took least time, are not among them."""

    columns: tuple[Column[OperatorRow], ...]
    rows: tuple[tuple[Cell, ...], ...]
    limits: tuple[str, ...]
    port: str  # whose traffic is shown; "" where no column shows any
    left_out: int


def layer_energy_j(run: Run) -> list[dict[str, float]]:
    """For each operator: component -> J of its actions, and what everything leaks during its time."""
    by_name: dict[str, dict[str, float]] = {}
    for row in run.usage:
        parts = by_name.setdefault(row.operator, {})
        parts[row.component] = parts.get(row.component, 0.0) + row.energy_pj * 1e-12
    leakage_w = sum(row.leakage_w for row in run.area)
    return [
        by_name.get(row.name, {}) | {LEAKAGE: leakage_w * row.elapsed_ps / PS_PER_S} for row in run.operators
    ]


def layer_table(run: Run) -> LayerTable:
    """All that the files say of each layer, one row each."""
    port = memory_port(run)
    columns: list[Column[OperatorRow]] = [
        Column("#", "number", True, lambda row: _text(str(row.number))),
        Column("operator", "operator", False, lambda row: _text(row.name)),
        Column("kind", "kind", False, lambda row: _text(row.kind)),
        *([Column("on", "where", False, _where)] if any(row.where for row in run.operators) else []),
        Column("limited by", "limit", False, lambda row: _text(row.limit)),
        *_time_columns(run),
    ]
    if port:
        moved = memory_bytes(run, port)
        columns.append(
            Column("traffic", f"{port}_bytes", True, lambda row: _whole(moved.get(row.name, 0), size))
        )
    energy_j = {
        row.number: sum(parts.values()) for row, parts in zip(run.operators, layer_energy_j(run), strict=True)
    }
    columns += [
        Column("energy", "energy_j", True, lambda row: _real(energy_j[row.number], _joules)),
        Column("tiles", "tiles", True, lambda row: Cell(f"{row.tiles:,}", str(row.tiles))),
        Column("main stall", "main_stall", False, lambda row: _text(_main_stall(row))),
        Column("layer", "layer", False, lambda row: _text(row.layer)),
    ]
    if run.checked:
        verdicts = {row.operator: _verdict(row.exact, row.bound_used) for row in run.checked}
        columns.append(Column("verified", "verified", False, lambda row: _text(verdicts.get(row.name, ""))))
    heaviest = sorted(run.operators, key=lambda row: (-row.elapsed_ps, row.number))[:MAX_ROWS]
    rows = [tuple(column.cell(row) for column in columns) for row in sorted(heaviest, key=_number)]
    limits = sorted({row.limit for row in heaviest if row.limit})
    return LayerTable(tuple(columns), tuple(rows), tuple(limits), port, len(run.operators) - len(rows))


def _time_columns(run: Run) -> list[Column[OperatorRow]]:
    said = run.summary
    span_ps = said.latency_s * PS_PER_S

    done = executed(run)

    def of_peak(row: OperatorRow) -> Cell:
        peak = row.elapsed_ps / PS_PER_S * said.clock_hz * said.macs_per_cycle
        return _real(done[row.name] / peak, percent) if row.macs and peak else Cell("-", "")

    return [
        Column("time", "elapsed_ps", True, lambda row: _whole(row.elapsed_ps, _seconds)),
        Column("share", "share_of_time", True, lambda row: _real(row.elapsed_ps / (span_ps or 1.0), percent)),
        Column("MACs", "macs", True, lambda row: _whole(row.macs, _plain)),
        Column("of peak", "share_of_peak", True, of_peak),
    ]


def _number(row: OperatorRow) -> int:
    return row.number


def _where(row: OperatorRow) -> Cell:
    return _text(row.where)


def _text(text: str) -> Cell:
    return Cell(text or "-", text)


def _whole(value: int, write: Callable[[float], str]) -> Cell:
    return Cell(write(value) if value else "-", str(value))


def _real(value: float, write: Callable[[float], str]) -> Cell:
    return Cell(write(value) if value else "-", repr(value))


def _seconds(picoseconds: float) -> str:
    return quantity(picoseconds / PS_PER_S, "s")


def _joules(value: float) -> str:
    return quantity(value, "J")


def _plain(value: float) -> str:
    return quantity(value, "")


def _main_stall(row: OperatorRow) -> str:
    """The cause that the focus stage stood still for longest, or nothing."""
    cause = max(row.stalls_ps, key=lambda name: row.stalls_ps[name], default="")
    return cause if cause and row.stalls_ps[cause] else ""


def _verdict(exact: bool, bound_used: float) -> str:
    return "bit for bit" if exact else f"{percent(bound_used)} of bound"
