"""Space: a space file with every axis resolved to its values and checked against what it sets.

A point is a row of indices, one into the values of each axis. An axis whose condition does not hold is
inactive: what it sets keeps the design's own value, and its index is 0, so that each point is written one
way.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import BoolArray, Int64Array
from hwsim.design import Design, load_design
from hwsim.errors import HwsimError, Problem, SpecError
from hwsim.explore.axes import ABSENT, NO_RECIPE, Axis, check_axes, conditional, problem_at, read_axis
from hwsim.explore.expressions import Condition, read_condition
from hwsim.explore.outcome import METRICS, TEST_IMAGES
from hwsim.explore.space_file import MethodSpec, SpaceSpec
from hwsim.explore.tables import tables_of, technology_hash
from hwsim.library import find
from hwsim.schema import load_yaml
from hwsim.version import __version__
from hwsim.workload import load_workload

MAX_POINTS = 10**15


@dataclass(frozen=True, eq=False)
class Space:
    """A checked space; `load_space` makes one."""

    spec: SpaceSpec
    axes: tuple[Axis, ...]
    constraints: tuple[Condition, ...]
    hashes: Mapping[str, str]  # of what names stand for: workloads, designs, recipes, technology tables

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def objectives(self) -> tuple[str, ...]:
        return self.spec.objectives

    @property
    def method(self) -> MethodSpec:
        return self.spec.method

    @property
    def seed(self) -> int:
        return self.spec.seed

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def total(self) -> int:
        """Points of the grid, those written twice and those that constraints exclude counted too."""
        return math.prod(self.sizes)

    # -- points ----------------------------------------------------------------------------------------

    def grid(self, first: int, last: int) -> Int64Array:
        """(last - first, axes) indices of the points from `first` up to `last` of the grid, in its order."""
        places = np.arange(first, last)
        if not self.axes:
            return np.zeros((len(places), 0), dtype=np.int64)
        return np.stack(np.unravel_index(places, self.sizes), axis=1).astype(np.int64)

    def active(self, indices: Int64Array) -> BoolArray:
        """(n, axes) which axes count at each point."""
        columns = {axis.name: axis.column(indices[:, i]) for i, axis in enumerate(self.axes)}
        found = np.ones(indices.shape, dtype=np.bool_)
        for i, axis in enumerate(self.axes):
            if axis.when is not None:
                found[:, i] = axis.when.holds(columns)
        return found

    def canonical(self, indices: Int64Array) -> Int64Array:
        """The same points with inactive axes at 0."""
        return np.where(self.active(indices), indices, 0)

    def columns(self, indices: Int64Array) -> dict[str, NDArray[np.generic]]:
        """Axis -> (n,) numbers or words, missing (not a number, None) where it does not count."""
        active = self.active(indices)
        places = np.where(active, indices, ABSENT)
        return {axis.name: axis.column(places[:, i]) for i, axis in enumerate(self.axes)}

    @cached_property
    def axis_constraints(self) -> tuple[Condition, ...]:
        """Those over axes alone, which are known before anything is evaluated."""
        names = {axis.name for axis in self.axes}
        return tuple(c for c in self.constraints if c.names <= names)

    @cached_property
    def metric_constraints(self) -> tuple[Condition, ...]:
        return tuple(c for c in self.constraints if c not in self.axis_constraints)

    def allowed(self, indices: Int64Array) -> BoolArray:
        """(n,) which points constraints over axes let through: all that they are not surely false of, as an
        axis that does not count has no value."""
        columns = self.columns(indices)
        found = np.ones(len(indices), dtype=np.bool_)
        for constraint in self.axis_constraints:
            found &= ~constraint.fails(columns)
        return found

    def texts(self, row: Sequence[int]) -> dict[str, str]:
        """Axis -> value of one point, inactive axes left out."""
        active = self.active(np.asarray([row], dtype=np.int64))[0]
        return {
            axis.name: axis.values[index]
            for axis, index, on in zip(self.axes, row, active, strict=True)
            if on
        }

    def keys(self, indices: Int64Array) -> list[str]:
        """A hash for each point of all that determines what it comes to. Equal points of spaces over the same
        files have equal keys."""
        active = self.active(indices)
        first = {"workload": self.spec.workloads[0], "design": self.spec.designs[0]}
        found = []
        for row, on in zip(indices.tolist(), active.tolist(), strict=True):
            chosen = dict(first)
            chosen |= {a.name: a.values[i] for a, i, o in zip(self.axes, row, on, strict=True) if o}
            known = {name: self.hashes[f"{name}:{chosen[name]}"] for name in ("workload", "design")}
            recipe = chosen.get("recipe", NO_RECIPE)
            if recipe != NO_RECIPE:
                known["recipe"] = self.hashes[f"recipe:{recipe}"]
            tables = sorted(item for item in self.hashes.items() if item[0].startswith("technology:"))
            parts = (__version__, self.seed, sorted({**chosen, **known}.items()), tables)
            found.append(hashlib.sha256(repr(parts).encode()).hexdigest())
        return found


def read_space(name_or_path: str | Path, overrides: tuple[str, ...] = ()) -> SpaceSpec:
    """A space file by its path, or by a name that `hwsim.library` looks up, with fields changed."""
    return load_yaml(find("spaces", name_or_path), SpaceSpec, overrides)


def load_space(space: str | Path | SpaceSpec) -> Space:
    """The space of a file, or of a name of `hwsim list spaces`, every axis checked against what it sets.
    Raises SpecError with every problem."""
    spec = space if isinstance(space, SpaceSpec) else read_space(space)
    problems: list[Problem] = []
    hashes, networks = _files(spec, problems)
    axes: list[Axis] = []
    for name, given in (("workload", spec.workloads), ("design", spec.designs)):
        if len(given) > 1:
            axes.append(Axis(name, name, tuple(given), None))
    for name, written in spec.axes.items():
        try:
            axes.append(read_axis(name, written))
        except SpecError as error:
            problems.append(problem_at(spec, ("axes", name), str(error)))
    if problems:
        raise SpecError(problems)
    axes = [conditional(spec, axis, axes) for axis in axes]
    if (total := math.prod(len(axis.values) for axis in axes)) > MAX_POINTS:
        raise SpecError(f"space {spec.name} has {total:.3g} points, more than {MAX_POINTS:.0e}")
    check_axes(spec, axes, hashes)
    known = {*METRICS, *(axis.name for axis in axes)}
    first = np.zeros(1, dtype=np.int64)
    sample = {name: np.zeros(1) for name in METRICS} | {axis.name: axis.column(first) for axis in axes}
    constraints = []
    for i, text in enumerate(spec.constraints):
        try:
            condition = read_condition(text, known)
            condition.holds(sample)  # what cannot be compared is told now, and not by the first point
            constraints.append(condition)
        except SpecError as error:
            problems.append(problem_at(spec, ("constraints", i), str(error)))
    if "accuracy" in spec.objectives and not networks & TEST_IMAGES.keys():
        problems.append(
            problem_at(spec, ("objectives",), f"no point can have accuracy: {METRICS['accuracy'].known}")
        )
    if problems:
        raise SpecError(problems)
    return Space(spec, tuple(axes), tuple(constraints), hashes)


def _files(spec: SpaceSpec, problems: list[Problem]) -> tuple[dict[str, str], set[str]]:
    """Hashes of all that a space names, and what its networks call themselves. What cannot be loaded goes to
    `problems`."""
    hashes: dict[str, str] = {}
    networks = set()
    for key in ("workloads", "designs"):
        for name in getattr(spec, key):
            try:
                loaded = load_workload(name) if key == "workloads" else load_design(name)
                hashes[f"{key[:-1]}:{name}"] = loaded.content_hash
                if isinstance(loaded, Design):
                    hashes |= {f"technology:{t}": technology_hash(t) for t in tables_of(loaded)}
                else:
                    networks.add(loaded.name)
            except HwsimError as error:
                problems.append(problem_at(spec, (key,), str(error)))
    return hashes, networks
