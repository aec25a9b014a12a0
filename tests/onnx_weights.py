"""The graphs of the onnx wheel, whose weights are placeholders, with seeded weights put in: what hwsim and
onnxruntime can both compute."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NORM_INPUTS = {1: 1.0, 2: 0.0, 3: 0.0, 4: 1.0}  # place in a BatchNormalization -> what its values lie around


def weighted(name: str, seed: int = 0) -> ModelProto:
    """light_<name> with initialisers in place of its constant weights: He-normal, small biases, norms near
    the identity. What goes into a final softmax becomes an output too: its own is nearly one-hot."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph, draw = model.graph, np.random.default_rng(seed)
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    users = {n: (node.op_type, place) for node in graph.node for place, n in enumerate(node.input)}
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        values = _values(draw, shape, *users.get(node.output[0], ("", 0)))
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    model.ir_version = 8  # from 4 on initialisers need not be inputs too
    given = {i.name for i in graph.initializer}
    inputs = [i for i in graph.input if i.name not in given]
    del graph.input[:]
    graph.input.extend(inputs)
    if graph.node[-1].op_type == "Softmax":
        graph.output.append(helper.make_empty_tensor_value_info(graph.node[-1].input[0]))
    return model


def _values(draw: np.random.Generator, shape: tuple[int, ...], kind: str, place: int) -> np.ndarray:
    normal = draw.standard_normal(shape).astype(np.float32)
    if kind == "BatchNormalization":
        return np.abs(normal * np.float32(0.1) + np.float32(NORM_INPUTS[place]))
    if len(shape) < 2 or kind in ("Unsqueeze", "Mul", "Add"):
        return normal * np.float32(0.1) + np.float32(kind != "Conv" and kind != "Gemm")
    return normal * np.float32(math.sqrt(2.0 / math.prod(shape[1:])))
