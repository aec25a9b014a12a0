"""Locks between processes and threads of a machine, each a file. A lock ends with the process that holds it,
however that ends."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # what file systems say that have none
_POLL_S = 0.01


class Lock:
    """A lock on `file`, which is there while somebody holds it, and after a holder that was killed: then it
    means nothing, and the next holder removes it. Where a file system has no locks, everybody gets it."""

    def __init__(self, file: Path) -> None:
        from filelock import FileLock, UnixFileLock

        self._file = file
        # Its soft lock, for file systems without locks, would outlive a killed process.
        self._lock = FileLock(file, thread_local=False, fallback_to_soft=False)
        self._stays = isinstance(self._lock, UnixFileLock)  # elsewhere filelock removes the file

    def take(self, *, wait: bool) -> bool:
        """Whether the lock was got, after any time if `wait`. Raises OSError where no file can be made."""
        from filelock import Timeout

        if not self._file.parent.is_dir():  # filelock would make it
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self._file.parent))
        if self._stays:  # it would try for ever in a folder that takes no files and says so oddly, as /proc
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644))
        try:
            self._lock.acquire(blocking=wait, poll_interval=_POLL_S)
        except Timeout:
            return False
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            self._remove()
        return True

    def release(self) -> None:
        """Let go of it, if it is held. Who waits for the file sees that it has gone, and makes another."""
        if self._stays and self._lock.is_locked:
            self._remove()
        self._lock.release()

    def _remove(self) -> None:
        with suppress(OSError):
            self._file.unlink()
