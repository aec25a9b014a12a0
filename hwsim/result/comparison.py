"""Comparison: several workloads on several designs, one tidy row a pair; and its folder of files.

Only what was found is kept. Rates, powers and ratios follow from it, on the way out and when a file is read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hwsim.folders import FolderKind, is_marked
from hwsim.result.folder import PAGE, file_name, strict
from hwsim.version import __version__

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "hwsim comparison 1"  # marks a comparison.json as ours
ABOUT, TABLE = "comparison.json", "comparison.csv"

# How a pair ended. The last two are faults of hwsim or of its numbers, not of the input.
RAN, UNSUPPORTED, NO_ROOM, REFUSED, WRONG, FAULT = (
    "ran", "unsupported", "no room", "refused", "wrong numbers", "fault",
)  # fmt: skip
OUTCOMES = (RAN, UNSUPPORTED, NO_ROOM, REFUSED, WRONG, FAULT)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run found. `energy_j` is that of the whole batch; `area_mm2` that of the modelled parts. `limit`
    is the busiest resource, busy for `limit_busy` of the run. `verified` says how the numbers were checked,
    and `error` how far this kind of work on this design is from measurements; both in words. `low_s` and
    `high_s` are the shortest and the longest real time that this error makes of `latency_s`, None where it is
    not known."""

    dtype: str
    latency_s: float
    energy_j: float
    area_mm2: float
    macs: int
    multiplications: int
    limit: str
    limit_busy: float
    numbers_checked: bool
    verified: str
    error: str
    low_s: float | None = None
    high_s: float | None = None


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One workload on one design. `form` says what compression left of the weights. Without `figures`,
    `reason` says why there are none."""

    workload: str
    form: str
    batch: int
    design: str
    kind: str
    outcome: str
    reason: str = ""
    figures: Figures | None = None

    @property
    def throughput_per_s(self) -> float | None:
        """Inferences per second, one batch after the other; None without a run or without time."""
        found = self.figures
        return self.batch / found.latency_s if found is not None and found.latency_s else None

    @property
    def energy_per_inference_j(self) -> float | None:
        return self.figures.energy_j / self.batch if self.figures is not None else None

    @property
    def average_power_w(self) -> float | None:
        found = self.figures
        return found.energy_j / found.latency_s if found is not None and found.latency_s else None

    @property
    def executed_share(self) -> float | None:
        """Multiplications carried out over the MACs of the problem."""
        found = self.figures
        return found.multiplications / found.macs if found is not None and found.macs else None


@dataclass(frozen=True, slots=True)
class ComparedWorkload:
    """One form of a network, as it was loaded. `history` lists what compression did."""

    workload: str
    form: str
    batch: int
    macs: int
    synthetic: bool
    source: str
    sha256: str
    parameters: Mapping[str, int]
    history: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ComparedDesign:
    """One machine. `published` are figures of the real part; `unmodelled` is what its runs left out."""

    design: str
    kind: str
    description: str
    source: str
    sha256: str
    overrides: tuple[str, ...]
    published: Mapping[str, float]
    unmodelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Rows by workload, then design, in the order given. Ratios are to the first row of the same network that
    ran, whatever its form and batch, per inference: above one is faster, or less energy. `lowering` are the
    choices of it that all runs made."""

    rows: tuple[ComparisonRow, ...]
    workloads: tuple[ComparedWorkload, ...]
    designs: tuple[ComparedDesign, ...]
    lowering: tuple[str, ...] = ()
    version: str = __version__
    folder: Path | None = None

    def __repr__(self) -> str:
        ran = sum(row.figures is not None for row in self.rows)
        return f"Comparison({len(self.workloads)} workloads on {len(self.designs)} designs, {ran} ran)"

    @cached_property
    def baselines(self) -> dict[str, ComparisonRow]:
        """Network -> the row that its ratios are to."""
        found: dict[str, ComparisonRow] = {}
        for row in self.rows:
            if row.figures is not None:
                found.setdefault(row.workload, row)
        return found

    def speedup(self, row: ComparisonRow) -> float | None:
        """Inferences per second over the baseline's."""
        base = self.baselines.get(row.workload)
        return None if base is None else _ratio(row.throughput_per_s, base.throughput_per_s)

    def energy_gain(self, row: ComparisonRow) -> float | None:
        """The baseline's energy per inference over this one's."""
        base = self.baselines.get(row.workload)
        return None if base is None else _ratio(base.energy_per_inference_j, row.energy_per_inference_j)

    @property
    def faults(self) -> tuple[ComparisonRow, ...]:
        """Rows that ended in wrong numbers or a fault of hwsim."""
        return tuple(row for row in self.rows if row.outcome in (WRONG, FAULT))

    def records(self) -> Iterator[dict[str, object]]:
        """One flat record a row; what is not known is None."""
        for row in self.rows:
            found = row.figures
            yield {
                "workload": row.workload, "form": row.form, "batch": row.batch, "design": row.design,
                "kind": row.kind, "outcome": row.outcome, "dtype": found and found.dtype,
                "latency_s": found and found.latency_s, "speedup": self.speedup(row),
                "throughput_per_s": row.throughput_per_s, "energy_j": found and found.energy_j,
                "energy_per_inference_j": row.energy_per_inference_j, "energy_gain": self.energy_gain(row),
                "average_power_w": row.average_power_w, "area_mm2": found and found.area_mm2,
                "limit": found and found.limit, "limit_busy": found and found.limit_busy,
                "macs": found and found.macs, "multiplications": found and found.multiplications,
                "numbers_checked": found and found.numbers_checked, "verified": found and found.verified,
                "error": found and found.error, "low_s": found and found.low_s,
                "high_s": found and found.high_s, "reason": row.reason,
            }  # fmt: skip

    def frame(self) -> pd.DataFrame:
        """`records` as a data frame."""
        import pandas as pd  # late: comparing and its folder do without

        return pd.DataFrame(list(self.records()))

    def summary(self) -> dict[str, object]:
        """The object that `hwsim compare --json` prints: the files' content, and the folder."""
        return {**self._about(), "folder": None if self.folder is None else str(self.folder)}

    def _about(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "version": self.version,
            "lowering": list(self.lowering),
            "rows": list(self.records()),
            "workloads": [asdict(one) for one in self.workloads],
            "designs": [asdict(one) for one in self.designs],
        }

    def to_csv(self) -> bytes:
        """RFC 4180, one line a row; what is not known is empty."""
        text = io.StringIO(newline="")
        records = list(self.records())
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue().encode("utf-8", errors="backslashreplace")

    def default_name(self) -> str:
        """A folder's name from what was compared: the same inputs give the same name."""
        made_from = [
            self.version,
            *((w.workload, w.form, w.batch, w.sha256, sorted(w.parameters.items())) for w in self.workloads),
            *((d.design, d.sha256, d.overrides) for d in self.designs),
            *(row.figures and (row.figures.dtype, row.figures.numbers_checked) for row in self.rows),
            *self.lowering,
        ]
        digest = hashlib.sha256(repr(made_from).encode()).hexdigest()[:8]
        first = file_name(self.workloads[0].workload)
        return f"compare-{first}-{digest}"

    def save(self, folder: str | Path, draw: Callable[[Path], bytes] | None = None) -> Comparison:
        """Write ABOUT and TABLE to a folder, and what `draw` makes of them as PAGE, and return the comparison
        that knows it. An empty folder or an earlier comparison is replaced; until all is written the old one
        stays. Raises OutputError when anything else is in the way or the folder cannot be written."""

        def fill(partial: Path) -> None:
            text = json.dumps(strict(self._about()), indent=2, sort_keys=True, allow_nan=False) + "\n"
            (partial / ABOUT).write_bytes(text.encode("ascii"))
            (partial / TABLE).write_bytes(self.to_csv())
            if draw is not None:
                (partial / PAGE).write_bytes(draw(partial))

        return replace(self, folder=_KIND.write(folder, fill))


def check_comparison_folder(folder: str | Path) -> Path:
    """The absolute path that `Comparison.save` would write; raises OutputError when it already sees why it
    could not."""
    return _KIND.check(folder)


def is_comparison(folder: Path) -> bool:
    """Whether a folder holds a comparison of hwsim, whole or damaged."""
    return is_marked(folder / ABOUT, FORMAT)


_KIND = FolderKind("a comparison of hwsim", frozenset((ABOUT, TABLE, PAGE)), is_comparison)


def _ratio(over: float | None, under: float | None) -> float | None:
    return over / under if over is not None and under else None
