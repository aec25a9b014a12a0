"""Evaluator: points of a space to columns of what they come to, equal to `hwsim.run` of each to the last bit.

No Result is made. What many points share is made once: networks, what compression makes of them, designs with
their fields set, plans. Kept in caches of bounded size, so that any number of points takes the same memory;
and points of a batch that share most are taken one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple, TypeVar

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.design import Design, load_design
from hwsim.errors import CapacityError, HwsimError, SpecError, UnsupportedError
from hwsim.explore.axes import NO_RECIPE, PARAMETER
from hwsim.explore.family import family_key
from hwsim.explore.fields import FieldSetter
from hwsim.explore.outcome import FAULT, NO_ROOM, REFUSED, UNSUPPORTED, Found, Outcomes, outcomes
from hwsim.explore.recipes import compressed
from hwsim.explore.space import Space
from hwsim.explore.totals import Totals
from hwsim.lowering import lowered
from hwsim.placement import Machine, make_machine
from hwsim.workload import Workload, load_workload

Step = TypeVar("Step")

QUALITY = ("sqnr_db", "accuracy")


class _Point(NamedTuple):
    """A point of a space, ready to run."""

    texts: Mapping[str, str]
    design: Design
    machine: Machine
    graph: Workload


class Evaluator:
    """Evaluates points of one space. Give each process its own."""

    def __init__(self, space: Space) -> None:
        self.space = space
        asked = {*space.objectives, *(n for c in space.constraints for n in c.names)}
        self.reads_quality = bool(asked & set(QUALITY))
        self._totals = Totals()
        self._networks = lru_cache(maxsize=64)(self._network)
        self._setters = {name: FieldSetter(load_design(name)) for name in space.spec.designs}

    def evaluate(self, indices: Int64Array) -> Outcomes:
        """What points (n, axes) come to. Points that a machine cannot run are outcomes with their reason."""
        found = [Found()] * len(indices)
        families: dict[Hashable, list[tuple[int, _Point]]] = {}
        for i, row in enumerate(np.asarray(indices).tolist()):
            point = _caught(partial(self._point, self.space.texts(row)))
            if isinstance(point, Found):
                found[i] = point
            else:
                families.setdefault(family_key(point.graph, point.machine), []).append((i, point))
        for members in families.values():
            for i, point in members:
                found[i] = _caught(partial(self._found, point))
        return outcomes(found)

    def _point(self, texts: Mapping[str, str]) -> _Point:
        spec, kinds = self.space.spec, self.kinds
        fields = tuple((name, text) for name, text in texts.items() if kinds[name] == "field")
        design = self._setters[texts.get("design", spec.designs[0])].design(fields)
        machine = make_machine(design)
        return _Point(texts, design, machine, self.network(texts, design, machine))

    def _found(self, point: _Point) -> Found:
        found = self._totals.figures(point.graph, point.design, point.machine)
        if not self.reads_quality:
            return found
        from hwsim.explore.quality import counted_accuracy, output_sqnr_db  # executes networks

        sqnr_db = output_sqnr_db(point.graph, self._original(point.texts))
        return replace(found, sqnr_db=sqnr_db, accuracy=counted_accuracy(point.graph))

    @property
    def kinds(self) -> Mapping[str, str]:
        """Axis -> what it sets."""
        return {axis.name: axis.kind for axis in self.space.axes}

    def network(self, texts: Mapping[str, str], design: Design, machine: Machine) -> Workload:
        """The network of a point, in the formats that it runs in."""
        graph = self._networks(*self._named(texts), texts.get("recipe", NO_RECIPE))
        dtype, weight_dtype = texts.get("dtype"), texts.get("weight_dtype")
        kept = graph.formats_chosen or design.host_device
        if dtype is not None or weight_dtype is not None or not kept:
            graph = graph.astype(dtype or design.device_spec.dtype, weight_dtype)
        return lowered(graph, machine)

    def _original(self, texts: Mapping[str, str]) -> Workload:
        """The network of a point before its recipe, in the formats that its file states."""
        return self._networks(*self._named(texts), NO_RECIPE)

    def _named(self, texts: Mapping[str, str]) -> tuple[str, tuple[tuple[str, int], ...]]:
        """The name and the parameters of a point's network."""
        kinds = self.kinds
        parameters = tuple(
            (name.removeprefix(PARAMETER), int(float(text)))
            for name, text in texts.items()
            if kinds[name] == "parameter"
        )
        return texts.get("workload", self.space.spec.workloads[0]), parameters

    def _network(self, name: str, parameters: tuple[tuple[str, int], ...], recipe: str) -> Workload:
        graph = load_workload(name, seed=self.space.seed, dims=dict(parameters))
        if recipe == NO_RECIPE:
            return graph
        return compressed(graph, recipe, self.space.seed)


def _caught(step: Callable[[], Step]) -> Step | Found:
    """What a step towards a point's figures gives; where it is refused, why, as the outcome."""
    try:
        return step()
    except UnsupportedError as error:
        return Found(UNSUPPORTED, str(error))
    except CapacityError as error:
        return Found(NO_ROOM, str(error))
    except HwsimError as error:
        return Found(REFUSED if isinstance(error, SpecError) else FAULT, str(error))


def run_arguments(space: Space, texts: Mapping[str, str]) -> dict[str, object]:
    """What `hwsim.run` takes for a point without a recipe: workload, design, dtype, overrides, parameters."""
    kinds = {axis.name: axis.kind for axis in space.axes}
    found: dict[str, object] = {
        "workload": texts.get("workload", space.spec.workloads[0]),
        "design": texts.get("design", space.spec.designs[0]),
        "overrides": tuple(f"{name}={text}" for name, text in texts.items() if kinds[name] == "field"),
    }
    for name in ("dtype", "weight_dtype"):
        if name in texts:
            found[name] = texts[name]
    for name, text in texts.items():
        if kinds[name] == "parameter":
            found[name.removeprefix(PARAMETER)] = int(float(text))
    if space.seed:
        found["seed"] = space.seed
    return found
