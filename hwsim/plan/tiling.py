"""Tile kinds of a blocked matrix product: few (extent, first, last) classes along each of m, n and k."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.plan.mapping import GemmMapping


@dataclass(frozen=True, eq=False)
class TileKinds:
    """Columns over the kinds of one mapping, and the kind of each tile in issue order.

    `m`, `n`, `k` are extents; `first_*` and `last_*` mark the ends of each loop. All are 1-D over kinds.
    """

    m: Int64Array
    n: Int64Array
    k: Int64Array
    first_m: BoolArray
    first_n: BoolArray
    first_k: BoolArray
    last_m: BoolArray
    last_n: BoolArray
    last_k: BoolArray
    kind_of_tile: Int32Array


def _classes(total: int, size: int) -> tuple[list[tuple[int, bool, bool]], Int32Array]:
    count = -(-total // size)
    last = total - (count - 1) * size
    if count == 1:
        return [(total, True, True)], np.zeros(1, dtype=np.int32)
    classes = [(size, True, False), (last, False, True)]
    of_tile = np.zeros(count, dtype=np.int32)
    of_tile[-1] = 1
    if count > 2:
        classes.append((size, False, False))
        of_tile[1:-1] = 2
    return classes, of_tile


def tile_kinds(mapping: GemmMapping) -> TileKinds:
    """Enumerate the kinds of a mapping: at most three along each loop, so 27 at most."""
    dims = {
        "m": _classes(mapping.m, mapping.tile_m),
        "n": _classes(mapping.n, mapping.tile_n),
        "k": _classes(mapping.k, mapping.tile_k),
    }
    loops = (*mapping.order, "k")
    lengths = [len(dims[d][0]) for d in loops]
    grid = np.indices(lengths).reshape(3, -1)
    columns: dict[str, Int64Array] = {}
    for axis, name in enumerate(loops):
        table = np.array(dims[name][0], dtype=np.int64)
        for column, values in zip((name, f"first_{name}", f"last_{name}"), table.T, strict=True):
            columns[column] = values[grid[axis]]
    i, j, k = (dims[d][1] for d in loops)
    one = ((i[:, None, None] * lengths[1] + j[None, :, None]) * lengths[2] + k[None, None, :]).ravel()
    kind_of_tile = np.tile(one, mapping.batch) if mapping.batch > 1 else one
    flags = {name: columns[name].astype(np.bool_) for name in columns if name.startswith(("first", "last"))}
    return TileKinds(
        columns["m"],
        columns["n"],
        columns["k"],
        **flags,
        kind_of_tile=kind_of_tile.astype(np.int32, copy=False),
    )
