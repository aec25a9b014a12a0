"""Tile kinds against the boxes they stand for: the same extents, flags and order, and the problem covered
once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.plan.mapping import GemmMapping
from hwsim.plan.tiling import tile_kinds


@st.composite
def gemm_mappings(draw: st.DrawFn) -> GemmMapping:
    totals = [draw(st.integers(1, 12)) for _ in range(3)]
    sizes = [draw(st.integers(1, total)) for total in totals]
    return GemmMapping(draw(st.integers(1, 3)), *totals, *sizes, order=draw(st.sampled_from(["mn", "nm"])))


@given(gemm_mappings())
def test_kinds_say_of_every_tile_what_its_box_says(mapping: GemmMapping) -> None:
    kinds, boxes = tile_kinds(mapping), mapping.boxes()
    assert len(kinds.kind_of_tile) == len(boxes) == mapping.tiles
    of = kinds.kind_of_tile
    for extent, first, last, total, begin in (
        (kinds.m, kinds.first_m, kinds.last_m, mapping.m, 1),
        (kinds.n, kinds.first_n, kinds.last_n, mapping.n, 3),
        (kinds.k, kinds.first_k, kinds.last_k, mapping.k, 5),
    ):
        low, high = boxes[:, begin], boxes[:, begin + 1]
        assert (extent[of] == high - low).all()
        assert (first[of] == (low == 0)).all()
        assert (last[of] == (high == total)).all()


@given(gemm_mappings())
def test_boxes_cover_the_problem_exactly_once(mapping: GemmMapping) -> None:
    times = np.zeros((mapping.batch, mapping.m, mapping.n, mapping.k), dtype=np.int64)
    for b, m0, m1, n0, n1, k0, k1 in mapping.boxes().tolist():
        times[b, m0:m1, n0:n1, k0:k1] += 1
    assert (times == 1).all()


@given(gemm_mappings())
def test_boxes_come_in_the_order_of_their_loops(mapping: GemmMapping) -> None:
    starts = mapping.boxes()[:, [0, 1, 3, 5]]
    wanted = [0, 1, 2, 3] if mapping.order == "mn" else [0, 2, 1, 3]
    keys = [tuple(row) for row in starts[:, wanted].tolist()]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("total", "size", "extents"),
    [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (3, 3, [3]), (2, 3, [2]), (9, 2, [2, 2, 2, 2, 1])],
)
def test_edges_by_hand(total: int, size: int, extents: list[int]) -> None:
    kinds = tile_kinds(GemmMapping(1, total, 1, 1, min(size, total), 1, 1))
    assert kinds.m[kinds.kind_of_tile].tolist() == extents
    assert kinds.first_m[kinds.kind_of_tile].tolist() == [True] + [False] * (len(extents) - 1)
    assert kinds.last_m[kinds.kind_of_tile].tolist() == [False] * (len(extents) - 1) + [True]
