"""How far predictions are from measurements: one outcome a row, one summary a group, and what did not run."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from hwsim.folders import write_text
from hwsim.validate.baselines import GroupKey, Half, scored_halves
from hwsim.validate.rows import MeasuredRow


@dataclass(frozen=True)
class Outcome:
    """One row and what hwsim says of it, in the metric's unit. Without a prediction, `reason` says why.
    `operator` is the class of the operator that the run's time went to."""

    row: MeasuredRow
    predicted: float | None = None
    roofline: float | None = None
    reason: str = ""
    operator: str = ""

    @property
    def error_pct(self) -> float | None:
        """(predicted - measured) / measured, in percent: positive where hwsim is too slow."""
        return None if self.predicted is None else _error_pct(self.predicted, self.row.measured)

    @property
    def roofline_error_pct(self) -> float | None:
        return None if self.roofline is None else _error_pct(self.roofline, self.row.measured)


@dataclass(frozen=True, slots=True)
class Summary:
    """Errors of the rows of one (design, op, dtype, metric), in percent of the measured value: median, mean
    and 90th percentile of their size (linear between ranks), and `bias_pct`, the mean with its sign.
    `roofline_mdape_pct` is the median for the peak roofline of the same rows.

    The calibrated roofline is fitted on a random half of the rows. `half_rows` are the others, and behind it
    stand its errors on them (`calibrated_...`) and hwsim's (`half_...`); None where rows are too few.
    """

    design: str
    op: str
    dtype: str
    metric: str
    rows: int
    mdape_pct: float
    mape_pct: float
    p90_pct: float
    bias_pct: float
    roofline_mdape_pct: float
    half_rows: int = 0
    half_mdape_pct: float | None = None
    half_mape_pct: float | None = None
    half_p90_pct: float | None = None
    calibrated_mdape_pct: float | None = None
    calibrated_mape_pct: float | None = None
    calibrated_p90_pct: float | None = None


@dataclass(frozen=True)
class ValidationReport:
    """Outcomes of all rows, in file order, and what follows from them. `unused_columns` were in a file and
    are not known to hwsim."""

    outcomes: tuple[Outcome, ...]
    unused_columns: tuple[str, ...] = ()

    @cached_property
    def summaries(self) -> tuple[Summary, ...]:
        """One a (design, op, dtype, metric) of which any row ran, in order of first appearance."""
        groups: dict[GroupKey, list[Outcome]] = {}
        for outcome in self.outcomes:
            if outcome.predicted is not None:
                row = outcome.row
                groups.setdefault((row.design, row.op, row.dtype, row.metric), []).append(outcome)
        return tuple(_summary(key, found, self.halves.get(key)) for key, found in groups.items())

    @cached_property
    def halves(self) -> Mapping[GroupKey, Half]:
        """Of each group, the rows that its calibrated roofline is scored on."""
        ran = [(o.row, o.predicted) for o in self.outcomes if o.predicted is not None]
        return scored_halves([row for row, _ in ran], [predicted for _, predicted in ran])

    @cached_property
    def reasons(self) -> dict[str, int]:
        """Why rows did not run -> how many, the most frequent first."""
        return dict(Counter(o.reason for o in self.outcomes if o.predicted is None).most_common())

    @property
    def rows_run(self) -> int:
        return len(self.outcomes) - self.rows_not_run

    @property
    def rows_not_run(self) -> int:
        return sum(self.reasons.values())

    @property
    def exact(self) -> int:
        """Rows whose prediction equals the measurement."""
        return sum(o.predicted == o.row.measured for o in self.outcomes)

    def as_json(self) -> list[dict[str, object]]:
        """What `hwsim validate --json` prints: the summaries as objects."""
        return [asdict(summary) for summary in self.summaries]

    def table(self) -> str:
        """The per-row table as CSV: what each file said, then predicted, error, roofline and reason."""
        columns = dict.fromkeys(name for o in self.outcomes for name in o.row.cells)
        written = ("predicted", "error_pct", "roofline", "roofline_error_pct", "reason")
        kept = [name for name in columns if name not in written and name not in ("file", "line", "value")]
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "line", *kept, "measured", *written])
        for o in self.outcomes:
            figures = (o.predicted, o.error_pct, o.roofline, o.roofline_error_pct)
            cells = [o.row.cells.get(name, "") for name in kept]
            measured = o.row.cells["value"]
            shown = ["" if figure is None else f"{figure:.10g}" for figure in figures]
            writer.writerow([o.row.file, o.row.line, *cells, measured, *shown, o.reason])
        return stream.getvalue()

    def write_table(self, path: str | Path) -> Path:
        """Write `table` to a file, whole or not at all. Raises OutputError."""
        return write_text(path, self.table())


def _error_pct(predicted: float, measured: float) -> float:
    return (predicted - measured) / measured * 100


def _summary(key: GroupKey, outcomes: Sequence[Outcome], half: Half | None) -> Summary:
    errors = _column(o.error_pct for o in outcomes)
    rooflines = np.abs(_column(o.roofline_error_pct for o in outcomes))
    sizes = np.abs(errors)
    found = Summary(
        *key,
        rows=len(outcomes),
        mdape_pct=float(np.median(sizes)),
        mape_pct=float(sizes.mean()),
        p90_pct=float(np.percentile(sizes, 90)),
        bias_pct=float(errors.mean()),
        roofline_mdape_pct=float(np.median(rooflines)),
    )
    if half is None:
        return found
    own, fitted = half.errors, half.roofline_errors
    return replace(
        found,
        half_rows=own.rows,
        half_mdape_pct=own.mdape_pct, half_mape_pct=own.mape_pct, half_p90_pct=own.p90_pct,
        calibrated_mdape_pct=fitted.mdape_pct, calibrated_mape_pct=fitted.mape_pct,
        calibrated_p90_pct=fitted.p90_pct,
    )  # fmt: skip


def _column(figures: Iterable[float | None]) -> np.ndarray:
    return np.array([figure for figure in figures if figure is not None], dtype=np.float64)
