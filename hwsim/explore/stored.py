"""What a store holds, as columns: every point of a sweep with its place, figures and limit, or the reason why
it has none; which points meet the constraints, and which no other dominates."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import BoolArray, Float64Array, Int64Array
from hwsim.explore.axes import Axis
from hwsim.explore.expressions import read_condition, read_number
from hwsim.explore.frontier import non_dominated
from hwsim.explore.outcome import METRICS, OK, STATUSES, minimised
from hwsim.explore.store_file import connect_to_read, read_meta, refusal, store_errors

if TYPE_CHECKING:
    import pandas as pd

_SELECT = 'SELECT place, status, reason, "limit", violation, ' + ", ".join(f'"{m}"' for m in METRICS)


@dataclass(frozen=True, eq=False)
class Points:
    """n points of a space, in the order of its grid. `indices` (n, axes) lead into the values of `axes`, -1
    where an axis does not count; `violations` (n,) say how far a point is from meeting the constraints, 0
    where it does. `space` is what the file says of the space besides, and `of_points` how many points it has,
    0 where they are too many to count."""

    name: str
    description: str
    version: str
    axes: tuple[Axis, ...]
    space: Mapping[str, Any]
    indices: Int64Array
    status: NDArray[np.int8]
    reasons: tuple[str, ...]
    limits: tuple[str, ...]
    violations: Float64Array
    metrics: Mapping[str, Float64Array]
    of_points: int = 0

    def __len__(self) -> int:
        return len(self.status)

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(self.space["objectives"])

    @property
    def constraints(self) -> tuple[str, ...]:
        return tuple(self.space["constraints"])

    @cached_property
    def feasible(self) -> BoolArray:
        """(n,) which points have figures and meet all constraints."""
        found: BoolArray = (self.status == OK) & (self.violations == 0)
        return found

    @cached_property
    def frontier(self) -> BoolArray:
        """(n,) which feasible points no other feasible one of the same workload dominates. None without
        objectives, nor of those that lack one."""
        found = np.zeros(len(self), dtype=np.bool_)
        if self.objectives:
            values = minimised(self.objectives, self.metrics)
            known = self.feasible & ~np.isnan(values).any(axis=1)
            for network in np.unique(self.networks):
                mine = known & (self.networks == network)
                found[mine] = non_dominated(values[mine])
        return found

    @cached_property
    def networks(self) -> Int64Array:
        """(n,) which workload each point runs, as an index into the values of that axis; 0 without one."""
        return workloads_of(self.axes, self.indices)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Status in words -> points; only those that occur."""
        codes, counts = np.unique(self.status, return_counts=True)
        return {STATUSES[code]: int(count) for code, count in zip(codes, counts, strict=True)}

    def texts(self, i: int) -> dict[str, str]:
        """Axis -> value of point `i`, inactive axes left out."""
        row = self.indices[i].tolist()
        return {axis.name: axis.values[at] for axis, at in zip(self.axes, row, strict=True) if at >= 0}

    def columns(self) -> dict[str, list[object]]:
        """One column a name: axes (numbers in base units, or words; None where inactive), metrics (None where
        unknown), limit, status, reason, feasible, frontier."""
        found: dict[str, list[object]] = {}
        for i, axis in enumerate(self.axes):
            values = [*_plain(axis), None]  # the last is -1's
            found[axis.name] = [values[at] for at in self.indices[:, i].tolist()]
        for name, column in self.metrics.items():
            found[name] = [None if x != x else x for x in column.tolist()]
        found["limit"] = list(self.limits)
        found["status"] = [STATUSES[code] for code in self.status.tolist()]
        found["reason"] = list(self.reasons)
        found["feasible"] = self.feasible.tolist()
        found["frontier"] = self.frontier.tolist()
        return found

    def frame(self) -> pd.DataFrame:
        """`columns` as a data frame."""
        import pandas as pd  # late: sweeps do without

        return pd.DataFrame(self.columns())

    def where(self, chosen: BoolArray) -> dict[str, list[object]]:
        """`columns` of some points (n,)."""
        places = np.flatnonzero(chosen).tolist()
        return {name: [column[i] for i in places] for name, column in self.columns().items()}

    def why_no_answer(self) -> str:
        """Why no point is best: there is none, none could be evaluated, none meets the constraints or has the
        objectives. Empty where there is a frontier, and where nothing was asked for."""
        if not self.objectives or self.frontier.any():
            return ""
        whole = f"space {self.name}: none of {len(self):,} points"
        ok = self.status == OK
        if not ok.any():
            if not len(self):
                return f"space {self.name}: no point was evaluated"
            return f"{whole} could be evaluated; the first: {self.reasons[0]}"
        if not self.feasible.any():
            excluded = sorted(self.excluded().items(), key=lambda item: -item[1])
            said = [f"`{text}` excludes {count:,}" for text, count in excluded if count]
            lacking = [f"; no point has {name}: {why}" for name, why in self.unknown.items()]
            return f"{whole} meets its constraints: {', '.join(said)}{''.join(lacking)}"
        absent = [name for name in self.objectives if np.isnan(self.metrics[name][self.feasible]).all()]
        if not absent:
            return f"{whole} has every objective at once: {', '.join(self.objectives)}"
        why = "".join(f"; {self.unknown[name]}" for name in absent if name in self.unknown)
        return f"{whole} has {' and '.join(absent)}, which the space asks for{why}"

    @cached_property
    def unknown(self) -> dict[str, str]:
        """Metric that an objective or a constraint names, and that no point with figures has -> why."""
        ok = self.status == OK
        named = {*self.objectives}.union(*(read_condition(c, self._known).names for c in self.constraints))
        return {
            name: metric.known or "nothing that was evaluated gives it"
            for name, metric in METRICS.items()
            if name in named and ok.any() and np.isnan(self.metrics[name][ok]).all()
        }

    @property
    def _known(self) -> set[str]:
        """What conditions may name."""
        return {*METRICS, *(axis.name for axis in self.axes)}

    def excluded(self) -> dict[str, int]:
        """Constraint -> how many of the points with figures do not meet it."""
        columns: dict[str, NDArray[Any]] = dict(self.metrics)
        for i, axis in enumerate(self.axes):
            columns[axis.name] = axis.column(self.indices[:, i])
        found = {}
        for text in self.constraints:
            condition = read_condition(text, columns)
            # An axis that does not count excludes nothing; a metric that a point lacks does.
            over_axes = not condition.names & METRICS.keys()
            meets = ~condition.fails(columns) if over_axes else condition.holds(columns)
            found[text] = int((~np.broadcast_to(meets, (len(self),)) & (self.status == OK)).sum())
        return found


def workloads_of(axes: Sequence[Axis], indices: Int64Array) -> Int64Array:
    """(n,) the index of the workload of points (n, axes), 0 where there is one alone. Points of different
    workloads are never compared: the smaller network would win."""
    for i, axis in enumerate(axes):
        if axis.kind == "workload":
            return indices[:, i]
    return np.zeros(len(indices), dtype=np.int64)


def _plain(axis: Axis) -> list[object]:
    """The values of an axis: whole numbers, numbers, or words."""
    if axis.numbers is None:
        return list(axis.values)
    numbers = axis.numbers.tolist()
    return [int(x) for x in numbers] if all(x == int(x) for x in numbers) else list(numbers)


def load_points(path: str | Path) -> Points:
    """What a store holds, also while a sweep writes it. Raises SpecError for what is no store, and
    OutputError for one that cannot be read."""
    file = Path(path)
    if not file.is_file():
        raise refusal(
            file,
            "is a folder; name a file"
            if file.is_dir()
            else "there is no such store: `hwsim sweep SPACE -o STORE` makes one",
        )
    with store_errors(file, "read"), closing(connect_to_read(file)) as connection:
        return read_points(connection, file)


def load_sweep(store: str | Path) -> pd.DataFrame:
    """Every point of a store as a pandas DataFrame, one row each: axes (numbers in base units, or words),
    metrics, limit, status, reason, and whether it is feasible and on the frontier. Raises SpecError for what
    is no store."""
    return load_points(store).frame()


def read_points(connection: sqlite3.Connection, path: Path | None) -> Points:
    """All rows of a store."""
    about = read_meta(connection, path)
    space = json.loads(about["space"])
    axes = tuple(_axis(axis["name"], axis["kind"], tuple(axis["values"])) for axis in space["axes"])
    places, status, reasons, limits, numbers = [], [], [], [], []
    for place, code, reason, limit, *row in connection.execute(f"{_SELECT} FROM points"):
        places.append([-1 if at is None else at for at in json.loads(place)])
        status.append(code)
        reasons.append(reason)
        limits.append(limit)
        numbers.append(row)
    indices = np.array(places, dtype=np.int64).reshape(len(places), len(axes))
    # Rows lie by hash; in a table they belong in the order of the grid.
    order = np.lexsort(indices.T[::-1]) if len(axes) else np.arange(len(places))
    figures = np.array(numbers, dtype=np.float64).reshape(len(places), 1 + len(METRICS))[order]
    return Points(
        name=about["name"],
        description=about["description"],
        version=about["version"],
        axes=axes,
        space=space,
        indices=indices[order],
        status=np.array(status, dtype=np.int8)[order],
        reasons=tuple(reasons[i] for i in order),
        limits=tuple(limits[i] for i in order),
        violations=figures[:, 0],
        metrics={name: figures[:, 1 + i] for i, name in enumerate(METRICS)},
        of_points=int(about.get("points", 0)),
    )


def _axis(name: str, kind: str, values: tuple[str, ...]) -> Axis:
    """An axis as the space has it, but for its condition, which the indices already follow."""
    read = [read_number(text) for text in values]
    words = any(x is None for x in read) or kind not in ("field", "parameter")
    return Axis(name, kind, values, None if words else np.array(read, dtype=np.float64))


def to_csv(columns: Mapping[str, list[object]]) -> bytes:
    """RFC 4180, one line a point; what is not known is empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode("utf-8", errors="backslashreplace")
