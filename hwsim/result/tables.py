"""The columns of a result, as read-only arrays over operators (in issue order). Totals are derived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hwsim.arrays import BoolArray, Float64Array, Int64Array

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, Sequence[str] | Sequence[float] | Int64Array | Float64Array]


@dataclass(frozen=True, eq=False)
class TimingTable:
    """When each operator ran and what held it up. O operators, S stages, R resources, C causes.

    `elapsed_ps` splits the makespan by completion: from the end of all earlier operators to this one's.
    `active_ps` and `stalls_ps` split it by the focus stage: working, or standing still for a named cause.
    `part_cycles` splits the focus stage's own work further where the machine tells: cycles of all its
    processing elements.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    layers: tuple[str, ...]
    macs: Int64Array  # (O,) of the problem
    tiles: Int64Array  # (O,)
    completion_ps: Int64Array  # (O,) when the last stage of the operator's tiles ends (0: it has none)
    overlapped: BoolArray  # (O,) traffic of neighbouring batches, which this batch does not wait for
    stages: tuple[str, ...]
    stage_resources: tuple[str, ...]
    busy_ps: Int64Array  # (O, S)
    causes: tuple[str, ...]
    active_ps: Int64Array  # (O,)
    stalls_ps: Int64Array  # (O, C)
    resources: tuple[str, ...]
    servers: tuple[int, ...]
    bound_ps: Int64Array  # (O, R)
    makespan_ps: int
    parts: tuple[str, ...] = ()
    part_cycles: Int64Array = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))  # (O, parts)
    where: tuple[str, ...] = ()  # (O,) the device or link that runs each, where devices share the network
    moved_bytes: Int64Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # (O,) over links

    def __post_init__(self) -> None:
        for array in (
            self.macs, self.tiles, self.completion_ps, self.overlapped, self.busy_ps, self.active_ps,
            self.stalls_ps, self.bound_ps, self.part_cycles, self.moved_bytes,
        ):  # fmt: skip
            array.setflags(write=False)

    @cached_property
    def elapsed_ps(self) -> Int64Array:
        """(O,) contiguous shares of the makespan, by completion. Overlapped operators have none, unless
        they end last."""
        hidden = self.overlapped & (self.completion_ps < self.makespan_ps)
        ends = np.where(hidden, 0, self.completion_ps)
        return np.diff(np.maximum.accumulate(ends) if len(ends) else ends, prepend=0)

    @cached_property
    def resource_busy_ps(self) -> Int64Array:
        """(O, R) busy time of each resource, all its stages together."""
        member = np.array([[r == s for r in self.resources] for s in self.stage_resources], dtype=np.int64)
        return self.busy_ps @ member

    @cached_property
    def limits(self) -> tuple[str, ...]:
        """(O,) the resource that each operator keeps busy longest ("" where it uses none)."""
        if not len(self.names):
            return ()
        per_server = self.resource_busy_ps / np.array(self.servers, dtype=np.float64)
        best = per_server.argmax(axis=1)
        return tuple(self.resources[b] if per_server[i, b] > 0 else "" for i, b in enumerate(best))

    def part(self, name: str) -> Int64Array:
        """(O,) cycles that all processing elements spend on that part; 0 where the machine does not tell."""
        if name not in self.parts:
            return np.zeros(len(self.names), dtype=np.int64)
        column: Int64Array = self.part_cycles[:, self.parts.index(name)]
        return column

    def columns(self) -> Columns:
        """One row an operator: name, kind, layer, macs, tiles, and its times in ps."""
        columns: Columns = {
            "operator": self.names, "kind": self.kinds, "layer": self.layers, "macs": self.macs,
            "tiles": self.tiles, "completion_ps": self.completion_ps, "elapsed_ps": self.elapsed_ps,
            "limit": self.limits, "active_ps": self.active_ps,
        }  # fmt: skip
        if self.where:
            columns |= {"where": self.where, "moved_bytes": self.moved_bytes}
        for index, cause in enumerate(self.causes):
            columns[f"stall_{cause}_ps"] = self.stalls_ps[:, index]
        for index, part in enumerate(self.parts):
            columns[f"pe_cycles_{part}"] = self.part_cycles[:, index]
        for index, resource in enumerate(self.resources):
            columns[f"busy_{resource}_ps"] = self.resource_busy_ps[:, index]
        for index, resource in enumerate(self.resources):
            columns[f"bound_{resource}_ps"] = self.bound_ps[:, index]
        return columns

    def frame(self) -> pd.DataFrame:
        """`columns` as a data frame."""
        return _frame(self.columns())


@dataclass(frozen=True, eq=False)
class UsageTable:
    """What each operator charged: counts by (component, action), and the energy of one count."""

    names: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    counts: Int64Array  # (O, keys)
    energy_pj_per_count: Float64Array  # (keys,)
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        self.counts.setflags(write=False)
        self.energy_pj_per_count.setflags(write=False)

    @cached_property
    def energy_pj(self) -> Float64Array:
        """(O, keys)"""
        return self.counts * self.energy_pj_per_count

    def total(self, component: str, action: str) -> int:
        """Count of one action over the whole run (0 where nothing was charged)."""
        if (component, action) not in self.keys:
            return 0
        return int(self.counts[:, self.keys.index((component, action))].sum())

    def by_component(self) -> dict[str, float]:
        """Dynamic energy in pJ by component, in the order of first use."""
        totals: dict[str, float] = {}
        for (component, _), energy in zip(self.keys, self.energy_pj.sum(axis=0).tolist(), strict=True):
            totals[component] = totals.get(component, 0.0) + energy
        return totals

    def columns(self) -> Columns:
        """One row an (operator, component, action) that was charged: count, energy in pJ, source."""
        rows, keys = np.nonzero(self.counts)
        return {
            "operator": [self.names[i] for i in rows],
            "component": [self.keys[j][0] for j in keys],
            "action": [self.keys[j][1] for j in keys],
            "count": self.counts[rows, keys],
            "energy_pj_per_count": self.energy_pj_per_count[keys],
            "energy_pj": self.energy_pj[rows, keys],
            "source": [self.sources[j] for j in keys],
        }

    def frame(self) -> pd.DataFrame:
        """`columns` as a data frame."""
        return _frame(self.columns())


@dataclass(frozen=True)
class AreaTable:
    """Area and leakage by component."""

    components: tuple[str, ...]
    area_mm2: tuple[float, ...]
    leakage_w: tuple[float, ...]
    sources: tuple[str, ...]

    def columns(self) -> Columns:
        """One row a component: area in mm2, leakage in W, source."""
        return {
            "component": self.components,
            "area_mm2": self.area_mm2,
            "leakage_w": self.leakage_w,
            "source": self.sources,
        }

    def frame(self) -> pd.DataFrame:
        """`columns` as a data frame."""
        return _frame(self.columns())


def _frame(columns: Columns) -> pd.DataFrame:
    import pandas as pd  # late: a run and its result folder do without

    return pd.DataFrame(columns)
