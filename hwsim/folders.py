"""Folders that hwsim writes: all of one appears at once or nothing does, and no other files are lost."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import OutputError

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
            with _alone_in(ancestor):
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
        reason = _REASONS.get(getattr(error, "errno", None) or 0, f"{error}; {{cure}}")
        return OutputError(f"cannot write {folder}: {reason.replace('{cure}', self.cure)}")

    def _put(self, partial: Path, final: Path) -> None:
        """Move the finished folder to its name. What stood there is moved aside first, and back if that
        fails."""
        aside = partial.with_suffix(".old")
        with _alone_in(final.parent):
            self._refuse_foreign(final)
            moved = _rename_if_there(final, aside)
            try:
                partial.rename(final)
            except BaseException:
                if moved:
                    aside.rename(final)
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
        if folder.is_mount() or folder == Path.cwd():
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
