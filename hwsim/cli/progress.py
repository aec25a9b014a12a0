"""Progress on standard error: nothing for two seconds, then a live bar; plain lines where no terminal is."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from hwsim.cli.screen import Screen

QUIET_S = 2.0  # work shorter than this shows nothing
LINE_EVERY_S = 10.0  # between plain lines
REDRAWS_PER_S = 5
BAR_WIDTH = 16


class Progress:
    """Used as a context; called with (done, total) from the work, as often as it likes.

    Drawing happens on a thread of its own, so that a call costs two assignments, and long steps that count
    nothing (reading a file, compiling kernels on the first run) are shown too.
    """

    def __init__(self, unit: str, *, quiet: bool = False) -> None:
        self.unit = unit
        self._shown = not quiet
        self._done, self._total = 0, 0
        self._phase = "working"
        self._counting_since = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="hwsim-progress", daemon=True)

    def __call__(self, done: int, total: int) -> None:
        if not self._counting_since:
            self._counting_since = time.monotonic()
        self._done, self._total = done, total

    def say(self, phase: str) -> None:
        """What is being done while nothing can be counted."""
        self._phase = phase

    def __enter__(self) -> Self:
        if self._shown:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._shown:
            self._thread.join()

    def line(self) -> str:
        """Where the work is: how much is done, at what rate, and how long the rest will take."""
        if not self._total and self._done:
            return f"{self._done:,} {self.unit} done"
        if not self._total:
            return f"{self._phase} (the first run also compiles, which takes some seconds)"
        if self._done >= self._total:
            return f"{self._total:,} {self.unit} done, putting the results together"
        elapsed_s = time.monotonic() - self._counting_since
        rate = self._done / elapsed_s if elapsed_s > 0 else 0.0
        share = 100 * self._done / self._total
        speed = f", {rate:,.0f}/s" if rate >= 1 else ""
        pace = f"{speed}, {duration((self._total - self._done) / rate)} left" if rate else ""
        return f"{self._done:,} of {self._total:,} {self.unit} ({share:.0f} %){pace}"

    def _draw(self) -> None:
        if self._end.wait(QUIET_S):
            return
        from hwsim.cli.screen import Screen

        try:
            screen = Screen(stderr=True)
            if screen.is_terminal and not screen.is_dumb_terminal:
                self._live(screen)
            else:
                self._lines()
        except (OSError, ValueError):  # nobody reads standard error any more: the work goes on
            return

    def _lines(self) -> None:
        said = ""
        while True:
            if (line := self.line()) != said:  # nothing is said twice
                click.echo(f"hwsim: {line}", err=True)
                said = line
            if self._end.wait(LINE_EVERY_S):
                return

    def _live(self, screen: Screen) -> None:
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        def view() -> Table:
            row = Table.grid(padding=(0, 1))
            bar = ProgressBar(
                total=self._total or None, completed=self._done, width=BAR_WIDTH, pulse=not self._total
            )
            row.add_row(bar, Text(self.line(), overflow="ellipsis", no_wrap=True))
            return row

        with Live(
            console=screen, get_renderable=view, transient=True, refresh_per_second=REDRAWS_PER_S,
            redirect_stdout=False, redirect_stderr=False,
        ):  # fmt: skip
            self._end.wait()


def duration(seconds: float) -> str:
    """'8 s', '2 min 5 s', '3 h 20 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, 1)} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
