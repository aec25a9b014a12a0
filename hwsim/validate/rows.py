"""Measurement files: CSV with one measured operator a row, read into checked rows.

Needed columns: design, op, dtype, metric, value, and the sizes of the operators that occur. A file is either
read whole or refused with all its problems, each with file and line. Nothing here runs anything.
"""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import Problem, SpecError
from hwsim.files import read_file
from hwsim.workload.frontends.records import LARGEST_SIZE, MAX_PROBLEMS

WORDS = ("design", "op", "dtype", "metric")
SIZES = (
    "batch", "M", "N", "K", "in_channels", "height", "width", "out_channels", "kernel_h", "kernel_w",
    "stride_h", "stride_w", "pad_h", "pad_w", "hidden", "timesteps",
)  # fmt: skip
MAY_BE_ZERO = ("pad_h", "pad_w")
NEEDED = (*WORDS, "value")
TRANSPOSED = ("trans_a", "trans_b")  # how a matrix library is handed the operands, as BLAS says it: N or T
# harness and cache_state say how the time was taken; `conditions` makes overrides of them.
CARRIED = (*TRANSPOSED, "harness", "cache_state", "source", "licence")
DENSITIES = ("density", "act_density")  # of the weights, and of the activations
COLUMNS = (*NEEDED, *SIZES, *DENSITIES, "overrides", *CARRIED)

MAX_FILE_BYTES = 64 * 2**20  # some hundred thousand rows

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_OVERRIDE = re.compile(r"\s+(?=[^\s=]+=)")  # values may hold spaces ("bandwidth=34 GB/s"), paths may not


@dataclass(frozen=True)
class MeasuredRow:
    """One measurement. `cells` is the row as it was written; `sizes` are the whole numbers among them."""

    file: str
    line: int
    design: str
    op: str
    dtype: str
    metric: str
    measured: float
    sizes: Mapping[str, int]
    density: float
    act_density: float
    overrides: tuple[str, ...]
    cells: Mapping[str, str]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class MeasuredTable:
    """The rows of one file. `unused` are columns that hwsim does not know and so did not read."""

    rows: tuple[MeasuredRow, ...]
    columns: tuple[str, ...]
    unused: tuple[str, ...]


def read_rows(path: str | Path) -> MeasuredTable:
    """Read a measurement file. Raises SpecError with every problem found: not a CSV, missing columns, rows of
    the wrong length, blank words, and sizes or values that are not positive finite numbers."""
    file = str(path)
    lines = csv.reader(_text(Path(path), file).splitlines(keepends=True), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(file, header)
        records = [(lines.line_num, record) for record in lines if any(cell.strip() for cell in record)]
    except csv.Error as error:
        raise SpecError(Problem(file, lines.line_num, 1, "", f"is not CSV: {error}")) from error
    if not records:
        raise SpecError(Problem(file, 1, 1, "", "holds a header and no rows"))
    problems: list[Problem] = []
    rows = [row for line, record in records if (row := _row(file, line, header, record, problems))]
    refuse(problems)
    unused = tuple(name for name in header if name not in COLUMNS)
    return MeasuredTable(tuple(rows), tuple(header), unused)


def refuse(problems: list[Problem]) -> None:
    """Raise SpecError for the problems found in a file, if any: the first of them and how many follow."""
    more = len(problems) - MAX_PROBLEMS
    if more > 0:
        problems = [
            *problems[:MAX_PROBLEMS],
            Problem(problems[0].file, 0, 0, "", f"and {more:,} more problems"),
        ]
    if problems:
        raise SpecError(problems)


def _text(path: Path, file: str) -> str:
    content = read_file(path, MAX_FILE_BYTES)
    if b"\0" in content:
        raise SpecError(Problem(file, 1, 1, "", "is not CSV: it holds binary data"))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise SpecError(Problem(file, line, 1, "", "is not CSV in UTF-8: save it as such")) from error
    if not text.strip():
        raise SpecError(Problem(file, 1, 1, "", "is empty: a header and one row a measurement belong here"))
    return text


def _check_header(file: str, header: list[str]) -> None:
    problems = []
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            problems.append(Problem(file, 1, 1, name, "is the name of two columns"))
    for name in header:
        absent = [known for known in COLUMNS if known not in header]
        near = [known for known in absent if known.lower() == name.lower()]
        near = near or difflib.get_close_matches(name.lower(), absent, n=1, cutoff=0.8)
        if near and name not in COLUMNS:
            case = " (case matters)" if near[0].lower() == name.lower() else ""
            problems.append(Problem(file, 1, 1, name, f"is not a column; did you mean {near[0]}{case}?"))
    missing = [name for name in NEEDED if name not in header]
    if missing and not problems:
        many = "s are" if len(missing) > 1 else " is"
        problems.append(
            Problem(file, 1, 1, "", f"column{many} missing: {', '.join(missing)} (found {_short(header)})")
        )
    if problems:
        raise SpecError(problems)


def _short(header: Iterable[str]) -> str:
    text = ", ".join(header)
    return text if len(text) <= 120 else f"{text[:120]}..."


def _row(
    file: str, line: int, header: list[str], record: list[str], problems: list[Problem]
) -> MeasuredRow | None:
    """One checked row, or None and its problems."""
    before = len(problems)
    if len(record) != len(header):
        what = f"has {len(record)} fields where the header names {len(header)}"
        problems.append(Problem(file, line, 1, "", what))
        return None
    cells = {name: cell.strip() for name, cell in zip(header, record, strict=True)}
    for name in NEEDED:
        if not cells[name]:
            problems.append(Problem(file, line, 1, name, "is blank"))
    sizes = dict(_sizes(file, line, cells, problems))
    measured = _number(file, line, "value", cells["value"], problems) if cells["value"] else 0.0
    density, act_density = (_density(file, line, name, cells, problems) for name in DENSITIES)
    for name in TRANSPOSED:
        if cells.get(name, "").upper() not in ("", "N", "T"):
            problems.append(Problem(file, line, 1, name, f"is {_clip(cells[name])}: it must be N or T"))
    if len(problems) > before:
        return None
    overrides = tuple(_OVERRIDE.split(cells["overrides"])) if cells.get("overrides") else ()
    words = {name: cells[name] for name in WORDS}
    return MeasuredRow(
        file, line, **words, measured=measured, sizes=sizes, density=density, act_density=act_density,
        overrides=overrides, cells=cells,
    )  # fmt: skip


def _density(file: str, line: int, name: str, cells: Mapping[str, str], problems: list[Problem]) -> float:
    """A share above 0 and at most 1; all where the cell is blank or there is no such column."""
    if not cells.get(name):
        return 1.0
    density = _number(file, line, name, cells[name], problems)
    if density > 1:
        problems.append(Problem(file, line, 1, name, f"is {cells[name]}: it must be at most 1"))
    return density


def _sizes(
    file: str, line: int, cells: Mapping[str, str], problems: list[Problem]
) -> Iterator[tuple[str, int]]:
    for name in SIZES:
        if not cells.get(name):
            continue
        number = _number(file, line, name, cells[name], problems, zero=name in MAY_BE_ZERO)
        if math.isnan(number):
            continue
        if number != int(number) or number > LARGEST_SIZE:
            what = f"is {_clip(cells[name])}: it must be a whole number of at most {LARGEST_SIZE:,}"
            problems.append(Problem(file, line, 1, name, what))
            continue
        yield name, int(number)


def _number(
    file: str, line: int, name: str, text: str, problems: list[Problem], *, zero: bool = False
) -> float:
    """A positive finite number (or zero, where allowed), else NaN and a problem."""
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if math.isfinite(number) and (number > 0 or (zero and number == 0)):
        return number
    wanted = "a number of at least 0" if zero else "a number above 0"
    problems.append(Problem(file, line, 1, name, f"is {_clip(text)}: it must be {wanted}"))
    return math.nan


def _clip(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
