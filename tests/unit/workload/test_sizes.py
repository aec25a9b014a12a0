"""Sizes with names: the little arithmetic that files may use, and nothing that Python would run."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.errors import SpecError
from hwsim.workload.sizes import read_size

PARAMETERS = {"batch": 4, "tokens": 7}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (3, 3),
        ("12", 12),
        ("batch", 4),
        ("2 * batch", 8),
        ("(tokens + 1) // 2", 4),
        ("-1", -1),
        ("tokens-batch", 3),
    ],
)
def test_sizes_are_worked_out(written: int | str, value: int) -> None:
    assert read_size(written, PARAMETERS) == value


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("bach", "did you mean 'batch'"),
        ("batch / 2", "cannot read"),
        ("batch ** 9", "cannot read"),
        ("batch // 0", "divides by zero"),
        ("__import__('os')", "cannot read"),
        ("batch.real", "cannot read"),
        ("batch(1)", "there is no function 'batch'"),
        ("[1][0]", "cannot read"),
        ("3x", "cannot read"),
        ("", "cannot read"),
        ("(" * 60 + "1", "cannot read"),
        ("1 + " * 40 + "1", "cannot read"),
        ("9999999999 * 9999999999", "more than"),
        ("lambda: 1", "cannot read"),
    ],
)
def test_anything_else_is_refused(written: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        read_size(written, PARAMETERS)


@given(st.text(alphabet="batch tokens0123456789+-*/()._[]'\"", max_size=40))
def test_no_text_does_more_than_be_refused(written: str) -> None:
    with contextlib.suppress(SpecError):
        assert isinstance(read_size(written, PARAMETERS), int)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("tokens % batch", 3),
        ("-tokens // batch", -2),
        ("-7 % 4", 1),
        ("2 * -batch", -8),
        ("10 - 2 - 3", 5),
        ("10 - 2 * 3 // 4", 9),
        ("min(tokens, batch, 9)", 4),
        ("max(tokens)", 7),
        ("ceil_div(tokens, batch) * 2", 4),
        ("ceil_div(-tokens, 2)", -3),
        ("max(1, min(tokens - 9, 4))", 1),
        ("in + lambda", 12),  # names as any other
    ],
)
def test_the_arithmetic_is_that_of_whole_numbers(written: str, value: int) -> None:
    assert read_size(written, PARAMETERS | {"in": 5, "lambda": 7}) == value


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("batch % 0", "divides by zero"),
        ("ceil_div(batch, tokens - 7)", "divides by zero"),
        ("ceil_div(batch)", "takes two sizes and got 1"),
        ("min()", "cannot read"),
        ("min(batch,)", "cannot read"),
        ("minimum(batch, 2)", "there is no function 'minimum'"),
        ("batch tokens", "cannot read"),
        ("batch * ", "cannot read"),
        ("+batch", "cannot read"),
        ("batch)", "cannot read"),
        ("(batch", "cannot read"),
        ("min", "there is no parameter 'min'"),
    ],
)
def test_more_that_is_refused(written: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        read_size(written, PARAMETERS)
