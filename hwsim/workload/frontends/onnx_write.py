"""ONNX graphs of one operator, as bytes: what `hwsim measure` hands to a runtime to time."""

from __future__ import annotations

import math
from collections.abc import Sequence

OPSET = 17
IR_VERSION = 8
SEED = 0


def matmul_model(m: int, n: int, k: int) -> bytes:
    """out[m, n] = a[m, k] b[k, n] in fp32, with `b` held as a weight."""
    return _model("MatMul", ("a", (m, k)), ("b", (k, n)), {})


def conv2d_model(
    x: Sequence[int], weight: Sequence[int], stride: tuple[int, int], pad: tuple[int, int]
) -> bytes:
    """A convolution of x [N, C, H, W] with weight [K, C, R, S] in fp32; `pad` on both sides of each axis."""
    attributes = {"strides": [*stride], "pads": [*pad, *pad]}
    return _model("Conv", ("x", tuple(x)), ("weight", tuple(weight)), attributes)


def relu_model(elements: int) -> bytes:
    """max(0, x) of so many fp32 elements."""
    return _model("Relu", ("x", (elements,)), None, {})


def _model(
    kind: str,
    given: tuple[str, tuple[int, ...]],
    weight: tuple[str, tuple[int, ...]] | None,
    attributes: dict[str, list[int]],
) -> bytes:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    held = []
    if weight is not None:
        name, shape = weight
        draw = np.random.default_rng(SEED)
        values = (draw.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)
        held.append(numpy_helper.from_array(values, name))
    inputs = [given[0], *(tensor.name for tensor in held)]
    node = helper.make_node(kind, inputs, ["out"])
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    graph = helper.make_graph(
        [node],
        kind.lower(),
        [helper.make_tensor_value_info(given[0], TensorProto.FLOAT, given[1])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        held,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    content: bytes = model.SerializeToString()
    return content
