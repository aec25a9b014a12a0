"""`hwsim sweep`: every point of a space that its method asks for, into a store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from hwsim.cli.output import counted, printable, write
from hwsim.cli.progress import Progress, duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hwsim.explore.sweep import Standing
    from hwsim.explore.sweep_result import Sweep

SHOWN = 10  # points of the frontier


@click.command(name="sweep")
@click.argument("space")
@click.option("--out", "-o", "store", required=True, metavar="STORE", help="The SQLite file of the points.")
@click.option("--resume", is_flag=True, help="Refuse to begin anew: STORE must be there.")
@click.option(
    "--workers",
    "-w",
    type=int,
    metavar="N",
    help="Processes that evaluate; 0 for this one alone. Default: one for each processor.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Let a dask scheduler's workers evaluate: tcp://HOST:PORT, or `local` to start one here.",
)
@click.option(
    "--check",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    metavar="N",
    help="Run so many of the new points again as `hwsim run` does, and compare to the last bit.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="PATH=VALUE",
    help="Change a field of the space, as seed=2 or method.points=500. May repeat.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, and only the store on standard output.")
def command(
    space: str,
    store: str,
    resume: bool,
    workers: int | None,
    scheduler: str | None,
    check: int,
    settings: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> None:
    """Evaluate points of SPACE: designs with their fields, workloads, formats and recipes.

    SPACE is a name of `hwsim list spaces`, or the path of a space file.

    Every point goes to STORE as it is known, with its figures or with the reason why it has none. The same
    command on the same STORE, after an end of any kind, goes on where that was, and repeats nothing. The
    points and figures are the same whoever evaluates them.
    """
    from hwsim.explore.fork_server import start_server

    if workers != 0 and scheduler is None:
        start_server()  # it loads what its processes need, and this one meanwhile what comes next
    from hwsim.explore.sweep import sweep

    with SweepProgress(quiet=quiet) as progress:
        try:
            found = sweep(
                space, store=store, resume=resume, workers=workers, scheduler=scheduler, check=check,
                overrides=settings, watch=progress.watch,
            )  # fmt: skip
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"what {store} holds is kept, the same command goes on") from None
    _show(found, as_json=as_json, quiet=quiet)


class SweepProgress(Progress):
    """Points done, at what rate those that are new, the time left, and how large the frontier is."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__("points", quiet=quiet)
        self._standing: Standing | None = None
        self._first_s = 0.0
        self._first = 0

    def watch(self, standing: Standing) -> None:
        """Where the sweep is now."""
        if not self._first and standing.evaluated:
            # The first batch waits for processes to start and kernels to compile.
            self._first_s, self._first = time.monotonic(), standing.evaluated
        self._standing = standing
        self(standing.done, standing.total)

    def line(self) -> str:
        standing = self._standing
        if standing is None:
            return super().line()
        share = 100 * standing.done / max(standing.total, 1)
        parts = [f"{standing.done:,} of {counted(standing.total, 'point')} ({share:.0f} %)"]
        elapsed_s = time.monotonic() - self._first_s
        if standing.evaluated > self._first and elapsed_s > 0:
            rate = (standing.evaluated - self._first) / elapsed_s
            left = standing.total - standing.done
            parts.append(f"{rate:,.0f}/s" + (f", {duration(left / rate)} left" if left else ""))
        parts.append(f"{standing.frontier:,} on the frontier")
        if standing.failed:
            parts.append(f"{standing.failed:,} without figures")
        return ", ".join(parts)


def _show(found: Sweep, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        from hwsim.result.folder import strict

        write(json.dumps(strict(found.summary()), allow_nan=False))
    elif quiet:
        write(printable(str(found.store)))
    else:
        from hwsim.cli.screen import Screen, emit

        emit(Screen(), _report(found))


def _report(found: Sweep) -> Iterator[RenderableType]:
    from rich.text import Text

    from hwsim.cli.summary import near

    points = found.points
    title = Text(printable(points.name), style="bold")
    title.append(printable(f": {found.method}"), style="not bold")
    yield title
    known = found.asked - found.evaluated
    said = [counted(found.evaluated, "point") + " evaluated"]
    said += [f"{known:,} stored before"] if known else []
    said += [f"{found.checked:,} run again, equal to the last bit"] if found.checked else []
    yield Text("; ".join(said), style="dim")
    yield ""
    for sentence in found.insight.sentences:
        yield Text(printable(sentence))
    if found.frontier_size:
        yield ""
        yield from _frontier(found)
    yield ""
    yield Text(f"Points in {printable(near(found.store))}", style="bold")
    yield Text("hwsim report STORE draws them; hwsim export STORE -o FILE.csv writes them", style="dim")


def _frontier(found: Sweep) -> Iterator[RenderableType]:
    from rich.text import Text

    from hwsim.cli.fitting import FittingTable, Heading

    points = found.points
    names = [axis.name for axis in points.axes]
    headings = [
        *(Heading(printable(name), 2 + i, right=False) for i, name in enumerate(names)),
        *(Heading(name) for name in points.objectives),
        Heading("limit", 1, right=False),
    ]
    order = found.frontier_order()
    rows = []
    for i in order[:SHOWN]:
        texts = points.texts(i)
        rows.append(
            [
                *(printable(texts.get(name, "")) for name in names),
                *(f"{points.metrics[name][i]:.4g}" for name in points.objectives),
                printable(points.limits[i]),
            ]
        )
    yield FittingTable(headings, rows)
    if len(order) > SHOWN:
        yield Text(f"and {len(order) - SHOWN:,} more", style="dim")
