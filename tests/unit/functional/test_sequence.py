"""Operators of sequence networks: what executes them against the reference, and the reference against
onnxruntime and plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper

from hwsim.functional.check import compare, expect_vector
from hwsim.functional.numbers import Numbers, Stored
from hwsim.functional.reference_sequence import sequence
from hwsim.functional.reference_vector import vector
from hwsim.functional.vectors import execute_vector
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Operator

DRAW = np.random.default_rng(5)


def made(build: Callable[[GraphBuilder], object]) -> tuple[Operator, GraphBuilder]:
    builder = GraphBuilder("one")
    build(builder)
    return builder.operators[-1], builder


def _norm(function: str, **given: object) -> Callable[[GraphBuilder], object]:
    def build(b: GraphBuilder) -> object:
        x = b.input("x", (2, 6, 5, 4))
        shape = (6,) if function == "group_norm" else (4,)
        scale, shift = b.weight("s", shape, "scale"), b.weight("t", shape, "shift")
        return b.norm(Label("y"), x, function, scale, shift, **given)  # type: ignore[arg-type]

    return build


def _attention(
    heads: int, groups: int, queries: int, keys: int, masked: bool = False, **given: object
) -> Callable[[GraphBuilder], object]:
    def build(b: GraphBuilder) -> object:
        q = b.input("q", (2, heads, queries, 8))
        k, v = b.input("k", (2, groups, keys, 8)), b.input("v", (2, groups, keys, 6))
        mask = b.input("m", (queries, keys)) if masked else ""
        return b.attention(Label("y"), q, k, v, mask, **given)  # type: ignore[arg-type]

    return build


def _simple(
    method: str, *arguments: object, shape: tuple[int, ...] = (2, 3, 5, 4), **given: object
) -> Callable[[GraphBuilder], object]:
    def build(b: GraphBuilder) -> object:
        return getattr(b, method)(Label("y"), b.input("x", shape), *arguments, **given)

    return build


def _rotary(interleaved: bool) -> Callable[[GraphBuilder], object]:
    def build(b: GraphBuilder) -> object:
        x = b.input("x", (2, 3, 5, 8))
        c, s = b.weight("c", (5, 4), "scale"), b.weight("s", (5, 4), "shift")
        return b.rotary(Label("y"), x, c, s, interleaved=interleaved)

    return build


def _fold(b: GraphBuilder) -> object:
    x = b.input("x", (2, 4, 3, 5))
    w, bias = b.weight("w", (4, 3, 3, 2), fan_in=4), b.weight("b", (6,), "bias")
    return b.conv_transpose(
        Label("y"),
        x,
        w,
        bias,
        stride=(2, 3),
        pad=(1, 0, 0, 1),
        dilation=(2, 1),
        output_padding=(1, 0),
        groups=2,
    )


def _gather(b: GraphBuilder) -> object:
    table = b.weight("w", (11, 6))
    return b.gather(Label("y"), table, b.indices("i", (2, 4), 11))


def _append(b: GraphBuilder) -> object:
    cache = b.cache("c", (2, 3, 7, 4))
    return b.append(Label("y"), cache, b.input("x", (2, 3, 2, 4)), axis=2, start=4)


CASES: dict[str, Callable[[GraphBuilder], object]] = {
    "layer_norm": _norm("layer_norm"),
    "rms_norm": _norm("rms_norm", epsilon=1e-3),
    "group_norm": _norm("group_norm", groups=3),
    "attention": _attention(4, 2, 3, 70),
    "causal": _attention(4, 4, 5, 5, causal=True),
    "window": _attention(2, 1, 4, 9, causal=True, window=3, scale=0.7),
    "masked": _attention(2, 2, 4, 9, masked=True),
    "mean": _simple("reduce", "mean", (1, 3)),
    "max": _simple("reduce", "max", (-1,), keepdims=False),
    "nearest": _simple("resize", (10, 9), "nearest"),
    "linear": _simple("resize", (7, 3), "linear", coordinates="align_corners"),
    "rotary": _rotary(False),
    "interleaved": _rotary(True),
    "fold": _fold,
    "gather": _gather,
    "append": _append,
    "silu": _simple("unary", "silu"),
    "gelu_tanh": _simple("unary", "gelu_tanh"),
}  # fmt: skip


def operands(op: Operator, builder: GraphBuilder, dtype: str) -> list[Stored]:
    numbers = Numbers()
    found = []
    for name in op.inputs:
        tensor = builder.tensors[name]
        if tensor.index_range:
            values: Array = DRAW.integers(tensor.index_range, size=tensor.shape)
        else:
            values = DRAW.standard_normal(tensor.shape)
            tensor = replace(tensor, dtype=dtype)
        encoding = numbers.encode(tensor, values)
        found.append(Stored(encoding.store(values), encoding))
    return found


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", "int16", "int8"])
@pytest.mark.parametrize("case", CASES)
def test_a_machine_computes_what_the_reference_says(case: str, dtype: str) -> None:
    op, builder = made(CASES[case])
    tensor = builder.tensors[op.output]
    stored = operands(op, builder, dtype)
    reals = vector(op, [x.reals for x in stored], tensor.shape)
    out = Numbers().encode_result(op, Tensor("y", tensor.shape, dtype, "activation"), reals, stored)
    found = execute_vector(op, stored, out, tensor.shape)
    expected = expect_vector(op, stored, out, tensor.shape)
    agreement = compare(found, None, expected, out)
    assert agreement.first_wrong is None
    assert found.shape == tensor.shape
    assert np.abs(reals).max() > 0
    # A bound that would also let a wrong result through proves nothing.
    if expected.bound is not None and out.is_float:
        assert np.median(expected.bound) < 0.02 * np.abs(reals).max()
        other = found + np.sign(found) * 0.1 * np.abs(reals).max()
        assert compare(other.astype(found.dtype), None, expected, out).first_wrong is not None


def run_onnx(kind: str, inputs: Sequence[Array], **attributes: object) -> Array:
    """What onnxruntime computes; an input without elements is left out."""
    import onnxruntime

    names = [f"i{n}" if x.size else "" for n, x in enumerate(inputs)]
    given = [
        helper.make_tensor_value_info(
            name, TensorProto.INT64 if x.dtype == np.int64 else TensorProto.FLOAT, x.shape
        )
        for name, x in zip(names, inputs, strict=True)
        if name
    ]
    made_by = helper.make_node(kind, names, ["y"], **attributes)
    graph = helper.make_graph(
        [made_by], "g", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {n: x for n, x in zip(names, inputs, strict=True) if n})[0]
    return found


def reals(op: Operator, builder: GraphBuilder) -> list[Array]:
    return [x.reals.astype(np.float32) for x in operands(op, builder, "fp32")]


@pytest.mark.parametrize(
    ("case", "kind", "attributes"),
    [
        ("layer_norm", "LayerNormalization", {"axis": -1, "epsilon": 1e-5}),
        ("group_norm", "GroupNormalization", {"num_groups": 3, "epsilon": 1e-5}),
        ("silu", "", {}),
    ],
)
def test_the_reference_agrees_with_onnxruntime(case: str, kind: str, attributes: dict[str, object]) -> None:
    op, builder = made(CASES[case])
    x = reals(op, builder)
    wanted = run_onnx(kind, x, **attributes) if kind else x[0] * run_onnx("Sigmoid", x)
    found = vector(op, [v.astype(np.float64) for v in x], wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("function", ["linear", "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("size", [(10, 8), (7, 3), (1, 1), (3, 9)])
def test_resizing_is_onnxs(coordinates: str, function: str, size: tuple[int, int]) -> None:
    near = {} if function == "linear" else {"nearest": function}
    op, builder = made(
        _simple("resize", size, "nearest" if near else "linear", coordinates=coordinates, **near)
    )
    x = reals(op, builder)
    nothing, sizes = np.zeros(0, dtype=np.float32), np.array([2, 3, *size], dtype=np.int64)
    wanted = run_onnx(
        "Resize", [x[0], nothing, nothing, sizes], coordinate_transformation_mode=coordinates,
        **({"mode": "nearest", "nearest_mode": function} if near else {"mode": "linear"}),
    )  # fmt: skip
    found = sequence(op, [x[0].astype(np.float64)])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_transposed_convolution_is_onnxs() -> None:
    builder = GraphBuilder("one")
    _fold(builder)
    first, second = builder.operators
    x = DRAW.standard_normal((2, 4, 3, 5)).astype(np.float32)
    kernel = DRAW.standard_normal((4, 3, 3, 2)).astype(np.float32)
    bias = DRAW.standard_normal(6).astype(np.float32)
    wanted = run_onnx(
        "ConvTranspose", [x, kernel, bias], strides=[2, 3], pads=[1, 0, 0, 1], dilations=[2, 1],
        output_padding=[1, 0], group=2,
    )  # fmt: skip
    weight = builder.tensors["w"]
    values = replace(weight.values, weight=replace(weight.values.weight, values=lambda: kernel))()  # type: ignore[union-attr,misc,call-overload,type-var,attr-defined]
    windows = np.concatenate(
        [
            np.einsum("oc,nchw->nohw", part[:, :, 0, 0], x[:, 2 * i : 2 * i + 2])
            for i, part in enumerate(np.split(values, 2))
        ],
        axis=1,
    )
    assert first.output == second.inputs[0]
    found = sequence(second, [windows.astype(np.float64), bias.astype(np.float64)])
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["attention", "causal", "window", "masked"])
def test_attention_agrees_with_loops(case: str) -> None:
    op, builder = made(CASES[case])
    q, k, v, *mask = (x.reals for x in operands(op, builder, "fp32"))
    p, given = op.problem, dict(op.attributes)
    wanted = np.zeros((2, p.H, p.Q, p.V))  # type: ignore[union-attr]
    for b, h, i in np.ndindex(2, p.H, p.Q):  # type: ignore[union-attr]
        place, g = p.S - p.Q + i, h * p.G // p.H  # type: ignore[union-attr]
        powers = []
        for j in range(p.S):  # type: ignore[union-attr]
            seen = (j <= place or not p.causal) and (not p.window or abs(j - place) < p.window)  # type: ignore[union-attr]
            score = given["scale"] * float(q[b, h, i] @ k[b, g, j]) + (mask[0][i, j] if mask else 0.0)  # type: ignore[operator]
            powers.append(math.exp(score) if seen else 0.0)
        wanted[b, h, i] = np.array(powers) @ v[b, g] / sum(powers)
    np.testing.assert_allclose(sequence(op, [q, k, v, *mask]), wanted, rtol=1e-12, atol=1e-12)


def test_patches_times_weights_are_a_convolution() -> None:
    from hwsim.functional.reference_sequence import patches as wanted
    from hwsim.functional.sequence_vectors import patches

    op, _ = made(_simple("unary", "relu"))
    given = (("dilation", (2, 1)), ("kernel", (2, 3)), ("pad", (1, 0, 2, 1)), ("stride", (1, 2)))
    x = DRAW.standard_normal((2, 3, 6, 7)).astype(np.float32)
    found = patches(replace(op, attributes=given), x, np.zeros(()))
    np.testing.assert_array_equal(found, wanted(dict(given), x))
    kernel = DRAW.standard_normal((4, 3, 2, 3)).astype(np.float32)
    by_onnx = run_onnx("Conv", [x, kernel], dilations=[2, 1], pads=[1, 0, 2, 1], strides=[1, 2])
    product = (found @ kernel.reshape(4, -1).T).transpose(0, 2, 1).reshape(by_onnx.shape)
    np.testing.assert_allclose(product, by_onnx, rtol=1e-4, atol=1e-5)
