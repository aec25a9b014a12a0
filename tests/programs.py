"""Programs for tests of time: built tile by tile from plain lists, or drawn at random from a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.plan import Pipeline, Program, Resource, SlotPool, Stage, Wait

UNLIMITED = 10**9  # servers of a pure delay


def stage(name: str, resource: str, *after: str, in_order: bool = True) -> Stage:
    return Stage(name, resource, "cycles", after, in_order)


def resource(name: str, servers: int = 1) -> Resource:
    return Resource(name, None, servers)


def build(
    pipeline: Pipeline,
    durations_ps: Mapping[str, Sequence[int]],
    *,
    takes: Mapping[str, Sequence[bool]] | None = None,
    frees: Mapping[str, Sequence[bool]] | None = None,
    waits: Mapping[str, Sequence[tuple[int, int]]] | None = None,
    kind_of_tile: Sequence[int] | None = None,
    first_tile: Sequence[int] | None = None,
) -> Program:
    """A program from rows by stage, pool and wait. Rows are by tile, or by kind where `kind_of_tile` is
    given; pools not named are taken and freed by all. Waits are (waiting tile, tile waited for)."""
    table = np.array([durations_ps[s.name] for s in pipeline.stages], dtype=np.int64)
    kinds = table.shape[1]
    of_tile = np.arange(kinds) if kind_of_tile is None else np.array(kind_of_tile)
    everyone = [True] * kinds
    pairs = [np.array((waits or {}).get(w.name, ()), dtype=np.int64).reshape(-1, 2) for w in pipeline.waits]
    masks = [
        np.array([(rows or {}).get(p.name, everyone) for p in pipeline.pools], dtype=np.bool_)
        for rows in (takes, frees)
    ]
    return Program(
        pipeline,
        (),
        np.array(first_tile if first_tile is not None else (0, len(of_tile)), dtype=np.int64),
        of_tile.astype(np.int32),
        table,
        *(mask.reshape(len(pipeline.pools), kinds) for mask in masks),
        tuple(rows[:, 0].copy() for rows in pairs),
        tuple(rows[:, 1].copy() for rows in pairs),
    )


@dataclass(frozen=True)
class Draw:
    """How wild a random program is. The tame ones look like a device's; the wild ones may stand still."""

    wild: bool
    alone: bool  # every stage has a resource of its own, of one server or of very many

    def program(self, rng: random.Random) -> Program:
        names = [f"s{index}" for index in range(rng.randint(1, 7))]
        stages = self._stages(rng, names)
        used = sorted({s.resource for s in stages})
        servers = [1, 1, UNLIMITED] if self.alone else [1, 1, 1, 2, 3, UNLIMITED]
        resources = tuple(resource(name, rng.choice(servers)) for name in used)
        kinds, tiles = rng.randint(1, 6), rng.randint(1, 14)
        pools, takes, frees = self._pools(rng, stages, kinds)
        in_order = [s.name for s in stages if s.in_order]
        waits = tuple(
            Wait(f"w{index}", rng.choice(in_order), rng.choice(names))
            for index in range(rng.randint(0, 3) if in_order else 0)
        )
        # Short durations make many things happen at one instant, which is where orders can differ.
        longest = rng.choice([2, 3, 9, 1000])
        return build(
            Pipeline(stages, resources, pools, waits),
            {s.name: [rng.choice([0, rng.randint(1, longest)]) for _ in range(kinds)] for s in stages},
            takes=takes,
            frees=frees,
            waits={wait.name: self._rows(rng, tiles) for wait in waits},
            kind_of_tile=[rng.randrange(kinds) for _ in range(tiles)],
            first_tile=sorted([0, *(rng.randint(0, tiles) for _ in range(rng.randint(0, 3))), tiles]),
        )

    def _stages(self, rng: random.Random, names: list[str]) -> tuple[Stage, ...]:
        order = names[:]
        if self.wild:
            rng.shuffle(order)  # arbitration rank is not the order along the pipeline
        shared = 0.0 if self.alone else rng.random()
        found = []
        for place, name in enumerate(order):
            after = order[max(0, place - 1) : place]
            if self.wild and rng.random() < 0.3:
                after = [other for other in order[:place] if rng.random() < 0.4]
            if self.wild and rng.random() < 0.01:
                after = rng.sample(names, rng.randint(1, len(names)))  # a circle, perhaps
            own = f"r{place}" if rng.random() >= shared else f"r{rng.randint(0, place)}"
            found.append(stage(name, own, *after, in_order=rng.random() < (0.7 if self.wild else 0.85)))
        return tuple(sorted(found, key=lambda s: s.name))

    def _pools(
        self, rng: random.Random, stages: tuple[Stage, ...], kinds: int
    ) -> tuple[tuple[SlotPool, ...], dict[str, list[bool]], dict[str, list[bool]]]:
        pools: list[SlotPool] = []
        takes: dict[str, list[bool]] = {}
        frees: dict[str, list[bool]] = {}
        takers = [s.name for s in stages if s.in_order]
        for index in range(rng.randint(0, 4) if takers else 0):
            taken_by = rng.choice(takers)
            followers = [s.name for s in stages if taken_by in s.after] or [taken_by]
            freed_by = rng.choice([s.name for s in stages]) if self.wild else rng.choice(followers)
            name = f"p{index}"
            pools.append(SlotPool(name, taken_by, freed_by, rng.randint(0 if self.wild else 1, 4)))
            takes[name] = [rng.random() < 0.7 for _ in range(kinds)]
            frees[name] = takes[name]
            if self.wild and rng.random() < 0.4:
                frees[name] = [rng.random() < 0.8 for _ in range(kinds)]
        return tuple(pools), takes, frees

    def _rows(self, rng: random.Random, tiles: int) -> list[tuple[int, int]]:
        rows = []
        for _ in range(rng.randint(0, 4)):
            waiting = rng.randrange(tiles)
            if self.wild and rng.random() < 0.1:
                rows.append((waiting, rng.randrange(tiles)))
            elif waiting:
                rows.append((waiting, rng.randrange(waiting)))
        return sorted(rows)


DRAWS = (Draw(False, False), Draw(False, True), Draw(True, False), Draw(True, True))


def random_programs(seed: int, count: int) -> list[Program]:
    """`count` programs of every kind of draw in turn, the same for the same seed."""
    rng = random.Random(seed)
    return [DRAWS[index % len(DRAWS)].program(rng) for index in range(count)]
