"""What thread blocks ask for, as columns over kinds of them, and how kernels follow one another in one
plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.devices.gpu_machine import Machine
from hwsim.plan.mapping import TileMapping

K = TypeVar("K")


@dataclass(frozen=True, eq=False)
class Demands:
    """Columns over kinds of thread blocks, by stage, and what else the plan needs. `resident` says of how
    many such blocks a multiprocessor keeps room; `begins` and `ends` mark the kinds of the first and last
    block of each kernel that has the machine to itself, where they are told apart."""

    kind_of_tile: Int32Array
    columns: Mapping[str, Int64Array]
    resident: Int64Array
    actions: Mapping[tuple[str, str], Int64Array] = field(default_factory=dict)
    mapping: TileMapping | None = None
    begins: BoolArray | None = None
    ends: BoolArray | None = None


def joined(parts: Sequence[Demands]) -> Demands:
    """One kernel after the other, as the tiles of one operator."""
    if len(parts) == 1:
        return parts[0]
    counts = [len(part.resident) for part in parts]
    shifts = np.cumsum([0, *counts[:-1]])
    tiles = [part.kind_of_tile + np.int32(shift) for part, shift in zip(parts, shifts, strict=True)]
    stages = dict.fromkeys(name for part in parts for name in part.columns)
    actions = dict.fromkeys(key for part in parts for key in part.actions)

    def column(tables: Sequence[Mapping[K, Int64Array]], key: K) -> Int64Array:
        zeros = (np.zeros(count, dtype=np.int64) for count in counts)
        return np.concatenate([table.get(key, zero) for table, zero in zip(tables, zeros, strict=True)])

    columns = [part.columns for part in parts]
    charged = [part.actions for part in parts]
    apart = all(part.begins is not None for part in parts)
    return Demands(
        np.concatenate(tiles).astype(np.int32),
        {name: column(columns, name) for name in stages},
        np.concatenate([part.resident for part in parts]),
        {key: column(charged, key) for key in actions},
        begins=np.concatenate([part.begins for part in parts if part.begins is not None]) if apart else None,
        ends=np.concatenate([part.ends for part in parts if part.ends is not None]) if apart else None,
    )


def ends_apart(demands: Demands) -> Demands:
    """The same tiles, with the first and the last as kinds of their own: those that take the machine and give
    it back."""
    of_tile, pick = demands.kind_of_tile.copy(), [*range(len(demands.resident))]
    for tile in sorted({0, len(of_tile) - 1}) if len(of_tile) else ():
        pick.append(int(demands.kind_of_tile[tile]))
        of_tile[tile] = len(pick) - 1
    kinds = np.arange(len(pick))
    first, last = (of_tile[0], of_tile[-1]) if len(of_tile) else (-1, -1)
    marks = [np.zeros(len(pick), dtype=np.bool_)] * 2
    if demands.begins is not None and demands.ends is not None:
        marks = [demands.begins[pick], demands.ends[pick]]
    return Demands(
        of_tile,
        {name: column[pick] for name, column in demands.columns.items()},
        demands.resident[pick],
        {key: counts[pick] for key, counts in demands.actions.items()},
        demands.mapping,
        marks[0] | (kinds == first),
        marks[1] | (kinds == last),
    )


def kernels(*parts: Demands) -> Demands:
    """Kernels one behind the other, each with the machine to itself."""
    return joined([ends_apart(part) for part in parts])


def split_evenly(total: int, count: int) -> Int64Array:
    """(count,) whole parts of `total` that differ by one at most."""
    ends: Int64Array = np.array([total * i // count for i in range(count + 1)], dtype=np.int64)
    return np.diff(ends)


def pointwise_cycles(operations: Int64Array, machine: Machine) -> Int64Array:
    """Cycles of a multiprocessor for so many pointwise operations."""
    return -(-operations // machine.lanes)


def part_of(amounts: Int64Array, share: float) -> Int64Array:
    """(kinds,) of amounts times a share, rounded up."""
    found: Int64Array = np.ceil(amounts * share).astype(np.int64)
    return found
