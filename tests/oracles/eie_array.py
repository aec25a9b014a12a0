"""An EIE array as SimPy processes: a broadcaster, and one consumer for each PE with a queue of its own.

It shares no formula with the compiled recurrence: nothing is computed ahead, everything happens when it
happens. Time runs in half cycles. In the first half of a cycle whatever ended is seen (places given back); in
the second the broadcaster fills queues and idle PEs take from them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

import simpy


class ProcessingElement:
    """One PE: what it stores of each column, its queue, and until which cycle it is busy."""

    def __init__(self, array: Array, stored: Sequence[int]) -> None:
        self.array = array
        self.stored = stored
        self.queue: deque[int] = deque()
        self.room = simpy.Container(array.clock, capacity=array.slots, init=array.slots)
        self.busy_until = 0

    def work(self, cycle: int) -> None:
        """Take the next activation, if there is one and the last is done with."""
        while self.queue and self.busy_until <= cycle:
            entries = self.stored[self.queue.popleft()]
            self.busy_until = cycle + (entries or self.array.empty_cycles)
            self.array.clock.process(self._give_back())

    def _give_back(self) -> Generator[Any, Any, None]:
        yield self.array.clock.timeout(2 * self.array.credit_cycles - 1)
        yield self.room.put(1)


class Array:
    """`stored` counts what each PE stores of each column: [pes][columns]."""

    def __init__(
        self, stored: Sequence[Sequence[int]], slots: int, credit_cycles: int, empty_cycles: int
    ) -> None:
        self.clock = simpy.Environment()
        self.slots = slots
        self.credit_cycles = credit_cycles
        self.empty_cycles = empty_cycles
        self.pes = [ProcessingElement(self, row) for row in stored]

    def run(self, columns: Sequence[int]) -> int:
        """Cycles from the first broadcast until the last PE is done."""
        self.clock.process(self._cycles(deque(columns)))
        self.clock.run()
        return max(pe.busy_until for pe in self.pes)

    def _cycles(self, waiting: deque[int]) -> Generator[Any, Any, None]:
        cycle = 0
        yield self.clock.timeout(1)
        while waiting or any(pe.queue for pe in self.pes):
            if waiting and all(pe.room.level for pe in self.pes):
                column = waiting.popleft()
                for pe in self.pes:
                    yield pe.room.get(1)
                    pe.queue.append(column)
            for pe in self.pes:
                pe.work(cycle)
            cycle += 1
            yield self.clock.timeout(2)
