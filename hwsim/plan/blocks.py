"""Products of matrices cut into boxes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hwsim.arrays import Int64Array


@dataclass(frozen=True, slots=True)
class GemmMapping:
    """`batch` products C[m,n] += A[m,k] B[k,n], cut into tile_m x tile_n x tile_k boxes. The sum over k runs
    innermost; `order` says which of m and n is outer ("mn": m outermost). `packed` groups of the problem
    share one product as diagonal blocks (1: none); `sharing` tiles side by side along m bring their block of
    the second operand once for all of them; `padded_k` is the length that sums have with the padding that
    tiles bring along (0: none)."""

    batch: int
    m: int
    n: int
    k: int
    tile_m: int
    tile_n: int
    tile_k: int
    order: str = "mn"
    packed: int = 1
    sharing: int = 1
    padded_k: int = 0

    @property
    def tiles(self) -> int:
        return (
            self.batch
            * _count(self.m, self.tile_m)
            * _count(self.n, self.tile_n)
            * _count(self.k, self.tile_k)
        )

    def boxes(self) -> Int64Array:
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
