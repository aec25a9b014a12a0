"""Tables of a report as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

Cells = Sequence[object]


def markdown(columns: Sequence[str], rows: Iterable[Cells]) -> str:
    """A table, each line ended. None is an empty cell."""
    lines = [
        columns,
        ["---"] * len(columns),
        *(["" if cell is None else cell for cell in row] for row in rows),
    ]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def csv_text(columns: Sequence[str], rows: Iterable[Cells]) -> str:
    """A table with floats to six digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return stream.getvalue()


def rounded(cells: Cells, digits: int = 2) -> Cells:
    """Floats as text of so many decimals."""
    return tuple(f"{cell:.{digits}f}" if isinstance(cell, float) else cell for cell in cells)
