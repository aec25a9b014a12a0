"""Points cut into batches and given to a crew, and what is done when one who had a batch dies: others try
it, three in all; then each of its points alone, three again; a point that ends all of them is a fault."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.explore.crew import Crew, Report
from hwsim.explore.outcome import FAULT, Found, Outcomes, outcomes

TRIES = 3
BATCH_S = 0.25  # what a batch should take: long beside handing it over, short for those who watch
FIRST, LARGEST = 8, 512  # points of a batch
_GROWTH = 4  # from one batch to the next, at most: the first ones compile


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: Int64Array
    keys: tuple[str, ...]
    tries: int = 0
    begun: float = 0.0


class Dispatch:
    """Points on their way through a crew. `add` them, `send` them off, and `receive` what comes back."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._waiting: deque[tuple[Int64Array, tuple[str, ...]]] = deque()
        self._again: deque[_Batch] = deque()
        self._out: dict[int, _Batch] = {}
        self._ticket = 0
        self._count = 0
        self._points = FIRST

    @property
    def wanted(self) -> int:
        """How many more points would keep all members at work."""
        return max(0, 2 * self._points * self._crew.size - self._count)

    @property
    def busy(self) -> bool:
        return bool(self._count or self._again or self._out)

    def add(self, rows: Int64Array, keys: list[str]) -> None:
        """Points (n, axes) to be evaluated."""
        if len(rows):
            self._waiting.append((rows, tuple(keys)))
            self._count += len(rows)

    def send(self) -> None:
        """Give batches to all who have none."""
        while len(self._out) < self._crew.size and (self._again or self._count):
            batch = self._again.popleft() if self._again else self._cut()
            self._ticket += 1
            self._out[self._ticket] = _Batch(batch.rows, batch.keys, batch.tries, time.monotonic())
            self._crew.submit(self._ticket, batch.rows)

    def receive(self) -> list[tuple[Int64Array, tuple[str, ...], Outcomes]]:
        """Points, their keys and what they came to: of at least one batch, unless members died."""
        found = []
        for report in self._crew.wait():
            batch = self._out.pop(report.ticket)
            if report.found is not None:
                self._pace(batch)
                found.append((batch.rows, batch.keys, report.found))
            elif (fault := self._after_death(batch, report)) is not None:
                found.append((batch.rows, batch.keys, fault))
        return found

    def _cut(self) -> _Batch:
        """The next points in order, and no more of them than leaves some for the other members."""
        share = -(-self._count // self._crew.size)
        count = min(self._points, share)
        parts: list[tuple[Int64Array, tuple[str, ...]]] = []
        while count:
            rows, keys = self._waiting.popleft()
            if len(rows) > count:
                self._waiting.appendleft((rows[count:], keys[count:]))
                rows, keys = rows[:count], keys[:count]
            parts.append((rows, keys))
            count -= len(rows)
            self._count -= len(rows)
        return _Batch(
            np.concatenate([rows for rows, _ in parts]), tuple(key for _, keys in parts for key in keys)
        )

    def _pace(self, batch: _Batch) -> None:
        """Size batches by the time that the last one took."""
        each_s = max(time.monotonic() - batch.begun, 1e-6) / len(batch.rows)
        self._points = max(1, min(round(BATCH_S / each_s), _GROWTH * self._points, LARGEST))

    def _after_death(self, batch: _Batch, report: Report) -> Outcomes | None:
        """The outcome of a point that has ended too many; None where there is another try."""
        tries = TRIES if self._crew.retries else batch.tries + 1
        if tries < TRIES:
            self._again.append(_Batch(batch.rows, batch.keys, tries))
        elif len(batch.rows) > 1:
            self._again.extend(
                _Batch(batch.rows[i : i + 1], batch.keys[i : i + 1]) for i in range(len(batch.rows))
            )
        else:
            reason = f"the process that evaluated it ended without a word, each time: {report.death}"
            return outcomes([Found(FAULT, reason)])
        return None
