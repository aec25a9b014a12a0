"""Methods: which points are tried. A method is asked for points and told what came of them; one of your own
needs nothing more than Method says."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.errors import SpecError
from hwsim.explore.sampling import Stream, count_points, in_order, shuffled, spread
from hwsim.explore.space import Space
from hwsim.explore.space_file import GridSpec, SampleSpec

MAX_GRID = 10**8  # days, at a thousand points a second
_LOOKED_AT = 10**6  # points
MAX_SPREAD = 10**6  # points of a Latin hypercube or a Sobol sequence, which lie in memory


class Method(Protocol):
    """What chooses points. Rows are canonical, pass the constraints over axes, and never come twice.

    The same seed asks the same points in the same order, whatever `count` is and whatever the order in which
    it is told: a sweep that was cut short asks them again, and finds most in its store."""

    @property
    def sentence(self) -> str:
        """What it does, for people."""

    @property
    def most(self) -> int:
        """At most so many points will be asked for."""

    def ask(self, count: int) -> Int64Array:
        """(up to count, axes) indices of the next points. None, when all that was asked for has been told,
        means that it is done; before, that it waits to be told."""

    def tell(self, indices: Int64Array, objectives: Float64Array, violations: Float64Array) -> None:
        """What came of points (n, axes) that were asked for: objectives (n, m), all minimised, and how far
        constraints are from met (n,), 0 where they are, infinite where there is no outcome."""


class Listed:
    """Points that do not depend on what comes of others."""

    def __init__(self, stream: Stream, most: int, sentence: str) -> None:
        self.sentence = sentence
        self.most = most
        self._stream = stream
        self._left = most

    def ask(self, count: int) -> Int64Array:
        """(up to count, axes) the next points."""
        rows = self._stream.take(min(count, self._left))
        self._left -= len(rows)
        return rows

    def tell(self, indices: Int64Array, objectives: Float64Array, violations: Float64Array) -> None:
        """Changes nothing: what comes next is known."""


def make_method(space: Space) -> Method:
    """The method that a space asks for; every point in order where that takes no more evaluations. Raises
    SpecError where constraints leave no point, and for more points than the method is for."""
    spec, count = space.method, count_points(space)
    if count == 0:
        raise SpecError(no_point(space))
    if isinstance(spec, GridSpec):
        if space.total > MAX_GRID:
            raise SpecError(
                f"space {space.name}: a grid of {space.total:,} points is too large to try every one (at "
                f"most {MAX_GRID:,}); set `method` to {{kind: nsga2, evaluations: 1000}}, or shorten axes"
            )
        every = "Every point." if count is None else "The only point."
        every = f"Every one of the {count:,} points." if count and count > 1 else every
        return Listed(Stream(space, in_order(space)), count or space.total, every)
    wanted = spec.points if isinstance(spec, SampleSpec) else spec.evaluations
    if count and count <= wanted:
        every = f"Every one of the {count:,} points, since {spec.kind} may try as many as {wanted:,}."
        return Listed(Stream(space, in_order(space)), count, every)
    said = f"of {count:,}" if count else f"of a grid of {space.total:,}"
    if not isinstance(spec, SampleSpec):
        from hwsim.explore.nsga import Nsga2

        sentence = (
            f"NSGA-II: {wanted:,} {said} points, in generations of {spec.population}, seed {space.seed}."
        )
        return Nsga2(space, wanted, spec.population, sentence)
    if spec.kind == "random":
        return Listed(
            Stream(space, shuffled(space, space.seed)),
            wanted,
            f"{wanted:,} {said} points, drawn from seed {space.seed}.",
        )
    if wanted > MAX_SPREAD:
        raise SpecError(f"{spec.kind} takes at most {MAX_SPREAD:,} points; `kind: random` takes any number")
    stream = Stream(space, spread(space, spec.kind, wanted, space.seed), seen=set())
    name = {"lhs": "a Latin hypercube", "sobol": "a Sobol sequence"}[spec.kind]
    return Listed(stream, wanted, f"{wanted:,} {said} points, by {name} from seed {space.seed}.")


def no_point(space: Space) -> str:
    """Which constraints over axes exclude how many points, of a space that they leave none; of one that is
    too large to look at them all, how many of some drawn from the seed."""
    total = min(space.total, _LOOKED_AT)
    rows = space.grid(0, total)
    if total < space.total:
        draw = np.random.default_rng(space.seed)
        rows = np.stack([draw.integers(size, size=total) for size in space.sizes], axis=1)
    columns = space.columns(rows)
    said = []
    for constraint in space.axis_constraints:
        excluded = int(np.broadcast_to(constraint.fails(columns), (total,)).sum())
        said.append(f"`{constraint.text}` excludes {excluded:,}")
    of = f"of {total:,}" if total == space.total else f"of {total:,} drawn from {space.total:,}"
    cure = "loosen a constraint, or give the axes values that meet all of them"
    return f"space {space.name} has no point left: {of}, {', '.join(said)}; {cure}"
