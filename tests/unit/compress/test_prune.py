"""Pruning: which weights stay, counted and named by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.compress.change import float_outputs, relative_change
from hwsim.compress.prune import (
    magnitude_mask,
    prune,
    prune_blocks,
    prune_channels,
    prune_global,
    prune_n_of_m,
)
from hwsim.compress.sensitivity import Sensitivity, measure_sensitivity, prune_by_sensitivity
from hwsim.errors import SpecError
from hwsim.workload import Workload, load_workload
from tests.weights import lenet, linear, of


@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=40),
    st.floats(0.0, 1.0, exclude_min=True),
)
def test_the_largest_stay_and_the_earlier_of_equals(numbers: list[int], density: float) -> None:
    kept = max(1, round(density * len(numbers)))
    mask = magnitude_mask(np.array(numbers, dtype=np.float32), kept)
    wanted = sorted(range(len(numbers)), key=lambda i: (-abs(numbers[i]), i))[:kept]
    assert np.flatnonzero(mask).tolist() == sorted(wanted)


def test_each_layer_keeps_its_share() -> None:
    pruned = prune(load_workload("lenet5"), 0.1, densities={"conv*": 0.5, "conv2": 0.25})
    kept = {name: np.count_nonzero(of(pruned, f"{name}.weight")) for name in ("conv1", "conv2", "ip1", "ip2")}
    assert kept == {"conv1": 250, "conv2": 6250, "ip1": 40_000, "ip2": 500}
    assert pruned.tensors["conv2.weight"].density == 0.25
    assert pruned.tensors["conv2.weight"].storage is None  # zeros alone save nothing
    assert pruned.tensors["conv2.weight"].stored_bits == 25_000 * 32


def test_layers_that_nobody_speaks_of_stay_as_they_are() -> None:
    before = load_workload("lenet5")
    pruned = prune(before, densities={"ip1": 0.5})
    assert pruned.tensors["conv1.weight"] is before.tensors["conv1.weight"]
    assert prune(before, 0.5, layers="ip1").tensors["conv1.weight"] is before.tensors["conv1.weight"]


def test_what_stays_keeps_its_value() -> None:
    values = [[1.0, -2.0], [3.0, -0.5]]
    assert of(prune(linear(values), 0.5), "b").tolist() == [[0.0, -2.0], [3.0, 0.0]]
    assert not np.signbit(of(prune(linear(values), 0.5), "b")[1, 1])  # and zeros have no sign


def test_a_share_too_small_for_one_weight_keeps_one() -> None:
    assert np.count_nonzero(of(prune(linear(np.ones((2, 2))), 1e-9), "b")) == 1


def test_all_layers_together_share_one_threshold() -> None:
    small = np.full((20, 1, 5, 5), 0.01, dtype=np.float32)
    pruned = prune_global(lenet({"conv1.weight": small}), 0.5)
    assert not of(pruned, "conv1.weight").any()
    total = sum(np.count_nonzero(of(pruned, f"{n}.weight")) for n in ("conv1", "conv2", "ip1", "ip2"))
    assert total == round(0.5 * 430_500)


def test_channels_go_by_their_sum_of_magnitudes() -> None:
    # Outputs are columns: their sums are 5, 6 and 1.
    values = np.array([[5.0, 3.0, 1.0], [0.0, -3.0, 0.0]])
    assert of(prune_channels(linear(values), 1 / 3), "b").tolist() == [[0, 3, 0], [0, -3, 0]]
    convs = of(prune_channels(load_workload("lenet5"), 0.2, layers="conv1"), "conv1.weight")
    assert np.count_nonzero(convs.any(axis=(1, 2, 3))) == 4
    assert np.count_nonzero(convs) == 4 * 25


def test_blocks_go_by_their_mean_also_at_the_edges() -> None:
    # As [outputs, inputs]: rows 4 4 | 1 and 4 4 | 1 over 0 0 | 9. Means 4, 1, 0 and 9.
    values = np.array([[4.0, 4.0, 0.0], [4.0, 4.0, 0.0], [1.0, 1.0, 9.0]])
    assert of(prune_blocks(linear(values), 0.5, 2, 2), "b").tolist() == [[4, 4, 0], [4, 4, 0], [0, 0, 9]]
    assert of(prune_blocks(linear(values), 0.25, 2, 2), "b").tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 9]]
    with pytest.raises(SpecError, match="blocks of 4 x 1 are larger than its weights, which are 3 outputs"):
        prune_blocks(linear(values), 0.5, 4, 1)


def test_two_of_four_neighbouring_inputs_stay() -> None:
    # Inputs run down the columns; the fifth and sixth are a group that is not full.
    column = np.array([[1.0], [-4.0], [3.0], [2.0], [0.5], [0.25]])
    assert of(prune_n_of_m(linear(column), 2, 4), "b").ravel().tolist() == [0, -4, 3, 0, 0.5, 0.25]
    assert of(prune_n_of_m(linear(column), 1, 4), "b").ravel().tolist() == [0, -4, 0, 0, 0.5, 0]


def test_groups_of_a_convolution_lie_along_its_channels() -> None:
    pruned = of(prune_n_of_m(load_workload("lenet5"), 2, 4, layers="conv2"), "conv2.weight")
    groups = np.count_nonzero(pruned.reshape(50, 5, 4, 5, 5), axis=2)
    assert (groups == 2).all()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda w: prune(w, 0.0), "density 0.0"),
        (lambda w: prune(w, 1.5), "density 1.5"),
        (lambda w: prune(w, float("nan")), "density nan"),
        (lambda w: prune(w, True), "density True"),
        (lambda w: prune(w), "needs `density`"),
        (lambda w: prune(w, densities={"b": 0.5}), "no layer 'b'"),
        (lambda w: prune_global(w, -0.1), "density -0.1"),
        (lambda w: prune_n_of_m(w, 3, 2), "3:2 would keep 3 of every 2"),
        (lambda w: prune_n_of_m(w, 0, 2), "n is 0"),
        (lambda w: prune_n_of_m(w, 1, 1000), "groups of 1000"),
        (lambda w: prune_blocks(w, 0.5, 0, 1), "rows is 0"),
        (lambda w: prune_by_sensitivity(w, 0.0), "change is 0.0"),
    ],
)
def test_bad_settings_have_one_clear_message(act: Callable[[Workload], object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        act(linear(np.ones((2, 2))))


def test_sensitivity_takes_the_least_density_below_which_nothing_fits() -> None:
    row = Sensitivity("l", (0.1, 0.3, 0.5, 0.7), (0.02, 0.2, 0.04, 0.01))
    assert row.density_for(0.05) == 0.5  # 0.1 fits by chance: 0.3 above it does not
    assert row.density_for(0.5) == 0.1
    assert row.density_for(0.001) == 1.0


def test_sensitivity_is_measured_on_the_network() -> None:
    workload = load_workload("lenet300")
    rows = measure_sensitivity(workload, (0.2, 0.9), layers=("fc1", "fc3"))
    assert [row.layer for row in rows] == ["fc1", "fc3"]
    alone = prune(workload, 0.2, layers="fc1")
    assert rows[0].changes[0] == relative_change(float_outputs(workload), float_outputs(alone))
    assert all(row.changes[1] < row.changes[0] for row in rows)
    pruned = prune_by_sensitivity(workload, rows[0].changes[1], layers=("fc1",))
    assert pruned.tensors["fc1.weight"].density <= 0.9
    assert "changes the output by at most" in pruned.history[-1]


def test_sensitivity_of_a_large_network_is_refused_with_the_figures() -> None:
    with pytest.raises(SpecError, match=r"measuring sensitivity: vgg16 has 15,470,264,320 MACs"):
        measure_sensitivity(load_workload("vgg16"), (0.5,))
