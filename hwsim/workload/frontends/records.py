"""Layers one a row: CSV tables and JSON lists read into records of checked whole numbers. Every fault of a
file is found before it is refused, each with its row and column. Knows nothing of what the columns mean."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from hwsim.errors import Problem, SpecError

MAX_FILE_BYTES = 4 * 2**20  # of the largest lists that are known a hundred times over
MAX_ROWS = 20_000  # a run of as many layers takes some seconds
MAX_COLUMNS = 64
MAX_PROBLEMS = 20  # shown of one file
LARGEST_SIZE = 10**9  # of one dimension; products of larger ones leave 64-bit counts

Made = TypeVar("Made")
_DIGITS = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a kind of table: key -> what messages call it, and then the names it goes by, in lower
    case with single spaces. `instead` has keys of `needed` that may be missing where all of others stand."""

    what: str
    names: Mapping[str, tuple[str, ...]]
    needed: tuple[str, ...]
    instead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def key(self, written: str) -> str | None:
        name = folded(written)
        return next((key for key, names in self.names.items() if name in names[1:]), None)

    def title(self, key: str) -> str:
        return self.names[key][0]

    def missing(self, found: Iterable[str]) -> list[str]:
        held = set(found)
        return [
            self.title(key)
            for key in self.needed
            if key not in held and not held.issuperset(self.instead.get(key, (key,)))
        ]


def folded(written: str) -> str:
    """A name without regard to capitals, and to what stands between its words."""
    return re.sub(r"[\s_-]+", " ", written.lower()).strip()


@dataclass
class Faults:
    """What is wrong with a file, as it is found."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        """Whether more of them would not be shown."""
        return len(self.problems) >= MAX_PROBLEMS

    def add(self, line: int, path: str, message: str) -> None:
        self.problems.append(Problem(self.file, line, 1 if line else 0, path, message))

    def refuse(self) -> None:
        """Raise SpecError if anything was found: the first of it, and how much follows."""
        more = len(self.problems) - MAX_PROBLEMS
        shown = self.problems[:MAX_PROBLEMS]
        if more > 0:
            shown.append(Problem(self.file, 0, 0, "", f"and {more:,} more problems"))
        if shown:
            raise SpecError(shown)

    def stop(self, line: int, message: str) -> NoReturn:
        """Refuse at once."""
        raise SpecError(Problem(self.file, line, 1 if line else 0, "", message))


@dataclass(frozen=True, slots=True)
class Record:
    """One row: what it says by key, and where. `title` is what the file calls a key there."""

    number: int  # among the records of its file, from 1
    line: int  # 0 in JSON, whose places are paths
    place: str  # before a column's name: "" in CSV, "gemms[3]." in JSON
    said: Mapping[str, Any]
    title: Callable[[str], str]
    faults: Faults

    def text(self, key: str) -> str:
        """What stands there; empty where nothing does."""
        found = self.said.get(key, "")
        if not isinstance(found, str):
            self.fault(key, f"is {_clip(found)}: it must be text")
            return ""
        return found

    def size(self, key: str, default: int | None = None, *, most: int = LARGEST_SIZE) -> int:
        """A whole number from 1 to `most`; 1, and a fault, for anything else."""
        found = self.said.get(key, "")
        if found == "" and default is not None:
            return default
        if self.line and isinstance(found, str) and _DIGITS.fullmatch(found):  # JSON has numbers of its own
            found = int(found)
        if type(found) is int and 1 <= found <= most:
            return found
        said = "is blank" if found == "" else f"is {_clip(found)}"
        self.fault(key, f"{said}: it must be a whole number from 1 to {most:,}")
        return 1

    def fault(self, key: str, message: str) -> None:
        self.faults.add(self.line, self.place + self.title(key) if key else self.place.rstrip("."), message)


def collect(records: Iterable[Record], make: Callable[[Record], Made], faults: Faults) -> list[Made]:
    """What `make` makes of every sound record. Raises SpecError for all faults."""
    made = [make(record) for record in records]
    faults.refuse()
    return made


# -- CSV -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: its header, and its rows that are not blank, each with the line it ends in. Columns behind
    one without a name are a spreadsheet's remarks: `unread` names them, and rows may have cells there."""

    faults: Faults
    header: tuple[str, ...]
    header_line: int
    unread: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    @property
    def notes(self) -> list[str]:
        if not self.unread:
            return []
        return [f"behind a column without a name, what follows is not read: {_short(', '.join(self.unread))}"]


def read_table(path: Path, content: bytes) -> Table:
    """The cells of a CSV file, without the spaces around them. Blank lines and rows of blank cells are left
    out, and so are blank cells that end a row: exporters and people put commas there."""
    faults = Faults(str(path))
    reader = csv.reader(io.StringIO(decoded(content, faults, "CSV"), newline=""), strict=True)
    rows: list[tuple[int, tuple[str, ...]]] = []
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            while row and not row[-1]:
                row.pop()
            if row:
                rows.append((reader.line_num, tuple(row)))
            if len(rows) > MAX_ROWS + 1:
                faults.stop(reader.line_num, f"holds more than {MAX_ROWS:,} rows: split the file")
    except csv.Error as error:
        faults.stop(reader.line_num, f"is not CSV: {error}")
    if not rows:
        faults.stop(0, "is empty: a header and one row a layer belong here")
    line, header = rows[0]
    named = header.index("") if "" in header else len(header)
    unread = tuple(name for name in header[named:] if name)
    return Table(faults, header[:named], line, unread, tuple(rows[1:]))


def records_of(table: Table, columns: Columns) -> Iterator[Record]:
    """The rows of a table under the names of its header. Raises SpecError for a header with columns that are
    missing, doubled or unknown, and for a file without rows."""
    keys = _keys(table, columns)
    if not table.rows:
        table.faults.stop(table.header_line, "holds a header and no rows")
    written = {key: name for key, name in zip(keys, table.header, strict=True) if key}

    def title(key: str) -> str:
        return written.get(key, columns.title(key))

    for number, (line, row) in enumerate(table.rows, 1):
        beyond = row[len(keys) :]
        # What follows a # behind the last column is a remark, as topologies have it.
        if beyond and not table.unread and not beyond[0].startswith("#"):
            told = f"has {len(row)} cells where the header names {len(keys)} columns"
            table.faults.add(line, "", told)
            continue
        said = {key: cell for key, cell in zip(keys, row, strict=False) if key}
        yield Record(number, line, "", said, title, table.faults)


def _keys(table: Table, columns: Columns) -> list[str]:
    faults, line = table.faults, table.header_line
    if len(table.header) > MAX_COLUMNS:
        faults.stop(line, f"names {len(table.header):,} columns; {columns.what} has {len(columns.names)}")
    keys: list[str] = []
    for name in table.header:
        key = columns.key(name)
        if key is None:
            faults.add(line, name[:40], f"is not a column of {columns.what}{nearest(name, columns, keys)}")
            key = ""
        elif key in keys:
            faults.add(line, name, f"means the same column as {table.header[keys.index(key)]!r}")
        keys.append(key)
    if (missing := columns.missing(keys)) and not faults.problems:
        many = "columns are" if len(missing) > 1 else "column is"
        found = ", ".join(table.header)
        faults.add(line, "", f"{many} missing: {', '.join(missing)} (found {_short(found)})")
    faults.refuse()
    return keys


# -- JSON ------------------------------------------------------------------------------------------------


def read_json(path: Path, content: bytes) -> tuple[Any, Faults]:
    """What a JSON file holds. Raises SpecError where it is none, names a key twice or nests too deeply."""
    faults = Faults(str(path))
    try:
        text = decoded(content, faults, "JSON")
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_int=_whole), faults
    except json.JSONDecodeError as error:
        raise SpecError(
            Problem(faults.file, error.lineno, error.colno, "", f"is not JSON: {error.msg}")
        ) from None
    except RecursionError:
        faults.stop(0, "nests too deeply")
    except ValueError as error:  # the hooks'
        faults.stop(0, str(error))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"names the key {_clip(twice)} twice in one object")
    return found


def _whole(digits: str) -> int:
    if len(digits) > 40:  # Python refuses thousands, in words of its own
        raise ValueError(f"holds a number of {len(digits):,} digits")
    return int(digits)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which is no number of JSON")


def record_of(said: Mapping[str, Any], place: str, number: int, columns: Columns, faults: Faults) -> Record:
    """One JSON object under the names of its keys; `place` is its path in the file."""
    found: dict[str, Any] = {}
    written: dict[str, str] = {}
    if len(said) > MAX_COLUMNS:
        faults.add(0, place, f"has {len(said):,} keys; {columns.what} has {len(columns.names)}")
        said = {}
    for name, value in said.items():
        key = columns.key(name)
        if key is None:
            hint = "" if faults.enough else nearest(name, columns, found)
            faults.add(0, f"{place}.{name[:40]}", f"is not a key of {columns.what}{hint}")
        elif key in found:
            faults.add(0, f"{place}.{name}", f"means the same key as {written[key]!r}")
        else:
            found[key], written[key] = value, name
    if missing := columns.missing(found):
        faults.add(0, place, f"lacks {', '.join(missing)}")
        found |= dict.fromkeys((key for key in columns.needed if key not in found), 1)
    return Record(number, 0, f"{place}.", found, lambda key: written.get(key, columns.title(key)), faults)


# -- both ------------------------------------------------------------------------------------------------


def decoded(content: bytes, faults: Faults, what: str) -> str:
    """The text of a file in UTF-8, with or without a byte order mark. Raises SpecError for anything else."""
    if b"\0" in content:
        faults.stop(0, f"is not {what} in UTF-8: it holds binary data, or is in another encoding")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        faults.stop(line, f"is not {what} in UTF-8: save it as such")
    if not text.strip():
        faults.stop(0, "is empty")
    return text


def nearest(name: str, columns: Columns, taken: Iterable[str]) -> str:
    """A known name that is near, or all of them, to end a message with."""
    held = set(taken)
    open_names = {n: key for key, names in columns.names.items() if key not in held for n in names[1:]}
    close = difflib.get_close_matches(folded(name)[:80], list(open_names), n=1, cutoff=0.75)
    if close:
        return f"; did you mean {columns.title(open_names[close[0]])!r}?"
    return f"; they are {', '.join(columns.title(key) for key in columns.names)}"


def _clip(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 42 else f"{text[:40]}..."


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:120]}..."
