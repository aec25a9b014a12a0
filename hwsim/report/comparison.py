"""The page of a comparison: bars on logarithmic scales, one table, and what stands behind its figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwsim.report.comparison_reading import read_comparison
from hwsim.report.layers import Cell, Column
from hwsim.report.template import fill
from hwsim.report.ticks import Tick, decades
from hwsim.report.wording import area, percent, quantity, rate
from hwsim.result.comparison import ComparedDesign, ComparedWorkload, Comparison, ComparisonRow

MARKS = 8  # colours and patterns there are
LABELS = 3  # decades that are labelled, at most
NAMED = 3  # runs that a sentence names; more are counted
PUBLISHED = {
    "idle_power_w": "W idle",
    "busy_power_w": "W busy",
    "tdp_w": "W thermal design",
    "die_area_mm2": "mm\u00b2 die",
}


@dataclass(frozen=True)
class LogBar:
    """A line with a bar: its length in percent of the axis (None: no bar), and the amount in words."""

    name: str
    mark: int
    length: float | None
    amount: str
    title: str


@dataclass(frozen=True)
class LogBars:
    """Bars in groups over one axis of powers of ten."""

    heading: str
    remark: str
    groups: tuple[tuple[str, tuple[LogBar, ...]], ...]
    ticks: tuple[Tick, ...]
    lines: tuple[float, ...]  # one a decade, in percent


@dataclass(frozen=True)
class Card:
    """One finding on the first screen."""

    heading: str
    figure: str
    remark: str


@dataclass(frozen=True)
class RowsShown:
    """The table of all rows."""

    columns: tuple[Column[ComparisonRow], ...]
    rows: tuple[tuple[Cell, ...], ...]


def draw_comparison(folder: str | Path) -> bytes:
    """The page as UTF-8. The same files give the same bytes. Raises SpecError when the folder does not hold
    one whole comparison."""
    found = read_comparison(Path(folder))
    return fill(
        "comparison.html.j2",
        found.version,
        found=found,
        title=_title(found),
        cards=_cards(found),
        charts=_charts(found),
        table=_table(found),
        networks=list(dict.fromkeys(one.workload for one in found.workloads)),
        failures=_gathered(found, lambda row: row.reason if row.figures is None else None),
        checks=_gathered(found, lambda row: row.figures.verified if row.figures else None),
        errors=_gathered(found, lambda row: row.figures.error if row.figures else None),
        unmodelled=_unmodelled(found.designs),
        published=_published,
        form=_form,
    )


def _title(found: Comparison) -> tuple[str, str]:
    names = list(dict.fromkeys(one.workload for one in found.workloads))
    designs = [one.design for one in found.designs]
    return (
        ", ".join(names) if len(names) <= 3 else f"{len(names)} networks",
        ", ".join(designs) if len(designs) <= 4 else f"{len(designs)} designs",
    )


def _form(workload: ComparedWorkload) -> str:
    return f"{workload.workload}, batch {workload.batch}, {workload.form}"


def _pair(row: ComparisonRow) -> tuple[str, str, int]:
    return row.workload, row.form, row.batch


# -- the first screen ------------------------------------------------------------------------------------


def _cards(found: Comparison) -> list[Card]:
    """For each network, what is fastest and what takes least energy, per inference."""
    cards = []
    for name in dict.fromkeys(row.workload for row in found.rows):
        rows = [row for row in found.rows if row.workload == name]
        timed = [row for row in rows if row.throughput_per_s]
        if timed:
            best = max(timed, key=lambda row: row.throughput_per_s or 0.0)
            amount = rate(best.throughput_per_s or 0.0)
            cards.append(_card(found, f"{name}: fastest", best, amount, found.speedup(best), "as fast as"))
        fed = [row for row in rows if row.energy_per_inference_j]
        if fed:
            best = min(fed, key=lambda row: row.energy_per_inference_j or math.inf)
            amount = f"{quantity(best.energy_per_inference_j or 0.0, 'J')} each"
            gain = found.energy_gain(best)
            cards.append(_card(found, f"{name}: least energy", best, amount, gain, "less than"))
    return cards


def _card(
    found: Comparison, heading: str, row: ComparisonRow, amount: str, ratio: float | None, words: str
) -> Card:
    base = found.baselines[row.workload]
    versus = ""
    if row is not base and ratio is not None:
        versus = f"; {multiple(ratio)} {words} {base.design}"
        if base.form != row.form or base.batch != row.batch:
            versus += f" ({base.form}, batch {base.batch})"
    return Card(heading, row.design, f"{amount}, {row.form}, batch {row.batch}{versus}")


def multiple(ratio: float) -> str:
    """'12.3 times', '1,230 times'."""
    return f"{ratio:,.0f} times" if ratio >= 1000 else f"{ratio:.3g} times"


# -- bars ------------------------------------------------------------------------------------------------


def _charts(found: Comparison) -> list[LogBars]:
    def time_s(row: ComparisonRow) -> float | None:
        return None if row.throughput_per_s is None else 1 / row.throughput_per_s

    charts = (
        ("Time", "for one inference: that of the batch over its size", time_s, "s"),
        ("Energy", "for one inference", lambda row: row.energy_per_inference_j, "J"),
        ("Power", "average over the run, of what is modelled", lambda row: row.average_power_w, "W"),
    )
    drawn = [_chart(found, heading, remark, figure, unit) for heading, remark, figure, unit in charts]
    return [chart for chart in (*drawn, _areas(found)) if chart is not None]


def _chart(
    found: Comparison,
    heading: str,
    remark: str,
    figure: Callable[[ComparisonRow], float | None],
    unit: str,
) -> LogBars | None:
    groups = [
        (
            _form(workload),
            [
                (row.design, figure(row), row.outcome)
                for row in found.rows
                if _pair(row) == (workload.workload, workload.form, workload.batch)
            ],
        )
        for workload in found.workloads
    ]
    return _log_bars(found, heading, remark, groups, lambda value: quantity(value, unit))


def _areas(found: Comparison) -> LogBars | None:
    """Area is a design's, whatever runs on it."""
    first = {row.design: row.figures for row in reversed(found.rows) if row.figures is not None}
    entries: list[tuple[str, float | None, str]] = []
    for design in found.designs:
        figures = first.get(design.design)
        entries.append((design.design, figures.area_mm2 if figures else None, "nothing ran"))
    return _log_bars(found, "Area", "of what is modelled, not of the die", [("", entries)], area)


def _log_bars(
    found: Comparison,
    heading: str,
    remark: str,
    groups: Sequence[tuple[str, Sequence[tuple[str, float | None, str]]]],
    write: Callable[[float], str],
) -> LogBars | None:
    """Bars of (design, value, what to say where there is none); None where no value is above zero."""
    values = [value for _, entries in groups for _, value, _ in entries if value]
    if not values:
        return None
    # A bar needs a length: the axis begins a little below the smallest value.
    first, last = decades(min(values) / 1.5, max(values))
    marks = {design.design: index % MARKS for index, design in enumerate(found.designs)}

    def bar(design: str, value: float | None, instead: str, group: str) -> LogBar:
        if value is None:
            return LogBar(design, marks[design], None, instead, f"{design}: {instead}")
        length = 100 * (math.log10(value) - first) / (last - first) if value else 0.0
        return LogBar(
            design, marks[design], length, write(value), f"{group or heading}\n{design}: {write(value)}"
        )

    every = max(1, math.ceil((last - first) / LABELS))
    return LogBars(
        heading,
        remark,
        tuple((name, tuple(bar(*entry, name) for entry in entries)) for name, entries in groups),
        tuple(
            Tick(100 * (power - first) / (last - first), write(10.0**power))
            for power in range(first, last + 1, every)
        ),
        tuple(100 * (power - first) / (last - first) for power in range(first + 1, last)),
    )


# -- the table -------------------------------------------------------------------------------------------


def _columns(found: Comparison) -> tuple[Column[ComparisonRow], ...]:
    numbers = {row: number for number, row in enumerate(found.rows, 1)}
    plain = Column[ComparisonRow]
    return (
        plain("#", "number", True, lambda row: _text(str(numbers[row]))),
        plain("network", "workload", False, lambda row: _text(row.workload)),
        plain("weights", "form", False, lambda row: _text(row.form)),
        plain("batch", "batch", True, lambda row: _text(str(row.batch))),
        plain("design", "design", False, lambda row: _text(row.design)),
        plain("kind", "kind", False, lambda row: _text(row.kind)),
        plain("format", "dtype", False, lambda row: _text(row.figures.dtype if row.figures else "")),
        plain(
            "time", "latency_s", True, lambda row: _real(row.figures.latency_s if row.figures else None, "s")
        ),
        plain("real time", "high_s", True, _real_time),
        plain("faster", "speedup", True, lambda row: _ratio(found.speedup(row))),
        plain("inferences", "throughput_per_s", True, lambda row: _written(row.throughput_per_s, rate)),
        plain(
            "energy each", "energy_per_inference_j", True, lambda row: _real(row.energy_per_inference_j, "J")
        ),
        plain("less", "energy_gain", True, lambda row: _ratio(found.energy_gain(row))),
        plain("power", "average_power_w", True, lambda row: _real(row.average_power_w, "W")),
        plain(
            "area",
            "area_mm2",
            True,
            lambda row: _written(row.figures.area_mm2 if row.figures else None, area),
        ),
        plain("limited by", "limit", False, lambda row: _limit(row)),
        plain("multiplied", "executed_share", True, lambda row: _written(row.executed_share, percent)),
        plain("numbers", "numbers_checked", False, _numbers),
        plain("error of time", "error", False, lambda row: _text(row.figures.error if row.figures else "")),
        plain("outcome", "outcome", False, lambda row: _text(row.outcome)),
    )


def _table(found: Comparison) -> RowsShown:
    columns = _columns(found)
    return RowsShown(columns, tuple(tuple(column.cell(row) for column in columns) for row in found.rows))


def _text(text: str) -> Cell:
    return Cell(text or "-", text)


def _written(value: float | None, write: Callable[[float], str]) -> Cell:
    return Cell("-", "") if value is None else Cell(write(value), repr(value))


def _real(value: float | None, unit: str) -> Cell:
    return _written(value, lambda found: quantity(found, unit))


def _ratio(value: float | None) -> Cell:
    return _written(value, lambda found: f"{found:,.0f}\u00d7" if found >= 1000 else f"{found:.3g}\u00d7")


def _limit(row: ComparisonRow) -> Cell:
    if row.figures is None or not row.figures.limit:
        return _text("")
    return Cell(f"{row.figures.limit}, {percent(row.figures.limit_busy)}", row.figures.limit)


def _real_time(row: ComparisonRow) -> Cell:
    """The real times that the simulated one stands for, sorted by the longest."""
    found = row.figures
    if found is None or found.low_s is None or found.high_s is None:
        return _text("")
    return Cell(f"{quantity(found.low_s, 's')} to {quantity(found.high_s, 's')}", repr(found.high_s))


def _numbers(row: ComparisonRow) -> Cell:
    if row.figures is None:
        return _text("")
    return Cell(
        "verified" if row.figures.numbers_checked else "not checked", str(row.figures.numbers_checked).lower()
    )


# -- what stands behind the figures ----------------------------------------------------------------------


def _gathered(found: Comparison, words: Callable[[ComparisonRow], str | None]) -> list[tuple[str, str]]:
    """(words, the runs that they hold for), in the order of first appearance; rows without words are left
    out."""
    said: dict[str, list[ComparisonRow]] = {}
    for row in found.rows:
        if (text := words(row)) is not None:
            said.setdefault(text, []).append(row)
    return [(text, _runs(found, rows)) for text, rows in said.items()]


def _runs(found: Comparison, rows: Sequence[ComparisonRow]) -> str:
    """'eie_64pe (lenet5, batch 1, dense)': designs, with what ran on them where that is not everything."""
    by_design: dict[str, list[str]] = {}
    for row in rows:
        by_design.setdefault(row.design, []).append(f"{row.workload}, batch {row.batch}, {row.form}")
    words = []
    for design, forms in by_design.items():
        named = (
            "; ".join(forms) if len(forms) <= NAMED else f"{len(forms)} of {len(found.workloads)} workloads"
        )
        words.append(design if len(forms) == len(found.workloads) else f"{design} ({named})")
    return "; ".join(words) if len(rows) < len(found.rows) else "all runs"


def _published(design: ComparedDesign) -> str:
    return ", ".join(f"{design.published[k]:g} {w}" for k, w in PUBLISHED.items() if k in design.published)


def _unmodelled(designs: Sequence[ComparedDesign]) -> list[tuple[str, tuple[str, ...]]]:
    """What all designs that ran leave out, then what each leaves out beside that."""
    ran = [design for design in designs if design.unmodelled]
    common = [line for line in (ran[0].unmodelled if ran else ()) if all(line in d.unmodelled for d in ran)]
    own = [(d.design, tuple(line for line in d.unmodelled if line not in common)) for d in ran]
    found = (
        [("all designs", tuple(common)), *own] if len(ran) > 1 else [(d.design, d.unmodelled) for d in ran]
    )
    return [(name, lines) for name, lines in found if lines]
