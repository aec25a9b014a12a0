"""Recipes: every problem of a file at once, steps in order, and the place of what a network cannot take."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from hwsim.compress import apply_recipe, load_recipe
from hwsim.compress.prune import prune
from hwsim.compress.recipe import Recipe
from hwsim.compress.share import share
from hwsim.compress.steps import STEPS, Step
from hwsim.errors import SpecError
from hwsim.library import names
from hwsim.schema import json_schema
from hwsim.schema.tree import read_tree
from hwsim.workload import Workload, load_workload
from tests.weights import linear, of

SHIPPED = names("recipes")


def recipe(path: Path, *steps: str, more: str = "") -> Recipe:
    lines = "".join(f"  - {step}\n" for step in steps)
    path.write_text(f"name: {path.stem}\nsteps:\n{lines}{more}", encoding="utf-8")
    return load_recipe(path)


def test_every_method_has_one_row() -> None:
    assert set(STEPS) == set(Step.declared)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_load_say_their_source_and_run(name: str) -> None:
    found = load_recipe(name)
    assert found.name == name
    assert found.description
    assert found.source
    # Winograd's algorithm is for 3x3 filters, which LeNet-5 does not have.
    network = "digits_cnn" if name.startswith("winograd") else "lenet5"
    after = apply_recipe(load_workload(network), found)
    assert len(after.history) == 1 + len(found.steps_for(after))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_schema_for_editors_takes_what_is_shipped(name: str) -> None:
    path = Path(load_recipe(name).path)
    tree, _ = read_tree(path.read_text(encoding="utf-8"), str(path))

    def listed(value: object) -> object:
        if isinstance(value, dict):
            return {key: listed(entry) for key, entry in value.items()}
        return [listed(entry) for entry in value] if isinstance(value, tuple) else value

    jsonschema.validate(listed(tree.plain()), json_schema(Recipe))


def test_steps_run_in_order_and_are_watched(tmp_path: Path) -> None:
    found = recipe(tmp_path / "r.yaml", "prune: {density: 0.2}", "share: {bits: 3}")
    seen: list[tuple[str, str, str]] = []

    def watch(method: str, before: Workload, after: Workload) -> None:
        seen.append((method, before.content_hash, after.content_hash))

    workload = load_workload("lenet5")
    after = apply_recipe(workload, found, watch=watch)
    by_hand = share(prune(workload, 0.2), 3)
    assert [method for method, _, _ in seen] == ["prune", "share"]
    assert (seen[0][1], seen[0][2], seen[1][2]) == (workload.content_hash, seen[1][1], after.content_hash)
    assert after.content_hash == by_hand.content_hash
    assert (of(after, "ip1.weight") == of(by_hand, "ip1.weight")).all()


def test_a_network_may_have_steps_of_its_own(tmp_path: Path) -> None:
    more = "networks:\n  lenet5:\n    - prune: {density: 0.5}\n"
    found = recipe(tmp_path / "r.yaml", "prune: {density: 0.2}", more=more)
    assert apply_recipe(load_workload("lenet5"), found).tensors["ip1.weight"].density == 0.5
    assert apply_recipe(load_workload("lenet300"), found).tensors["fc1.weight"].density == 0.2


def test_seed_reaches_what_is_drawn(tmp_path: Path) -> None:
    found = recipe(tmp_path / "r.yaml", "share: {bits: 6, start: random}")
    one, two = (apply_recipe(load_workload("lenet5"), found, seed=seed) for seed in (1, 2))
    assert one.content_hash != two.content_hash
    assert not np.array_equal(of(one, "conv1.weight"), of(two, "conv1.weight"))


def test_every_problem_of_a_file_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        recipe(
            tmp_path / "bad.yaml",
            "prune: {density: 1.5}",
            "prune: {by: group, n: 5, m: 4}",
            "share: {bits: 0}",
            "shar: {bits: 4}",
            "{share: {bits: 4}, prune: {density: 0.5}}",
            "{}",
            "prune: {}",
            "encode: {codec: relative, pes: 4}",
            "encode: {codec: cscc}",
            "low_rank: {method: svd}",
            "prune: {by: channel, density: 0.5, n: 2}",
            "prune: {densities: {conv1: 0}}",
            "share: {by_layer: {conv1: 9}}",
            "quantise: {layers: [conv1]}",
            "quantise: {weights_only: true, symmetric: false}",
            "quantise: {weights_only: true, ranges: entropy}",
            "quantise: {percentile: 99}",
        )
    wanted = [
        (3, "density: must be at most 1"), (4, "n: is 5, and a group has 4"), (5, "bits: must be at least 1"),
        (6, "did you mean 'share'"), (7, "says prune and share"), (8, "says nothing"),
        (9, "density: is missing"), (10, "codec relative has no option 'pes'"), (11, "did you mean 'csc'"),
        (12, "exactly one of rank, energy and speedup"), (13, "means nothing when pruning by channel"),
        (14, "conv1 has 0"), (15, "conv1 has 9"), (16, "weights_only"),
        (17, "symmetric: means nothing"), (18, "ranges: means nothing"), (19, "percentile: means nothing"),
    ]  # fmt: skip
    assert [problem.line for problem in caught.value.problems] == [line for line, _ in wanted]
    for problem, (_, words) in zip(caught.value.problems, wanted, strict=True):
        assert words in str(problem)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("prune: {density: 0.1, layers: [conv9]}", r"r\.yaml:3:5: steps\[0\].prune: .*did you mean"),
        ("share: {bits: 8, layers: [ip2, conv7]}", r"no layer 'conv7'"),
        ("encode: {codec: 'n:m'}", r"steps\[0\]\.encode: layer conv2: .*is not 2:4"),
        ("retrained: {weights: nothing_here}", r"there is no weights file called 'nothing_here'"),
        ("low_rank: {method: svd, rank: 100000, layers: [ip1]}", r"steps\[0\]\.low_rank: .*rank"),
    ],
)
def test_what_a_network_cannot_take_is_told_with_the_step(step: str, message: str, tmp_path: Path) -> None:
    found = recipe(tmp_path / "r.yaml", step)
    with pytest.raises(SpecError, match=message):
        apply_recipe(load_workload("lenet5"), found)


def test_weights_with_nan_are_refused_by_every_method_that_reads_them() -> None:
    broken = linear([[1.0, float("nan")], [2.0, 3.0]])
    for name in ("prune_90", "share_4bit", "sparse_2to4", "int8_per_channel"):
        with pytest.raises(SpecError, match=r"nan|NaN|finite"):
            apply_recipe(broken, load_recipe(name))


@pytest.mark.parametrize("given", ["nosuch", 3, ""])
def test_an_unknown_recipe_is_told(given: object) -> None:
    with pytest.raises(SpecError, match="recipe"):
        load_recipe(given)  # type: ignore[arg-type]


def test_names_of_the_package_are_found_where_they_live() -> None:
    package = import_module("hwsim.compress")  # `hwsim.compress` is the function
    assert {getattr(package, name).__name__ for name in package.__all__} == set(package.__all__)
    with pytest.raises(AttributeError, match=r"'hwsim\.compress' has no attribute 'nothing'"):
        _ = package.nothing
