"""Every ONNX operator that hwsim knows beyond convolution networks, beside onnxruntime in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from hwsim.errors import HwsimError
from hwsim.functional import execute
from tests.onnx_graphs import Array, agree, draw, graph, load, node, run

RNG = np.random.default_rng(0)


def ints(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


def floats(*shape: int) -> Array:
    return draw(RNG, *shape)


Case = tuple[list[onnx.NodeProto], tuple[int, ...], dict[str, Any], int]
IMAGE, ROWS = (2, 4, 6, 6), (2, 5, 8)
CASES: dict[str, Case] = {
    "LayerNormalization": ([node("LayerNormalization", "x s b")], ROWS, {"s": floats(8), "b": floats(8)}, 17),
    "LayerNormalization of two axes": (
        [node("LayerNormalization", "x s", axis=1, epsilon=0.01)], ROWS, {"s": floats(5, 8)}, 17),
    "RMSNormalization": ([node("RMSNormalization", "x s")], ROWS, {"s": floats(8)}, 23),
    "InstanceNormalization": (
        [node("InstanceNormalization", "x s b")], IMAGE, {"s": floats(4), "b": floats(4)}, 17),
    "GroupNormalization by group": (
        [node("GroupNormalization", "x s b", num_groups=2)], IMAGE, {"s": floats(2), "b": floats(2)}, 18),
    "GroupNormalization by channel": (
        [node("GroupNormalization", "x s b", num_groups=2)], IMAGE, {"s": floats(4), "b": floats(4)}, 21),
    "ConvTranspose": (
        [node("ConvTranspose", "x w b", strides=[2, 2], pads=[1, 0, 1, 1], output_padding=[1, 0])],
        IMAGE, {"w": floats(4, 3, 3, 3), "b": floats(3)}, 17),
    "ConvTranspose in groups": (
        [node("ConvTranspose", "x w", group=2, dilations=[2, 1])], IMAGE, {"w": floats(4, 3, 2, 3)}, 17),
    "ConvTranspose to a size": (
        [node("ConvTranspose", "x w", strides=[2, 2], output_shape=[12, 12])], IMAGE,
        {"w": floats(4, 3, 3, 3)}, 17),
    "ConvTranspose same": (
        [node("ConvTranspose", "x w", strides=[2, 2], auto_pad="SAME_UPPER")], IMAGE,
        {"w": floats(4, 3, 3, 3)}, 17),
    "Resize nearest": ([node("Resize", "x - f")], IMAGE, {"f": np.float32([1, 1, 2, 2])}, 17),
    "Resize to sizes": (
        [node("Resize", "x - - z", mode="linear", coordinate_transformation_mode="align_corners")], IMAGE,
        {"z": ints(2, 4, 9, 7)}, 17),
    "Resize linear": (
        [node("Resize", "x - f", mode="linear", coordinate_transformation_mode="pytorch_half_pixel")], IMAGE,
        {"f": np.float32([1, 1, 2, 1.5])}, 13),
    "Resize of opset 10": ([node("Resize", "x f")], IMAGE, {"f": np.float32([1, 1, 2, 2])}, 10),
    "Upsample": ([node("Upsample", "x f", mode="linear")], IMAGE, {"f": np.float32([1, 1, 2, 2])}, 9),
    "DepthToSpace": ([node("DepthToSpace", blocksize=2)], IMAGE, {}, 17),
    "DepthToSpace by column": ([node("DepthToSpace", blocksize=2, mode="CRD")], IMAGE, {}, 17),
    "SpaceToDepth": ([node("SpaceToDepth", blocksize=3)], IMAGE, {}, 17),
    "ReduceMean": ([node("ReduceMean", axes=[1])], ROWS, {}, 13),
    "ReduceMean of opset 18": ([node("ReduceMean", "x a", keepdims=0)], ROWS, {"a": ints(-1, 1)}, 18),
    "ReduceSum": ([node("ReduceSum", "x a", keepdims=0)], ROWS, {"a": ints(2)}, 13),
    "ReduceMax": ([node("ReduceMax", axes=[0, 2])], ROWS, {}, 13),
    "ReduceMin of all": ([node("ReduceMin", keepdims=1)], ROWS, {}, 13),
    "ReduceL2": ([node("ReduceL2", axes=[2])], ROWS, {}, 13),
    "ReduceSumSquare": ([node("ReduceSumSquare", axes=[1], keepdims=0)], ROWS, {}, 13),
    "Expand": ([node("Expand", "x s")], (2, 1, 8), {"s": ints(3, 1, 5, 1)}, 17),
    "Tile": ([node("Tile", "x r")], ROWS, {"r": ints(1, 3, 2)}, 17),
    "Trilu": ([node("Trilu", "x k", upper=0)], ROWS, {"k": np.array(1)}, 17),
    "Gather a slice": ([node("Gather", "x i", axis=1)], ROWS, {"i": ints(1, 2, 3)}, 17),
    "Gather one": ([node("Gather", "x i", axis=-1)], ROWS, {"i": np.array(-2)}, 17),
    "Gather in any order": ([node("Gather", "x i", axis=1)], ROWS, {"i": ints(3, 0, 0, 4).reshape(2, 2)}, 17),
    "Where masks": (
        [node("Where", "c x f"), node("Softmax", "y", "z")], ROWS,
        {"c": np.tril(np.ones((5, 8), bool)), "f": np.float32(-np.inf)}, 17),
    "Where chooses": ([node("Where", "c f x")], ROWS, {"c": np.eye(5, 8, dtype=bool), "f": floats(8)}, 17),
    "Where of two": (
        [node("Tanh", "x", "t"), node("Where", "c x t")], ROWS, {"c": np.eye(5, 8, dtype=bool)}, 17),
    "Gelu": ([node("Gelu")], ROWS, {}, 20),
    "Gelu by tanh": ([node("Gelu", approximate="tanh")], ROWS, {}, 20),
    "FastGelu": ([node("ms:FastGelu", "x b")], ROWS, {"b": floats(8)}, 17),
    "BiasGelu": ([node("ms:BiasGelu", "x b")], ROWS, {"b": floats(8)}, 17),
    "QuickGelu": ([node("ms:QuickGelu")], ROWS, {}, 17),
    "FusedMatMul": ([node("ms:FusedMatMul", "x w", transB=1, alpha=0.5)], ROWS, {"w": floats(3, 8)}, 17),
    "SkipLayerNormalization": (
        [node("ms:SkipLayerNormalization", "x x s b c", "y - - t")], ROWS,
        {"s": floats(8), "b": floats(8), "c": floats(8)}, 17),
    "SkipSimplifiedLayerNormalization": (
        [node("ms:SkipSimplifiedLayerNormalization", "x x s")], ROWS, {"s": floats(8)}, 17),
    "packed Attention": (
        [node("ms:Attention", "x w b", num_heads=2, unidirectional=1)], ROWS,
        {"w": floats(8, 24), "b": floats(24)}, 17),
    "MultiHeadAttention": (
        [node("ms:MultiHeadAttention", "x x x b - m", num_heads=2)], ROWS,
        {"b": floats(24), "m": floats(1, 2, 5, 5)}, 17),
    "Einsum of a weight": (
        [node("Einsum", "x w", equation="abc,cde->abde")], ROWS, {"w": floats(8, 2, 3)}, 17),
    "Einsum of batches": (
        [node("Einsum", "x x", equation="bic,bjc->bji")], ROWS, {}, 17),
    "Einsum of one": ([node("Einsum", equation="abc->ca")], ROWS, {}, 17),
    "Split with Concat": (
        [node("Split", "x", "a b", axis=2), node("Concat", "b a", axis=2)], ROWS, {}, 13),
    "backward Slice": (
        [node("Slice", "x s e a t")], ROWS,
        {"s": ints(-1, 4), "e": ints(-(2**62), 0), "a": ints(2, 1), "t": ints(-2, -1)}, 17),
    "Conv along a line": (
        [node("Conv", "x w b", pads=[2, 1], strides=[2], dilations=[2])], (2, 3, 12),
        {"w": floats(4, 3, 3), "b": floats(4)}, 17),
    "Conv along a line, same": (
        [node("Conv", "x w", auto_pad="SAME_UPPER", group=3)], (2, 3, 12), {"w": floats(6, 1, 4)}, 17),
    "pools along a line": (
        [node("MaxPool", "x", "m", kernel_shape=[3], pads=[1, 1]),
         node("AveragePool", "m", "a", kernel_shape=[2], strides=[2]), node("GlobalAveragePool", "a", "y")],
        (2, 3, 12), {}, 17),
    "CastLike": ([node("CastLike", "x w")], ROWS, {"w": floats(1)}, 17),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_onnxruntime_computes(name: str) -> None:
    nodes, shape, weights, opset = CASES[name]
    outputs = "z" if nodes[-1].output[0] == "z" else "y t" if "t" in nodes[-1].output else "y"
    agree(graph(nodes, {"x": shape}, weights, outputs, opset=opset), {"x": floats(*shape)})


@pytest.mark.parametrize("inputs", [("q", "k", "v"), ("q", "k", "v", "m")])
@pytest.mark.parametrize("causal", [0, 1])
def test_attention_of_opset_23(inputs: Sequence[str], causal: int) -> None:
    """Grouped queries: two heads of keys for four of queries."""
    shapes = {"q": (1, 4, 5, 8), "k": (1, 2, 5, 8), "v": (1, 2, 5, 6)}
    weights = {"m": floats(5, 5)} if len(inputs) == 4 else {}
    made = node("Attention", " ".join(inputs), is_causal=causal, scale=0.3)
    net = agree(graph([made], shapes, weights, opset=23), {n: floats(*s) for n, s in shapes.items()})
    (op,) = (op for op in net.operators if op.kind == "attention")
    assert (op.problem.G, op.problem.causal) == (2, bool(causal))  # type: ignore[union-attr]


def test_attention_of_flat_heads_with_a_past() -> None:
    shapes = {"q": (2, 3, 8), "k": (2, 3, 8), "v": (2, 3, 8), "pk": (2, 2, 4, 4), "pv": (2, 2, 4, 4)}
    made = node("Attention", "q k v - pk pv", "y present_k present_v", q_num_heads=2, kv_num_heads=2)
    proto = graph([made], shapes, outputs="y present_k present_v", opset=23)
    agree(proto, {n: floats(*s) for n, s in shapes.items()})


@pytest.mark.parametrize("interleaved", [0, 1])
def test_rotary_embedding(interleaved: int) -> None:
    angles = np.arange(6)[:, None] * np.array([[1.0, 0.1, 0.01, 0.001]])
    weights = {"c": np.float32(np.cos(angles)), "s": np.float32(np.sin(angles)), "p": ints(*range(5))[None]}
    made = node("RotaryEmbedding", "x c s p", interleaved=interleaved)
    agree(graph([made], {"x": (1, 2, 5, 8)}, weights, opset=23), {"x": floats(1, 2, 5, 8)})


# -- recurrent layers ------------------------------------------------------------------------------------

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("full", [False, True])
def test_recurrent_layers(kind: str, direction: str, full: bool) -> None:
    """Bare, and with biases, initial states, peepholes and every output."""
    d, hidden, features, steps, batch = 1 + (direction == "bidirectional"), 4, 3, 5, 2
    rows = GATES[kind] * hidden
    weights = {"w": floats(d, rows, features), "r": floats(d, rows, hidden)}
    inputs, outputs = "x w r", "y"
    shapes: dict[str, tuple[int, ...]] = {"x": (steps, batch, features)}
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if full:
        weights |= {"b": floats(d, 2 * rows), "n": np.full(batch, steps, np.int32)}
        shapes["h"] = (d, batch, hidden)
        inputs, outputs = "x w r b n h", "y yh"
    if full and kind == "LSTM":
        weights |= {"c": floats(d, batch, hidden), "p": floats(d, 3 * hidden)}
        inputs, outputs = inputs + " c p", "y yh yc"
    if kind == "GRU":
        attributes["linear_before_reset"] = int(full)
    if kind == "RNN" and full:
        attributes["activations"] = ["Relu"] * d
    proto = graph([node(kind, inputs, outputs, **attributes)], shapes, weights, outputs)
    net = agree(proto, {name: floats(*shape) for name, shape in shapes.items()})
    assert sum(op.kind == "recurrent" for op in net.operators) == d
    assert net.batch == batch


def test_a_recurrent_layer_with_batches_first() -> None:
    """onnxruntime refuses layout 1, so the same layer with steps first is run beside it."""
    weights = {"w": floats(1, 16, 3), "r": floats(1, 16, 4), "b": floats(1, 32)}
    made = node("LSTM", "x w r b", "y yh yc", hidden_size=4, layout=1)
    first = graph([made], {"x": (2, 5, 3)}, weights, "y yh yc")
    nodes = [
        node("Transpose", "x", "turned", perm=[1, 0, 2]),
        node("LSTM", "turned w r b", "a b2 c", hidden_size=4),
        node("Transpose", "a", "y", perm=[2, 0, 1, 3]), node("Transpose", "b2", "yh", perm=[1, 0, 2]),
        node("Transpose", "c", "yc", perm=[1, 0, 2]),
    ]  # fmt: skip
    wanted = graph(nodes, {"x": (2, 5, 3)}, weights, "y yh yc")
    x = {"x": floats(2, 5, 3)}
    found, right = execute(load(first), x), run(wanted, x)
    for name, values in right.items():
        assert found[name].shape == values.shape
        assert np.allclose(found[name], values, atol=1e-5)


def test_a_layer_without_a_result_that_is_asked_for_is_refused() -> None:
    weights = {"w": floats(1, 12, 3), "r": floats(1, 12, 4)}
    proto = graph([node("GRU", "x w r", "- - z", hidden_size=4)], {"x": (5, 2, 3)}, weights, "z")
    with pytest.raises(HwsimError):
        agree(proto, {"x": floats(5, 2, 3)})


# -- inputs of whole numbers -----------------------------------------------------------------------------


def test_an_embedding_looks_up_what_it_receives() -> None:
    weights = {"t": floats(11, 8), "u": floats(7, 8), "s": ints(2, 3)}
    nodes = [
        node("Reshape", "i s", "seen"), node("Gather", "t seen", "a"), node("Gather", "u i", "b"),
        node("Reshape", "b shape", "c"), node("Add", "a c", "y"),
    ]  # fmt: skip
    proto = graph(nodes, {"i": ("int64", (6,))}, {**weights, "shape": ints(2, 3, 8)})
    net = agree(proto, {"i": RNG.integers(0, 7, 6)})
    assert net.tensors["i"].index_range == 7
    assert [op.kind for op in net.operators if op.kind == "gather"] == ["gather"] * 2


@pytest.mark.parametrize("zero", [True, False])
def test_a_mask_that_is_received_is_compared(zero: bool) -> None:
    """As torch's key_padding_mask: what equals 0 is hidden."""
    values = (np.float32(-np.inf), np.float32(0)) if zero else (np.float32(0), np.float32(-np.inf))
    nodes = [
        node("Equal", "m number", "c"), node("Cast", "c", "d", to=9), node("Where", "d then else", "added"),
        node("Unsqueeze", "added axes", "a"), node("Add", "x a", "scores"), node("Softmax", "scores", "y"),
    ]  # fmt: skip
    weights = {
        "number": np.array(int(not zero)),
        "then": values[0],
        "else": np.full((2, 8), values[1]),
        "axes": ints(1),
    }
    mask = np.ones((2, 8), np.int64)
    mask[0, 5:] = 0
    proto = graph(nodes, {"x": (2, 5, 8), "m": ("int64", (2, 8))}, weights)
    net = agree(proto, {"x": floats(2, 5, 8), "m": mask})
    assert any("taken for a mask of 0 and 1" in note for note in net.notes)


def test_a_mask_that_is_received_is_computed_with() -> None:
    """As BERT's: (1 - mask) times a very low number, added to the scores."""
    nodes = [
        node("Unsqueeze", "m axes", "seen"), node("Cast", "seen", "f", to=1), node("Sub", "one f", "left"),
        node("Mul", "left low", "added"), node("Add", "x added", "scores"), node("Softmax", "scores", "y"),
    ]  # fmt: skip
    weights = {"axes": ints(1), "one": np.float32(1), "low": np.float32(-10000)}
    proto = graph(nodes, {"x": (2, 5, 8), "m": ("int64", (2, 8))}, weights)
    mask = np.ones((2, 8), np.int64)
    mask[0, 5:] = 0
    net = agree(proto, {"x": floats(2, 5, 8), "m": mask})
    assert any("'m' holds whole numbers" in note for note in net.notes)
