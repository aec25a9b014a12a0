"""Swept: what a page says of a sweep, and the folder of files that it is drawn from. Plain values only: it
knows no space, no store and no search, so that the report can read it back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hwsim.arrays import BoolArray, Float64Array, Int64Array
from hwsim.folders import FolderKind, is_marked
from hwsim.result.folder import PAGE, strict

FORMAT = "hwsim sweep 1"  # marks a sweep.json as ours
ABOUT, TABLE = "sweep.json", "points.csv"
FORMS = ("si", "bytes", "percent", "plain")  # how a figure is written
KINDS = ("workload", "design", "dtype", "weight_dtype", "recipe", "parameter", "field")
LAST_COLUMNS = ("limit", "status", "reason", "feasible", "frontier")
NO_AXIS = -1  # the index of an axis that does not count at a point


@dataclass(frozen=True, slots=True)
class SweptAxis:
    """`values` as an override takes them; `numbers` what they stand for in base units, None for words."""

    name: str
    kind: str
    values: tuple[str, ...]
    numbers: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class SweptMetric:
    """A figure: how people call it, what it is, whether less or more of it is better, and how it is
    written."""

    name: str
    noun: str
    sentence: str
    better: str
    form: str
    unit: str


@dataclass(frozen=True, slots=True)
class SweptChoice:
    """A point worth looking at first, by its row, and why: "balanced", or the objective it is best in."""

    workload: str
    why: str
    row: int


@dataclass(frozen=True, slots=True)
class SweptEffect:
    """What one axis does to an objective: its share of what varies (None: cannot be told), and the means at
    the values with the least and the most."""

    workload: str
    objective: str
    axis: str
    share: float | None
    least_at: str
    least: float
    most_at: str
    most: float


@dataclass(frozen=True, eq=False)
class Swept:
    """A sweep as its page shows it. Columns are over the `rows` points that are shown, of `tried`: all of the
    frontier are, and as many others as a page takes. `indices` (rows, axes) lead into the values of the axes,
    NO_AXIS where one does not count; `metrics` hold not a number where there is none. `status` counts all
    points that were tried; `excluded` how many of them each constraint does."""

    name: str
    description: str
    version: str
    workload: str
    design: str
    seed: int
    axes: tuple[SweptAxis, ...]
    known: tuple[SweptMetric, ...]
    objectives: tuple[str, ...]
    constraints: tuple[str, ...]
    sentences: tuple[str, ...]
    choices: tuple[SweptChoice, ...]
    effects: tuple[SweptEffect, ...]
    tried: int
    status: Mapping[str, int]
    meeting: int
    best: int
    excluded: Mapping[str, int]
    indices: Int64Array
    metrics: Mapping[str, Float64Array]
    limits: tuple[str, ...]
    outcomes: tuple[str, ...]
    reasons: tuple[str, ...]
    feasible: BoolArray
    frontier: BoolArray

    def __len__(self) -> int:
        return len(self.outcomes)

    def save(self, folder: str | Path, draw: Callable[[Path], bytes] | None = None) -> Path:
        """Write ABOUT and TABLE to a folder, and what `draw` makes of them as PAGE; returns its absolute
        path. An empty folder or that of an earlier sweep is replaced. Raises OutputError when anything else
        is in the way or the folder cannot be written."""

        def fill(partial: Path) -> None:
            text = json.dumps(strict(self._about()), indent=1, sort_keys=True, allow_nan=False) + "\n"
            (partial / ABOUT).write_bytes(text.encode("ascii"))
            (partial / TABLE).write_bytes(self._csv())
            if draw is not None:
                (partial / PAGE).write_bytes(draw(partial))

        return SWEPT_FOLDER.write(folder, fill)

    def _about(self) -> dict[str, Any]:
        listed = ("axes", "known", "choices", "effects")
        texts = (
            "name",
            "description",
            "version",
            "workload",
            "design",
            "objectives",
            "constraints",
            "sentences",
        )
        counts = ("seed", "tried", "status", "meeting", "best", "excluded")
        return {
            "format": FORMAT,
            **{name: getattr(self, name) for name in (*texts, *counts)},
            **{name: [asdict(one) for one in getattr(self, name)] for name in listed},
        }

    def _csv(self) -> bytes:
        """RFC 4180, one line a point: axes (numbers in base units, or words), metrics with all their digits,
        LAST_COLUMNS. What is not known is empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\r\n")
        writer.writerow([*(axis.name for axis in self.axes), *self.metrics, *LAST_COLUMNS])
        writer.writerows(self._rows())
        return text.getvalue().encode("utf-8", errors="backslashreplace")

    def _rows(self) -> Iterator[tuple[object, ...]]:
        columns: list[Sequence[object]] = []
        for i, axis in enumerate(self.axes):
            cells = [*(axis.values if axis.numbers is None else map(_written, axis.numbers)), ""]
            columns.append([cells[at] for at in self.indices[:, i].tolist()])
        columns += [["" if x != x else x for x in column.tolist()] for column in self.metrics.values()]
        columns += [self.limits, self.outcomes, self.reasons]
        columns += [
            [str(flag).lower() for flag in flags.tolist()] for flags in (self.feasible, self.frontier)
        ]
        return zip(*columns, strict=True)


def is_swept(folder: Path) -> bool:
    """Whether a folder holds a sweep's page and its files, whole or damaged."""
    return is_marked(folder / ABOUT, FORMAT)


SWEPT_FOLDER = FolderKind("the page of a sweep", frozenset((ABOUT, TABLE, PAGE)), is_swept)


def _written(number: float) -> object:
    """Whole numbers without a point, as files have them."""
    return int(number) if number == int(number) else number
