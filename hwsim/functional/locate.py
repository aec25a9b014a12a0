"""Where a result went wrong: the tile and the stage, found by following one element through its tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.functional.products import ProductRun
from hwsim.functional.walk import NOTHING, TileWalk, covering
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload.operators import Conv2d, Matmul


@dataclass(frozen=True)
class Place:
    """A tile of the operator (None: there is none), one of its stages, and what happened there."""

    tile: int | None
    stage: str
    reason: str


def locate(run: ProductRun, walk: TileWalk, index: Shape, shape: Shape) -> Place:
    """Follow the element at `index` of a product's output, of that shape, from first tile to drain."""
    batch, row, column = in_product(run, index, shape)
    tiles = covering(walk, batch, row, column)
    if not tiles:
        return Place(None, "compute", "no tile computes it")
    for number, tile in enumerate(tiles):
        found = _operands(walk, tile) or _sums(walk, tiles, number)
        if found is not None:
            return found
    depth = sorted((int(walk.boxes[t, 5]), int(walk.boxes[t, 6])) for t in tiles)
    covered = 0
    for first, end in depth:
        if first != covered:
            break
        covered = end
    if covered < run.mapping.k:
        reason = f"its sum ends at term {covered} of {run.mapping.k}: a tile is missing"
        return Place(tiles[-1], "compute", reason)
    drained = [t for t in tiles if walk.drains[t]]
    if not drained:
        return Place(tiles[-1], "drain", "its sum never leaves the accumulators")
    if not walk.stores[drained[-1]]:
        return Place(drained[-1], "store", "its result is never written to memory")
    return _values(run, walk, tiles, (batch, row, column), index)


def in_product(run: ProductRun, index: Shape, shape: Shape) -> tuple[int, int, int]:
    """(batch, row, column) of the matrix products of an element of the output tensor."""
    problem = run.op.problem
    if isinstance(problem, Conv2d):
        image, channel, p, q = index
        per_group = problem.K // problem.groups
        batch, within = divmod(channel // per_group, run.mapping.packed)
        return batch, (image * problem.P + p) * problem.Q + q, within * per_group + channel % per_group
    assert isinstance(problem, Matmul)
    flat = np.ravel_multi_index(index, shape) if shape else 0
    place = np.unravel_index(flat, (problem.B, problem.M, problem.N))
    return int(place[0]), int(place[1]), int(place[2])


def _operands(walk: TileWalk, tile: int) -> Place | None:
    """Whether the tile multiplied what its box names."""
    box = walk.boxes[tile]
    batch_and_block = [0, 3, 4, 5, 6]
    source = int(walk.block_from[tile])
    if source == NOTHING:
        return Place(tile, "weights", "no block of the second operand has arrived")
    if (walk.boxes[source][batch_and_block] != box[batch_and_block]).any():
        fetched = int(walk.block_fetched[tile])
        came = fetched != NOTHING and (walk.boxes[fetched][batch_and_block] == box[batch_and_block]).all()
        stage = "shift" if came and not walk.holds_rows else "weights"
        return Place(tile, stage, f"it multiplies the stale block of tile {source} of this operator")
    source = int(walk.rows_from[tile])
    if source == NOTHING:
        return Place(tile, "load", "no rows of the first operand have arrived")
    loaded = int(walk.rows_loaded[source])
    if loaded == NOTHING:
        return Place(tile, "load", "no rows of the first operand have arrived")
    if (walk.boxes[loaded, :3] != box[:3]).any():
        came = walk.holds_rows and (walk.boxes[walk.rows_loaded[tile], :3] == box[:3]).all()
        return Place(
            tile, "shift" if came else "load", f"it multiplies the rows of tile {loaded} of this operator"
        )
    if walk.holds_rows and (walk.boxes[source, 5:] != box[5:]).any():
        return Place(tile, "shift", f"it multiplies the stale rows of tile {source} of this operator")
    return None


def _sums(walk: TileWalk, tiles: Sequence[int], number: int) -> Place | None:
    """Whether the sum begins, continues and leaves where it must."""
    tile, last = tiles[number], tiles[-1]
    if number == 0 and not walk.opens[tile]:
        return Place(tile, "compute", "it adds to the sums of an earlier tile")
    if number and walk.opens[tile]:
        return Place(tile, "compute", "it clears sums that are not finished")
    if tile != last and walk.drains[tile]:
        return Place(tile, "drain", "its sum leaves before all terms are added")
    if tile != last and walk.loses[tile]:
        return Place(tile, "drain", "its accumulators are given up before all terms are added")
    return None


def _values(
    run: ProductRun, walk: TileWalk, tiles: Sequence[int], place: tuple[int, int, int], index: Shape
) -> Place:
    """The schedule is right: then an operand, the sum's width, or what happens behind the sum is not."""
    batch, row, column = place
    terms, offset = _terms(run, index)
    total = 0.0
    for tile in tiles:
        k0, k1 = (int(end) for end in walk.boxes[tile, 5:7])
        rows = run.rows(batch, row, row + 1, k0, k1)[0]
        first, end = max(k0, offset), min(k1, offset + len(terms))
        wrong = [k for k in range(first, end) if rows[k - k0] != terms[k - offset]]
        if wrong:
            k = wrong[0]
            read, there = rows[k - k0], terms[k - offset]
            return Place(tile, "load", f"term {k} of its sum reads {read:g} where {there:g} belongs")
        total += float(rows.astype(np.float64) @ run.block(batch, k0, k1, column, column + 1)[:, 0])
        if run.drain is not None and abs(total) >= 2.0 ** (run.accumulator_bits - 1):
            bits = run.accumulator_bits
            return Place(tile, "compute", f"its sum of {total:.0f} overflows an accumulator of {bits} bits")
    return Place(tiles[-1], "drain", "its sum is right, but not its bias, function or rounding")


def _terms(run: ProductRun, index: Shape) -> tuple[Array, int]:
    """The activations that one sum of a convolution reads, picked one by one from the stored tensor, and
    the place among the columns of the product where they begin. Those of a matmul are read where they lie,
    so there is nothing to pick."""
    c = run.op.problem
    if not isinstance(c, Conv2d):
        return np.zeros(0), 0
    image, channel, p, q = index
    group, depth = channel // (c.K // c.groups), c.C // c.groups
    found = np.full((depth, c.R, c.S), float(run.a.encoding.zero_point))
    for r in range(c.R):
        for s in range(c.S):
            y = p * c.stride[0] + r * c.dilation[0] - c.pad[0]
            x = q * c.stride[1] + s * c.dilation[1] - c.pad[1]
            if 0 <= y < c.H and 0 <= x < c.W:
                found[:, r, s] = run.a.values[image, group * depth : (group + 1) * depth, y, x]
    return found.reshape(-1), group % run.mapping.packed * found.size
