"""Products as machines with caches compute them, along the tiles of the Program: blocks and rows as those of
the array (`products`), weights without their zeros entry by entry, sums in parts that other tiles add up,
and convolutions by Winograd's filtering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Int64Array, Uint8Array
from hwsim.functional.cached_walk import Deeds, box_walk, tile_boxes
from hwsim.functional.locate import Place, in_product, locate
from hwsim.functional.products import Executed, ProductRun
from hwsim.functional.walk import NOTHING, TileWalk, covering
from hwsim.functional.winograd import put_together, transformed_filters, transformed_patches
from hwsim.plan.blocks import GemmMapping
from hwsim.plan.shares import DirectMapping, RowMapping, SplitMapping, WinogradMapping, even_ends
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload.operators import Conv2d, WinogradTransform


@dataclass(frozen=True, eq=False)
class Cached:
    """An execution: what came out, the walk of its boxes, and the tile of each box."""

    found: Executed
    walk: TileWalk
    tiles: Int64Array


def run_boxes(
    run: ProductRun, mapping: GemmMapping | RowMapping | DirectMapping, deeds: Deeds, shape: Shape
) -> Cached:
    """Whole tiles of blocks, rows or direct convolutions."""
    boxes = tile_boxes(mapping) if isinstance(mapping, GemmMapping) else mapping.boxes()
    walk = box_walk(boxes, deeds, run.mapping.k)
    return Cached(run.run(walk, shape), walk, boxes[:, 0])


def run_sparse(run: ProductRun, mapping: RowMapping, deeds: Deeds, weights: Array, shape: Shape) -> Cached:
    """Columns of the result, each a stored row of the second operand: the entries of `weights`, its numbers
    before they were stored, that are not zero."""
    from hwsim.kernels.csr_rows import multiply_rows

    boxes = mapping.boxes()
    walk = box_walk(boxes, deeds, run.mapping.k)
    results = np.zeros((1, mapping.m, mapping.n), dtype=run.stored_type)
    written = np.zeros(results.shape, dtype=np.uint8)
    first = run.rows(0, 0, mapping.m, 0, mapping.k)
    kept = _as_rows(run, weights, mapping) != 0
    for i, (_, _, _, n0, n1, _, _) in enumerate(walk.boxes.tolist()):
        if walk.rows_from[i] == NOTHING or walk.block_from[i] == NOTHING or not walk.stores[i]:
            continue
        pointers = np.concatenate([[0], np.cumsum(kept[n0:n1].sum(axis=1))]).astype(np.int64)
        places = np.nonzero(kept[n0:n1])[1].astype(np.int64)
        block = run.block(0, 0, mapping.k, n0, n1).T
        sums = np.empty((mapping.m, n1 - n0), dtype=run.compute)
        zero = _zero_points(run, n0, n1)
        multiply_rows(first, pointers, places, (block - zero)[kept[n0:n1]], sums)
        results[0, :, n0:n1] = run.finish(_summed(run, sums, first, zero), 0, (0, mapping.m), (n0, n1))
        written[0, :, n0:n1] += 1
    return Cached(Executed(run.shaped(results, shape), run.shaped(written, shape)), walk, boxes[:, 0])


def _as_rows(run: ProductRun, weights: Array, mapping: RowMapping) -> Array:
    """The second operand's numbers, a row for each column of the result."""
    transposed = dict(run.op.attributes).get("trans_b", False)
    return weights.reshape(mapping.n, -1) if transposed else weights.reshape(-1, mapping.n).T


def _zero_points(run: ProductRun, n0: int, n1: int) -> Array:
    """(columns, 1) what stands for zero in the stored weights, and is not stored."""
    zero = run.b.encoding.zero_points
    return np.broadcast_to(zero, run.mapping.n)[n0:n1, None].astype(run.compute)


def _summed(run: ProductRun, sums: Array, first: Array, zero: Array) -> Array:
    """Sums as accumulators hold them. Entries are counted from their zero point, and the way out, which
    expects them otherwise, is given what it will take off again."""
    if run.drain is None:
        return sums
    beside = first.sum(axis=1, dtype=np.float64)[:, None] * zero.T
    return run.wrap(sums.astype(np.int64) + beside.astype(np.int64))


def run_split(run: ProductRun, mapping: SplitMapping, deeds: Deeds, shape: Shape) -> Cached:
    """Sums in parts, each left in memory by the tile that made it, and added up by others."""
    boxes = tile_boxes(mapping.products)
    walk = box_walk(boxes, deeds, mapping.products.k)
    p = mapping.products
    parts = np.empty((mapping.parts, p.batch, p.m, p.n), dtype=np.float32 if run.drain is None else np.int64)
    parts[...] = run.new_sums((), cleared=False)
    for i, (b, m0, m1, n0, n1, k0, k1) in enumerate(walk.boxes.tolist()):
        if not walk.stores[i]:
            continue
        sums = run.new_sums((m1 - m0, n1 - n0), cleared=True)
        if walk.rows_from[i] != NOTHING and walk.block_from[i] != NOTHING:
            run.add(sums, run.rows(b, m0, m1, k0, k1) @ run.block(b, k0, k1, n0, n1))
        parts[k0 // p.tile_k, b, m0:m1, n0:n1] = sums
    total = parts[0].copy()
    for part in parts[1:]:
        total = total + part if run.drain is None else run.wrap(total + part)
    written = _shares(deeds, p.tiles, mapping.adders, total.size).reshape(total.shape)
    results = np.zeros(total.shape, dtype=run.stored_type)
    for b in range(p.batch):
        results[b] = run.finish(total[b], b, (0, p.m), (0, p.n))
    results[written == 0] = 0
    return Cached(Executed(run.shaped(results, shape), run.shaped(written, shape)), walk, boxes[:, 0])


def _shares(deeds: Deeds, first: int, count: int, results: int) -> Uint8Array:
    """(results,) how often each was written, where tiles `first` and so many behind it take an even share
    each."""
    written = np.zeros(results, dtype=np.uint8)
    begin = 0
    for tile, end in enumerate(even_ends(results, count), first):
        if tile < deeds.issued and deeds.complete[tile] and deeds.leaves[tile]:
            written[begin:end] += 1
        begin = end
    return written


def run_winograd(run: ProductRun, mapping: WinogradMapping, deeds: Deeds, shape: Shape) -> Cached:
    """Patches and filters transformed, multiplied place by place, and put together. Transforms are computed
    in double precision, and what lies between is fp32."""
    conv, gemm = mapping.problem, mapping.products
    patches, filters = _transformed(run, mapping, deeds)
    walk = box_walk(_behind(tile_boxes(gemm), mapping.before), deeds, gemm.k)
    products = np.full((gemm.batch, gemm.m, gemm.n), np.nan, dtype=np.float32)
    times = np.zeros(products.shape, dtype=np.uint8)
    for i, (b, m0, m1, n0, n1, _, _) in enumerate(walk.boxes.tolist()):
        if walk.rows_from[i] != NOTHING and walk.block_from[i] != NOTHING and walk.stores[i]:
            products[b, m0:m1, n0:n1] = patches[b, m0:m1] @ filters[b, :, n0:n1]
            times[b, m0:m1, n0:n1] += 1
    made = times.max(axis=0) * (times.min(axis=0) > 0)
    if mapping.after:
        behind = _shares(deeds, mapping.before + gemm.tiles, mapping.after, mapping.results)
        made = np.minimum(made, 1) * behind.reshape(made.shape)
    sums = put_together(_problem(conv, mapping.tile, "output"), products.astype(np.float64))
    columns = sums.transpose(0, 2, 3, 1).reshape(-1, conv.K)
    results = run.finish(columns, 0, (0, len(columns)), (0, conv.K))
    written = _spread_out(conv, mapping.tile, made)
    found = Executed(run.shaped(results[None], shape), written.reshape(shape))
    return Cached(found, walk, np.arange(gemm.tiles, dtype=np.int64) + mapping.before)


def _behind(boxes: Int64Array, tiles: int) -> Int64Array:
    """Boxes of tiles that come so many later."""
    found: Int64Array = boxes + np.array([tiles, *[0] * 7])
    return found


def _problem(conv: Conv2d, tile: int, direction: str) -> WinogradTransform:
    channels = conv.C if direction == "input" else conv.K
    return WinogradTransform(direction, tile, conv.N, channels, conv.H, conv.W, conv.P, conv.Q, pad=conv.pad)


def _transformed(run: ProductRun, mapping: WinogradMapping, deeds: Deeds) -> tuple[Array, Array]:
    """Patches [places, tiles, C] and filters [places, C, K], not numbers where no tile transformed them."""
    conv = mapping.problem
    patches = transformed_patches(
        _problem(conv, mapping.tile, "input"), run.a.values.astype(np.float64)
    ).astype(np.float32)
    filters = transformed_filters(mapping.tile, run.b.values.astype(np.float64)).astype(np.float32)
    if mapping.before:
        there = _shares(deeds, 0, mapping.before, mapping.transforms) > 0
        patches[:, ~there[: mapping.patches].reshape(-1, conv.C)] = np.nan
        filters[:, ~there[mapping.patches :].reshape(conv.K, conv.C).T] = np.nan
    return patches, filters


def _spread_out(conv: Conv2d, tile: int, made: Uint8Array) -> Uint8Array:
    """(N, K, P, Q) what holds of the tile of each result."""
    high, wide = -(-conv.P // tile), -(-conv.Q // tile)
    maps = made.reshape(conv.N, high, wide, conv.K).transpose(0, 3, 1, 2)
    found: Uint8Array = np.repeat(np.repeat(maps, tile, axis=2), tile, axis=3)
    return found[:, :, : conv.P, : conv.Q]


# -- where it went wrong -----------------------------------------------------------------------------------


def locate_cached(
    run: ProductRun, cached: Cached, deeds: Deeds, mapping: object, index: Shape, shape: Shape
) -> Place:
    """The tile, counted within the operator, and the stage at which an element of the output went wrong."""
    if isinstance(mapping, WinogradMapping):
        return _locate_winograd(cached, deeds, mapping, index)
    batch, row, column = in_product(run, index, shape)
    boxes = covering(cached.walk, batch, row, column)
    if at := _not_done(cached, deeds, boxes):
        return at
    if isinstance(mapping, SplitMapping):
        at = _locate_split(deeds, mapping, len(boxes), (batch, row, column))
    else:
        at = locate(run, cached.walk, index, shape)
        at = at if at.tile is None else Place(int(cached.tiles[at.tile]), at.stage, at.reason)
    if at.stage != "drain":  # of an array: what happens behind the sums, which here is computed
        return at
    if not deeds.constants_arrive:
        return Place(0, "weights", "its bias is never fetched")
    return Place(at.tile, "compute", at.reason)


def _not_done(cached: Cached, deeds: Deeds, boxes: Sequence[int]) -> Place | None:
    """The first tile among those of some boxes that does not do its part."""
    for box in boxes:
        tile = int(cached.tiles[box])
        for done, stage, reason in (
            (deeds.first, "load", "no rows of the first operand have arrived, or not all"),
            (deeds.second, "weights", "no block of the second operand has arrived, or not all"),
            (deeds.multiplied, "compute", "it multiplies nothing"),
        ):
            if not done[tile]:
                return Place(tile, stage, reason)
        if not deeds.leaves[tile]:
            return Place(tile, "store", "its result, or its part of the sum, is never written")
    return None


def _locate_split(deeds: Deeds, mapping: SplitMapping, boxes: int, place: tuple[int, int, int]) -> Place:
    """A part that nobody computed, or that nobody added."""
    p = mapping.products
    if boxes < mapping.parts:
        return Place(None, "compute", f"{boxes} of {mapping.parts} parts of its sum are computed")
    flat = int(np.ravel_multi_index(place, (p.batch, p.m, p.n)))
    ends = np.array(even_ends(p.batch * p.m * p.n, mapping.adders))
    tile = p.tiles + int(np.searchsorted(ends, flat, side="right"))
    right = Place(tile, "drain", "its parts are right, but not their sum, bias, function or rounding")
    return _undone(deeds, tile, "adds up the parts of its sum") or right


def _undone(deeds: Deeds, tile: int, what: str) -> Place | None:
    """Why a tile that adds or transforms did not, if it did not."""
    if tile >= deeds.issued:
        return Place(None, "compute", f"no tile {what}")
    if not deeds.complete[tile]:
        stage = "load" if not deeds.first[tile] else "compute"
        return Place(tile, stage, f"it {what}, and reads or does nothing")
    return (
        None if deeds.leaves[tile] else Place(tile, "store", f"what it makes as it {what} is never written")
    )


def _locate_winograd(cached: Cached, deeds: Deeds, mapping: WinogradMapping, index: Shape) -> Place:
    """The first of the tiles behind a result that does not do what it must."""
    conv, gemm, m = mapping.problem, mapping.products, mapping.tile
    image, channel, p, q = index
    row = (image * -(-conv.P // m) + p // m) * -(-conv.Q // m) + q // m
    if mapping.before:
        tasks = [row * conv.C + c for c in range(conv.C)]
        tasks += [mapping.patches + channel * conv.C + c for c in range(conv.C)]
        ends = np.array(even_ends(mapping.transforms, mapping.before))
        for tile in np.unique(np.searchsorted(ends, tasks, side="right")).tolist():
            if at := _undone(deeds, tile, "transforms patches and filters"):
                return at
    for place in range(gemm.batch):
        boxes = covering(cached.walk, place, row, channel)
        if not boxes:
            return Place(None, "compute", f"no tile computes product {place} of {gemm.batch} of it")
        if at := _not_done(cached, deeds, boxes):
            return at
    if mapping.after:
        ends = np.array(even_ends(mapping.results, mapping.after))
        behind = mapping.before + gemm.tiles
        tile = behind + int(np.searchsorted(ends, row * conv.K + channel, side="right"))
        if at := _undone(deeds, tile, "puts results together"):
            return at
    if not deeds.constants_arrive:
        return Place(0, "weights", "its bias is never fetched")
    last = mapping.tiles - 1
    return Place(last, "compute", "a transform, a product, or what happens behind them is not right")
