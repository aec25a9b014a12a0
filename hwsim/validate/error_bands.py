"""The error bands that ship with hwsim, from the rows that validation has just predicted.

A band belongs to one design, class of operator and number format. Rows that were measured on the design make
it; where there are none, those of all other designs of its kind, each design weighing the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.design import Design, load_design
from hwsim.design.load import HOST
from hwsim.design.timing import timing_key
from hwsim.devices import make_device
from hwsim.library import names
from hwsim.result.bands import PAPER, RELATIVES, SILICON, ErrorBand, Key
from hwsim.result.shipped_bands import COLUMNS
from hwsim.validate.eie_paper import DESIGN as EIE
from hwsim.validate.eie_paper import EiePaper, error_pct
from hwsim.validate.score import ValidationReport
from hwsim.validate.silicon import contradicts_itself
from hwsim.validate.tables import Cells, csv_text, markdown, rounded
from hwsim.workload import matmul

FEWEST_ROWS = 5  # fewer say nothing of how errors spread
EIE_SOURCE = "Table IV of the EIE paper"
HEADINGS = ("design", "dtype", "class", "rows", "MdAPE %", "p10 %", "p90 %", "measured on")

Errors = Mapping[str, Mapping[Key, Sequence[float]]]  # in percent, by design


@dataclass(frozen=True)
class DesignBand:
    """A band and the design that it is of."""

    design: str
    known_as: str
    key: Key
    band: ErrorBand

    @property
    def cells(self) -> Cells:
        """A row of the table that ships."""
        operator, dtype = self.key
        b = self.band
        return (
            self.design, self.known_as, dtype, operator, b.rows, *(f"{v:.4g}" for v in _figures(b)), b.basis,
            b.measured_on,
        )  # fmt: skip


def error_bands(report: ValidationReport, eie: EiePaper) -> tuple[DesignBand, ...]:
    """All bands, by design, number format and class."""
    loaded = {name: load_design(name) for name in names("designs")}
    designs = {name: design for name, design in loaded.items() if len(design.devices) == 1}
    known = {name: timing_key(design.device_spec) for name, design in designs.items()}
    designs[HOST], known[HOST] = load_design(HOST), HOST
    errors = _errors(report)
    found = [
        DesignBand(name, known[name], key, band)
        for name, design in designs.items()
        for key, band in _of_design(name, design, designs, errors)
    ]
    published = _of_paper(eie)
    found += [DesignBand(EIE, known[EIE], *published)] if published is not None else []
    return tuple(sorted(found, key=lambda f: (f.design, f.key[1], f.key[0])))


def bands_csv(bands: Sequence[DesignBand]) -> str:
    """The table that ships with hwsim."""
    return csv_text(COLUMNS, (found.cells for found in bands))


def bands_markdown(bands: Sequence[DesignBand]) -> str:
    """The same for people; what rests on other designs is marked."""
    rows = []
    for found in bands:
        operator, dtype = found.key
        where = {SILICON: "itself", RELATIVES: f"relatives: {found.band.measured_on}"}
        rows.append(
            rounded(
                (found.design, dtype, operator, found.band.rows, *_figures(found.band),
                 where.get(found.band.basis, found.band.measured_on)), 1,
            )
        )  # fmt: skip
    return markdown(HEADINGS, rows)


def spread(groups: Sequence[Sequence[float]], basis: str, measured_on: str) -> ErrorBand:
    """The band of errors in percent, a group of rows a design, each group weighing the same.

    Of n rows in one group the percentiles are those of rank p (n + 1), linear between ranks (Hyndman and
    Fan, American Statistician 50, 1996, definition 6), since a further row of the same kind falls below the
    k-th of n with probability k / (n + 1). Beyond the first and last rank they stay there.
    """
    errors = np.concatenate([np.asarray(group, dtype=np.float64) for group in groups])
    weights = np.concatenate([np.full(len(group), 1 / len(group)) for group in groups if len(group)])
    p10, p90 = _percentiles(errors, weights, 0.1, 0.9)
    (median,) = _percentiles(np.abs(errors), weights, 0.5)
    return ErrorBand(len(errors), median, p10, p90, basis, measured_on)


def _percentiles(values: Float64Array, weights: Float64Array, *shares: float) -> list[float]:
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum() * len(values) / (len(values) + 1)
    return [float(np.interp(share, below, values[order])) for share in shares]


def _figures(band: ErrorBand) -> tuple[float, float, float]:
    return band.mdape_pct, band.p10_pct, band.p90_pct


def _errors(report: ValidationReport) -> Errors:
    """Errors of measured times on designs as they ship. Cycles of another simulator are no times, rows with
    overrides are of another machine, and rows that contradict themselves bound nothing."""
    found: dict[str, dict[Key, list[float]]] = {}
    for outcome in report.outcomes:
        row, error = outcome.row, outcome.error_pct
        if error is None or row.metric != "latency_us" or row.overrides or contradicts_itself(row):
            continue
        found.setdefault(row.design, {}).setdefault((outcome.operator, row.dtype), []).append(error)
    return found


def _of_design(
    name: str, design: Design, designs: Mapping[str, Design], errors: Errors
) -> Iterator[tuple[Key, ErrorBand]]:
    """Its own bands, and those of its kind where it has no rows of its own."""
    kind = design.device_spec.kind
    kin = [n for n in errors if n in designs and designs[n].device_spec.kind == kind]
    for key in sorted({key for n in kin for key in errors[n]}):
        own = errors.get(name, {}).get(key, ())
        pooled = sorted(n for n in kin if key in errors[n])
        groups, basis = ([own], SILICON) if own else ([errors[n][key] for n in pooled], RELATIVES)
        if sum(map(len, groups)) >= FEWEST_ROWS and (own or _multiplies(design, key[1])):
            yield key, spread(groups, basis, name if own else ", ".join(pooled))


def _multiplies(design: Design, dtype: str) -> bool:
    """Whether a design can run products in a number format."""
    graph = matmul(1, 1, 1).astype(dtype)
    device = make_device(design.device_spec)
    return not any(
        device.supports(op, [graph.tensors[name].dtype for name in op.inputs]) for op in graph.operators
    )


def _of_paper(eie: EiePaper) -> tuple[Key, ErrorBand] | None:
    """EIE's own paper gives times of some of its layers, from the authors' simulator."""
    errors = [error_pct(comparison) for comparison in eie.actual]
    if len(errors) < FEWEST_ROWS:
        return None
    result = next(iter(eie.results.values()))
    key = result.errors.classes[int(result.timing.elapsed_ps.argmax())]
    return key, spread([errors], PAPER, EIE_SOURCE)
