"""`hwsim compare`: several workloads on several designs, side by side."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING

import click

from hwsim.cli.output import printable, write
from hwsim.cli.progress import Progress
from hwsim.cli.run import RUNS, read_parameters
from hwsim.errors import CheckError, Problem, SpecError, UnsupportedError

if TYPE_CHECKING:
    from hwsim.result.comparison import Comparison

EXAMPLE = "hwsim compare vgg16 tpu_v1 eie_64pe"


@click.command(name="compare")
@click.argument("names", nargs=-1, required=True, metavar="WORKLOAD... DESIGN...")
@click.option(
    "--batch", "-b", type=int, metavar="N", help="Inputs processed together; shapes are inferred again."
)
@click.option(
    "--param",
    "--dim",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another parameter of the workloads, or a size that its file leaves open. May repeat.",
)
@click.option("--dtype", metavar="FORMAT", help="Number format for all designs. Default: each one's own.")
@click.option("--weight-dtype", metavar="FORMAT", help="Number format of the weights, where it differs.")
@click.option(
    "--lower",
    multiple=True,
    metavar="NAME=CHOICE",
    help="How layers become operators in all runs, as for `hwsim run`. May repeat.",
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
@click.option("--seed", type=int, metavar="N", help="Seed of weights that the workloads do not bring.")
@click.option(
    "--out",
    "-o",
    metavar="DIR",
    help=f"Folder for tables and page. Default: one below {RUNS}, named by its content.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output, and nothing else."
)
@click.option("--quiet", "-q", is_flag=True, help="No progress, and only the folder on standard output.")
def command(
    names: tuple[str, ...],
    batch: int | None,
    param: tuple[str, ...],
    dtype: str | None,
    weight_dtype: str | None,
    lower: tuple[str, ...],
    timing: str,
    verify: bool | None,
    seed: int | None,
    out: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run every WORKLOAD on every DESIGN and show them side by side: time, throughput, energy, power, area,
    what limits each, and how far its kind of work is from measurements. Ratios are to a network's first row.

    Names and paths may come in any order: what each one is stands in its file. Name a network and the folder
    that `hwsim compress` made of it to see both. What a design cannot run is a row with the reason.
    """
    from hwsim.comparison import compare
    from hwsim.report import draw
    from hwsim.result.comparison import check_comparison_folder

    check_comparison_folder(out if out is not None else RUNS / "compare")
    parameters = read_parameters(param, batch=batch, seed=seed)
    if taken := [name for name in parameters if name in inspect.signature(compare).parameters]:
        raise SpecError(f"--param {taken[0]}: a workload has no such parameter")
    workloads, designs = sort_names(names)
    with Progress("runs", quiet=quiet) as progress:
        found = compare(
            workloads, designs, dtype=dtype, weight_dtype=weight_dtype, lower=lower, timing=timing,
            verify=verify, progress=progress, **parameters,
        )  # fmt: skip
        found = found.save(out if out is not None else RUNS / found.default_name(), draw)
    _show(found, as_json=as_json, quiet=quiet)
    _complain(found)


def sort_names(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Which of the names are workloads and which designs. Raises SpecError for all that are neither, and
    where one of the two is missing."""
    from hwsim.cli.describe import kind_of

    found: dict[str, list[str]] = {"workload": [], "design": [], "recipe": []}
    problems: list[Problem] = []
    for name in names:
        try:
            found[kind_of(name)].append(name)
        except SpecError as error:
            problems += error.problems
    wrong = [
        f"{recipe} is a recipe: make the smaller network first, hwsim compress NETWORK --recipe {recipe} "
        "--out DIR, and compare DIR"
        for recipe in found["recipe"]
    ]
    if not wrong and not problems:
        wrong = [
            f"there is no {what} among {', '.join(names)}; for example: {EXAMPLE}"
            for what in ("workload", "design")
            if not found[what]
        ]
    problems += [Problem("", 0, 0, "", message) for message in wrong]
    if problems:
        raise SpecError(problems)
    return found["workload"], found["design"]


def _show(found: Comparison, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        from hwsim.result.folder import strict

        write(json.dumps(strict(found.summary()), allow_nan=False))
    elif quiet:
        write(printable(str(found.folder)))
    else:
        from hwsim.cli.screen import Screen, emit
        from hwsim.cli.side_by_side import side_by_side

        screen = Screen()
        emit(screen, side_by_side(found, screen.width))


def _complain(found: Comparison) -> None:
    """An exit status that is not zero when nothing ran, or when something went wrong that never may."""
    if found.faults:
        first = found.faults[0]
        raise CheckError(
            f"{len(found.faults)} of {len(found.rows)} runs failed a check, the first {first.workload} on "
            f"{first.design}: {first.reason}"
        )
    if not found.baselines:
        first = found.rows[0]
        raise UnsupportedError(f"no design could run any workload; the first: {first.design}: {first.reason}")
