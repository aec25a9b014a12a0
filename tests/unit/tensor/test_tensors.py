"""Formats and tensors: sizes, bad names and shapes, and values that come from a seed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hwsim.errors import CapacityError, SpecError
from hwsim.tensor import FORMATS, Tensor, find_format, format_bits
from hwsim.tensor.formats import accumulator_format
from hwsim.tensor.tensor import Filled, Seeded, read_values


def test_formats_have_the_bits_in_their_names() -> None:
    floats = {"fp32": 32, "fp16": 16, "bf16": 16, "fp8_e4m3": 8, "fp8_e5m2": 8}
    integers = {"int32": 32, "int16": 16, "int8": 8, "int4": 4, "uint8": 8, "ternary": 2, "binary": 1}
    assert {name: found.bits for name, found in FORMATS.items()} == floats | integers
    assert [name for name in FORMATS if find_format(name).kind == "float"] == list(floats)
    assert {accumulator_format(name) for name in integers} == {"int32"}
    assert {accumulator_format(name) for name in floats} == {"fp32"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("imt8", "int8"), ("FP16", "fp16"), ("int32_", "int32"), ("fp8", "fp8_e4m3"), ("ternery", "ternary"),
    ],
)  # fmt: skip
def test_a_misspelt_format_is_refused_with_the_nearest(written: str, meant: str) -> None:
    with pytest.raises(SpecError, match=f"unknown number format '{written}': did you mean '{meant}'"):
        format_bits(written)


def test_sizes_round_up_to_bytes() -> None:
    assert Tensor("x", (3, 5), "int4", "input").size_bits == 60
    assert Tensor("x", (3, 5), "int4", "input").size_bytes == 8
    assert Tensor("x", (), "fp32", "constant").elements == 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 0), "every dimension must be an integer of at least 1"),
        ((1, -3), "at least 1"),
        ((True, 2), "at least 1"),
        ((2**41,), "at most"),
        ((2**30, 2**30), "more than"),
        ((1,) * 17, "17 dimensions"),
    ],
)
def test_a_shape_that_no_tensor_has_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Tensor("x", shape, "int8", "input")


def test_density_is_a_share() -> None:
    with pytest.raises(SpecError, match=r"density 1\.5"):
        Tensor("x", (1,), "int8", "weight", density=1.5)


def test_seeded_values_are_the_same_in_another_process() -> None:
    here = Seeded("net", "conv1.weight", (4, 4), 7, "weight", 16)()
    code = (
        "from hwsim.tensor.tensor import Seeded\n"
        "print(Seeded('net', 'conv1.weight', (4, 4), 7, 'weight', 16)().tobytes().hex())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert bytes.fromhex(there.strip()) == here.tobytes()


@pytest.mark.parametrize("change", [{"workload": "other"}, {"tensor": "other"}, {"seed": 8}])
def test_seeded_values_hang_on_workload_tensor_and_seed(change: dict[str, object]) -> None:
    base: dict[str, object] = {
        "workload": "net",
        "tensor": "w",
        "shape": (64,),
        "seed": 7,
        "distribution": "weight",
    }
    assert not np.array_equal(Seeded(**base)(), Seeded(**{**base, **change})())  # type: ignore[arg-type]


def test_seeded_weights_are_he_normal() -> None:
    drawn = Seeded("net", "w", (200, 500), 0, "weight", 50)()
    assert drawn.dtype == np.float32
    assert abs(float(drawn.std()) - 0.2) < 0.002  # sqrt(2 / 50)
    assert abs(float(drawn.mean())) < 0.002


def test_seeded_norms_are_near_those_of_trained_networks() -> None:
    variance = Seeded("net", "v", (5000,), 0, "variance")()
    assert variance.min() > 0.49
    assert abs(float(Seeded("net", "s", (5000,), 0, "scale")().mean()) - 1.0) < 0.01


def test_values_are_read_only_and_shaped() -> None:
    found = read_values(Tensor("w", (2, 3), "int8", "weight", values=Filled((6,), 2.5)))
    assert found.shape == (2, 3)
    assert (found == 2.5).all()
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_values_that_do_not_exist_or_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match="has no values of its own"):
        read_values(Tensor("x", (2,), "int8", "input"))
    with pytest.raises(CapacityError, match="too many to make at once"):
        read_values(Tensor("w", (2**33,), "int8", "weight", values=Filled((2**33,), 0.0)))
