"""`hwsim calibrate`: the constants of a design, fitted to a file of measurements."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hwsim.cli.output import counted, printable, write
from hwsim.cli.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hwsim.validate.calibrate import Calibration

LEGEND = (
    "In % of the measured value. MdAPE, MAPE: median and mean size of the error; p90: nine in ten rows err "
    "less. Held out: each row predicted with constants fitted on the other folds; what to expect of new rows."
)


@click.command(name="calibrate")
@click.argument("design")
@click.option(
    "--data", required=True, metavar="FILE.csv", help="Measurements, as `hwsim validate` reads them."
)
@click.option("--out", "-o", required=True, metavar="NEW.yaml", help="Where the fitted design is written.")
@click.option(
    "--folds", type=click.IntRange(2, 20), default=5, show_default=True, help="Parts of the cross-validation."
)
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the folds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(design: str, data: str, out: str, folds: int, seed: int, as_json: bool) -> None:
    """Fit the constants that DESIGN gives under `calibration` to the rows of a CSV file that name the design,
    and write the design with them to NEW.yaml. Nothing else of it changes; each constant gets a comment that
    says what it was fitted on.

    The fit is by least mean absolute log error. `hwsim validate FILE.csv --design NEW.yaml` shows the result.
    """
    from hwsim.validate.calibrate import calibrate

    with Progress("predictions") as progress:
        found = calibrate(design, data, out, folds=folds, seed=seed, progress=lambda made: progress(made, 0))
    if as_json:
        from hwsim.result.folder import strict

        write(json.dumps(strict({**asdict(found), "file": out}), allow_nan=False))
        return
    from hwsim.cli.screen import Screen, emit

    emit(Screen(), _report(found))
    write(f"Design in {printable(out)}")


def _report(found: Calibration) -> Iterator[RenderableType]:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = counted(found.rows, "row")
    title = Text(printable(found.design), style="bold")
    title.append(
        printable(f" on {rows} of {found.data_file} (sha256 {found.data_sha256[:12]})"), style="not bold"
    )
    yield title
    constants = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    constants.add_column("constant", no_wrap=True)
    for heading in ("before", "fitted", "folds from", "to"):
        constants.add_column(heading, justify="right", no_wrap=True)
    for c in found.constants:
        figures = (c.before, c.fitted, c.lowest, c.highest)
        constants.add_row(
            printable(c.path), *(printable(f"{value:.4g} {c.unit}".strip()) for value in figures)
        )
    yield constants
    yield ""
    errors = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    errors.add_column("errors", no_wrap=True)
    for heading in ("rows", "MdAPE", "MAPE", "p90"):
        errors.add_column(heading, justify="right", no_wrap=True)
    for name, e in (("before", found.before), ("fitted", found.fitted), ("held out", found.held_out)):
        errors.add_row(name, f"{e.rows:,}", f"{e.mdape_pct:.2f}", f"{e.mape_pct:.2f}", f"{e.p90_pct:.2f}")
    yield errors
    yield Text(LEGEND, style="dim")
    if found.untouched:
        yield Text(printable(f"No row depends on {', '.join(found.untouched)}: left as before"), style="dim")
    for reason, count in found.rows_left_out.items():
        yield Text(printable(f"{counted(count, 'row')} left out: {reason}"), style="dim")
