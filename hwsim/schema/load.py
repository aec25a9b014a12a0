"""From a file to a checked Spec: reading, overriding, validating, and telling every fault with its place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import ValidationError

from hwsim.errors import Problem, SpecError
from hwsim.files import read_file
from hwsim.schema.declared import Origin
from hwsim.schema.overrides import Overrides, apply_overrides
from hwsim.schema.spec import FROM_FILE, Spec, file_key
from hwsim.schema.tree import MAX_FILE_BYTES, Node, Path, Place, read_tree
from hwsim.schema.wording import OUT_OF_BOUNDS, UNLIMITED, either
from hwsim.units import DIMENSIONS

S = TypeVar("S", bound=Spec)
Prepare = Callable[[Node], Node]


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of one file, and what they are known by."""

    path: str
    content: bytes
    sha256: str


def read_source(path: str | FilePath) -> Source:
    """Read a file of bounded size. Raises SpecError with the reason when there is nothing to read."""
    content = read_file(path, MAX_FILE_BYTES)
    return Source(str(path), content, hashlib.sha256(content).hexdigest())


def load_yaml(
    path: str | FilePath, spec: type[S], overrides: Overrides = (), *, prepare: Prepare | None = None
) -> S:
    """Read a YAML file as `spec`, with `overrides` ("path=value", or a mapping) on top.

    `prepare` may turn short forms of a file into the full one before anything is checked. Raises SpecError
    with every problem of the file, each with its place.
    """
    return load_source(read_source(path), spec, overrides, prepare=prepare)


def load_source(
    source: Source, spec: type[S], overrides: Overrides = (), *, prepare: Prepare | None = None
) -> S:
    """As `load_yaml`, for bytes already read."""
    tree, problems = _read(source)
    if tree.children is None:
        message = "holds no `key: value` lines"
        raise SpecError(tree.place.problem((), message))
    if prepare is not None:
        tree = prepare(tree)
    tree, applied, refused = apply_overrides(tree, spec, overrides)
    loaded = validate_tree(tree, spec, problems + refused)
    return loaded.with_origin(Origin(source.path, source.sha256, applied, tree))


@lru_cache(maxsize=64)
def _read(source: Source) -> tuple[Node, list[Problem]]:
    """The tree of a file and its problems, of equal bytes once: reading YAML takes longer than all else that
    an override asks for. Neither is changed by those who get it."""
    return read_tree(_text(source), source.path)


def override_spec(spec: S, overrides: Overrides) -> S:
    """A loaded spec, or one made in code, with `overrides` on top of what was set before."""
    origin = spec.origin or Origin("", spec.content_hash, (), tree_of(spec))
    tree, applied, refused = apply_overrides(origin.tree, type(spec), overrides)
    loaded = validate_tree(tree, type(spec), refused)
    together = tuple({**dict(origin.overrides), **dict(applied)}.items())
    return loaded.with_origin(replace(origin, overrides=together, tree=tree))


def tree_of(spec: Spec) -> Node:
    """The tree of a file that reads as `spec`. Quantities are in base units, so that none is rounded."""
    children: dict[str, Node] = {}
    for name, said in spec.declared.items():
        value = getattr(spec, name)
        if value is None and not said.unlimited:
            continue
        if value is None:
            value = UNLIMITED
        elif said.dimension:
            value = f"{value!r} {next(iter(DIMENSIONS[said.dimension]))}"
        children[file_key(name)] = _node_of(value)
    return Node(Place(""), children=children)


def _node_of(value: Any) -> Node:
    if isinstance(value, Spec):
        return tree_of(value)
    if isinstance(value, Mapping):
        return Node(Place(""), children={key: _node_of(entry) for key, entry in value.items()})
    if isinstance(value, tuple):
        return Node(Place(""), items=[_node_of(entry) for entry in value])
    return Node(Place(""), scalar=value)


def validate_tree(tree: Node, spec: type[S], problems: Sequence[Problem] = ()) -> S:
    """A spec from a tree. `problems` found before are raised together with those found here."""
    found = list(problems)
    loaded = None
    try:
        loaded = spec.model_validate(tree.plain(), context=FROM_FILE, by_alias=True, by_name=False)
    except ValidationError as error:
        found += _told(tree, error)
    if loaded is None or found:
        # As in the file, then the overrides as given.
        raise SpecError(sorted(found, key=lambda p: (p.line == 0, p.line, p.col)))
    return loaded


def _text(source: Source) -> str:
    place = Place(source.path)
    if b"\0" in source.content:
        raise SpecError(place.problem((), "is a binary file, not YAML text"))
    try:
        return source.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start:,}); is it a binary file?"
        raise SpecError(place.problem((), message)) from None


def _told(tree: Node, error: ValidationError) -> list[Problem]:
    """Pydantic's faults with their places, in the order of the file. Alternatives of one value become one;
    those of another form than the one that is there (a list in place of a section) have nothing to say."""
    found = [
        (one["type"], one["msg"], *_locate(tree, one["loc"], one["type"]))
        for one in error.errors(include_url=False)
    ]
    met = {path[:depth] for _, _, _, path in found for depth in range(len(path))}
    met |= {path for kind, _, _, path in found if kind == "hwsim_whole"}
    told: dict[tuple[Place, str], Problem] = {}
    for kind, message, place, path in found:
        if kind == "hwsim_form" and path in met:
            continue
        problem = place.problem(path, message)
        before = told.get((place, problem.path))
        if before is None:
            told[place, problem.path] = problem
        elif before.message.startswith(OUT_OF_BOUNDS):
            continue  # of the right type, so what the other types say is of no help
        elif problem.message not in before.message:
            told[place, problem.path] = replace(before, message=either(before.message, problem.message))
    return list(told.values())


def _locate(tree: Node, loc: tuple[str | int, ...], kind: str) -> tuple[Place, Path]:
    """The place and written path of a fault. Pydantic's own labels of alternatives are passed over."""
    node = tree
    for index, step in enumerate(loc):
        last = index == len(loc) - 1
        child = _child(node, step)
        if child is not None:
            node = child
        elif last and kind in ("hwsim_missing", "hwsim_at") and node.children is not None:
            return node.key_place or node.place, (*node.path, step)
    if kind == "hwsim_key" and node.key_place is not None:
        return node.key_place, node.path
    return node.place, node.path


def _child(node: Node, step: str | int) -> Node | None:
    if node.children is not None:
        return node.children.get(str(step))
    if node.items is not None and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None
