"""`hwsim list`: what is shipped, by name, with one line on each."""

from __future__ import annotations

from pathlib import Path

import click

from hwsim.cli.output import printable
from hwsim.errors import HwsimError
from hwsim.library import find, names

SHELVES = ("workloads", "designs", "recipes", "spaces")
HOST = ("host", "The machine at hand; its memory and clock are measured when it is loaded")
PATHS = (
    "A path works too: of a workload .yaml, .onnx, a SCALE-Sim topology (.csv) or a list of matrix products "
    "(.csv, .json)."
)
ELSEWHERE = "Names are looked up in the working directory and in $HWSIM_PATH first."


@click.command(name="list")
@click.argument(
    "shelf", type=click.Choice(SHELVES), required=False, metavar="[workloads|designs|recipes|spaces]"
)
def command(shelf: str | None) -> None:
    """List the workloads, designs, recipes and spaces that are shipped with hwsim."""
    from rich.console import RenderableType
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from hwsim.cli.screen import Screen, emit

    parts: list[RenderableType] = []
    for name in (shelf,) if shelf else SHELVES:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for found in names(name):
            table.add_row(printable(found), printable(sentence(name, found)))
        if name == "designs":
            table.add_row(*HOST)
        parts += [Text(name.capitalize(), style="bold underline"), Padding(table, (0, 0, 0, 2)), ""]
    paths = PATHS if shelf in (None, "workloads") else "A path of a .yaml file works too."
    emit(Screen(), [*parts, Text(f"{paths} {ELSEWHERE}", style="dim")])


def sentence(shelf: str, name: str) -> str:
    """One line on what a name stands for."""
    path = find(shelf, name)
    if path.suffix != ".yaml":
        return f"{path.suffix.removeprefix('.').upper()} graph; see `hwsim describe {name}`"
    try:
        return about(path).get("description", "")
    except HwsimError as error:
        return f"cannot be read: {str(error).splitlines()[0]}"


def about(path: Path) -> dict[str, str]:
    """The texts at the top of a YAML file (name, description, source ...), without reading its layers."""
    from hwsim.schema.load import read_source
    from hwsim.schema.tree import read_tree

    text = read_source(path).content.decode("utf-8-sig", errors="replace")
    tree, _ = read_tree(text.partition("\nlayers:")[0], str(path))
    return {key: node.scalar for key, node in (tree.children or {}).items() if isinstance(node.scalar, str)}
