"""What hwsim writes: all of a file or folder appears at once or nothing does, and no other files are lost."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import OutputError
from hwsim.locks import Lock

_REASONS = {
    errno.EACCES: "permission denied: {cure}, or give yourself the right to write there",
    errno.EPERM: "not permitted: {cure}",
    errno.ENOENT: "its file system takes no new folders: {cure}",
    errno.EROFS: "the file system is read-only: {cure}",
    errno.ENOSPC: "no space left on the device: free some, or {cure}",
    errno.EDQUOT: "the disk quota is used up: free some, or {cure}",
    errno.ENOTDIR: "a part of the path is a file, not a folder: {cure}",
    errno.EEXIST: "a file is in the way: {cure}, or move it",
    errno.ENAMETOOLONG: "the name is too long: {cure}",
    errno.ELOOP: "its symbolic links lead in a circle: {cure}",
}
# Windows renames no file that is open, and no folder that holds one. Programs that look at every new file
# have them open for a moment.
_OPEN = "permission denied, or a program has it open: {cure}, or close that"
_PAUSES_S = (0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, slots=True)
class FolderKind:
    """A kind of folder: what messages call it, the files it may hold, how one of ours is known, and what to
    do when it cannot be written."""

    what: str
    files: frozenset[str]
    is_ours: Callable[[Path], bool]
    cure: str = "name another folder (--out DIR)"

    def check(self, folder: str | Path) -> Path:
        """The absolute path that `write` would write; raises OutputError when it already sees why it could
        not. Links are followed, so that what is replaced is the folder and not the link."""
        try:
            final = Path(os.path.realpath(folder))
            ancestor = next((path for path in final.parents if path.exists()), final)
            if not ancestor.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "")
            with _alone_at(final):
                self._refuse_foreign(final)
            # Only a try tells: rights, read-only file systems and quotas have no common question to ask.
            probe = ancestor / hidden_name("probe")
            probe.mkdir()
            probe.rmdir()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            raise self.told(Path(folder), error) from None
        return final

    def write(self, folder: str | Path, fill: Callable[[Path], None]) -> Path:
        """Let `fill` write files into a new folder, put it at `folder`, and return its absolute path.

        An empty folder, or an earlier one of this kind, is replaced; until all is written the old one stays.
        Raises OutputError, leaving things as they were, when anything else is in the way or the folder
        cannot be written.
        """
        final = self.check(folder)
        partial = final.with_name(hidden_name("partial"))
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
            fill(partial)
            self._put(partial, final)
        except OSError as error:
            raise self.told(final, error) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return final

    def told(self, folder: Path, error: OSError | ValueError) -> OutputError:
        """What to say when the file system refuses."""
        known = _OPEN if _is_open(error) else _REASONS.get(getattr(error, "errno", None) or 0)
        reason = known or f"{error}; {{cure}}"
        return OutputError(f"cannot write {folder}: {reason.replace('{cure}', self.cure)}")

    def _put(self, partial: Path, final: Path) -> None:
        """Move the finished folder to its name. What stood there is moved aside first, and back if that
        fails."""
        aside = partial.with_suffix(".old")
        with _alone_at(final):
            self._refuse_foreign(final)
            moved = _rename_if_there(final, aside)
            try:
                _patiently(lambda: partial.rename(final))
            except BaseException:
                if moved:
                    _patiently(lambda: aside.rename(final))
                raise
        shutil.rmtree(aside, ignore_errors=True)

    def _refuse_foreign(self, folder: Path) -> None:
        """Raise OutputError unless the folder may be replaced: absent, empty, or an earlier one of ours."""
        if not os.path.lexists(folder):
            return
        if not folder.is_dir():
            raise OutputError(
                f"cannot write {folder}: a file of that name is in the way; {self.cure}, or move it"
            )
        if os.path.ismount(folder) or folder == Path.cwd():
            raise OutputError(
                f"cannot write {folder}: it cannot be replaced as a whole; name a folder inside it"
            )
        names = sorted(entry.name for entry in folder.iterdir())
        if not names:
            return
        foreign = [name for name in names if name not in self.files]
        if foreign or not self.is_ours(folder):
            what = foreign[0] if foreign else names[0]
            raise OutputError(
                f"cannot write {folder}: it holds files that are not {self.what} ({what}), and they would "
                f"be lost; {self.cure}, or move them"
            )


def hidden_name(suffix: str) -> str:
    """A name that nothing has, for what is not finished."""
    return f".hwsim-{secrets.token_hex(8)}.{suffix}"


def put_file(final: Path, content: bytes) -> None:
    """Write a file, whole or not at all. Raises OSError, and ValueError for a path that no file can have."""
    partial = final.with_name(hidden_name("partial"))
    try:
        partial.write_bytes(content)
        _patiently(lambda: partial.replace(final))
    finally:
        with suppress(OSError, ValueError):
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file, whole or not at all; folders on the way are made. Raises OutputError."""
    final = Path(path).absolute()
    try:
        if final.is_dir():
            raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
        final.parent.mkdir(parents=True, exist_ok=True)
        put_file(final, text.encode())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write {path}: {reason}; name another file") from error
    return final


def is_marked(path: Path, mark: str) -> bool:
    """Whether a JSON file says `mark` as its `format`, as those do that hwsim writes."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == mark


@contextmanager
def _alone_at(folder: Path) -> Iterator[None]:
    """Hold off other runs that write this folder. Where no lock can be made beside it, nothing else can be
    either, and whoever tries says why."""
    lock = Lock(folder.parent / f".hwsim-{folder.name}.lock")
    with suppress(OSError):
        lock.take(wait=True)
    try:
        yield
    finally:
        lock.release()


def _rename_if_there(path: Path, target: Path) -> bool:
    try:
        _patiently(lambda: path.rename(target))
    except FileNotFoundError:
        return False
    return True


def _patiently(rename: Callable[[], object]) -> None:
    """Rename what another program on Windows may have open for a moment."""
    for pause_s in _PAUSES_S:
        try:
            rename()
        except PermissionError as error:
            if not _is_open(error):
                raise
            time.sleep(pause_s)
        else:
            return
    rename()


def _is_open(error: OSError | ValueError) -> bool:
    """Whether an error can be that of Windows for what is open: access denied, or a sharing violation."""
    return getattr(error, "winerror", None) in (5, 32)
