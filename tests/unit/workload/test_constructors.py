"""Workloads of one operator."""

from __future__ import annotations

import pytest

from hwsim.errors import SpecError
from hwsim.workload import conv2d, matmul
from hwsim.workload.operators import Conv2d, Matmul


def test_matmul_has_one_input_and_one_weight() -> None:
    net = matmul(7, 9, 11)
    (op,) = net.operators
    assert op.problem == Matmul(1, 7, 9, 11)
    assert net.macs == 7 * 9 * 11
    assert {n: (t.shape, t.role, t.dtype) for n, t in net.tensors.items()} == {
        "a": ((7, 11), "input", "int8"),
        "b": ((11, 9), "weight", "int8"),
        "out": ((7, 9), "output", "int8"),
    }
    assert op.inputs == ("a", "b")


def test_a_batched_matmul_has_a_weight_for_each() -> None:
    net = matmul(7, 9, 11, batch=3, dtype="fp16")
    assert net.operators[0].problem == Matmul(3, 7, 9, 11)
    assert net.tensors["b"].shape == (3, 11, 9)
    assert net.batch == 3


def test_conv2d_places_its_arguments() -> None:
    net = conv2d(2, 8, 20, 30, 12, (3, 5), stride=(2, 1), pad=(1, 2), dilation=(1, 2), groups=4)
    assert net.operators[0].problem == Conv2d(
        2, 8, 20, 30, 12, 3, 5, 10, 26, 4, (2, 1), (1, 2, 1, 2), (1, 2)
    )  # fmt: skip
    assert net.tensors["weight"].shape == (12, 2, 3, 5)
    assert net.tensors["out"].shape == (2, 12, 10, 26)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel": 0}, "kernel is 0"),
        ({"kernel": (3, 3, 3)}, "one number or"),
        ({"stride": -1}, "stride is -1"),
        ({"pad": -1}, "pad is -1"),
        ({"pad": (1, 2, 3)}, "one, two or four"),
        ({"groups": 3}, "3 groups do not divide 8 input and 12 output channels"),
        ({"batch": 0}, "batch is 0"),
        ({"kernel": 40}, "a window of 40 does not fit the height of 20"),
        ({"dtype": "int9"}, "unknown number format 'int9'"),
        ({"height": 2.5}, "height is 2.5"),
    ],
)
def test_bad_sizes_are_refused(arguments: dict[str, object], message: str) -> None:
    given: dict[str, object] = {
        "batch": 2, "in_channels": 8, "height": 20, "width": 20, "out_channels": 12, "kernel": 3,
    }  # fmt: skip
    with pytest.raises(SpecError, match=message):
        conv2d(**{**given, **arguments})  # type: ignore[arg-type]


def test_bad_matmul_sizes_are_refused() -> None:
    with pytest.raises(SpecError, match="k is 0"):
        matmul(1, 1, 0)
    with pytest.raises(SpecError, match="m is True"):
        matmul(True, 1, 1)
