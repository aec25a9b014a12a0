"""`hwsim validate`: simulated times beside measured ones, with the error by group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from hwsim.cli.output import counted, printable, write
from hwsim.cli.progress import Progress
from hwsim.errors import UnsupportedError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hwsim.validate import Summary, ValidationReport

# Figures of a group, and which gives way first where there is no room: the highest number.
FIGURES = {"rows": 0, "MdAPE": 0, "MAPE": 2, "p90": 0, "bias": 1, "peak": 3, "half": 0, "fitted": 0}
LEGEND = (
    "In % of the measured value. MdAPE, MAPE: median and mean size of the error; p90: nine in ten rows err "
    "less; bias: mean error with its sign, above zero where the prediction is too long; peak: the MdAPE "
    "that peak rate and bandwidth alone would have (the roofline); half: the MdAPE on a random half of the "
    "rows; fitted: on that half, the MdAPE of a roofline whose launch time, rate and bandwidth are fitted on "
    "the other."
)


@click.command(name="validate")
@click.argument("file", required=False, metavar="[FILE.csv]")
@click.option(
    "--design", "-d", metavar="NAME", help="Run every row on this design instead of the one it names."
)
@click.option("--json", "as_json", is_flag=True, help="Print an array of objects and nothing else.")
@click.option("--out", "-o", metavar="FILE", help="Write the table of all rows, as CSV.")
def command(file: str | None, design: str | None, as_json: bool, out: str | None) -> None:
    """Run each row of FILE.csv through the simulator and compare with its measured value. Without a file, the
    reference sets that are shipped with hwsim are run.

    Columns: design, op, dtype, metric (latency_us or compute_cycles), value, the sizes of the operator, and
    optionally overrides ("array.rows=16 dataflow=os"), source and licence.
    """
    from hwsim.cli.screen import Screen, emit
    from hwsim.validate import validate

    with Progress("rows") as progress:
        report = validate(file, design=design, progress=progress)
    if out is not None:
        report.write_table(out)
    if as_json:
        from hwsim.result.folder import strict

        write(json.dumps(strict(report.as_json()), indent=2, allow_nan=False))
        emit(Screen(stderr=True), _not_run(report))
    else:
        emit(Screen(), [*_tables(report), *_not_run(report)])
        if out is not None:
            write(f"Table of all rows in {printable(out)}")
    if not report.rows_run:
        raise UnsupportedError("none of the rows could run, so there is nothing to compare")


def _tables(report: ValidationReport) -> Iterator[RenderableType]:
    """One table a design: a line for each operator, number format and metric."""
    from rich.text import Text

    from hwsim.cli.fitting import FittingTable, Heading

    designs: dict[str, list[Summary]] = {}
    for summary in report.summaries:
        designs.setdefault(summary.design, []).append(summary)
    for design, summaries in designs.items():
        headings = [Heading("op, dtype, metric", right=False)]
        headings += [Heading(name, rank) for name, rank in FIGURES.items()]
        rows = []
        for found in summaries:
            errors = (
                found.mdape_pct,
                found.mape_pct,
                found.p90_pct,
                found.bias_pct,
                found.roofline_mdape_pct,
                found.half_mdape_pct,
                found.calibrated_mdape_pct,
            )
            words = printable(f"{found.op}, {found.dtype}, {found.metric}")
            rows.append((words, f"{found.rows:,}", *("" if e is None else f"{e:.2f}" for e in errors)))
        yield Text(printable(design), style="bold")
        yield FittingTable(headings, rows)
        yield ""
    yield Text(f"{counted(report.rows_run, 'row')} run, {report.exact:,} exact")
    if report.summaries:
        yield Text(LEGEND, style="dim")


def _not_run(report: ValidationReport) -> Iterator[RenderableType]:
    """Rows that could not run, counted by reason."""
    from rich.table import Table
    from rich.text import Text

    if report.unused_columns:
        yield Text(printable(f"Columns not used: {', '.join(report.unused_columns)}"), style="dim")
    if not report.rows_not_run:
        return
    yield Text(f"{counted(report.rows_not_run, 'row')} not run", style="bold yellow")
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", min_width=8)
    table.add_column()
    for reason, count in report.reasons.items():
        table.add_row(f"{count:,}", printable(reason))
    yield table
