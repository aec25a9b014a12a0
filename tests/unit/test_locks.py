"""Locks: one holder at a time, nobody after its process has ended, and nothing left behind."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hwsim.locks import Lock
from tests.conftest import ROOT

HOLD = """
import sys, time
from pathlib import Path
from hwsim.locks import Lock
lock = Lock(Path(sys.argv[1]))
assert lock.take(wait=False)
print("held", flush=True)
time.sleep(60)
"""


def test_one_holds_it_at_a_time_and_its_file_goes_with_it(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.take(wait=False)
    assert not second.take(wait=False)
    second.release()  # what is not held cannot be let go
    assert (tmp_path / "lock").exists()
    first.release()
    assert not list(tmp_path.iterdir())
    assert second.take(wait=False)
    second.release()
    assert not list(tmp_path.iterdir())


def test_those_who_wait_go_one_after_the_other(tmp_path: Path) -> None:
    inside, most, turns = 0, 0, []

    def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            lock = Lock(tmp_path / "lock")
            assert lock.take(wait=True)
            inside += 1
            most = max(most, inside)
            threading.Event().wait(0.001)
            turns.append(inside)
            inside -= 1
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, len(turns)) == (1, 40)
    assert not list(tmp_path.iterdir())


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], cwd=ROOT, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        lock = Lock(tmp_path / "lock")
        try:
            assert not lock.take(wait=False)
        finally:
            holder.kill()
    assert (tmp_path / "lock").exists()  # and means nothing
    assert lock.take(wait=False)
    lock.release()
    assert not list(tmp_path.iterdir())


def test_no_folder_is_made_for_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for parent in ("absent", "file"):
        with pytest.raises(NotADirectoryError):
            Lock(tmp_path / parent / "lock").take(wait=False)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_a_file_system_has_no_locks_everybody_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="file systems of Windows have locks")

    def refuse(*_: object) -> None:
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    locks = [Lock(tmp_path / "lock") for _ in range(2)]
    assert all(lock.take(wait=True) for lock in locks)
    assert not list(tmp_path.iterdir())
    for lock in locks:
        lock.release()


def test_other_refusals_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        Lock(tmp_path / "lock").take(wait=False)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_a_folder_that_takes_no_files_is_told_at_once() -> None:
    """It says that the file is not there, which is also what a lock sees whose holder has just gone."""
    with pytest.raises(OSError, match="No such file"):
        Lock(Path("/proc/hwsim.lock")).take(wait=True)
