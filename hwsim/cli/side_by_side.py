"""A comparison on the terminal: one table in sections, one a workload, and what must be known to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from hwsim.cli.output import counted, printable, shortened
from hwsim.cli.summary import hanging, near, percent, span
from hwsim.units import format_si

if TYPE_CHECKING:
    from hwsim.result.comparison import ComparedDesign, ComparedWorkload, Comparison, ComparisonRow

GAP = 2
NAME_WIDTH = 24  # of designs
LIMIT_WIDTH = 16
NOTHING = "-"
FOLDER_HINT = "report.html draws it; comparison.csv has every digit"
LEGEND = (
    "Energy is for one inference. Faster: how many times the inferences per second of the network's first "
    "row; less: how many times less energy for one. Power and mm2 (area) are those of what is modelled. "
    "Real time: what the simulated one stands for, if it errs like 8 in 10 measured operators of this kind; "
    "unknown where none was measured."
)


@dataclass(frozen=True)
class Column:
    """What stands above a column, its cells, and what gives way first where there is no room: the highest
    `rank`."""

    heading: str
    rank: int
    cell: Callable[[Comparison, ComparisonRow], str]
    right: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """A line of `width` columns; dashes where the output's encoding has no lines."""

    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        yield Text(("-" if options.ascii_only else "\u2500") * self.width, style="dim")


def side_by_side(found: Comparison, width: int) -> Iterator[RenderableType]:
    """The parts of the comparison for a terminal of `width` columns."""
    yield _title(found)
    yield ""
    shown, left_out = _fitting(found, width)
    yield from _tables(found, shown, width)
    yield Text(LEGEND, style="dim")
    if left_out:
        yield Text(f"Without room here: {', '.join(column.heading for column in left_out)}.", style="dim")
    yield ""
    yield from _remarks(found)
    if found.folder is not None:
        yield ""
        yield Text(f"Comparison in {printable(near(found.folder))}", style="bold")
        yield Text(FOLDER_HINT, style="dim")


def _title(found: Comparison) -> Text:
    title = Text(counted(len(found.workloads), "workload"), style="bold")
    title.append(" on ", style="not bold")
    title.append(counted(len(found.designs), "design"))
    ran = sum(row.figures is not None for row in found.rows)
    if ran < len(found.rows):
        title.append(f", {ran} of {counted(len(found.rows), 'pair')} ran", style="not bold yellow")
    return title


# -- the table -------------------------------------------------------------------------------------------


def _number(value: float | None, unit: str = "") -> str:
    return NOTHING if value is None else format_si(value, unit).strip()


def _multiple(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.0f}x" if value >= 1000 else f"{value:.3g}x"


def _real(row: ComparisonRow) -> str:
    """The real times that the simulated one stands for."""
    found = row.figures
    if found is None:
        return NOTHING
    return "unknown" if found.low_s is None or found.high_s is None else span(found.low_s, found.high_s)


COLUMNS = (
    Column("design", 0, lambda _, row: shortened(printable(row.design), NAME_WIDTH), right=False),
    Column("kind", 12, lambda _, row: row.kind, right=False),
    Column("dtype", 8, lambda _, row: row.figures.dtype if row.figures else NOTHING, right=False),
    Column("time", 1, lambda _, row: _number(row.figures.latency_s if row.figures else None, "s")),
    Column("real time", 6, lambda _, row: _real(row)),
    Column("faster", 3, lambda all_, row: _multiple(all_.speedup(row))),
    Column("per s", 9, lambda _, row: _number(row.throughput_per_s)),
    Column("energy", 2, lambda _, row: _number(row.energy_per_inference_j, "J")),
    Column("less", 10, lambda all_, row: _multiple(all_.energy_gain(row))),
    Column("power", 4, lambda _, row: _number(row.average_power_w, "W")),
    Column("mm2", 7, lambda _, row: f"{row.figures.area_mm2:.3g}" if row.figures else NOTHING),
    Column("executed", 11, lambda _, row: _executed(row)),
    Column("limited by", 5, lambda _, row: _limit(row), right=False),
    Column("verified", 13, lambda _, row: _verified(row), right=False),
)


def _executed(row: ComparisonRow) -> str:
    """Multiplications over MACs."""
    return NOTHING if row.executed_share is None else percent(row.executed_share)


def _limit(row: ComparisonRow) -> str:
    return shortened(printable(row.figures.limit or NOTHING), LIMIT_WIDTH) if row.figures else row.outcome


def _verified(row: ComparisonRow) -> str:
    return NOTHING if row.figures is None else "yes" if row.figures.numbers_checked else "no"


def _width(found: Comparison, column: Column) -> int:
    return max(len(column.heading), *(len(column.cell(found, row)) for row in found.rows))


def _fitting(found: Comparison, width: int) -> tuple[list[Column], list[Column]]:
    """The columns for which there is room, by what matters most, and the others."""
    room = width + GAP
    chosen = []
    for column in sorted(COLUMNS, key=lambda column: column.rank):
        needs = _width(found, column) + GAP
        if needs <= room:
            room -= needs
            chosen.append(column)
    return (
        [column for column in COLUMNS if column in chosen],
        [column for column in COLUMNS if column not in chosen],
    )


def _tables(found: Comparison, columns: Sequence[Column], width: int) -> Iterator[RenderableType]:
    """A table a workload, of the same columns, so that they stand as one."""
    widths = [_width(found, column) for column in columns]
    headings = [Text(column.heading, style="dim") for column in columns]
    yield _grid(columns, widths, [(headings, "")])
    yield Line(min(width, sum(widths) + GAP * (len(widths) - 1)))
    for workload in found.workloads:
        yield Text(printable(_form(workload)), style="bold")
        rows = _rows_of(found, workload)
        cells = [[column.cell(found, row) for column in columns] for row in rows]
        yield _grid(columns, widths, zip(cells, ("" if row.figures else "dim" for row in rows), strict=True))
        yield ""


def _grid(
    columns: Sequence[Column],
    widths: Sequence[int],
    rows: Iterable[tuple[Sequence[RenderableType], str]],
) -> Table:
    table = Table.grid(padding=(0, GAP, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        table.add_column(justify="right" if column.right else "left", no_wrap=True, min_width=width)
    for cells, style in rows:
        table.add_row(*cells, style=style)
    return table


def _rows_of(found: Comparison, workload: ComparedWorkload) -> list[ComparisonRow]:
    key = (workload.workload, workload.form, workload.batch)
    return [row for row in found.rows if (row.workload, row.form, row.batch) == key]


def _form(workload: ComparedWorkload) -> str:
    synthetic = ", synthetic" if workload.synthetic else ""
    return f"{workload.workload}, batch {workload.batch}, {workload.form}{synthetic}"


# -- remarks ---------------------------------------------------------------------------------------------


def _remarks(found: Comparison) -> Iterator[RenderableType]:
    """What a reader must know before using the numbers."""
    if found.lowering:
        yield hanging("Lowered", f"{', '.join(found.lowering)}, where a network has layers for it")
    for reason, pairs in _gathered((row, row.reason) for row in found.rows if row.figures is None):
        yield hanging("Did not run", f"{_list(pairs)}: {reason}")
    for word, pairs in _gathered(
        (row, row.figures.verified) for row in found.rows if row.figures and not row.figures.numbers_checked
    ):
        yield hanging("Not verified", f"{_list(pairs)}: {word.removeprefix('not computed: ')}")
    for word, pairs in _gathered((row, row.figures.error) for row in found.rows if row.figures):
        yield hanging("Time error", f"{_list(pairs)}: {word}")
    published = [words for one in found.designs if (words := _published(one))]
    if published:
        yield hanging("Published", "; ".join(published))


def _gathered(reasons: Iterator[tuple[ComparisonRow, str]]) -> Iterator[tuple[str, list[ComparisonRow]]]:
    """Rows by reason, in the order of first appearance."""
    found: dict[str, list[ComparisonRow]] = {}
    for row, reason in reasons:
        found.setdefault(reason, []).append(row)
    yield from found.items()


def _list(rows: Sequence[ComparisonRow]) -> str:
    designs = ", ".join(dict.fromkeys(row.design for row in rows))
    return f"{designs} ({counted(len(rows), 'run')})" if len(rows) > 1 else designs


def _published(design: ComparedDesign) -> str:
    """Figures of the real part, beside which the modelled ones are to be seen."""
    words = {
        "idle_power_w": "W idle",
        "busy_power_w": "W busy",
        "tdp_w": "W thermal design",
        "die_area_mm2": "mm2 die",
    }
    found = [f"{design.published[key]:g} {word}" for key, word in words.items() if key in design.published]
    return f"{design.design} {', '.join(found)}" if found else ""
