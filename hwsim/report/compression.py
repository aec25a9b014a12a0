"""The page of a compression: what each weight tensor takes, by part, and what became of the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwsim.report.layers import MAX_ROWS, Cell, Column
from hwsim.report.stacks import Stacks, stack
from hwsim.report.tables import shares
from hwsim.report.template import fill
from hwsim.report.wording import percent, quantity, size
from hwsim.units import counted

Record = Mapping[str, Any]

# Where stored bits go: as a table of compression calls its parts, and what they are.
PARTS = {
    "values": "the weights, or their indices into a table of shared values; padding zeros included",
    "index": "where the weights lie that are not zero",
    "pointers": "where rows or columns begin",
    "codebook": "tables of shared values",
    "code tables": "lengths of Huffman codes",
    "header": "counts that decoding needs",
    "scales": "scales and zero points of quantisation",
}


@dataclass(frozen=True)
class Origin:
    """What was compressed by what: paths and hashes of network and recipe, and the recipe's own words."""

    workload: str
    workload_sha256: str
    recipe: str
    recipe_description: str
    recipe_source: str
    seed: int
    version: str


@dataclass(frozen=True)
class LayersShown:
    """The table; `left_out`: the smallest layers, which are not shown."""

    columns: tuple[Column[Record], ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int


def draw_compression(table: Record, origin: Origin) -> bytes:
    """The page as UTF-8, from the plain values of a table of compression (its `to_dict`). The same values
    give the same bytes."""
    layers, totals = table["layers"], table["totals"]
    parts = [part for part in PARTS if totals["parts"].get(part)]
    return fill(
        "compression.html.j2",
        origin.version,
        said=table,
        totals=totals,
        origin=origin,
        cards=_cards(table),
        parts=shares(
            {part: totals["parts"][part] / 8 for part in parts}, size, whole=totals["stored_bits"] / 8 or 1.0
        ),
        meanings={part: PARTS[part] for part in parts},
        stacks=_stacks(layers, parts),
        layers=_shown(layers),
    )


def _cards(table: Record) -> list[tuple[str, str, str]]:
    """Heading, figure and remark of what the page says first."""
    totals = table["totals"]
    others = f"{_size(totals['other_bits'])} of biases, tables and constants"
    if totals["other_bits"] != totals["other_dense_bits"]:
        others += f" for {_size(totals['other_dense_bits'])}"
    whole = f"{_times(totals['network_ratio'])} with {others}"
    cards = [
        ("Weights stored", _size(totals["stored_bits"]), f"for {_size(totals['dense_bits'])} before"),
        ("Smaller", _times(totals["ratio"]), whole),
        (
            "Not zero", percent(totals["density"]),
            f"{totals['kept']:,} of {counted(totals['weights'], 'weight')}",
        ),
    ]  # fmt: skip
    if table["output_change"] is None:
        cards.append(("Output change", "-", f"not computed: {table['not_computed']}"))
    else:
        remark = "relative, root mean square, on the input that the seed draws"
        cards.append(("Output change", f"{table['output_change']:.3g}", remark))
    if table["macs_after"] != table["macs_before"]:
        before = quantity(table["macs_before"], "MAC")
        cards.append(("Work", quantity(table["macs_after"], "MAC"), f"for {before} before"))
    if table["accuracy_after"] is not None and table["accuracy_before"] is not None:
        cards.append(
            ("Accuracy", percent(table["accuracy_after"]), f"{percent(table['accuracy_before'])} before")
        )
    return cards


def _stacks(layers: Sequence[Record], parts: Sequence[str]) -> Stacks:
    bytes_by_part = [{part: row[_column(part)] / 8 for part in parts} for row in layers]
    names = [row["layer"] for row in layers]
    return stack(names, bytes_by_part, lambda count: quantity(count, "B") if count else "0")


def _column(part: str) -> str:
    return f"{part.replace(' ', '_')}_bits"


def _shown(layers: Sequence[Record]) -> LayersShown:
    largest = sorted(range(len(layers)), key=lambda i: (-layers[i]["weights"], i))[:MAX_ROWS]
    rows = tuple(tuple(column.cell(layers[i]) for column in COLUMNS) for i in sorted(largest))
    return LayersShown(COLUMNS, rows, len(layers) - len(rows))


def _number(value: float | None, shown: str) -> Cell:
    return Cell("-", "") if value is None else Cell(shown, repr(value))


def _codec(row: Record) -> str:
    codec = row["codec"] if row["codec"] != "dense" else f"dense {row['dtype']}"
    return f"{codec}, {row['codebook_entries']} shared" if row["codebook_entries"] else codec


def _bits(bits: int) -> Cell:
    return Cell(_size(bits), str(bits))


def _size(bits: int) -> str:
    return size(-(-bits // 8))


def _times(ratio: float) -> str:
    return f"{ratio:.3g}\u00d7"


def _decibel(row: Record) -> Cell:
    value = row["sqnr_db"]
    if value is None or math.isfinite(value):
        return _number(value, f"{value:.1f} dB" if value is not None else "")
    return Cell("no noise" if value > 0 else "all noise", repr(value))


COLUMNS: tuple[Column[Record], ...] = (
    Column("layer", "layer", False, lambda row: Cell(row["layer"], row["layer"])),
    Column("codec", "codec", False, lambda row: Cell(_codec(row), _codec(row))),
    Column("weights", "weights", True, lambda row: Cell(f"{row['weights']:,}", str(row["weights"]))),
    Column("density", "density", True, lambda row: _number(row["density"], percent(row["density"]))),
    Column(
        "bits", "bits_per_weight", True,
        lambda row: _number(row["bits_per_weight"], f"{row['bits_per_weight']:.2f}"),
    ),
    Column(
        "index", "index_bits_per_weight", True,
        lambda row: _number(
            row["index_bits_per_weight"] or None, f"{row['index_bits_per_weight']:.2f}"
        ),
    ),
    Column("stored", "stored_bits", True, lambda row: _bits(row["stored_bits"])),
    Column("before", "dense_bits", True, lambda row: _bits(row["dense_bits"])),
    Column(
        "smaller", "ratio", True,
        lambda row: _number(row["ratio"], _times(row["ratio"]) if row["ratio"] is not None else ""),
    ),
    Column("SQNR", "sqnr_db", True, _decibel),
    Column(
        "inertia", "inertia", True,
        lambda row: _number(row["inertia"], f"{row['inertia']:.3g}" if row["inertia"] is not None else ""),
    ),
)  # fmt: skip
