"""Blocks of queries and the keys that they walk over, beside a mask written out number by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.checks.attention import needed_bytes, seen_pairs
from hwsim.plan.attention import AttentionMapping, places_seen, unseen_bytes
from hwsim.plan.residency import Operand, Residency
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import Attention


def mask_of(p: Attention) -> Array:
    """(Q, S) what each query sees, place by place, from the definition."""
    seen = np.ones((p.Q, p.S), dtype=np.bool_)
    for i in range(p.Q):
        for place in range(p.S):
            own = p.S - p.Q + i
            if p.causal and place > own:
                seen[i, place] = False
            if p.window and abs(place - own) >= p.window:
                seen[i, place] = False
    return seen


@st.composite
def problems(draw: st.DrawFn) -> Attention:
    queries, more = draw(st.integers(1, 25)), draw(st.integers(0, 30))
    return Attention(
        draw(st.integers(1, 2)), 2 * draw(st.integers(1, 2)), 2, queries, queries + more, 4, 6,
        draw(st.booleans()), draw(st.sampled_from([0, 1, 2, 7, 100])),
    )  # fmt: skip


sides = st.integers(1, 12)


@settings(max_examples=200)
@given(p=problems(), tile_q=sides, tile_k=sides, parts=st.integers(1, 4))
def test_every_pair_that_is_seen_is_walked_over_once(
    p: Attention, tile_q: int, tile_k: int, parts: int
) -> None:
    mapping = AttentionMapping(p, tile_q, tile_k, parts)
    boxes = mapping.boxes()
    assert len(boxes) == mapping.tiles
    covered = np.zeros((p.B * p.H, p.Q, p.S), dtype=np.int64)
    for head, q0, q1, k0, k1 in boxes.tolist():
        assert (q1 - q0 <= tile_q) & (k0 <= k1)
        assert k0 % tile_k == 0 or k0 == k1
        assert k1 % tile_k == 0 or k1 == p.S or k0 == k1
        covered[head, q0:q1, k0:k1] += 1
    assert covered.max() <= 1
    seen = mask_of(p)
    assert (covered[:, seen] == 1).all()
    # A block of scores that none of its queries sees is left out.
    for q0 in range(0, p.Q, tile_q):
        for k0 in range(0, p.S, tile_k):
            if not seen[q0 : q0 + tile_q, k0 : k0 + tile_k].any():
                assert not covered[:, q0 : q0 + tile_q, k0 : k0 + tile_k].any()
    kinds, of_tile = mapping.kinds()
    assert (kinds[of_tile] == np.column_stack([boxes[:, 2] - boxes[:, 1], boxes[:, 4] - boxes[:, 3]])).all()
    assert mapping.places_read == p.S - int(covered.any(axis=(0, 1)).argmax())


@settings(max_examples=200)
@given(p=problems())
def test_counts_are_those_of_the_mask(p: Attention) -> None:
    seen = mask_of(p)
    assert p.pairs == seen_pairs(p) == int(seen.sum())
    assert places_seen(p) == int(seen.any(axis=0).sum())
    assert p.macs == p.B * p.H * int(seen.sum()) * (p.D + p.V)


@settings(max_examples=100)
@given(p=problems(), place=st.sampled_from(["chip", "memory", "weights"]))
def test_bounds_and_checks_agree_on_what_must_be_read(p: Attention, place: str) -> None:
    """Two countings, in two floors: the device's and the checks'."""
    sizes = (p.B * p.H * p.Q * p.D, p.B * p.G * p.S * p.D, p.B * p.G * p.S * p.V, p.Q * p.S)
    operands = tuple(Operand(n, 2 * n, "fp16", place) for n in sizes)
    residency = Residency(operands, operands[0])
    outside = 0 if place == "chip" else sum(o.size_bytes for o in operands)
    assert sum(needed_bytes(p, residency)) == outside - unseen_bytes(p, operands)


@pytest.mark.parametrize(
    ("causal", "window", "keys"), [(False, 0, 40), (True, 0, 40), (True, 8, 8), (False, 8, 8)]
)
def test_one_query_and_the_heads_that_share_its_keys(causal: bool, window: int, keys: int) -> None:
    """Eight heads of queries for two of keys: two heads of four rows, and keys in blocks of eight from place
    32 where a window of eight leaves out all before."""
    p = Attention(3, 8, 2, 1, 40, 4, 4, causal, window)
    mapping = AttentionMapping(p, 16, 8, packed=True)
    assert (mapping.heads, mapping.rows, mapping.tiles) == (6, 4, 6)
    assert mapping.boxes().tolist() == [[head, 0, 4, 40 - keys, 40] for head in range(6)]


def test_parts_are_of_what_is_seen() -> None:
    """Of ten blocks of keys a window sees the last four, so that each of two parts has two of them."""
    p = Attention(1, 1, 1, 1, 80, 4, 4, True, 32)
    mapping = AttentionMapping(p, 1, 8, parts=2, adding=3)
    assert mapping.walks()[0, :, 2:].tolist() == [[48, 64], [64, 80]]
    assert mapping.tiles == 2 + 3
