"""Reads the folder of a sweep's page back. Nothing in its files is believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.report.fields import CURE, CsvRow, JsonObject, fail, parse_json, read_bytes, read_csv, safe
from hwsim.result.swept import (
    ABOUT,
    FORMAT,
    FORMS,
    KINDS,
    LAST_COLUMNS,
    NO_AXIS,
    TABLE,
    Swept,
    SweptAxis,
    SweptChoice,
    SweptEffect,
    SweptMetric,
)


def read_swept(folder: Path) -> Swept:
    """The sweep that a folder holds. Raises SpecError, naming the place in the file, when it is damaged."""
    path = folder / ABOUT
    top = JsonObject(path, "", parse_json(path, read_bytes(path)))
    if top.members.get("format") != FORMAT:
        fail(path, "format", f"must be {FORMAT!r}: this is no sweep that this hwsim can read; {CURE}")
    axes = tuple(map(_axis, top.parts("axes")))
    known = tuple(map(_metric, top.parts("known")))
    names = [axis.name for axis in axes] + [metric.name for metric in known]
    if len({*names, *LAST_COLUMNS}) < len(names) + len(LAST_COLUMNS):
        fail(path, "axes", f"names must differ; {CURE}")
    objectives = _chosen(top, "objectives", [metric.name for metric in known])
    rows = read_csv(folder / TABLE, [*names, *LAST_COLUMNS])
    lists = {name: tuple(row.text(name) for row in rows) for name in ("limit", "status", "reason")}
    return Swept(
        name=top.text("name"),
        description=top.text("description"),
        version=top.text("version"),
        workload=top.text("workload"),
        design=top.text("design"),
        seed=top.whole("seed"),
        axes=axes,
        known=known,
        objectives=objectives,
        constraints=top.texts("constraints"),
        sentences=top.texts("sentences"),
        choices=tuple(_choice(part, len(rows)) for part in top.parts("choices")),
        effects=tuple(_effect(part, objectives) for part in top.parts("effects")),
        tried=top.whole("tried"),
        status=top.wholes("status"),
        meeting=top.whole("meeting"),
        best=top.whole("best"),
        excluded=top.wholes("excluded"),
        indices=_indices(axes, rows),
        metrics={metric.name: np.array([_figure(row, metric.name) for row in rows]) for metric in known},
        limits=lists["limit"],
        outcomes=lists["status"],
        reasons=lists["reason"],
        feasible=np.array([row.flag("feasible") for row in rows], dtype=np.bool_),
        frontier=np.array([row.flag("frontier") for row in rows], dtype=np.bool_),
    )


def _chosen(said: JsonObject, key: str, known: list[str]) -> tuple[str, ...]:
    found = said.texts(key)
    if wrong := [text for text in found if text not in known]:
        fail(said.path, key, f"{wrong[0]!r} is not among the metrics; {CURE}")
    return found


def _one_of(said: JsonObject, key: str, known: tuple[str, ...]) -> str:
    found = said.text(key)
    if found not in known:
        fail(said.path, f"{said.place}.{key}", f"must be one of {', '.join(known)}; {CURE}")
    return found


def _axis(said: JsonObject) -> SweptAxis:
    values, given = said.texts("values"), said.members.get("numbers")
    numbers = None if given is None else _numbers(said, given)
    if numbers is not None and not len(set(numbers)) == len(numbers) == len(values):
        fail(said.path, f"{said.place}.numbers", f"must be one number for each value; {CURE}")
    if not values or len(set(values)) < len(values):
        fail(said.path, f"{said.place}.values", f"must be texts that differ; {CURE}")
    return SweptAxis(said.text("name"), _one_of(said, "kind", KINDS), values, numbers)


def _numbers(said: JsonObject, given: object) -> tuple[float, ...]:
    if not isinstance(given, list) or not all(type(x) in (int, float) and abs(x) < 1e300 for x in given):
        fail(said.path, f"{said.place}.numbers", f"must be a list of numbers; {CURE}")
    return tuple(map(float, given))


def _metric(said: JsonObject) -> SweptMetric:
    return SweptMetric(
        name=said.text("name"),
        noun=said.text("noun"),
        sentence=said.text("sentence"),
        better=_one_of(said, "better", ("min", "max")),
        form=_one_of(said, "form", FORMS),
        unit=said.text("unit"),
    )


def _choice(said: JsonObject, rows: int) -> SweptChoice:
    row = said.whole("row")
    if row >= rows:
        fail(said.path, f"{said.place}.row", f"must be below {rows}, the number of points; {CURE}")
    return SweptChoice(said.text("workload"), said.text("why"), row)


def _effect(said: JsonObject, objectives: tuple[str, ...]) -> SweptEffect:
    share = said.maybe_number("share")
    if share is not None and share > 1:
        fail(said.path, f"{said.place}.share", f"must lie between 0 and 1; {CURE}")
    return SweptEffect(
        workload=said.text("workload"),
        objective=_one_of(said, "objective", objectives),
        axis=said.text("axis"),
        share=share,
        least_at=said.text("least_at"),
        least=_signed(said, "least"),
        most_at=said.text("most_at"),
        most=_signed(said, "most"),
    )


def _signed(said: JsonObject, key: str) -> float:
    found = said.members.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        fail(said.path, f"{said.place}.{key}", f"must be a number; {CURE}")
    return float(found)


def _indices(axes: tuple[SweptAxis, ...], rows: list[CsvRow]) -> Int64Array:
    """(rows, axes) where each cell stands among the values of its axis."""
    columns = [_places(axis, rows) for axis in axes]
    return np.array(columns, dtype=np.int64).reshape(len(axes), len(rows)).T


def _places(axis: SweptAxis, rows: list[CsvRow]) -> list[int]:
    keys: Sequence[object] = axis.values if axis.numbers is None else axis.numbers
    places = {key: i for i, key in enumerate(keys)}
    found = []
    for row in rows:
        cell = row.cells[axis.name]
        key: object = safe(cell) if axis.numbers is None else _number(cell)
        at = NO_AXIS if cell == "" else places.get(key)
        if at is None:
            place = f"row {row.number_in_file}, {axis.name}"
            fail(row.path, place, f"must be a value of the axis; {CURE}")
        found.append(at)
    return found


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _figure(row: CsvRow, name: str) -> float:
    """A figure that may be missing, below zero, or infinite (a signal without noise)."""
    cell = row.cells[name]
    found = _number(cell)
    if cell and math.isnan(found):
        fail(row.path, f"row {row.number_in_file}, {name}", f"must be a number; {CURE}")
    return found
