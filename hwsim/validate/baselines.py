"""hwsim beside the calibrated roofline, on the rows that the roofline was not fitted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.validate.robust_fit import Errors, errors_of
from hwsim.validate.roofline import calibrated_rooflines
from hwsim.validate.rows import MeasuredRow

GroupKey = tuple[str, str, str, str]  # design, operator, number format, metric
DRAWS = 2000  # of a bootstrap: the share that it gives is right to about a hundredth


@dataclass(frozen=True, eq=False)
class Half:
    """Measured values of a group's rows that its roofline was scored on, and both predictions of them, in
    microseconds. Rows of several harnesses have rooflines of their own."""

    measured: Float64Array
    simulated: Float64Array
    calibrated: Float64Array

    @property
    def errors(self) -> Errors:
        """Of hwsim."""
        return errors_of(self.simulated, self.measured)

    @property
    def roofline_errors(self) -> Errors:
        """Of the calibrated roofline."""
        return errors_of(self.calibrated, self.measured)

    def joined(self, other: Half) -> Half:
        return Half(
            np.concatenate([self.measured, other.measured]),
            np.concatenate([self.simulated, other.simulated]),
            np.concatenate([self.calibrated, other.calibrated]),
        )


def scored_halves(rows: Sequence[MeasuredRow], simulated: Sequence[float]) -> Mapping[GroupKey, Half]:
    """The half of each group of rows of measured latency that its calibrated roofline is scored on. Groups
    with too few rows to be halved and fitted have none."""
    prediction = {id(row): value for row, value in zip(rows, simulated, strict=True)}
    found: dict[GroupKey, Half] = {}
    for score in calibrated_rooflines(rows):
        key = (score.group.design, score.group.op, score.group.dtype, "latency_us")
        half = Half(
            np.array([row.measured for row in score.scored_rows], dtype=np.float64),
            np.array([prediction[id(row)] for row in score.scored_rows], dtype=np.float64),
            score.predicted_us,
        )
        found[key] = found[key].joined(half) if key in found else half
    return found


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Shares of paired draws in which hwsim's error is the smaller one."""

    rows: int
    mape_share: float
    p90_share: float


def bootstrap(half: Half, seed: int = 0) -> Bootstrap:
    """Draw as many rows as there are, with replacement, again and again, and compare both predictions of the
    same rows (Efron, Annals of Statistics 7, 1979)."""
    draw = np.random.default_rng(seed)
    own = np.abs(half.simulated / half.measured - 1)
    other = np.abs(half.calibrated / half.measured - 1)
    picked = draw.integers(0, len(own), (DRAWS, len(own)))
    mape = own[picked].mean(axis=1) < other[picked].mean(axis=1)
    p90 = np.percentile(own[picked], 90, axis=1) < np.percentile(other[picked], 90, axis=1)
    return Bootstrap(len(own), float(mape.mean()), float(p90.mean()))
