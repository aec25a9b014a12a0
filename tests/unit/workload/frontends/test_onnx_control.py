"""What constants decide at load: shapes, masks, branches, loops, and the ends of networks."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwsim.errors import CapacityError, SpecError, UnsupportedError
from tests.onnx_graphs import Array, agree, draw, graph, kinds, load, node

RNG = np.random.default_rng(0)
ROWS = (2, 5, 8)


def ints(*values: int) -> Array:
    return np.array(values, dtype=np.int64)


def inner(
    nodes: list[onnx.NodeProto], outputs: str, inputs: str = "", weights: dict[str, Any] | None = None
) -> onnx.GraphProto:
    """A graph within a node."""
    return helper.make_graph(
        nodes, "inner",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs.split()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()],
    )  # fmt: skip


# -- folding ---------------------------------------------------------------------------------------------


def test_masks_worked_out_from_shapes_need_no_operator() -> None:
    """A causal mask as exporters make it: counted, compared, chosen, and cut to the length at hand."""
    nodes = [
        node("Shape", "x", "shape"), node("Gather", "shape one", "n", axis=0),
        node("Range", "zero n step", "r"),
        node("Unsqueeze", "r last", "rows"), node("Unsqueeze", "r first", "cols"),
        node("LessOrEqual", "cols rows", "seen"), node("Where", "seen none low", "mask"),
        node("Add", "s mask", "y"),
    ]  # fmt: skip
    weights = {
        "one": np.array(1), "zero": np.array(0), "step": np.array(1), "last": ints(1), "first": ints(0),
        "none": np.float32(0), "low": np.float32(-100),
    }  # fmt: skip
    proto = graph(nodes, {"x": ROWS, "s": (2, 5, 5)}, weights)
    net = agree(proto, {"x": draw(RNG, *ROWS), "s": draw(RNG, 2, 5, 5)})
    assert kinds(net) == ["add"]
    assert net.parameter_count == 25


def test_large_constants_are_worked_out_when_they_are_read() -> None:
    size = 64
    nodes = [
        node("Mul", "a two", "b"), node("Transpose", "b", "c", perm=[1, 0]), node("Slice", "c s e", "d"),
        node("Concat", "d d", "w", axis=0), node("MatMul", "x w"),
    ]  # fmt: skip
    weights = {"a": draw(RNG, size, size), "two": np.float32(2), "s": ints(0), "e": ints(4)}
    net = agree(graph(nodes, {"x": (3, 8)}, weights), {"x": draw(RNG, 3, 8)})
    assert kinds(net) == ["matmul"]
    again = pickle.loads(pickle.dumps(net))
    assert np.array_equal(again.values("w"), net.values("w"))


def test_a_constant_that_takes_endless_steps_is_refused() -> None:
    nodes = [node("Add", f"a{i} a{i}", f"a{i + 1}") for i in range(60)]
    proto = graph([*nodes, node("MatMul", "x a60")], {"x": (2, 64)}, {"a0": np.ones((64, 64), np.float32)})
    with pytest.raises(SpecError, match="takes more than 1,000 steps to work out"):
        load(proto)


def test_filled_shapes_are_numbers_and_not_weights_left_out() -> None:
    """A ConstantOfShape of a shape that is worked out is zeros, where one of a shape in the file is a
    placeholder for weights."""
    nodes = [node("Shape", "x", "s"), node("ConstantOfShape", "s", "z"), node("Add", "x z")]
    net = agree(graph(nodes, {"x": ROWS}), {"x": draw(RNG, *ROWS)})
    assert not any("drawn from seed" in note for note in net.notes)


FOLDS: list[tuple[str, dict[str, Any], str]] = [
    ("Mod", {"a": ints(7), "b": ints(3)}, "a b"), ("Pow", {"a": ints(2), "b": ints(1)}, "a b"),
    ("Max", {"a": ints(2), "b": ints(1)}, "a b"), ("Min", {"a": ints(2), "b": ints(3)}, "a b"),
    ("Expand", {"a": ints(2), "b": ints(1)}, "a b"), ("Tile", {"a": ints(2), "b": ints(1)}, "a b"),
    ("ReduceProd", {"a": ints(2, 1)}, "a"), ("CumSum", {"a": ints(2), "b": np.array(0)}, "a b"),
    ("Neg", {"a": ints(-2)}, "a"), ("Abs", {"a": ints(-2)}, "a"),
    ("Add", {"a": ints(1), "b": ints(1)}, "a b"),
    ("Where", {"a": np.array([True]), "b": ints(2), "c": ints(5)}, "a b c"),
    ("Clip", {"a": ints(9), "b": np.array(0), "c": np.array(2)}, "a b c"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "weights", "inputs"), FOLDS, ids=[case[0] for case in FOLDS])
def test_arithmetic_on_sizes(kind: str, weights: dict[str, Any], inputs: str) -> None:
    """Each makes a size that cuts x so that onnxruntime's result has the same shape."""
    nodes = [node(kind, inputs, "n"), node("Slice", "x zero n axis", "y")]
    if kind == "ReduceProd":
        nodes[0].attribute.append(helper.make_attribute("axes", [0]))
    weights = {**weights, "zero": ints(0), "axis": ints(1)}
    agree(graph(nodes, {"x": ROWS}, weights, opset=13), {"x": draw(RNG, *ROWS)})


# -- branches --------------------------------------------------------------------------------------------

BRANCHES = {
    "then_branch": inner(
        [node("Tanh", "x", "t"), node("Mul", "t w", "u")], "u", weights={"w": np.float32(3)}
    ),
    "else_branch": inner([node("NonMaxSuppression", "x", "u")], "u"),
}


@pytest.mark.parametrize("chosen", [True, False])
def test_a_branch_that_a_constant_chooses(chosen: bool) -> None:
    """The other may hold what hwsim does not know."""
    proto = graph([node("If", "c", "t", **BRANCHES), node("Relu", "t")], {"x": ROWS}, {"c": np.array(chosen)})
    if not chosen:
        with pytest.raises(UnsupportedError, match="NonMaxSuppression"):
            load(proto)
        return
    assert kinds(load(proto)) == ["tanh", "mul+relu"]


def test_branches_compute_what_onnxruntime_computes() -> None:
    """The condition is a comparison of sizes; the branch reads what stands around it, under a name that it
    has too."""
    branches = {
        "then_branch": inner([node("Tanh", "a", "t")], "t"),
        "else_branch": inner([node("Neg", "a", "t")], "t"),
    }  # fmt: skip
    nodes = [
        node("Abs", "x", "a"), node("Shape", "x", "s"), node("Gather", "s one", "n"),
        node("Equal", "n five", "c"),
        node("If", "c", "t", **branches), node("Add", "t a"),
    ]  # fmt: skip
    weights = {"one": np.array(1), "five": np.array(5)}
    assert kinds(agree(graph(nodes, {"x": ROWS}, weights), {"x": draw(RNG, *ROWS)})) == ["abs", "tanh", "add"]


def test_a_branch_that_the_network_chooses_is_refused() -> None:
    nodes = [
        node("ReduceMax", "x", "m", keepdims=0),
        node("Cast", "m", "c", to=9),
        node("If", "c", "y", **BRANCHES),
    ]
    with pytest.raises(UnsupportedError, match=r"Cast.*another kind of number"):
        load(graph(nodes, {"x": ROWS}))
    proto = graph([node("If", "c", "y", **BRANCHES)], {"x": ROWS, "c": ("bool", (1,))})
    with pytest.raises(UnsupportedError) as caught:
        load(proto)
    assert "computes its condition" in str(caught.value)
    assert "export the network with that decided" in str(caught.value)


# -- loops -----------------------------------------------------------------------------------------------


def as_loop(body: onnx.GraphProto) -> None:
    """Say that a body counts in whole numbers and goes on by truth."""
    for value, kind in ((body.input[0], TensorProto.INT64), (body.input[1], TensorProto.BOOL),
                        (body.output[0], TensorProto.BOOL)):  # fmt: skip
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, []))


def loop(rounds: int | None, *, going: str = "keep") -> onnx.ModelProto:
    """h = tanh(h w + x[i]) for each round, every h kept."""
    body = inner(
        [
            node("Gather", "x i", "row", axis=0), node("MatMul", "h w", "a"), node("Add", "a row", "b"),
            node("Tanh", "b", "h2"), node("Identity", "h2", "out"), node("Identity", going, "keep2"),
        ],
        "keep2 h2 out", "i keep h",
    )  # fmt: skip
    as_loop(body)
    weights: dict[str, Any] = {"w": draw(RNG, 8, 8), "yes": np.array(True)}
    if rounds is not None:
        weights["n"] = np.array(rounds)
    made = node("Loop", f"{'-' if rounds is None else 'n'} yes h0", "last all", body=body)
    return graph([made], {"x": (6, 2, 8), "h0": (2, 8)}, weights, "last all")


def test_a_loop_of_constant_length_is_unrolled() -> None:
    net = agree(loop(4), {"x": draw(RNG, 6, 2, 8), "h0": draw(RNG, 2, 8)})
    assert sum(op.kind == "matmul" for op in net.operators) == 4
    assert net.tensors["all"].shape == (4, 2, 8)
    assert net.parameter_count == 64


def test_a_loop_stops_when_its_condition_says_so() -> None:
    body = inner(
        [node("Add", "h w", "h2"), node("Less", "i two", "keep2")], "keep2 h2", "i keep h",
        {"two": np.array(2)},
    )  # fmt: skip
    as_loop(body)
    proto = graph(
        [node("Loop", "n yes x", "y", body=body)], {"x": (2, 8)},
        {"w": draw(RNG, 8), "n": np.array(9), "yes": np.array(True)},
    )  # fmt: skip
    assert len(agree(proto, {"x": draw(RNG, 2, 8)}).operators) == 4  # three rounds and the result's name


def test_loops_without_an_end_are_refused() -> None:
    body = inner([node("Identity", "h", "h2"), node("Identity", "keep", "keep2")], "keep2 h2", "i keep h")
    endless = graph([node("Loop", "- yes x", "y", body=body)], {"x": (2, 8)}, {"yes": np.array(True)})
    with pytest.raises(CapacityError, match="more than 4,000 times"):
        load(endless)
    proto = loop(4)
    del proto.graph.initializer[2]
    proto.graph.input.append(helper.make_tensor_value_info("n", TensorProto.INT64, [1]))
    with pytest.raises(UnsupportedError, match="computes its trip count"):
        load(proto)


def test_graphs_within_graphs_are_bounded() -> None:
    held = inner([node("Tanh", "x", "t")], "t")
    for _ in range(10):
        held = inner([node("If", "c", "t", then_branch=held, else_branch=held)], "t")
    made = node("If", "c", "y", then_branch=held, else_branch=held)
    with pytest.raises(CapacityError, match="more than 8 deep"):
        load(graph([made], {"x": ROWS}, {"c": np.array(True)}))


# -- ends ------------------------------------------------------------------------------------------------


def test_picking_the_largest_at_the_end_is_left_to_the_host() -> None:
    nodes = [
        node("MatMul", "x w", "logits"),
        node("ArgMax", "logits", "i", axis=-1),
        node("Cast", "i", "y", to=6),
    ]
    net = load(graph(nodes, {"x": (2, 8)}, {"w": draw(RNG, 8, 4)}))
    assert net.outputs == ("logits",)
    assert any("ArgMax at the end ('the_argmax_i') is left to the host" in note for note in net.notes)


@pytest.mark.parametrize("kind", ["Identity", "Cast", "Relu"])
def test_circles_are_refused(kind: str) -> None:
    given = {"to": 1} if kind == "Cast" else {}
    nodes = [node(kind, "b", "a", **given), node(kind, "a", "b", **given), node(kind, "a", **given)]
    with pytest.raises(SpecError, match="form a cycle"):
        load(graph(nodes, {"x": (2, 8)}))


def test_picking_in_the_middle_is_refused_with_the_reason() -> None:
    nodes = [node("ArgMax", "x", "i", axis=-1), node("Cast", "i", "f", to=1), node("Add", "x f")]
    with pytest.raises(UnsupportedError, match="known only at the very end"):
        load(graph(nodes, {"x": (2, 8)}))
    nodes = [node("TopK", "x k", "v i"), node("Relu", "v")]
    with pytest.raises(UnsupportedError, match=r"TopK .*how much it moves depends on the numbers"):
        load(graph(nodes, {"x": (2, 8)}, {"k": ints(2)}))
