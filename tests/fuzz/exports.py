"""ONNX for fuzzing as exporters write it: recurrent layers, attention, norms, stored integers, branches,
loops, and tensors in another file. Mostly sound, so that damage to it gets far."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Made = tuple[list[Any], dict[str, list[Any]], dict[str, np.ndarray]]  # nodes, inputs, weights
_ROWS = ["N", 3, 4]


def _node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    names = ["" if name == "-" else name for name in inputs.split()]
    domain = "com.microsoft" if kind.startswith("ms:") else ""
    return helper.make_node(kind.removeprefix("ms:"), names, outputs.split(), domain=domain, **attributes)


def _ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def _recurrent(rng: Random) -> Made:
    kind = rng.choice(("LSTM", "GRU", "RNN"))
    gates, two = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], rng.random() < 0.5
    d = 2 if two else 1
    weights = {"w": _ones(d, gates * 2, 4), "r": _ones(d, gates * 2, 2), "b": _ones(d, gates * 4)}
    outputs = "y yh yc" if kind == "LSTM" else "y yh"
    given = {"direction": "bidirectional" if two else rng.choice(("forward", "reverse")), "hidden_size": 2,
             "layout": rng.choice((0, 0, 1))}  # fmt: skip
    inputs = rng.choice(("x w r", "x w r b", "x w r b - h"))
    shapes = {"x": [3, 2, 4], "h": [d, 2, 2]} if inputs.endswith("h") else {"x": [3, 2, 4]}
    return [_node(kind, inputs, outputs, **given), _node("Relu", "yh", "z")], shapes, weights


def _attention(rng: Random) -> Made:
    nodes = [
        _node("Transpose", "k", "kt", perm=[0, 1, 3, 2]), _node("MatMul", "q kt", "a"),
        _node(rng.choice(("Mul", "Div")), "a scale", "b"), _node("Add", "b mask", "s"),
        _node("Softmax", "s", "p", axis=-1), _node("MatMul", "p v", "z"),
    ]  # fmt: skip
    mask = np.where(np.tril(np.ones((3, 3))) > 0, 0, -1e9).astype(np.float32)
    weights = {"scale": np.float32(rng.choice((0.5, 0.0, 2.0))), "mask": mask}
    return nodes, {name: [1, 2, 3, 4] for name in "qkv"}, weights


def _norm(rng: Random) -> Made:
    nodes = [
        _node("ReduceMean", "x", "m", axes=[-1]), _node("Sub", "x m", "d"), _node("Pow", "d two", "q"),
        _node("ReduceMean", "q", "v", axes=[rng.choice((-1, -1, 1))]), _node("Add", "v eps", "w"),
        _node("Sqrt", "w", "r"), _node("Div", "d r", "n"), _node("Mul", "n g", "s"), _node("Add", "s b", "z"),
    ]  # fmt: skip
    eps = np.float32(rng.choice((1e-5, 0.0, -1.0)))
    return nodes, {"x": _ROWS}, {"two": np.float32(2), "eps": eps, "g": _ones(4), "b": _ones(4)}


def _stored(rng: Random) -> Made:
    scale = np.float32(rng.choice((0.5, 0.01, 0.0, -1.0, np.inf)) if rng.random() < 0.3 else 0.25)
    weights = {"s": scale, "z": np.uint8(rng.choice((0, 128, 255))), "w": np.ones((4, 4), np.int8),
               "wz": np.int8(0)}  # fmt: skip
    nodes = [
        _node("QuantizeLinear", "x s z", "q"), _node("QLinearMatMul", "q s z w s wz s z", "m"),
        _node(rng.choice(("Transpose", "Identity", "Flatten")), "m", "t"),
        _node("DequantizeLinear", "t s z", "z2"),
        _node("Relu", "z2", "zz"),
    ]  # fmt: skip
    return nodes, {"x": _ROWS}, weights


def _dynamic(_: Random) -> Made:
    nodes = [
        _node("DynamicQuantizeLinear", "x", "q s z"), _node("MatMulInteger", "q w z wz", "i"),
        _node("Cast", "i", "f", to=1), _node("Mul", "s ws", "scale"), _node("Mul", "f scale", "zz"),
    ]  # fmt: skip
    weights = {"w": np.ones((4, 5), np.int8), "ws": np.float32(0.1), "wz": np.int8(0)}
    return nodes, {"x": _ROWS}, weights


def _control(rng: Random) -> Made:
    def graph(nodes: list[Any], inputs: str, outputs: str) -> Any:
        values = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in text.split()]
                  for text in (inputs, outputs)]  # fmt: skip
        return helper.make_graph(nodes, "inner", *values)

    weights = {"c": np.array(rng.random() < 0.5), "n": np.array(rng.choice((0, 1, 3, 50, 10**9, -1)))}
    if rng.random() < 0.5:
        branches = [graph([_node(kind, "x", "t")], "", "t") for kind in ("Tanh", "Abs")]
        return (
            [_node("If", "c", "z", then_branch=branches[0], else_branch=branches[1])],
            {"x": _ROWS},
            weights,
        )
    body = graph(
        [_node("Tanh", "h", "h2"), _node("Identity", "h2", "o"), _node("Identity", "k", "k2")],
        "i k h",
        "k2 h2 o",
    )
    return [_node("Loop", "n yes x", "z all", body=body)], {"x": _ROWS}, {**weights, "yes": np.array(True)}


def _mixed(rng: Random) -> Made:
    """An embedding, moves, sums over named axes, and what enlarges images."""
    equation = rng.choice(("abc,cd->adb", "abc,cd->adb", "ab,bc->ac"))
    weights = {
        "table": _ones(7, 4),
        "w": _ones(4, 5), "times": np.array([1, 2, 1]), "scales": np.array([1, 1, 2, 2], np.float32),
        "k": _ones(1, 2, 3, 3),
    }  # fmt: skip
    nodes = [
        _node("Gather", "table x", "e"), _node("Einsum", "e w", "f", equation=equation),
        _node("Tile", "f times", "g"), _node("ReduceMax", "g", "h", axes=[rng.choice((0, 1, 2, 5))]),
        _node("Unsqueeze", "h", "u", axes=[1]), _node("ConvTranspose", "u k", "v", strides=[2, 2]),
        _node("Resize", "v - scales", "z"),
    ]  # fmt: skip
    return nodes, {"x": ["N", 3]}, weights


KINDS: tuple[Callable[[Random], Made], ...] = (
    _recurrent, _attention, _norm, _stored, _dynamic, _control, _mixed,
)  # fmt: skip


def exported(rng: Random) -> bytes:
    """One of the above."""
    make = rng.choice(KINDS)
    nodes, inputs, weights = make(rng)
    whole = make is _mixed
    kind = TensorProto.INT64 if whole else TensorProto.FLOAT
    last = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )  # fmt: skip
    if rng.random() < 0.1 and graph.initializer:
        _move_out(rng, graph)
    sets = [
        helper.make_opsetid("", rng.choice((11, 13, 17, 17, 20))),
        helper.make_opsetid("com.microsoft", 1),
    ]
    made: bytes = helper.make_model(graph, opset_imports=sets).SerializeToString()
    return made


def _move_out(rng: Random, graph: Any) -> None:
    """Say that a tensor lies in another file; what lies beside is the graph itself."""
    tensor = rng.choice(graph.initializer)
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (
        ("location", rng.choice(("w.onnx", "w.onnx", "absent", "../w.onnx", "/etc/passwd", ""))),
        ("offset", str(rng.choice((0, 0, 3, 2**40)))), ("length", str(size)),
    ):  # fmt: skip
        tensor.external_data.add(key=key, value=value)
