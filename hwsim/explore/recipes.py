"""The recipes that points name. Compression is loaded with the first of them: most spaces name none, and it
takes a third of a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwsim.workload import Workload


def recipe_hash(name: str) -> str:
    """What a recipe's content comes to. Raises SpecError with every problem of its file."""
    from hwsim.compress.recipe import load_recipe

    return load_recipe(name).content_hash


def compressed(graph: Workload, name: str, seed: int) -> Workload:
    """A network after the recipe called so. Raises SpecError for what a step cannot do to it."""
    from hwsim.compress.recipe import apply_recipe, load_recipe

    return apply_recipe(graph, load_recipe(name), seed=seed)
