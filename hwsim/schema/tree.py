"""YAML text as a tree of values that know where they stand: file, line, column, path and trailing comment.

The only file that imports ruamel.yaml. It takes the parser's events, not its objects: nothing in a file can
name a Python type, merge one mapping into another, or grow without bound. Scalars follow the YAML 1.2 core
schema, so `1e-9` is a number and `yes` is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from hwsim.errors import Problem, SpecError

MAX_FILE_BYTES = 2 * 2**20  # some seconds of parsing
MAX_LINE = 10_000  # the parser's time grows with the square of some tokens
MAX_DEPTH = 50
MAX_VALUES = 100_000  # after aliases are expanded: nine levels of nine aliases would be 10**9

Scalar = None | bool | int | float | str
Path = tuple[str | int, ...]

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_BEFORE_COMMENT = " \t:,[]{}-"  # what may stand between a value and the comment on its line
_MAX_DIGITS = 100  # of a number; Python refuses to read integers of more than 4,300


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written. Line and column count from 1; line 0 means the source has no lines."""

    file: str
    line: int = 0
    col: int = 0

    def problem(self, path: Path, message: str) -> Problem:
        return Problem(self.file, self.line, self.col, dotted(path), message)


@dataclass(slots=True)
class Node:
    """One value: a scalar, or the children of a mapping (by key) or of a list (`items`).

    `text` is a scalar as written, `place` where the value starts, `key_place` where its key does, `path` the
    keys that lead to it in its file and `comment` what stands behind it on its line.
    """

    place: Place
    path: Path = ()
    key_place: Place | None = None
    scalar: Scalar = None
    text: str = ""
    children: dict[str, Node] | None = None
    items: list[Node] | None = None
    comment: str = ""
    values: int = 1  # in the whole subtree, aliases expanded
    depth: int = 0  # levels below this one

    def plain(self) -> Any:
        """The value as dicts, tuples and scalars. Parts that aliases share stay shared."""
        return _plain(self, {})


def dotted(path: Path) -> str:
    """('layers', 3, 'kernel') as 'layers[3].kernel'."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_tree(text: str, file: str) -> tuple[Node, list[Problem]]:
    """The tree of one YAML document, and its duplicate keys (the first of each is kept).

    Raises SpecError at the first fault of form, after which nothing more can be read.
    """
    builder = _Builder(text, file)
    for number, line in enumerate(builder.lines, 1):
        if len(line) > MAX_LINE:
            message = f"the line has {len(line):,} characters, more than the {MAX_LINE:,} that are read"
            raise SpecError(Place(file, number, 1).problem((), message))
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except SpecError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        what = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise SpecError(place.problem((), f"not valid YAML: {what}")) from None
    except Exception as error:  # noqa: BLE001 - on hostile bytes ruamel lets IndexError, ValueError... out
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpecError(Place(file).problem((), f"not valid YAML: {what}")) from None
    if builder.root is None:
        raise SpecError(Place(file).problem((), "is empty; it should hold `key: value` lines"))
    return builder.root, builder.problems


def read_scalar(text: str, place: Place, path: Path) -> Node:
    """The value of an override, read as a YAML scalar. Raises SpecError when it is anything else."""
    if len(text) > MAX_FILE_BYTES:
        raise SpecError(place.problem(path, "the value is too long"))
    if not text.strip():
        raise SpecError(place.problem(path, "has no value; write path=value"))
    try:
        node, _ = read_tree(text, place.file)
    except SpecError as error:
        raise SpecError(place.problem(path, error.problems[0].message)) from None
    if node.children is not None or node.items is not None:
        message = "only single values can be set; set the fields of a section one by one"
        raise SpecError(place.problem(path, message))
    return replace(node, place=place, key_place=place, path=path, comment="")


def _plain(node: Node, done: dict[int, Any]) -> Any:
    if id(node) in done:
        return done[id(node)]
    value: Any = node.scalar
    if node.children is not None:
        value = {key: _plain(child, done) for key, child in node.children.items()}
    elif node.items is not None:
        value = tuple(_plain(child, done) for child in node.items)
    done[id(node)] = value
    return value


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    key_place: Place | None = None
    key_end: Any = None  # the parser's mark
    lost: bool = False  # the coming value belongs to a duplicate key and is dropped


class _Builder:
    """Grows a tree from parser events."""

    def __init__(self, text: str, file: str) -> None:
        self.lines = re.split(r"\r\n|[\r\n\x85\u2028\u2029]", text)  # as the parser counts them
        self.file = file
        self.stack: list[_Open] = []
        self.anchors: dict[str, Node] = {}
        self.root: Node | None = None
        self.documents = 0
        self.values = 0
        self.problems: list[Problem] = []

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._scalar(event)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._open(event, kind == "MappingStartEvent")
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self._close(event)
        elif kind == "AliasEvent":
            self._alias(event)
        elif kind == "DocumentStartEvent":
            self.documents += 1
            if self.documents > 1:
                raise self._fault(event, "a second document starts here; a file holds one")

    def _place(self, event: Any) -> Place:
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _fault(self, event: Any, message: str) -> SpecError:
        path = self._path() if self.stack else ()
        return SpecError([*self.problems, self._place(event).problem(path, message)])

    def _path(self) -> Path:
        """Of the value that comes next."""
        if not self.stack:
            return ()
        top = self.stack[-1]
        if top.node.items is not None:
            return (*top.node.path, len(top.node.items))
        return (*top.node.path, top.key) if top.key is not None else top.node.path

    def _comment(self, mark: Any) -> str:
        """What stands behind `mark` on its line. A comma or closing bracket may come between."""
        line = self.lines[mark.line] if mark.line < len(self.lines) else ""
        between, hash_, comment = line[mark.column :].partition("#")
        if not hash_ or not between[-1:].isspace() or between.strip(_BEFORE_COMMENT):
            return ""
        return comment.strip()

    def _awaits_key(self) -> bool:
        return bool(self.stack) and self.stack[-1].node.children is not None and self.stack[-1].key is None

    def _count(self, event: Any, values: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            raise self._fault(event, f"more than {MAX_VALUES:,} values, aliases counted; shorten the file")

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag
        if tag is not None and str(tag) != "!":
            raise self._fault(event, f"the tag {str(tag)!r} is not read here; write a plain value")

    def _scalar(self, event: Any) -> None:
        self._refuse_tag(event)
        self._count(event, 1)
        text: str = event.value
        place = self._place(event)
        if self._awaits_key():
            self._key(event, text, place)
            return
        plain = event.style is None and event.implicit[0]
        try:
            value = _resolve(text) if plain else text
        except ValueError as error:
            raise self._fault(event, str(error)) from None
        if not text and self.stack and self.stack[-1].key_place is not None:
            place = self.stack[-1].key_place  # the parser places a value that is not there in a later line
        node = Node(place, self._path(), scalar=value, text=text)
        if event.style not in ("|", ">"):
            node.comment = self._comment(event.end_mark)
        self._place_node(node, event.anchor)

    def _key(self, event: Any, text: str, place: Place) -> None:
        top = self.stack[-1]
        assert top.node.children is not None
        if event.anchor is not None:
            raise self._fault(event, "an anchor on a key is not read here")
        if text == "<<" and event.style is None:
            raise self._fault(event, "merge keys (`<<`) are not YAML 1.2; write the fields out")
        if text in top.node.children:
            first = top.node.children[text].key_place
            assert first is not None
            message = f"the key is written twice, first in line {first.line}, column {first.col}; keep one"
            self.problems.append(place.problem((*top.node.path, text), message))
            top.lost = True
        top.key, top.key_place, top.key_end = text, place, event.end_mark

    def _open(self, event: Any, mapping: bool) -> None:
        self._refuse_tag(event)
        self._count(event, 1)
        if self._awaits_key():
            raise self._fault(event, "a key must be a name, not a list or a section")
        if len(self.stack) >= MAX_DEPTH:
            raise self._fault(event, f"nested more than {MAX_DEPTH} levels deep")
        node = Node(self._place(event), self._path())
        node.children, node.items = ({}, None) if mapping else (None, [])
        if self.stack and self.stack[-1].key_end is not None:
            node.comment = self._comment(self.stack[-1].key_end)
        self.stack.append(_Open(node, event.anchor))

    def _close(self, event: Any) -> None:
        done = self.stack.pop()
        below = tuple((done.node.children or {}).values()) or tuple(done.node.items or ())
        done.node.values = 1 + sum(child.values for child in below)
        done.node.depth = 1 + max((child.depth for child in below), default=0)
        if event.end_mark.column > event.start_mark.column:  # a closing bracket, not a dedent
            done.node.comment = self._comment(event.end_mark)
            for child in below:  # `{int8: 1, int16: 4}  # source` is the source of both
                child.comment = child.comment or done.node.comment
        self._place_node(done.node, done.anchor)

    def _alias(self, event: Any) -> None:
        if self._awaits_key():
            raise self._fault(event, "a key must be a name, not an alias")
        found = self.anchors.get(event.anchor)
        if found is None:
            inside = any(level.anchor == event.anchor for level in self.stack)
            what = "stands for a value that holds the alias itself" if inside else "has no anchor before it"
            raise self._fault(event, f"the alias *{event.anchor} {what}")
        self._count(event, found.values)
        if len(self.stack) + found.depth > MAX_DEPTH:
            raise self._fault(event, f"nested more than {MAX_DEPTH} levels deep")
        self._place_node(replace(found), None)

    def _place_node(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if top.node.items is not None:
            top.node.items.append(node)
            return
        assert top.node.children is not None
        assert top.key is not None
        node.key_place = top.key_place
        if not top.lost:
            top.node.children[top.key] = node
        top.key, top.key_place, top.key_end, top.lost = None, None, None, False


def _resolve(text: str) -> Scalar:
    """A plain scalar by the YAML 1.2 core schema. Raises ValueError for numbers of absurd length."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        if len(text) > _MAX_DIGITS:
            raise ValueError(f"a number of {len(text):,} digits is more than hwsim reads")
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text
