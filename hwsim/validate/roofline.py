"""The calibrated roofline: the simplest model that was fitted, which a simulator must beat to be worth its
cost. Time is launch + max(operations / reached rate, bytes / reached bandwidth), three constants for each
(design, dtype, op, harness), fitted on a random half of the rows and scored on the other.

The roofline is Williams et al., CACM 52, 2009. Operations are two a MAC, bytes those of all operands and the
result, each once. Peaks of the machine are no part of it: the fitted rates are peaks times what is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.validate.constructors import make_workload, operands_of, operator_sizes, refusal
from hwsim.validate.robust_fit import Errors, errors_of, fit, halves
from hwsim.validate.rows import MeasuredRow
from hwsim.workload import Workload

CONSTANTS = 3
LEAST_ROWS = 2 * CONSTANTS  # half of them must hold as many rows as there are constants


class Group(NamedTuple):
    """Rows that share their constants."""

    design: str
    dtype: str
    op: str
    harness: str


@dataclass(frozen=True, slots=True)
class CalibratedRoofline:
    """Fitted constants: seconds before any work, operations and bytes a second."""

    launch_s: float
    operations_per_s: float
    bytes_per_s: float

    def predict_us(self, operations: Float64Array, moved_bytes: Float64Array) -> Float64Array:
        """Microseconds of operators by their operations and bytes."""
        work_s = np.maximum(operations / self.operations_per_s, moved_bytes / self.bytes_per_s)
        return (self.launch_s + work_s) * 1e6


@dataclass(frozen=True, eq=False)
class RooflineScore:
    """A group's constants from one half of its rows, and its predictions of the other half."""

    group: Group
    constants: CalibratedRoofline
    fitted_rows: tuple[MeasuredRow, ...]
    scored_rows: tuple[MeasuredRow, ...]
    predicted_us: Float64Array  # of the scored rows

    @property
    def errors(self) -> Errors:
        """On the scored rows."""
        return errors_of(self.predicted_us, _measured_us(self.scored_rows))


def group_of(row: MeasuredRow) -> Group:
    """Which constants a row shares."""
    return Group(row.design, row.dtype, row.op, row.cells.get("harness", ""))


def calibrated_rooflines(rows: Sequence[MeasuredRow], seed: int = 0) -> tuple[RooflineScore, ...]:
    """One score a group with enough rows, in order of first appearance. Only rows of measured latency whose
    operator hwsim can construct take part; groups of fewer than six rows cannot be halved and fitted."""
    groups: dict[Group, list[MeasuredRow]] = {}
    for row in rows:
        if row.metric == "latency_us" and not refusal(row):
            groups.setdefault(group_of(row), []).append(row)
    return tuple(_score(group, found, seed) for group, found in groups.items() if len(found) >= LEAST_ROWS)


def measured_workload(row: MeasuredRow) -> Workload:
    """The workload that a row measured, in its number format."""
    return make_workload(row.op, operator_sizes(row), operands_of(row)).astype(row.dtype)


def roofline_terms(row: MeasuredRow) -> tuple[int, int]:
    """Operations and bytes of a row's operator."""
    graph = measured_workload(row)
    return 2 * graph.macs, sum(tensor.size_bytes for tensor in graph.tensors.values())


def fit_roofline(
    operations: Float64Array, moved_bytes: Float64Array, measured_us: Float64Array, rows: Int64Array
) -> CalibratedRoofline:
    """The constants with the least mean absolute log error on `rows`. The search begins at the fastest rates
    that any row shows, and at half the shortest time."""

    def predict(constants: Float64Array, some: Int64Array) -> Float64Array:
        return CalibratedRoofline(*constants).predict_us(operations[some], moved_bytes[some])

    seconds = measured_us[rows] / 1e6
    start = (
        float(seconds.min()) / 2,
        float((operations[rows] / seconds).max()),
        float((moved_bytes[rows] / seconds).max()),
    )
    return CalibratedRoofline(*fit(predict, start, measured_us, rows))


def _score(group: Group, rows: Sequence[MeasuredRow], seed: int) -> RooflineScore:
    terms = np.array([roofline_terms(row) for row in rows], dtype=np.float64)
    operations, moved_bytes = terms[:, 0], terms[:, 1]
    learnt, scored = halves(len(rows), seed)
    constants = fit_roofline(operations, moved_bytes, _measured_us(rows), learnt)
    return RooflineScore(
        group,
        constants,
        tuple(rows[i] for i in learnt),
        tuple(rows[i] for i in scored),
        constants.predict_us(operations[scored], moved_bytes[scored]),
    )


def _measured_us(rows: Sequence[MeasuredRow]) -> Float64Array:
    return np.array([row.measured for row in rows], dtype=np.float64)
