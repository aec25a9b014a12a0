"""Graphs and numbers against ONNX's own shape inference and onnxruntime, which share no code with hwsim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, shape_inference

import hwsim.pipeline as pipeline
from hwsim.errors import HwsimError
from hwsim.workload import Workload, load_workload
from hwsim.workload.frontends.onnx import read_onnx

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# MACs and parameters worked out below from ONNX's own shapes; 9 graphs ship with onnx.
GRAPHS = sorted(path.stem for path in LIGHT.glob("light_*.onnx"))


def inferred(proto: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Tensor -> shape, by ONNX's inference; only what it knows in full."""
    graph = shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
    found = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = value.type.tensor_type.shape.dim
        if all(size.HasField("dim_value") for size in sizes):
            found[value.name] = tuple(size.dim_value for size in sizes)
    return found


def test_the_nine_graphs_are_there() -> None:
    assert len(GRAPHS) == 9


@pytest.mark.parametrize("name", GRAPHS)
def test_light_graphs_have_the_shapes_and_work_that_onnx_infers(name: str) -> None:
    proto = onnx.load(LIGHT / f"{name}.onnx")
    shapes = inferred(proto)
    net = load_workload(LIGHT / f"{name}.onnx")
    for tensor in net.tensors.values():
        if tensor.role in ("input", "activation", "output") or len(tensor.shape) == 4:
            assert tensor.shape == shapes[tensor.name], tensor.name
    macs = 0
    for node in proto.graph.node:
        if node.op_type == "Conv":
            macs += math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        if node.op_type == "Gemm":
            macs += math.prod(shapes[node.output[0]]) * shapes[node.input[0]][1]
    assert net.macs == macs


@pytest.mark.parametrize("name", GRAPHS)
def test_light_graphs_follow_the_batch(name: str) -> None:
    one, four = (load_workload(LIGHT / f"{name}.onnx", batch=batch) for batch in (1, 4))
    assert four.macs == 4 * one.macs
    for tensor in four.tensors.values():
        if tensor.role in ("input", "output", "activation"):
            assert tensor.elements == 4 * one.tensors[tensor.name].elements


@pytest.mark.parametrize("name", GRAPHS)
def test_light_graphs_run_on_a_tpu(name: str) -> None:
    result = pipeline.run(LIGHT / f"{name}.onnx", "tpu_v1")
    assert result.timing.makespan_ps > 0


# -- windows against onnxruntime -------------------------------------------------------------------------


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


def graph(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[int], weights: dict[str, np.ndarray]
) -> onnx.ModelProto:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def load(proto: onnx.ModelProto) -> Workload:
    return read_onnx(Path("made.onnx"), proto.SerializeToString(), {}, 0)


def pair(low: int, high: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=2, max_size=2)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    kernel = draw(pair(1, 4))
    given: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": draw(pair(1, 3)),
        "dilations": draw(pair(1, 2)),
    }
    auto = draw(st.sampled_from(["NOTSET", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto == "NOTSET":
        given["pads"] = [draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    else:
        given["auto_pad"] = auto
        given["dilations"] = [1, 1]  # onnxruntime refuses SAME with dilations
    return given


@settings(max_examples=150)
@given(st.integers(1, 9), st.integers(1, 9), windows())
def test_convolutions_have_the_shape_that_onnxruntime_gives(
    height: int, width: int, given: dict[str, Any]
) -> None:
    weights = {"w": np.ones((2, 1, *given["kernel_shape"]), dtype=np.float32)}
    proto = graph([helper.make_node("Conv", ["x", "w"], ["y"], **given)], (1, 1, height, width), weights)
    try:
        wanted = run(proto, np.zeros((1, 1, height, width), dtype=np.float32)).shape
    except Exception:  # noqa: BLE001 - whatever onnxruntime refuses, hwsim must refuse too
        wanted = None
    if wanted is None or 0 in wanted:
        with pytest.raises(HwsimError):
            load(proto)
    else:
        assert load(proto).tensors["y"].shape == wanted


@settings(max_examples=150)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    windows(),
    st.sampled_from(["MaxPool", "AveragePool"]),
    st.booleans(),
)
def test_pools_have_the_shape_that_onnxruntime_gives(
    height: int, width: int, given: dict[str, Any], kind: str, ceil: bool
) -> None:
    window = [(k - 1) * d + 1 for k, d in zip(given["kernel_shape"], given["dilations"], strict=True)]
    pads = given.get("pads", [0, 0, 0, 0])
    assume(
        all(h + a + b >= w for h, a, b, w in zip((height, width), pads[:2], pads[2:], window, strict=True))
    )
    if "auto_pad" not in given:
        given = {**given, "ceil_mode": int(ceil)}
    proto = graph([helper.make_node(kind, ["x"], ["y"], **given)], (1, 1, height, width), {})
    try:
        wanted = run(proto, np.zeros((1, 1, height, width), dtype=np.float32)).shape
    except Exception:  # noqa: BLE001
        assume(False)
    assume(0 not in wanted)
    assert load(proto).tensors["y"].shape == wanted


# -- numbers behind folding ------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_block_computes_what_onnxruntime_computes(bias: bool) -> None:
    """Conv, BatchNormalization, Mul, Add and Relu become one convolution, which is worked out here
    with plain loops."""
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> np.ndarray:
        return rng.uniform(0.5, 1.5, shape).astype(np.float32) * rng.choice([-1, 1], shape).astype(np.float32)

    weights = {n: draw(4) for n in ("g", "b", "m")} | {"v": np.abs(draw(4)), "w": draw(4, 2, 3, 3)}
    weights |= {"s": draw(4, 1, 1), "t": draw(1, 4, 1, 1), "c": draw(4)}
    if not bias:
        del weights["c"]
    nodes = [
        helper.make_node(
            "Conv", ["x", "w", *(["c"] if bias else [])], ["p"], strides=[2, 1], pads=[1, 0, 0, 2]
        ),
        helper.make_node("BatchNormalization", ["p", "g", "b", "m", "v"], ["q"], epsilon=0.125),
        helper.make_node("Mul", ["q", "s"], ["r"]),
        helper.make_node("Add", ["t", "r"], ["u"]),
        helper.make_node("Relu", ["u"], ["y"]),
    ]
    x = draw(1, 2, 5, 6)
    proto = graph(nodes, x.shape, weights)
    wanted = run(proto, x)
    net = load(proto)
    (op,) = net.operators
    assert [step.function for step in op.epilogue] == ["bias", "relu"]
    w, added = net.values("w"), net.values(op.epilogue[0].tensor)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2)))
    found = np.zeros_like(wanted)
    for k, p, q in np.ndindex(found.shape[1:]):
        patch = padded[0, :, 2 * p : 2 * p + 3, q : q + 3]
        found[0, k, p, q] = max(0.0, float((patch * w[k]).sum() + added[k]))
    assert np.allclose(found, wanted, rtol=1e-4, atol=1e-4)
    assert wanted.max() > 0.1
