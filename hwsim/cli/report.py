"""`hwsim report`: the page of a sweep's store, or that of a folder, drawn again from its other files."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.cli.output import printable, write
from hwsim.errors import SpecError


@click.command(name="report")
@click.argument("of", metavar="DIR|STORE")
@click.option(
    "--out", "-o", metavar="DIR", help="Folder for the page of a STORE. Default: STORE-report beside it."
)
def command(of: str, out: str | None) -> None:
    """Write report.html and say where it is. The page needs no network and nothing beside it.

    DIR is a folder that `hwsim run`, `hwsim compare` or `hwsim report` wrote: the page is drawn into it, from
    the other files in it. STORE is the file of a sweep: its page goes to a folder, with the points on it.
    """
    if not Path(of).exists():
        raise SpecError(
            f"{of}: there is no such file or folder; name the store that `hwsim sweep -o STORE` wrote, or "
            "the folder that `hwsim run`, `hwsim compare` or `hwsim report` said it wrote"
        )
    if not Path(of).is_file():
        if out is not None:
            raise SpecError(
                f"--out is for the store of a sweep, and {of} is no file; a folder keeps its page"
            )
        from hwsim.report import render

        write(printable(str(render(of))))
        return
    from hwsim.explore.export import export_page

    write(printable(str(export_page(of, out))))
