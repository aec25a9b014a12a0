"""How a matrix product is cut into tiles and in which order they are issued."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class GemmMapping:
    """`batch` products C[m,n] += A[m,k] B[k,n], cut into tile_m x tile_n x tile_k boxes. The sum over k runs
    innermost; `order` says which of m and n is outer ("mn": m outermost). `packed` groups of the problem
    share one product as diagonal blocks (1: none)."""

    batch: int
    m: int
    n: int
    k: int
    tile_m: int
    tile_n: int
    tile_k: int
    order: str = "mn"
    packed: int = 1

    @property
    def tiles(self) -> int:
        return (
            self.batch
            * _count(self.m, self.tile_m)
            * _count(self.n, self.tile_n)
            * _count(self.k, self.tile_k)
        )

    def boxes(self) -> NDArray[np.int64]:
        """(tiles, 7) in issue order: b, m0, m1, n0, n1, k0, k1 (ends exclusive)."""
        cuts = {
            name: list(pairwise([*range(0, total, size), total]))
            for name, total, size in (
                ("m", self.m, self.tile_m), ("n", self.n, self.tile_n), ("k", self.k, self.tile_k),
            )
        }  # fmt: skip
        outer, inner = self.order[0], self.order[1]
        rows: list[tuple[int, ...]] = []
        for b in range(self.batch):
            for first in cuts[outer]:
                for second in cuts[inner]:
                    m, n = (first, second) if outer == "m" else (second, first)
                    rows.extend((b, *m, *n, *k) for k in cuts["k"])
        return np.array(rows, dtype=np.int64).reshape(-1, 7)


def _count(total: int, size: int) -> int:
    return -(-total // size)


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

    def boxes(self) -> NDArray[np.int64]:
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

    def order(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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

    def runs(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(tiles,) where a vector's parts begin to follow one another, and where they end."""
        vectors, parts = self.order()
        opens = np.array([part.opens_pass for part in self.parts])[parts] & self.by_pass
        first = (np.diff(vectors, prepend=-1) != 0) | opens
        return first, np.append(first[1:], True)
