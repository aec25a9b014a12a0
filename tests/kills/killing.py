"""Sweeps whose processes are killed at random moments, and what must hold after each: nothing that was
acknowledged is lost, the database is whole, and going on ends with what an undisturbed sweep finds."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from hwsim.explore import sweep as sweep_module
from hwsim.explore.stored import load_points, to_csv
from tests.conftest import ROOT
from tests.sweeps import Quick

PATIENCE_S = 120.0  # of one process
WORKERS = 2


@dataclass
class Tally:
    """What was killed, and when."""

    runners: int = 0
    workers: int = 0
    ends: int = 0
    lines: list[str] = field(default_factory=list)


class Runner:
    """A sweep in a process of its own, and what it last said."""

    def __init__(self, space: Path, store: Path, scheduler: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.kills.runner", str(space), str(store), str(WORKERS), *scheduler],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.done = self.new = 0
        self.workers: list[int] = []
        self.seen: set[int] = set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            self.done, self.new, self.workers = said["done"], said["new"], said["workers"]
            self.seen.update(self.workers)

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()

    def wait_for(self, new: int) -> bool:
        """Until it has evaluated so many points; False where it ends before, or takes too long."""
        deadline = time.monotonic() + PATIENCE_S
        while self.new < new and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.new >= new and self.process.poll() is None

    def kill_worker(self, choice: random.Random) -> None:
        """End one of those who evaluated when it last spoke; one that has gone since is no loss."""
        try:
            os.kill(choice.choice(self.workers), signal.SIGKILL)
        except ProcessLookupError:
            return

    def end(self) -> str:
        """Wait for the end; what it complained of."""
        self.process.wait(PATIENCE_S)
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def orphans(self) -> list[int]:
        """Workers that live on ten seconds after their runner."""
        deadline = time.monotonic() + 10
        while (left := [pid for pid in self.seen if _lives(pid)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


def kill_and_go_on(
    space: Path, folder: Path, kills: int, seed: int, scheduler: tuple[str, ...] = (), only: str = ""
) -> Tally:
    """Kill the runner of a sweep, or a worker, so many times in all (`only` "runner" or "worker": that one
    alone), at moments drawn from `seed`; a sweep that has ended begins anew in a new store. Raises
    AssertionError for anything that may not be."""
    choice, tally, number = random.Random(seed), Tally(), 0
    whole = _undisturbed(space)
    store = folder / "0.db"
    while True:
        with Runner(space, store, scheduler) as runner:
            killed = _kill_some(runner, store, kills, choice, tally, only)
            complaint = runner.end()
        _check(store, runner)
        if killed:
            continue
        assert runner.process.returncode == 0, complaint
        assert to_csv(load_points(store).columns()) == whole
        tally.ends += 1
        if tally.runners + tally.workers >= kills:
            return tally
        number += 1
        store = folder / f"{number}.db"


def _kill_some(
    runner: Runner, store: Path, kills: int, choice: random.Random, tally: Tally, only: str
) -> bool:
    """Kill workers until the runner's turn comes, or its end; whether it was killed."""
    while tally.runners + tally.workers < kills and runner.wait_for(runner.new + choice.randint(1, 150)):
        time.sleep(choice.random() * 0.2)  # anywhere between two acknowledgements
        worker = only == "worker" or (not only and choice.random() < 0.5)
        tally.lines.append(f"{store.name}, {runner.done} points: the {'worker' if worker else 'runner'}")
        if not worker:
            tally.runners += 1
            runner.process.kill()
            return True
        tally.workers += 1
        runner.kill_worker(choice)
    return False


def _check(store: Path, runner: Runner) -> None:
    """What must hold whenever a runner has ended."""
    assert not runner.orphans()
    if not store.exists():
        assert runner.done == 0
        return
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        held = connection.execute("SELECT count(*) FROM points").fetchone()[0]
    assert held >= runner.done, f"{runner.done} points were acknowledged, and {held} are there"


def _undisturbed(space: Path) -> bytes:
    """All that a sweep finds which nobody kills, frontier included."""
    before = sweep_module.Evaluator
    sweep_module.Evaluator = Quick  # type: ignore[misc, assignment]
    try:
        return to_csv(sweep_module.sweep(space, workers=0, check=0).points.columns())
    finally:
        sweep_module.Evaluator = before  # type: ignore[misc]


def _lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet asked how does not."""
    if not Path("/proc/self/stat").exists():
        asked = ["ps", "-o", "stat=", "-p", str(pid)]
        return subprocess.run(asked, capture_output=True, check=False).stdout.strip()[:1] not in (b"", b"Z")
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
