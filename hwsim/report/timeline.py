"""The timeline of the stretch in which most parts of the machine work at once, from the trace."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from hwsim.report.reading import Row, Run, Span
from hwsim.report.ticks import Tick, linear_ticks
from hwsim.report.wording import percent, quantity, short
from hwsim.units import counted

EVENTS = 80  # about so many are shown
MAX_BARS = 600  # drawn in all; of a crowded stretch the longest
LEAST_NAMED = 7.0  # percent of the width from which a bar carries its name
LEAST_DRAWN = 0.02  # percent; thinner bars are widened to this


@dataclass(frozen=True)
class Bar:
    """One span, in percent of the stretch; `shade` alternates between operators."""

    x: float
    width: float
    shade: int
    name: str  # "" where there is no room
    title: str


@dataclass(frozen=True)
class Lane:
    """One row of the figure and its spans. `busy` is the share of the stretch that it works."""

    name: str
    bars: tuple[Bar, ...]
    busy: float


@dataclass(frozen=True)
class Timeline:
    """The figure: lanes over the stretch, and where the stretch lies in the run."""

    lanes: tuple[Lane, ...]
    idle: tuple[str, ...]  # rows without any work in the stretch
    ticks: tuple[Tick, ...]
    start_us: float
    end_us: float
    run_us: float
    left_out: int


def timeline(run: Run) -> Timeline | None:
    """The figure, or None where the trace has nothing to show."""
    rows = [row for row in run.timeline if row.spans]
    works = [row for row in rows[1:] if row.spans]
    run_us = max((span.end_us for row in rows for span in row.spans), default=0.0)
    if not works or run_us <= 0:
        return None
    events = sum(len(row.spans) for row in works)
    length_us = run_us * min(1.0, EVENTS / events)
    start_us = _busiest(works, length_us, run_us)
    end_us = start_us + length_us
    shades = {row.name: index % 2 for index, row in enumerate(run.operators)}
    inside = [_within(row.spans, start_us, end_us) for row in rows]
    lengths = sorted((span.length_us for spans in inside for span in spans), reverse=True)
    least_us = lengths[MAX_BARS - 1] if len(lengths) > MAX_BARS else 0.0
    lanes = []
    for row, spans in zip(rows, inside, strict=True):
        if not spans:
            continue
        bars = [_bar(span, shades, start_us, end_us) for span in spans if span.length_us >= least_us]
        busy_us = sum(min(span.end_us, end_us) - max(span.start_us, start_us) for span in spans)
        lanes.append(Lane(row.name, tuple(bars[:MAX_BARS]), min(1.0, busy_us / length_us)))
    idle = tuple(row.name for row, spans in zip(rows, inside, strict=True) if not spans)
    drawn = sum(len(lane.bars) for lane in lanes)
    ticks = [
        Tick(100 * value / length_us, quantity(value * 1e-6, "s"))
        for value in linear_ticks(length_us)
        if value <= length_us * (1 + 1e-9)
    ]
    return Timeline(tuple(lanes), idle, tuple(ticks), start_us, end_us, run_us, len(lengths) - drawn)


def _busiest(rows: Sequence[Row], length_us: float, run_us: float) -> float:
    """The start of the stretch of that length with most busy time over all rows; the earliest such. Only
    starts and ends of spans are tried: between them the sum changes evenly."""
    edges = {0.0, run_us - length_us}
    for row in rows:
        for span in row.spans:
            edges |= {span.start_us, span.end_us - length_us}
    candidates = sorted(min(max(edge, 0.0), run_us - length_us) for edge in edges)
    best = [0.0] * len(candidates)
    for row in rows:
        starts = [span.start_us for span in row.spans]
        lengths = [0.0, *accumulate(span.length_us for span in row.spans)]
        for index, start_us in enumerate(candidates):
            best[index] += _busy(row.spans, starts, lengths, start_us + length_us)
            best[index] -= _busy(row.spans, starts, lengths, start_us)
    chosen = max(range(len(candidates)), key=lambda i: (round(best[i] / length_us, 9), -i))
    return candidates[chosen]


def _busy(spans: Sequence[Span], starts: Sequence[float], lengths: Sequence[float], until_us: float) -> float:
    """Busy time of a row, whose spans do not overlap, from the beginning until a time."""
    begun = bisect_left(starts, until_us)
    if not begun:
        return 0.0
    return lengths[begun] - max(0.0, spans[begun - 1].end_us - until_us)


def _within(spans: Sequence[Span], start_us: float, end_us: float) -> list[Span]:
    last = bisect_right([span.start_us for span in spans], end_us)
    return [span for span in spans[:last] if span.end_us > start_us and span.start_us < end_us]


def _bar(span: Span, shades: dict[str, int], start_us: float, end_us: float) -> Bar:
    scale = 100 / (end_us - start_us)
    x = max(0.0, (span.start_us - start_us) * scale)
    width = max(min(100.0, (span.end_us - start_us) * scale) - x, LEAST_DRAWN)
    tiles = f", {counted(span.tiles, 'tile')}" if span.tiles > 1 else ""
    title = (
        f"{span.operator}{tiles}\n{quantity(span.length_us * 1e-6, 's')} "
        f"from {quantity(span.start_us * 1e-6, 's', 6)}"
    )
    return Bar(
        x, width, shades.get(span.operator, 0), short(span.operator) if width >= LEAST_NAMED else "", title
    )


def describe(figure: Timeline) -> str:
    """The figure in a sentence, for those who cannot see it."""
    busy = ", ".join(f"{lane.name} {percent(lane.busy)}" for lane in figure.lanes[1:])
    return (
        f"Timeline from {quantity(figure.start_us * 1e-6, 's', 4)} to "
        f"{quantity(figure.end_us * 1e-6, 's', 4)}. Busy in this stretch: {busy}."
    )
