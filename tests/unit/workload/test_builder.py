"""The builder: shapes worked by hand, and one clear refusal for each thing that does not fit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwsim.errors import CapacityError, SpecError
from hwsim.workload import Source
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Matmul, Move, Pool, Softmax, View

Build = Callable[[GraphBuilder], str]


def built(*inputs: tuple[int, ...]) -> GraphBuilder:
    builder = GraphBuilder("net")
    for index, shape in enumerate(inputs):
        builder.input(f"x{index}", shape)
    return builder


def at(name: str = "layer") -> Label:
    return Label(name)


def test_pools_round_down_or_up() -> None:
    b = built((1, 8, 112, 112))
    assert b.shape(b.pool(at("a"), "x0", "max", (3, 3), stride=(2, 2))) == (1, 8, 55, 55)
    assert b.shape(b.pool(at("b"), "x0", "max", (3, 3), stride=(2, 2), ceil_mode=True)) == (1, 8, 56, 56)
    assert b.shape(b.pool(at("c"), "x0", "max", (2, 2))) == (1, 8, 56, 56)
    # 7 wide, windows of 2 every 4 with 1 of padding: places -1, 3 and 7, but 7 lies behind the input.
    c = built((1, 1, 7, 7))
    pool = c.pool(at(), "x0", "max", (2, 2), stride=(4, 4), pad=(1, 1, 1, 1), ceil_mode=True)
    assert c.shape(pool) == (1, 1, 2, 2)


def test_a_global_pool_is_a_window_as_large_as_the_map() -> None:
    b = built((2, 8, 7, 5))
    b.global_pool(at(), "x0", "average")
    assert b.operators[0].problem == Pool("average", 2, 8, 7, 5, 7, 5, 1, 1)


@pytest.mark.parametrize(
    ("a", "b", "problem", "shape"),
    [
        ((5, 7), (7, 3), Matmul(1, 5, 3, 7), (5, 3)),
        ((2, 5, 7), (7, 3), Matmul(1, 10, 3, 7), (2, 5, 3)),
        ((2, 5, 7), (2, 7, 3), Matmul(2, 5, 3, 7), (2, 5, 3)),
        ((2, 4, 5, 7), (4, 7, 3), Matmul(8, 5, 3, 7), (2, 4, 5, 3)),
        ((5, 7), (4, 7, 3), Matmul(4, 5, 3, 7), (4, 5, 3)),
        ((7,), (7, 3), Matmul(1, 1, 3, 7), (3,)),
        ((2, 5, 7), (7,), Matmul(1, 10, 1, 7), (2, 5)),
    ],
)
def test_matmul_follows_numpy(
    a: tuple[int, ...], b: tuple[int, ...], problem: Matmul, shape: tuple[int, ...]
) -> None:
    builder = built(a, b)
    assert builder.shape(builder.matmul(at(), "x0", "x1")) == shape
    assert builder.operators[0].problem == problem


def test_matmul_transposes() -> None:
    builder = built((7, 5), (3, 7))
    assert builder.shape(builder.matmul(at(), "x0", "x1", transpose_a=True, transpose_b=True)) == (5, 3)
    assert dict(builder.operators[0].attributes) == {"trans_a": True, "trans_b": True}
    batched = built((2, 7, 5), (7, 3))  # rows of different batches do not lie behind each other
    assert batched.shape(batched.matmul(at(), "x0", "x1", transpose_a=True)) == (2, 5, 3)
    assert batched.operators[0].problem == Matmul(2, 5, 3, 7)


def test_combining_broadcasts_as_numpy_does() -> None:
    b = built((2, 8, 5, 5), (8, 1, 1), (2, 1, 5, 1))
    assert b.shape(b.combine(at(), "add", ["x0", "x1", "x2"])) == (2, 8, 5, 5)
    assert b.operators[0].problem.operands == 3  # type: ignore[union-attr]


def test_a_transposition_that_moves_nothing_is_a_view() -> None:
    b = built((1, 64, 1, 1), (1, 3, 4, 1))
    b.transpose(at("a"), "x0", (0, 2, 3, 1))
    b.transpose(at("b"), "x1", (0, 2, 1, 3))
    assert b.operators[0].problem == View("transpose", 64)
    assert b.operators[1].problem == Move("transpose", 12)


def test_softmax_rows_and_columns() -> None:
    b = built((2, 3, 4, 5))
    b.softmax(at("a"), "x0", 1)
    b.softmax(at("b"), "x0", -1)
    b.softmax(at("c"), "x0", 1, flattened=True)
    assert [op.problem for op in b.operators] == [Softmax(40, 3), Softmax(24, 5), Softmax(2, 60)]


def test_slices_clamp_and_count_from_the_end() -> None:
    b = built((4, 10))
    assert b.shape(b.slice(at("a"), "x0", {1: (2, 2**62, 3)})) == (4, 3)
    assert b.shape(b.slice(at("b"), "x0", {-1: (-3, -1, 1), 0: (0, 4, 1)})) == (4, 2)
    assert b.shape(b.slice(at("c"), "x0", {1: (-1, -(2**63), -1)})) == (4, 10)
    b.slice(at("d"), "x0", {1: (0, 10, 1)})
    assert [op.kind for op in b.operators] == ["move", "move", "move", "view"]


def test_concat_and_pad() -> None:
    b = built((1, 3, 4, 4), (1, 5, 4, 4))
    assert b.shape(b.concat(at("a"), ["x0", "x1"], -3)) == (1, 8, 4, 4)
    assert b.shape(b.pad(at("b"), "x0", (0, 0, 1, 2), (0, 0, 3, 4))) == (1, 3, 8, 10)
    b.concat(at("c"), ["x0"], 1)
    assert b.operators[-1].kind == "view"


CASES: list[tuple[tuple[tuple[int, ...], ...], Build, str]] = [
    (((1, 3, 8),), lambda b: b.global_pool(at(), "x0", "max"), r"takes a feature map .* \[1, 3, 8\]"),
    (((1, 3, 8, 8),), lambda b: b.conv2d(at(), "x0", b.weight("w", (4, 2, 3, 3))), "take 2 channels a group"),
    (((1, 3, 8, 8),), lambda b: b.conv2d(at(), "x0", b.weight("w", (4, 3, 3))), "must be .out, in / groups"),
    (
        ((1, 3, 8, 8),),
        lambda b: b.conv2d(at(), "x0", b.weight("w", (4, 3, 3, 3)), b.weight("b", (5,))),
        "does not fit 4 output channels",
    ),
    (
        ((1, 3, 8, 8),),
        lambda b: b.pool(at(), "x0", "max", (9, 9)),
        "window of 9 does not fit the height of 8",
    ),
    (((1, 3, 8, 8),), lambda b: b.pool(at(), "x0", "max", (2, 2), pad=(2, 0, 0, 0)), "reaches past"),
    (((1, 3, 8, 8),), lambda b: b.pool(at(), "x0", "max", (2, 2), stride=(0, 1)), "stride is .0, 1."),
    (((1, 3, 8, 8),), lambda b: b.pool(at(), "x0", "max", (2, 2), pad=(-1, 0, 0, 0)), "pad is"),
    (((2, 3), (4, 5)), lambda b: b.matmul(at(), "x0", "x1"), r"\[2, 3\] and \[4, 5\] cannot be multiplied"),
    (((2, 3), (3, 5)), lambda b: b.matmul(at(), "x0", "x1", b.weight("b", (4,))), "does not fit 5 columns"),
    (((2, 3), (2, 4)), lambda b: b.combine(at(), "add", ["x0", "x1"]), "do not go together"),
    (((2, 3),), lambda b: b.combine(at(), "sub", ["x0"] * 3), "takes two inputs and got 3"),
    (((2, 3),), lambda b: b.combine(at(), "xor", ["x0"] * 2), "unknown pointwise function"),
    (((2, 3),), lambda b: b.unary(at(), "x0", "swoosh"), "unknown pointwise function"),
    (((2, 3),), lambda b: b.unary(at(), "x0", "relu", {"alpha": 1.0}), "relu has no attribute 'alpha'"),
    (((2, 3),), lambda b: b.unary(at(), "x0", "clip", {"min": 2.0, "max": 1.0}), "min 2 above max 1"),
    (((2, 3),), lambda b: b.unary(at(), "x0", "elu", {"alpha": float("nan")}), "must be a finite number"),
    (((2, 3), (2, 4)), lambda b: b.concat(at(), ["x0", "x1"], 0), "cannot be joined along axis 0"),
    (((2, 3),), lambda b: b.concat(at(), [], 0), "at least one input"),
    (((2, 3),), lambda b: b.softmax(at(), "x0", 2), "axis 2 is out of range"),
    (((2, 3),), lambda b: b.transpose(at(), "x0", (0, 0)), "does not fit"),
    (((2, 3),), lambda b: b.view(at(), "x0", "reshape", (7,)), r"\[2, 3\] cannot be seen as \[7\]"),
    (((2, 3),), lambda b: b.slice(at(), "x0", {1: (3, 3, 1)}), "is empty"),
    (((2, 3),), lambda b: b.slice(at(), "x0", {1: (0, 3, 0)}), "step of a slice is 0"),
    (((2, 3),), lambda b: b.pad(at(), "x0", (0, -1), (0, 0)), "give one number of at least 0"),
    (((2, 3, 4, 4),), lambda b: b.lrn(at(), "x0", 0), "size is 0"),
]


@pytest.mark.parametrize(("inputs", "build", "message"), CASES, ids=[case[2][:40] for case in CASES])
def test_what_does_not_fit_is_refused_by_layer(
    inputs: tuple[tuple[int, ...], ...], build: Build, message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        build(built(*inputs))
    assert str(caught.value).startswith("layer 'layer' (")


def test_a_batch_norm_takes_one_number_for_each_channel() -> None:
    b = built((1, 3, 4, 4))
    names = [b.weight(n, (3,)) for n in ("g", "b", "m")]
    with pytest.raises(SpecError, match=r"'v' of shape \[4\] does not fit the channels .* must be \[3\]"):
        b.batch_norm(at(), "x0", *names, b.weight("v", (4,)))


def test_names_are_given_once() -> None:
    b = built((1, 3))
    b.unary(at("a"), "x0", "relu")
    with pytest.raises(SpecError, match="the name 'a' is given twice"):
        b.unary(at("a"), "x0", "tanh")
    with pytest.raises(SpecError, match="the name 'x0' is given twice"):
        b.input("x0", (1,))
    assert b.weight("w", (3,)) == b.weight("w", (3,))
    with pytest.raises(SpecError, match="the name 'w' is given twice"):
        b.weight("w", (4,))


def test_a_workload_has_an_output() -> None:
    with pytest.raises(SpecError, match="no output"):
        built((1, 3)).build([], Source("builtin", "constructor", ""))


@pytest.mark.parametrize(
    "build",
    [
        lambda b: b.conv2d(at(), "x0", b.weight("w", (4, 8, 2**17, 2**17))),
        lambda b: b.pool(at(), "x0", "max", (2**17, 2**17), stride=(1, 1)),
        lambda b: b.lrn(at(), "x0", 2**40),
    ],
)
def test_work_that_no_column_holds_is_refused(build: Build) -> None:
    with pytest.raises(CapacityError, match="operations are more than hwsim counts"):
        build(built((1, 8, 2**18, 2**18)))
