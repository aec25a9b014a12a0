"""Recipes: files that compose steps of compression, with other steps for networks that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hwsim.compress.steps import STEPS, Step
from hwsim.errors import Problem, SpecError
from hwsim.library import find
from hwsim.schema import Spec, field, load_yaml
from hwsim.workload.graph import Workload

Watch = Callable[[str, Workload, Workload], None]


class Recipe(Spec):
    """A recipe as its file holds it."""

    name: str = field("What the recipe is called.", descriptive=True)
    description: str = field("What it does.", default="", descriptive=True)
    source: str = field("Where its figures are from.", default="", descriptive=True)
    steps: tuple[Step, ...] = field("What is done, in this order.")
    networks: dict[str, tuple[Step, ...]] = field(
        "Steps for the network of that name, in place of `steps`.", default={}
    )

    def check(self) -> Iterator[tuple[str, str]]:
        for name, steps in (("steps", self.steps), *((f"networks.{k}", v) for k, v in self.networks.items())):
            if not steps:
                yield name, "is empty: a recipe does something"

    def steps_for(self, workload: Workload) -> tuple[Step, ...]:
        """The steps for a network: its own where the recipe names it."""
        return self.networks.get(workload.name, self.steps)

    @property
    def path(self) -> str:
        return self.origin.path if self.origin is not None else self.name


def load_recipe(name_or_path: str | Path | Recipe) -> Recipe:
    """The recipe called so, at that path, or passed in. Raises SpecError with every problem of the file."""
    if isinstance(name_or_path, Recipe):
        return name_or_path
    if not isinstance(name_or_path, str | Path):
        raise SpecError(f"a recipe is a name, a path or a Recipe, not {type(name_or_path).__name__}")
    return load_yaml(find("recipes", name_or_path), Recipe)


def apply_recipe(
    workload: Workload, recipe: Recipe, *, seed: int = 0, watch: Watch | None = None
) -> Workload:
    """`workload` after the recipe's steps. `watch` is told of each: its method, and the network before and
    after. Raises SpecError, with the place of the step, for what a step cannot do to this network."""
    steps = recipe.steps_for(workload)
    for index, step in enumerate(steps):
        method = step.method
        try:
            after = STEPS[method](workload, getattr(step, method), seed)
        except SpecError as error:
            raise SpecError(_placed(recipe, workload, index, method, str(error))) from None
        if watch is not None:
            watch(method, workload, after)
        workload = after
    return workload


def _placed(recipe: Recipe, workload: Workload, index: int, method: str, message: str) -> Problem:
    named = workload.name in recipe.networks
    path = f"networks.{workload.name}[{index}].{method}" if named else f"steps[{index}].{method}"
    if recipe.origin is None:
        return Problem(recipe.name, 0, 0, path, message)
    node = recipe.origin.tree
    for key in ("networks", workload.name) if named else ("steps",):
        node = (node.children or {})[key]
    place = (node.items or [])[index].place
    return Problem(recipe.path, place.line, place.col, path, message)
