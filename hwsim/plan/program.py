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

from hwsim.arrays import BoolArray, Int64Array
from hwsim.errors import CapacityError
from hwsim.plan.mapping import TileMapping
from hwsim.plan.pipeline import Pipeline, row_durations_ps
from hwsim.units import PS_PER_S

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

    @property
    def size_bytes(self) -> int:
        """Bytes of its arrays."""
        columns = (self.demands, self.takes, self.frees, *self.actions.values(), *self.parts.values())
        return self.kind_of_tile.nbytes + sum(int(column.nbytes) for column in columns)

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

    @property
    def float_totals(self) -> NDArray[np.float64]:
        """`stage_totals` in floats, where sums too large for int64 are seen to be too large."""
        found: NDArray[np.float64] = self.demands.astype(np.float64) @ self.tiles_of_kind.astype(np.float64)
        return found

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
        return _durations_ps(self.pipeline, self.demands, self.float_totals)


def _durations_ps(pipeline: Pipeline, demands: Int64Array, most: NDArray[np.float64]) -> Int64Array:
    """(S, k) picoseconds that demands (S, k) take on one server, each rounded up once. `most` (S,) is what
    one operator asks of each stage at the most. Raises CapacityError for a time that could not be kept."""
    resources = [pipeline.resource_of(stage) for stage in pipeline.stages]
    times_s = [0.0 if r.rate is None else m / float(r.rate) for r, m in zip(resources, most, strict=True)]
    if max(times_s, default=0.0) * PS_PER_S >= LONGEST_PS:
        raise CapacityError(
            f"an operator takes {max(times_s):.3g} s, and times are kept up to "
            f"{LONGEST_PS / PS_PER_S:.3g} s: use a smaller workload or faster resources"
        )
    return row_durations_ps(resources, demands)


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


@dataclass(frozen=True, eq=False)
class Joined:
    """A Program but for its rates: what machines that differ in nothing else run."""

    plans: tuple[Plan, ...]
    first_tile: Int64Array  # as in Program, and so are those below
    kind_of_tile: NDArray[np.int32]
    demands: Int64Array  # (S, k) in each stage's unit
    most: NDArray[np.float64]  # (S,) the most that one operator asks of each stage
    takes: BoolArray
    frees: BoolArray
    wait_tiles: tuple[Int64Array, ...]
    wait_upon: tuple[Int64Array, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of its largest arrays."""
        return self.kind_of_tile.nbytes + self.demands.nbytes + self.takes.nbytes + self.frees.nbytes

    def durations_ps(self, pipeline: Pipeline) -> Int64Array:
        """(S, k) at the rates of a machine. Raises CapacityError for a time that could not be kept."""
        return _durations_ps(pipeline, self.demands, self.most)

    def program(self, pipeline: Pipeline) -> Program:
        """The Program at the rates of a machine. Raises as `durations_ps` does."""
        return Program(
            pipeline,
            self.plans,
            self.first_tile,
            self.kind_of_tile,
            self.durations_ps(pipeline),
            self.takes,
            self.frees,
            self.wait_tiles,
            self.wait_upon,
        )


def join_plans(
    pipeline: Pipeline, plans: Sequence[Plan], producers: Sequence[Mapping[str, Collection[int]]]
) -> Program:
    """Join plans in issue order. `producers[i]` maps a Wait's name to the operators (indices below i) whose
    last tiles the first tile of operator i waits for. Equal plan objects share their kinds."""
    program = merge_plans(pipeline, plans, producers).program(pipeline)
    begin = 0
    for plan in {id(plan): plan for plan in plans}.values():  # what each would work out for itself
        end = begin + plan.demands.shape[1]
        plan.__dict__["durations_ps"] = program.durations_ps[:, begin:end]
        begin = end
    return program


def merge_plans(
    pipeline: Pipeline, plans: Sequence[Plan], producers: Sequence[Mapping[str, Collection[int]]]
) -> Joined:
    """As `join_plans`, and the rates left open."""
    first_tile = np.zeros(len(plans) + 1, dtype=np.int64)
    np.cumsum([plan.tiles for plan in plans], out=first_tile[1:])
    distinct = list({id(plan): plan for plan in plans}.values())
    counts = [0, *(plan.demands.shape[1] for plan in distinct)]
    offsets = dict(zip(map(id, distinct), np.cumsum(counts).tolist(), strict=False))
    kinds = [plan.kind_of_tile + np.int32(offsets[id(plan)]) for plan in plans]
    stages, pools = len(pipeline.stages), len(pipeline.pools)
    totals = [plan.float_totals for plan in distinct]
    wait_tiles, wait_upon = _waits(pipeline, first_tile.tolist(), producers)
    return Joined(
        tuple(plans),
        first_tile,
        np.concatenate(kinds or [np.zeros(0, dtype=np.int32)]).astype(np.int32, copy=False),
        np.concatenate([np.zeros((stages, 0), np.int64), *(plan.demands for plan in distinct)], axis=1),
        np.max([np.zeros(stages), *totals], axis=0),
        np.concatenate([np.zeros((pools, 0), np.bool_), *(plan.takes for plan in distinct)], axis=1),
        np.concatenate([np.zeros((pools, 0), np.bool_), *(plan.frees for plan in distinct)], axis=1),
        wait_tiles,
        wait_upon,
    )


def _waits(
    pipeline: Pipeline, begins: Sequence[int], producers: Sequence[Mapping[str, Collection[int]]]
) -> tuple[tuple[Int64Array, ...], tuple[Int64Array, ...]]:
    """For each Wait the waiting tiles, and the tile that each waits for."""
    pairs: dict[str, list[tuple[int, int]]] = {wait.name: [] for wait in pipeline.waits}
    for i, found in enumerate(producers):
        if begins[i] == begins[i + 1]:
            continue
        for name, before in found.items():
            pairs[name] += [(begins[i], begins[producer + 1] - 1) for producer in sorted(before)]
    tables = [np.array(pairs[wait.name], dtype=np.int64).reshape(-1, 2) for wait in pipeline.waits]
    return tuple(table[:, 0].copy() for table in tables), tuple(table[:, 1].copy() for table in tables)
