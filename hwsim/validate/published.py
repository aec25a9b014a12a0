"""Published figures of the TPU v1, and how a simulated figure is set beside one."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Published:
    """One figure of a paper. `confidence` is confirmed (read in the paper or a second transcription),
    recalled (not read again) or derived."""

    table: str
    subject: str
    figure: str
    value: float
    unit: str
    source: str
    confidence: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published figure and the simulated one, in `published.unit`. `allowed` is the gap within which
    the two must lie, None where none is demanded; `remark` says what stands between them."""

    published: Published
    simulated: float
    allowed: float | None = None
    remark: str = ""

    @property
    def gap(self) -> float:
        """Simulated less published: points where the unit is a percentage."""
        return self.simulated - self.published.value

    @property
    def holds(self) -> bool | None:
        """Whether the gap is allowed; None where nothing is demanded."""
        return None if self.allowed is None else abs(self.gap) <= self.allowed


@cache
def tpu_v1_published() -> dict[tuple[str, str], Published]:
    """(subject, figure) -> the figure, from the shipped table."""
    text = (files("hwsim.validate") / "sets" / "tpu_v1_published.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    figures = (
        Published(
            r["table"], r["subject"], r["figure"], float(r["value"]), r["unit"], r["source"], r["confidence"]
        )
        for r in rows
    )
    return {(found.subject, found.figure): found for found in figures}
