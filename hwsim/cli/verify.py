"""`hwsim verify`: the numbers of one workload on one design, checked layer by layer."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from hwsim.cli.output import printable, shortened, write
from hwsim.cli.progress import Progress
from hwsim.cli.run import read_parameters
from hwsim.errors import SpecError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hwsim.result import Verification

NAME_WIDTH = 32
LEGEND = (
    "error: largest difference from the reference, bound: what is allowed there, both absolute; SQNR: signal "
    "to quantisation noise against a float64 flow of the whole network."
)


@click.command(name="verify")
@click.argument("workload")
@click.option("--design", "-d", required=True, metavar="NAME", help="Name or path of the design.")
@click.option("--batch", "-b", type=int, metavar="N", help="Inputs processed together.")
@click.option(
    "--param",
    "--dim",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another parameter of the workload, or a size that its file leaves open. May repeat.",
)
@click.option("--dtype", metavar="FORMAT", help="Number format. Default: the design's own.")
@click.option("--weight-dtype", metavar="FORMAT", help="Number format of the weights, where it differs.")
@click.option(
    "--fixed-point", metavar="QM.N", help="Read integers as fixed point, such as q7.8, instead of scaling."
)
@click.option(
    "--rounding",
    type=click.Choice(["nearest_even", "half_up", "truncate"]),
    default="nearest_even",
    show_default=True,
    help="How fixed-point results are rounded.",
)
@click.option(
    "--approximate",
    is_flag=True,
    help="Compute functions, softmax and norms between integers in whole numbers, as integer machines do.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="PATH=VALUE", help="Change a field of the design. May repeat."
)
@click.option(
    "--lower",
    multiple=True,
    metavar="NAME=CHOICE",
    help="How layers become operators, as for `hwsim run`. May repeat.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of inputs, and of weights the workload lacks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def command(
    workload: str,
    design: str,
    batch: int | None,
    param: tuple[str, ...],
    dtype: str | None,
    weight_dtype: str | None,
    fixed_point: str | None,
    rounding: str,
    approximate: bool,
    settings: tuple[str, ...],
    lower: tuple[str, ...],
    seed: int | None,
    as_json: bool,
) -> None:
    """Execute WORKLOAD tile by tile in the schedule that `hwsim run` times, in the machine's own number
    format, and compare every operator with an independent reference. The exit status is 0 only if all agree.
    """
    from hwsim.pipeline import verify

    if fixed_point is None and rounding != "nearest_even":
        raise SpecError("--rounding belongs to fixed point: add --fixed-point, for example q7.8")
    parameters = read_parameters(param, batch=batch, seed=seed)
    if taken := [name for name in parameters if name in inspect.signature(verify).parameters]:
        raise SpecError(f"--param {taken[0]}: a workload has no such parameter")
    with Progress("tiles") as progress:
        found = verify(
            workload, design, dtype=dtype, weight_dtype=weight_dtype, overrides=settings, lower=lower,
            fixed_point=fixed_point, rounding=rounding, approximate=approximate, progress=progress,
            phase=progress.say, **parameters,
        )  # fmt: skip
    if as_json:
        from hwsim.result.folder import strict

        write(json.dumps(strict(_as_object(found)), allow_nan=False))
    else:
        from hwsim.cli.screen import Screen, emit

        emit(Screen(), _report(found))


def _as_object(found: Verification) -> dict[str, object]:
    columns = {name: list(values) for name, values in found.columns().items()}
    layers = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {
        "workload": found.workload,
        "design": found.design,
        "dtype": found.dtype,
        "scheme": found.scheme,
        "seed": found.seed,
        "verified": True,
        "bit_exact": found.bit_exact,
        **({"unexecuted": list(found.unexecuted)} if found.unexecuted else {}),
        "output_sqnr_db": dict(found.output_sqnr_db),
        "operators": layers,
    }


def _report(found: Verification) -> Iterator[RenderableType]:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = Text(printable(found.workload), style="bold")
    title.append(" on ").append(printable(found.design)).append(f", {printable(found.dtype)}")
    yield title
    yield Text(printable(f"{found.scheme}; input from seed {found.seed}"), style="dim")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("operator", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    # How many units of its last place an integer is off says more of an approximation than its size.
    apart = ("units",) if found.max_units.any() else ()
    headings = ("tiles", "results", "error", *apart, "bound", "SQNR")
    rows = []
    for i, name in enumerate(found.names):
        exact = bool(found.exact[i])
        rows.append(
            (
                shortened(printable(name), NAME_WIDTH),
                printable(found.kinds[i]),
                f"{found.tiles[i]:,}",
                f"{found.elements[i]:,}",
                "exact" if exact else f"{found.max_error[i]:.2g}",
                *([f"{found.max_units[i]:.0f}"] if apart else []),
                "" if exact else f"{found.bound[i]:.2g}",
                _decibel(float(found.sqnr_db[i])),
            )
        )
    for place, heading in enumerate(headings, start=2):  # where there is little room names give way
        widest = max(len(heading), *(len(row[place]) for row in rows))
        table.add_column(heading, justify="right", no_wrap=True, min_width=widest)
    for row in rows:
        table.add_row(*row)
    yield table
    yield Text(LEGEND, style="dim")
    yield Text(f"Verified: {found.verdict}", style="bold green")


def _decibel(value: float) -> str:
    return "no noise" if value == math.inf else "all noise" if value == -math.inf else f"{value:.1f} dB"
