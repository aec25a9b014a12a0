"""The folder of a result: JSON, CSV tables and the trace. All of it appears at once, or nothing does.

Same inputs, same bytes: no time of day, no host, no path of the folder is written.
"""

from __future__ import annotations

import csv
import errno
import fcntl
import gzip
import hashlib
import io
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from hwsim.errors import OutputError
from hwsim.result.chrome import chrome_trace
from hwsim.result.result import Result
from hwsim.result.tables import Columns

FORMAT = "hwsim result 1"  # marks a result.json as ours, so that only our own folders are replaced
FILES = ("result.json", "operators.csv", "usage.csv", "area.csv", "trace.json.gz")
VERIFICATION = "verification.csv"  # beside FILES where the numbers were checked
PAGE = "report.html"  # drawn from FILES alone, by whoever writes the folder or later

_CURE = "name another folder (--out DIR)"
_REASONS = {
    errno.EACCES: f"permission denied: {_CURE}, or give yourself the right to write there",
    errno.EPERM: f"not permitted: {_CURE}",
    errno.ENOENT: f"its file system takes no new folders: {_CURE}",
    errno.EROFS: f"the file system is read-only: {_CURE}",
    errno.ENOSPC: f"no space left on the device: free some, or {_CURE}",
    errno.EDQUOT: f"the disk quota is used up: free some, or {_CURE}",
    errno.ENOTDIR: f"a part of the path is a file, not a folder: {_CURE}",
    errno.EEXIST: f"a file is in the way: {_CURE}, or move it",
    errno.ENAMETOOLONG: f"the name is too long: {_CURE}",
    errno.ELOOP: f"its symbolic links lead in a circle: {_CURE}",
}


def write_folder(result: Result, folder: str | Path, draw: Callable[[Path], bytes] | None = None) -> Path:
    """Write `result` to `folder` and return its absolute path. `draw`, given a folder with all FILES in it,
    returns what PAGE is to hold; without it there is none.

    An empty folder, or one that holds an earlier result and nothing else, is replaced; until all is written
    the old one stays. Raises OutputError, leaving things as they were, when anything else is in the way or
    the folder cannot be written.
    """
    final = check_folder(folder)
    partial = final.with_name(_hidden_name("partial"))
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        for name, content in _contents(result):
            (partial / name).write_bytes(content)
        if draw is not None:
            (partial / PAGE).write_bytes(draw(partial))
        _put(partial, final)
    except OSError as error:
        raise _told(final, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def write_page(folder: str | Path, page: bytes) -> Path:
    """Write PAGE into an existing folder, whole or not at all, and return its absolute path. Raises
    OutputError."""
    final = Path(os.path.realpath(folder)) / PAGE
    partial = final.with_name(_hidden_name("partial"))
    try:
        try:
            partial.write_bytes(page)
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _told(final, error) from None
    return final


def check_folder(folder: str | Path) -> Path:
    """The absolute path that `write_folder` would write; raises OutputError when it already sees why it could
    not. Links are followed, so that what is replaced is the folder and not the link."""
    try:
        final = Path(os.path.realpath(folder))
        ancestor = next((path for path in final.parents if path.exists()), final)
        if not ancestor.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "")
        with _alone_in(ancestor):
            _refuse_foreign(final)
        # Only a try tells: rights, read-only file systems and quotas have no common question to ask.
        probe = ancestor / _hidden_name("probe")
        probe.mkdir()
        probe.rmdir()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _told(Path(folder), error) from None
    return final


def default_name(result: Result) -> str:
    """A folder's name from what went into a result: the same inputs give the same name."""
    made_from = (
        result.workload, result.design, result.batch, result.dtype, result.provenance.version,
        result.provenance.workload_sha256, result.provenance.design_sha256, result.provenance.overrides,
        sorted(result.provenance.parameters.items()), result.provenance.technology, result.provenance.timing,
    )  # fmt: skip
    digest = hashlib.sha256(repr(made_from).encode()).hexdigest()[:8]
    return f"{_file_name(result.workload)}-{_file_name(result.design)}-{digest}"


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


def _hidden_name(suffix: str) -> str:
    return f".hwsim-{secrets.token_hex(8)}.{suffix}"


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:60] or "unnamed"


def _contents(result: Result) -> list[tuple[str, bytes]]:
    trace = json.dumps(chrome_trace(result), sort_keys=True, separators=(",", ":"), allow_nan=False)
    contents = (
        _json(_about(result)),
        _csv(result.timing.columns()),
        _csv(result.usage.columns()),
        _csv(result.area.columns()),
        _gzip(trace.encode("ascii")),
    )
    found = list(zip(FILES, contents, strict=True))
    if result.verification is not None:
        found.append((VERIFICATION, _csv(result.verification.columns())))
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


def _put(partial: Path, final: Path) -> None:
    """Move the finished folder to its name. What stood there is moved aside first, and back if that fails."""
    aside = partial.with_suffix(".old")
    with _alone_in(final.parent):
        _refuse_foreign(final)
        moved = _rename_if_there(final, aside)
        try:
            partial.rename(final)
        except BaseException:
            if moved:
                aside.rename(final)
            raise
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold off other runs that write below `folder`, on file systems that know locks."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _rename_if_there(path: Path, target: Path) -> bool:
    try:
        path.rename(target)
    except FileNotFoundError:
        return False
    return True


def _refuse_foreign(folder: Path) -> None:
    """Raise OutputError unless the folder may be replaced: absent, empty, or an earlier result of hwsim."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise OutputError(f"cannot write {folder}: a file of that name is in the way; {_CURE}, or move it")
    if folder.is_mount() or folder == Path.cwd():
        raise OutputError(f"cannot write {folder}: it cannot be replaced as a whole; name a folder inside it")
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return
    foreign = [name for name in names if name not in (*FILES, VERIFICATION, PAGE)]
    if foreign or not _is_result(folder / "result.json"):
        what = foreign[0] if foreign else names[0]
        raise OutputError(
            f"cannot write {folder}: it holds files that are not a result of hwsim ({what}), and they would "
            f"be lost; {_CURE}, or move them"
        )


def _is_result(path: Path) -> bool:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def _told(folder: Path, error: OSError | ValueError) -> OutputError:
    code = getattr(error, "errno", None)
    reason = _REASONS.get(code) if code is not None else None
    return OutputError(f"cannot write {folder}: {reason or f'{error}; {_CURE}'}")
