"""Files of a result folder as fields that are read by name, type and range. Nothing in them is believed."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hwsim.errors import Problem, SpecError
from hwsim.files import read_file
from hwsim.units import format_bytes

MAX_FILE_BYTES = 256 * 2**20  # of one file, unpacked: a trace of 50,000 tiles takes about 10 MB
CURE = "make the folder again with `hwsim run`, or the command that wrote it"
_WHOLE = re.compile(r"\d{1,19}", re.ASCII)


def safe(text: str) -> str:
    """`text` with characters that are not printable (controls, bidirectional marks, surrogates) as codes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def fail(path: Path, place: str, message: str) -> NoReturn:
    """Raise SpecError for a place in a file."""
    raise SpecError(Problem(safe(str(path)), 0, 0, safe(place), message))


def read_bytes(path: Path) -> bytes:
    """The content of a file that is there and no larger than MAX_FILE_BYTES."""
    try:
        return read_file(path, MAX_FILE_BYTES)
    except SpecError as error:
        fail(path, "", f"{error.problems[0].message}; {CURE}")


def parse_json(path: Path, content: bytes) -> object:
    """The value that `content`, read from `path`, stands for."""
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):  # ValueError: not UTF-8, not JSON, a number of thousands of digits
        fail(path, "", f"is not JSON; {CURE}")


class JsonObject:
    """A JSON object whose members are read by name and type."""

    def __init__(self, path: Path, place: str, value: object) -> None:
        if not isinstance(value, dict):
            fail(path, place, f"must be an object; {CURE}")
        self.path, self.place = path, place
        self.members: dict[str, object] = value

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def _get(self, key: str, kind: str) -> Any:
        if key not in self.members:
            fail(self.path, self._at(key), f"is missing; {CURE}")
        return self._expect(key, kind, self.members[key])

    def _expect(self, key: str, kind: str, value: object) -> Any:
        fits = {
            "text": isinstance(value, str),
            "whole number": isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63,
            "number": isinstance(value, int | float) and not isinstance(value, bool) and _sane(value),
            "list": isinstance(value, list),
            "object": isinstance(value, dict),
            "true or false": isinstance(value, bool),
        }
        if not fits[kind]:
            article = {"true or false": "", "object": "an "}.get(kind, "a ")
            fail(self.path, self._at(key), f"must be {article}{kind}; {CURE}")
        return value

    def text(self, key: str) -> str:
        return safe(self._get(key, "text"))

    def whole(self, key: str) -> int:
        found: int = self._get(key, "whole number")
        return found

    def number(self, key: str) -> float:
        return float(self._get(key, "number"))

    def maybe_number(self, key: str) -> float | None:
        return None if self.members.get(key) is None else self.number(key)

    def flag(self, key: str) -> bool:
        found: bool = self._get(key, "true or false")
        return found

    def maybe_flag(self, key: str) -> bool | None:
        return None if self.members.get(key) is None else self.flag(key)

    def part(self, key: str) -> JsonObject:
        return JsonObject(self.path, self._at(key), self._get(key, "object"))

    def parts(self, key: str) -> tuple[JsonObject, ...]:
        found: list[object] = self._get(key, "list")
        return tuple(
            JsonObject(self.path, f"{self._at(key)}[{index}]", entry) for index, entry in enumerate(found)
        )

    def texts(self, key: str) -> tuple[str, ...]:
        found: list[object] = self._get(key, "list")
        return tuple(safe(self._expect(key, "text", entry)) for entry in found)

    def numbers(self, key: str) -> dict[str, float]:
        part = self.part(key)
        return {safe(name): part.number(name) for name in part.members}

    def wholes(self, key: str) -> dict[str, int]:
        part = self.part(key)
        return {safe(name): part.whole(name) for name in part.members}


def _sane(value: float) -> bool:
    """Finite, not negative, and not so large or small that its sums and ratios leave the range of a float."""
    return value == 0 or 1e-100 < value < 1e100


@dataclass(frozen=True)
class CsvRow:
    """One record of a CSV table, read by heading and type."""

    path: Path
    number_in_file: int
    cells: Mapping[str, str]

    def text(self, heading: str) -> str:
        return safe(self.cells[heading])

    def whole(self, heading: str) -> int:
        found = self.cells[heading]
        if not _WHOLE.fullmatch(found):
            fail(self.path, self._at(heading), f"must be a whole number; {CURE}")
        return int(found)

    def number(self, heading: str) -> float:
        found = self.signed(heading)
        if found < 0:
            fail(self.path, self._at(heading), f"must be a number; {CURE}")
        return found

    def signed(self, heading: str) -> float:
        """A number that may be below zero."""
        try:
            found = float(self.cells[heading])
        except ValueError:
            found = math.nan
        if not _sane(abs(found)):
            fail(self.path, self._at(heading), f"must be a number; {CURE}")
        return found

    def share(self, heading: str) -> float:
        found = self.number(heading)
        if found > 1:
            fail(self.path, self._at(heading), f"must lie between 0 and 1; {CURE}")
        return found

    def flag(self, heading: str) -> bool:
        found = self.cells[heading]
        if found not in ("true", "false"):
            fail(self.path, self._at(heading), f"must be true or false; {CURE}")
        return found == "true"

    def wholes(self, start: str, end: str) -> dict[str, int]:
        """The columns `start`X`end` as X -> value."""
        return {
            safe(heading.removeprefix(start).removesuffix(end)): self.whole(heading)
            for heading in self.cells
            if heading.startswith(start) and heading.endswith(end)
        }

    def _at(self, heading: str) -> str:
        return f"row {self.number_in_file}, {heading}"


def read_csv(path: Path, columns: Sequence[str]) -> list[CsvRow]:
    """The records below the headings, which must name each of `columns` once."""
    try:
        records = list(csv.reader(io.StringIO(read_bytes(path).decode("utf-8"), newline=""), strict=True))
    except (ValueError, csv.Error):
        fail(path, "", f"is not CSV in UTF-8; {CURE}")
    headings = records[0] if records else []
    for needed in columns:
        if headings.count(needed) != 1:
            fail(path, needed, f"there must be one column of this name; {CURE}")
    rows = []
    for number, record in enumerate(records[1:], 1):
        if len(record) != len(headings):
            fail(path, f"row {number}", f"must have {len(headings)} fields; {CURE}")
        rows.append(CsvRow(path, number, dict(zip(headings, record, strict=True))))
    return rows


def read_gzip(path: Path) -> bytes:
    """The content of a gzip file, without ever holding more than is allowed."""
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(read_bytes(path), MAX_FILE_BYTES)
    except zlib.error:
        fail(path, "", f"is not a gzip file; {CURE}")
    if unpacker.unconsumed_tail:
        fail(path, "", f"unpacks to more than {format_bytes(MAX_FILE_BYTES)}; {CURE}")
    if not unpacker.eof:
        fail(path, "", f"ends in the middle; {CURE}")
    return content
