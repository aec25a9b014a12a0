"""The folder of a result: JSON, CSV tables and the trace. All of it appears at once, or nothing does.

Same inputs, same bytes: no time of day, no host, no path of the folder is written.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from hwsim.folders import FolderKind, is_marked, put_file
from hwsim.result.chrome import chrome_trace
from hwsim.result.result import Result
from hwsim.result.tables import Columns

FORMAT = "hwsim result 1"  # marks a result.json as ours, so that only our own folders are replaced
FILES = ("result.json", "operators.csv", "usage.csv", "area.csv", "trace.json.gz")
VERIFICATION = "verification.csv"  # beside FILES where the numbers were checked
WEIGHTS = "weights.csv"  # beside FILES where weights are compressed
PAGE = "report.html"  # drawn from FILES alone, by whoever writes the folder or later


def _is_result(folder: Path) -> bool:
    return is_marked(folder / "result.json", FORMAT)


_KIND = FolderKind("a result of hwsim", frozenset((*FILES, VERIFICATION, WEIGHTS, PAGE)), _is_result)


def write_folder(result: Result, folder: str | Path, draw: Callable[[Path], bytes] | None = None) -> Path:
    """Write `result` to `folder` and return its absolute path. `draw`, given a folder with all FILES in it,
    returns what PAGE is to hold; without it there is none.

    An empty folder, or one that holds an earlier result and nothing else, is replaced; until all is written
    the old one stays. Raises OutputError, leaving things as they were, when anything else is in the way or
    the folder cannot be written.
    """

    def fill(partial: Path) -> None:
        for name, content in _contents(result):
            (partial / name).write_bytes(content)
        if draw is not None:
            (partial / PAGE).write_bytes(draw(partial))

    return _KIND.write(folder, fill)


def write_page(folder: str | Path, page: bytes) -> Path:
    """Write PAGE into an existing folder, whole or not at all, and return its absolute path. Raises
    OutputError."""
    final = Path(os.path.realpath(folder)) / PAGE
    try:
        put_file(final, page)
    except OSError as error:
        raise _KIND.told(final, error) from None
    return final


def check_folder(folder: str | Path) -> Path:
    """The absolute path that `write_folder` would write; raises OutputError when it already sees why it could
    not."""
    return _KIND.check(folder)


def default_name(result: Result) -> str:
    """A folder's name from what went into a result: the same inputs give the same name."""
    made_from = (
        result.workload, result.design, result.batch, result.dtype, result.provenance.version,
        result.provenance.workload_sha256, result.provenance.design_sha256, result.provenance.overrides,
        sorted(result.provenance.parameters.items()), result.provenance.technology, result.provenance.timing,
        *result.provenance.lowering,
    )  # fmt: skip
    digest = hashlib.sha256(repr(made_from).encode()).hexdigest()[:8]
    return f"{file_name(result.workload)}-{file_name(result.design)}-{digest}"


def strict(value: object) -> object:
    """`value` as JSON can hold it: numbers that are not finite become null, tuples lists, paths text."""
    if isinstance(value, Mapping):
        return {str(key): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [strict(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return str(value) if isinstance(value, Path) else value


def file_name(name: str) -> str:
    """`name` as a part of a file's name that every file system takes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:60] or "unnamed"


def _contents(result: Result) -> list[tuple[str, bytes]]:
    trace = json.dumps(chrome_trace(result), sort_keys=True, separators=(",", ":"), allow_nan=False)
    contents = (
        _json(_about(result)),
        _csv({**result.timing.columns(), **result.errors.columns(len(result.timing.names))}),
        _csv(result.usage.columns()),
        _csv(result.area.columns()),
        _gzip(trace.encode("ascii")),
    )
    found = list(zip(FILES, contents, strict=True))
    if result.verification is not None:
        found.append((VERIFICATION, _csv(result.verification.columns())))
    if result.weights.compressed:
        found.append((WEIGHTS, _csv(result.weights.columns())))
    return found


def _about(result: Result) -> dict[str, object]:
    summary = result.summary()
    del summary["folder"]  # a folder may be moved, and the same run elsewhere has the same bytes
    return {
        "format": FORMAT,
        "summary": summary,
        "machine": {
            "clock_hz": result.clock_hz,
            "macs_per_cycle": result.macs_per_cycle,
            "focus": result.focus,
        },
        "energy_by_component": result.energy_parts,
        "provenance": asdict(result.provenance),
        "published": dict(result.published),
    }


def _json(value: object) -> bytes:
    return (json.dumps(strict(value), indent=2, sort_keys=True, allow_nan=False) + "\n").encode("ascii")


def _csv(columns: Columns) -> bytes:
    """RFC 4180: CRLF between rows, fields quoted where they must be. Floats keep all their digits."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    lists = (column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values())
    writer.writerows(zip(*lists, strict=True))
    return text.getvalue().encode("utf-8", errors="backslashreplace")


def _gzip(content: bytes) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as file:
        file.write(content)
    return packed.getvalue()
