"""Functions in whole numbers: within the bound that is stated for them, and no further off than it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwsim.functional.approximate as approximate
import hwsim.functional.products as products
import hwsim.functional.vectors as vectors
from hwsim.errors import UnsupportedError, VerificationError
from hwsim.functional.approximation import TABLED, mean_fraction
from hwsim.functional.approximation_error import (
    CURVATURE,
    POLYNOMIAL,
    SLOPES,
    approximation_error,
    table_error,
)
from hwsim.functional.check import compare, expect_vector
from hwsim.functional.numbers import Numbers, Stored
from hwsim.functional.reference_vector import unary, vector
from hwsim.functional.vectors import execute_vector
from hwsim.pipeline import verify
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Tensor
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Step
from tests.cached_products import BUILTIN, product
from tests.transformer_block import encoder

FORMATS = Path(__file__).parents[2] / "formats.yaml"
ARRAY = ("array.rows=32", "array.cols=32", "accumulators.rows=256")


def encoding(dtype: str, scale: float, zero_point: int = 0) -> Encoding:
    return Encoding(find_format(dtype), scale, symmetric=False, zero_point=zero_point)


@pytest.mark.parametrize("function", TABLED)
def test_a_second_derivative_is_no_larger_than_stated(function: str) -> None:
    x, h = np.linspace(-8, 8, 160_001), 1e-3
    found = (unary(function, (), x + h) - 2 * unary(function, (), x) + unary(function, (), x - h)) / h**2
    assert CURVATURE[function] * 0.999 < np.abs(found).max() <= CURVATURE[function]


@pytest.mark.parametrize("function", TABLED)
def test_slopes_span_no_more_than_stated(function: str) -> None:
    x, h = np.linspace(-8, 8, 160_001), 1e-4
    found = (unary(function, (), x + h) - unary(function, (), x - h)) / (2 * h)
    span = float(found.max() - found.min())
    assert SLOPES[function] * 0.99 < span <= SLOPES[function]


def test_the_polynomial_is_no_further_off_than_stated() -> None:
    p = np.linspace(-math.log(2), 0, 10_001)
    found = np.abs((0.3585 * (p + 1.353) ** 2 + 0.344) / np.exp(p) - 1).max()
    assert POLYNOMIAL * 0.99 < found <= POLYNOMIAL


@pytest.mark.parametrize("function", TABLED)
@pytest.mark.parametrize("dtype", ["int8", "int16"])
@pytest.mark.parametrize("scale", [1e-4, 3e-3, 0.07])
@pytest.mark.parametrize("zero_point", [0, -100])
def test_a_table_lies_within_its_bound(function: str, dtype: str, scale: float, zero_point: int) -> None:
    """At every number that can be stored; and where segments are not wider than what the function does, the
    bound is no more than a few times what happens."""
    x = encoding(dtype, scale, zero_point)
    stored = np.arange(x.limits[0], x.limits[1] + 1)
    exact = unary(function, (), (stored - zero_point) * scale)
    off = np.abs(approximate.look_up(function, (), x, stored) - exact).max()
    bound = table_error(function, (), x)
    assert off <= bound
    if scale < 0.07 or dtype == "int8":
        assert bound < 4 * off + 1e-9
    if dtype == "int8":  # each number has its own entry of 16 bits
        assert off <= np.abs(exact).max() / 2**15


def test_a_table_is_worked_by_hand() -> None:
    """tanh over int16 with a scale of 2**-12: segments are 256 units, 1/16, wide. Between 0 and 1/16 it is
    the line from 0 to tanh(1/16) = 0.06241874674751257, in entries of tanh(8) / 32,767."""
    found = approximate.look_up("tanh", (), encoding("int16", 2.0**-12), np.array([0, 64, 128, 256]))
    unit = math.tanh(8) / 32_767
    entry = round(0.06241874674751257 / unit) * unit
    np.testing.assert_allclose(found, [0, entry / 4, entry / 2, entry], rtol=1e-12)


def test_a_softmax_is_worked_by_hand() -> None:
    """Of 0 and -ln 2, which is 2,839 / 4,096: the power of the second is half that of the first."""
    rows = np.array([[0.0, -2839 / 4096], [-np.inf, 3.0]])
    approximate.shares_of_rows(rows)
    at_zero = 5542**2 + round(0.344 / 0.3585 * 2**24)
    assert rows[0, 0] == round(at_zero * 65_536 / (at_zero + at_zero // 2)) / 65_536
    assert rows[0].sum() == pytest.approx(1, abs=2.0**-15)
    assert rows[1].tolist() == [0.0, 1.0]


def test_roots_are_exact() -> None:
    squares = np.array([0, 1, 3, 4, 8, 9, 2**52 - 1, (2**30 - 1) ** 2 - 1, (2**30) ** 2], dtype=np.int64)
    assert approximate._root(squares).tolist() == [math.isqrt(int(n)) for n in squares]


def test_means_have_room() -> None:
    assert mean_fraction(encoding("int8", 1.0), 1024) == 8
    wide = mean_fraction(encoding("int16", 1.0), 2**20)
    assert 0 <= wide < 8
    assert 2**20 * (2**16 << wide) ** 2 < 2**63


@st.composite
def operators(draw: st.DrawFn) -> tuple[Any, GraphBuilder]:
    g = GraphBuilder("one")
    n, c, w = (draw(st.integers(1, 12)) for _ in range(3))
    x = g.input("x", (n, c, w))
    match draw(st.sampled_from(("unary", "softmax", "masked", "norm", "group"))):
        case "unary":
            g.unary(Label("y"), x, draw(st.sampled_from(TABLED)))
        case "softmax":
            g.softmax(Label("y"), x, axis=draw(st.integers(0, 2)))
        case "masked":
            g.softmax(Label("y"), x, mask=g.input("m", (c, w)))
        case "norm":
            function = draw(st.sampled_from(("layer_norm", "rms_norm")))
            scale = g.weight("s", (w,), "scale")
            shift = g.weight("t", (w,), "shift") if function == "layer_norm" else ""
            g.norm(Label("y"), x, function, scale, shift, epsilon=draw(st.sampled_from((0.0, 1e-5, 0.1))))
        case _:
            g.norm(Label("y"), x, "group_norm", g.weight("s", (c,), "scale"), groups=1)
    return g.operators[-1], g


@settings(max_examples=250)
@given(st.data())
def test_any_operator_lies_within_its_bound(data: st.DataObject) -> None:
    op, g = data.draw(operators())
    dtype = data.draw(st.sampled_from(("int8", "int16")))
    draw = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    size = 10.0 ** data.draw(st.integers(-2, 2))
    numbers, stored = Numbers(), []
    for name in op.inputs:
        tensor = replace(g.tensors[name], dtype=dtype)
        values = size * draw.standard_normal(tensor.shape) + data.draw(st.sampled_from((0.0, 3.0)))
        found = numbers.encode(tensor, values)
        stored.append(Stored(found.store(values), found))
    shape = g.tensors[op.output].shape
    reals = vector(op, [x.reals for x in stored], shape)
    out = numbers.encode_result(op, Tensor("y", shape, dtype, "activation"), reals, stored)
    found = execute_vector(op, stored, out, shape, approximate=True)
    expected = expect_vector(op, stored, out, shape, approximate=True)
    assert compare(found, None, expected, out).first_wrong is None


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_bounds_of_usual_operators_are_narrow(dtype: str) -> None:
    """Rows of 64 numbers: a softmax within three per cent of a share, a norm within one of a deviation."""
    g = GraphBuilder("one")
    x = g.input("x", (4, 64))
    g.softmax(Label("p"), x)
    g.norm(Label("n"), x, "layer_norm")
    values = np.random.default_rng(1).standard_normal((4, 64))
    found = Numbers().encode(replace(g.tensors["x"], dtype=dtype), values)
    stored = [Stored(found.store(values), found)]
    for op, most in zip(g.operators, (0.03, 0.02), strict=True):
        exact = vector(op, [stored[0].reals], (4, 64))
        bound = approximation_error(op, stored, exact)
        assert (bound <= most * np.maximum(np.abs(exact), 0.3 if op.kind == "norm" else 0.02)).all()


# -- whole networks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("design", [FORMATS, "a100", "xeon_e5_2699v3"])
@pytest.mark.parametrize("function", ["gelu", "silu"])
def test_a_block_verifies_with_approximations(design: str | Path, function: str) -> None:
    overrides = ARRAY if isinstance(design, Path) else ()
    workload = encoder(function=function).astype("int8")
    exact = verify(workload, design, overrides=overrides)
    rough = verify(workload, design, overrides=overrides, approximate=True)
    assert exact.bit_exact
    assert "by tables" in rough.scheme
    assert 0 < rough.max_units.max() <= 4
    assert {kind for kind, off in zip(rough.kinds, rough.max_units, strict=True) if off} <= {
        "norm", "softmax", "elementwise", "matmul",
    }  # fmt: skip
    assert min(rough.output_sqnr_db.values()) > min(exact.output_sqnr_db.values()) - 6


@pytest.mark.parametrize("design", [FORMATS, "generic_x86", "t4"])
def test_a_function_behind_a_product_is_looked_up(design: str | Path) -> None:
    plain = product(9, 12, 40, dtype="int8")
    *before, last = plain.operators
    steps = (*last.epilogue[:-1], Step("gelu"))
    workload = replace(plain, operators=(*before, replace(last, epilogue=steps)))
    assert verify(workload, design).bit_exact
    found = verify(workload, design, approximate=True)
    assert found.max_units.max() <= 1


def test_floats_have_nothing_to_approximate() -> None:
    with pytest.raises(UnsupportedError, match="computes no integers"):
        verify(encoder().astype("fp16"), "v100", approximate=True)


def caught(change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    change(monkeypatch)
    with pytest.raises(VerificationError):
        verify(encoder().astype("int16"), FORMATS, overrides=ARRAY, approximate=True)


@pytest.mark.parametrize(
    ("where", "name", "wrong"),
    [
        (products, "look_up", lambda right: lambda f, a, x, s: right(f, a, x, s) + 2e-3),
        (products, "look_up", lambda right: lambda f, a, x, s: right(f, a, x, np.minimum(s + 64, 32_766))),
        (approximate, "_LN2", lambda right: right + 40),
        (approximate, "_SHIFT", lambda right: right + 900),
        (approximate, "_root", lambda right: lambda squares: right(squares) - 40),
        (approximate, "_divided", lambda right: lambda numbers, by: right(numbers, by) - 400),
    ],
)
def test_wrong_arithmetic_is_caught(
    where: Any, name: str, wrong: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    caught(lambda patch: patch.setattr(where, name, wrong(getattr(where, name))), monkeypatch)


def test_a_wrong_table_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    g = GraphBuilder("one")
    workload = g.build([g.unary(Label("y"), g.input("x", (5, 7)), "tanh")], BUILTIN).astype("int8")
    assert verify(workload, "t4", approximate=True).max_units.max() <= 1
    right = vectors.look_up
    monkeypatch.setattr(vectors, "look_up", lambda f, a, x, s: right(f, a, x, s) * 1.02)
    with pytest.raises(VerificationError):
        verify(workload, "t4", approximate=True)


def test_a_wrong_table_behind_a_product_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = product(9, 12, 40, dtype="int8")
    *before, last = plain.operators
    workload = replace(plain, operators=(*before, replace(last, epilogue=(Step("tanh"),))))
    right = products.look_up
    monkeypatch.setattr(products, "look_up", lambda f, a, x, s: right(f, a, x, s) * 1.02)
    with pytest.raises(VerificationError):
        verify(workload, "t4", approximate=True)
