"""The file of a store: what marks it as ours, who may write it, and what to say when it cannot be read or
written."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Literal
from urllib.parse import quote

from hwsim.errors import OutputError, Problem, SpecError
from hwsim.locks import Lock

APPLICATION = 0x68777369  # "hwsi": marks an SQLite file as ours
FORMAT = 1
BUSY_S = 10.0  # how long another program that reads or writes the file is waited for
WORK = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a file while it is in use

_CAUSES = {
    sqlite3.SQLITE_FULL: "no space left on its disk: free some",
    sqlite3.SQLITE_IOERR: "its disk is full or fails: free some space",
    sqlite3.SQLITE_READONLY: "the file is read-only: name another, or make it writable",
    sqlite3.SQLITE_CANTOPEN: "its folder takes no files: name another, or make it writable",
    sqlite3.SQLITE_PERM: "permission denied: name another, or give yourself the right to it",
    sqlite3.SQLITE_BUSY: "another program holds it: wait until that has ended",
}


def refusal(path: str | Path | None, message: str) -> SpecError:
    """What is wrong with a file that was named as a store."""
    return SpecError(Problem(str(path), 0, 0, "", message))


def connect(path: str) -> sqlite3.Connection:
    """A connection whose transactions are begun by hand: the module's own would commit before some
    statements."""
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing. Where a file stands alone in a folder that cannot be written, it is
    read without the files that SQLite would make beside it."""
    address = uri(path.absolute())
    beside = any(path.with_name(path.name + ending).exists() for ending in WORK)
    alone = "" if beside or os.access(path.parent, os.W_OK) else "&immutable=1"
    return sqlite3.connect(f"{address}?mode=ro{alone}", timeout=BUSY_S, isolation_level=None, uri=True)


def uri(absolute: PurePath) -> str:
    """The address of a file as SQLite takes it. Unlike that of PurePath.as_uri it names no host: the one of a
    Windows share belongs to the path."""
    return f"file:///{quote(os.fsencode(absolute.as_posix().removeprefix('/')), safe='/:')}"


def read_meta(connection: sqlite3.Connection, path: Path | None) -> dict[str, str]:
    """The table `meta` of a store. Raises SpecError for what is none, or of another format."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise refusal(path, "is an SQLite file, but no store of hwsim sweep")
    if (held := connection.execute("PRAGMA user_version").fetchone()[0]) != FORMAT:
        raise refusal(
            path, f"is a store of format {held}, this hwsim reads format {FORMAT}: use the one that wrote it"
        )  # fmt: skip
    found = dict(connection.execute("SELECT name, value FROM meta"))
    if lacking := {"version", "name", "description", "space"} - found.keys():
        raise refusal(
            path, f"is damaged, it has no {', '.join(sorted(lacking))}: begin anew with another store"
        )
    return found


@contextmanager
def store_errors(
    path: Path | None, verb: Literal["read", "write"] = "write", kept: Callable[[], str] = str
) -> Iterator[None]:
    """Turn what SQLite and the file system raise into one message, which ends with what `kept` says."""
    name = "the points in memory" if path is None else str(path)
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the other bits are detail
        if code == sqlite3.SQLITE_NOTADB:
            raise refusal(path, "is no store of hwsim sweep") from None
        if code == sqlite3.SQLITE_CORRUPT:
            raise refusal(path, f"is damaged ({error}): begin anew with another store") from None
        cause = _CAUSES.get(code, str(error))
        raise OutputError(f"cannot {verb} {name}: {cause}{kept()}") from None
    except OSError as error:
        raise OutputError(f"cannot {verb} {name}: {error.strerror or error}; name another{kept()}") from None


def hold(path: Path) -> Lock:
    """Hold a store for this process, by a file beside it: SQLite's own locks are held for the length of a
    transaction only. Raises OutputError where another process holds it, and OSError where nothing can be
    written."""
    lock = Lock(path.with_name(f"{path.name}-lock"))
    if not lock.take(wait=False):
        raise OutputError(f"cannot write {path}: another sweep does; wait until it has ended")
    return lock
