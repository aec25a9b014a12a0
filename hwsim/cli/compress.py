"""`hwsim compress`: one workload, made smaller by a recipe."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.cli.output import printable, shortened, write
from hwsim.cli.progress import Progress
from hwsim.cli.run import read_parameters
from hwsim.errors import SpecError
from hwsim.units import format_bytes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hwsim.compress import Compressed, CompressionTable
    from hwsim.compress.table import Row

NAME_WIDTH = 24
LEGEND = (
    "bits: of values and of index, for each weight that is not zero (each weight where none is left out), "
    "padding and codes included; ratio: to the network's own format; SQNR: weights against what they were."
)


@click.command(name="compress")
@click.argument("workload")
@click.option("--recipe", "-r", required=True, metavar="NAME", help="Name or path of the recipe.")
@click.option("--out", "-o", metavar="DIR", help="Folder for the compressed workload, for `hwsim run DIR`.")
@click.option("--batch", "-b", type=int, metavar="N", help="Inputs processed together; fixed from then on.")
@click.option(
    "--param",
    "--dim",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another parameter of the workload, or a size that its file leaves open. May repeat.",
)
@click.option(
    "--lower",
    multiple=True,
    metavar="NAME=CHOICE",
    help="How the smaller layers become operators, as for `hwsim run`. May repeat.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of weights that the workload does not bring.")
@click.option(
    "--data", metavar="NAME", help="Labelled data on which to measure accuracy before and after, as `digits`."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, and only the folder on standard output.")
def command(
    workload: str,
    recipe: str,
    out: str | None,
    batch: int | None,
    param: tuple[str, ...],
    lower: tuple[str, ...],
    seed: int | None,
    data: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compress WORKLOAD by a recipe, and say layer by layer how it is stored, how many bits that takes, and
    how far the weights and the network's output moved.

    With --out, the compressed workload goes to a folder that `hwsim run` takes; choices of --lower, and the
    batch, are fixed in it. `hwsim list recipes` shows
    the recipes, `hwsim describe NAME` the steps of one.
    """
    from hwsim.compress import compress
    from hwsim.workload.folder import check_folder

    if out is not None:
        check_folder(out)
    if quiet and out is None:
        raise SpecError("--quiet prints the folder of the result alone: name one with --out DIR")
    parameters = read_parameters(param, batch=batch, seed=seed)
    if taken := [
        name for name in parameters if name in inspect.signature(compress).parameters and name != "seed"
    ]:
        raise SpecError(f"--param {taken[0]}: a workload has no such parameter")
    with Progress("steps", quiet=quiet) as progress:
        found = compress(workload, recipe, lower=lower, data=data, progress=progress, **parameters)
        folder = None if out is None else found.save(out)
    _show(found, folder, as_json=as_json, quiet=quiet)


def _show(found: Compressed, folder: Path | None, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        from hwsim.result.folder import strict

        about = {**found.table.to_dict(), "folder": folder}
        write(json.dumps(strict(about), allow_nan=False))
    elif quiet:
        write(printable(str(folder)))
    else:
        from hwsim.cli.screen import Screen, emit

        emit(Screen(), _report(found.table, folder))


def _report(table: CompressionTable, folder: Path | None) -> Iterator[RenderableType]:
    from rich.text import Text

    title = Text(printable(table.workload), style="bold")
    title.append(" by ").append(printable(table.recipe), style="bold")
    yield title
    for step in table.history:
        yield Text(printable(step), style="dim")
    yield _layers(table)
    yield Text(LEGEND, style="dim")
    yield ""
    yield _totals(table)
    if folder is not None:
        yield ""
        near = printable(_near(folder))
        yield Text(f"Compressed workload in {near}", style="bold")
        yield Text(f"report.html shows this table; hwsim run {near} --design NAME runs it", style="dim")


def _layers(table: CompressionTable) -> RenderableType:
    from hwsim.cli.fitting import FittingTable, Heading

    headings = (
        Heading("layer", right=False), Heading("codec", right=False), Heading("weights", 3),
        Heading("density"), Heading("bits", 2), Heading("index", 4), Heading("stored"), Heading("ratio"),
        Heading("SQNR", 1),
    )  # fmt: skip
    rows = [
        (
            shortened(printable(row.layer), NAME_WIDTH), printable(_codec(row)), f"{row.weights:,}",
            _percent(row.density), f"{row.bits_per_weight:.2f}",
            f"{row.index_bits_per_weight:.2f}" if "index" in row.parts else "",
            format_bytes(-(-row.stored_bits // 8)),
            f"{row.ratio:.2f}" if row.ratio is not None else "new", _decibel(row.sqnr_db),
        )
        for row in table.rows
    ]  # fmt: skip
    return FittingTable(headings, rows)


def _codec(row: Row) -> str:
    return row.codec if row.codec != "dense" else f"dense {row.dtype}"


def _totals(table: CompressionTable) -> Table:
    from rich.table import Table

    totals = table.totals
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column()
    parts = ", ".join(f"{name} {_bytes(bits)}" for name, bits in totals.parts.items())
    rows.add_row(
        "weights", f"{totals.kept:,} of {totals.weights:,} are not zero ({_percent(totals.density)})"
    )
    rows.add_row(
        "stored",
        f"{_bytes(totals.stored_bits)} for {_bytes(totals.dense_bits)}, {totals.ratio:.2f} times smaller "
        f"({parts})",
    )
    rest = f"{_bytes(totals.other_bits)} of biases, tables and constants"
    if totals.other_bits != totals.other_dense_bits:
        rest += f" for {_bytes(totals.other_dense_bits)}"
    rows.add_row("with the rest", f"{totals.network_ratio:.2f} times smaller, with {rest}")
    if table.macs_after != table.macs_before:
        rows.add_row("MACs", f"{table.macs_after:,} for {table.macs_before:,}")
    if inertia := [row.inertia for row in table.rows if row.inertia is not None]:
        rows.add_row("inertia", f"{sum(inertia):.4g}, squared distances to the shared values, all layers")
    change = f"not computed: {table.not_computed}"
    if table.output_change is not None:
        change = f"{table.output_change:.3g}, relative root mean square, on the input that the seed draws"
    rows.add_row("output change", printable(change))
    if table.accuracy_before is not None and table.accuracy_after is not None:
        rows.add_row(
            "accuracy", f"{_percent(table.accuracy_after)}, before {_percent(table.accuracy_before)}"
        )
    for note in table.notes:
        rows.add_row("note", printable(note))
    return rows


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _bytes(bits: int) -> str:
    return format_bytes(-(-bits // 8))


def _decibel(value: float | None) -> str:
    if value is None:
        return "-"
    return "no noise" if value == math.inf else "all noise" if value == -math.inf else f"{value:.1f} dB"


def _near(path: Path) -> str:
    """A path as short as it can be typed from here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
