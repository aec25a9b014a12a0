"""Energy of real CPUs and GPUs: the watts that Deep Compression measured, times the time, beside hwsim's."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from hwsim.pipeline import run
from hwsim.workload import matmul, matvec


@dataclass(frozen=True, slots=True)
class MeasuredPower:
    """A layer on a machine: microseconds for each input, and watts."""

    design: str
    layer: str
    inputs: int
    outputs: int
    density: float
    batch: int
    time_us: float
    power_w: float
    source: str

    @property
    def energy_uj(self) -> float:
        """Of a whole batch."""
        return self.power_w * self.time_us * self.batch


@dataclass(frozen=True, slots=True)
class EnergyComparison:
    """A measured layer, and hwsim's energy and mean power of it."""

    measured: MeasuredPower
    energy_uj: float
    power_w: float

    @property
    def energy_error_pct(self) -> float:
        return (self.energy_uj / self.measured.energy_uj - 1) * 100

    @property
    def power_error_pct(self) -> float:
        return (self.power_w / self.measured.power_w - 1) * 100

    @property
    def contradictory(self) -> bool:
        """Whether its time is one of those that contradict themselves: the mobile GPU's, dense, batch 64."""
        row = self.measured
        return (row.design, row.density, row.batch) == ("tegra_k1", 1.0, 64)


def compare_power(designs: Collection[str]) -> tuple[EnergyComparison, ...]:
    """Every measured layer of these designs, run on them."""
    return tuple(_compared(row) for row in measured_power() if row.design in designs)


def median_energy_error_pct(found: Sequence[EnergyComparison]) -> float:
    """Median size of the errors."""
    return statistics.median(abs(c.energy_error_pct) for c in found)


@cache
def measured_power() -> tuple[MeasuredPower, ...]:
    """What the paper measured."""
    text = (files("hwsim.validate") / "sets" / "eie_platform_power.csv").read_text(encoding="utf-8")
    return tuple(
        MeasuredPower(
            r["design"], r["layer"], int(r["inputs"]), int(r["outputs"]), float(r["density"]),
            int(r["batch"]), float(r["time_us"]), float(r["power_w"]), r["source"],
        )
        for r in csv.DictReader(text.splitlines())
    )  # fmt: skip


def _compared(row: MeasuredPower) -> EnergyComparison:
    if row.density < 1:
        workload = matvec(row.outputs, row.inputs, density=row.density, batch=row.batch)
    else:
        workload = matmul(row.batch, row.outputs, row.inputs)
    found = run(workload, row.design, dtype="fp32")
    return EnergyComparison(row, found.energy_j * 1e6, found.average_power_w)
