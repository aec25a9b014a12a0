"""From the points of a store to the page of a sweep: a folder that the report draws, with as many points as a
page takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.explore.axes import Axis
from hwsim.explore.insight import insight
from hwsim.explore.outcome import METRICS, STATUSES
from hwsim.explore.stored import Points, load_points
from hwsim.report import draw
from hwsim.result.swept import SWEPT_FOLDER, Swept, SweptAxis, SweptChoice, SweptEffect, SweptMetric

MOST_POINTS = 10_000  # of one page: under 2 MB, and fluid
_GOLDEN = 2_654_435_769  # 2**32 over the golden ratio: its multiples lie evenly, in step with no grid


def export_page(store: str | Path, folder: str | Path | None = None) -> Path:
    """Write the page of a store, and the files that it is drawn from, to a folder, and return the page's
    absolute path. Without a folder it is named after the store and stands beside it. The same points give the
    same bytes. Raises SpecError for what is no store, and OutputError where the folder cannot be written."""
    final = SWEPT_FOLDER.check(default_folder(store) if folder is None else folder)
    return swept(load_points(store)).save(final, draw) / "report.html"


def default_folder(store: str | Path) -> Path:
    """Where the page of a store goes unless told otherwise: `tpu.sqlite` has it in `tpu-report`."""
    path = Path(store)
    return path.with_name(f"{path.stem}-report")


def swept(points: Points, most: int = MOST_POINTS) -> Swept:
    """What a page shows of so many points at `most`; of the frontier, every one."""
    said = insight(points)
    rows = np.flatnonzero(_shown(points, most))  # the choices are of the frontier, all of which is shown
    places = {int(point): row for row, point in enumerate(rows)}
    metrics = {name: column[rows] for name, column in points.metrics.items()}
    return Swept(
        name=points.name,
        description=points.description,
        version=points.version,
        workload=points.space["workloads"][0],
        design=points.space["designs"][0],
        seed=points.space["seed"],
        axes=tuple(map(_axis, points.axes)),
        known=tuple(_metric(name) for name in METRICS),
        objectives=points.objectives,
        constraints=points.constraints,
        sentences=said.sentences,
        choices=tuple(SweptChoice(c.workload, c.why, places[c.point]) for c in said.choices),
        effects=tuple(
            SweptEffect(
                name, objective, e.axis, e.share, e.least_at, float(e.least), e.most_at, float(e.most)
            )
            for (name, objective), effects in said.effects.items()
            for e in effects
        ),
        tried=len(points),
        status=points.counts,
        meeting=int(points.feasible.sum()),
        best=int(points.frontier.sum()),
        excluded=said.excluded,
        indices=points.indices[rows],
        metrics=metrics,
        limits=tuple(points.limits[i] for i in rows),
        outcomes=tuple(STATUSES[code] for code in points.status[rows].tolist()),
        reasons=tuple(points.reasons[i] for i in rows),
        feasible=points.feasible[rows],
        frontier=points.frontier[rows],
    )


def _shown(points: Points, most: int) -> NDArray[np.bool_]:
    """(n,) the points of a page: the frontier, and of the others an even share."""
    count = len(points)
    shown = points.frontier.copy()
    if count <= most:
        return np.ones(count, dtype=np.bool_)
    rank = np.arange(count, dtype=np.uint64) * np.uint64(_GOLDEN) % np.uint64(2**32)
    rank[shown] = 2**32
    room = max(0, most - int(shown.sum()))
    shown[np.argsort(rank, kind="stable")[:room]] = True
    return shown


def _axis(axis: Axis) -> SweptAxis:
    numbers = None if axis.numbers is None else tuple(axis.numbers.tolist())
    return SweptAxis(axis.name, axis.kind, axis.values, numbers)


def _metric(name: str) -> SweptMetric:
    """A metric as the page writes it: its axes and columns say what is counted, so the unit need not."""
    metric = METRICS[name]
    unit = _squared(metric.unit.removeprefix("inferences"))
    return SweptMetric(name, _squared(metric.noun), metric.sentence, metric.better, metric.form, unit)


def _squared(text: str) -> str:
    return text.replace("mm2", "mm\u00b2")
