"""The event path: tiles as SimPy events, one issuing process for each in-order stage.

Shares nothing with `recurrence` but the columns it reads and writes; both follow the rule of time stated in
`hwsim.sim.simulate`, to the picosecond. Only this module knows SimPy.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Generator
from functools import partial

import numpy as np
import simpy
from simpy.events import NORMAL, Event, EventPriority, Timeout

from hwsim.arrays import Int64Array
from hwsim.plan import Program, Resource
from hwsim.progress import Progress
from hwsim.sim.soundness import NEVER_PS

Process = Generator[Event, None, None]
Slots = tuple[simpy.Container, list[bool]]  # and which kinds take or free one

AFTER_NORMAL = EventPriority(NORMAL + 1)  # grants come when all else of the instant is done
REPORT_TILES = 4096


def run(program: Program, progress: Progress | None = None) -> tuple[Int64Array, int]:
    """Starts (S, n) in picoseconds, NEVER_PS where a deadlock left a tile unserved, and the makespan."""
    machine = _Machine(program, progress)
    machine.env.run()
    start = np.array(machine.start, dtype=np.int64).reshape(len(program.pipeline.stages), program.tiles)
    return start, machine.last_end_ps


class _Grant(Event):
    """Already decided when made; happens at this instant, after everything of normal priority."""

    def __init__(self, env: simpy.Environment, callback: Callable[[Event], None]) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        self.callbacks = [callback]
        env.schedule(self, priority=AFTER_NORMAL)


class _Arbiter:
    """Gives the servers of a resource to waiting requests by (request time, stage, tile), once an instant."""

    def __init__(self, machine: _Machine, resource: Resource) -> None:
        self._machine = machine
        self._free = resource.servers
        self._waiting: list[tuple[int, int, int, int]] = []  # request time, stage, tile, duration
        self._pending = False

    def request(self, stage: int, tile: int, duration_ps: int) -> None:
        heapq.heappush(self._waiting, (int(self._machine.env.now), stage, tile, duration_ps))
        self._decide_later()

    def _decide_later(self) -> None:
        if self._free and not self._pending:
            self._pending = True
            _Grant(self._machine.env, self._decide)

    def _decide(self, _grant: Event) -> None:
        self._pending = False
        machine = self._machine
        while self._free and self._waiting:
            _, stage, tile, duration_ps = heapq.heappop(self._waiting)
            self._free -= 1
            machine.start[stage][tile] = int(machine.env.now)
            served: Event = Timeout(machine.env, duration_ps)
            assert served.callbacks is not None
            served.callbacks.append(partial(self._release, stage, tile))

    def _release(self, stage: int, tile: int, _: Event) -> None:
        self._free += 1
        if self._waiting:
            self._decide_later()
        self._machine.end(stage, tile)


class _Machine:
    """The pipeline at work: who has started and ended, and who waits for whom."""

    def __init__(self, program: Program, progress: Progress | None) -> None:
        pipeline = program.pipeline
        count, tiles = len(pipeline.stages), program.tiles
        at = {name: index for index, name in enumerate(pipeline.stage_names)}
        self.env = simpy.Environment()
        self.start = [[NEVER_PS] * tiles for _ in range(count)]
        self.last_end_ps = 0
        self._tiles = tiles
        self._progress = progress
        self._ends = 0
        self._kind: list[int] = program.kind_of_tile.tolist()
        self._duration_ps: list[list[int]] = program.durations_ps.tolist()
        self._ended = [bytearray(tiles) for _ in range(count)]
        self._sleepers: list[dict[int, list[Event]]] = [{} for _ in range(count)]
        arbiters = {resource.name: _Arbiter(self, resource) for resource in pipeline.resources}
        self._arbiter = [arbiters[stage.resource] for stage in pipeline.stages]
        self._after = [tuple(at[name] for name in dict.fromkeys(stage.after)) for stage in pipeline.stages]
        # What an out-of-order tile still lacks; counted, since one end may bring about another within itself.
        self._lacking = [[len(after)] * tiles for after in self._after]
        self._released_by: list[list[int]] = [
            [later for later, s in enumerate(pipeline.stages) if not s.in_order and name in s.after]
            for name in at
        ]
        self._frees: list[list[Slots]] = [[] for _ in range(count)]
        takes: list[list[Slots]] = [[] for _ in range(count)]
        for row, pool in enumerate(pipeline.pools):
            slots = simpy.Container(self.env, init=pool.slots)
            takes[at[pool.taken_by]].append((slots, program.takes[row].tolist()))
            self._frees[at[pool.freed_by]].append((slots, program.frees[row].tolist()))
        awaits: list[dict[int, list[tuple[int, int]]]] = [defaultdict(list) for _ in range(count)]
        for wait, waiting, upon in zip(pipeline.waits, program.wait_tiles, program.wait_upon, strict=True):
            for tile, other in zip(waiting.tolist(), upon.tolist(), strict=True):
                awaits[at[wait.stage]][tile].append((at[wait.upon], other))
        for index, stage in enumerate(pipeline.stages):
            if stage.in_order:
                self.env.process(self._issue_in_order(index, awaits[index], takes[index]))
            elif not stage.after:
                at_once = Timeout(self.env, 0)
                assert at_once.callbacks is not None
                at_once.callbacks.append(partial(self._issue_all, index))

    def _issue_in_order(
        self,
        stage: int,
        awaits: dict[int, list[tuple[int, int]]],
        takes: list[Slots],
    ) -> Process:
        """Issue tile after tile. Conditions once met stay met, and only this stage takes from its pools, so
        they can be awaited one after the other."""
        after = self._after[stage]
        for tile in range(self._tiles):
            for earlier in after:
                if not self._ended[earlier][tile]:
                    yield self._when_ended(earlier, tile)
            if tile in awaits:
                for upon, other in awaits[tile]:
                    if not self._ended[upon][other]:
                        yield self._when_ended(upon, other)
            for slots, took in takes:
                if took[self._kind[tile]]:
                    slot = slots.get(1)
                    if not slot.triggered:
                        yield slot
            self._demand(stage, tile)

    def _issue_all(self, stage: int, _: Event) -> None:
        """An out-of-order stage that comes after nothing has all its tiles issued at time 0."""
        for tile in range(self._tiles):
            self._demand(stage, tile)

    def _when_ended(self, stage: int, tile: int) -> Event:
        event = Event(self.env)
        self._sleepers[stage].setdefault(tile, []).append(event)
        return event

    def _demand(self, stage: int, tile: int) -> None:
        duration_ps = self._duration_ps[stage][self._kind[tile]]
        if duration_ps:
            self._arbiter[stage].request(stage, tile, duration_ps)
        else:
            self.start[stage][tile] = int(self.env.now)
            self.end(stage, tile)

    def end(self, stage: int, tile: int) -> None:
        """The tile has been served: wake who waits for it, give back its slots, issue what follows freely."""
        self._ended[stage][tile] = 1
        self.last_end_ps = int(self.env.now)
        for event in self._sleepers[stage].pop(tile, ()):
            event.succeed()
        kind = self._kind[tile]
        for slots, freed in self._frees[stage]:
            if freed[kind]:
                slots.put(1)
        for later in self._released_by[stage]:
            self._lacking[later][tile] -= 1
            if not self._lacking[later][tile]:
                self._demand(later, tile)
        self._ends += 1
        if self._progress and self._ends % (REPORT_TILES * len(self.start)) == 0:
            self._progress(self._ends // len(self.start), self._tiles)
