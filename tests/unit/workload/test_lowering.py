"""Choices of lowering: what operators become, and that totals stay what they were."""

from __future__ import annotations

import pytest

from hwsim.workload import Workload, load_workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.graph import Source
from hwsim.workload.lowering import (
    explicit_patches,
    functions_apart,
    fused_traffic_bytes,
    plain_attention,
)
from hwsim.workload.operators import Attention


def attention(
    heads: int = 4, groups: int = 2, queries: int = 3, keys: int = 5, mask: bool = False, **given: object
) -> Workload:
    builder = GraphBuilder("one")
    q = builder.input("q", (2, heads, queries, 8))
    k = builder.input("k", (2, groups, keys, 8))
    v = builder.input("v", (2, groups, keys, 6))
    m = builder.input("m", (queries, keys)) if mask else ""
    builder.attention(Label("attend"), q, k, v, m, **given)  # type: ignore[arg-type]
    return builder.build(["attend"], Source("builtin", "constructor", ""))


def test_attention_becomes_products_and_a_softmax() -> None:
    plain = plain_attention(attention())
    assert [(op.name, op.kind) for op in plain.operators] == [
        ("attend.queries", "view"), ("attend.scores", "matmul"), ("attend.softmax", "softmax"),
        ("attend.values", "matmul"), ("attend", "view"),
    ]  # fmt: skip
    assert plain.tensor("attend.scores").shape == (2, 2, 6, 5)
    assert plain.outputs == ("attend",)
    assert plain.tensor("attend").shape == (2, 4, 3, 6)


def test_heads_with_keys_of_their_own_need_no_views() -> None:
    plain = plain_attention(attention(groups=4))
    assert [op.kind for op in plain.operators] == ["matmul", "softmax", "matmul"]


def test_a_mask_is_added_to_scores_of_each_head() -> None:
    plain = plain_attention(attention(mask=True))
    softmax = next(op for op in plain.operators if op.kind == "softmax")
    assert softmax.inputs == ("attend.heads", "m")
    assert plain.tensor("attend.heads").shape == (2, 4, 3, 5)


@pytest.mark.parametrize("given", [{}, {"causal": True}, {"causal": True, "window": 2}, {"window": 2}])
def test_macs_are_those_of_pairs_that_see_one_another(given: dict[str, object]) -> None:
    fused = attention(**given)
    plain = plain_attention(fused)
    assert plain.macs == fused.macs
    executed = sum(op.problem.macs for op in plain.operators)
    assert executed == 2 * 4 * 3 * 5 * (8 + 6)
    assert (executed > fused.macs) == bool(given)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [0, 1, 3, 20])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 9), (4, 9), (9, 9)])
def test_pairs_are_those_of_a_mask_drawn_out(queries: int, keys: int, causal: bool, window: int) -> None:
    seen = 0
    for place in range(keys - queries, keys):
        for key in range(keys):
            near = not window or abs(place - key) < window
            seen += near and (key <= place or not causal)
    assert Attention(1, 1, 1, queries, keys, 8, 8, causal, window).pairs == seen


def test_only_chosen_attention_is_rewritten() -> None:
    fused = attention()
    assert plain_attention(fused, lambda op: op.name != "attend") is fused


def test_patches_keep_macs_parameters_and_grouped_convolutions() -> None:
    network = load_workload("mobilenet_v1")
    lowered = explicit_patches(network)
    assert lowered.macs == network.macs
    assert lowered.parameter_count == network.parameter_count
    kinds = [op.kind for op in lowered.operators]
    assert kinds.count("conv2d") == 13  # the depthwise ones
    first = lowered.operators[0]
    assert first.problem.elements == 112 * 112 * 3 * 9  # type: ignore[union-attr]


def test_functions_apart_write_what_fusing_saves() -> None:
    network = load_workload("resnet18")
    apart = functions_apart(network)
    steps, saved = fused_traffic_bytes(network)
    added = [op for op in apart.operators if op.kind == "elementwise" and op.problem.operands == 1]  # type: ignore[union-attr]
    assert steps == len(added) == len(apart.operators) - len(network.operators)
    assert saved == sum(2 * apart.tensor(op.output).size_bytes for op in added)
    assert fused_traffic_bytes(apart) == (0, 0)
    assert functions_apart(apart) is apart
