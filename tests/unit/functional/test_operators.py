"""Every operator, executed tile by tile on a 3 x 5 array, in every number format and dataflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import UnsupportedError
from hwsim.functional import execute
from hwsim.pipeline import verify
from hwsim.result import Verification
from hwsim.workload import Source, Workload, conv2d, matmul
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.functions import BINARY, UNARY

FORMATS = Path(__file__).parents[2] / "formats.yaml"
DATAFLOWS = ("ws", "is", "os")
INTEGERS = ("int4", "int8", "int16", "int32")
FLOATS = ("fp32", "fp16", "bf16")


def check(workload: Workload, *overrides: str, **more: Any) -> Verification:
    found = verify(workload, FORMATS, overrides=overrides, **more)
    assert len(found.names) == sum(op.kind != "view" for op in workload.operators)
    assert (found.elements > 0).all()
    return found


CONVOLUTIONS = {
    "plain": {"args": (1, 3, 6, 6, 7, 3)},
    "one by one": {"args": (2, 8, 3, 4, 6, 1)},
    "stride": {"args": (1, 4, 9, 8, 6, 3), "stride": (2, 3)},
    "a stride past the window": {"args": (1, 4, 9, 9, 6, 1), "stride": 3},
    "pad": {"args": (1, 4, 5, 6, 6, 3), "pad": (1, 0, 2, 1)},
    "dilation": {"args": (1, 4, 9, 9, 3, 3), "dilation": (2, 3), "pad": 2},
    "groups": {"args": (2, 6, 5, 5, 8, 3), "groups": 2, "pad": 1},
    "depthwise": {"args": (1, 7, 6, 6, 7, 3), "groups": 7, "pad": 1},
    "a rectangle": {"args": (1, 2, 4, 9, 3, (1, 5)), "pad": (0, 2)},
    "one element": {"args": (1, 1, 1, 1, 1, 1)},
}


@pytest.mark.parametrize("shape", CONVOLUTIONS)
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_convolutions_are_exact_in_int8(shape: str, dataflow: str) -> None:
    given = dict(CONVOLUTIONS[shape])
    found = check(conv2d(*given.pop("args"), **given), f"dataflow={dataflow}")
    assert found.bit_exact
    assert shape == "one element" or found.tiles.sum() > 1


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_every_format_agrees(dtype: str, dataflow: str) -> None:
    found = check(conv2d(2, 6, 7, 7, 8, 3, stride=2, pad=1, groups=2), f"dataflow={dataflow}", dtype=dtype)
    assert found.bit_exact == (dtype in INTEGERS)
    least = {"int4": 8, "int8": 30, "int16": 70, "int32": 70, "fp32": 120, "fp16": 55, "bf16": 40}
    assert found.sqnr_db[0] > least[dtype]


@pytest.mark.parametrize("pair", [("int16", "int8"), ("int8", "int16")])
def test_mixed_integers_are_exact(pair: tuple[str, str]) -> None:
    assert check(matmul(9, 11, 13), dtype=pair[0], weight_dtype=pair[1]).bit_exact


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 17, 9), (40, 5, 3), (31, 11, 29)])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_matmuls_are_exact(shape: tuple[int, int, int], batch: int, dataflow: str) -> None:
    assert check(matmul(*shape, batch=batch), f"dataflow={dataflow}").bit_exact


@pytest.mark.parametrize("rounding", ["nearest_even", "half_up", "truncate"])
@pytest.mark.parametrize("name", ["q3.4", "q7.8", "q1.2"])
def test_fixed_point_is_exact(name: str, rounding: str) -> None:
    workload = conv2d(1, 4, 6, 6, 5, 3, pad=1)
    found = check(workload, fixed_point=name, rounding=rounding)
    assert found.bit_exact
    assert name in found.scheme


def test_roundings_differ() -> None:
    found = {
        r: check(matmul(20, 20, 20), fixed_point="q3.4", rounding=r) for r in ("nearest_even", "truncate")
    }
    assert found["nearest_even"].sqnr_db[0] > found["truncate"].sqnr_db[0] + 3


@pytest.mark.parametrize("machine", ["spilled", "packed", "one plane", "ideal", "one bank"])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_machines_of_other_sorts_compute_the_same(machine: str, dataflow: str) -> None:
    overrides = {
        "spilled": ("unified_buffer.size=300 B",),
        "packed": ("array.group_packing=true", "array.rows=20", "array.cols=11"),
        "one plane": ("array.double_buffer=false", "array.fold_overlap=false"),
        "ideal": ("accumulators.rows=unlimited", "lanes=unlimited"),
        "one bank": ("accumulators.banks=1", "accumulators.rows=4"),
    }[machine]
    network = GraphBuilder("two", dtype="int8")
    x = network.input("x", (2, 5, 7, 6))
    w1, w2 = network.weight("w1", (5, 1, 3, 3), fan_in=9), network.weight("w2", (9, 5, 1, 1), fan_in=5)
    b = network.weight("b", (9,), "bias")
    y = network.conv2d(Label("depthwise"), x, w1, groups=5, pad=(1, 1, 1, 1))
    y = network.conv2d(Label("pointwise"), y, w2, b)
    y = network.unary(Label("relu"), y, "relu")
    found = check(network.build([y], SOURCE), *overrides, f"dataflow={dataflow}")
    assert found.bit_exact


SOURCE = Source("builtin", "constructor", "")


@pytest.mark.parametrize("dtype", ["int8", "int16", "fp16", "fp32"])
def test_operators_of_the_activation_unit_agree(dtype: str) -> None:
    g = GraphBuilder("vectors", dtype=dtype)
    x = g.input("x", (2, 6, 5, 7))
    outputs = [
        g.pool(Label("max"), x, "max", (3, 2), stride=(2, 1), pad=(1, 0, 1, 1), ceil_mode=True),
        g.pool(Label("mean"), x, "average", (2, 2), pad=(1, 1, 0, 0), dilation=(2, 2)),
        g.pool(
            Label("padded"), x, "average", (3, 3), stride=(2, 2), pad=(1, 1, 1, 1), count_include_pad=True
        ),
        g.global_pool(Label("global"), x, "average"),
        g.lrn(Label("lrn"), x, 5, alpha=0.5),
        g.lrn(Label("even"), x, 4),
        g.softmax(Label("channels"), x, 1),
        g.softmax(Label("flat"), x, 2, flattened=True),
        g.concat(Label("concat"), [x, g.unary(Label("twice"), x, "exp")], 1),
        g.transpose(Label("transpose"), x, (0, 2, 3, 1)),
        g.slice(Label("slice"), x, {1: (5, -(2**63), -2), 3: (1, 6, 2)}),
        g.pad(Label("pad"), x, (0, 0, 1, 2), (0, 1, 0, 3), fill=0.7),
        *(
            g.pad(Label(mode), x, (0, 0, 3, 2), (0, 1, 4, 3), mode=mode)
            for mode in ("reflect", "edge", "wrap")
        ),
    ]
    for role, shape in (("row", (7,)), ("channel", (6, 1, 1))):
        constant = g.weight(role, shape, "scale")
        outputs += [g.combine(Label(f"{f}_{role}"), f, [x, constant]) for f in ("add", "mul", "sub", "div")]
    found = check(g.build(outputs, SOURCE), dtype=dtype)
    assert found.bit_exact == dtype.startswith("int")


@pytest.mark.parametrize("dtype", ["int8", "fp32", "bf16"])
def test_functions_agree_alone_and_fused(dtype: str) -> None:
    g = GraphBuilder("functions", dtype=dtype)
    x = g.input("x", (3, 7))
    w, b = g.weight("w", (7, 11), fan_in=7), g.weight("b", (11,), "bias")
    positive = g.unary(Label("positive"), g.unary(Label("size"), x, "abs"), "exp")
    outputs = []
    for name in UNARY:
        y = positive if name in ("log", "sqrt", "reciprocal") else x
        outputs.append(g.unary(Label(name), y, name, {"min": -0.5, "max": 1.0} if name == "clip" else {}))
        if name not in ("log", "sqrt", "reciprocal"):
            product = g.matmul(Label(f"product_{name}"), x, w, b, alpha=0.75, beta=2.0)
            outputs.append(g.unary(Label(f"fused_{name}"), product, name))
    outputs += [g.combine(Label(f"both_{name}"), name, [positive, x]) for name in BINARY]
    workload = g.build(outputs, SOURCE)
    assert sum(len(op.epilogue) == 3 for op in workload.operators) == len(UNARY) - 3
    assert check(workload, dtype=dtype).bit_exact == (dtype == "int8")


@pytest.mark.parametrize(
    ("a", "b", "turned"),
    [
        ((4, 5), (5, 3), {}), ((5, 4), (3, 5), {"transpose_a": True, "transpose_b": True}),
        ((2, 3, 4, 5), (3, 5, 6), {}), ((4, 5), (2, 5, 3), {}), ((5,), (5, 3), {}), ((2, 4, 5), (5,), {}),
    ],
)  # fmt: skip
def test_matmuls_broadcast_and_transpose_as_numpy_does(a: Any, b: Any, turned: Any) -> None:
    g = GraphBuilder("product", dtype="int8")
    y = g.matmul(Label("y"), g.input("a", a), g.input("b", b), **turned)
    assert check(g.build([y], SOURCE)).bit_exact


def test_a_batch_norm_that_stays_agrees() -> None:
    g = GraphBuilder("norm", dtype="int8")
    x = g.input("x", (2, 3, 4, 4))
    parts = [g.weight(n, (3,), n) for n in ("scale", "shift", "mean", "variance")]
    y = g.unary(Label("relu"), g.batch_norm(Label("norm"), x, *parts), "tanh")
    assert check(g.build([y], SOURCE)).bit_exact
    assert not check(g.build([y], SOURCE), dtype="fp32").bit_exact


def test_a_float_within_its_bound_is_not_called_exact() -> None:
    found = check(matmul(8, 8, 300), dtype="fp32")
    assert not found.exact[0]
    assert 0 < found.max_error[0] <= found.bound[0]
    assert 0 < found.used[0] <= 1


def test_int16_sums_stay_inside_32_bits() -> None:
    """The largest int16 operands would overflow a sum of two products; the scale of weights leaves room."""
    assert check(matmul(4, 4, 3000), dtype="int16").bit_exact


def test_arithmetic_between_floats_and_integers_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="fp16 times int8"):
        execute(matmul(2, 2, 2).astype("fp16", "int8"), {})
    with pytest.raises(UnsupportedError, match="int8 times fp16"):
        execute(matmul(2, 2, 2).astype("int8", "fp16"), {})


def test_fixed_point_of_another_width_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="choose --dtype int16"):
        verify(matmul(2, 2, 2), FORMATS, dtype="int8", fixed_point="q7.8")


def test_the_seed_changes_the_numbers() -> None:
    first, second = (verify("lenet5", "tpu_v1", seed=seed) for seed in (0, 1))
    assert first.sqnr_db.tolist() != second.sqnr_db.tolist()
    assert (verify("lenet5", "tpu_v1", seed=0).sqnr_db == first.sqnr_db).all()
