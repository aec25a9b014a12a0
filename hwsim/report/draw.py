"""Which page a folder gets: that of a run, of a comparison, or of a sweep."""

from __future__ import annotations

from pathlib import Path

from hwsim.report.comparison import draw_comparison
from hwsim.report.page import draw_run
from hwsim.report.sweep import draw_sweep
from hwsim.result.comparison import is_comparison
from hwsim.result.folder import write_page
from hwsim.result.swept import is_swept


def render(folder: str | Path) -> Path:
    """Draw report.html from the other files of a folder that `hwsim run`, `hwsim compare` or `hwsim report`
    wrote, write it there and return its absolute path.

    The same files give the same bytes. Raises SpecError when the folder does not hold one whole result, and
    OutputError when the page cannot be written.
    """
    return write_page(folder, draw(folder))


def draw(folder: str | Path) -> bytes:
    """The page as UTF-8. Raises SpecError as `render` does."""
    if is_swept(Path(folder)):
        return draw_sweep(folder)
    return draw_comparison(folder) if is_comparison(Path(folder)) else draw_run(folder)
