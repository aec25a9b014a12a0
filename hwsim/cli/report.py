"""`hwsim report`: the page of a result folder, drawn again from the other files in it."""

from __future__ import annotations

import click

from hwsim.cli.output import printable, write


@click.command(name="report")
@click.argument("folder", metavar="DIR")
def command(folder: str) -> None:
    """Write report.html into DIR, a folder that `hwsim run` or `hwsim compare` wrote, from the other files in
    it, and say where it is. The page needs no network and nothing beside it."""
    from hwsim.report import render

    write(printable(str(render(folder))))
