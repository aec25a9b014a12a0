"""`hwsim measure`: operators timed on the machine at hand."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from hwsim.cli.output import counted, printable, write
from hwsim.cli.progress import Progress
from hwsim.errors import SpecError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hwsim.validate.measure import Timing

HOST = "host"
LEGEND = (
    "noise: distance between the quartiles of the samples of an operator, in % of their median; the median "
    "and the largest over the operators. No prediction can be expected to be better than that."
)


@click.command(name="measure")
@click.argument("machine", metavar="host")
@click.option("--out", "-o", required=True, metavar="FILE.csv", help="Where the rows are written.")
@click.option(
    "--harness",
    "harnesses",
    multiple=True,
    metavar="NAME",
    help="numpy, onnxruntime, torch or torch_cuda; all that are installed unless given. May repeat.",
)
@click.option("--quick", is_flag=True, help="Time one operator in four.")
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the sizes of matrix products.")
@click.option("--json", "as_json", is_flag=True, help="Print an array of objects and nothing else.")
def command(
    machine: str, out: str, harnesses: tuple[str, ...], quick: bool, seed: int, as_json: bool
) -> None:
    """Time matrix products, matrix-vector products, convolutions and elementwise work on this machine, and
    write them to FILE.csv in the format of `hwsim validate`, as rows of the design `host`. Takes one to three
    minutes for each harness; other work on the machine shows as noise.

    \b
    Then:
      hwsim calibrate host --data FILE.csv -o host.yaml
      hwsim validate FILE.csv --design host.yaml
    """
    if machine != HOST:
        raise SpecError(f"{printable(machine)} cannot be measured: only `{HOST}`, the machine at hand, can")
    from hwsim.validate.measure import measure

    with Progress("operators") as progress:
        timings = measure(out, design=HOST, harnesses=harnesses, quick=quick, seed=seed, progress=progress)
    if as_json:
        from hwsim.result.folder import strict

        write(json.dumps(strict([asdict(timing) for timing in timings]), allow_nan=False))
        return
    from hwsim.cli.screen import Screen, emit

    emit(Screen(), _report(timings))
    write(f"{counted(len(timings), 'row')} in {printable(out)}")


def _report(timings: Sequence[Timing]) -> Iterator[RenderableType]:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    groups: dict[tuple[str, str], list[Timing]] = {}
    for timing in timings:
        groups.setdefault((timing.version, timing.op), []).append(timing)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("harness", "operator"):
        table.add_column(heading, no_wrap=True)
    for heading in ("operators", "shortest", "longest", "noise", "largest noise"):
        table.add_column(heading, justify="right", no_wrap=True)
    for (version, op), found in groups.items():
        times = [timing.median_us for timing in found]
        noise = [timing.noise_pct for timing in found]
        table.add_row(
            printable(version), op, str(len(found)), f"{min(times):,.1f} us", f"{max(times):,.1f} us",
            f"{statistics.median(noise):.1f} %", f"{max(noise):.1f} %",
        )  # fmt: skip
    yield table
    yield Text(LEGEND, style="dim")
