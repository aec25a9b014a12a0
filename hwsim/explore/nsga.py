"""NSGA-II over a space, on pymoo: points are rows of indices, and none is evaluated twice.

K. Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE Trans. Evolutionary
Computation 6(2), 2002. Sorting, crowding and the constrained tournament are pymoo's. Crossover and mutation
are made for grids: an axis of numbers moves to a near value, one of words to any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.errors import SpecError
from hwsim.explore.axes import Axis
from hwsim.explore.frontier import Scale
from hwsim.explore.sampling import Stream, places_of, shuffled, spread
from hwsim.explore.space import Space

_CROSSED = 0.9  # share of children that have two parents, as in section V of the paper
_CHANGED = 1.0  # axes that change in a child, on average: 1 of n each, as in the paper
_TRIES = 16  # times that parents breed again for want of children that are new
_FAILED = 1e12  # the violation of a point without an outcome: more than that of any constraint


class Nsga2:
    """Asks for one generation after the other: the first spread evenly, others bred. A Method."""

    def __init__(self, space: Space, evaluations: int, population: int, sentence: str) -> None:
        """Raises SpecError where the space has no objective."""
        if not space.objectives:
            raise SpecError(f"space {space.name} names no objective, and a search needs one")
        self.sentence = sentence
        self.most = evaluations
        self._space = space
        self._left = evaluations
        self._scale: Scale | None = None
        # A network that takes longer than another is not the worse one, so points of different networks must
        # not dominate one another: they differ in two more objectives, the number of the network and its
        # negative.
        self._apart = [i for i, axis in enumerate(space.axes) if axis.kind == "workload"]
        size = min(population, evaluations)
        seen: set[int] = set()
        first = Stream(space, spread(space, "lhs", size, space.seed), seen).take(size)
        objectives = len(space.objectives) + 2 * len(self._apart)
        self._search = _search(space, first, _Breeder(space, seen), objectives, population)
        self._begin()

    def ask(self, count: int) -> Int64Array:
        """(up to count, axes) more of this generation; none while it waits to be told, and at the end."""
        rows = self._rows[self._asked : self._asked + count]
        self._asked += len(rows)
        return rows

    def tell(self, indices: Int64Array, objectives: Float64Array, violations: Float64Array) -> None:
        """Takes what came of points in any order; the last of a generation begins the next. Raises SpecError
        for a point that was not asked for, and for one that is told twice."""
        places = places_of(self._space, indices)
        networks = np.asarray(indices)[:, self._apart].astype(np.float64)
        objectives = np.concatenate([objectives, networks, -networks], axis=1)
        for place, values, violation in zip(places, objectives, violations, strict=True):
            i = self._awaited.pop(place, None)
            if i is None:
                raise SpecError(f"point {place} of the grid was not asked for, or has been told before")
            failed = not np.isfinite(violation) or bool(np.isnan(values).any())
            self._objectives[i] = 0.0 if failed else values
            self._violations[i] = _FAILED if failed else violation
        if not self._awaited and len(self._rows):
            self._end()
            self._begin()

    def _begin(self) -> None:
        """Breed a generation: none when no evaluation is left, or nothing new."""
        brood = self._search.ask() if self._left else None
        self._brood: Any = [] if brood is None else brood[: self._left]
        rows = [one.X for one in self._brood]
        self._rows: Int64Array = np.array(rows, dtype=np.int64).reshape(len(rows), len(self._space.axes))
        self._left -= len(rows)
        self._asked = 0
        self._awaited = {place: i for i, place in enumerate(places_of(self._space, self._rows))}
        self._objectives = np.zeros((len(rows), len(self._space.objectives) + 2 * len(self._apart)))
        self._violations = np.zeros(len(rows))

    def _end(self) -> None:
        """Give a generation what it came to; the fittest survive."""
        meets = self._violations <= 0
        if self._scale is None and meets.any():
            self._scale = Scale.of(self._objectives[meets])
        values = np.zeros_like(self._objectives)  # of points that fail their constraints, never looked at
        if self._scale is not None:
            values[meets] = self._scale(self._objectives[meets])
        self._brood.set("F", values, "G", np.maximum(self._violations, 0.0)[:, None])
        self._search.tell(infills=self._brood)


def _search(space: Space, first: Int64Array, breeder: _Breeder, objectives: int, population: int) -> Any:
    """pymoo's NSGA-II, ready to be asked."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.config import Config
    from pymoo.core.duplicate import NoDuplicateElimination
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination

    Config.warnings["not_compiled"] = False  # it would be printed
    search = NSGA2(
        pop_size=population,
        sampling=first,
        mating=breeder,
        eliminate_duplicates=NoDuplicateElimination(),
        seed=space.seed,
    )
    problem = Problem(n_var=len(space.axes), n_obj=objectives, n_ieq_constr=1)
    search.setup(problem)
    search.termination = NoTermination()
    return search


class _Breeder:
    """New points from the better ones of a population: what pymoo calls mating."""

    def __init__(self, space: Space, seen: set[int]) -> None:
        from pymoo.algorithms.moo.nsga2 import binary_tournament
        from pymoo.operators.selection.tournament import TournamentSelection

        self._space = space
        self._seen = seen
        self._others = Stream(space, shuffled(space, space.seed), seen)  # where parents have nothing new
        self._selection = TournamentSelection(func_comp=binary_tournament)
        self._movers = [_Mover(axis) for axis in space.axes]

    def do(self, problem: Any, pop: Any, count: int, algorithm: Any, random_state: Any) -> Any:
        """`count` children, or as many as there are points that were never asked for."""
        from pymoo.core.population import Population

        parts: list[Int64Array] = []
        missing = count
        for _ in range(_TRIES):
            parents = self._selection.do(
                problem, pop, missing, 2, to_pop=False, algorithm=algorithm, random_state=random_state
            )
            rows = self._children(np.asarray(pop.get("X"), dtype=np.int64)[parents], random_state)
            parts.append(Stream(self._space, iter([rows]), self._seen).take(missing))
            missing -= len(parts[-1])
            if not missing:
                break
        parts.append(self._others.take(missing))
        return Population.new("X", np.concatenate(parts))

    def _children(self, parents: Int64Array, random: np.random.Generator) -> Int64Array:
        """Of pairs of parents (n, 2, axes), a child each (up to n, axes)."""
        count, _, axes = parents.shape
        crossed = random.random((count, 1)) < _CROSSED
        second = (random.random((count, axes)) < 0.5) & crossed
        rows = np.where(second, parents[:, 1], parents[:, 0])
        changed = random.random((count, axes)) < min(_CHANGED / axes, 1.0)
        for i, moved in enumerate(self._movers):
            rows[:, i] = np.where(changed[:, i], moved(rows[:, i], random), rows[:, i])
        rows = self._space.canonical(rows)
        return rows[self._space.allowed(rows)]


class _Mover:
    """Other values of one axis: near ones of numbers, any of words."""

    def __init__(self, axis: Axis) -> None:
        self._count = len(axis.values)
        # Files may list numbers in any order; near means near in size.
        self._by_size = None if axis.numbers is None else np.argsort(axis.numbers)
        self._rank = None if self._by_size is None else np.argsort(self._by_size)

    def __call__(self, indices: Int64Array, random: np.random.Generator) -> Int64Array:
        """(n,) another index for each, where there is another."""
        count = self._count
        if count == 1:
            return indices
        if self._by_size is None or self._rank is None:
            return (indices + random.integers(1, count, len(indices))) % count
        rank = self._rank[indices]
        # Steps of every magnitude are equally likely, so that short axes and long ones are both searched.
        steps = np.floor(max(count / 2, 2) ** random.random(len(indices))).astype(np.int64)
        steps *= random.choice((-1, 1), len(indices))
        moved = np.clip(rank + steps, 0, count - 1)
        moved = np.where(moved == rank, np.clip(rank - steps, 0, count - 1), moved)
        found: Int64Array = self._by_size[moved]
        return found
