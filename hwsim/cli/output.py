"""What may reach a terminal: text from files made safe, and consoles that suit where output goes."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPED_WIDTH = 100  # columns where output is no terminal and COLUMNS says nothing

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


def console(stderr: bool = False) -> Console:
    """A console without markup, emoji or guessed highlights: what it is given is printed as it stands."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    made = Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPED_WIDTH
    return made


def emit(screen: Console, parts: Iterable[RenderableType]) -> None:
    """Print one after the other. Lines in a file or pipe end where their text ends, without padding."""
    if screen.is_terminal:
        for part in parts:
            screen.print(part)
        return
    with screen.capture() as captured:
        for part in parts:
            screen.print(part)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()), color=True)
