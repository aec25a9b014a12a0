"""What a result folder says of the error of its times, and how the page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwsim.report.fields import CURE, CsvRow, fail
from hwsim.report.wording import percent, quantity
from hwsim.result.bands import BASES, PAPER, RELATIVES, ErrorBand

if TYPE_CHECKING:
    from hwsim.report.reading import Run

ERROR_COLUMNS = (
    "class", "error_rows", "error_mdape_pct", "error_p10_pct", "error_p90_pct", "error_basis",
    "error_measured_on",
)  # fmt: skip
LEAST_SHARE = 0.0005  # of the time; classes below are not listed


@dataclass(frozen=True)
class ClassShown:
    """A line of the table of classes. `band` is None where no operator of the class was measured."""

    work: str
    share: str
    band: ErrorBand | None
    spread: str
    measured_on: str


@dataclass(frozen=True)
class BandShown:
    """The band of the time as the first screen says it: the figure (empty: none), and what it rests on; then
    the classes of operators, most time first."""

    real: str
    remark: str
    classes: tuple[ClassShown, ...]


def read_band(row: CsvRow) -> ErrorBand | None:
    """The band of an operator of operators.csv; None where its cells are blank."""
    if not row.text("error_rows"):
        return None
    basis = row.text("error_basis")
    band = ErrorBand(
        row.whole("error_rows"), row.number("error_mdape_pct"), row.signed("error_p10_pct"),
        row.signed("error_p90_pct"), basis, row.text("error_measured_on"),
    )  # fmt: skip
    if basis not in BASES or not -100 < band.p10_pct <= band.p90_pct:
        fail(row.path, f"row {row.number_in_file}, error_p10_pct", f"is no error band; {CURE}")
    return band


def band_shown(run: Run) -> BandShown:
    """How far the real time may be from the simulated one, in words."""
    said, band = run.summary, run.time_band
    classes = tuple(_classes(run))
    if band is None:
        return BandShown("", said.not_validated, classes)
    low_s, high_s = band.real_s(said.latency_s)
    return BandShown(f"{quantity(low_s, 's')} to {quantity(high_s, 's')}", band.remark, classes)


def _classes(run: Run) -> list[ClassShown]:
    spent: dict[tuple[str, ErrorBand | None], int] = {}
    for row in run.operators:
        key = (row.work or row.kind, row.band)
        spent[key] = spent.get(key, 0) + row.elapsed_ps
    whole = sum(spent.values()) or 1
    order = sorted(spent.items(), key=lambda item: (-item[1], item[0][0]))
    return [
        ClassShown(work.replace("_", " "), percent(time / whole), band, _spread(band), _where(run, band))
        for (work, band), time in order
        if time / whole >= LEAST_SHARE
    ]


def _spread(band: ErrorBand | None) -> str:
    return f"{band.p10_pct:+.0f} to {band.p90_pct:+.0f}\u202f%" if band is not None else "not known"


def _where(run: Run, band: ErrorBand | None) -> str:
    if band is None:
        return "not measured"
    if band.basis == PAPER:
        return band.measured_on
    return f"relatives: {band.measured_on}" if band.basis == RELATIVES else run.summary.design
