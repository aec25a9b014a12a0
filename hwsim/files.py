"""Files that hwsim reads: regular ones of bounded size, and one way to say why one cannot be read."""

from __future__ import annotations

import stat
from pathlib import Path

from hwsim.errors import Problem, SpecError


def read_file(path: str | Path, most_bytes: int) -> bytes:
    """The content of a file of at most `most_bytes`. Raises SpecError, naming the file, when there is nothing
    to read. Pipes and devices are refused before they are opened: they may have no end, or no beginning."""
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise refusal(path, "is a folder; name a file")
        if not stat.S_ISREG(status.st_mode):
            raise refusal(path, "is not a regular file")
        if status.st_size > most_bytes:
            held, most = status.st_size / 2**20, most_bytes // 2**20
            raise refusal(path, f"holds {held:,.1f} MiB; at most {most:,} MiB are read")
        with Path(path).open("rb") as file:
            return file.read(status.st_size)  # and no more, should it grow meanwhile
    except FileNotFoundError:
        raise refusal(path, "there is no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise refusal(path, f"cannot be read: {reason}") from None


def refusal(path: str | Path, message: str) -> SpecError:
    """What is wrong with a file as a whole."""
    return SpecError(Problem(str(path), 0, 0, "", message))
