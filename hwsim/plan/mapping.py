"""How an operator is cut into tiles and in which order they are issued: the mappings of all devices. Steps
and streams stand here, blocks of a product in `blocks`, other shares of products in `shares`, attention in
`attention`."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hwsim.arrays import BoolArray, Int64Array
from hwsim.plan.attention import AttentionMapping
from hwsim.plan.blocks import GemmMapping
from hwsim.plan.shares import DirectMapping, RowMapping, SplitMapping, WinogradMapping

__all__ = [
    "AttentionMapping", "ColumnPart", "DirectMapping", "GemmMapping", "RowMapping", "SplitMapping",
    "StepMapping", "StreamMapping", "TileMapping", "WinogradMapping",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepMapping:
    """`steps` equal steps one after the other, each the same `products`, of one shape m x n: of a recurrent
    operator those of the input, where the steps multiply it, and of the state."""

    steps: int
    products: tuple[GemmMapping, ...]

    @property
    def step_tiles(self) -> int:
        return sum(product.tiles for product in self.products)

    @property
    def tiles(self) -> int:
        return self.steps * self.step_tiles

    def boxes(self) -> Int64Array:
        """(tiles of one step, 7) in issue order: which product, m0, m1, n0, n1, k0, k1 (ends exclusive)."""
        found = []
        for index, product in enumerate(self.products):
            boxes = product.boxes()
            boxes[:, 0] = index
            found.append(boxes)
        return np.concatenate(found)


@dataclass(frozen=True, slots=True)
class ColumnPart:
    """Columns begin to end of one group of a matrix; `opens_pass` where they come in anew with what follows,
    and then `pass_bytes` is what comes in (0 where the matrix stays in the machine)."""

    group: int
    begin: int
    end: int
    opens_pass: bool
    pass_bytes: int = 0


@dataclass(frozen=True, eq=False)
class StreamMapping:
    """Products of one compressed matrix [outputs, inputs] with vectors, whose nonzero elements are broadcast.

    The matrix is the sum of groups, each of at most `values` different values beside zero, its rows
    interleaved over `pes` streams with gaps of `index_bits`. A tile is one vector and one of the `parts` of
    the matrix. All parts of a vector follow one another, or with `by_pass` those between two passes: its sums
    then wait outside until the next pass. `vector_bytes` are what comes in for a vector each time that its
    parts begin (0 where vectors lie in the machine).
    """

    vectors: int
    outputs: int
    inputs: int
    parts: tuple[ColumnPart, ...]
    by_pass: bool
    pes: int
    index_bits: int
    values: int
    vector_bytes: int = 0

    @property
    def tiles(self) -> int:
        return self.vectors * len(self.parts)

    def order(self) -> tuple[Int64Array, Int64Array]:
        """(tiles,) the vector and the part of each tile, in issue order."""
        parts = np.arange(len(self.parts))
        if not self.by_pass:
            return np.repeat(np.arange(self.vectors), len(parts)), np.tile(parts, self.vectors)
        begins = [*np.flatnonzero([part.opens_pass for part in self.parts]).tolist(), len(parts)]
        vectors, found = [], []
        for begin, end in pairwise(begins):
            vectors.append(np.repeat(np.arange(self.vectors), end - begin))
            found.append(np.tile(parts[begin:end], self.vectors))
        return np.concatenate(vectors), np.concatenate(found)

    def runs(self) -> tuple[BoolArray, BoolArray]:
        """(tiles,) where a vector's parts begin to follow one another, and where they end."""
        vectors, parts = self.order()
        opens = np.array([part.opens_pass for part in self.parts])[parts] & self.by_pass
        first = (np.diff(vectors, prepend=-1) != 0) | opens
        return first, np.append(first[1:], True)


TileMapping = (
    GemmMapping
    | StepMapping
    | StreamMapping
    | AttentionMapping
    | RowMapping
    | DirectMapping
    | SplitMapping
    | WinogradMapping
)
