"""Topology files of SCALE-Sim: convolutions one a row, or matrix products (M, N, K) one a row.

The columns and their reading are those of SCALE-Sim 3.0.0 (topology_utils.py of github.com/scalesim-project,
MIT licence): sizes of the input map hold the padding; a last window that reaches past the map counts; a layer
with DP in its name is depthwise, each channel by itself; one stride for both directions; N:M sparsity.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from hwsim.errors import Problem, SpecError
from hwsim.workload.frontends.apart import Apart, Product, Window, build_apart, workload_name
from hwsim.workload.frontends.records import (
    MAX_ROWS,
    Columns,
    Faults,
    Record,
    Table,
    collect,
    read_table,
    records_of,
)
from hwsim.workload.graph import Source, Workload
from hwsim.workload.sizes import unknown_parameter

_NAME = ("Layer name", "layer name", "layer", "name")
_SPARSITY = ("Sparsity", "sparsity", "sparsity ratio", "sparsity support")
_BATCH = ("Batch", "batch", "batch size")
CONV = Columns(
    "a topology of convolutions",
    {
        "name": _NAME,
        "height": ("IFMAP Height", "ifmap height", "ifmap h"),
        "width": ("IFMAP Width", "ifmap width", "ifmap w"),
        "kernel_h": ("Filter Height", "filter height", "filter h"),
        "kernel_w": ("Filter Width", "filter width", "filter w"),
        "channels": ("Channels", "channels", "num channels"),
        "filters": ("Num Filter", "num filter", "num filters"),
        "stride": ("Strides", "strides", "stride"),
        "stride_h": ("Stride Height", "stride height", "stride h"),
        "stride_w": ("Stride Width", "stride width", "stride w"),
        "batch": _BATCH,
        "sparsity": _SPARSITY,
    },
    ("name", "height", "width", "kernel_h", "kernel_w", "channels", "filters", "stride"),
    instead={"stride": ("stride_h", "stride_w")},
)
PRODUCTS = Columns(
    "a list of matrix products",
    {
        "name": _NAME,
        "M": ("M", "m"),
        "N": ("N", "n"),
        "K": ("K", "k"),
        "batch": _BATCH,
        "count": ("Count", "count"),
        "sparsity": _SPARSITY,
    },
    ("M", "N", "K"),
)
# Columns that only the one or only the other form has: one of them tells which the file is in.
_CONV_ALONE = ("height", "width", "kernel_h", "kernel_w", "channels", "filters")
_PRODUCTS_ALONE = ("M", "N", "K")
_RATIO = re.compile(r"([0-9]{1,6})\s*:\s*([0-9]{1,6})")
DEPTHWISE = "DP"


def read_topology(path: Path, content: bytes, parameters: Mapping[str, int], seed: int) -> Workload:
    """The workload of a CSV file of layers. `parameters` may hold `batch`, where the file is of convolutions
    and has no batch of its own.

    Raises SpecError with row and column for all that is wrong, CapacityError for what is too large.
    """
    table = read_table(path, content)
    source = Source(str(path), "csv", hashlib.sha256(content).hexdigest())
    if _form(table) is PRODUCTS:
        check_fixed(table.faults, parameters)
        layers: list[Apart] = [*collect(records_of(table, PRODUCTS), product_of, table.faults)]
        return build_apart(
            workload_name(path), layers, source, table.faults,
            parameters={"batch": 1}, seed=seed, notes=[*product_notes(layers), *table.notes],
        )  # fmt: skip
    batch = _batch(table, parameters)
    windows = collect(records_of(table, CONV), lambda record: _window(record, batch), table.faults)
    return build_apart(
        workload_name(path), windows, source, table.faults,
        parameters={"batch": batch}, seed=seed, notes=[*_notes(windows), *table.notes],
    )  # fmt: skip


def _form(table: Table) -> Columns:
    """Which form the header is of. Raises SpecError where it is of none."""
    conv = sum(CONV.key(name) in _CONV_ALONE for name in table.header)
    products = sum(PRODUCTS.key(name) in _PRODUCTS_ALONE for name in table.header)
    if not conv and not products:
        known = (", ".join(form.title(key) for key in form.needed) for form in (CONV, PRODUCTS))
        hint = "; its cells seem to be separated by semicolons" if ";" in table.header[0] else ""
        table.faults.stop(
            table.header_line,
            "its first line must name the columns of a SCALE-Sim topology ({}) or of matrix products ({}), "
            "separated by commas{}".format(*known, hint),
        )
    return CONV if conv >= products else PRODUCTS


def _batch(table: Table, parameters: Mapping[str, int]) -> int:
    """The batch of every layer; 1 where the file gives each layer its own."""
    for name in parameters:
        if name != "batch":
            raise SpecError(Problem(table.faults.file, 0, 0, "", unknown_parameter(name, {"batch": 1})))
    own = any(CONV.key(name) == "batch" for name in table.header)
    if own and "batch" in parameters:
        table.faults.stop(table.header_line, "has a batch of its own for each layer: leave out --batch")
    return parameters.get("batch", 1)


def check_fixed(faults: Faults, parameters: Mapping[str, int]) -> None:
    """Matrix products have the sizes that the file says. Raises SpecError for a parameter."""
    for name in parameters:
        raise SpecError(
            Problem(
                faults.file, 0, 0, "",
                f"there is no parameter {name!r}: M, N and K are fixed; change the file, or give it a column "
                "Batch",
            )
        )  # fmt: skip


def product_of(record: Record) -> Product:
    """One matrix product of a table or a JSON list."""
    return Product(
        record.text("name") or f"gemm{record.number}",
        record.line,
        record.size("M"),
        record.size("N"),
        record.size("K"),
        record.size("batch", 1),
        _density(record),
        record.size("count", 1, most=MAX_ROWS),
    )


def product_notes(layers: Sequence[Apart]) -> list[str]:
    return ["the second operand of each product is held as weights", *_sparse(layers)]


def _window(record: Record, batch: int) -> Window:
    name = record.text("name") or f"layer{record.number}"
    size = (record.size("height"), record.size("width"))
    kernel = (record.size("kernel_h"), record.size("kernel_w"))
    stride = _strides(record)
    for axis, key in enumerate(("kernel_h", "kernel_w")):
        if kernel[axis] > size[axis]:
            told = f"is {kernel[axis]}, more than the map's {size[axis]}: IFMAP sizes include the padding"
            record.fault(key, told)
    channels, filters = record.size("channels"), record.size("filters")
    groups = channels if DEPTHWISE in name else 1
    # SCALE-Sim: ceil((map - window + stride) / stride) windows; hwsim's own counts round down.
    over = [(r - h) % s for h, r, s in zip(size, kernel, stride, strict=True)]
    return Window(
        name,
        record.line,
        record.size("batch", batch),
        size,
        kernel,
        channels,
        filters * groups,
        stride,
        (over[0], over[1]),
        groups,
        _density(record),
    )


def _strides(record: Record) -> tuple[int, int]:
    """Of both directions at once, or of each."""
    apart = [key for key in ("stride_h", "stride_w") if record.said.get(key)]
    if not apart:
        both = record.size("stride")
        return both, both
    if record.said.get("stride"):
        record.fault(apart[0], "stands beside Strides: keep one of the two")
    return record.size("stride_h"), record.size("stride_w")


def _density(record: Record) -> float:
    """The share of weights that are not zero, from N:M: at most N of each M."""
    written = record.text("sparsity")
    if not written:
        return 1.0
    found = _RATIO.fullmatch(written)
    kept, of = (int(part) for part in found.groups()) if found else (0, 0)
    if not 1 <= kept <= of:
        record.fault("sparsity", f"is {written[:40]!r}: write N:M with N of at most M, such as 2:4")
        return 1.0
    return float(Fraction(kept, of))


def _sparse(layers: Sequence[Apart]) -> list[str]:
    count = sum(layer.density < 1 for layer in layers)
    if not count:
        return []
    have = "1 layer has" if count == 1 else f"{count:,} layers have"
    where = "as many are zero, at places that the seed draws, and not in groups of M"
    return [f"{have} N:M sparse weights: {where}"]


def _notes(layers: Sequence[Window]) -> list[str]:
    notes = []
    if over := [layer.name for layer in layers if any(layer.beyond)]:
        notes.append(
            f"the last window of {_listed(over)} reaches past the map, as SCALE-Sim has it: zeros are there"
        )
    if depthwise := [layer.name for layer in layers if DEPTHWISE in layer.name]:
        notes.append(
            f"{_listed(depthwise)} {'is' if len(depthwise) == 1 else 'are'} taken as depthwise for the "
            f"{DEPTHWISE} in the name, as SCALE-Sim does: Num Filter filters for each channel by itself"
        )
    return [*notes, *_sparse(layers)]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
