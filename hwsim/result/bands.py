"""How far simulated times were from measured ones, by design, number format and kind of operator.

Validation finds the bands and writes them to a small table beside this file, which ships with the package;
where it has no row, nothing was validated.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from hwsim.result.result import Result

TABLE = "error_bands.csv"
COLUMNS = ("design", "dtype", "operator", "rows", "mdape_pct", "p10_pct", "p90_pct")
NOT_VALIDATED = "not validated"

_WHOLE = 0.995  # of the time; what is missing beyond that is said


@dataclass(frozen=True, slots=True)
class ErrorBand:
    """Errors of simulated times over `rows` measurements, in percent of the measured time: the median of
    their size, and their 10th and 90th percentile with sign (above zero where the simulation is too slow)."""

    rows: int
    mdape_pct: float
    p10_pct: float
    p90_pct: float


Bands = Mapping[tuple[str, str, str], ErrorBand]  # by (design, dtype, kind of operator)


@cache
def error_bands() -> Bands:
    """The bands that ship with hwsim; none where no table does."""
    table = files("hwsim.result") / TABLE
    return read_bands(table.read_text(encoding="utf-8")) if table.is_file() else MappingProxyType({})


def read_bands(text: str) -> Bands:
    """The bands of a CSV table with COLUMNS."""
    found = {
        (row["design"], row["dtype"], row["operator"]): ErrorBand(
            int(row["rows"]), float(row["mdape_pct"]), float(row["p10_pct"]), float(row["p90_pct"])
        )
        for row in csv.DictReader(text.splitlines())
    }
    return MappingProxyType(found)


def error_class(result: Result, bands: Bands) -> str:
    """How far a run's time is from measurements of its kind of work on its design, in words.

    Bands of several kinds are averaged by the time that operators of each take; operators that no band covers
    are left out, and how much of the time is covered is said where it is not all. A design that was altered
    by overrides is not the one that was validated.
    """
    timing = result.timing
    spent: dict[ErrorBand, int] = {}
    for kind, elapsed_ps in zip(timing.kinds, timing.elapsed_ps.tolist(), strict=True):
        band = bands.get((result.design, result.dtype, kind))
        if band is not None and elapsed_ps:
            spent[band] = spent.get(band, 0) + elapsed_ps
    covered = sum(spent.values())
    if not covered or result.provenance.overrides:
        return NOT_VALIDATED
    low = sum(band.p10_pct * time for band, time in spent.items()) / covered
    high = sum(band.p90_pct * time for band, time in spent.items()) / covered
    share = covered / timing.makespan_ps
    extent = "" if share >= _WHOLE else f", {share:.0%} of the time".replace("%", " %")
    return f"{low:+.0f} to {high:+.0f} %{extent}"
