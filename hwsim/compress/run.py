"""The route of `hwsim compress`: a network, a recipe, the steps, the table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hwsim.compress.accuracy import accuracy, load_labelled
from hwsim.compress.lowering import Given, read_choices, with_choices
from hwsim.compress.recipe import Recipe, apply_recipe, load_recipe
from hwsim.compress.table import CompressionTable, Measuring, measure
from hwsim.progress import Progress
from hwsim.report import Origin, draw_compression
from hwsim.version import __version__
from hwsim.workload import load_with
from hwsim.workload.folder import PAGE, TABLE, save_workload
from hwsim.workload.graph import Workload


@dataclass(frozen=True, slots=True)
class Compressed:
    """A compressed network, the table of what became of it, and what it was made from."""

    workload: Workload
    table: CompressionTable
    origin: Origin

    def save(self, folder: str | Path) -> Path:
        """Write network and table, and a page that shows it, to a folder that `load_workload` reads, and
        return its absolute path. Raises OutputError when it cannot be written."""
        beside = {TABLE: self.table.to_csv(), PAGE: draw_compression(self.table.to_dict(), self.origin)}
        saved = save_workload(self.workload, folder, beside)
        return Path(saved.source.path).parent


def compress(
    workload: str | Path | Workload,
    recipe: str | Path | Recipe,
    *,
    lower: Given = (),
    data: str | Path | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **parameters: int,
) -> Compressed:
    """Compress a workload (a name, a path, or one that is loaded) by a recipe.

    `seed` decides weights that the workload does not bring and what steps draw; `parameters` are the
    workload's, such as batch. `lower` makes choices of `hwsim.compress.lowering` after the recipe's steps, as
    `hwsim.run` would on the network that they leave. With `data`, a labelled data set, accuracy is measured
    before and after. `progress` is called with (steps done, steps in all). Raises SpecError for bad input,
    and for what a step cannot do to this network.
    """
    chosen, choices = load_recipe(recipe), read_choices(lower)
    before = load_with(workload, {**parameters, "seed": seed})
    labelled = None if data is None else load_labelled(data)
    # First, since data that do not fit are better known before the work than after it.
    right_before = None if labelled is None else accuracy(before, labelled).share
    measuring = Measuring()
    total, done = len(chosen.steps_for(before)) + 1, 0

    def watch(method: str, old: Workload, new: Workload) -> None:
        nonlocal done
        measuring(method, old, new)
        done += 1
        if progress is not None:
            progress(done, total)

    if progress is not None:
        progress(done, total)
    compressed = apply_recipe(before, chosen, seed=seed, watch=watch)
    after = with_choices(compressed, choices)
    table = measure(before, after, recipe=chosen.name, measuring=measuring)
    table = replace(table, notes=(*table.notes, *after.notes[len(compressed.notes) :]))
    if labelled is not None:
        right_after = accuracy(after, labelled).share
        table = replace(table, accuracy_before=right_before, accuracy_after=right_after)
    if progress is not None:
        progress(total, total)
    return Compressed(after, table, _origin(before, chosen, seed))


def _origin(before: Workload, recipe: Recipe, seed: int) -> Origin:
    return Origin(
        workload=before.source.path,
        workload_sha256=before.source.sha256,
        recipe=recipe.path,
        recipe_description=recipe.description,
        recipe_source=recipe.source,
        seed=seed,
        version=__version__,
    )
