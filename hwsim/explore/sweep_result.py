"""Sweep: what `hwsim.sweep` returns. The points as columns, how they came about, and the ways out of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hwsim.errors import OutputError, SpecError
from hwsim.explore.insight import Insight, insight
from hwsim.explore.notebook import sweep_html
from hwsim.explore.outcome import OK, minimised
from hwsim.explore.stored import Points, to_csv
from hwsim.folders import put_file

if TYPE_CHECKING:
    import pandas as pd

FORMATS = (".csv", ".parquet")


@dataclass(frozen=True, eq=False)
class Sweep:
    """A finished sweep. `points` is all that its store holds; `store` the file, None where there was none;
    `method` says how points were chosen; `asked` of them were, `evaluated` of those in this run, the rest
    having been stored before; `checked` were run again and found equal to the last bit."""

    points: Points
    store: Path | None
    method: str
    asked: int
    evaluated: int
    checked: int

    def __repr__(self) -> str:
        sizes = f"{len(self.points):,} points, {self.frontier_size:,} on the frontier"
        return f"Sweep({self.points.name!r}: {sizes})"

    def __len__(self) -> int:
        return len(self.points)

    def _repr_html_(self) -> str:
        return sweep_html(self.points)

    @property
    def frontier_size(self) -> int:
        return int(self.points.frontier.sum())

    def frame(self) -> pd.DataFrame:
        """Every point, as `load_sweep` gives it."""
        return self.points.frame()

    def frontier(self) -> pd.DataFrame:
        """The points that no other of the same workload dominates, as `frontier_order` has them."""
        return self.frame().iloc[self.frontier_order()].reset_index(drop=True)

    def frontier_order(self) -> list[int]:
        """Places of the frontier's points: by workload, the best by the first objective first."""
        places = np.flatnonzero(self.points.frontier)
        if not len(places):
            return []
        values = minimised(self.points.objectives[:1], self.points.metrics)[places, 0]
        found: list[int] = places[np.lexsort((values, self.points.networks[places]))].tolist()
        return found

    @cached_property
    def insight(self) -> Insight:
        """Which points to look at, what limits them, and which axes matter."""
        return insight(self.points)

    def summary(self) -> dict[str, object]:
        """The object that `hwsim sweep --json` prints."""
        points = self.points
        return {
            "space": points.name,
            "version": points.version,
            "method": self.method,
            "asked": self.asked,
            "evaluated": self.evaluated,
            "checked": self.checked,
            "points": len(points),
            "failed": int((points.status != OK).sum()),
            "status": points.counts,
            "feasible": int(points.feasible.sum()),
            "objectives": list(points.objectives),
            "frontier": self.frontier_size,
            "choices": [
                {
                    "workload": choice.workload,
                    "why": choice.why,
                    "point": dict(choice.texts),
                    "metrics": {n: float(points.metrics[n][choice.point]) for n in points.objectives},
                    "limit": points.limits[choice.point],
                }
                for choice in self.insight.choices
            ],
            "sentences": list(self.insight.sentences),
            "store": None if self.store is None else str(self.store),
        }

    def save(self, path: str | Path, *, frontier: bool = False) -> Path:
        """Write all points, or those of the frontier, to a .csv or .parquet file, as `export_points` does."""
        return export_points(self.points, path, frontier=frontier)


def export_points(points: Points, path: str | Path, *, frontier: bool = False) -> Path:
    """Write the columns of all points, or of the frontier, to a file whose ending says how: .csv, or .parquet
    (which needs pyarrow). The whole file appears at once, or none does; returns its absolute path. Raises
    SpecError for another ending or without pyarrow, OutputError where it cannot be written."""
    final = Path(path).absolute()
    ending = final.suffix.lower()
    if ending not in FORMATS:
        raise SpecError(f"cannot write {path}: its ending says how, and is {' or '.join(FORMATS)}")
    columns = points.where(np.ones(len(points), dtype=np.bool_) if not frontier else points.frontier)
    try:
        put_file(final, to_csv(columns) if ending == ".csv" else _parquet(columns))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; name another file") from None
    return final


def _parquet(columns: dict[str, list[object]]) -> bytes:
    import pandas as pd

    try:
        return pd.DataFrame(columns).to_parquet(engine="pyarrow", index=False)
    except ImportError:
        raise SpecError(
            "Parquet needs pyarrow: pip install 'hwsim[parquet]', or name a file that ends in .csv"
        ) from None
