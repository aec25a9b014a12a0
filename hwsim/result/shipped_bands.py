"""The error bands that ship with hwsim, and which of them a design has.

Validation finds the bands and writes them to a small table beside this file; where it has no row, nothing was
validated.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from hwsim.design import Design
from hwsim.design.timing import known_as
from hwsim.result.bands import ALTERED, UNMEASURED, ErrorBand, ErrorTable, Key

TABLE = "error_bands.csv"
COLUMNS = (
    "design", "known_as", "dtype", "operator", "rows", "mdape_pct", "p10_pct", "p90_pct", "basis",
    "measured_on",
)  # fmt: skip


@dataclass(frozen=True)
class Bands:
    """All bands, by what a design is known as, and the names that those designs have."""

    by_design: Mapping[str, Mapping[Key, ErrorBand]]
    designs: frozenset[str]


@cache
def error_bands() -> Bands:
    """The bands that ship with hwsim; none where no table does."""
    table = files("hwsim.result") / TABLE
    return read_bands(table.read_text(encoding="utf-8") if table.is_file() else "")


def read_bands(text: str) -> Bands:
    """The bands of a CSV table with COLUMNS."""
    rows = list(csv.DictReader(text.splitlines()))
    found: dict[str, dict[Key, ErrorBand]] = {}
    for row in rows:
        mdape_pct, p10_pct, p90_pct = (float(row[name]) for name in ("mdape_pct", "p10_pct", "p90_pct"))
        band = ErrorBand(int(row["rows"]), mdape_pct, p10_pct, p90_pct, row["basis"], row["measured_on"])
        found.setdefault(row["known_as"], {})[row["operator"], row["dtype"]] = band
    return Bands(MappingProxyType(found), frozenset(row["design"] for row in rows))


def error_table(design: Design, classes: tuple[Key, ...]) -> ErrorTable:
    """The bands of a run's operators on a design. One that has the name of a measured design and is altered
    in what decides times is not the one that was measured."""
    found = error_bands().by_design.get(known_as(design))
    if found is None:
        altered = design.name in error_bands().designs
        return ErrorTable(classes, (None,) * len(classes), ALTERED if altered else UNMEASURED)
    return ErrorTable(classes, tuple(map(found.get, classes)), "")
