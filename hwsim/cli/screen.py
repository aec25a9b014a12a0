"""Consoles that suit where output goes, and how renderables are printed on them. Imports rich."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import NoReturn

from rich.console import Console, RenderableType

from hwsim.cli.output import output_errors, write

PIPED_WIDTH = 100  # columns where output is no terminal and COLUMNS says nothing


class Screen(Console):
    """A console without markup, emoji or guessed highlights: what it is given is printed as it stands."""

    def __init__(self, *, stderr: bool = False) -> None:
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(file=stream, markup=False, highlight=False, emoji=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = PIPED_WIDTH

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError  # rich would exit with status 1 of its own


def emit(screen: Screen, parts: Iterable[RenderableType]) -> None:
    """Print one after the other. Lines in a file or pipe end where their text ends, without padding."""
    with output_errors(), screen.capture() as captured:
        for part in parts:
            screen.print(part)
    text = captured.get()
    if not screen.is_terminal:
        text = "\n".join(line.rstrip() for line in text.splitlines())
    write(text.removesuffix("\n"), screen.file)
