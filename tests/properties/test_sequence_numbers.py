"""Operators of sequence networks of any shape, format and size of numbers: what executes them lies within the
bound that is derived for it, and the bound is not so wide that it would let anything through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.functional.check import compare, expect_vector
from hwsim.functional.numbers import Numbers, Stored
from hwsim.functional.reference_vector import vector
from hwsim.functional.sequence_vectors import only_copies
from hwsim.functional.vectors import execute_vector
from hwsim.tensor.encoding import find_fixed_point
from hwsim.tensor.tensor import Tensor
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Operator, Step

FORMATS = ("fp32", "fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "int16", "int8", "int4")
SIZES = st.integers(1, 9)


@st.composite
def built(draw: st.DrawFn) -> tuple[Operator, GraphBuilder]:
    g = GraphBuilder("one")
    n, c, h, w = (draw(SIZES) for _ in range(4))
    match draw(
        st.sampled_from(("norm", "group", "attention", "reduce", "resize", "fold", "softmax", "rotary"))
    ):
        case "norm":
            x = g.input("x", (n, c, w))
            axis = draw(st.sampled_from((1, 2)))
            shape = g.shape(x)[axis:]
            function = draw(st.sampled_from(("layer_norm", "rms_norm")))
            scale = g.weight("s", shape, "scale") if draw(st.booleans()) else ""
            shift = g.weight("t", shape, "shift") if scale and function == "layer_norm" else ""
            g.norm(
                Label("y"), x, function, scale, shift, axis=axis, epsilon=draw(st.sampled_from((0.1, 1e-5)))
            )
        case "group":
            groups = draw(st.sampled_from([d for d in range(1, c + 1) if c % d == 0]))
            g.norm(
                Label("y"),
                g.input("x", (n, c, h, w)),
                "group_norm",
                g.weight("s", (c,), "scale"),
                groups=groups,
            )
        case "attention":
            group, size, values = draw(SIZES), draw(SIZES), draw(SIZES)
            keys = h + draw(st.sampled_from((0, 1, 70)))
            q = g.input("q", (n, group * draw(st.integers(1, 3)), h, size))
            k, v = g.input("k", (n, group, keys, size)), g.input("v", (n, group, keys, values))
            mask = g.input("m", (h, keys)) if draw(st.booleans()) else ""
            g.attention(Label("y"), q, k, v, mask, causal=draw(st.booleans()), window=draw(st.integers(0, 5)))
        case "reduce":
            axes = draw(st.sampled_from(((0,), (1, 3), (2,), (0, 1, 2, 3))))
            function = draw(st.sampled_from(("mean", "sum", "max", "min")))
            g.reduce(Label("y"), g.input("x", (n, c, h, w)), function, axes)
        case "resize":
            size = (draw(SIZES), draw(SIZES))
            coordinates = draw(st.sampled_from(("half_pixel", "asymmetric", "align_corners")))
            function = draw(st.sampled_from(("nearest", "linear")))
            g.resize(Label("y"), g.input("x", (n, c, h, w)), size, function, coordinates=coordinates)
        case "fold":
            r, s, k = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
            weight = g.weight("w", (c, k, r, s), fan_in=c)
            stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
            g.conv_transpose(Label("y"), g.input("x", (n, c, h, w)), weight, stride=stride)
        case "softmax":
            g.softmax(Label("y"), g.input("x", (n, c, h, w)), mask=g.input("m", (h, w)))
        case _:
            angles = [g.weight(name, (h, w), "scale") for name in "cs"]
            g.rotary(Label("y"), g.input("x", (n, c, h, 2 * w)), *angles, interleaved=draw(st.booleans()))
    return g.operators[-1], g


@settings(max_examples=250)
@given(st.data())
def test_results_lie_within_their_bounds(data: st.DataObject) -> None:
    op, g = data.draw(built())
    if data.draw(st.booleans()) and not only_copies(op):
        op = replace(op, epilogue=(Step(data.draw(st.sampled_from(("relu", "gelu", "silu", "tanh")))),))
    dtype = data.draw(st.sampled_from(FORMATS))
    numbers = Numbers()
    if dtype == "int8" and data.draw(st.booleans()):
        numbers = Numbers(find_fixed_point("q3.4", data.draw(st.sampled_from(("truncate", "half_up")))))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    size = 10.0 ** data.draw(st.integers(-3, 3))
    stored = []
    for name in op.inputs:
        tensor = replace(g.tensors[name], dtype=dtype)
        values = size * draw.standard_normal(tensor.shape)
        values[draw.random(tensor.shape) < data.draw(st.sampled_from((0.0, 0.5)))] = 0.0
        encoding = numbers.encode(tensor, values)
        stored.append(Stored(encoding.store(values), encoding))
    shape = g.tensors[op.output].shape
    reals = vector(op, [x.reals for x in stored], shape)
    out = numbers.encode_result(op, Tensor("y", shape, dtype, "activation"), reals, stored)
    found, expected = execute_vector(op, stored, out, shape), expect_vector(op, stored, out, shape)
    assert compare(found, None, expected, out).first_wrong is None
    # A twentieth of the largest number more is no rounding, but in formats that round by as much.
    if dtype in ("fp32", "fp16") and not op.epilogue and np.abs(reals).max(initial=0.0) > 1e-3 and size <= 1:
        other = found + 0.05 * float(np.abs(reals).max()) * (1 - 2 * (found > 0))
        assert compare(other.astype(found.dtype), None, expected, out).first_wrong is not None
