"""`hwsim run`: one workload on one design."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwsim.cli.output import printable, write
from hwsim.cli.progress import Progress
from hwsim.errors import SpecError

if TYPE_CHECKING:
    from hwsim.result import Result

RUNS = Path("reports", "runs")  # default folders go here, below the working directory


@click.command(name="run")
@click.argument("workload")
@click.option("--design", "-d", required=True, metavar="NAME", help="Name or path of the design.")
@click.option(
    "--batch", "-b", type=int, metavar="N", help="Inputs processed together; shapes are inferred again."
)
@click.option(
    "--param",
    "--dim",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another parameter of the workload, or a size that its file leaves open. May repeat.",
)
@click.option(
    "--dtype", metavar="FORMAT", help="Number format, such as int8 or int16. Default: the design's own."
)
@click.option("--weight-dtype", metavar="FORMAT", help="Number format of the weights, where it differs.")
@click.option(
    "--set", "settings", multiple=True, metavar="PATH=VALUE", help="Change a field of the design. May repeat."
)
@click.option(
    "--lower",
    multiple=True,
    metavar="NAME=CHOICE",
    help="How layers become operators: attention=fused|unfused, conv=direct|im2col|winograd2|winograd4, "
    "recurrent=batched|stepwise, fusion=on|off. May repeat.",
)
@click.option(
    "--timing",
    type=click.Choice(["auto", "events", "fast"]),
    default="auto",
    show_default=True,
    help="How time is simulated: discrete events or the compiled loop. Both give the same picosecond.",
)
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Compute the numbers too and compare them with a reference. Default: where it takes seconds.",
)
@click.option("--seed", type=int, metavar="N", help="Seed of weights that the workload does not bring.")
@click.option(
    "--out",
    "-o",
    metavar="DIR",
    help=f"Result folder. Default: one below {RUNS}, named by the inputs' content.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output, and nothing else."
)
@click.option(
    "--quiet", "-q", is_flag=True, help="No progress, and only the result folder on standard output."
)
def command(
    workload: str,
    design: str,
    batch: int | None,
    param: tuple[str, ...],
    dtype: str | None,
    weight_dtype: str | None,
    settings: tuple[str, ...],
    lower: tuple[str, ...],
    timing: str,
    verify: bool | None,
    seed: int | None,
    out: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run WORKLOAD on a design, and say how long it takes, what it costs in energy and area, and what limits
    it. The full result goes to a folder. WORKLOAD is a name, a .yaml or an .onnx file, a folder that `hwsim
    compress` made, a SCALE-Sim topology (.csv), or a list of matrix products (.csv, .json).

    `hwsim list` shows the names.
    """
    from hwsim.pipeline import run
    from hwsim.report import draw
    from hwsim.result.folder import check_folder, default_name, write_folder

    check_folder(out if out is not None else RUNS / "result")
    parameters = read_parameters(param, batch=batch, seed=seed)
    taken = [name for name in parameters if name in inspect.signature(run).parameters]
    if taken:
        raise SpecError(f"--param {taken[0]}: a workload has no such parameter")
    with Progress("tiles", quiet=quiet) as progress:
        result = run(
            workload, design, dtype=dtype, weight_dtype=weight_dtype, overrides=settings, lower=lower,
            timing=timing, verify=verify, progress=progress, phase=progress.say, **parameters,
        )  # fmt: skip
        folder = write_folder(result, out if out is not None else RUNS / default_name(result), draw)
    show(result.at(folder), as_json=as_json, quiet=quiet)


def read_parameters(given: tuple[str, ...], **options: int | None) -> dict[str, int]:
    """Parameters of a workload from "name=value" texts and from options of their own, each at most once."""
    found = {name: value for name, value in options.items() if value is not None}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not re.fullmatch(r"[+-]?\d{1,18}", value, re.ASCII):
            raise SpecError(
                f"--param {text}: write name=value with a whole number, for example --param batch=4"
            )
        if name in found:
            raise SpecError(f"--param {text}: {name} is given twice")
        found[name] = int(value)
    return found


def show(result: Result, *, as_json: bool, quiet: bool) -> None:
    """Print a finished result in one of the three ways."""
    if as_json:
        from hwsim.result.folder import strict

        write(json.dumps(strict(result.summary()), allow_nan=False))
    elif quiet:
        write(printable(str(result.folder)))
    else:
        from hwsim.cli.screen import Screen, emit
        from hwsim.cli.summary import summary

        screen = Screen()
        emit(screen, summary(result, screen.width))
