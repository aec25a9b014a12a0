"""Ternary, binary and chosen grids: what is stored, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.tensor import Tensor, find_format
from hwsim.tensor.encoding import Encoding, chosen_encoding, scaled_encoding
from hwsim.tensor.storage import Quantisation


def test_binary_is_the_sign_and_the_mean_size() -> None:
    reals = np.array([-3.0, -1.0, 0.0, 0.5, 5.5])
    encoding = scaled_encoding("binary", reals)
    assert encoding.scale == 2.0
    assert encoding.store(reals).tolist() == [-1, -1, 1, 1, 1]
    assert encoding.reals(encoding.store(reals)).tolist() == [-2.0, -2.0, 2.0, 2.0, 2.0]


def test_ternary_drops_what_is_small_and_scales_by_the_rest() -> None:
    """The mean size is 2, so what is up to 1.4 goes; 3, 1.5 and 4.5 stay, of mean 3."""
    reals = np.array([-3.0, -0.9, 1.4, 1.5, 4.5, 0.7])
    assert np.abs(reals).mean() == 2.0
    encoding = scaled_encoding("ternary", reals)
    assert encoding.scale == pytest.approx(3.0)
    assert encoding.store(reals).tolist() == [-1, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("dtype", ["ternary", "binary"])
def test_levels_take_anything(dtype: str) -> None:
    odd = np.array([math.nan, math.inf, -math.inf, 0.0])
    stored = scaled_encoding(dtype, odd).store(odd)
    assert stored.tolist() == ([0, 1, -1, 0] if dtype == "ternary" else [-1, 1, -1, 1])
    assert scaled_encoding(dtype, np.zeros(3)).scale == 1.0
    assert scaled_encoding(dtype, np.zeros(0)).scale == 1.0


def grid(dtype: str, scales: tuple[float, ...], zeros: tuple[int, ...], axis: int | None = None) -> Encoding:
    shape = (2, 3) if axis is None else tuple(len(scales) if i == axis else 2 for i in range(2))
    tensor = Tensor("x", shape, dtype, "activation", quantisation=Quantisation(scales, zeros, axis))
    return chosen_encoding(tensor)


def test_a_chosen_grid_has_its_zero_point() -> None:
    """real = (stored - 3) * 0.5, from -128 to 127."""
    encoding = grid("int8", (0.5,), (3,))
    reals = np.array([0.0, 0.5, -1.5, 0.25, 0.75, 1e9, -1e9, math.nan, 62.0, -65.5])
    assert encoding.store(reals).tolist() == [3, 4, 0, 3, 5, 127, -128, 3, 127, -128]
    assert encoding.reals(np.array([3, 127, -128])).tolist() == [0.0, 62.0, -65.5]


@pytest.mark.parametrize("axis", [0, 1])
def test_scales_by_channel(axis: int) -> None:
    encoding = grid("int4", (1.0, 0.25, 2.0), (0, -2, 1), axis)
    reals = np.array([[3.0, 1.0, 6.0], [-9.0, 0.125, 20.0]])
    wanted = np.array([[3, 2, 4], [-8, -2, 7]])  # 0.125 / 0.25 ties to the even 0
    if axis == 0:
        reals, wanted = reals.T, wanted.T
    assert encoding.store(reals).tolist() == wanted.tolist()
    assert encoding.store(reals).dtype == np.int8
    back = encoding.reals(wanted)
    assert (back if axis else back.T).tolist() == [[3.0, 1.0, 6.0], [-8.0, 0.0, 12.0]]


def test_ternary_and_binary_grids_round_to_the_nearest() -> None:
    assert grid("ternary", (2.0,), (0,)).store(np.array([0.99, 1.0, 1.01, -9.0])).tolist() == [0, 0, 1, -1]
    assert grid("binary", (2.0,), (0,)).store(np.array([-0.01, 0.0, 9.0])).tolist() == [-1, 1, 1]


@pytest.mark.parametrize(
    ("dtype", "zero", "message"),
    [
        ("int8", 128, "zero point 128, and int8 takes those from -128 to 127"),
        ("int4", -9, "from -8 to 7"),
        ("ternary", 1, "takes only 0"),
        ("binary", -1, "takes only 0"),
        ("fp16", 0, "a grid and the format fp16"),
        ("fp8_e4m3", 0, "a grid and the format fp8_e4m3"),
        ("uint8", 0, "a grid and the format uint8"),
    ],
)
def test_grids_that_no_format_has_are_refused(dtype: str, zero: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        grid(dtype, (1.0,), (zero,))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (((1.0, 2.0), (0,), 0), "has 1 for 2"),
        (((), ()), "has 0 for 0"),
        (((1.0, 2.0), (0, 0)), "must name the axis"),
        (((0.0,), (0,)), "scale 0.0"),
        (((-1.0,), (0,)), "scale -1.0"),
        (((math.nan,), (0,)), "scale nan"),
        (((math.inf,), (0,)), "scale inf"),
    ],
)
def test_faulty_grids_are_refused(given: tuple[object, ...], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Quantisation(*given)  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_a_grid_must_fit_its_tensor(axis: int) -> None:
    with pytest.raises(SpecError, match=r"tensor 'w' of shape \[2, 3\] has 3 scales along axis"):
        Tensor("w", (2, 3), "int8", "weight", quantisation=Quantisation((1.0,) * 3, (0,) * 3, axis))


def test_levels_have_one_number_on_each_side() -> None:
    assert Encoding(find_format("ternary"), 1.0).limits == (-1, 1)
    assert Encoding(find_format("binary"), 1.0).limits == (-1, 1)
