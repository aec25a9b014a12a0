"""The text of a saved workload: a small writer of YAML that reads back as exactly what was written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = ("true", "false", "null")
_WIDTH = 108
_PIECE = 400  # characters of a text on one line; a reader's time grows with the square of a line


def block(entries: Mapping[str, object]) -> str:
    """`entries` as the lines of a file: lists of mappings an entry a line, the rest as it fits."""
    lines: list[str] = []
    for key, value in entries.items():
        if (
            isinstance(value, tuple | list)
            and value
            and all(isinstance(item, Mapping | str) for item in value)
        ):
            lines.append(f"{key}:")
            lines += [f"  - {flow(item, indent=4, used=4)}" for item in value]
        else:
            lines.append(f"{key}: {flow(value, indent=2, used=len(key) + 2)}")
    return "".join(f"{line}\n" for line in lines)


def flow(value: object, *, indent: int, used: int) -> str:
    """One value in flow style, broken after commas where a line grows long."""
    text, width = "", used
    for token in _tokens(value):
        if width + len(token) > _WIDTH and text.endswith(", "):
            text = f"{text.rstrip()}\n{' ' * indent}"
            width = indent
        text += token
        width += len(token)
    return text


def _tokens(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield "{"
        for position, (key, entry) in enumerate(value.items()):
            head, *rest = _tokens(entry)
            last = position == len(value) - 1
            yield from _ended([f"{_scalar(str(key))}: {head}", *rest], "" if last else ", ")
        yield "}"
    elif isinstance(value, tuple | list):
        yield "["
        for position, entry in enumerate(value):
            yield from _ended(list(_tokens(entry)), "" if position == len(value) - 1 else ", ")
        yield "]"
    else:
        yield _scalar(value)


def _ended(tokens: list[str], end: str) -> Iterator[str]:
    yield from tokens[:-1]
    yield tokens[-1] + end


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"{'-' if value < 0 else ''}.inf"
    if not isinstance(value, str):
        raise TypeError(f"no YAML for {type(value).__name__}")
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    pieces = [value[first : first + _PIECE] for first in range(0, len(value), _PIECE)] or [""]
    # A backslash joins lines, and another keeps a space at the beginning of the next one.
    return '"' + "\\\n    ".join(_quoted(piece) for piece in pieces) + '"'


def _quoted(text: str) -> str:
    found = "".join(_character(c) for c in text)
    return f"\\{found}" if found.startswith(" ") else found


def _character(c: str) -> str:
    if c in '"\\':
        return f"\\{c}"
    if c.isprintable() and ord(c) <= 0xFFFF:
        return c
    return (
        f"\\x{ord(c):02x}"
        if ord(c) < 0x100
        else f"\\u{ord(c):04x}"
        if ord(c) < 0x10000
        else f"\\U{ord(c):08x}"
    )
