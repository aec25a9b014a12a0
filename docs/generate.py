"""Pages that are made rather than written: a hook of mkdocs (see mkdocs.yml).

What the code says about itself (specs, commands, public names, the pipeline of a machine) and what other
files of the repository hold (validation, accuracy, glossary, rules, examples) has one home, and is put into
pages from there. A page asks for a piece with a line `<!-- generated: NAME -->`, or for a section of a file
of the repository with `<!-- section: FILE: Heading -->`.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import hwsim
from hwsim.cli.main import COMMANDS, main
from hwsim.cost.technology import technology_rows
from hwsim.design import Design, load_design
from hwsim.devices import make_device
from hwsim.explore.space_file import METHODS, AxisSpec, SpaceSpec
from hwsim.schema import Spec, json_schema, kind_words
from hwsim.schema.spec import file_key
from hwsim.schema.wording import format_value
from hwsim.workload.frontends.layer_base import Layer
from hwsim.workload.frontends.workload_file import LAYERS, Repeat, WorkloadSpec

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ("array_size", "own_network", "buffer_and_bandwidth", "compressed", "compare_eie", "compare_tpu")
NEWLINE = "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are files elsewhere in the repository."""
    pages = {"glossary.md": read("GLOSSARY.md"), "digits.md": read("reports/digits.md")}
    pages["workloads.md"] = read("reports/workloads.md")
    pages |= {
        f"validation/{page.name}": page.read_text("utf-8")
        for kind in ("*.md", "*.svg")
        for page in below("reports/validation", kind)
    }
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put pieces into pages that ask for them."""
    markdown = re.sub(r"^<!-- generated: (.+) -->$", lambda m: PIECES[m[1]](), markdown, flags=re.M)
    return re.sub(r"^<!-- section: (\S+): (.+) -->$", lambda m: section(m[1], m[2]), markdown, flags=re.M)


# -- from files of the repository --------------------------------------------------------------------------


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def below(folder: str, pattern: str) -> list[Path]:
    return sorted((ROOT / folder).glob(pattern))


def section(path: str, heading: str) -> str:
    """The text below a heading of a Markdown file, down to the next heading of its rank."""
    found = re.search(rf"^(#+) {re.escape(heading)}$\n(.*?)(?=^#+ |\Z)", read(path), flags=re.M | re.S)
    if found is None:
        raise PluginError(f"{path} has no section {heading!r}")
    return found[2].strip()


def walkthrough() -> str:
    """The cells of examples/walkthrough.py, each followed by what it prints."""
    pieces: list[str] = []
    names: dict[str, object] = {}
    for cell in re.split(r"^# %%", read("examples/walkthrough.py"), flags=re.M)[1:]:
        kind, _, body = cell.partition("\n")
        if "markdown" in kind:
            pieces.append(re.sub(r"^# ?", "", body, flags=re.M).strip())
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(body, "walkthrough.py", "exec"), names)  # noqa: S102 - our own file
        pieces.append(fenced("python", body))
        if printed.getvalue():
            pieces.append(fenced("text", printed.getvalue()))
    return "\n\n".join(pieces)


def examples() -> str:
    """The examples with what they print, which tests compare."""
    pieces = []
    for name in EXAMPLES:
        code = read(f"examples/{name}.py")
        _, said, rest = code.split('"""', 2)
        title, _, text = said.strip().partition("\n")
        body = rest.replace("from __future__ import annotations\n", "")
        pieces += [f"## {title}", text.strip(), fenced("text", read(f"examples/{name}.txt"))]
        for more in below("examples", f"{name}.yaml"):
            pieces.append(fenced("yaml", more.read_text("utf-8"), more.name))
        pieces.append(fenced("python", body, f"{name}.py"))
    return "\n\n".join(pieces)


def fenced(language: str, text: str, title: str = "") -> str:
    titled = f' title="{title}"' if title else ""
    return f"```{language}{titled}\n{text.strip(NEWLINE)}\n```"


# -- from the specs ----------------------------------------------------------------------------------------


def cell(text: str) -> str:
    """Text in a cell of a table."""
    pieces = text.replace("\n", " ").split("`")
    pieces[::2] = [piece.replace("|", "\\|") for piece in pieces[::2]]  # in code they are no borders
    return "`".join(pieces)


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [" | ".join(headings), " | ".join("---" for _ in headings)]
    lines += [" | ".join(cell(entry) for entry in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def specs_in(annotation: Any) -> Iterator[type[Spec]]:
    """The spec classes that a field's annotation speaks of."""
    if isinstance(annotation, type):
        if issubclass(annotation, Spec):
            yield annotation
        return
    for part in get_args(annotation):
        yield from specs_in(part)


def fields(spec: type[Spec], but: tuple[str, ...] = ()) -> str:
    """A table of the fields of a spec. A star marks what changes no result."""
    properties = json_schema(spec)["properties"]
    rows = []
    for name, said in spec.declared.items():
        if name not in but:
            key, nested = file_key(name), bool(list(specs_in(spec.model_fields[name].annotation)))
            star = " \\*" if said.descriptive else ""
            rows.append(
                (f"`{key}`{star}", takes(properties[key], nested), default(spec, name), said.sentence)
            )
    return table(("field", "takes", "default", "meaning"), rows)


def default(spec: type[Spec], name: str) -> str:
    """What holds where a file leaves a field out."""
    said, info = spec.declared[name], spec.model_fields[name]
    if (spec, name) == (Design, "name"):
        return "the file's name"  # load_design puts it there
    if info.is_required():
        return "required"
    if isinstance(info.default, Spec):
        return "its defaults"
    if info.default in (None, "", (), {}) and not said.unlimited:
        return said.when_absent or "none"
    if isinstance(info.default, Mapping):
        return ", ".join(f"`{key}: {value}`" for key, value in info.default.items())
    return f"`{format_value(info.default, said.dimension, said.unlimited, said.when_absent)}`"


def takes(schema: dict[str, Any], nested: bool) -> str:
    """What a field takes, in words, from its JSON Schema."""
    if nested:
        if schema.get("type") == "array":
            return "a list of sections"
        return "sections by name" if "additionalProperties" in schema else "a section"
    if "pattern" in schema:
        return "quantity, such as " + " or ".join(f"`{example}`" for example in schema["examples"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(takes(choice, False) for choice in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of: {takes(schema.get('items', {}), False)}"
    if kind == "object":
        return f"names, each with: {takes(schema.get('additionalProperties', {}), False)}"
    words = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`", "string": "text"}
    return words.get(kind, "value") + limits(schema)


def limits(schema: dict[str, Any]) -> str:
    """Bounds of a number."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    # What is larger only guards against slips.
    found = [f"{sign} {schema[key]:,}" for key, sign in signs.items() if abs(schema.get(key, 2**40)) < 2**40]
    return f", {' and '.join(found)}" if found else ""


def nested_sections(spec: type[Spec], path: str, rank: int) -> Iterator[str]:
    """Headings and tables of the sections below a spec."""
    for name in spec.declared:
        for inner in specs_in(spec.model_fields[name].annotation):
            where = f"{path}{file_key(name)}"
            yield f"{'#' * rank} `{where}`\n\n{inner.__doc__}\n\n{fields(inner)}"
            yield from nested_sections(inner, f"{where}.", rank)


def design_sections() -> str:
    """Sections of a design file beside its devices."""
    return "\n\n".join(
        f"### `{name}`\n\n{inner.__doc__}\n\n{fields(inner)}"
        for name in Design.declared
        for inner in specs_in(Design.model_fields[name].annotation)
        if not kind_words(inner)
    )


def device_kinds() -> str:
    """Each device kind with its sections."""
    pieces = []
    for spec in specs_in(Design.model_fields["devices"].annotation):
        words = ", ".join(f"`{word}`" for word in kind_words(spec))
        pieces += [f"## A device of kind {words}", spec.__doc__ or "", fields(spec)]
        pieces += nested_sections(spec, "", 3)
    return "\n\n".join(pieces)


def layers() -> str:
    """What each layer says beside what every layer may say."""
    pieces = []
    for layer in (*LAYERS, Repeat):
        own = set(layer.declared) - {*Layer.declared, "kind"}
        pieces.append("### " + ", ".join(f"`{word}`" for word in kind_words(layer)))
        if layer.__doc__:
            pieces.append(inspect.cleandoc(layer.__doc__))
        pieces.append(fields(layer, but=(*Layer.declared, "kind")) if own else "No further fields.")
    return "\n\n".join(pieces)


def methods() -> str:
    """The methods of a space, each with its fields."""
    pieces = []
    for method in METHODS:
        words = ", ".join(f"`{word}`" for word in kind_words(method))
        pieces.append(f"### {words}\n\n{inspect.cleandoc(method.__doc__ or '')}")
        if set(method.declared) - {"kind"}:
            pieces.append(fields(method, but=("kind",)))
    return "\n\n".join(pieces)


def technology() -> str:
    rows = []
    for row in technology_rows():
        what = " ".join(str(part) for part in (row.component, row.action, row.variant) if part)
        access = [f"{row.width_bits} bit"] if row.width_bits else []
        access += [f"{row.capacity_bytes / 1024:g} KiB"] if row.capacity_bytes else []
        node = f"{row.node_nm:g} nm" if row.node_nm else "any"
        value = f"{row.value:g} {row.unit}"
        source = f"{row.source} ({row.confidence})"
        rows.append((what, " ".join(access), node, value, row.scaling or "", source))
    return table(("what", "access, bank", "node", "value", "scales as", "source"), rows)


# -- from the package --------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with click's own help."""
    pieces = ["## hwsim", described(main, None)]
    with click.Context(main, info_name="hwsim", **main.context_settings) as parent:
        for name, (module, _) in COMMANDS.items():
            pieces += [f"## hwsim {name}", described(import_module(module).command, parent, name)]
    return "\n\n".join(pieces)


def exit_status() -> str:
    about = import_module("hwsim.cli.main").__doc__ or ""
    return about.split("Exit status: ")[1].strip()


def described(command: click.Command, parent: click.Context | None, name: str = "hwsim") -> str:
    context = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    rows = []
    for option in command.get_params(context):
        record = option.get_help_record(context)
        if record is not None and record[1]:  # the text tells of arguments
            rows.append((f"`{record[0].strip()}`", record[1]))
    usage = command.get_usage(context).removeprefix("Usage: ")
    text = inspect.cleandoc(command.help or "").split("\b")[0].strip()
    return "\n\n".join([fenced("text", " ".join(usage.split())), text, table(("option", "meaning"), rows)])


def public(kind: str) -> str:
    """mkdocstrings directives for the public functions, classes or errors."""
    names = [name for name in hwsim.__all__ if name != "__version__"]
    found: dict[str, list[str]] = {"functions": [], "classes": [], "errors": []}
    for name in names:
        member = getattr(hwsim, name)
        error = isinstance(member, type) and issubclass(member, Exception)
        group = "errors" if error else "classes" if isinstance(member, type) else "functions"
        # By the module that holds it: below the root, a subpackage may have the same name.
        found[group].append(f"::: {member.__module__}.{name}")
    return "\n\n".join(found[kind])


def _device(design: str = "tpu_v1") -> Any:
    return make_device(load_design(design).device_spec)


def stages(design: str = "tpu_v1") -> str:
    rows = [
        (f"`{s.name}`", f"`{s.resource}`", s.unit, ", ".join(f"`{a}`" for a in s.after) or "none",
         "yes" if s.in_order else "no")
        for s in _device(design).pipeline.stages
    ]  # fmt: skip
    return table(("stage", "asks", "for", "after", "in tile order"), rows)


def pools(design: str = "tpu_v1") -> str:
    found = _device(design).pipeline.pools
    rows = [(f"`{p.name}`", str(p.slots), f"`{p.taken_by}`", f"`{p.freed_by}`") for p in found]
    return table(("pool", "slots", "taken when this is issued", "given back when this ends"), rows)


def waits() -> str:
    rows = [(f"`{w.name}`", f"`{w.stage}`", f"`{w.upon}`") for w in _device().pipeline.waits]
    return table(("wait", "this stage of a tile", "is held until this stage of another has ended"), rows)


def causes(design: str = "tpu_v1") -> str:
    """What each name of a stall is put down to, highest priority first."""
    rows: dict[str, list[str]] = {}
    for cause in _device(design).causes:
        rows.setdefault(cause.name, []).append(f"{cause.kind} `{cause.what}`")
    return table(
        ("cause", "when this is missing"), [(f"`{name}`", ", ".join(what)) for name, what in rows.items()]
    )


def unmodelled(design: str = "tpu_v1") -> str:
    return "\n".join(f"- {sentence}" for sentence in _device(design).unmodelled)


PIECES: dict[str, Callable[[], str]] = {
    "the cells of the walk-through": walkthrough,
    "examples": examples,
    "fields of Design": lambda: fields(Design),
    "sections of Design": design_sections,
    "device kinds": device_kinds,
    "fields of a workload": lambda: fields(WorkloadSpec),
    "fields of every layer": lambda: fields(Layer),
    "layers": layers,
    "fields of a space": lambda: fields(SpaceSpec),
    "fields of an axis": lambda: fields(AxisSpec),
    "methods of a space": methods,
    "technology rows": technology,
    "commands": commands,
    "exit status": exit_status,
    "public functions": lambda: public("functions"),
    "public classes": lambda: public("classes"),
    "public errors": lambda: public("errors"),
    "stages of tpu_v1": stages,
    "stages of generic_x86": lambda: stages("generic_x86"),
    "stages of v100": lambda: stages("v100"),
    "stages of eie_64pe": lambda: stages("eie_64pe"),
    "slot pools of tpu_v1": pools,
    "slot pools of eie_64pe": lambda: pools("eie_64pe"),
    "waits of tpu_v1": waits,
    "stall causes of tpu_v1": causes,
    "stall causes of eie_64pe": lambda: causes("eie_64pe"),
    "unmodelled by the systolic kind": unmodelled,
    "unmodelled by the eie kind": lambda: unmodelled("eie_64pe"),
}
