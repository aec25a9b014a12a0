"""The rule of time, read aloud: at each instant look at everything again. Shares nothing with hwsim.sim.

Returns the start of every tile in every stage; None for what never starts.
"""

from __future__ import annotations

from collections.abc import Iterator

from hwsim.plan import Program


def start_times(program: Program) -> list[list[int | None]]:
    return _Instants(program).run()


class _Instants:
    def __init__(self, program: Program) -> None:
        self.p = program
        self.stages = program.pipeline.stages
        self.tiles = range(program.tiles)
        self.now = 0
        self.issued: dict[tuple[str, int], int] = {}  # (stage, tile) -> when
        self.start: dict[tuple[str, int], int] = {}

    def duration(self, stage: str, tile: int) -> int:
        row = self.p.pipeline.stage_index(stage)
        return int(self.p.durations_ps[row, self.p.kind_of_tile[tile]])

    def ended(self, stage: str, tile: int) -> bool:
        at = self.start.get((stage, tile))
        return at is not None and at + self.duration(stage, tile) <= self.now

    def marked(self, mask: object, tile: int) -> bool:
        return bool(mask[self.p.kind_of_tile[tile]])  # type: ignore[index]

    def can_issue(self, stage: str, tile: int) -> bool:
        rule = self.stages[self.p.pipeline.stage_index(stage)]
        if (stage, tile) in self.issued or not all(self.ended(name, tile) for name in rule.after):
            return False
        if not rule.in_order:
            return True
        if tile and (stage, tile - 1) not in self.issued:
            return False
        for wait, waiting, upon in zip(
            self.p.pipeline.waits, self.p.wait_tiles, self.p.wait_upon, strict=True
        ):
            for a, b in zip(waiting.tolist(), upon.tolist(), strict=True):
                if wait.stage == stage and a == tile and not self.ended(wait.upon, b):
                    return False
        for pool, takes, frees in zip(self.p.pipeline.pools, self.p.takes, self.p.frees, strict=True):
            if pool.taken_by == stage and self.marked(takes, tile):
                taken = sum((stage, i) in self.issued and self.marked(takes, i) for i in self.tiles)
                freed = sum(self.ended(pool.freed_by, i) and self.marked(frees, i) for i in self.tiles)
                if pool.slots - taken + freed < 1:
                    return False
        return True

    def issue_all(self) -> None:
        again = True
        while again:
            again = False
            for stage in self.stages:
                for tile in self.tiles:
                    if self.can_issue(stage.name, tile):
                        self.issued[stage.name, tile] = self.now
                        if self.duration(stage.name, tile) == 0:
                            self.start[stage.name, tile] = self.now
                        again = True

    def requests(self, resource: str) -> Iterator[tuple[int, int, int]]:
        for rank, stage in enumerate(self.stages):
            for tile in self.tiles:
                key = (stage.name, tile)
                if stage.resource == resource and key in self.issued and key not in self.start:
                    yield self.issued[key], rank, tile

    def grant(self) -> None:
        for resource in self.p.pipeline.resources:
            users = {s.name for s in self.stages if s.resource == resource.name}
            busy = sum(s in users and not self.ended(s, i) for s, i in self.start)
            for _, rank, tile in sorted(self.requests(resource.name))[: resource.servers - busy]:
                self.start[self.stages[rank].name, tile] = self.now

    def run(self) -> list[list[int | None]]:
        while True:
            self.issue_all()
            self.grant()
            ends = [at + self.duration(*key) for key, at in self.start.items()]
            later = [end for end in ends if end > self.now]
            if not later:
                return [[self.start.get((s.name, i)) for i in self.tiles] for s in self.stages]
            self.now = min(later)
