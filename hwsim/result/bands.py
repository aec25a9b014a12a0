"""Error bands: how far simulated times of a class of operators were from measured ones, and what that means
for the time of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hwsim.result.tables import Columns

# What a band rests on: operators measured on the design itself, on others of its kind because none was on
# itself, or times that a paper gives of it.
SILICON, RELATIVES, PAPER = "silicon", "relatives", "paper"
BASES = (SILICON, RELATIVES, PAPER)

# With so many rows or more, ranks of a tenth and nine tenths exist, between which a further row of the same
# kind falls 8 times in 10. With fewer the band is the range of them all.
ENOUGH_ROWS = 9
LEAST_SHARE = 0.5  # of the time that must be covered before anything is said of the whole
_WHOLE = 0.995  # covered time beyond that is all of it

NOT_VALIDATED = "not validated"
ALTERED = "design altered"
UNMEASURED = "no times of this design were measured"

Key = tuple[str, str]  # class of operator, number formats


@dataclass(frozen=True, slots=True)
class ErrorBand:
    """Errors of simulated times over `rows` measurements, in percent of the measured time: the median of
    their size, and their 10th and 90th percentile with sign (above zero where the simulation is too slow).
    `basis` is one of BASES; `measured_on` names designs, or the paper."""

    rows: int
    mdape_pct: float
    p10_pct: float
    p90_pct: float
    basis: str = SILICON
    measured_on: str = ""


@dataclass(frozen=True)
class ErrorTable:
    """The band of each operator of a run, None where none was measured of its class; empty where nothing is
    known of any. `reason` says why no operator of the design has one."""

    classes: tuple[Key, ...] = ()
    bands: tuple[ErrorBand | None, ...] = ()
    reason: str = UNMEASURED

    def columns(self, operators: int) -> Columns:
        """One row an operator: its class, and the band of that class, blank where there is none."""
        classes = self.classes or (("", ""),) * operators
        bands = self.bands or (None,) * operators
        columns: Columns = {"class": [" ".join(key).strip() for key in classes]}
        for name in ("rows", "mdape_pct", "p10_pct", "p90_pct", "basis", "measured_on"):
            columns[f"error_{name}"] = ["" if band is None else getattr(band, name) for band in bands]
        return columns


@dataclass(frozen=True)
class TimeBand:
    """Errors of the time of a whole run, in percent of the real time, as its operators' bands make them.
    `share` is the part of the time that they cover; what is not covered is taken to err alike. `bands` are
    the distinct ones.

    The real time of an operator lies between its simulated time over 1 + p90 and over 1 + p10, and those of
    all operators add up: as if all erred together, each as far as it does in its worst tenth. Errors of
    different operators partly cancel, which is not counted on.
    """

    p10_pct: float
    p90_pct: float
    share: float
    bands: tuple[ErrorBand, ...]

    def real_s(self, simulated_s: float) -> tuple[float, float]:
        """The shortest and the longest real time that a simulated one stands for."""
        return simulated_s / (1 + self.p90_pct / 100), simulated_s / (1 + self.p10_pct / 100)

    @property
    def rows(self) -> int:
        """Measurements behind it."""
        return sum(band.rows for band in self.bands)

    @property
    def measured_on(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(band.measured_on for band in self.bands))

    @property
    def bases(self) -> tuple[str, ...]:
        return tuple(basis for basis in BASES if any(band.basis == basis for band in self.bands))

    @property
    def remark(self) -> str:
        """On what condition the band holds, in a sentence's half."""
        enough = all(band.rows >= ENOUGH_ROWS for band in self.bands)
        behind = " and ".join(_behind(basis, self.bands) for basis in self.bases)
        extent = "" if self.whole else f"; covers {percent(self.share)} of the time"
        return f"if it errs like {'8 in 10 of ' if enough else ''}{behind}{extent}"

    @property
    def whole(self) -> bool:
        """Whether the bands cover all of the time, but for what does not show."""
        return self.share >= _WHOLE

    @property
    def words(self) -> str:
        """'-9 to +14 %', and what else it rests on than measurements of all of the work on the design."""
        words = f"{self.p10_pct:+.0f} to {self.p90_pct:+.0f} %"
        if RELATIVES in self.bases:
            words += ", partly by its relatives" if SILICON in self.bases else ", by its relatives"
        elif PAPER in self.bases:
            words += f", by {', '.join(self.measured_on)}"
        return words if self.whole else f"{words}, {percent(self.share)} of the time"


def _behind(basis: str, bands: Iterable[ErrorBand]) -> str:
    """'134 operators measured on it'."""
    mine = [band for band in bands if band.basis == basis]
    count = f"{sum(band.rows for band in mine):,}"
    names = ", ".join(dict.fromkeys(name for band in mine for name in band.measured_on.split(", ")))
    return {
        SILICON: f"{count} operators measured on it",
        RELATIVES: f"{count} operators measured on relatives of it ({names})",
        PAPER: f"{count} times in {names}",
    }[basis]


def percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def time_band(elapsed_ps: Sequence[int], bands: Sequence[ErrorBand | None]) -> TimeBand | None:
    """The band of a run whose operators take `elapsed_ps`; None where bands cover less than LEAST_SHARE of
    that."""
    spent: dict[ErrorBand, int] = {}
    for time_ps, band in zip(elapsed_ps, bands, strict=True):
        if band is not None and time_ps:
            spent[band] = spent.get(band, 0) + time_ps
    covered, whole = sum(spent.values()), sum(elapsed_ps)
    if not covered or covered < LEAST_SHARE * whole:
        return None
    shortest = sum(time / (1 + band.p90_pct / 100) for band, time in spent.items())
    longest = sum(time / (1 + band.p10_pct / 100) for band, time in spent.items())
    return TimeBand(
        100 * (covered / longest - 1), 100 * (covered / shortest - 1), covered / whole, tuple(spent)
    )


def uncovered(elapsed_ps: Sequence[int], bands: Sequence[ErrorBand | None]) -> str:
    """Why there is no band where some operators have one, or none does on a design that was measured."""
    whole = sum(elapsed_ps)
    covered = sum(time for time, band in zip(elapsed_ps, bands, strict=True) if band is not None)
    share = percent(covered / whole) if covered else "none"
    return f"{share} of the time is in operators of a class that was measured"
