"""Plan: one operator on one device, as columns. Program: all plans of a workload, joined.

Tiles of an operator are few *kinds* repeated many times (edge tiles, first and last of a sum), so demands
are stated once a kind and each tile names its kind. A device whose tiles all differ gives each its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CapacityError
from hwsim.plan.mapping import GemmMapping, StepMapping, StreamMapping
from hwsim.plan.pipeline import Pipeline, Resource
from hwsim.units import PS_PER_S

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
ActionKey = tuple[str, str]  # (component, action)

MAX_TILES = 20_000_000  # of one run; beyond it a simulation takes minutes and gigabytes


@dataclass(frozen=True, eq=False)
class Plan:
    """Demands of one operator. Arrays are read-only; S stages, P pools, k kinds, n tiles."""

    pipeline: Pipeline
    kind_of_tile: NDArray[np.int32]  # (n,) in issue order
    demands: Int64Array  # (S, k) in each stage's unit
    takes: BoolArray  # (P, k)
    frees: BoolArray  # (P, k)
    actions: Mapping[ActionKey, Int64Array] = field(default_factory=dict)  # on-chip counts, (k,) each
    mapping: GemmMapping | StreamMapping | StepMapping | None = None  # which part of the problem each tile is
    parts: Mapping[str, Int64Array] = field(default_factory=dict)  # what a tile's cycles go to, (k,) each

    def __post_init__(self) -> None:
        self.kind_of_tile.setflags(write=False)
        for array in (self.demands, self.takes, self.frees, *self.actions.values(), *self.parts.values()):
            array.setflags(write=False)

    @property
    def tiles(self) -> int:
        return len(self.kind_of_tile)

    @cached_property
    def tiles_of_kind(self) -> Int64Array:
        """(k,) how many tiles are of each kind."""
        return np.bincount(self.kind_of_tile, minlength=self.demands.shape[1]).astype(np.int64)

    @cached_property
    def stage_totals(self) -> Int64Array:
        """(S,) what the operator asks of each stage in all, in the stage's unit."""
        return self.demands @ self.tiles_of_kind

    @cached_property
    def busy_ps(self) -> Int64Array:
        """(S,) time that the operator occupies each stage, all tiles together."""
        return self.durations_ps @ self.tiles_of_kind

    @cached_property
    def action_totals(self) -> dict[ActionKey, int]:
        """Counts by (component, action): the on-chip ones, and what each stage's demand is charged for."""
        totals = {key: int(counts @ self.tiles_of_kind) for key, counts in self.actions.items()}
        for stage, amount in zip(self.pipeline.stages, self.stage_totals.tolist(), strict=True):
            for key in stage.charges:
                totals[key] = totals.get(key, 0) + amount
        return totals

    @cached_property
    def part_totals(self) -> dict[str, int]:
        """What the cycles of all tiles go to."""
        return {part: int(cycles @ self.tiles_of_kind) for part, cycles in self.parts.items()}

    @cached_property
    def durations_ps(self) -> Int64Array:
        """(S, k) picoseconds on one server, each rounded up once."""
        rows = []
        for stage, demand in zip(self.pipeline.stages, self.demands, strict=True):
            resource = self.pipeline.resource_of(stage)
            rows.append(_durations(resource, demand))
        # In floats a sum cannot overflow, and is right to far more digits than the limit needs.
        sums = (float(np.array(row, dtype=np.float64) @ self.tiles_of_kind) for row in rows)
        longest = max(sums, default=0.0)
        if longest >= 2**62:
            raise CapacityError(
                f"an operator takes {longest / PS_PER_S:.3g} s, and times are kept up to "
                f"{2**62 / PS_PER_S:.3g} s: use a smaller workload or faster resources"
            )
        return np.array(rows, dtype=np.int64).reshape(len(rows), self.demands.shape[1])


_FEW = 64  # amounts, among which looking for equal ones takes longer than it saves


def _durations(resource: Resource, amounts: Int64Array) -> list[int]:
    """Picoseconds of each amount; in exact arithmetic, so once for equal ones where there are many."""
    if len(amounts) <= _FEW:
        return [resource.duration_ps(amount) for amount in amounts.tolist()]
    distinct, place = np.unique(amounts, return_inverse=True)
    durations = [resource.duration_ps(amount) for amount in distinct.tolist()]
    return [durations[index] for index in place.tolist()]


def check_tiles(tiles: int, what: str, where: str, cure: str) -> None:
    """Raise CapacityError where an operator or a run needs more tiles than are simulated."""
    if tiles > MAX_TILES:
        found = " ".join(part for part in (what, f"{tiles:,} tiles", where) if part)
        raise CapacityError(f"{found}, more than the {MAX_TILES:,} hwsim simulates: {cure}")


@dataclass(frozen=True, eq=False)
class Program:
    """All tiles of a run in issue order, with the waits between operators. What `sim` schedules."""

    pipeline: Pipeline
    plans: tuple[Plan, ...]
    first_tile: Int64Array  # (operators + 1,) tile range of each operator
    kind_of_tile: NDArray[np.int32]  # (n,) into the columns below
    durations_ps: Int64Array  # (S, k)
    takes: BoolArray  # (P, k)
    frees: BoolArray  # (P, k)
    wait_tiles: tuple[Int64Array, ...]  # for each Wait: waiting tiles, ascending
    wait_upon: tuple[Int64Array, ...]  # for each Wait: the tile waited for

    @property
    def tiles(self) -> int:
        return len(self.kind_of_tile)


def join_plans(
    pipeline: Pipeline, plans: Sequence[Plan], producers: Sequence[Mapping[str, Collection[int]]]
) -> Program:
    """Join plans in issue order. `producers[i]` maps a Wait's name to the operators (indices below i) whose
    last tiles the first tile of operator i waits for. Equal plan objects share their kinds."""
    first_tile = np.zeros(len(plans) + 1, dtype=np.int64)
    np.cumsum([plan.tiles for plan in plans], out=first_tile[1:])
    offsets: dict[int, int] = {}
    distinct: list[Plan] = []
    kinds = 0
    for plan in plans:
        if id(plan) not in offsets:
            offsets[id(plan)] = kinds
            kinds += plan.demands.shape[1]
            distinct.append(plan)
    kind_of_tile = (
        np.concatenate([plan.kind_of_tile + np.int32(offsets[id(plan)]) for plan in plans])
        if plans
        else np.zeros(0, dtype=np.int32)
    )
    if distinct:
        durations_ps, takes, frees = (
            np.concatenate([getattr(plan, name) for plan in distinct], axis=1)
            for name in ("durations_ps", "takes", "frees")
        )
    else:
        durations_ps = np.zeros((len(pipeline.stages), 0), dtype=np.int64)
        takes = frees = np.zeros((len(pipeline.pools), 0), dtype=np.bool_)
    wait_tiles: list[Int64Array] = []
    wait_upon: list[Int64Array] = []
    for wait in pipeline.waits:
        pairs = [
            (int(first_tile[i]), int(first_tile[producer + 1]) - 1)
            for i, found in enumerate(producers)
            if plans[i].tiles
            for producer in sorted(found.get(wait.name, ()))
        ]
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        wait_tiles.append(table[:, 0].copy())
        wait_upon.append(table[:, 1].copy())
    return Program(
        pipeline,
        tuple(plans),
        first_tile,
        kind_of_tile.astype(np.int32, copy=False),
        durations_ps,
        takes,
        frees,
        tuple(wait_tiles),
        tuple(wait_upon),
    )
