"""How attention in one operator is cut: blocks of queries, each with the blocks of keys that it walks
over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Int32Array, Int64Array
from hwsim.plan.residency import Operand
from hwsim.workload.problems import Attention


@dataclass(frozen=True, slots=True)
class AttentionMapping:
    """A tile is a block of up to `tile_q` rows of one batch and head, and walks over keys and values in
    blocks of `tile_k` places. Blocks in which no query of the tile sees a key are left out; all others are
    multiplied whole. With several `parts` that walk is cut into as many tiles of equal length (some may be
    empty), and `adding` tiles behind all others join what they found. Rows are queries; or with `packed`,
    where there is one query, the heads that share keys, which are then one head."""

    problem: Attention
    tile_q: int
    tile_k: int
    parts: int = 1
    packed: bool = False
    adding: int = 0

    @property
    def heads(self) -> int:
        """Of all batches: as many as rows of different heads are in different tiles."""
        p = self.problem
        return p.B * (p.G if self.packed else p.H)

    @property
    def rows(self) -> int:
        """Rows of one head."""
        p = self.problem
        return p.Q * p.H // p.G if self.packed else p.Q

    @property
    def blocks(self) -> int:
        """Blocks of rows of one head."""
        return -(-self.rows // self.tile_q)

    @property
    def tiles(self) -> int:
        return self.heads * self.blocks * self.parts + self.adding

    def walks(self) -> Int64Array:
        """(blocks, parts, 4) of every head: first row and the one behind the last, first place of the keys
        and the one behind the last, which are whole blocks of keys but for the end of the sequence."""
        p = self.problem
        begin = np.arange(self.blocks, dtype=np.int64) * self.tile_q
        end = np.minimum(begin + self.tile_q, self.rows)
        first, last = (np.zeros_like(begin), np.zeros_like(begin)) if self.packed else (begin, end - 1)
        first, last = first + (p.S - p.Q), last + (p.S - p.Q)  # the places where these queries stand
        low, high = np.zeros_like(begin), np.full_like(begin, p.S)
        if p.window:
            low, high = np.maximum(low, first - p.window + 1), np.minimum(high, last + p.window)
        if p.causal:
            high = np.minimum(high, last + 1)
        low, high = low // self.tile_k, -(-high // self.tile_k)
        each = -(-(high - low) // self.parts)
        part = np.arange(self.parts)
        start = np.minimum(low[:, None] + each[:, None] * part, high[:, None])
        stop = np.minimum(start + each[:, None], high[:, None])
        found = np.empty((self.blocks, self.parts, 4), dtype=np.int64)
        found[..., 0], found[..., 1] = begin[:, None], end[:, None]
        found[..., 2] = np.minimum(start * self.tile_k, p.S)
        found[..., 3] = np.minimum(stop * self.tile_k, p.S)
        return found

    def boxes(self) -> Int64Array:
        """(tiles without those that add, 5) in issue order: head over all batches, then as `walks` has it."""
        walks = self.walks().reshape(-1, 4)
        heads = np.repeat(np.arange(self.heads), len(walks))
        return np.column_stack([heads, np.tile(walks, (self.heads, 1))])

    def kinds(self) -> tuple[Int64Array, Int32Array]:
        """(kinds, 2) rows and places of the tiles that differ in them, and (tiles without those that add,)
        the kind of each."""
        walks = self.walks().reshape(-1, 4)
        extents = np.column_stack([walks[:, 1] - walks[:, 0], walks[:, 3] - walks[:, 2]])
        found, place = np.unique(extents, axis=0, return_inverse=True)
        return found, np.tile(place.reshape(-1).astype(np.int32), self.heads)

    @property
    def places_read(self) -> int:
        """Of the places of keys and values, those that some tile walks over."""
        walks = self.walks().reshape(-1, 4)
        return self.problem.S - int(walks[walks[:, 3] > walks[:, 2], 2].min())


def places_seen(problem: Attention) -> int:
    """Of the places of keys and values, those that some query sees."""
    if not problem.window:
        return problem.S
    return min(problem.S, problem.Q + problem.window - 1)


def unseen_bytes(problem: Attention, operands: Sequence[Operand]) -> int:
    """Bytes of the operands outside the chip (queries, keys, values, perhaps what is added to scores) that
    need not be read: places that no query sees, and scores that are left out."""
    _, *keyed = operands
    found = 0
    for operand, used, whole in zip(
        keyed,
        (places_seen(problem), places_seen(problem), problem.pairs),
        (problem.S, problem.S, problem.Q * problem.S),
        strict=False,
    ):
        if operand.place != "chip":
            found += operand.size_bytes - operand.size_bytes * used // whole
    return found
