"""What may reach a terminal: text from files made safe, and one way to write it."""

from __future__ import annotations

import errno
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import click

from hwsim.errors import OutputError

# Control characters, format characters (they can reorder or hide text), surrogates, unassigned and private.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: str, keep: str = "") -> str:
    """`text` with every character that could move the cursor, hide or reorder text shown by its code."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c
        if c in keep or unicodedata.category(c) not in _UNPRINTABLE
        else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def shortened(text: str, width: int) -> str:
    """`text` cut in the middle to `width`: what tells names apart is often at the end."""
    if len(text) <= width:
        return text
    head = (width - 2) // 3
    return f"{text[:head]}..{text[len(text) - (width - 2 - head) :]}"


def counted(count: int, noun: str) -> str:
    """'1 row', '1,500 rows'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def write(text: str, stream: IO[str] | None = None) -> None:
    """One text and a line end on standard output, or on `stream`. Raises OutputError when it takes no more,
    and BrokenPipeError when nobody reads it."""
    with output_errors():
        click.echo(text, file=stream, color=True)


@contextmanager
def output_errors() -> Iterator[None]:
    """Turn what a stream raises into OutputError; a reader who left stays a BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if sys.platform == "win32" and error.errno == errno.EINVAL:  # what Windows says of a reader who left
            raise BrokenPipeError from None
        raise OutputError(f"cannot write the output: {error.strerror or error}") from None
