"""Layers that exporters write as many small operators: found in every spelling, refused where anything else
reads what lies within, and equal in numbers to what the file says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from hwsim.workload.operators import Attention
from tests.onnx_graphs import Array, agree, draw, graph, kinds, load, node

RNG = np.random.default_rng(0)
ROWS = (2, 5, 8)


def number(value: float) -> Array:
    return np.float32(value)


Nodes = list[onnx.NodeProto]

HALF, ONE, TWO, ROOT = number(0.5), number(1), number(2), number(math.sqrt(2))
ERF = {
    "torch": [
        node("Div", "x root", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"), node("Mul", "x c", "d"),
        node("Mul", "d half"),
    ],
    "half first": [
        node("Mul", "x inverse", "a"), node("Erf", "a", "b"), node("Add", "one b", "c"),
        node("Mul", "x half", "d"), node("Mul", "d c"),
    ],
    "half within": [
        node("Div", "x root", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"),
        node("Mul", "c half", "d"), node("Mul", "x d"),
    ],
}  # fmt: skip
TANH = {
    "by a power": [
        node("Pow", "x three", "a"), node("Mul", "a small", "b"), node("Add", "x b", "c"),
        node("Mul", "c slope", "d"), node("Tanh", "d", "e"), node("Add", "e one", "f"),
        node("Mul", "x half", "g"), node("Mul", "g f"),
    ],
    "by products": [
        node("Mul", "x x", "a"), node("Mul", "a x", "b"), node("Mul", "b small", "c"),
        node("Add", "x c", "d"), node("Mul", "d slope", "e"), node("Tanh", "e", "f"),
        node("Add", "f one", "g"), node("Mul", "x g", "h"), node("Mul", "h half"),
    ],
    "factored": [
        node("Mul", "x x", "a"), node("Mul", "a small", "b"), node("Add", "one b", "c"),
        node("Mul", "x slope", "d"), node("Mul", "d c", "e"), node("Tanh", "e", "f"),
        node("Add", "f one", "g"), node("Mul", "half x", "h"), node("Mul", "h g"),
    ],
}  # fmt: skip
NUMBERS = {
    "half": HALF, "one": ONE, "two": TWO, "three": number(3), "root": ROOT,
    "inverse": number(1 / math.sqrt(2)), "small": number(0.044715), "slope": number(math.sqrt(2 / math.pi)),
    "eps": number(1e-5),
}  # fmt: skip


def built(nodes: Nodes, weights: dict[str, Any] | None = None, outputs: str = "y") -> onnx.ModelProto:
    return graph(nodes, {"x": ROWS}, {**NUMBERS, **(weights or {})}, outputs)


@pytest.mark.parametrize("spelling", ERF)
def test_gelu_by_erf(spelling: str) -> None:
    net = agree(built(ERF[spelling]), {"x": draw(RNG, *ROWS)})
    assert kinds(net) == ["gelu"]
    assert any("1 GELU" in note for note in net.notes)


@pytest.mark.parametrize("spelling", TANH)
def test_gelu_by_tanh(spelling: str) -> None:
    assert kinds(agree(built(TANH[spelling]), {"x": draw(RNG, *ROWS)})) == ["gelu_tanh"]


@pytest.mark.parametrize(("name", "wrong"), [("half", 0.6), ("root", 1.5), ("one", 1.1)])
def test_other_factors_are_no_gelu(name: str, wrong: float) -> None:
    net = agree(built(ERF["torch"], {name: number(wrong)}), {"x": draw(RNG, *ROWS)})
    assert "gelu" not in kinds(net)


def test_what_is_read_within_is_kept() -> None:
    net = agree(built(ERF["torch"], outputs="y c"), {"x": draw(RNG, *ROWS)})
    assert "gelu" not in kinds(net)
    nodes = [*ERF["torch"][:-1], node("Mul", "d half", "e"), node("Add", "e b", "y")]
    assert "gelu" not in kinds(agree(built(nodes), {"x": draw(RNG, *ROWS)}))


GATED: list[tuple[Nodes, str]] = [
    ([node("Sigmoid", "x", "a"), node("Mul", "x a")], "silu"),
    ([node("Sigmoid", "x", "a"), node("Mul", "a x")], "silu"),
    ([node("HardSigmoid", "x", "a", alpha=1 / 6), node("Mul", "x a")], "hard_swish"),
    ([node("Softplus", "x", "a"), node("Tanh", "a", "b"), node("Mul", "x b")], "mish"),
]


@pytest.mark.parametrize(("nodes", "function"), GATED)
def test_gated_functions(nodes: Nodes, function: str) -> None:
    assert kinds(agree(built(nodes), {"x": draw(RNG, *ROWS)})) == [function]


def test_a_gate_on_something_else_stays() -> None:
    nodes = [node("Tanh", "x", "t"), node("Sigmoid", "t", "a"), node("Mul", "x a")]
    assert "silu" not in kinds(agree(built(nodes), {"x": draw(RNG, *ROWS)}))


# -- norms -----------------------------------------------------------------------------------------------


def layer_norm(*, squared: str = "pow", twice: bool = False, inverse: bool = False) -> Nodes:
    nodes = [node("ReduceMean", "x", "m", axes=[-1]), node("Sub", "x m", "d")]
    other = "d"
    if twice:
        nodes += [node("ReduceMean", "x", "m2", axes=[-1]), node("Sub", "x m2", "d2")]
        other = "d2"
    square = node("Pow", f"{other} two", "q") if squared == "pow" else node("Mul", f"{other} {other}", "q")
    nodes += [
        square, node("ReduceMean", "q", "v", axes=[-1]), node("Add", "v eps", "w"), node("Sqrt", "w", "r"),
    ]  # fmt: skip
    nodes += [node("Reciprocal", "r", "i"), node("Mul", "d i", "n")] if inverse else [node("Div", "d r", "n")]
    return [*nodes, node("Mul", "n gamma", "s"), node("Add", "s beta", "y")]


SCALES = {"gamma": draw(RNG, 8), "beta": draw(RNG, 8)}


@pytest.mark.parametrize(
    "given", [{}, {"squared": "mul"}, {"twice": True}, {"inverse": True}, {"twice": True, "squared": "mul"}]
)
def test_layer_norms(given: dict[str, Any]) -> None:
    net = agree(built(layer_norm(**given), SCALES), {"x": draw(RNG, *ROWS)})
    assert kinds(net) == ["layer_norm"]
    assert dict(net.operators[0].attributes)["epsilon"] == pytest.approx(1e-5)


def test_layer_norms_without_scale_or_shift() -> None:
    for cut, scaled in ((1, True), (2, False)):
        nodes = layer_norm()[:-cut]
        nodes[-1].output[0] = "y"
        net = agree(built(nodes, SCALES), {"x": draw(RNG, *ROWS)})
        assert kinds(net) == ["layer_norm"]
        problem = net.operators[0].problem
        assert (problem.scaled, problem.shifted) == (scaled, False)  # type: ignore[union-attr]


def rms_norm() -> Nodes:
    return [
        node("Cast", "x", "c", to=1), node("Pow", "c two", "q"), node("ReduceMean", "q", "v", axes=[-1]),
        node("Add", "v eps", "w"), node("Sqrt", "w", "r"), node("Div", "one r", "i"), node("Mul", "c i", "n"),
        node("Cast", "n", "o", to=1), node("Mul", "gamma o", "y"),
    ]  # fmt: skip


def test_rms_norms_with_casts_between() -> None:
    net = agree(built(rms_norm(), SCALES), {"x": draw(RNG, *ROWS)})
    assert kinds(net) == ["rms_norm"]


def test_a_norm_over_other_axes_stays() -> None:
    nodes = layer_norm()
    for one in nodes:
        if one.op_type == "ReduceMean":
            one.attribute[0].ints[0] = 1
    assert "layer_norm" not in kinds(agree(built(nodes, SCALES), {"x": draw(RNG, *ROWS)}))


def test_a_norm_whose_deviation_is_read_stays() -> None:
    net = agree(built(layer_norm(), SCALES, outputs="y r"), {"x": draw(RNG, *ROWS)})
    assert "layer_norm" not in kinds(net)


# -- attention -------------------------------------------------------------------------------------------

HEADS = {"q": (2, 3, 5, 8), "k": (2, 3, 5, 8), "v": (2, 3, 5, 8)}
CAUSAL = np.where(np.tril(np.ones((5, 5), bool)), 0, -np.inf).astype(np.float32)
WINDOW = np.where(np.tril(np.ones((5, 5), bool)) & ~np.tril(np.ones((5, 5), bool), -2), 0, -1e9).astype("f")
OTHER = np.where(RNG.random((5, 5)) < 0.3, -1e9, 0).astype(np.float32)
OTHER[np.arange(5), np.arange(5)] = 0
TURN = node("Transpose", "k", "kt", perm=[0, 1, 3, 2])
END = [node("Softmax", "s", "p", axis=-1), node("MatMul", "p v")]
SPELLINGS: dict[str, tuple[Nodes, dict[str, Any]]] = {
    "scores divided": ([TURN, node("MatMul", "q kt", "a"), node("Div", "a eight", "s"), *END], {}),
    "scores multiplied and masked": (
        [TURN, node("MatMul", "q kt", "a"), node("Mul", "a scale", "b"), node("Add", "b mask", "s"), *END],
        {"mask": OTHER},
    ),
    "queries scaled": ([TURN, node("Mul", "q scale", "a"), node("MatMul", "a kt", "s"), *END], {}),
    "both scaled": (
        [TURN, node("Mul", "q scale", "a"), node("Mul", "scale kt", "b"), node("MatMul", "a b", "s"), *END],
        {},
    ),
    "causal": (
        [TURN, node("MatMul", "q kt", "a"), node("Mul", "a scale", "b"), node("Add", "mask b", "s"), *END],
        {"mask": CAUSAL},
    ),
    "in a window": (
        [TURN, node("MatMul", "q kt", "a"), node("Add", "a mask", "s"), *END], {"mask": WINDOW}),
    "chosen by a mask": (
        [TURN, node("MatMul", "q kt", "a"), node("Where", "seen a low", "s"), *END],
        {"seen": np.tril(np.ones((5, 5), bool)), "low": number(-1e9)},
    ),
    "with dropout": (
        [TURN, node("MatMul", "q kt", "s"), END[0], node("Dropout", "p", "d"), node("MatMul", "d v")], {}),
    "turned by way of three dimensions": (
        [node("Reshape", "k flat", "f"), node("Transpose", "f", "g", perm=[0, 2, 1]),
         node("Reshape", "g back", "kt"), node("MatMul", "q kt", "s"), *END], {}),
}  # fmt: skip
CONSTANTS = {
    "eight": number(2.5), "scale": number(0.4), "flat": np.array([6, 5, 8]), "back": np.array([2, 3, 8, 5]),
}  # fmt: skip
FOUND: dict[str, dict[str, Any]] = {
    "causal": {"causal": True}, "in a window": {"causal": True, "window": 2},
    "chosen by a mask": {"causal": True}, "scores multiplied and masked": {"masked": True},
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_attention(spelling: str) -> None:
    nodes, weights = SPELLINGS[spelling]
    proto = graph(nodes, HEADS, {**CONSTANTS, **weights})
    net = agree(proto, {name: draw(RNG, *shape) for name, shape in HEADS.items()})
    assert kinds(net) == ["attention"]
    assert net.operators[-1].problem == Attention(2, 3, 3, 5, 5, 8, 8, **FOUND.get(spelling, {}))


def test_a_mask_that_also_weighs_is_kept() -> None:
    """Causal, and less by distance (ALiBi): not the causal mask alone."""
    slope = (CAUSAL + np.arange(5) * 0.25).astype(np.float32)
    nodes = [TURN, node("MatMul", "q kt", "a"), node("Add", "a mask", "s"), *END]
    proto = graph(nodes, HEADS, {"mask": slope})
    net = agree(proto, {name: draw(RNG, *shape) for name, shape in HEADS.items()})
    assert net.operators[-1].problem == Attention(2, 3, 3, 5, 5, 8, 8, masked=True)


@pytest.mark.parametrize("shape", [(6, 5, 8), (5, 8)])
def test_attention_of_fewer_dimensions(shape: Sequence[int]) -> None:
    turn = node("Transpose", "k", "kt", perm=[*range(len(shape) - 2), len(shape) - 1, len(shape) - 2])
    inputs = {name: tuple(shape) for name in "qkv"}
    proto = graph([turn, node("MatMul", "q kt", "s"), *END], inputs)
    net = agree(proto, {name: draw(RNG, *shape) for name in "qkv"})
    assert kinds(net) == ["attention"]


def test_attention_whose_scores_are_read_stays() -> None:
    proto = graph([TURN, node("MatMul", "q kt", "s"), *END], HEADS, outputs="y p")
    net = agree(proto, {name: draw(RNG, *shape) for name, shape in HEADS.items()})
    assert "attention" not in kinds(net)
    assert net.tensors["p"].role == "output"


def test_a_softmax_over_queries_is_no_attention() -> None:
    nodes = [TURN, node("MatMul", "q kt", "s"), node("Softmax", "s", "p", axis=2), node("MatMul", "p v")]
    net = agree(graph(nodes, HEADS), {name: draw(RNG, *shape) for name, shape in HEADS.items()})
    assert "attention" not in kinds(net)


def test_products_with_weights_are_no_attention() -> None:
    nodes = [node("MatMul", "x w", "s"), node("Softmax", "s", "p", axis=-1), node("MatMul", "p u")]
    proto = graph(nodes, {"x": (2, 5, 8)}, {"w": draw(RNG, 8, 5), "u": draw(RNG, 5, 8)})
    assert "attention" not in kinds(agree(proto, {"x": draw(RNG, 2, 5, 8)}))


def test_operators_that_lead_nowhere_are_dropped() -> None:
    nodes = [node("Split", "x", "a b", axis=2), node("Relu", "b")]
    net = load(graph(nodes, {"x": ROWS}, opset=13))
    assert [op.output for op in net.operators] == ["b", "y"]
