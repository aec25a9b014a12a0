"""Topological order: stable where it can be, and a cycle named by its members."""

from __future__ import annotations

import pytest

from hwsim.errors import SpecError
from hwsim.workload.order import topological_order


def test_the_given_order_is_kept_where_it_can_be() -> None:
    assert topological_order({"c": [], "a": ["c"], "b": []}) == ["c", "a", "b"]
    assert topological_order({"a": ["c"], "b": [], "c": [], "d": ["a", "a"]}) == ["b", "c", "a", "d"]


def test_a_cycle_is_named_without_bystanders() -> None:
    with pytest.raises(SpecError) as caught:
        topological_order({"in": [], "a": ["in", "c"], "b": ["a"], "c": ["b"], "after": ["c"]})
    assert "a needs c needs b needs a" in str(caught.value)
    assert "after" not in str(caught.value)


def test_a_layer_that_needs_itself_is_a_cycle() -> None:
    with pytest.raises(SpecError, match="a needs a"):
        topological_order({"a": ["a"]})


def test_a_long_cycle_is_cut_short() -> None:
    ring = {f"n{i}": [f"n{(i + 1) % 1000}"] for i in range(1000)}
    with pytest.raises(SpecError) as caught:
        topological_order(ring)
    assert "(1000 in all)" in str(caught.value)
    assert len(str(caught.value)) < 400
