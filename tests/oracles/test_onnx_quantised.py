"""Networks of stored integers, bit for bit what onnxruntime computes.

Weights stay within 7 bits: on processors without VNNI onnxruntime adds products of 8 bits in pairs that
saturate at 16 (its documentation calls it the U8S8 format and advises `reduce_range`), which no definition of
ONNX asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

import hwsim.pipeline as pipeline
from hwsim.errors import UnsupportedError
from hwsim.functional import execute, execute_stored
from hwsim.workload import Workload
from tests.onnx_graphs import Array, draw, graph, load, node, run

RNG = np.random.default_rng(5)


def small(*shape: int) -> Array:
    return RNG.integers(-63, 64, shape).astype(np.int8)


def stored(net: Workload, name: str, feeds: Mapping[str, Array], like: Array) -> Array:
    """What hwsim holds of `name`, as the file stores it."""
    found = execute_stored(net, feeds, keep=(name,))[name].values.astype(np.int64)
    return (found + 128).astype(np.uint8) if like.dtype == np.uint8 else found.astype(np.int8)


def on_grid(values: Array, scale: float, zero: int) -> Array:
    """Stored integers as the real numbers that they are."""
    return (values.astype(np.float64) - zero) * np.float32(scale)


def linear_network() -> tuple[onnx.ModelProto, Array]:
    """conv, pool, conv, add, pool, and a product, all on stored integers: scales are no powers of two, those
    of the first weights go by channel, and activations have no sign."""
    s, u = np.float32, np.uint8
    weights: dict[str, Any] = {
        "xs": s(0.0213), "xz": u(117), "w1": small(8, 3, 3, 3), "z1": np.zeros(8, np.int8),
        "s1": RNG.uniform(0.003, 0.012, 8).astype(s), "as": s(0.0211), "az": u(98),
        "b1": RNG.integers(-900, 900, 8).astype(np.int32), "w2": small(8, 8, 3, 3), "s2": s(0.0047),
        "z2": np.int8(0), "cs": s(0.0513), "cz": u(128), "ds": s(0.0391), "dz": u(120), "es": s(0.0271),
        "ez": u(119), "w3": small(8 * 4 * 4, 10), "s3": s(0.0041), "z3": np.int8(0), "ys": s(0.0713),
        "yz": u(131),
    }  # fmt: skip
    nodes = [
        node("QLinearConv", "x xs xz w1 s1 z1 as az b1", "a", pads=[1, 1, 1, 1]),
        node("MaxPool", "a", "b", kernel_shape=[2, 2], strides=[2, 2]),
        node("QLinearConv", "b as az w2 s2 z2 cs cz", "c", pads=[1, 1, 1, 1]),
        node("ms:QLinearAdd", "c cs cz b as az ds dz", "d"),
        node("ms:QLinearAveragePool", "d ds dz es ez", "e", kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", "e", "f"),
        node("QLinearMatMul", "f es ez w3 s3 z3 ys yz", "y"),
    ]
    x = RNG.integers(0, 256, (1, 3, 16, 16)).astype(np.uint8)
    names = "a b c d y"
    return graph(nodes, {"x": ("uint8", (1, 3, 16, 16))}, weights, names, made="uint8"), x


def test_a_network_of_stored_integers_equals_onnxruntime() -> None:
    proto, x = linear_network()
    wanted, net = run(proto, {"x": x}), load(proto)
    reals = {"x": on_grid(x, 0.0213, 117)}
    for name, values in wanted.items():
        assert len(np.unique(values)) > 5, name
        assert np.array_equal(stored(net, name, reals, values), values), name
    assert {t.dtype for t in net.tensors.values() if t.role in ("input", "activation", "output")} == {"int8"}
    assert net.tensors["w1.reals"].quantisation is not None


def test_the_machine_executes_it_to_the_bit() -> None:
    """The schedule that a TPU runs, tile by tile, against the reference."""
    proto, _ = linear_network()
    found = pipeline.run(load(proto), "tpu_v1", verify=True)
    assert found.verified
    assert found.verification is not None
    assert found.verification.exact.all()


def test_sums_are_scaled_in_single_precision() -> None:
    """Cases where an exact ratio rounds the other way than onnxruntime's: both roundings are seen."""
    scale = np.float32(0.007)
    weights = {
        "xs": np.float32(0.013), "xz": np.uint8(0), "w": np.arange(-63, 64, dtype=np.int8)[None],
        "ws": scale, "wz": np.int8(0), "ys": np.float32(0.013 * 0.007 * 64.0), "yz": np.uint8(128),
    }  # fmt: skip
    made = node("QLinearMatMul", "x xs xz w ws wz ys yz")
    proto = graph([made], {"x": ("uint8", (64, 1))}, weights, made="uint8")
    x = np.arange(64, dtype=np.uint8)[:, None]
    wanted = run(proto, {"x": x})["y"]
    net = load(proto)
    assert np.array_equal(stored(net, "y", {"x": on_grid(x, 0.013, 0)}, wanted), wanted)


def quantised(name: str, scale: str, zero: str) -> list[onnx.NodeProto]:
    return [
        node("QuantizeLinear", f"{name} {scale} {zero}", f"{name}_q"),
        node("DequantizeLinear", f"{name}_q {scale} {zero}", f"{name}_r"),
    ]


def surrounded_network() -> tuple[onnx.ModelProto, dict[str, Array]]:
    """QuantizeLinear and DequantizeLinear around float operators, as quantisers write them. All scales are
    powers of two, so that every sum and product is exact and only the definition decides."""
    s, u = np.float32, np.uint8
    weights: dict[str, Any] = {
        "xs": s(2**-5), "z": u(128), "w": small(8, 3, 3, 3), "ws": (2.0 ** -RNG.integers(5, 9, 8)).astype(s),
        "wz": np.zeros(8, np.int8), "b": RNG.integers(-500, 500, 8).astype(np.int32), "as": s(2**-3),
        "az": u(10), "ds": s(2**-2), "dz": u(64), "v": small(8, 8 * 4 * 4), "vs": s(2**-7), "vz": np.int8(0),
        "ys": s(2**-2),
    }  # fmt: skip
    weights["bs"] = weights["xs"] * weights["ws"]
    nodes = [
        *quantised("x", "xs", "z"),
        node("DequantizeLinear", "w ws wz", "w_r", axis=0),
        node("DequantizeLinear", "b bs", "b_r", axis=0),
        node("Conv", "x_r w_r b_r", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "a"),
        *quantised("a", "as", "az"),
        node("AveragePool", "a_r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        *quantised("p", "as", "az"),
        node("Add", "p_r p_r", "d"),
        *quantised("d", "ds", "dz"),
        node("Flatten", "d_r", "f"),
        node("DequantizeLinear", "v vs vz", "v_r"),
        node("Gemm", "f v_r", "y", transB=1),
        *quantised("y", "ys", "z"),
    ]
    x = np.round(draw(RNG, 2, 3, 8, 8) * 16) / np.float32(32)
    return graph(nodes, {"x": (2, 3, 8, 8)}, weights, "a_r p_r d_r y_r"), {"x": x.astype(np.float32)}


def test_quantisers_around_operators_equal_onnxruntime() -> None:
    proto, feeds = surrounded_network()
    net = load(proto)
    found, wanted = execute(net, feeds), run(proto, feeds, optimise=False)
    for name, values in wanted.items():
        assert len(np.unique(values)) > 5, name
        assert np.array_equal(found[name], values), name
    assert [op.kind for op in net.operators if op.kind != "view"] == [
        "conv2d",
        "pool",
        "elementwise",
        "matmul",
    ]


def test_a_tensor_read_unrounded_too_is_quantised_by_a_pass_of_its_own() -> None:
    weights = {"s": np.float32(0.25), "z": np.uint8(100)}
    nodes = [node("Tanh", "x", "t"), *quantised("t", "s", "z"), node("Add", "t t_r")]
    net = load(graph(nodes, {"x": (4, 8)}, weights))
    assert [op.problem.function for op in net.operators] == [  # type: ignore[union-attr]
        "tanh", "clip", "dequantise", "add"]  # fmt: skip
    assert net.tensors["t"].quantisation is None
    assert net.tensors["t_q"].quantisation is not None


def test_weights_alone_may_be_stored_integers() -> None:
    """Then activations stay floats, and weights are dequantised on their way in."""
    weights = {
        "w": small(8, 6),
        "ws": RNG.uniform(0.01, 0.02, 6).astype(np.float32),
        "wz": np.zeros(6, np.int8),
    }
    nodes = [node("DequantizeLinear", "w ws wz", "r", axis=1), node("MatMul", "x r")]
    proto = graph(nodes, {"x": (4, 8)}, weights)
    net = load(proto)
    assert (net.tensors["x"].dtype, net.tensors["r"].dtype) == ("fp32", "int8")
    x = draw(RNG, 4, 8)
    wanted = run(proto, {"x": x}, optimise=False)["y"]  # its optimiser would store activations in 8 bits
    assert np.allclose(execute(net, {"x": x})["y"], wanted, rtol=1e-5, atol=1e-5)


def test_stored_weights_are_not_scaled_off_their_grid() -> None:
    weights = {
        "w": small(4, 3, 1, 1), "ws": np.float32(0.01), "wz": np.int8(0),
        "f": RNG.uniform(0.5, 2, (4, 1, 1)).astype(np.float32),
    }  # fmt: skip
    nodes = [node("DequantizeLinear", "w ws wz", "r"), node("Conv", "x r", "c"), node("Mul", "c f")]
    proto = graph(nodes, {"x": (1, 3, 4, 4)}, weights)
    net, x = load(proto), draw(RNG, 1, 3, 4, 4)
    assert [op.kind for op in net.operators] == ["conv2d", "elementwise"]
    wanted = run(proto, {"x": x}, optimise=False)["y"]
    assert np.allclose(execute(net, {"x": x})["y"], wanted, rtol=1e-5, atol=1e-5)


def test_products_of_integers_scaled_by_the_run() -> None:
    """DynamicQuantizeLinear stores by the numbers of each run; hwsim's own scheme is a little coarser."""
    weights = {"w": small(32, 16), "ws": np.float32(0.01), "wz": np.int8(0)}
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"), node("MatMulInteger", "q w z wz", "i"),
        node("Cast", "i", "f", to=1), node("Mul", "s ws", "scale"), node("Mul", "f scale"),
    ]  # fmt: skip
    proto = graph(nodes, {"x": (4, 32)}, weights)
    net, x = load(proto), draw(RNG, 4, 32)
    wanted = run(proto, {"x": x})["y"]
    assert np.abs(execute(net, {"x": x})["y"] - wanted).max() <= 0.03 * np.abs(wanted).max()
    assert [op.kind for op in net.operators] == ["matmul"]
    assert any("DynamicQuantizeLinear" in note for note in net.notes)


REFUSED: list[tuple[list[onnx.NodeProto], dict[str, Any], str]] = [
    ([node("MatMulInteger", "x w", "y")], {"w": small(8, 4)}, "whose scale the file does not say"),
    ([node("Relu", "x", "y")], {}, "read without its scale"),
    (
        [node("DequantizeLinear", "x s z", "a"), node("DequantizeLinear", "x t z", "b"), node("Add", "a b")],
        {"s": np.float32(1), "t": np.float32(2), "z": np.uint8(0)},
        "another scale or zero point",
    ),
    (
        [node("DequantizeLinear", "x s z", "a"), node("QuantizeLinear", "a v zv", "y")],
        {"s": np.float32(1), "z": np.uint8(0), "v": np.float32([1] * 8), "zv": np.zeros(8, np.uint8)},
        "a scale for each channel",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "weights", "message"), REFUSED, ids=[case[2] for case in REFUSED])
def test_integers_that_stand_for_nothing_are_refused(
    nodes: list[onnx.NodeProto], weights: dict[str, Any], message: str
) -> None:
    proto = graph(nodes, {"x": ("uint8", (4, 8))}, weights, made="uint8")
    with pytest.raises(UnsupportedError, match=message):
        load(proto)
