"""The spaces that ship load by name, and their points equal runs; accuracy and noise of points."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from hwsim.compress.accuracy import accuracy
from hwsim.compress.recipe import apply_recipe, load_recipe
from hwsim.errors import SpecError
from hwsim.explore.check import check_point
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.methods import make_method
from hwsim.explore.space import Space, load_space, read_space
from hwsim.library import names
from hwsim.workload import load_workload

SHIPPED = names("spaces")


def quick(space: Space) -> list[list[int]]:
    """Two points without a recipe, on the last workload that there is and far from one another."""
    rows = space.grid(0, space.total)
    rows = rows[space.allowed(rows)]
    plain = [i for i, axis in enumerate(space.axes) if axis.name == "recipe"]
    rows = rows[(rows[:, plain] == 0).all(axis=1)]
    rows = rows[rows[:, 0] == rows[:, 0].max()]
    return [rows[0].tolist(), rows[-1].tolist()]


def test_the_four_studies_ship() -> None:
    assert SHIPPED == ["digits_formats", "eie_fifo", "tpu_sensitivity", "vgg16_chips"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_have_points_that_equal_runs(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert make_method(space).most <= 20_000  # half a minute
    rows = quick(space)
    assert rows[0] != rows[1]
    outcomes = Evaluator(space).evaluate(np.array(rows))
    assert outcomes.reasons == ("", "")
    for i, row in enumerate(rows):
        metrics = {key: float(column[i]) for key, column in outcomes.metrics.items()}
        assert all(metrics[objective] > 0 for objective in space.objectives)
        check_point(space, space.texts(row), metrics, outcomes.limits[i])


def test_a_space_is_found_by_its_name_alone() -> None:
    assert read_space("eie_fifo", ("seed=3",)).seed == 3
    with pytest.raises(SpecError, match="no space called 'eie_fito'; did you mean eie_fifo"):
        load_space("eie_fito")


def space_of(text: str, tmp_path: Path) -> Space:
    path = tmp_path / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


def test_accuracy_and_noise_are_those_of_the_compressed_network(tmp_path: Path) -> None:
    space = space_of(
        "name: quality\nworkloads: [digits_mlp]\ndesigns: [systolic_32]\n"
        "axes: {recipe: [none, prune_90]}\nobjectives: [energy_j, accuracy]\n",
        tmp_path,
    )
    metrics = Evaluator(space).evaluate(space.grid(0, 2)).metrics
    network = load_workload("digits_mlp")
    pruned = apply_recipe(network, load_recipe("prune_90"), seed=0)
    wanted = [accuracy(graph.astype("int8")).share for graph in (network, pruned)]
    assert metrics["accuracy"].tolist() == wanted
    assert wanted[0] > 0.97 > 0.7 > wanted[1]  # reports/digits.md: 97.8 % and about half
    # Pruning takes more from the signal than 8 bits do: the other side is the network before its recipe.
    assert metrics["sqnr_db"][0] > 20 > 10 > metrics["sqnr_db"][1]


def test_no_accuracy_without_test_images(tmp_path: Path) -> None:
    space = space_of(
        "name: none\nworkloads: [lenet300]\ndesigns: [systolic_32]\nobjectives: [sqnr_db]\n", tmp_path
    )
    metrics = Evaluator(space).evaluate(space.grid(0, 1)).metrics
    assert math.isnan(metrics["accuracy"][0])
    assert metrics["sqnr_db"][0] > 0
