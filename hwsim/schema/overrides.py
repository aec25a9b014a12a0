"""Overrides from the command line: `path=value` set on the tree before it is checked.

A path is written in full (`devices.tpu.array.rows`) or as its end (`array.rows`, `rows`), if that names one
field. Of several fields that end so, those nearest to the root are meant.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_origin

from hwsim.errors import Problem, SpecError
from hwsim.schema.spec import Spec, file_key, kind_words
from hwsim.schema.tree import Node, Path, Place, dotted, read_scalar
from hwsim.schema.wording import format_value

Overrides = Mapping[str, Any] | Sequence[str]
_MAX_LISTED = 8


@dataclass(frozen=True, slots=True)
class Slot:
    """A path that can be named: a single value, a section, or a mapping that takes new keys."""

    path: Path
    kind: str  # "value", "section" or "open"
    absent: bool = False  # within an optional section that the file leaves out
    entries: tuple[tuple[str, Any], ...] = ()  # of an open mapping that the file leaves to its default


def apply_overrides(
    tree: Node, spec: type[Spec], overrides: Overrides
) -> tuple[Node, tuple[tuple[str, str], ...], list[Problem]]:
    """The tree with the overrides set, what was set as (full path, text), and the problems met."""
    applied: dict[str, str] = {}
    problems: list[Problem] = []
    for given, text in _pairs(overrides):
        place = Place(f"--set {given}" if text is None else f"--set {given}={text}")
        if text is None or not given:
            problems.append(place.problem((), "write path=value, such as array.rows=128"))
            continue
        try:
            known = list(slots(spec, tree))
            path = _resolve(given, known, place)
            for slot in known:
                if slot.path == path[:-1]:  # one entry is changed, the others of the default stay
                    for key, value in slot.entries:
                        tree = _set(tree, (*slot.path, key), _default_node(value, (*slot.path, key)))
            tree = _set(tree, path, read_scalar(text, place, path))
            applied[dotted(path)] = text
        except SpecError as error:
            problems += error.problems
    return tree, tuple(applied.items()), problems


def slots(spec: type[Spec], node: Node | None, path: Path = ()) -> Iterator[Slot]:
    """All paths that a file of this spec may have, given what `node` holds."""
    children = (node.children if node is not None else None) or {}
    for name in spec.declared:
        key = file_key(name)
        info = spec.model_fields[name]
        for slot in _below(info.annotation, children.get(key), (*path, key)):
            if (
                slot.kind == "open"
                and slot.path == (*path, key)
                and key not in children
                and not info.is_required()
            ):
                yield replace(slot, entries=tuple(info.default.items()))
                continue
            lacking = key not in children and not info.is_required() and info.default is None
            yield replace(slot, absent=slot.absent or (lacking and slot.path != (*path, key)))


def _below(annotation: Any, node: Node | None, path: Path) -> Iterator[Slot]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is not None and origin in (dict, Mapping):
        yield Slot(path, "open")
        for key, child in ((node.children if node else None) or {}).items():
            yield from _below(arguments[1], child, (*path, key))
        return
    if origin is tuple:
        yield Slot(path, "section" if specs_in(annotation) else "value")
        for index, child in enumerate((node.items if node else None) or ()):
            of_item = arguments[0] if Ellipsis in arguments else arguments[min(index, len(arguments) - 1)]
            yield from _below(of_item, child, (*path, index))
        return
    found = specs_in(annotation)
    if not found:
        yield Slot(path, "value")
        return
    yield Slot(path, "section")
    chosen = choose(found, node)
    # Of a section that is not there yet, whichever it will be: its `kind` is set along.
    for spec in (chosen,) if chosen is not None else found if node is None else ():
        yield from slots(spec, node, path)


def specs_in(annotation: Any) -> list[type[Spec]]:
    """The Spec classes that an annotation names, through Optional, Annotated and unions."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return [annotation]
    return [spec for argument in get_args(annotation) for spec in specs_in(argument)]


def choose(specs: Sequence[type[Spec]], node: Node | None) -> type[Spec] | None:
    """The one spec, or the one whose kind the section names."""
    if len(specs) == 1:
        return specs[0]
    named = node.children.get("kind") if node is not None and node.children is not None else None
    return next((spec for spec in specs if named is not None and named.scalar in kind_words(spec)), None)


def _pairs(overrides: Overrides) -> Iterator[tuple[str, str | None]]:
    """(path, text) of each override; the text is None where there is no `=`."""
    if isinstance(overrides, str):
        overrides = (overrides,)
    if isinstance(overrides, Mapping):
        for path, value in overrides.items():
            yield path.strip(), ("true" if value else "false") if isinstance(value, bool) else str(value)
        return
    for text in overrides:
        path, equals, value = text.partition("=")
        yield path.strip(), value.strip() if equals else None


def _steps(given: str) -> tuple[str, ...]:
    return tuple(given.replace("[", ".").replace("]", "").split("."))


def _resolve(given: str, known: list[Slot], place: Place) -> Path:
    """The full path that `given` means. Raises SpecError when it means none or several."""
    steps = _steps(given)
    found: dict[Path, str] = {}
    for slot in sorted(known, key=lambda slot: slot.absent):
        if slot.absent and found:
            break  # what is there goes before what could be added
        names = tuple(str(step) for step in slot.path)
        if f".{'.'.join(names)}".endswith(f".{'.'.join(steps)}"):  # keys may have dots of their own
            found.setdefault(slot.path, slot.kind)
        elif slot.kind == "open" and len(steps) > 1 and names[-len(steps) + 1 :] == steps[:-1]:
            found.setdefault((*slot.path, steps[-1]), "value")
    if not found:
        raise SpecError(place.problem((), f"no field has this path; {_near(given, known)}"))
    nearest = min(len(path) for path in found)
    meant = [path for path in found if len(path) == nearest]
    if len(meant) > 1:
        raise SpecError(place.problem((), f"could mean {_listed(meant)}; write one in full"))
    path = meant[0]
    if found[path] != "value":
        below = [slot.path for slot in known if slot.kind == "value" and slot.path[: len(path)] == path]
        cure = f"set one of its fields: {_listed(below)}" if below else "set one of its keys"
        raise SpecError(place.problem((), f"{dotted(path)} is a section; {cure}"))
    return path


def _default_node(value: Any, path: Path) -> Node:
    place = Place("default")
    return Node(place, path, place, scalar=value, text=format_value(value, "", False, ""))


def _near(given: str, known: list[Slot]) -> str:
    """Close names: by full path, by path within a device, by last name."""
    paths = {dotted(slot.path): slot.path for slot in known if slot.kind == "value"}
    ends: dict[str, list[str]] = {}
    for full, path in paths.items():
        for start in range(len(path)):
            ends.setdefault(dotted(path[start:]).lower(), []).append(full)
    near = difflib.get_close_matches(given.lower()[:60], ends, n=3, cutoff=0.6)
    meant = list(dict.fromkeys(name for end in near for name in ends[end]))
    if meant:
        return f"did you mean {' or '.join(meant[:3])}?"
    return f"known: {_listed(list(paths.values()))}"


def _listed(paths: Sequence[Path]) -> str:
    names = [dotted(path) for path in paths]
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def _set(node: Node, path: Path, value: Node) -> Node:
    """A copy of the tree in which `path` holds `value`; sections on the way are made where they lack."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        assert node.items is not None
        items = list(node.items)
        items[step] = _set(items[step], rest, value)
        return replace(node, items=items)
    children = dict(node.children or {})
    below = children.get(step)
    if below is None and rest:
        below = Node(value.place, (*node.path, step), value.place, children={})
    children[step] = _set(below, rest, value) if below is not None and rest else value
    return replace(node, children=children, scalar=None, text="")
