"""The sweep: points asked of a method, evaluated by a crew, stored, and told to the method.

The same space gives the same points with the same figures, whoever evaluates them and however often that was
interrupted: a method is asked anew from the start, and what the store holds is told from there.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hwsim.arrays import BoolArray, Float64Array, Int64Array
from hwsim.errors import SpecError
from hwsim.explore.check import check_point
from hwsim.explore.crew import MOST_WORKERS, Alone, Crew, Processes, processors
from hwsim.explore.dispatch import Dispatch
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.fork_server import start_server
from hwsim.explore.frontier import non_dominated
from hwsim.explore.methods import Method, make_method, no_point
from hwsim.explore.outcome import METRICS, OK, Outcomes, minimised
from hwsim.explore.space import Space, load_space, read_space
from hwsim.explore.space_file import SpaceSpec
from hwsim.explore.store import Store
from hwsim.explore.stored import workloads_of
from hwsim.explore.sweep_result import Sweep
from hwsim.explore.worker import Factory, begin, rehearse
from hwsim.schema import override_spec
from hwsim.version import __version__

CHECKED = 3  # points that are run again unless a number is given
LOOKED_UP = 1000  # points asked for at once: most may be stored already


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a sweep is. `done` of at most `total` points are known, `evaluated` of them in this run; `failed`
    have no figures, and `frontier` are the best so far."""

    done: int = 0
    total: int = 0
    evaluated: int = 0
    failed: int = 0
    frontier: int = 0


Watch = Callable[[Standing], None]


def sweep(
    space: str | Path | SpaceSpec | Space,
    *,
    store: str | Path | None = None,
    resume: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    check: int = CHECKED,
    overrides: tuple[str, ...] = (),
    method: Method | None = None,
    watch: Watch | None = None,
) -> Sweep:
    """Evaluate the points of a space, and return what was found.

    `space` is the path of a space file, the name of a shipped one, or a loaded one; `overrides` ("seed=2")
    change fields of a file. Points go to the SQLite file `store` as they come (without: to memory), and none
    that is there is evaluated again; `resume` demands that the file exists. `workers` processes evaluate (as
    many as there are processors; 0: this process alone), or those of a dask `scheduler`: "local", or an
    address as "tcp://host:port". `check` points are run again by `hwsim.run` and compared to the last bit.
    `method` replaces the one that the space names. `watch` is called after each batch.

    Raises SpecError for a bad space, and where no point meets its constraints or has an objective;
    OutputError where the store cannot be written; CheckError where a point differs. What is stored by then
    is kept.
    """
    if workers != 0 and scheduler is None:
        start_server()  # it takes a while, so it comes first
    found = space if isinstance(space, Space) else _load(space, overrides)
    if isinstance(space, Space) and overrides:
        raise SpecError("overrides change fields of a space file; this space is loaded already")
    if check < 0:
        raise SpecError(f"check={check}: the number of points to run again is 0 or more")
    chosen = make_method(found) if method is None else method
    factory = partial(begin, Evaluator, found, __version__)
    with (
        closing(make_crew(factory, workers, scheduler)) as crew,
        Store.open(store, found, must_exist=resume) as kept,
    ):
        run = Run(found, kept, chosen, crew, check, watch)
        run.go()
        crew.close()  # its processors are free for the checks
        for point in run.sample:
            check_point(found, *point)
        points = kept.points()
    if not len(points) and found.axis_constraints:
        raise SpecError(no_point(found))
    if why := points.why_no_answer():
        raise SpecError(why if store is None else f"{why}; all of them are kept in {store}")
    standing = run.standing
    return Sweep(points, kept.path, chosen.sentence, standing.done, standing.evaluated, len(run.sample))


def _load(space: str | Path | SpaceSpec, overrides: tuple[str, ...]) -> Space:
    if isinstance(space, SpaceSpec):
        return load_space(override_spec(space, overrides))
    return load_space(read_space(space, overrides))


def make_crew(factory: Factory, workers: int | None, scheduler: str | None) -> Crew:
    """Who evaluates: `workers` processes of this machine or of a dask scheduler; 0 for this process alone."""
    if workers is not None and not 0 <= workers <= MOST_WORKERS:
        raise SpecError(f"workers={workers}: write a number from 0 (this process alone) to {MOST_WORKERS}")
    if scheduler is not None:
        if workers == 0:
            raise SpecError("workers=0 is this process alone, and a scheduler has processes: leave out one")
        from hwsim.explore.scheduler import DaskCrew

        return DaskCrew(factory, scheduler, workers or processors())
    return Alone(factory) if workers == 0 else Processes(factory, workers or min(processors(), MOST_WORKERS))


Judged = tuple[Mapping[str, str], Mapping[str, float], str]  # values of a point, its metrics, its limit


class Run:
    """One sweep on its way."""

    def __init__(
        self, space: Space, store: Store, method: Method, crew: Crew, check: int, watch: Watch | None = None
    ) -> None:
        self.standing = Standing(total=method.most)
        self._space = space
        self._store = store
        self._method = method
        self._dispatch = Dispatch(crew)
        self._check = check
        self._watch = watch
        self._best: dict[int, Float64Array] = {}  # workload -> objectives of its frontier so far
        # Those with the least hashes: the same ones whoever evaluates, and drawn as if by chance.
        self._sample: list[tuple[int, Judged]] = []

    @property
    def sample(self) -> list[Judged]:
        """Points with figures that came in this run, to be checked."""
        return [judged for _, judged in sorted(self._sample, key=lambda one: -one[0])]

    def go(self) -> None:
        """Evaluate all that the method asks for and the store does not hold."""
        self._ask()
        if self._dispatch.busy and self._check:
            # What the checks need, in time that is there: as the server loads, and as the first points run.
            from hwsim.sim import recurrence  # noqa: F401 (which loads numba)

            self._dispatch.send()
            rehearse()
        while self._dispatch.busy:
            self._dispatch.send()
            for rows, keys, found in self._dispatch.receive():
                self._take(rows, keys, found)
            self._ask()

    def _ask(self) -> None:
        """Ask for points until there is work for all members, and tell those that are known already."""
        while (wanted := self._dispatch.wanted) and len(rows := self._method.ask(max(wanted, LOOKED_UP))):
            keys = self._space.keys(rows)
            known = self._store.look_up(keys)
            at = known.stored
            if at.any():
                metrics = {name: known.metrics[at, i] for i, name in enumerate(METRICS)}
                self._tell(rows[at], metrics, known.status[at] == OK, known.violations[at], evaluated=0)
            self._dispatch.add(rows[~at], [key for key, stored in zip(keys, at, strict=True) if not stored])

    def _take(self, rows: Int64Array, keys: tuple[str, ...], found: Outcomes) -> None:
        """Store what came, and only then tell anybody."""
        violations = np.where(found.ok, self._violations(rows, found.metrics), np.inf)
        active = self._space.active(rows).tolist()
        places = [
            [index if on else None for index, on in zip(row, ons, strict=True)]
            for row, ons in zip(rows.tolist(), active, strict=True)
        ]
        self._store.put(keys, places, found, violations)
        self._tell(rows, found.metrics, found.ok, violations, evaluated=len(rows))
        self._draw(rows, keys, found)

    def _tell(
        self,
        rows: Int64Array,
        metrics: Mapping[str, Float64Array],
        ok: BoolArray,
        violations: Float64Array,
        evaluated: int,
    ) -> None:
        """Tell the method and the watcher of points that are stored."""
        values = minimised(self._space.objectives, metrics)
        self._method.tell(rows, values, np.where(ok, violations, np.inf))
        if self._space.objectives:
            self._improve(rows, values, ok & (violations == 0) & ~np.isnan(values).any(axis=1))
        before = self.standing
        self.standing = Standing(
            before.done + len(rows),
            before.total,
            before.evaluated + evaluated,
            before.failed + int((~ok).sum()),
            sum(map(len, self._best.values())),
        )
        if self._watch is not None:
            self._watch(self.standing)

    def _improve(self, rows: Int64Array, values: Float64Array, good: BoolArray) -> None:
        """Keep what is best so far; points with the same objectives count once."""
        networks = workloads_of(self._space.axes, rows)
        for network in np.unique(networks[good]).tolist():
            mine = values[good & (networks == network)]
            before = self._best.get(network, mine[:0])
            together = np.unique(np.concatenate([before, mine]), axis=0)
            self._best[network] = together[non_dominated(together)]

    def _violations(self, rows: Int64Array, metrics: Mapping[str, Float64Array]) -> Float64Array:
        """(n,) how far points are from meeting the constraints over metrics, 0 where they do."""
        columns = {**self._space.columns(rows), **metrics}
        found = np.zeros(len(rows))
        for constraint in self._space.metric_constraints:
            found += constraint.excess(columns)
        return found

    def _draw(self, rows: Int64Array, keys: tuple[str, ...], found: Outcomes) -> None:
        """Keep a few of the points with figures, to be run again."""
        for i in np.flatnonzero(found.ok).tolist() if self._check else ():
            rank = -int(keys[i], 16)
            if len(self._sample) == self._check and rank <= self._sample[0][0]:
                continue
            metrics = {name: float(column[i]) for name, column in found.metrics.items()}
            entry = (rank, (self._space.texts(rows[i].tolist()), metrics, found.limits[i]))
            (heapq.heappush if len(self._sample) < self._check else heapq.heapreplace)(self._sample, entry)
