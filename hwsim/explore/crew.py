"""Crews: who evaluates batches of points. Here, this process itself, and processes of this machine.

A crew takes as many batches at once as it has members, and reports each with its outcomes, or with the death
of the one who had it. What is done about deaths is decided in `dispatch`.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Pipe, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from hwsim.arrays import Int64Array
from hwsim.errors import HwsimError
from hwsim.explore.fork_server import start_process
from hwsim.explore.outcome import Outcomes
from hwsim.explore.worker import Factory, evaluated, serve

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection

MOST_WORKERS = 60 if sys.platform == "win32" else 256  # Windows waits for 63 things at a time
FALSE_STARTS = 3  # deaths before a first word, one after the other, until nobody is hired any more
_GOODBYE_S = 5.0


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a batch: its outcomes, or in `death` what ended the one who had it."""

    ticket: int
    found: Outcomes | None
    death: str = ""


class Crew(Protocol):
    """Members that evaluate batches. `retries` says whether it has tried a batch again before it reports a
    death."""

    @property
    def size(self) -> int:
        """How many batches it takes at once."""

    @property
    def retries(self) -> bool: ...

    def submit(self, ticket: int, indices: Int64Array) -> None:
        """Take a batch, points (n, axes). Never more than `size` at once."""

    def wait(self) -> list[Report]:
        """At least one report of a batch that was submitted."""

    def close(self) -> None:
        """End all that was started, at once."""


class Alone:
    """This process, one batch after the other. Nothing outlives a death."""

    size = 1
    retries = False

    def __init__(self, factory: Factory) -> None:
        self._evaluator = cache(factory)  # made when there is something to evaluate
        self._taken: list[tuple[int, Int64Array]] = []

    def submit(self, ticket: int, indices: Int64Array) -> None:
        self._taken.append((ticket, indices))

    def wait(self) -> list[Report]:
        ticket, indices = self._taken.pop(0)
        return [Report(ticket, evaluated(self._evaluator(), indices))]

    def close(self) -> None:
        self._taken.clear()


class Processes:
    """Processes of this machine, each with an evaluator. One that dies is replaced."""

    retries = False

    def __init__(self, factory: Factory, size: int) -> None:
        self.size = size
        self._factory = factory
        self._members: list[_Member] = []
        self._false_starts = 0

    def submit(self, ticket: int, indices: Int64Array) -> None:
        member = next((m for m in self._members if m.ticket is None), None)
        if member is None:
            member = self._hire()
        member.ticket = ticket
        with suppress(BrokenPipeError, ConnectionResetError):  # it died: `wait` sees that too
            member.connection.send((ticket, indices))

    def wait(self) -> list[Report]:
        while True:
            ready = set(wait([m.connection for m in self._members]))
            reports = [r for m in list(self._members) if m.connection in ready and (r := self._heard(m))]
            if reports:
                return reports

    def close(self) -> None:
        for member in self._members:
            member.process.terminate()
        for member in self._members:
            member.process.join(_GOODBYE_S)
            if member.process.is_alive():
                member.process.kill()
                member.process.join()
            member.connection.close()
            member.process.close()
        self._members.clear()

    @property
    def pids(self) -> list[int]:
        """Process ids of the members."""
        return [m.process.pid for m in self._members if m.process.pid is not None]

    def _hire(self) -> _Member:
        ours, theirs = Pipe()
        process = start_process(serve, theirs, self._factory)
        theirs.close()  # so that the pipe ends with its process
        self._members.append(member := _Member(process, ours))
        return member

    def _heard(self, member: _Member) -> Report | None:
        """What a member says, or that it has died."""
        try:
            said = member.connection.recv()
        except (EOFError, OSError):  # the latter in the middle of a word
            return self._lost(member)
        if not member.started:
            if said is not None:
                raise said
            member.started = True
            self._false_starts = 0
            return None
        ticket, found = said
        member.ticket = None
        return Report(ticket, found)

    def _lost(self, member: _Member) -> Report | None:
        """Strike a dead member off; the next batch hires another."""
        self._members.remove(member)
        member.connection.close()
        member.process.join()
        death = _cause(member.process.exitcode)
        member.process.close()
        if not member.started:
            self._false_starts += 1
            if self._false_starts >= FALSE_STARTS:
                raise HwsimError(
                    f"processes that should evaluate points end as they start ({death}), {FALSE_STARTS} in a "
                    "row: try fewer (--workers 1), or none (--workers 0)"
                )
        return None if member.ticket is None else Report(member.ticket, None, death)


@dataclass(eq=False, slots=True)
class _Member:
    """A process, our end of its pipe, and the batch that it has."""

    process: BaseProcess
    connection: Connection
    ticket: int | None = None
    started: bool = False


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-exit_code).name}"
    return f"exit status {exit_code}"


def processors() -> int:
    """Processors that this process may use, where the system says that; else those of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
