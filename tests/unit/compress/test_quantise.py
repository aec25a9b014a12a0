"""Quantisation: the grids that are chosen, and what the network computes on them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hwsim.compress.binarise import ternarise
from hwsim.compress.calibrate import Ranges
from hwsim.compress.quantise import fixed_point, quantise, quantise_weights
from hwsim.compress.winograd import winograd
from hwsim.errors import SpecError
from hwsim.functional import activations, execute, execute_stored
from hwsim.tensor.storage import Quantisation
from hwsim.workload import Workload, load_workload
from hwsim.workload.operators import Conv2d, Matmul, Pool, View
from tests.weighted import layer, linear_layers, weighted

DRAW = np.random.default_rng(3)
FIRST, SECOND = DRAW.standard_normal((16, 24)), DRAW.standard_normal((5, 16))
SAMPLES = {"x": DRAW.standard_normal((40, 24))}


def _grid(workload: Workload, tensor: str) -> Quantisation:
    found = workload.tensors[tensor].quantisation
    assert found is not None
    return found


def test_a_network_by_hand() -> None:
    """x = [1, -2] on steps of 2/127; h = relu(W x) = [1.27, 0] on steps of 0.01; y = 1 h0."""
    net = linear_layers([[1.27, 0.0], [0.0, 1.0]], [[1.0, 1.0]])
    found = quantise(net, samples={"x": np.array([[1.0, -2.0]])})
    assert _grid(found, "x") == Quantisation((2.0 / 127,), (0,))
    assert _grid(found, "fc1").scales == (pytest.approx(0.01),)
    assert _grid(found, "w1") == Quantisation((float(np.float32(1.27)) / 127, 1.0 / 127), (0, 0), 0)
    stored = execute_stored(found, {"x": np.array([[1.0, -2.0]])})
    assert stored["x"].values.tolist() == [[64, -127]]  # 63.5 goes to the even one
    # 64 steps of 2/127 times 127 steps of 0.01 are 1.27 * 128/127 = 1.28, and the grid ends at 1.27.
    assert stored["fc1"].values.tolist() == [[127, 0]]
    assert stored["fc2"].reals.tolist() == [[pytest.approx(1.27)]]


@pytest.mark.parametrize("per", ["tensor", "channel"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("dtype", "least_db"), [("int4", 10), ("int8", 34), ("int16", 70)])
def test_results_come_close_to_the_float_network(
    per: str, symmetric: bool, dtype: str, least_db: int
) -> None:
    net = linear_layers(FIRST, SECOND)
    found = quantise(net, dtype, per=per, symmetric=symmetric, weights_symmetric=symmetric, samples=SAMPLES)  # type: ignore[arg-type]
    wanted = activations(net, SAMPLES)["fc2"]
    error = execute(found, SAMPLES)["fc2"] - wanted
    assert 10 * math.log10(np.square(wanted).sum() / np.square(error).sum()) > least_db
    assert found.dtype == found.weight_dtype == dtype


def test_numbers_behind_a_relu_use_the_whole_format() -> None:
    found = quantise(linear_layers(FIRST, SECOND), symmetric=False, samples=SAMPLES)
    largest = activations(linear_layers(FIRST, SECOND), SAMPLES)["fc1"].max()
    assert _grid(found, "fc1").scales == (pytest.approx(largest / 255),)
    assert _grid(found, "fc1").zero_points == (-128,)


def test_what_only_moves_numbers_keeps_their_grid() -> None:
    net = weighted(
        {"x": (1, 2, 4, 4)},
        {"w": DRAW.standard_normal((3, 2, 1, 1)), "v": DRAW.standard_normal((2, 12))},
        [
            (layer(Conv2d(1, 2, 4, 4, 3, 1, 1, 4, 4), "x w", "conv"), (1, 3, 4, 4)),
            (layer(Pool("max", 1, 3, 4, 4, 2, 2, 2, 2, (2, 2)), "conv", "pool"), (1, 3, 2, 2)),
            (layer(View("flatten", 12), "pool", "flat"), (1, 12)),
            (layer(Matmul(1, 1, 2, 12), "flat v", "y"), (1, 2)),
        ],
        ["y"],
    )
    # Maxima reach less far down than what they are taken of, so a grid of their own would be another.
    found = quantise(net, symmetric=False, samples={"x": DRAW.standard_normal((20, 2, 4, 4))})
    assert _grid(found, "pool") == _grid(found, "flat") == _grid(found, "conv") != _grid(found, "y")


def test_clipped_ranges_are_smaller() -> None:
    samples = {"x": np.random.default_rng(4).standard_normal((400, 24))}
    samples["x"][0, 0] = 40.0
    net = linear_layers(FIRST, SECOND)
    scales = [
        _grid(quantise(net, ranges=ranges, samples=samples), "x").scales[0]
        for ranges in (Ranges(), Ranges("percentile", 95), Ranges("entropy"))
    ]
    assert scales[0] == 40.0 / 127
    assert max(scales[1:]) < scales[0] / 4


def test_weights_of_16_bits_leave_room_for_their_sums() -> None:
    """Sums of 24 products of 15 bits each would pass an int32 many times over."""
    net = linear_layers(np.abs(FIRST), np.abs(SECOND))
    samples = {"x": np.abs(SAMPLES["x"])}
    for found in (quantise(net, "int16", samples=samples), fixed_point(net, 16, samples=samples)):
        stored = execute_stored(found, samples)
        for source, weight in (("x", "w1"), ("fc1", "w2")):
            grid = _grid(found, weight)
            steps = np.rint(net.values(weight) / np.array(grid.scales).reshape(-1, 1))
            sums = stored[source].values.astype(np.int64) @ steps.astype(np.int64).T
            assert np.abs(sums).max() <= 2**30 * 1.001
            assert np.abs(sums).max() > 2**28  # and no coarser than that
        wanted = activations(net, samples)["fc2"]
        assert np.abs(execute(found, samples)["fc2"] - wanted).max() < 2e-3 * wanted.max()


def test_fixed_point_chooses_a_radix_point_for_each_tensor() -> None:
    net = linear_layers([[3.0, -0.25]], [[100.0]])
    found = fixed_point(net, 8, samples={"x": np.array([[0.4, 0.1]])})
    assert _grid(found, "x").scales == (2.0**-8,)  # 0.4 * 256 = 102.4
    assert _grid(found, "w1").scales == (2.0**-5,)  # 3 * 32 = 96
    assert _grid(found, "w2").scales == (1.0,)
    assert _grid(found, "fc1").scales == (2.0**-6,)  # 1.175 * 64 = 75.2
    stored = execute_stored(found, {"x": np.array([[0.4, 0.1]])})
    # 102 * 96 - 26 * 8 = 9584 steps of 2**-13; of 2**-6 they are 74.875.
    assert stored["fc1"].values.tolist() == [[75]]


def test_weights_alone_leave_activations_as_they_are() -> None:
    net = linear_layers(FIRST, SECOND)
    found = quantise_weights(net, "int8", layers="fc2")
    assert found.tensors["w1"] == net.tensors["w1"]
    assert found.tensors["w2"].dtype == "int8"
    assert found.tensors["fc1"].dtype == "fp32"
    error = np.abs(execute(found, SAMPLES)["fc2"] - activations(net, SAMPLES)["fc2"])
    assert 0 < error.max() < 0.2
    with pytest.raises(SpecError, match="has no layer 'fc3' with weights: did you mean 'fc"):
        quantise_weights(net, layers="fc3")


def test_ternary_weights_keep_their_levels() -> None:
    ternary = ternarise(linear_layers(FIRST, SECOND), layers="fc2")
    found = quantise(ternary, samples=SAMPLES)
    assert found.tensors["w2"] == ternary.tensors["w2"]
    assert found.tensors["w1"].dtype == "int8"


def test_grids_survive_a_change_of_format() -> None:
    found = quantise(linear_layers(FIRST, SECOND), samples=SAMPLES)
    again = found.astype("fp32")
    assert again.tensors["w1"].quantisation == _grid(found, "w1")
    assert again.tensors["w1"].dtype == "int8"


def test_all_that_decides_is_in_the_hash() -> None:
    net = linear_layers(FIRST, SECOND)
    choices = [
        {},
        {"per": "tensor"},
        {"symmetric": False},
        {"ranges": Ranges("entropy")},
        {"weight_ranges": Ranges("percentile", 99)},
        {"rounding": "stochastic"},
        {"rounding": "stochastic", "seed": 1},
        {"samples": {"x": SAMPLES["x"] * 2}},
        {"weight_dtype": "int4"},
    ]
    hashes = {quantise(net, **{"samples": SAMPLES, **c}).content_hash for c in choices}  # type: ignore[arg-type]
    assert len(hashes) == len(choices)
    same = quantise(net, samples={"x": SAMPLES["x"].copy()})
    assert same.content_hash == quantise(net, samples=SAMPLES).content_hash
    assert "quantise: activations int8 symmetric (min-max over 40 samples" in same.history[-1]
    turned = quantise(net, samples={"x": SAMPLES["x"][::-1]})  # of the same ranges
    assert turned.history != same.history


def test_bad_input_is_refused() -> None:
    net = linear_layers(FIRST, SECOND)
    with pytest.raises(SpecError, match="fp16 has no grid"):
        quantise(net, "fp16")
    with pytest.raises(SpecError, match="fixed point of 12 bits"):
        fixed_point(net, 12)
    spoiled = FIRST.copy()
    spoiled[3, 7] = np.nan
    with pytest.raises(SpecError, match=r"fc1: its weight 'w1' holds nan at \[3, 7\]"):
        quantise_weights(linear_layers(spoiled, SECOND))


def test_a_shipped_network_without_samples() -> None:
    lenet = load_workload("lenet5")
    found = quantise(lenet)
    assert found.macs == lenet.macs
    assert "one batch drawn from the seed" in found.history[-1]
    assert replace(found).content_hash == found.content_hash


def test_a_network_lowered_to_winograd_is_quantised_first() -> None:
    net = load_workload("digits_cnn")
    with pytest.raises(SpecError, match="quantise first, and lower then"):
        quantise(winograd(net))
