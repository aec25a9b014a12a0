"""A table for the terminal that leaves columns out, and says so, where there is no room for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

GAP = 3  # between columns


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above a column. Of those with a rank the highest gives way first; the others stay."""

    text: str
    rank: int = 0
    right: bool = True


@dataclass(frozen=True, slots=True)
class FittingTable:
    """Rows of cells under headings. Its width is decided when it is drawn."""

    headings: Sequence[Heading]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        widths = [
            max(len(heading.text), *(len(row[index]) for row in self.rows), 0)
            for index, heading in enumerate(self.headings)
        ]
        shown = list(range(len(self.headings)))
        while sum(widths[i] for i in shown) + GAP * (len(shown) - 1) > options.max_width:
            ranked = [i for i in shown if self.headings[i].rank]
            if not ranked:
                break
            shown.remove(max(ranked, key=lambda i: self.headings[i].rank))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
        for i in shown:
            table.add_column(
                self.headings[i].text, no_wrap=True, justify="right" if self.headings[i].right else "left"
            )
        for row in self.rows:
            table.add_row(*(row[i] for i in shown))
        yield table
        if out := [heading.text for i, heading in enumerate(self.headings) if i not in shown]:
            yield Text(f"without room here: {', '.join(out)}", style="dim")
