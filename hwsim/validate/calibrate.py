"""`calibrate`: fit the constants that a design's `calibration` section names to a file of measurements, and
write the design anew with them. Nothing else of the design changes.

Each prediction goes through the route of `hwsim run`, less energy. Rows say in `cache_state` whether the
operands lay in cache, and a design that knows the difference is run so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.design import Design, design_text, load_design
from hwsim.devices import make_device
from hwsim.errors import CapacityError, SpecError, UnsupportedError
from hwsim.folders import write_text
from hwsim.pipeline import prepare
from hwsim.schema import Node, Spec, file_keys
from hwsim.schema.tree import read_tree
from hwsim.sim import simulate
from hwsim.units import DIMENSIONS, PS_PER_US
from hwsim.validate.conditions import row_overrides
from hwsim.validate.constructors import operands_of, operator_sizes, refusal
from hwsim.validate.robust_fit import Errors, cross_validate, errors_of, fit
from hwsim.validate.roofline import measured_workload
from hwsim.validate.rows import MeasuredRow, read_rows
from hwsim.workload import Workload

FOLDS = 5
PULL = 5e-4  # of mean absolute log error for a factor of e: a constant moves only where that gains something
DIGITS = 4  # significant ones of a fitted constant: more than any measurement supports
_FITTED_ON = "calibration.fitted_on"

Made = Callable[[int], None]  # called with the number of predictions made


@dataclass(frozen=True, slots=True)
class Constant:
    """One constant: its path and unit in the design file, what it was, what it is fitted to be, and the
    lowest and highest that a fold of the cross-validation fits."""

    path: str
    unit: str
    before: float
    fitted: float
    lowest: float
    highest: float

    @property
    def text(self) -> str:
        """As a design file writes the fitted value."""
        return constant_text(self.fitted, self.unit)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted on what. `before`, `fitted` and `held_out` are errors of all rows: with the constants
    that the design had, with the fitted ones, and of each row with constants fitted on the other folds.
    `untouched` are constants on which no row depends, left as they were."""

    design: str
    constants: tuple[Constant, ...]
    data_file: str
    data_sha256: str
    rows: int
    rows_left_out: Mapping[str, int]
    untouched: tuple[str, ...]
    folds: int
    before: Errors
    fitted: Errors
    held_out: Errors

    @property
    def fitted_on(self) -> str:
        """The sentence that goes into the design's `fitted_on`."""
        return (
            f"{self.rows} rows of {self.data_file} (sha256 {self.data_sha256[:12]}), {self.folds}-fold "
            f"cross-validation: median error {self.held_out.mdape_pct:.1f} %"
        )


def calibrate(
    design: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    progress: Made | None = None,
) -> Calibration:
    """Fit the constants in `design`'s calibration section on the rows of `data` that name the design, and
    write the design with them to `output`. `progress` is called with the number of predictions made.

    Raises SpecError for a faulty file or design, a design without constants to fit, and fewer rows than
    constants; OutputError where `output` cannot be written. Nothing is then written.
    """
    table = read_rows(data)
    machine = load_design(design)
    paths = constants_of(machine)
    if not paths:
        raise SpecError(
            f"{machine.name} names no constant under `calibration`, so there is nothing to fit: give the "
            "constants to fit with a value each to begin from"
        )
    _editable(machine, list(paths))
    rows, left_out = _usable(table.rows, machine)
    predictor = Predictor(machine, paths, rows, progress)
    moving = predictor.moving() if rows else list(paths)
    if len(rows) < len(moving):
        reasons = "; ".join(f"{count} left out: {reason}" for reason, count in left_out.items())
        raise SpecError(
            f"{data}: {len(rows)} rows for the {len(moving)} constants of {machine.name}, too few to fit"
            + (f" ({reasons})" if reasons else "")
        )
    if not moving:
        raise SpecError(
            f"{data}: no row depends on any constant of {machine.name}, so there is nothing to fit"
        )
    predictor = Predictor(machine, {path: paths[path] for path in moving}, rows, progress)
    folds = max(2, min(folds, len(rows) // len(moving), len(rows)))
    untouched = tuple(path for path in paths if path not in moving)
    found = _fitted(machine, predictor, rows, left_out, data, folds, seed, untouched)
    write_text(output, calibrated_text(machine, found))
    return found


def constants_of(design: Design) -> dict[str, tuple[str, float]]:
    """Path below the device -> (unit, value) of each number that the design's file gives under
    `calibration`. What the file leaves to its default is not fitted."""
    section = getattr(design.device_spec, "calibration", None)
    return dict(_numbers(section, "calibration")) if isinstance(section, Spec) else {}


def _numbers(section: Spec, path: str) -> Iterator[tuple[str, tuple[str, float]]]:
    for name, key in zip(section.declared, file_keys(type(section)), strict=True):
        value, said = getattr(section, name), section.declared[name]
        if name not in section.model_fields_set or said.descriptive:
            continue
        entries = value.items() if isinstance(value, Mapping) else [("", value)]
        for entry, found in entries:
            here = ".".join(part for part in (path, key, entry) if part)
            if isinstance(found, Spec):
                yield from _numbers(found, here)
            elif isinstance(found, int | float) and not isinstance(found, bool):
                yield here, (next(iter(DIMENSIONS[said.dimension])) if said.dimension else "", float(found))


def calibrated_text(design: Design, found: Calibration) -> str:
    """The design's file with fitted constants, each with a comment that says what it was fitted on. Raises
    SpecError where a constant does not stand on a line of its own."""
    source = f"fitted: {found.data_file}, {found.rows} rows, sha256 {found.data_sha256[:12]}"
    return rewritten(
        design, {constant.path: (constant.text, source) for constant in found.constants}, found.fitted_on
    )


def rewritten(design: Design, constants: Mapping[str, tuple[str, str]], fitted_on: str) -> str:
    """The design's file with other values of constants (path -> value, comment) and of `fitted_on`. Raises
    SpecError where a constant does not stand on a line of its own."""
    lines, places, begin = _editable(design, list(constants))
    for path, (value, source) in constants.items():
        index = places[path]
        key = lines[index].split(":")[0]
        lines[index] = f"{key}: {value}  # {source}"
    depth = min(_depth(lines[index]) for index in places.values())
    said = f'{" " * depth}fitted_on: "{fitted_on}"'
    before = places.get(_FITTED_ON)
    if before is None:
        lines.insert(begin, said)
    else:
        lines[before] = said
    return "\n".join(lines) + "\n"


def _editable(design: Design, paths: Sequence[str]) -> tuple[list[str], dict[str, int], int]:
    """The lines of the design's file, the line of each constant (and of `fitted_on`, if any) by its path
    below the device, and the first line of the calibration section."""
    text = design_text(design)
    tree, _ = read_tree(text, design.path)
    lines = text.splitlines()
    children = tree.children or {}
    devices = children["devices"].children or {} if "devices" in children else {}
    device = devices.get(design.device_name, tree)
    section = (device.children or {}).get("calibration")
    if section is None or section.key_place is None or section.place.line == section.key_place.line:
        raise SpecError(f"{design.path}: has no `calibration:` section on lines of its own to write to")
    nodes = {".".join(("calibration", *keys)): node for keys, node in _scalars(section)}
    places = {
        path: node.place.line - 1
        for path, node in nodes.items()
        if node.key_place is not None
        and node.key_place.line == node.place.line
        and not lines[node.key_place.line - 1][: node.key_place.col - 1].strip()
    }
    if lacking := [path for path in paths if path not in places]:
        raise SpecError(
            f"{design.path}: {', '.join(lacking)} must each stand on a line of its own under `calibration:`"
        )
    return (
        lines,
        {path: line for path, line in places.items() if path in (*paths, _FITTED_ON)},
        (section.key_place.line),
    )


def _scalars(node: Node, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """The values below a section with the keys that lead to them."""
    for key, child in (node.children or {}).items():
        if child.children is None:
            yield (*keys, key), child
        else:
            yield from _scalars(child, (*keys, key))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _usable(rows: Sequence[MeasuredRow], design: Design) -> tuple[list[MeasuredRow], dict[str, int]]:
    """Rows to fit on, and why others are not."""
    kept: list[MeasuredRow] = []
    left_out: dict[str, int] = {}
    for row in rows:
        if row.design != design.name:
            reason = f"design {row.design}"
        elif row.metric != "latency_us":
            reason = f"metric {row.metric}"
        else:
            reason = refusal(row)
        if not reason:
            kept.append(row)
        else:
            left_out[reason] = left_out.get(reason, 0) + 1
    return kept, left_out


class Predictor:
    """Predictions of rows by constants, each distinct program simulated once for equal constants."""

    def __init__(
        self,
        design: Design,
        paths: Mapping[str, tuple[str, float]],
        rows: Sequence[MeasuredRow],
        progress: Made | None,
    ) -> None:
        self.design = design
        self.paths = paths
        self.programs: list[tuple[Workload, tuple[str, ...]]] = []
        self.program_of: list[int] = []
        self.progress = progress
        self.made = 0
        known: dict[object, int] = {}
        for row in rows:
            key = (row.op, operator_sizes(row), operands_of(row), row.dtype, row_overrides(row, design))
            if key not in known:
                known[key] = len(self.programs)
                graph = measured_workload(row)
                self.programs.append((graph, row_overrides(row, design)))
            self.program_of.append(known[key])

    def moving(self) -> list[str]:
        """The constants on which some row depends: a change of a fifth changes its time."""
        everything = np.arange(len(self.program_of))
        start = np.array([value for _, value in self.paths.values()])
        before = self(start, everything)
        found = []
        for index, path in enumerate(self.paths):
            for factor in (0.8, 1.25):
                tried = start.copy()
                tried[index] = tried[index] * factor if tried[index] else factor - 0.7
                after = self(tried, everything)
                if before is None or (after is not None and not np.array_equal(before, after)):
                    found.append(path)
                    break
        return found

    def __call__(self, constants: Float64Array, rows: Int64Array) -> Float64Array | None:
        set_ = tuple(
            f"{path}={constant_text(value, unit)}"
            for (path, (unit, _)), value in zip(self.paths.items(), constants.tolist(), strict=True)
        )
        times: dict[int, float] = {}
        machines: dict[tuple[str, ...], Design] = {}
        try:
            for program in {self.program_of[row] for row in rows.tolist()}:
                graph, own = self.programs[program]
                if own not in machines:
                    machines[own] = load_design(self.design, (*own, *set_))
                times[program] = _time_us(graph, machines[own])
        except (SpecError, UnsupportedError, CapacityError):
            if not machines:
                return None  # constants out of bounds
            raise
        self.made += len(rows)
        if self.progress is not None:
            self.progress(self.made)
        return np.array([times[self.program_of[row]] for row in rows.tolist()], dtype=np.float64)


def _time_us(graph: Workload, design: Design) -> float:
    prepared = prepare(graph, make_device(design.device_spec))
    return simulate(prepared.program).makespan_ps / PS_PER_US


def _fitted(
    design: Design,
    predict: Predictor,
    rows: Sequence[MeasuredRow],
    left_out: Mapping[str, int],
    data: str | Path,
    folds: int,
    seed: int,
    untouched: tuple[str, ...],
) -> Calibration:
    measured = np.array([row.measured for row in rows], dtype=np.float64)
    everything = np.arange(len(rows))
    start = [value if value > 0 else 10.0**-DIGITS for _, value in predict.paths.values()]
    before = predict(np.array([value for _, value in predict.paths.values()]), everything)
    constants = fit(predict, start, measured, everything, PULL)
    parts = cross_validate(predict, start, measured, folds, seed, PULL)
    fitted = predict(constants, everything)
    assert before is not None
    assert fitted is not None
    held_out = np.empty_like(measured)
    for part in parts:
        held_out[part.rows] = part.predicted
    spread = np.array([part.constants for part in parts])
    found = tuple(
        Constant(path, unit, value, float(constants[i]), float(spread[:, i].min()), float(spread[:, i].max()))
        for i, (path, (unit, value)) in enumerate(predict.paths.items())
    )
    return Calibration(
        design.name, found, Path(data).name, hashlib.sha256(Path(data).read_bytes()).hexdigest(), len(rows),
        dict(left_out), untouched, folds, errors_of(before, measured), errors_of(fitted, measured),
        errors_of(held_out, measured),
    )  # fmt: skip


def constant_text(value: float, unit: str) -> str:
    """A constant as a design file writes it."""
    if unit == "s":
        unit, value = ("ns", value * 1e9) if value < 1e-6 else ("us", value * 1e6)
    number = f"{value:.{DIGITS}g}"
    return f"{number} {unit}" if unit else number
