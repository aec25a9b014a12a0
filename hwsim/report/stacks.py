"""Stacked columns over the operators in the order of issue: what their time went to, and their energy.

Positions are percentages of the plot, so that a figure stretches with the page while its text does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hwsim.report.ticks import Tick, linear_ticks

SERIES = 7  # told apart by colour and pattern; what is less than the seventh is drawn as one
MAX_COLUMNS = 160  # more operators than this share columns with their neighbours
GAP = 0.12  # of a column's width
REST = "other"


@dataclass(frozen=True)
class Series:
    """One colour of a figure. `mark` numbers its colour and pattern; `share` is of the whole."""

    name: str
    mark: int
    share: float


@dataclass(frozen=True)
class Segment:
    """A piece of a column, in percent of the plot."""

    x: float
    y: float
    width: float
    height: float
    mark: int
    title: str


@dataclass(frozen=True)
class Stacks:
    """A figure of stacked columns."""

    series: tuple[Series, ...]
    segments: tuple[Segment, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    per_column: int  # operators in one column


def stack(
    names: Sequence[str],
    parts: Sequence[Mapping[str, float]],
    write: Callable[[float], str],
    *,
    first: str = "",
) -> Stacks:
    """Columns for operators `names`, each the sum of its `parts` by series. `first` is the series at the
    bottom; the others follow by their total."""
    totals: dict[str, float] = {first: 0.0} if first else {}
    for part in parts:
        for name, value in part.items():
            totals[name] = totals.get(name, 0.0) + value
    order = sorted((n for n in totals if totals[n] > 0), key=lambda n: (n != first, -totals[n], n))
    kept = order if len(order) <= SERIES + 1 else order[:SERIES]
    whole = sum(totals.values()) or 1.0
    series = [Series(name, mark, totals[name] / whole) for mark, name in enumerate(kept)]
    if len(kept) < len(order):
        rest = sum(totals[name] for name in order[SERIES:])
        series.append(Series(f"{REST} ({len(order) - SERIES})", SERIES, rest / whole))
    per_column = -(-len(parts) // MAX_COLUMNS)
    groups = [range(i, min(i + per_column, len(parts))) for i in range(0, len(parts), per_column)]
    columns = [_column(parts, group, kept, len(order) > len(kept)) for group in groups]
    top = max((sum(column) for column in columns), default=0.0)
    ticks = linear_ticks(top)
    ceiling = max(ticks[-1], top) or 1.0
    segments = []
    for index, (group, column) in enumerate(zip(groups, columns, strict=True)):
        label = _label(names, group)
        segments += _pieces(
            index, len(groups), column, series, ceiling, f"{label}, {write(sum(column))} in all", write
        )
    return Stacks(
        tuple(series),
        tuple(segments),
        tuple(Tick(100 - 100 * value / ceiling, write(value)) for value in ticks),
        tuple(_order_ticks(len(parts), per_column, len(groups))),
        per_column,
    )


def _column(
    parts: Sequence[Mapping[str, float]], group: range, kept: Sequence[str], rest: bool
) -> list[float]:
    """The values of one column by series, the rest last."""
    column = [sum(parts[i].get(name, 0.0) for i in group) for name in kept]
    if rest:
        shown = set(kept)
        column.append(sum(value for i in group for name, value in parts[i].items() if name not in shown))
    return column


def _pieces(
    index: int,
    columns: int,
    values: Sequence[float],
    series: Sequence[Series],
    ceiling: float,
    label: str,
    write: Callable[[float], str],
) -> list[Segment]:
    width = 100 / columns
    pieces = []
    base = 100.0
    for value, said in zip(values, series, strict=True):
        height = 100 * value / ceiling
        base -= height
        if height >= 0.05:
            title = f"{label}\n{said.name}: {write(value)}"
            pieces.append(
                Segment((index + GAP / 2) * width, base, (1 - GAP) * width, height, said.mark, title)
            )
    return pieces


def _label(names: Sequence[str], group: range) -> str:
    first, last = group[0], group[-1]
    return f"{first + 1} {names[first]}" if first == last else f"{first + 1} to {last + 1}"


def _order_ticks(operators: int, per_column: int, columns: int) -> list[Tick]:
    """Numbers of operators under their columns: the first, and every fifth, tenth ... of about eight."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**3, 10**4, 10**9) if operators <= 8 * s)
    numbers = [1, *range(step, operators + 1, step)] if step > 1 else list(range(1, operators + 1))
    return [Tick(100 * ((number - 1) // per_column + 0.5) / columns, f"{number:,}") for number in numbers]
