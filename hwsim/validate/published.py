"""Published figures of real parts, and how a simulated figure is set beside one."""

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


Figures = dict[tuple[str, str], Published]  # by (subject, figure)


def tpu_v1_published() -> Figures:
    """What the TPU paper gives."""
    return _read("tpu_v1_published.csv")


def eie_published() -> Figures:
    """What the EIE paper gives."""
    return _read("eie_published.csv")


def deep_compression_published() -> Figures:
    """What the tables of Deep Compression give, layer by layer."""
    return _read("deep_compression_published.csv")


@cache
def _read(name: str) -> Figures:
    text = (files("hwsim.validate") / "sets" / name).read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    figures = (
        Published(
            r["table"], r["subject"], r["figure"], float(r["value"]), r["unit"], r["source"], r["confidence"]
        )
        for r in rows
    )
    return {(found.subject, found.figure): found for found in figures}
