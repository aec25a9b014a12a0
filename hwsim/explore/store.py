"""The store of a sweep: one SQLite file that holds every point that was evaluated, its figures or the reason
why it has none. A row stands under a hash of all that determines its point, so nothing is evaluated twice.

A batch is one transaction. Once `put` returns, the batch outlives the death of any process. The log is not
forced to the disk after each (WAL, synchronous=NORMAL): a power cut may take the last batches, and no others.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import BoolArray, Float64Array
from hwsim.errors import SpecError
from hwsim.explore.outcome import METRICS, STATUSES, Outcomes
from hwsim.explore.sampling import count_points
from hwsim.explore.space import Space
from hwsim.explore.store_file import (
    APPLICATION,
    FORMAT,
    connect,
    hold,
    read_meta,
    refusal,
    store_errors,
)
from hwsim.explore.stored import Points, read_points
from hwsim.locks import Lock
from hwsim.version import __version__

MEMORY = ":memory:"
_PER_QUERY = 500
_COLUMNS = ", ".join(f'"{name}"' for name in METRICS)
_SCHEMA = (
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    # `place` is one index an axis, null where the axis does not count at the point.
    "CREATE TABLE points (key TEXT PRIMARY KEY, place TEXT NOT NULL, status INTEGER NOT NULL, "
    'reason TEXT NOT NULL, "limit" TEXT NOT NULL, violation REAL, '
    + ", ".join(f'"{name}" REAL' for name in METRICS)
    + ") WITHOUT ROWID",
)
_PUT = f"INSERT OR IGNORE INTO points VALUES ({', '.join('?' * (6 + len(METRICS)))})"

_GET = f"SELECT key, status, violation, {_COLUMNS} FROM points"


def description(space: Space) -> dict[str, Any]:
    """What makes a store that of a space: all that decides what its points come to, and which are best. How
    they are chosen is no part of it, so that another method or more points go on in the same store."""
    return {
        "workloads": list(space.spec.workloads),
        "designs": list(space.spec.designs),
        "files": dict(sorted(space.hashes.items())),
        "seed": space.seed,
        "axes": [
            {"name": a.name, "kind": a.kind, "values": list(a.values), "when": a.when.text if a.when else ""}
            for a in space.axes
        ],
        "constraints": [constraint.text for constraint in space.constraints],
        "objectives": list(space.objectives),
    }


@dataclass(frozen=True, eq=False)
class Known:
    """What a store holds of n points: `stored` (n,), status codes (n,), violations of constraints (n,), and
    metrics (n, metrics) in the order of METRICS, not a number where there are none."""

    stored: BoolArray
    status: NDArray[np.int8]
    violations: Float64Array
    metrics: Float64Array

    @classmethod
    def none(cls, count: int) -> Known:
        return cls(
            np.zeros(count, dtype=np.bool_),
            np.zeros(count, dtype=np.int8),
            np.full(count, math.nan),
            np.full((count, len(METRICS)), math.nan),
        )


class Store:
    """An open store that takes points of one space. Used as a context; `open` makes one."""

    def __init__(self, path: Path | None, connection: sqlite3.Connection, lock: Lock | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    @classmethod
    def open(cls, path: str | Path | None, space: Space, *, must_exist: bool = False) -> Store:
        """The store at `path` (None: in memory), made if there is none and not `must_exist`. Raises SpecError
        for a file that is no store, or one of another space, format or version of hwsim; OutputError where it
        cannot be written, or while another sweep writes it."""
        if path is None:
            if must_exist:
                raise SpecError("there is no store to go on with: name one")
            return cls(None, _prepared(connect(MEMORY), None, space), None)
        final = Path(os.path.realpath(path))
        if must_exist and not final.exists():
            raise refusal(final, "there is no such store to go on with; without --resume it is made")
        if final.is_dir():
            raise refusal(final, "is a folder; name a file")
        with store_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            lock = hold(final)
            try:
                return cls(final, _prepared(connect(str(final)), final, space), lock)
            except BaseException:
                lock.release()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Fold the log into the file, where that can be done, and let go of it."""
        with suppress(sqlite3.Error):  # a full disk or a reader: the log stays beside the file, and counts
            self._connection.execute("PRAGMA journal_mode = DELETE")
        with suppress(sqlite3.Error):
            self._connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def put(
        self,
        keys: Sequence[str],
        places: Sequence[Sequence[int | None]],
        found: Outcomes,
        violations: Float64Array,
    ) -> None:
        """Store n points for good: `places` are their indices, None for axes that do not count, `violations`
        how far each is from meeting the constraints. Raises OutputError where nothing can be written; what
        was stored before stays."""
        columns = [found.metrics[name].tolist() for name in METRICS]  # SQLite holds NaN as null
        rows = zip(
            keys, map(_compact, places), found.status.tolist(), found.reasons, found.limits,
            violations.tolist(), *columns, strict=True,
        )  # fmt: skip
        with store_errors(self.path, kept=self._kept), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_PUT, rows)

    def look_up(self, keys: Sequence[str]) -> Known:
        """What is stored of n keys."""
        rows: dict[str, tuple[Any, ...]] = {}
        with store_errors(self.path):
            for first in range(0, len(keys), _PER_QUERY):
                some = keys[first : first + _PER_QUERY]
                query = f"{_GET} WHERE key IN ({','.join('?' * len(some))})"
                rows.update((row[0], row[1:]) for row in self._connection.execute(query, some))
        known = Known.none(len(keys))
        for i, key in enumerate(keys):
            if (row := rows.get(key)) is not None:
                known.stored[i], known.status[i], known.violations[i] = True, row[0], row[1]
                known.metrics[i] = row[2:]
        return known

    def counts(self) -> dict[str, int]:
        """Status in words -> points."""
        with store_errors(self.path):
            rows = self._connection.execute("SELECT status, count(*) FROM points GROUP BY status").fetchall()
        return {STATUSES[code]: count for code, count in sorted(rows)}

    def points(self) -> Points:
        """All that is stored."""
        with store_errors(self.path):
            return read_points(self._connection, self.path)

    def _kept(self) -> str:
        if self.path is None:
            return ""
        try:
            count = self._connection.execute("SELECT count(*) FROM points").fetchone()[0]
        except sqlite3.Error:
            return "; what was stored is kept"
        return f"; the {count:,} points stored so far are kept, and the same command goes on from there"


def _prepared(connection: sqlite3.Connection, path: Path | None, space: Space) -> sqlite3.Connection:
    """Make the tables, or check that those there are ours and of this space."""
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        read_meta(connection, path)  # nothing is changed of a file that is not ours
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    wanted = description(space)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _SCHEMA:
                connection.execute(statement)
            about = {
                "version": __version__, "name": space.name, "description": space.spec.description,
                "space": json.dumps(wanted, sort_keys=True), "points": str(count_points(space) or 0),
            }  # fmt: skip
            connection.executemany("INSERT INTO meta VALUES (?, ?)", about.items())
            return connection
    about = read_meta(connection, path)
    if about["version"] != __version__:
        raise refusal(
            path,
            f"was written by hwsim {about['version']}, and this is {__version__}, whose figures may differ: "
            "name a new store",
        )
    held = json.loads(about["space"])
    if different := [name for name, value in wanted.items() if held.get(name) != value]:
        raise refusal(
            path,
            f"holds points of another space ({about['name']}): it has other {_listed(different)}; name a new "
            "store, or the space that it was made for",
        )
    return connection


def _compact(place: Sequence[int | None]) -> str:
    return json.dumps(list(place), separators=(",", ":"))


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
