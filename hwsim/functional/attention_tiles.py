"""Attention in one operator as its tiles compute it: blocks of rows that walk over blocks of keys, with
scores and running sums in fp32, and where keys are cut into parts, tiles that join what the parts found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import BoolArray, Float64Array, Int64Array, Uint8Array
from hwsim.functional.cached_walk import SIGNS
from hwsim.functional.locate import Place
from hwsim.functional.numbers import Stored, attribute
from hwsim.functional.walk import Columns
from hwsim.plan.attention import AttentionMapping
from hwsim.plan.residency import Residency
from hwsim.plan.shares import even_ends
from hwsim.tensor.formats import format_bits
from hwsim.tensor.tensor import Shape
from hwsim.workload.operators import Attention, Operator

KEY_BLOCK = 64  # keys taken at a time where no plan says; results differ by the rounding of sums alone
PART_BITS = 32  # of each number that a part hands on


@dataclass(frozen=True, eq=False)
class AttentionDeeds:
    """(issued tiles,) whether each brought its queries, keys and values, multiplied, and wrote what it
    found."""

    queries: BoolArray
    keys: BoolArray
    multiplied: BoolArray
    leaves: BoolArray

    @property
    def issued(self) -> int:
        return len(self.queries)

    @property
    def complete(self) -> BoolArray:
        done: BoolArray = self.queries & self.keys & self.multiplied & self.leaves
        return done


def attention_deeds(mapping: AttentionMapping, columns: Columns, residency: Residency) -> AttentionDeeds:
    """What the issued tiles did, by the bytes that their boxes hold. A part without keys has nothing to
    do."""
    p, (q, k, v) = mapping.problem, residency.operands[:3]
    boxes = mapping.boxes()
    rows, keys = boxes[:, 2] - boxes[:, 1], boxes[:, 4] - boxes[:, 3]
    at = columns.first(min(columns.tiles, mapping.tiles))
    results = mapping.heads * mapping.rows
    joined = np.diff([0, *even_ends(results, mapping.adding)]) if mapping.adding else _NONE
    part = (p.V + 2) * PART_BITS // 8
    out = p.V * format_bits(residency.output.dtype) // 8
    queries = np.concatenate([rows * p.D * format_bits(q.dtype) // 8, joined * mapping.parts * part])
    held = keys * (p.D * format_bits(k.dtype) + p.V * format_bits(v.dtype)) // 8
    split = mapping.parts > 1
    written = np.concatenate([rows * (part if split else out), joined * out])
    needs = [needed[: at.tiles] for needed in (queries, _behind(held, joined), written)]
    idle = _behind(keys == 0, joined, fill=False)[: at.tiles].astype(np.bool_)
    leaves = at.demand(SIGNS.written) >= needs[2]
    if residency.output.place == "memory":
        makes = np.arange(at.tiles) >= len(boxes) if split else np.ones(at.tiles, dtype=np.bool_)
        leaves &= ~makes | (at.demand(SIGNS.outside) >= needs[2])
    return AttentionDeeds(
        (at.demand(SIGNS.first) >= needs[0]) | idle,
        at.demand(SIGNS.second) >= needs[1],
        (at.demand(SIGNS.multiplied) > 0) | idle,
        leaves | idle,
    )


_NONE = np.zeros(0, dtype=np.int64)


def _behind(numbers: NDArray[np.generic], joined: Int64Array, *, fill: bool = False) -> Int64Array:
    """(tiles,) the numbers of tiles that attend, and zeros for those that join."""
    return np.concatenate([numbers, np.full(len(joined), fill, dtype=numbers.dtype)]).astype(np.int64)


def attended(op: Operator, problem: Attention, inputs: Sequence[Stored]) -> Float64Array:
    """The reals of attention where no plan says in which tiles: [B H, Q, V]."""
    mapping = AttentionMapping(problem, problem.Q, KEY_BLOCK)
    found, _ = attend_tiles(op, mapping, inputs, np.ones(mapping.tiles, dtype=np.bool_))
    return found.reshape(-1, problem.Q, problem.V)


def attend_tiles(
    op: Operator, mapping: AttentionMapping, inputs: Sequence[Stored], done: BoolArray
) -> tuple[Float64Array, Uint8Array]:
    """The reals (heads, rows, V), and how often each was written, of the tiles that are `done`."""
    from hwsim.kernels.sequence_unit import attend

    p, heads, rows = mapping.problem, mapping.heads, mapping.rows
    q, k, v = (np.ascontiguousarray(x.reals) for x in inputs[:3])
    mask = np.empty((0, 0, 0))
    if p.masked:
        whole = np.broadcast_to(inputs[3].reals, (p.B, p.H, p.Q, p.S))
        mask = np.ascontiguousarray(whole).reshape(heads, rows, p.S)
    boxes = mapping.boxes()
    part = np.tile(np.arange(mapping.parts), len(boxes) // mapping.parts)
    there = done[: len(boxes)]
    count = len(there)
    most, total = (np.full((mapping.parts, heads, rows), np.nan) for _ in range(2))
    sums = np.full((mapping.parts, heads, rows, p.V), np.nan)
    attend(
        q.reshape(heads, rows, p.D), k.reshape(-1, p.S, p.D), v.reshape(-1, p.S, p.V), mask,
        np.column_stack([part, boxes])[:count][there], most, total, sums,
        np.empty(min(mapping.tile_k, p.S)), attribute(op.attributes, "scale", 1.0),
        (p.S - p.Q, 0 if mapping.packed else 1), p.causal, p.window,
    )  # fmt: skip
    times = np.zeros((mapping.parts, heads, rows), dtype=np.uint8)
    for which, (head, begin, end, _, _) in zip(part[:count][there], boxes[:count][there], strict=True):
        times[which, head, begin:end] += 1
    return _joined(most, total, sums), _written(mapping, times, done)


def _joined(most: Float64Array, total: Float64Array, sums: Float64Array) -> Float64Array:
    """Parts scaled to their common maximum and added, and the weighted values over the sum of powers."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.exp(most - most.max(axis=0))
        share[most == -np.inf] = 0.0  # a part that sees nothing
        values: Float64Array = (share[..., None] * sums).sum(axis=0) / (share * total).sum(axis=0)[..., None]
    return values


def _written(mapping: AttentionMapping, times: Uint8Array, done: BoolArray) -> Uint8Array:
    """(heads, rows) how often each result was written: with parts, where all are there, by who joins them."""
    if not mapping.adding:
        alone: Uint8Array = times[0]
        return alone
    there = (times.min(axis=0) > 0).astype(np.uint8)
    joins = np.zeros(there.size, dtype=np.uint8)
    begin = 0
    for tile, end in enumerate(even_ends(there.size, mapping.adding), mapping.tiles - mapping.adding):
        joins[begin:end] += int(tile < len(done) and done[tile])
        begin = end
    found: Uint8Array = there * joins.reshape(there.shape)
    return found


def locate_attention(mapping: AttentionMapping, deeds: AttentionDeeds, index: Shape) -> Place:
    """The tile, counted within the operator, and the stage at which an element of the result went wrong."""
    p = mapping.problem
    row = int(np.ravel_multi_index(index[:3], (p.B, p.H, p.Q)))
    head, within = divmod(row, mapping.rows)
    boxes = mapping.boxes()
    tiles = np.flatnonzero((boxes[:, 0] == head) & (boxes[:, 1] <= within) & (within < boxes[:, 2])).tolist()
    if mapping.adding:
        ends = np.array(even_ends(mapping.heads * mapping.rows, mapping.adding))
        tiles.append(len(boxes) + int(np.searchsorted(ends, row, side="right")))
    for tile in tiles:
        if tile >= deeds.issued:
            return Place(None, "compute", f"tile {tile} of the operator is not issued")
        for done, stage, reason in (
            (deeds.queries, SIGNS.first, "its queries, or the parts that it joins, have not come"),
            (deeds.keys, SIGNS.second, "its keys and values have not come, or not all"),
            (deeds.multiplied, SIGNS.multiplied, "it computes nothing"),
            (deeds.leaves, SIGNS.written, "what it found is never written"),
        ):
            if not done[tile]:
                return Place(tile, stage, reason)
    return Place(tiles[-1], "compute", "its scores, their softmax or the sum of values is not right")
