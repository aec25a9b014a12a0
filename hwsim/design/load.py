"""From a name, path or Design to a checked Design, with overrides. Equal bytes are checked once."""

from __future__ import annotations

import difflib
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hwsim.design.host import host_design
from hwsim.design.spec import DEVICE_SPECS, Design
from hwsim.errors import SpecError
from hwsim.library import find
from hwsim.schema import (
    Node,
    Overrides,
    Source,
    file_keys,
    json_schema,
    kind_words,
    load_source,
    override_spec,
    read_source,
)

HOST = "host"  # the machine at hand, unless a file of that name is found
HOST_PLACE = "the machine at hand"  # instead of a path

_CACHE_SIZE = 64
_cache: OrderedDict[tuple[str, str, tuple[str, ...]], Design] = OrderedDict()


def load_design(design: str | Path | Design, overrides: Overrides = ()) -> Design:
    """A design by name, by path, or as it is; with `overrides` ("path=value" each, or a mapping) on top.
    "host" is the machine at hand where no file has that name; its memory and clock are measured then, once a
    process, which takes about a second.

    Raises SpecError with every problem of file and overrides, each with its place.
    """
    if isinstance(overrides, Mapping):
        listed = tuple(f"{path}={value}" for path, value in overrides.items())
    else:
        listed = (overrides,) if isinstance(overrides, str) else tuple(overrides)
    if isinstance(design, Design):
        return override_spec(design, overrides) if listed else design
    if not isinstance(design, str | Path):  # a caller without types
        raise SpecError(f"a design is given by name, path or as a Design, not as {type(design).__name__}")
    source = _source(design)
    key = (source.path, source.sha256, listed)
    if key in _cache:
        _cache.move_to_end(key)
        return _cache[key]
    loaded = load_source(source, Design, overrides, prepare=full_form)
    _cache[key] = loaded
    if len(_cache) > _CACHE_SIZE:
        _cache.popitem(last=False)
    return loaded


def design_text(design: Design) -> str:
    """The text of the file that a design was read from. Raises SpecError where there is none."""
    if not design.path:
        raise SpecError(f"design {design.name} was made in code and has no file")
    if design.path == HOST_PLACE:
        return _host().content.decode("utf-8")
    return read_source(design.path).content.decode("utf-8-sig")


def _source(design: str | Path) -> Source:
    try:
        path = find("designs", design)
    except SpecError:
        if str(design) != HOST:
            raise
        return _host()
    return read_source(path)


@cache
def _host() -> Source:
    content = host_design().encode("utf-8")
    return Source(HOST_PLACE, content, hashlib.sha256(content).hexdigest())


def full_form(tree: Node) -> Node:
    """A file as if written in full: with a name, and with `devices:` where one device stands at top level.

    Places and paths stay those of the file, so that faults are told as the person wrote them.
    """
    given = tree.children or {}
    children = dict(given)
    if "devices" not in given:
        own = {key: node for key, node in given.items() if _belongs_to_design(key)}
        rest = {key: node for key, node in given.items() if key not in own}
        device = Node(tree.place, children=rest)
        kind = rest["kind"].scalar if "kind" in rest else None
        name = kind if isinstance(kind, str) and kind in _known_kinds() else "device"
        children = {**own, "devices": Node(tree.place, children={name: device})}
    if "name" not in given:
        stem = Path(tree.place.file).stem
        children["name"] = Node(tree.place, ("name",), tree.place, stem, stem, comment="the file's name")
    return replace(tree, children=children)


def design_schema() -> dict[str, Any]:
    """JSON Schema of design files, in both forms: with `devices`, or with one device at top level."""
    schema = json_schema(Design)
    definitions = schema.pop("$defs")
    dialect = schema.pop("$schema")
    full = {**schema, "required": [key for key in schema["required"] if key != "name"]}
    forms: list[dict[str, Any]] = [full]
    about = {key: value for key, value in schema["properties"].items() if key != "devices"}
    for spec in DEVICE_SPECS:
        device = definitions[spec.__name__]
        properties = {**about, **device["properties"]}
        title = f"Design with one device, {', '.join(kind_words(spec))}"
        forms.append({**device, "title": title, "properties": properties})
    return {"$schema": dialect, "title": "hwsim design", "anyOf": forms, "$defs": definitions}


def _known_kinds() -> set[str]:
    return {word for spec in DEVICE_SPECS for word in kind_words(spec)}


def _belongs_to_design(key: str) -> bool:
    """Whether a top-level key of a one-device file is the design's; a misspelt one, whether it is nearest."""
    own = file_keys(Design)
    of_devices = {name for spec in DEVICE_SPECS for name in file_keys(spec)}
    if key in own or key in of_devices:
        return key in own
    near = difflib.get_close_matches(key.lower()[:60], [*own, *of_devices], n=1, cutoff=0.6)
    return bool(near) and near[0] in own
