"""The table of weights: one row a tensor, as the workload stores it and as the machine keeps and moves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwsim.report.layers import MAX_ROWS, Cell, Column
from hwsim.report.reading import Run
from hwsim.report.weight_rows import WeightRow
from hwsim.report.wording import percent, quantity, size


@dataclass(frozen=True)
class WeightsShown:
    """Rows in the order of the file; `left_out` of them, the smallest tensors, are not shown."""

    columns: tuple[Column[WeightRow], ...]
    rows: tuple[tuple[Cell, ...], ...]
    remark: str
    left_out: int


COLUMNS: tuple[Column[WeightRow], ...] = (
    Column("operator", "operator", False, lambda row: Cell(_named(row), row.operator)),
    Column("tensor", "tensor", False, lambda row: _text(row.tensor)),
    Column("weights", "weights", True, lambda row: Cell(f"{row.weights:,}", str(row.weights))),
    Column("density", "density", True, lambda row: Cell(percent(row.density), repr(row.density))),
    Column("codec", "codec", False, lambda row: _text(_codec(row))),
    Column("stored", "stored_bits", True, lambda row: _bits(row.stored_bits)),
    Column("dense", "dense_bits", True, lambda row: _bits(row.dense_bits)),
    Column("kept in", "held_bytes", True, lambda row: Cell(size(row.held_bytes), str(row.held_bytes))),
    Column("where", "on_chip", False, lambda row: _text("on chip" if row.on_chip else "memory")),
    Column("moved", "moved_bytes", True, lambda row: _amount(row.moved_bytes, size(row.moved_bytes))),
    Column("MACs", "macs", True, lambda row: _amount(row.macs, quantity(row.macs, ""))),
    Column("multiplied", "multiplications", True, lambda row: Cell(_share(row), str(row.multiplications))),
)


def weights_shown(run: Run) -> WeightsShown | None:
    """The table; None where no weight of the run is compressed."""
    if run.summary.weights is None:
        return None
    return WeightsShown(
        COLUMNS, _rows(run.weights), run.summary.weights.remark, max(0, len(run.weights) - MAX_ROWS)
    )


def _rows(weights: Sequence[WeightRow]) -> tuple[tuple[Cell, ...], ...]:
    largest = sorted(range(len(weights)), key=lambda i: (-weights[i].weights, i))[:MAX_ROWS]
    return tuple(tuple(column.cell(weights[i]) for column in COLUMNS) for i in sorted(largest))


def _named(row: WeightRow) -> str:
    return row.operator if row.operators == 1 else f"{row.operator} and {row.operators - 1} more"


def _codec(row: WeightRow) -> str:
    codec = row.codec if row.codec != "dense" else f"dense {row.dtype}"
    shared = f", {row.codebook} shared" if row.codebook else ""
    return codec + shared + (", own grid" if row.quantised else "")


def _text(text: str) -> Cell:
    return Cell(text or "-", text)


def _bits(bits: int) -> Cell:
    return Cell(size(-(-bits // 8)), str(bits))


def _amount(value: int, shown: str) -> Cell:
    return Cell(shown if value else "-", str(value))


def _share(row: WeightRow) -> str:
    """Multiplications carried out, as a share of the MACs."""
    return percent(row.multiplications / row.macs) if row.macs else "-"
