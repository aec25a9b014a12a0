"""Plan: one operator on one device, as columns. Program: all plans of a workload, joined.

Tiles of an operator are few *kinds* repeated many times (edge tiles, first and last of a sum), so demands
are stated once a kind and each tile names its kind. A device whose tiles all differ gives each its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import CapacityError
from hwsim.plan.mapping import TileMapping
from hwsim.plan.pipeline import Pipeline
from hwsim.units import PS_PER_S

Int64Array = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
ActionKey = tuple[str, str]  # (component, action)

LONGEST_PS = 2.0**62  # of one operator
MAX_TILES = 20_000_000  # of one run; beyond it a simulation takes minutes and gigabytes


@dataclass(frozen=True, slots=True)
class Within:
    """Where a device's stages and pools begin among those of a machine of several devices, and its own
    pipeline."""

    pipeline: Pipeline
    first_stage: int
    first_pool: int


@dataclass(frozen=True, eq=False)
class Plan:
    """Demands of one operator. Arrays are read-only; S stages, P pools, k kinds, n tiles. Of a machine of
    several devices, `within` is the one that runs it."""

    pipeline: Pipeline
    kind_of_tile: NDArray[np.int32]  # (n,) in issue order
    demands: Int64Array  # (S, k) in each stage's unit
    takes: BoolArray  # (P, k)
    frees: BoolArray  # (P, k)
    actions: Mapping[ActionKey, Int64Array] = field(default_factory=dict)  # on-chip counts, (k,) each
    mapping: TileMapping | None = None  # which part of the problem each tile is
    parts: Mapping[str, Int64Array] = field(default_factory=dict)  # what a tile's cycles go to, (k,) each
    within: Within | None = None

    def __post_init__(self) -> None:
        self.kind_of_tile.setflags(write=False)
        for array in (self.demands, self.takes, self.frees, *self.actions.values(), *self.parts.values()):
            array.setflags(write=False)

    @property
    def tiles(self) -> int:
        return len(self.kind_of_tile)

    def at_rates(self, pipeline: Pipeline) -> Plan:
        """The same plan on a machine that differs in nothing but how fast its resources are. What does not
        depend on that is not worked out again."""
        found = replace(self, pipeline=pipeline)
        for name in ("tiles_of_kind", "stage_totals", "action_totals", "part_totals"):
            found.__dict__[name] = getattr(self, name)
        return found

    @property
    def own_pipeline(self) -> Pipeline:
        """Of the device that runs the operator."""
        return self.pipeline if self.within is None else self.within.pipeline

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
        return _durations_ps((self,))


def _durations_ps(plans: Sequence[Plan]) -> Int64Array:
    """(S, k of all) picoseconds on one server, of plans of one pipeline, each rounded up once. Raises
    CapacityError for an operator whose time could not be kept."""
    pipeline = plans[0].pipeline
    demands = np.concatenate([plan.demands for plan in plans], axis=1)
    tiles = np.concatenate([plan.tiles_of_kind for plan in plans]).astype(np.float64)
    begins = np.cumsum([0, *(plan.demands.shape[1] for plan in plans)])
    durations_ps = np.zeros(demands.shape, dtype=np.int64)
    longest = 0.0
    for row, stage in enumerate(pipeline.stages):
        resource, demand = pipeline.resource_of(stage), demands[row]
        if resource.rate is None or not demand.any():
            continue
        # In floats a sum cannot overflow, and is right to far more digits than the limit needs.
        running = np.cumsum(np.concatenate([[0.0], demand * tiles]))
        most = float(np.diff(running[begins]).max()) * PS_PER_S / float(resource.rate)
        longest = max(longest, most)
        if longest < LONGEST_PS:
            durations_ps[row] = resource.durations_ps(demand)
    if longest >= LONGEST_PS:
        raise CapacityError(
            f"an operator takes {longest / PS_PER_S:.3g} s, and times are kept up to "
            f"{LONGEST_PS / PS_PER_S:.3g} s: use a smaller workload or faster resources"
        )
    return durations_ps


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
        durations_ps = _durations_ps(distinct)
        for plan, begin in zip(
            distinct, offsets.values(), strict=True
        ):  # what each would work out for itself
            plan.__dict__["durations_ps"] = durations_ps[:, begin : begin + plan.demands.shape[1]]
        takes, frees = (
            np.concatenate([getattr(plan, name) for plan in distinct], axis=1) for name in ("takes", "frees")
        )
    else:
        durations_ps = np.zeros((len(pipeline.stages), 0), dtype=np.int64)
        takes = frees = np.zeros((len(pipeline.pools), 0), dtype=np.bool_)
    begins = first_tile.tolist()
    pairs: dict[str, list[tuple[int, int]]] = {wait.name: [] for wait in pipeline.waits}
    for i, found in enumerate(producers):
        if begins[i] == begins[i + 1]:
            continue
        for name, before in found.items():
            pairs[name] += [(begins[i], begins[producer + 1] - 1) for producer in sorted(before)]
    tables = [np.array(pairs[wait.name], dtype=np.int64).reshape(-1, 2) for wait in pipeline.waits]
    return Program(
        pipeline,
        tuple(plans),
        first_tile,
        kind_of_tile.astype(np.int32, copy=False),
        durations_ps,
        takes,
        frees,
        tuple(table[:, 0].copy() for table in tables),
        tuple(table[:, 1].copy() for table in tables),
    )
