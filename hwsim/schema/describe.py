"""What `hwsim describe` prints: every field of a spec with value, unit, sentence and source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hwsim.schema.declared import Declared
from hwsim.schema.spec import Spec, file_key
from hwsim.schema.tree import Node, Path, dotted
from hwsim.schema.wording import format_value

BY_DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Row:
    """One field: its full path, its value with the unit, what it is, and where the value is from.

    `source` is the comment behind the value in the file, "default" where the file does not give it, the
    override that set it, or empty where the file gives no reason.
    """

    path: str
    value: str
    sentence: str
    source: str


def describe(spec: Spec) -> list[Row]:
    """All fields of a loaded spec in the order of their declaration. A spec made in code has no sources."""
    tree = spec.origin.tree if spec.origin is not None else None
    return list(_rows(spec, tree, ()))


def _rows(spec: Spec, node: Node | None, path: Path) -> Iterator[Row]:
    children = (node.children if node is not None else None) or {}
    for name, said in spec.declared.items():
        key = file_key(name)
        yield from _value_rows(getattr(spec, name), said, children.get(key), (*path, key), "")


def _value_rows(value: Any, said: Declared, node: Node | None, path: Path, above: str) -> Iterator[Row]:
    if isinstance(value, Spec):
        yield from _rows(value, node, path)
    elif isinstance(value, Mapping) and value:
        children = (node.children if node is not None else None) or {}
        for key, entry in value.items():
            yield from _value_rows(entry, said, children.get(key), (*path, key), _source(node, ""))
    elif isinstance(value, tuple) and any(isinstance(entry, Spec) for entry in value):
        items = (node.items if node is not None else None) or ()
        for index, entry in enumerate(value):
            item = items[index] if index < len(items) else None
            yield from _value_rows(entry, said, item, (*path, index), "")
    else:
        text = node.text if node is not None and node.text else ""
        shown = text or format_value(value, said.dimension, said.unlimited, said.when_absent)
        yield Row(dotted(path), shown, said.sentence, _source(node, above))


def _source(node: Node | None, above: str) -> str:
    if node is None:
        return above or BY_DEFAULT
    if node.place.line == 0:
        return node.place.file  # an override
    return node.comment or ("" if above == BY_DEFAULT else above)
