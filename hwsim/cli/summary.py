"""The summary of a run on the terminal, as rich renderables from the top down. Computes nothing of its own
but shares and orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hwsim.cli.output import counted, printable, shortened
from hwsim.units import PS_PER_S, format_bytes, format_si

if TYPE_CHECKING:
    from hwsim.result import Result, TimingTable

UNCHECKED = "the numbers were not checked: "  # how a run's note begins that says why
HEAVIEST = 10  # layers listed
LEAST_SHARE = 0.0005  # shares below are gathered in one line
BAR_WIDTH = 12
LEAST_NAME, LONGEST_NAME = 15, 17  # columns for names of resources and parts; longer ones are shortened
GAP = 3  # between tables that stand side by side
LEAST_OPERATOR, LONGEST_OPERATOR = 24, 44  # columns for names of operators
BESIDE_NAMES = 56  # columns that the rest of a row takes
FOLDER_HINT = "report.html shows all of it; trace.json.gz opens in https://ui.perfetto.dev"


def summary(result: Result, width: int) -> Iterator[RenderableType]:
    """The parts of the summary for a terminal of `width` columns."""
    yield _title(result)
    yield _headline(result)
    yield ""
    parts = [
        _shares("Busy, by resource", result.busy_share, style="cyan"),
        _shares(
            f"Time of the {printable(result.focus)} stage", result.stalls, first="active", style="yellow"
        ),
        _shares("Energy by component", _energy(result), style="green"),
    ]
    if result.cycle_share:
        parts.append(_shares("Cycles of the PEs", result.cycle_share, style="magenta"))
    for row in _beside(parts, width):
        grid = Table.grid(padding=(0, GAP))
        grid.add_row(*row)
        yield grid
        yield ""
    yield _heaviest(result, min(max(LEAST_OPERATOR, width - BESIDE_NAMES), LONGEST_OPERATOR))
    yield ""
    yield from _remarks(result)
    yield _footer(result)


def _beside(parts: Sequence[_Part], width: int) -> Iterator[list[RenderableType]]:
    """As many parts in a row as find room there."""
    row: list[RenderableType] = []
    used = 0
    for part in parts:
        if row and used + GAP + part.width > width:
            yield row
            row, used = [], 0
        used += part.width + (GAP if row else 0)
        row.append(part.shown)
    yield row


def _title(result: Result) -> Text:
    title = Text()
    title.append(printable(result.workload), style="bold")
    title.append(" on ")
    title.append(printable(result.design), style="bold")
    title.append(f", batch {result.batch}, {printable(result.dtype)}")
    title.append(f"\n{printable(_sources(result))}", style="dim")
    if result.synthetic:
        title.append("\nsynthetic workload: no publication gives its shapes", style="magenta")
    return title


def _sources(result: Result) -> str:
    """Which files the names stood for, and what was changed in them."""
    said = result.provenance
    files = [near(Path(path)) for path in (said.workload_source, said.design_source) if path]
    changed = (*said.overrides, *said.lowering)
    changes = f", with {', '.join(changed)}" if changed else ""
    return f"from {' and '.join(files) or 'objects made in code'}{changes}"


def _headline(result: Result) -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim")
    rows.add_column(no_wrap=True, style="bold")
    rows.add_column()
    watts = {
        name: result.published[name] for name in ("idle_power_w", "busy_power_w") if name in result.published
    }
    published = ", ".join(f"{value:g} W {name.split('_', maxsplit=1)[0]}" for name, value in watts.items())
    leakage = result.leakage_energy_j / result.energy_j if result.energy_j else 0.0
    for name, value, remark in (
        (
            "time",
            format_si(result.latency_s, "s"),
            f"{result.cycles:,} cycles at {format_si(result.clock_hz, 'Hz')}",
        ),
        ("validated", *_validated(result)),
        ("throughput", _rate(result), "inferences, one batch after the other"),
        ("work", f"{format_si(result.macs, 'MAC')}", f"{percent(result.utilization)} of the peak rate"),
        ("energy", format_si(result.energy_j, "J"), f"{percent(leakage)} of it leakage"),
        (
            "power",
            format_si(result.average_power_w, "W"),
            f"average; published: {published}" if published else "average",
        ),
        ("area", f"{result.area_mm2:.3g} mm2", "modelled silicon area, not die area"),
        (
            "limited by",
            printable(result.limit) or "nothing",
            _held(result),
        ),
    ):
        rows.add_row(name, value, remark)
    return rows


def _held(result: Result) -> str:
    """How far the busiest resource is a limit: its share, and where that is less than half what the focus
    stage does meanwhile."""
    if not result.limit:
        return ""
    busy = result.busy_share[result.limit]
    if busy >= 0.5:
        return f"busy {percent(busy)}"
    active, work = result.stalls["active"], result.focus_servers
    on = ""
    if work is not None:
        on = f", with {work.average:.3g} of {work.count} {printable(work.resource)} at work"
    longest = sorted((-share, cause) for cause, share in result.stalls.items() if cause != "active")[:2]
    waits = [f"{printable(cause)} ({percent(-share)})" for share, cause in longest if -share >= 0.05]
    stands = f"; it waits for {' and '.join(waits)}" if waits else ""
    return (
        f"busy {percent(busy)}, no resource for half of the time: {printable(result.focus)} goes on for "
        f"{percent(active)} of it{on}{stands}"
    )


def _validated(result: Result) -> tuple[str, str]:
    """The real times that the simulated one stands for, and on what condition; or why that is not known."""
    band = result.time_band
    if band is None:
        return "no", result.not_validated
    return span(*band.real_s(result.latency_s)), band.remark


def span(low_s: float, high_s: float) -> str:
    """'11.2 to 13.9 ms'; each with its unit where they differ."""
    low, high = format_si(low_s, "s"), format_si(high_s, "s")
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"


def _rate(result: Result) -> str:
    rate = result.throughput_per_s
    return f"{rate:,.0f}/s" if 1000 <= rate < 1e7 else f"{format_si(rate, '').strip()}/s"


@dataclass(frozen=True)
class _Part:
    """A block of the summary and the columns that it takes."""

    shown: RenderableType
    width: int


def _shares(title: str, shares: Mapping[str, float], *, style: str, first: str = "") -> _Part:
    """Names with a bar each, largest first; `first` leads whatever its share."""
    table = Table.grid(padding=(0, 1))
    names = {name: shortened(printable(name), LONGEST_NAME) for name in shares}
    listed = [name for name in shares if shares[name] >= LEAST_SHARE or name == first]
    longest = max((len(names[name]) for name in listed), default=0)
    figures = max((len(percent(shares[name])) for name in listed), default=0)
    name_width, figure_width = max(LEAST_NAME, longest), max(6, figures)
    table.add_column(no_wrap=True, min_width=name_width)
    table.add_column(justify="right", no_wrap=True, min_width=6)
    table.add_column(no_wrap=True)
    order = sorted(shares, key=lambda name: (name != first, -shares[name], name))
    for name in order:
        if shares[name] >= LEAST_SHARE or name == first:
            table.add_row(names[name], percent(shares[name]), _Bar(shares[name], style))
    rest = sum(shares[name] < LEAST_SHARE and name != first for name in order)
    if rest:
        table.add_row(Text(f"{rest} more", style="dim"), Text("~0 %", style="dim"))
    shown = Group(Text(title, style="bold"), Padding(table, (0, 0, 0, 2)))
    return _Part(shown, 2 + name_width + 1 + figure_width + 1 + BAR_WIDTH)


class _Bar:
    """A bar for a share of one; plain "#" where the output's encoding has no blocks."""

    def __init__(self, share: float, style: str) -> None:
        self.share = share
        self.style = style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        eighths = max(round(min(self.share, 1.0) * BAR_WIDTH * 8), self.share >= LEAST_SHARE)
        full, part = divmod(eighths, 8)
        if options.ascii_only:
            yield Text("#" * (full + (part >= 4)), style=self.style)
        else:
            yield Text("\u2588" * full + (chr(0x2590 - part) if part else ""), style=self.style)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(BAR_WIDTH, BAR_WIDTH)


def _energy(result: Result) -> dict[str, float]:
    """Component -> its share of all energy, what it leaks included."""
    total = result.energy_j or 1.0
    return {name: sum(part.values()) / total for name, part in result.energy_parts.items()}


def _heaviest(result: Result, name_width: int) -> Group:
    """The operators that took longest, by the time from the end of what came before to their own end; equal
    ones in one row."""
    timing = result.timing
    groups = [group for group in _equals(timing) if timing.elapsed_ps[group[0]]]
    groups.sort(key=lambda group: (-int(timing.elapsed_ps[group].sum()), group[0]))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("operator", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    if timing.where:
        table.add_column("on", no_wrap=True)
    for heading in ("time", "share", "MACs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("limit", no_wrap=True)
    for group in groups[:HEAVIEST]:
        first, elapsed_ps = group[0], int(timing.elapsed_ps[group].sum())
        macs = int(timing.macs[group].sum())
        others = f" and {len(group) - 1} like it" if len(group) > 1 else ""
        table.add_row(
            shortened(printable(timing.names[first]), name_width - len(others)) + others,
            printable(timing.kinds[first]),
            *([printable(timing.where[first])] if timing.where else []),
            format_si(elapsed_ps / PS_PER_S, "s"),
            percent(elapsed_ps / timing.makespan_ps), format_si(macs, "").strip() if macs else "-",
            printable(timing.limits[first]),
        )  # fmt: skip
    listed = [i for group in groups[:HEAVIEST] for i in group]
    shown = int(timing.elapsed_ps[listed].sum()) / (timing.makespan_ps or 1)
    together = ", equal ones together" if len(listed) > len(groups[:HEAVIEST]) else ""
    count = len(timing.elapsed_ps)
    title = f"Heaviest {len(listed)} of {count} operators{together}, {percent(shown)} of the time"
    return Group(Text(title, style="bold"), Padding(table, (0, 0, 0, 2)))


def _equals(timing: TimingTable) -> list[list[int]]:
    """Operators, those together that do the same work and take the same time, but for a hundredth."""
    groups: dict[tuple[object, ...], list[list[int]]] = {}
    elapsed = timing.elapsed_ps.tolist()
    for i in sorted(range(len(elapsed)), key=lambda i: (-elapsed[i], i)):
        where = timing.where[i] if timing.where else ""
        work = (timing.kinds[i], int(timing.macs[i]), int(timing.tiles[i]), timing.limits[i], where)
        alike = groups.setdefault(work, [])
        if alike and elapsed[i] >= 0.99 * elapsed[alike[-1][0]]:  # the first of a group took longest
            alike[-1].append(i)
        else:
            alike.append([i])
    return [group for alike in groups.values() for group in alike]


def _remarks(result: Result) -> Iterator[RenderableType]:
    """What a reader must know before using the numbers."""
    if result.spilled:
        spilled, chip = counted(len(result.spilled), "tensor"), format_bytes(result.peak_chip_bytes)
        yield hanging("Spilled", f"{spilled} had no room on chip and went to memory; peak on chip {chip}")
    if remark := result.weights.remark(result.design):
        yield hanging("Weights", remark)
    unchecked = ""
    for note in result.provenance.notes:
        if note.startswith(UNCHECKED):
            unchecked = note.removeprefix(UNCHECKED)
        else:
            yield hanging("Note", note)
    yield hanging("Not modelled", "; ".join(result.provenance.unmodelled) or "-")
    if result.verification is not None:
        yield hanging("Verified", f"{result.verification.verdict}; {result.verification.scheme}")
    elif unchecked:
        yield hanging("Not verified", unchecked)
    elif result.verified is None:
        yield hanging("Not verified", "no layer's numbers were computed; --verify computes and checks them")


def hanging(title: str, text: str) -> Table:
    """A remark under a title that stands out to its left."""
    row = Table.grid(padding=(0, 2))
    row.add_column(style="dim", no_wrap=True, min_width=12)
    row.add_column()
    row.add_row(title, printable(text))
    return row


def _footer(result: Result) -> RenderableType:
    where = Text("Result in ", style="bold")
    where.append(printable(near(result.folder)), style="bold")
    return Group("", where, Text(FOLDER_HINT, style="dim"))


def near(path: Path | None) -> str:
    """A path as short as it can be typed from here."""
    if path is not None and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return str(path)


def percent(share: float) -> str:
    """A share of one as people read it: '12.3 %', never '0.0 %' for what is more than nothing."""
    if share == 0:
        return "0 %"
    return f"{share:.1%}".replace("%", " %") if share >= LEAST_SHARE else "<0.1 %"
