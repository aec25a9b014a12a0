"""ONNX files: what each operator becomes, shape arithmetic, batches, and refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.errors import SpecError, UnsupportedError
from hwsim.workload import Step, Workload, load_workload
from hwsim.workload.operators import Conv2d, Elementwise, Lrn, Matmul, Move, Pool, Softmax, View

RESNET = Path(__file__).resolve().parents[4] / "workloads" / "resnet50.onnx"
Weights = Mapping[str, np.ndarray]


def save(
    tmp_path: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str | None] | None = (1, 3, 8, 8),
    weights: Weights | None = None,
    *,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
    **graph: Any,
) -> Path:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
        **graph,
    )
    path = tmp_path / "net.onnx"
    path.write_bytes(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()
    )
    return path


def node(kind: str, inputs: str = "x", outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    """Inputs and outputs by name, separated by spaces; a dash is one left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), name=f"the_{kind.lower()}", **attributes)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


# -- what operators become -------------------------------------------------------------------------------

CONV = Conv2d(1, 3, 8, 8, 4, 3, 3, 6, 6)
SINGLE: list[tuple[onnx.NodeProto, Weights, object, tuple[int, ...]]] = [
    (node("Conv", "x w"), {"w": ramp(4, 3, 3, 3)}, CONV, (1, 4, 6, 6)),
    (
        node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2]),
        {"w": ramp(4, 3, 3, 3)},
        Conv2d(1, 3, 8, 8, 4, 3, 3, 4, 4, 1, (2, 2), (0, 0, 1, 1)),
        (1, 4, 4, 4),
    ),
    (
        node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2]),
        {"w": ramp(4, 3, 3, 3)},
        Conv2d(1, 3, 8, 8, 4, 3, 3, 4, 4, 1, (2, 2), (1, 1, 0, 0)),
        (1, 4, 4, 4),
    ),
    (node("Conv", "x w", auto_pad="VALID"), {"w": ramp(4, 3, 3, 3)}, CONV, (1, 4, 6, 6)),
    (
        node("Conv", "x w", pads=[1, 0, 2, 3], dilations=[2, 1], strides=[1, 2]),
        {"w": ramp(4, 3, 3, 3)},
        Conv2d(1, 3, 8, 8, 4, 3, 3, 7, 5, 1, (1, 2), (1, 0, 2, 3), (2, 1)),
        (1, 4, 7, 5),
    ),
    (
        node("Conv", "x w", group=3),
        {"w": ramp(6, 1, 1, 1)},
        Conv2d(1, 3, 8, 8, 6, 1, 1, 8, 8, 3),
        (1, 6, 8, 8),
    ),
    (
        node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        {},
        Pool("max", 1, 3, 8, 8, 3, 3, 4, 4, (2, 2)),
        (1, 3, 4, 4),
    ),
    (
        node("AveragePool", kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
        {},
        Pool("average", 1, 3, 8, 8, 2, 2, 9, 9, (1, 1), (1, 1, 1, 1), (1, 1), True),
        (1, 3, 9, 9),
    ),
    (node("GlobalAveragePool"), {}, Pool("average", 1, 3, 8, 8, 8, 8, 1, 1), (1, 3, 1, 1)),
    (node("GlobalMaxPool"), {}, Pool("max", 1, 3, 8, 8, 8, 8, 1, 1), (1, 3, 1, 1)),
    (node("ReduceMean", axes=[-1, 2]), {}, Pool("average", 1, 3, 8, 8, 8, 8, 1, 1), (1, 3, 1, 1)),
    (node("MatMul", "x w"), {"w": ramp(8, 5)}, Matmul(1, 24, 5, 8), (1, 3, 8, 5)),
    (node("Sum"), {}, View("identity", 192), (1, 3, 8, 8)),
    (node("Sum", "x x x"), {}, Elementwise("add", 192, 3), (1, 3, 8, 8)),
    (node("Mul", "x w"), {"w": ramp(3, 1, 1)}, Elementwise("mul", 192, 2), (1, 3, 8, 8)),
    (node("PRelu", "x w"), {"w": ramp(3, 1, 1)}, Elementwise("prelu", 192, 2), (1, 3, 8, 8)),
    (node("LRN", size=5), {}, Lrn(192, 5), (1, 3, 8, 8)),
    (node("Softmax"), {}, Softmax(24, 8), (1, 3, 8, 8)),
    (node("Concat", "x x", axis=-3), {}, Move("concat", 384), (1, 6, 8, 8)),
    (node("Flatten"), {}, View("flatten", 192), (1, 192)),
    (node("Reshape", "x s"), {"s": ints(0, -1, 16)}, View("reshape", 192), (1, 12, 16)),
    (node("Transpose"), {}, Move("transpose", 192), (8, 8, 3, 1)),
    (node("Squeeze", "x a"), {"a": ints(0)}, View("squeeze", 192), (3, 8, 8)),
    (node("Unsqueeze", "x a"), {"a": ints(0, 5)}, View("unsqueeze", 192), (1, 1, 3, 8, 8, 1)),
    (node("Dropout"), {}, View("dropout", 192), (1, 3, 8, 8)),
    (node("Identity"), {}, View("identity", 192), (1, 3, 8, 8)),
    (node("Cast", to=TensorProto.FLOAT16), {}, View("cast", 192), (1, 3, 8, 8)),
    (node("Pad", "x p"), {"p": ints(0, 0, 1, 2, 0, 0, 3, 4)}, Move("pad", 504), (1, 3, 12, 14)),
    (
        node("Slice", "x s e a t"),
        {"s": ints(1), "e": ints(2**62), "a": ints(-1), "t": ints(3)},
        Move("slice", 72),
        (1, 3, 8, 3),
    ),
]


@pytest.mark.parametrize(
    ("made", "weights", "problem", "shape"),
    SINGLE,
    ids=[f"{i}-{case[0].op_type}" for i, case in enumerate(SINGLE)],
)
def test_an_operator_lowers_to_its_problem(
    tmp_path: Path, made: onnx.NodeProto, weights: Weights, problem: object, shape: tuple[int, ...]
) -> None:
    net = load_workload(save(tmp_path, [made], weights=weights))
    assert net.operators[0].problem == problem
    assert net.tensors["y"].shape == shape
    assert net.operators[0].layer == f"the_{made.op_type.lower()}"


UNARY = [
    ("Relu", {}, "relu", {}),
    ("LeakyRelu", {"alpha": 0.25}, "leaky_relu", {"alpha": 0.25}),
    ("LeakyRelu", {}, "leaky_relu", {"alpha": 0.01}),
    ("Elu", {}, "elu", {"alpha": 1.0}),
    ("HardSigmoid", {"alpha": 0.5}, "hard_sigmoid", {"alpha": 0.5, "beta": 0.5}),
    ("HardSwish", {}, "hard_swish", {}),
    ("Sigmoid", {}, "sigmoid", {}),
    ("Tanh", {}, "tanh", {}),
    ("Softplus", {}, "softplus", {}),
    ("Sqrt", {}, "sqrt", {}),
]


@pytest.mark.parametrize(("kind", "given", "function", "attributes"), UNARY)
def test_pointwise_functions_keep_their_attributes(
    tmp_path: Path, kind: str, given: dict[str, float], function: str, attributes: dict[str, float]
) -> None:
    (op,) = load_workload(save(tmp_path, [node(kind, **given)])).operators
    assert op.problem == Elementwise(function, 192)
    assert dict(op.attributes) == attributes


def test_clip_takes_limits_from_inputs_or_attributes(tmp_path: Path) -> None:
    limits = {"low": np.float32(0), "high": np.float32(6)}
    (op,) = load_workload(save(tmp_path, [node("Clip", "x low high")], weights=limits)).operators
    assert dict(op.attributes) == {"min": 0.0, "max": 6.0}
    (op,) = load_workload(save(tmp_path, [node("Clip", "x - high")], weights=limits)).operators
    assert dict(op.attributes) == {"max": 6.0}
    (op,) = load_workload(save(tmp_path, [node("Clip", min=0.0, max=6.0)], opset=6)).operators
    assert dict(op.attributes) == {"min": 0.0, "max": 6.0}


def test_gemm_keeps_its_transpositions_and_factors(tmp_path: Path) -> None:
    weights = {"w": ramp(5, 8), "b": ramp(5)}
    made = node("Gemm", "x w b", transB=1, alpha=0.5, beta=2.0)
    (op,) = load_workload(save(tmp_path, [made], (4, 8), weights)).operators
    assert op.problem == Matmul(1, 4, 5, 8)
    assert op.attributes == (("trans_b", True),)
    assert op.epilogue == (Step("scale", "", (("factor", 0.5),)), Step("bias", "b", (("factor", 2.0),)))


def test_gemm_adds_a_whole_matrix_as_an_operator(tmp_path: Path) -> None:
    weights = {"w": ramp(8, 5), "c": ramp(4, 5)}
    net = load_workload(save(tmp_path, [node("Gemm", "x w c")], (4, 8), weights))
    assert [op.kind for op in net.operators] == ["matmul", "elementwise"]
    assert net.parameter_count == 8 * 5 + 4 * 5


def test_matmul_and_add_become_one_with_a_bias(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "m"), node("Add", "b m")]
    (op,) = load_workload(save(tmp_path, nodes, (4, 8), {"w": ramp(8, 5), "b": ramp(5)})).operators
    assert op.epilogue == (Step("bias", "b"),)


def test_softmax_before_opset_13_is_flat(tmp_path: Path) -> None:
    (op,) = load_workload(save(tmp_path, [node("Softmax")], opset=12)).operators
    assert op.problem == Softmax(1, 192)


def test_split_makes_a_slice_for_each_output(tmp_path: Path) -> None:
    nodes = [node("Split", "x n", "a b", axis=1), node("Concat", "b a", axis=1)]
    net = load_workload(save(tmp_path, nodes, weights={"n": ints(1, 2)}))
    assert [op.problem for op in net.operators] == [
        Move("slice", 64),
        Move("slice", 128),
        Move("concat", 192),
    ]


def test_a_mean_without_its_dimensions_is_a_pool_and_a_view(tmp_path: Path) -> None:
    net = load_workload(save(tmp_path, [node("ReduceMean", axes=[2, 3], keepdims=0)]))
    assert [op.kind for op in net.operators] == ["pool", "view"]
    assert net.tensors["y"].shape == (1, 3)


# -- values ----------------------------------------------------------------------------------------------


def test_initialisers_keep_their_values(tmp_path: Path) -> None:
    weight = ramp(4, 3, 3, 3)
    net = load_workload(save(tmp_path, [node("Conv", "x w")], weights={"w": weight}))
    assert np.array_equal(net.values("w"), weight)
    assert not any("seed" in note for note in net.notes)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floating_types_are_read(tmp_path: Path, dtype: type) -> None:
    weight = ramp(4, 3, 3, 3).astype(dtype)
    net = load_workload(save(tmp_path, [node("Conv", "x w")], weights={"w": weight}))
    assert np.array_equal(net.values("w"), weight)


def test_typed_fields_and_bfloat16_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, [node("Conv", "x w")], weights={"w": ramp(4, 3, 1, 1)})
    proto = onnx.load(path)
    proto.graph.initializer[0].CopyFrom(
        helper.make_tensor("w", TensorProto.BFLOAT16, (4, 3, 1, 1), list(range(12)))
    )
    path.write_bytes(proto.SerializeToString())
    assert np.array_equal(load_workload(path).values("w"), ramp(4, 3, 1, 1))


def test_weights_may_be_constant_nodes_seen_under_other_shapes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(ramp(3, 4))),
        node("Transpose", "c", "t"),
        node("Unsqueeze", "t a", "w"),
        node("Conv", "x w"),
    ]
    net = load_workload(save(tmp_path, nodes, weights={"a": ints(2, 3)}))
    assert np.array_equal(net.values("w"), ramp(3, 4).T.reshape(4, 3, 1, 1))
    assert [op.kind for op in net.operators] == ["conv2d"]


def test_filled_placeholders_are_drawn_from_the_seed(tmp_path: Path) -> None:
    fill = helper.make_tensor("v", TensorProto.FLOAT, [1], [0.02])
    nodes = [node("ConstantOfShape", "s", "w", value=fill), node("Conv", "x w")]
    path = save(tmp_path, nodes, weights={"s": ints(4, 3, 3, 3)})
    one, two = load_workload(path), load_workload(path, seed=1)
    assert float(one.values("w").std()) == pytest.approx((2 / 27) ** 0.5, rel=0.2)
    assert np.ptp(one.values("w")) > 0.1
    assert not np.array_equal(one.values("w"), two.values("w"))
    assert one.notes == (
        "1 weight tensor has no values in the source and is drawn from seed 0 (weights He-normal)",
    )


def test_a_batch_norm_folds_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {n: rng.uniform(0.5, 1.5, 4).astype(np.float32) for n in "gbmv"} | {"w": ramp(4, 3, 1, 1)}
    nodes = [node("Conv", "x w", "c"), node("BatchNormalization", "c g b m v", epsilon=0.25)]
    net = load_workload(save(tmp_path, nodes, weights=weights))
    factor = weights["g"] / np.sqrt(weights["v"] + 0.25)
    assert np.allclose(net.values("w"), weights["w"] * factor[:, None, None, None])
    bias = net.operators[0].epilogue[0].tensor
    assert np.allclose(net.values(bias), weights["b"] - weights["m"] * factor, rtol=1e-5)
    assert net.parameter_count == 12 + 8


# -- sizes -----------------------------------------------------------------------------------------------


def exported_flatten() -> list[onnx.NodeProto]:
    """x.view(x.size(0), -1) as PyTorch writes it."""
    return [
        node("Shape", "x", "shape"),
        node("Gather", "shape zero", "n"),
        node("Unsqueeze", "n axes", "n1"),
        node("Concat", "n1 rest", "target", axis=0),
        node("Reshape", "x target"),
    ]


def test_shape_arithmetic_is_worked_out(tmp_path: Path) -> None:
    weights = {"zero": np.array(0), "axes": ints(0), "rest": ints(-1)}
    path = save(tmp_path, exported_flatten(), ("N", 3, 8, 8), weights)
    assert load_workload(path).tensors["y"].shape == (1, 192)
    assert load_workload(path, batch=5).tensors["y"].shape == (5, 192)
    assert [op.kind for op in load_workload(path).operators] == ["view"]


def test_integers_divide_towards_zero(tmp_path: Path) -> None:
    nodes = [node("Div", "a b", "s"), node("Reshape", "x s")]
    path = save(tmp_path, nodes, weights={"a": ints(-3), "b": ints(2)})
    assert load_workload(path).tensors["y"].shape == (192,)


@pytest.mark.parametrize(
    ("target", "shape"),
    [((1, 192), (4, 192)), ((1, -1), (4, 192)), ((-1, 64), (12, 64)), ((0, 192), (4, 192))],
)
def test_a_batch_fixed_in_a_reshape_follows(
    tmp_path: Path, target: Sequence[int], shape: tuple[int, ...]
) -> None:
    path = save(tmp_path, [node("Reshape", "x s")], weights={"s": ints(*target)})
    assert load_workload(path, batch=4).tensors["y"].shape == shape


def test_symbolic_sizes_are_parameters(tmp_path: Path) -> None:
    path = save(tmp_path, [node("Relu")], ("N", 3, "height", "width"))
    net = load_workload(path, batch=2, height=5, width=7)
    assert net.tensors["y"].shape == (2, 3, 5, 7)
    assert net.parameters == {"batch": 2, "height": 5, "width": 7, "seed": 0}
    with pytest.raises(SpecError, match="the sizes 'height', 'width' of its inputs are left open"):
        load_workload(path)
    with pytest.raises(SpecError, match="there is no parameter 'heigth': did you mean 'height'"):
        load_workload(path, heigth=5)


def test_dead_nodes_are_left_out_and_said(tmp_path: Path) -> None:
    nodes = [node("Relu"), helper.make_node("NonMaxSuppression", ["x", "x"], ["z"])]
    net = load_workload(save(tmp_path, nodes))
    assert len(net.operators) == 1
    assert net.notes == ("1 node that no output needs are left out",)


def test_nodes_in_any_order_and_with_equal_names_run(tmp_path: Path) -> None:
    nodes = [node("Relu", "b"), node("Relu", "x", "a"), node("Relu", "a", "b")]
    net = load_workload(save(tmp_path, nodes))
    assert [op.name for op in net.operators] == ["the_relu", "the_relu#2", "the_relu#3"]


def test_counters_for_names_give_way_to_those_of_weights(tmp_path: Path) -> None:
    nodes = [node("Conv", "x res2_conv_w_0", "c"), node("Conv", "c head.weight", "y")]
    nodes[0].name, nodes[1].name = "n7", ""
    weights = {"res2_conv_w_0": ramp(3, 3, 1, 1), "head.weight": ramp(2, 3, 1, 1)}
    net = load_workload(save(tmp_path, nodes, weights=weights))
    assert [(op.name, op.layer) for op in net.operators] == [("res2_conv", "n7"), ("head", "y")]


# -- refusals --------------------------------------------------------------------------------------------


def refusal(path: Path, error: type[Exception] = SpecError, **parameters: int) -> str:
    with pytest.raises(error) as caught:
        load_workload(path, **parameters)
    told = str(caught.value)
    assert told.startswith(str(path))
    assert "\n" not in told
    return told


def test_unknown_operators_are_listed_once_each(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonMaxSuppression", ["x"], ["a"], name="nms_1"),
        helper.make_node("NonMaxSuppression", ["a"], ["b"], name="nms_2"),
        helper.make_node("FusedConv", ["b"], ["y"], name="fused", domain="com.example"),
    ]
    told = refusal(save(tmp_path, nodes), UnsupportedError)
    assert "hwsim does not know 2 operator types" in told
    assert "NonMaxSuppression (2 nodes, first 'nms_1': how much it keeps depends on the numbers" in told
    assert "com.example.FusedConv (1 node, first 'fused')" in told
    assert "Export the network without them" in told


@pytest.mark.parametrize("size", [0, 1, 7, 100, 5000, 79000])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(RESNET.read_bytes()[:size])
    assert "not a valid ONNX file" in refusal(path)


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_are_refused(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(np.random.default_rng(seed).bytes(1000 * seed + 10))
    assert "not a valid ONNX file" in refusal(path)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "net.onnx"
    folder.mkdir()
    assert "is a folder" in refusal(folder)
    assert "there is no such file" in refusal(tmp_path / "absent.onnx")


MALFORMED: list[tuple[Sequence[onnx.NodeProto], Weights, str]] = [
    ([node("Relu", "q")], {}, "node 'the_relu' (Relu) cannot read 'q', which no node makes"),
    (
        [node("Relu", "b", "a"), node("Relu", "a", "b"), node("Relu", "b")],
        {},
        "form a cycle: a needs b needs a",
    ),
    ([node("Relu", "x", "y"), node("Tanh", "x", "y")], {}, "tensor 'y' is made twice"),
    (
        [node("Conv", "x w")],
        {"w": ramp(4, 2, 3, 3)},
        "layer 'the_conv' (conv2d): weights of shape [4, 2, 3, 3]",
    ),
    ([node("Conv", "x w", kernel_shape=[5, 5])], {"w": ramp(4, 3, 3, 3)}, "says kernel_shape [5, 5]"),
    (
        [node("Conv", "x w", strides=[0, 1])],
        {"w": ramp(4, 3, 3, 3)},
        "node 'the_conv' (Conv): stride is [0, 1]",
    ),
    ([node("Conv", "x w", strides=[1])], {"w": ramp(4, 3, 3, 3)}, "node 'the_conv' (Conv) is malformed"),
    ([node("Conv", "x w", pads=[-1, 0, 0, 0])], {"w": ramp(4, 3, 3, 3)}, "pad is [-1, 0, 0, 0]"),
    ([node("Conv", "x w", auto_pad="SOME")], {"w": ramp(4, 3, 3, 3)}, "auto_pad 'SOME'"),
    (
        [node("Conv", "x w", group=1.5)],
        {"w": ramp(4, 3, 3, 3)},
        "attribute 'group' of node 'the_conv' (Conv) must be",
    ),
    ([node("MaxPool")], {}, "lacks its kernel_shape"),
    ([node("Gemm", "x w")], {"w": ramp(3, 3)}, "both must have two dimensions"),
    (
        [node("Reshape", "x s")],
        {"s": ints(7, 7)},
        "(reshape): [1, 3, 8, 8] has 192 elements and cannot become [7, 7]",
    ),
    ([node("Reshape", "x s")], {"s": np.float32([1.0])}, "'s' must hold integers"),
    ([node("Split", "x", "y z", axis=1, split=[1, 1])], {}, "cuts an axis of 3 into [1, 1]"),
    ([node("Pad", "x p")], {"p": ints(1)}, "has 1 pads for 4 axes"),
    ([node("Identity", "w")], {"w": ramp(2)}, "output 'y' is not computed from the inputs"),
    ([node("BatchNormalization", "x w w w")], {"w": ramp(3)}, "lacks its variance"),
    ([node("ConstantOfShape", "s", "w"), node("Conv", "x w")], {"s": ints(4, 3, 2**40, 2)}, "more than the"),
    ([node("ConstantOfShape", "s", "w"), node("Conv", "x w")], {"s": ints(4, -3, 1, 1)}, "at least 1"),
    ([node("Div", "a b", "s"), node("Reshape", "x s")], {"a": ints(1), "b": ints(0)}, "division by zero"),
]


@pytest.mark.parametrize(
    ("nodes", "weights", "message"), MALFORMED, ids=[case[2][-30:] for case in MALFORMED]
)
def test_a_malformed_graph_is_refused(
    tmp_path: Path, nodes: Sequence[onnx.NodeProto], weights: Weights, message: str
) -> None:
    assert message in refusal(save(tmp_path, nodes, weights=weights))


UNSUPPORTED: list[tuple[Sequence[onnx.NodeProto], Weights, Sequence[int], str]] = [
    ([node("Conv", "x w")], {"w": ramp(4, 3, 3, 3, 3)}, (1, 3, 8, 8, 8), "works on 5 dimensions [1, 3, 8, 8"),
    ([node("Floor")], {}, (1, 3), "hwsim knows Floor only for constants"),
    ([node("Gather", "w x")], {"w": ramp(3)}, (1, 3), "at indices that the network computes"),
    ([node("BatchNormalization", "x w w w x")], {"w": ramp(3)}, (3, 3), "computes its variance"),
    ([node("BatchNormalization", "x w w w w", training_mode=1)], {"w": ramp(3)}, (1, 3), "trains"),
    ([node("MaxPool", "x", "y i", kernel_shape=[2, 2])], {}, (1, 3, 8, 8), "has 2 outputs"),
    ([node("Dropout", "x", "z y")], {}, (1, 3), "output 'y' is not computed"),
    ([node("Dropout", "x", "z m"), node("Relu", "m")], {}, (1, 3), "tensor 'm' is read"),
    ([node("Cast", to=TensorProto.INT32)], {}, (1, 3), "another kind of number"),
]


@pytest.mark.parametrize(
    ("nodes", "weights", "shape", "message"), UNSUPPORTED, ids=[case[3][-30:] for case in UNSUPPORTED]
)
def test_what_is_not_supported_says_so(
    tmp_path: Path, nodes: Sequence[onnx.NodeProto], weights: Weights, shape: Sequence[int], message: str
) -> None:
    with pytest.raises((UnsupportedError, SpecError)) as caught:
        load_workload(save(tmp_path, nodes, shape, weights))
    assert message in str(caught.value)


def test_inputs_need_sizes_and_a_known_format(tmp_path: Path) -> None:
    assert "has no shape" in refusal(save(tmp_path, [node("Relu")], None))
    assert "leaves dimension 1 open" in refusal(save(tmp_path, [node("Relu")], (1, None)))
    assert "at least 1" in refusal(save(tmp_path, [node("Relu")], (1, 0)))
    assert "at least 1" in refusal(save(tmp_path, [node("Relu")], (1, -5)))
    assert "at most" in refusal(save(tmp_path, [node("Relu")], (1, 2**41)))
    told = refusal(save(tmp_path, [node("Relu")], kind=TensorProto.DOUBLE), UnsupportedError)
    assert "has elements of type DOUBLE; hwsim takes FLOAT, FLOAT16" in told


def changed(path: Path, change: Any) -> Path:
    proto = onnx.load(path)
    change(proto)
    path.write_bytes(proto.SerializeToString())
    return path


def test_damaged_and_foreign_storage_is_refused(tmp_path: Path) -> None:
    def fresh() -> Path:
        return save(tmp_path, [node("Conv", "x w")], weights={"w": ramp(4, 3, 3, 3)})

    def set_dims(proto: Any) -> None:
        proto.graph.initializer[0].dims[0] = 2**30

    assert "must hold 28,991,029,248 elements and holds 432 bytes" in refusal(changed(fresh(), set_dims))

    def function(proto: Any) -> None:
        proto.functions.add().name = "mine"

    assert "1 function of its own ('mine')" in refusal(changed(fresh(), function), UnsupportedError)

    def no_opset(proto: Any) -> None:
        del proto.opset_import[:]

    assert "which version of the operators" in refusal(changed(fresh(), no_opset))

    def text(proto: Any) -> None:
        proto.graph.initializer[0].data_type = TensorProto.STRING

    assert "elements of type STRING" in refusal(changed(fresh(), text), UnsupportedError)


def test_onnx_workloads_are_named_after_their_file(tmp_path: Path) -> None:
    path = tmp_path / "My net (1).onnx"
    path.write_bytes(RESNET.read_bytes())
    net: Workload = load_workload(path)
    assert net.name == "My_net__1_"
    assert net.source.format == "onnx"


def test_a_variance_below_zero_is_refused_when_it_is_read(tmp_path: Path) -> None:
    weights = {"w": ramp(3), "v": np.float32([1, -1, 1])}
    net = load_workload(save(tmp_path, [node("BatchNormalization", "x w w w v")], weights=weights))
    with pytest.raises(SpecError, match="'v' holds variances that are not above 0"):
        net.values(net.operators[0].inputs[1])


ODD: list[tuple[onnx.NodeProto, Weights, Sequence[int], str]] = [
    (
        helper.make_node("LSTM", ["x", "w", "r"], ["y"], activations=3),
        {"w": ramp(1, 16, 3), "r": ramp(1, 16, 4)}, (5, 2, 3), "must be a list of texts",
    ),
    (helper.make_node("Upsample", ["x"], ["y"], scales=2), {}, (1, 3, 8, 8), "must be a list of numbers"),
    (helper.make_node("Trilu", ["x"], ["y"]), {}, (2**31, 8), ""),
]  # fmt: skip


@pytest.mark.parametrize(("made", "weights", "shape", "message"), ODD, ids=[case[0].op_type for case in ODD])
def test_odd_nodes_are_answered(
    tmp_path: Path, made: onnx.NodeProto, weights: Weights, shape: Sequence[int], message: str
) -> None:
    """Found by fuzzing: attributes of another type, and triangles larger than memory."""
    path = save(tmp_path, [made], shape, weights)
    if message:
        assert message in refusal(path)
    else:
        assert load_workload(path).tensors["y"].shape == tuple(shape)


def test_an_input_that_is_table_and_indices_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, [node("Gather", "x x")], (4,), kind=TensorProto.INT64)
    assert "used both as indices and as numbers" in refusal(path, UnsupportedError)


def test_an_output_that_is_a_weight_is_refused(tmp_path: Path) -> None:
    """Nothing computes it, so there is nothing to run, time or verify."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 4])],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in ("y", "w")],
        [onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [1, 4], [1.0, 2.0, 3.0, 4.0])],
    )
    path = tmp_path / "w.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(SpecError, match="output 'w' is not computed from the inputs"):
        load_workload(path)
