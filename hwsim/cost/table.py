"""Technology tables: CSV files in designs/technology, one a family of figures, each row with its source.

Columns: `component` and `action` say what is priced; `variant` is the number format (of an adder that counts
ones, popcount; of ternary and binary multipliers, for one bit of the other number) or the memory or link
technology; `width_bits` and `capacity_bytes` the access and the bank, `node_nm` the process that the figure
holds for (blank: any), `scaling` how it follows the node (logic, sram or none). `confidence` is confirmed
(read in the source or a second transcription of it), recalled (not read again), derived (computed as the
source says) or assumed (hwsim's own choice, with the reason). A row that nothing would read is refused.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hwsim.errors import Problem, SpecError

COLUMNS = (
    "component", "action", "variant", "width_bits", "capacity_bytes", "node_nm", "value", "unit", "scaling",
    "source", "confidence",
)  # fmt: skip
# (component, action) -> its unit, and the columns that must not be blank.
ACTIONS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("multiplier", "energy"): ("pJ", ("variant", "node_nm")),
    ("multiplier", "area"): ("um2", ("variant", "node_nm")),
    ("adder", "energy"): ("pJ", ("variant", "node_nm")),
    ("adder", "area"): ("um2", ("variant", "node_nm")),
    ("register", "read"): ("pJ", ("width_bits", "node_nm")),
    ("register", "write"): ("pJ", ("width_bits", "node_nm")),
    ("register", "area"): ("um2", ("width_bits", "node_nm")),
    ("logic", "leakage"): ("W/mm2", ("node_nm",)),
    ("sram", "read"): ("pJ", ("width_bits", "capacity_bytes", "node_nm")),
    ("sram", "write"): ("pJ", ("width_bits", "capacity_bytes", "node_nm")),
    ("sram", "wide_read"): ("ratio", ("width_bits",)),
    ("sram", "wide_write"): ("ratio", ("width_bits",)),
    ("sram", "area"): ("um2", ("width_bits", "capacity_bytes", "node_nm")),
    ("sram", "leakage"): ("W/B", ("node_nm",)),
    ("dram", "read"): ("pJ", ("variant", "width_bits")),
    ("dram", "write"): ("pJ", ("variant", "width_bits")),
    ("dram", "area"): ("um2", ()),
    ("link", "transfer"): ("pJ", ("variant", "width_bits")),
    ("link", "area"): ("um2", ()),
    ("control", "area"): ("um2", ()),
    **{
        ("scaling", f"{part}_{quantity}"): ("ratio", ("node_nm",))
        for part, quantities in (("logic", ("energy", "area", "leakage")), ("sram", ("energy", "area")))
        for quantity in quantities
    },
}
BY_NODE = frozenset({("sram", "leakage"), *(pair for pair in ACTIONS if pair[0] == "scaling")})
SCALINGS = ("logic", "sram", "none")
CONFIDENCES = ("confirmed", "recalled", "derived", "assumed")
_WHOLE = re.compile(r"[1-9][0-9]{0,14}")
MAX_BYTES = 4 * 2**20  # a table is some hundred lines; more is the wrong file


@dataclass(frozen=True, slots=True)
class TableRow:
    """One figure of a technology table. Blank cells: 0 for width and capacity, None for the node."""

    component: str
    action: str
    variant: str
    width_bits: int
    capacity_bytes: int
    node_nm: float | None
    value: float
    unit: str
    scaling: str
    source: str
    confidence: str

    @property
    def cited(self) -> str:
        """The source, with the confidence where it is not beyond doubt."""
        return self.source if self.confidence == "confirmed" else f"{self.source} [{self.confidence}]"


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of one file."""

    name: str
    sha256: str
    rows: tuple[TableRow, ...]


def read_table(name: str, path: Path) -> Table:
    """The table in the file at `path`, parsed again only when its bytes have changed. Raises SpecError with
    every faulty line."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SpecError(
                f"{path}: {size:,} bytes is too large for a technology table (at most {MAX_BYTES:,})"
            )
        return parse_table(name, str(path), path.read_bytes())
    except OSError as error:
        raise SpecError(f"cannot read the technology table {path}: {error.strerror or error}") from error


@lru_cache(maxsize=16)
def parse_table(name: str, file: str, content: bytes) -> Table:
    """The rows of a table's bytes; `file` is what messages call it."""
    records = _records(file, content)
    if not records or tuple(records[0][1]) != COLUMNS:
        raise SpecError(Problem(file, 1, 1, "", f"the first line must name the columns {','.join(COLUMNS)}"))
    rows: list[TableRow] = []
    problems: list[Problem] = []
    seen: dict[tuple[object, ...], int] = {}
    for line, record in records[1:]:
        faults = list(_faults(record))
        if not faults:
            row = _row(record)
            key = (row.component, row.action, row.variant, row.width_bits, row.capacity_bytes, row.node_nm)
            if key in seen:
                faults = [("", f"says again what line {seen[key]} says")]
            else:
                seen[key] = line
                rows.append(row)
        problems += [Problem(file, line, 1, column, message) for column, message in faults]
    if not problems:
        problems = [
            Problem(file, line, 1, column, text)
            for line, column, text in _curve_faults(rows, list(seen.values()))
        ]
    if problems:
        raise SpecError(problems)
    return Table(name, hashlib.sha256(content).hexdigest(), tuple(rows))


def _records(file: str, content: bytes) -> list[tuple[int, list[str]]]:
    """(line, cells) of every line that is not blank."""
    line = 1
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        records = []
        for cells in reader:
            if cells:
                records.append((line, cells))
            line = reader.line_num + 1
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError(Problem(file, line, 1, "", f"not a CSV file in UTF-8: {error}")) from error
    return records


def _faults(record: list[str]) -> Iterator[tuple[str, str]]:
    """(column, message) of all that is wrong with one line."""
    if len(record) != len(COLUMNS):
        yield "", f"{len(record)} cells for {len(COLUMNS)} columns"
        return
    cells = dict(zip(COLUMNS, record, strict=True))
    for column in ("component", "action", "source"):
        if not cells[column].strip():
            yield column, "must not be empty: every figure says what it prices and where it is from"
    for column in ("width_bits", "capacity_bytes"):
        if cells[column] and not _WHOLE.fullmatch(cells[column]):
            yield column, f"{cells[column]!r} is not a positive whole number"
    for column in ("node_nm", "value"):
        if (cells[column] or column == "value") and not _positive(cells[column]):
            yield column, f"{cells[column]!r} is not a positive number"
    for column, known in (("scaling", SCALINGS), ("confidence", CONFIDENCES)):
        if cells[column] not in known:
            yield column, f"{cells[column]!r} is not one of {', '.join(known)}"
    if not cells["node_nm"] and cells["scaling"] in ("logic", "sram"):
        yield "node_nm", "a figure that scales with the node must say which node it holds for"
    yield from _action_faults(cells)


def _action_faults(cells: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What is wrong with a line as a figure of its component and action."""
    pair = (cells["component"], cells["action"])
    if pair not in ACTIONS:
        near = difflib.get_close_matches(" ".join(pair), [" ".join(known) for known in ACTIONS], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(map(' '.join, ACTIONS))}"
        yield "action", f"nothing reads a figure for {' '.join(pair)!r}{hint}"
        return
    unit, needed = ACTIONS[pair]
    if cells["unit"] != unit:
        yield "unit", f"{cells['unit']!r} is not the unit of {' '.join(pair)}, which is {unit}"
    for column in needed:
        if not cells[column]:
            yield column, f"{' '.join(pair)} needs it"


def _curve_faults(rows: list[TableRow], lines: list[int]) -> Iterator[tuple[int, str, str]]:
    """(line, column, message): rows of one component and action are points of one curve, so they hold for one
    node (unless listed node by node) and scale alike, and energies of SRAM are of one width."""
    first: dict[tuple[str, str], TableRow] = {}
    for row, line in zip(rows, lines, strict=True):
        pair = (row.component, row.action)
        base = first.setdefault(pair, row)
        if pair not in BY_NODE and (row.node_nm, row.scaling) != (base.node_nm, base.scaling):
            yield line, "node_nm", f"all figures for {' '.join(pair)} must hold for one node and scale alike"
        if pair in (("sram", "read"), ("sram", "write")) and row.width_bits != base.width_bits:
            yield (
                line,
                "width_bits",
                f"all figures for {' '.join(pair)} must be of one width; see wide_{row.action}",
            )


def _positive(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and number > 0


def _row(record: list[str]) -> TableRow:
    component, action, variant, width, capacity, node, value, unit, scaling, source, confidence = record
    return TableRow(
        component,
        action,
        variant,
        int(width or 0),
        int(capacity or 0),
        float(node) if node else None,
        float(value),
        unit,
        scaling,
        source,
        confidence,
    )
