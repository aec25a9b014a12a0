"""Reads weights.csv of a result folder, and what result.json says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from hwsim.report.fields import CURE, JsonObject, fail, read_csv
from hwsim.result.folder import WEIGHTS

COLUMNS = (
    "operator", "tensor", "operators", "weights", "density", "codebook_entries", "dtype", "quantised",
    "codec", "stored_bits", "dense_bits", "held_bytes", "on_chip", "moved_bytes", "macs", "multiplications",
)  # fmt: skip


@dataclass(frozen=True)
class WeightTotals:
    """What result.json says of compressed weights: sums over weights.csv, and what it makes of them."""

    tensors: int
    weights: int
    not_zero: int
    stored_bits: int
    dense_bits: int
    held_bytes: int
    moved_bytes: int
    macs: int
    multiplications: int
    remark: str  # "" where no weight has zeros, shared values or a codec


@dataclass(frozen=True)
class WeightRow:
    """One row of weights.csv: a tensor that operators multiply with, as the workload stores it, and as the
    machine keeps and moves it."""

    operator: str  # the first of `operators` that multiply with it
    tensor: str
    operators: int
    weights: int
    density: float
    codebook: int  # shared values beside zero
    dtype: str
    quantised: bool  # on a grid that someone chose
    codec: str
    stored_bits: int
    dense_bits: int
    held_bytes: int
    on_chip: bool
    moved_bytes: int
    macs: int
    multiplications: int


def read_weights(path: Path) -> tuple[WeightRow, ...]:
    """The rows of weights.csv."""
    rows = read_csv(path, COLUMNS)
    if not rows:
        fail(path, "", f"names no weights; {CURE}")
    return tuple(
        WeightRow(
            row.text("operator"), row.text("tensor"), row.whole("operators"), row.whole("weights"),
            row.share("density"), row.whole("codebook_entries"), row.text("dtype"), row.flag("quantised"),
            row.text("codec"), row.whole("stored_bits"), row.whole("dense_bits"), row.whole("held_bytes"),
            row.flag("on_chip"), row.whole("moved_bytes"), row.whole("macs"), row.whole("multiplications"),
        )
        for row in rows
    )  # fmt: skip


def read_totals(said: JsonObject) -> WeightTotals | None:
    """The totals in the summary of result.json, where it has any."""
    if said.members.get("compressed_weights") is None:
        return None
    part = said.part("compressed_weights")
    sums = {f.name: part.whole(f.name) for f in fields(WeightTotals) if f.name != "remark"}
    return WeightTotals(**sums, remark=part.text("remark"))


def weight_sums(rows: Sequence[WeightRow], said: WeightTotals | None) -> Iterator[tuple[str, str, int, int]]:
    """(name in result.json, file, what its rows add up to, what result.json says) of each total."""
    if said is None:
        return
    sums = {"tensors": len(rows), "not_zero": sum(round(row.weights * row.density) for row in rows)}
    for name in (f.name for f in fields(WeightTotals) if f.name != "remark"):
        total = sums[name] if name in sums else sum(getattr(row, name) for row in rows)
        yield f"compressed_weights.{name}", WEIGHTS, total, getattr(said, name)
