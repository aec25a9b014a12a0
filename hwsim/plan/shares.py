"""How the products of an operator are dealt out to cores and thread blocks that share caches, where they are
not the blocks of a GemmMapping: rows and columns, direct and Winograd's convolutions, and split sums.

Boxes of all of them are (n, 8) in issue order: tile, b, m0, m1, n0, n1, k0, k1 (ends exclusive), of `batch`
products C[m,n] += A[m,k] B[k,n]; those of a convolution are its groups, with m over images, rows and columns
of the result, n over channels and k over the window. A tile may be of several boxes, or of none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.plan.blocks import GemmMapping
from hwsim.workload.operators import Conv2d


def even_ends(total: int, count: int) -> tuple[int, ...]:
    """Behind each of `count` shares of `total` that differ by one at most."""
    return tuple(total * i // count for i in range(1, count + 1))


@dataclass(frozen=True, slots=True)
class RowMapping:
    """Each tile takes rows of results, or with `along` "n" columns, whole: of all products one after the
    other, up to the number of them in `ends`. The second operand of a `sparse` one is stored without its
    zeros, and they are skipped."""

    batch: int
    m: int
    n: int
    k: int
    along: str  # "m" or "n"
    ends: tuple[int, ...]
    sparse: bool = False

    @property
    def tiles(self) -> int:
        return len(self.ends)

    @property
    def whole(self) -> GemmMapping:
        """The products, uncut."""
        return GemmMapping(self.batch, self.m, self.n, self.k, self.m, self.n, self.k)

    def boxes(self) -> Int64Array:
        side = self.m if self.along == "m" else self.n
        rows: list[tuple[int, ...]] = []
        for tile, b, first, end in _segments(self.ends, side):
            m, n = ((first, end), (0, self.n)) if self.along == "m" else ((0, self.m), (first, end))
            rows.append((tile, b, *m, *n, 0, self.k))
        return _table(rows)


@dataclass(frozen=True, slots=True)
class DirectMapping:
    """A direct convolution whose tasks are rows of results of blocks of channels: images outermost, then
    blocks, then rows. A block is `lanes` channels of a group; of a convolution with one channel in each
    group, of all groups in turn. Each tile takes tasks up to the number of them in `ends`."""

    problem: Conv2d
    lanes: int
    ends: tuple[int, ...]

    @property
    def tiles(self) -> int:
        return len(self.ends)

    @property
    def blocks(self) -> int:
        p = self.problem
        if p.groups == p.C:
            return -(-p.K // self.lanes)
        return p.groups * -(-p.K // p.groups // self.lanes)

    @property
    def whole(self) -> GemmMapping:
        """The products, uncut."""
        p = self.problem
        m, n, k = p.N * p.P * p.Q, p.K // p.groups, p.C // p.groups * p.R * p.S
        return GemmMapping(p.groups, m, n, k, m, n, k)

    def boxes(self) -> Int64Array:
        p, whole = self.problem, self.whole
        rows: list[tuple[int, ...]] = []
        for tile, place, first, end in _segments(self.ends, p.P):
            image, block = divmod(place, self.blocks)
            lines = ((image * p.P + first) * p.Q, (image * p.P + end) * p.Q)
            rows.extend((tile, g, *lines, *n, 0, whole.k) for g, *n in self._channels(block))
        return _table(rows)

    def _channels(self, block: int) -> Iterator[tuple[int, int, int]]:
        """Group, first channel in it and the one behind the last, of all parts of a block."""
        p, each = self.problem, self.problem.K // self.problem.groups
        if p.groups != p.C:
            group, within = divmod(block, self.blocks // p.groups)
            yield group, within * self.lanes, min((within + 1) * self.lanes, each)
            return
        first, end = block * self.lanes, min((block + 1) * self.lanes, p.K)
        for group in range(first // each, -(-end // each)):
            yield group, max(first - group * each, 0), min(end - group * each, each)


@dataclass(frozen=True, slots=True)
class SplitMapping:
    """Products whose sums are cut into parts, which different tiles leave in memory, and `adders` tiles
    behind all of them that add the parts of an even share of the results each."""

    products: GemmMapping
    adders: int

    @property
    def tiles(self) -> int:
        return self.products.tiles + self.adders

    @property
    def parts(self) -> int:
        return -(-self.products.k // self.products.tile_k)

    @property
    def whole(self) -> GemmMapping:
        """The products, uncut."""
        p = self.products
        return GemmMapping(p.batch, p.m, p.n, p.k, p.m, p.n, p.k)


@dataclass(frozen=True, slots=True)
class WinogradMapping:
    """A convolution by F(m x m, 3 x 3), m = `tile`: (m + 2)**2 products, of rows of tiles by channels. As
    many tiles as `before` says transform an even share each of all patches (tiles outermost, then channels)
    and, behind those, filters (channels of the result outermost); and as many as `after` results, tiles
    outermost. Where there are none, the blocks of the products do so themselves."""

    problem: Conv2d
    tile: int
    products: GemmMapping
    before: int = 0
    after: int = 0

    @property
    def tiles(self) -> int:
        return self.before + self.products.tiles + self.after

    @property
    def patches(self) -> int:
        return self.products.m * self.problem.C

    @property
    def transforms(self) -> int:
        """Patches and filters."""
        return self.patches + self.problem.C * self.problem.K

    @property
    def results(self) -> int:
        """Tiles of results, of all channels."""
        return self.products.m * self.problem.K


def _segments(ends: tuple[int, ...], side: int) -> Iterator[tuple[int, int, int, int]]:
    """Of tasks in rows of `side`: tile, row, and the first in the row and the one behind the last, of each
    tile's part of each row."""
    at = 0
    for tile, end in enumerate(ends):
        while at < end:
            row, first = divmod(at, side)
            last = min(side, first + end - at)
            yield tile, row, first, last
            at += last - first


def _table(rows: list[tuple[int, ...]]) -> Int64Array:
    return np.array(rows, dtype=np.int64).reshape(-1, 8)
