"""ONNX for fuzzing: random small graphs, and faults put into protocol buffers field by field."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from hwsim.workload.frontends.onnx_table import LOWER

OPERATORS = tuple(sorted(LOWER))
SIZES = (0, 1, -1, 2, 3, 4, 7, 100, 2**31, 2**40, 2**62, -(2**63))
REALS = (0.0, -0.0, 1.0, -1.0, 1e30, float("inf"), float("nan"))
ATTRIBUTES = (
    "axis", "axes", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad", "ceil_mode",
    "transA", "transB", "alpha", "beta", "perm", "shape", "to", "value", "epsilon", "keepdims", "mode",
    "size", "split", "num_outputs", "allowzero", "starts", "ends", "value_ints", "value_float",
    "direction", "hidden_size", "layout", "linear_before_reset", "activations", "num_heads", "is_causal",
    "equation", "blocksize", "num_groups", "output_padding", "output_shape", "noop_with_empty_axes", "upper",
    "then_branch",
)  # fmt: skip
_TYPES = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT16, TensorProto.BOOL,
          TensorProto.INT8, TensorProto.UINT8)  # fmt: skip


def random_graph(rng: Random) -> bytes:
    """A chain of operators with side inputs, weights and attributes that may or may not go together."""
    channels, side = rng.choice((1, 3, 4)), rng.choice((1, 4, 8))
    shape: list[Any] = rng.choice(
        ([1, channels, side, side], ["N", channels, side, side], [1, 8], [2, 3, 8], ["b", 8])
    )
    held, nodes = ["x"], []
    weights: dict[str, np.ndarray] = {}
    for number in range(rng.randrange(1, 7)):
        kind, out = rng.choice(OPERATORS), f"t{number}"
        inputs = [held[-1] if rng.random() < 0.8 else rng.choice(held)]
        attributes: dict[str, Any] = {}
        if kind in ("Conv", "Gemm", "MatMul") or rng.random() < 0.4:
            weights[f"w{number}"] = _weight(rng, kind, channels)
            inputs.append(f"w{number}")
        if "Pool" in kind or kind == "Conv":
            attributes["kernel_shape"] = [rng.choice((1, 2, 3))] * 2
        for _ in range(rng.choice((0, 0, 1, 2))):
            attributes[rng.choice(ATTRIBUTES[:-1])] = _value(rng)
        nodes.append(helper.make_node(kind, inputs, [out], name=f"n{number}", **attributes))
        held.append(out)
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(held[-1], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    opset = helper.make_opsetid("", rng.choice((1, 7, 9, 11, 13, 17, 17, 17, 21)))
    made: bytes = helper.make_model(graph, opset_imports=[opset]).SerializeToString()
    return made


def plain_network(rng: Random, channels: int, side: int) -> bytes:
    """A sound network: convolutions, an addition, pooling, a reshape and a product."""
    out, kernel = rng.choice((1, 4, 6)), rng.choice((1, 3))
    weights = {
        "w": np.ones((out, channels, kernel, kernel), np.float32),
        "b": np.zeros(out, np.float32),
        "s": np.array([0, -1] if rng.random() < 0.5 else [1, -1], np.int64),
        "f": np.ones((3, out), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[kernel // 2] * 4, kernel_shape=[kernel] * 2),
        helper.make_node(rng.choice(("Relu", "Sigmoid", "HardSwish")), ["c"], ["r"]),
        helper.make_node("Add", ["c", "r"], ["a"]),
        helper.make_node("GlobalAveragePool", ["a"], ["p"]),
        helper.make_node("Reshape", ["p", "s"], ["q"]),
        helper.make_node("Gemm", ["q", "f"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", channels, side, side])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return made


def _weight(rng: Random, kind: str, channels: int) -> np.ndarray:
    if kind == "Conv":
        return np.ones((rng.choice((1, 4)), channels, rng.choice((1, 3)), 3), np.float32)
    if rng.random() < 0.4:
        return np.array([rng.choice(SIZES[:8]) for _ in range(rng.randrange(5))], np.int64)
    dtype = rng.choice((np.float32, np.float32, np.float16, np.int8, np.float64))
    return np.ones([rng.choice((1, 3, 8)) for _ in range(rng.randrange(4))], dtype)


def _value(rng: Random) -> Any:
    what = rng.randrange(5)
    if what == 0:
        return rng.choice(SIZES)
    if what == 1:
        return rng.choice(REALS)
    if what == 2:
        return rng.choice(("SAME_UPPER", "VALID", "reflect", "", "é"))
    if what == 3:
        return numpy_helper.from_array(np.array([rng.choice(SIZES)], np.int64), "c")
    return [rng.choice(SIZES) for _ in range(rng.randrange(1, 5))]


def damaged_graph(rng: Random, content: bytes) -> bytes:
    """The graph in `content` with some fields changed: all still parses as ONNX."""
    model = onnx.ModelProto.FromString(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice((_node, _attribute, _attribute, _tensor, _tensor, _value_info, _whole))(rng, model)
    made: bytes = model.SerializeToString()
    return made


def _nodes(rng: Random, model: Any) -> Any:
    """The nodes of the graph, or of one that a branch or a loop holds."""
    nodes = model.graph.node
    held = [a.g.node for node in nodes for a in node.attribute if a.type == AttributeProto.GRAPH]
    return rng.choice([nodes, *held]) if held else nodes


def _node(rng: Random, model: Any) -> None:
    nodes = _nodes(rng, model)
    if not nodes:
        return
    node = rng.choice(nodes)
    what = rng.randrange(7)
    if what == 0:
        node.op_type = rng.choice((*OPERATORS, "", "If", "Loop", "Frob"))
    elif what == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(("", "x", *rng.choice(nodes).output))
    elif what == 2 and node.input:
        node.input.pop(rng.randrange(len(node.input)))
    elif what == 3:
        node.input.append(rng.choice(("", "x", "w", *rng.choice(nodes).input)))
    elif what == 4:
        node.output[:] = rng.choice(([], [""], ["x"], list(rng.choice(nodes).output), ["p", "q"]))
    elif what == 5:
        nodes.add().CopyFrom(node)
    else:
        del nodes[rng.randrange(len(nodes))]


def _attribute(rng: Random, model: Any) -> None:
    nodes = _nodes(rng, model)
    if not nodes:
        return
    node = rng.choice(nodes)
    if not node.attribute or rng.random() < 0.4:
        node.attribute.add().CopyFrom(helper.make_attribute(rng.choice(ATTRIBUTES), _value(rng)))
        return
    attribute = rng.choice(node.attribute)
    what = rng.randrange(5)
    if what == 0:
        attribute.type = rng.choice(AttributeProto.AttributeType.values())
    elif what == 1:
        attribute.ints.append(rng.choice(SIZES))
    elif what == 2 and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(SIZES)
    elif what == 3:
        attribute.i, attribute.f = rng.choice(SIZES), rng.choice(REALS)
    else:
        attribute.name = rng.choice(ATTRIBUTES)


def _tensor(rng: Random, model: Any) -> None:
    if not model.graph.initializer:
        model.graph.initializer.add().name = rng.choice(("x", "w", ""))
    tensor = rng.choice(model.graph.initializer)
    what = rng.randrange(7)
    if what == 0:
        tensor.dims.append(rng.choice(SIZES))
    elif what == 1 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(SIZES)
    elif what == 2:
        tensor.data_type = rng.choice((*_TYPES, *TensorProto.DataType.values(), 99))
    elif what == 3:
        tensor.raw_data = tensor.raw_data[: rng.randrange(9)] + rng.randbytes(rng.choice((0, 4, 8)))
    elif what == 4:
        tensor.ClearField("raw_data")
        tensor.int64_data.append(rng.choice(SIZES))
        tensor.float_data.append(rng.choice(REALS))
    elif what == 5:
        tensor.name = rng.choice(("", "x", tensor.name + "2"))
    else:
        # A vast constant of one number, as light_resnet50 holds its weights.
        node = model.graph.node.add()
        node.op_type = "ConstantOfShape"
        node.input.append(tensor.name)
        node.output.append(rng.choice(("v", tensor.name, "x")))


def _value_info(rng: Random, model: Any) -> None:
    values = [*model.graph.input, *model.graph.output]
    if not values:
        return
    value = rng.choice(values)
    what = rng.randrange(5)
    if what == 0:
        value.name = rng.choice(("", "x", "y", "w"))
    elif what == 1:
        value.type.tensor_type.elem_type = rng.choice(TensorProto.DataType.values())
    elif what == 2:
        value.ClearField("type")
    elif what == 3 and value.type.tensor_type.shape.dim:
        size = rng.choice(value.type.tensor_type.shape.dim)
        if rng.random() < 0.7:
            size.dim_value = rng.choice(SIZES)
        else:
            size.dim_param = rng.choice(("N", "batch", "seed", "", "a b", "é"))
    else:
        value.type.tensor_type.shape.dim.add().dim_value = rng.choice(SIZES)


def _whole(rng: Random, model: Any) -> None:
    what = rng.randrange(5)
    if what == 0:
        for opset in model.opset_import:
            opset.version = rng.choice((-1, 0, 1, 5, 13, 99, 2**40))
    elif what == 1:
        model.graph.input.add().CopyFrom(
            helper.make_tensor_value_info(rng.choice(("x", "z")), TensorProto.FLOAT, [rng.choice(SIZES)])
        )
    elif what == 2:
        model.graph.output.add().name = rng.choice(("x", "w", "nowhere", ""))
    elif what == 3:
        model.graph.sparse_initializer.add()
    else:
        model.functions.add().name = "f"
