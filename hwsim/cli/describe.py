"""`hwsim describe`: what a design, a workload, a recipe or the technology tables say, field by field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hwsim.cli.list import about
from hwsim.cli.output import printable, shortened
from hwsim.cli.screen import Screen, emit
from hwsim.errors import SpecError
from hwsim.library import find, is_path, names
from hwsim.units import format_bytes

if TYPE_CHECKING:
    from hwsim.compress import Recipe
    from hwsim.compress.steps import Step
    from hwsim.cost.table import TableRow
    from hwsim.design import Design
    from hwsim.workload import Workload
    from hwsim.workload.operators import Operator, Recurrent

TECHNOLOGY = "technology"
KINDS = ("designs", "workloads", "recipes")
LISTED = 8  # inputs or outputs of a workload
WIDE = 110  # columns from which a workload's operators are shown with the shapes that they take


@click.command(name="describe")
@click.argument("name")
@click.option("--batch", "-b", type=int, metavar="N", help="Batch of a workload.")
@click.option(
    "--param",
    "--dim",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another parameter of a workload, or a size that its file leaves open.",
)
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="Change a field of a design.")
def command(name: str, batch: int | None, param: tuple[str, ...], settings: tuple[str, ...]) -> None:
    """Show every field of a design with value, unit, meaning and source; or the operators of a workload with
    shapes, MACs and parameters; or the steps of a recipe; or, for `technology`, the tables of energy and
    area.

    NAME is a name of `hwsim list`, a path, or `technology`.
    """
    from hwsim.cli.run import read_parameters

    parameters = read_parameters(param, batch=batch)
    screen = Screen()
    kind = "" if name == TECHNOLOGY else kind_of(name)
    if name == TECHNOLOGY:
        _refuse(parameters or settings, "technology tables take no options")
        parts = describe_technology()
    elif kind == "recipe":
        from hwsim.compress import load_recipe

        _refuse(parameters or settings, f"{name} is a recipe: it takes no options here")
        parts = describe_recipe(load_recipe(name))
    elif kind == "design":
        from hwsim.design import load_design

        _refuse(parameters, f"{name} is a design: --batch and --param are for workloads")
        parts = describe_design(load_design(name, settings))
    else:
        from hwsim.workload import load_with

        _refuse(settings, f"{name} is a workload: --set is for designs")
        parts = describe_workload(load_with(name, parameters), screen.width)
    emit(screen, parts)


def _refuse(given: object, message: str) -> None:
    if given:
        raise SpecError(message)


def kind_of(name: str) -> str:
    """Whether a name or path is a design, a workload or a recipe. Raises SpecError when it is none."""
    if is_path("workloads", name):
        if name.lower().endswith((".onnx", ".csv", ".json")) or Path(name).is_dir():
            return "workload"
        return _kind_of_file(Path(name))
    for shelf in KINDS:
        try:
            found = find(shelf, name)
        except SpecError:
            continue
        # A name is looked up in the working directory too, where a workload's file is no design's.
        return _kind_of_file(found) if found.suffix == ".yaml" else shelf.removesuffix("s")
    from hwsim.design import HOST

    if name == HOST:
        return "design"
    if name in names("spaces"):
        raise SpecError(f"{name} is a space: hwsim sweep {name} --out STORE evaluates its points")
    known = [*(found for shelf in KINDS for found in names(shelf)), TECHNOLOGY]
    near = get_close_matches(name.lower()[:80], known, n=3, cutoff=0.5)
    cure = f"did you mean {' or '.join(near)}?" if near else "`hwsim list` shows the names"
    raise SpecError(f"there is no design, workload or recipe called {name[:80]!r}; {cure}")


def _kind_of_file(path: Path) -> str:
    """A workload file has layers, or operators where hwsim saved it, and a recipe steps; a file that cannot
    be read is left to the design loader to complain of."""
    from hwsim.schema.load import read_source

    try:
        text = read_source(path).content.decode("utf-8", errors="replace")
    except SpecError:
        return "design"
    if re.search(r"^(layers|operators)\s*:", text, re.MULTILINE):
        return "workload"
    return "recipe" if re.search(r"^steps\s*:", text, re.MULTILINE) else "design"


def describe_recipe(recipe: Recipe) -> Iterator[RenderableType]:
    """What it is, then its steps, and those of the networks that it names."""
    yield Text(printable(f"{recipe.name}: recipe"), style="bold")
    if recipe.origin is not None:
        yield Text(printable(f"from {recipe.path}, sha256 {recipe.origin.sha256[:12]}"), style="dim")
    if recipe.source:
        yield Text(printable(f"source: {recipe.source}"), style="dim")
    if recipe.description:
        yield Text(printable(recipe.description))
    for title, steps in (("steps", recipe.steps), *recipe.networks.items()):
        yield ""
        yield Text(printable(title), style="bold underline")
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for step in steps:
            table.add_row(step.method, printable(_settings(step)))
        yield Padding(table, (0, 0, 0, 2))


def _settings(step: Step) -> str:
    """What a step's file says, as it would be written in one line."""
    said = getattr(step, step.method)
    words = []
    for name in said.declared:
        if name in said.model_fields_set:
            value = getattr(said, name)
            if isinstance(value, dict):
                value = ", ".join(f"{key} {entry}" for key, entry in value.items())
            elif isinstance(value, tuple):
                value = " ".join(str(entry) for entry in value)
            words.append(f"{name}: {value}")
    return "; ".join(words)


def describe_design(design: Design) -> Iterator[RenderableType]:
    """Sections in the order of the file's fields."""
    from hwsim.schema import describe

    yield Text(printable(f"{design.name}: design"), style="bold")
    yield Text(printable(f"from {design.path}, sha256 {design.sha256[:12]}"), style="dim")
    rows = [(row.path.rpartition("."), row) for row in describe(design)]
    for section, members in groupby(rows, key=lambda pair: pair[0][0]):
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, style="bold", min_width=14)
        table.add_column(style="cyan", min_width=10, max_width=24, overflow="fold")
        table.add_column()
        for (_, _, key), row in members:
            meaning = Text(printable(row.sentence))
            if row.source:
                meaning.append(f"\n{printable(row.source)}", style="dim")
            table.add_row(printable(key), printable(row.value), meaning)
        yield ""
        if section:
            yield Text(printable(section), style="bold underline")
        yield Padding(table, (0, 0, 0, 2))


def describe_workload(workload: Workload, width: int) -> Iterator[RenderableType]:
    """Totals, then one row an operator."""
    yield Text(printable(f"{workload.name}: workload"), style="bold")
    origin = workload.source
    yield Text(printable(f"from {origin.path} ({origin.format}), sha256 {origin.sha256[:12]}"), style="dim")
    source = about(Path(origin.path)).get("source") if origin.format == "yaml" else None
    if source:
        yield Text(printable(f"source: {source}"), style="dim")
    if workload.description:
        yield Text(printable(workload.description))
    if workload.synthetic:
        yield Text("synthetic: no publication gives its shapes", style="magenta")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("parameters", ", ".join(f"{k}={v}" for k, v in workload.parameters.items()) or "none")
    facts.add_row("inputs", _tensors_words(workload, workload.inputs))
    facts.add_row("outputs", _tensors_words(workload, workload.outputs))
    facts.add_row("MACs", f"{workload.macs:,}")
    facts.add_row("weights", f"{workload.parameter_count:,} trained numbers")
    for step in workload.history:
        facts.add_row("compressed", printable(step))
    for note in workload.notes:
        facts.add_row("note", printable(note))
    yield facts
    yield ""
    yield _operator_table(workload, width)


def _operator_table(workload: Workload, width: int) -> Table:
    """Names may be cut; of the shapes, a narrow terminal shows what comes out."""
    from hwsim.workload.graph import operands

    wide = width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("operator", no_wrap=True, style="bold")
    table.add_column("kind", overflow="fold")
    if wide:
        table.add_column("takes", overflow="fold")
    table.add_column("gives", overflow="fold", min_width=14)
    table.add_column("MACs", justify="right", no_wrap=True)
    table.add_column("weights", justify="right", no_wrap=True)
    for op in workload.operators:
        weights = sum(workload.tensors[name].elements for name in operands(op) if _is_weight(workload, name))
        taken = dict.fromkeys(_shape(workload, name) for name in op.inputs if not _is_weight(workload, name))
        table.add_row(
            shortened(printable(op.name), 36 if wide else 18),
            printable(_kind_words(op)),
            *([" + ".join(taken)] if wide else []),
            _shape(workload, op.output),
            f"{op.macs:,}" if op.macs else "-",
            f"{weights:,}" if weights else "-",
        )
    return table


def _kind_words(op: Operator) -> str:
    """'conv2d 3x3/2 relu': kind, window and stride, and the steps fused behind."""
    from hwsim.workload.operators import Conv2d, Pool, Recurrent, WinogradTransform

    problem = op.problem
    if isinstance(problem, Recurrent):
        return _recurrent_words(problem)
    function = getattr(problem, "function", "")
    words = [op.kind if op.kind == "view" or not function else function]
    if isinstance(problem, Pool):
        words.append("pool")
    if isinstance(problem, Conv2d | Pool):
        high, wide = problem.stride
        stride = "" if (high, wide) == (1, 1) else f"/{high}" if high == wide else f"/{high}x{wide}"
        words.append(f"{problem.R}x{problem.S}{stride}")
    if isinstance(problem, WinogradTransform):
        words += [problem.direction, f"F({problem.tile}x{problem.tile},3x3)"]
    if isinstance(problem, Conv2d) and problem.groups > 1:
        words.append("depthwise" if problem.groups == problem.C else f"{problem.groups} groups")
    words += [step.function for step in op.epilogue if step.function not in ("bias", "add")]
    return " ".join(words)


def _recurrent_words(problem: Recurrent) -> str:
    """'lstm 20 steps back, peepholes, to 512': the cell, its steps, and what few cells have."""
    steps = f"{problem.cell} {problem.T} steps{' back' if problem.reverse else ''}"
    words = [steps + (" relu" if problem.function == "relu" else "")]
    words += ["peepholes"] * problem.peepholes + [f"to {problem.P}"] * (problem.P > 0)
    words += ["reset before"] * problem.resets_before
    return ", ".join(words)


def _is_weight(workload: Workload, tensor: str) -> bool:
    return workload.tensors[tensor].role in ("weight", "constant")


def _shape(workload: Workload, tensor: str) -> str:
    return "x".join(map(str, workload.tensors[tensor].shape)) or "scalar"


def _tensors_words(workload: Workload, names: tuple[str, ...]) -> str:
    """The first of them, and how many follow."""
    shown = ", ".join(_tensor_words(workload, name) for name in names[:LISTED])
    return shown + (f" and {len(names) - LISTED:,} more" if len(names) > LISTED else "")


def _tensor_words(workload: Workload, name: str) -> str:
    return f"{printable(name)} {_shape(workload, name)}"


def describe_technology() -> Iterator[RenderableType]:
    """Every table: the figures that share a source, then the source and how far it is trusted."""
    from hwsim.cost import technology_rows

    for name in names(TECHNOLOGY):
        yield Text(printable(f"{name}: technology table"), style="bold")
        yield Text(printable(f"from {find(TECHNOLOGY, name)}"), style="dim")
        rows_by_source = groupby(technology_rows(name), key=lambda row: (row.source, row.confidence))
        for (source, confidence), rows in rows_by_source:
            table = Table.grid(padding=(0, 2))
            table.add_column(min_width=11, no_wrap=True, style="bold")
            table.add_column(min_width=15, no_wrap=True)
            table.add_column(min_width=24)
            table.add_column(min_width=14, no_wrap=True, justify="right", style="cyan")
            for row in rows:
                table.add_row(
                    printable(row.component), printable(row.action), printable(_variant(row)),
                    f"{row.value:g} {printable(row.unit)}",
                )  # fmt: skip
            yield ""
            yield table
            yield Padding(Text(printable(f"{source} [{confidence}]"), style="dim"), (0, 0, 0, 2))
        yield ""


def _variant(row: TableRow) -> str:
    """What a figure holds for: number format or technology, access width, capacity, node."""
    words = (
        row.variant,
        f"{row.width_bits} bit" if row.width_bits else "",
        format_bytes(row.capacity_bytes) if row.capacity_bytes else "",
        f"{row.node_nm:g} nm" if row.node_nm else "",
    )
    return ", ".join(filter(None, words))
