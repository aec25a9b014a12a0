"""Result: what one run found. Tables and provenance are stored; every total is derived from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.result.bands import NOT_VALIDATED, ErrorTable, TimeBand, time_band, uncovered
from hwsim.result.sharing import shares
from hwsim.result.tables import AreaTable, TimingTable, UsageTable
from hwsim.result.trace import Trace
from hwsim.result.verification import Verification
from hwsim.result.weights import WeightTable
from hwsim.units import PS_PER_S

UNCOUNTED = 10**6  # a resource of so many servers is a pure delay: nobody waits for one


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from: enough to make it again, and what it leaves out. `lowering` are the choices
    of it that were made."""

    version: str
    workload_source: str
    workload_sha256: str
    design_source: str
    design_sha256: str
    overrides: tuple[str, ...]
    parameters: Mapping[str, int]
    technology: str
    timing: str
    notes: tuple[str, ...] = ()
    unmodelled: tuple[str, ...] = ()
    lowering: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Working:
    """Of `count` servers of a resource, how many work on average."""

    resource: str
    average: float
    count: int


@dataclass(frozen=True, eq=False)
class Result:
    """One workload on one design. `limit` is the resource with the largest share of busy time."""

    workload: str
    design: str
    batch: int
    dtype: str
    synthetic: bool
    clock_hz: int
    macs_per_cycle: float
    focus: str
    timing: TimingTable
    usage: UsageTable
    area: AreaTable
    peak_chip_bytes: int
    spilled: tuple[str, ...]
    published: Mapping[str, float]
    provenance: Provenance
    trace: Trace
    verified: bool | None = None
    verification: Verification | None = None
    weights: WeightTable = field(default_factory=WeightTable)
    errors: ErrorTable = field(default_factory=ErrorTable)
    folder: Path | None = None

    def __repr__(self) -> str:
        return f"Result({self.workload!r} on {self.design!r}: {self.latency_s:.4g} s, {self.energy_j:.4g} J)"

    def _repr_html_(self) -> str:
        from hwsim.result.notebook import result_html

        return result_html(self)

    @property
    def latency_s(self) -> float:
        return self.timing.makespan_ps / PS_PER_S

    @property
    def cycles(self) -> int:
        """Clock cycles that the run spans, the last begun one counted whole."""
        return -(-self.timing.makespan_ps * self.clock_hz // PS_PER_S)

    @property
    def throughput_per_s(self) -> float:
        """Inferences per second, one batch after the other."""
        return self.batch / self.latency_s if self.latency_s else math.inf

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the problem."""
        return int(self.timing.macs.sum())

    @cached_property
    def multiplications(self) -> int:
        """Multiplications executed: more than `macs` where zeros are multiplied, fewer where zeros are
        skipped or an algorithm saves some."""
        return int(self._multiplications.sum())

    @cached_property
    def _multiplications(self) -> Int64Array:
        """(operators,) multiplications executed."""
        columns = [i for i, (_, action) in enumerate(self.usage.keys) if action.startswith("mac_")]
        found: Int64Array = self.usage.counts[:, columns].sum(axis=1)
        return found

    @property
    def utilization(self) -> float:
        """Share of the peak MAC rate (of the fastest format) that did useful work: MACs of the problem, or
        the multiplications that stand in for them where those are fewer, padding zeros left out."""
        peak = self.latency_s * self.clock_hz * self.macs_per_cycle
        done = self._multiplications - self.timing.part("padding")
        return int(np.minimum(self.timing.macs, done).sum()) / peak if peak else 0.0

    @cached_property
    def dynamic_energy_j(self) -> float:
        return float(self.usage.energy_pj.sum()) * 1e-12

    @property
    def leakage_energy_j(self) -> float:
        return math.fsum(self.area.leakage_w) * self.latency_s

    @cached_property
    def energy_parts(self) -> dict[str, dict[str, float]]:
        """Component -> {"dynamic_j", "leakage_j"}; all of them add up to `energy_j`."""
        parts = {
            name: {"dynamic_j": energy_pj * 1e-12, "leakage_j": 0.0}
            for name, energy_pj in self.usage.by_component().items()
        }
        for name, leakage_w in zip(self.area.components, self.area.leakage_w, strict=True):
            part = parts.setdefault(name, {"dynamic_j": 0.0, "leakage_j": 0.0})
            part["leakage_j"] += leakage_w * self.latency_s
        return parts

    @property
    def energy_j(self) -> float:
        return self.dynamic_energy_j + self.leakage_energy_j

    @property
    def average_power_w(self) -> float:
        return self.energy_j / self.latency_s if self.latency_s else 0.0

    @property
    def area_mm2(self) -> float:
        return math.fsum(self.area.area_mm2)

    @cached_property
    def busy_share(self) -> dict[str, float]:
        """Resource -> share of the run that it was busy (pure delays left out)."""
        timing = self.timing
        totals = timing.resource_busy_ps.sum(axis=0).tolist()
        span = timing.makespan_ps or 1
        return {
            name: total / servers / span
            for name, total, servers in zip(timing.resources, totals, timing.servers, strict=True)
            if servers < UNCOUNTED
        }

    @property
    def limit(self) -> str:
        return max(self.busy_share, key=lambda name: self.busy_share[name], default="")

    @cached_property
    def stalls(self) -> dict[str, float]:
        """Cause -> share of the run that the focus stage stood still for it; "active" is the rest."""
        span = self.timing.makespan_ps or 1
        totals = self.timing.stalls_ps.sum(axis=0).tolist()
        shares = {"active": int(self.timing.active_ps.sum()) / span}
        for cause, total in zip(self.timing.causes, totals, strict=True):
            shares[cause] = shares.get(cause, 0.0) + total / span
        return shares

    @property
    def focus_servers(self) -> Working | None:
        """How much of the resource of the focus stage works while that stage is active; None where it has one
        server alone, or several devices have a focus each."""
        timing = self.timing
        if timing.where or self.focus not in timing.stages or not timing.active_ps.any():
            return None
        resource = timing.stage_resources[timing.stages.index(self.focus)]
        at = timing.resources.index(resource)
        worked = int(timing.resource_busy_ps[:, at].sum())
        if not 1 < timing.servers[at] < UNCOUNTED:
            return None
        return Working(resource, worked / int(timing.active_ps.sum()), timing.servers[at])

    @cached_property
    def cycle_share(self) -> dict[str, float]:
        """What the cycles of the processing elements go to while the focus stage works, as shares; empty
        where the machine does not tell."""
        totals = self.timing.part_cycles.sum(axis=0).tolist()
        whole = sum(totals) or 1
        return {part: total / whole for part, total in zip(self.timing.parts, totals, strict=True)}

    @cached_property
    def time_band(self) -> TimeBand | None:
        """How far measured times of such work are from simulated ones; None where that is not known."""
        return time_band(self.timing.elapsed_ps.tolist(), self.errors.bands) if self.errors.bands else None

    @property
    def not_validated(self) -> str:
        """Why there is no `time_band`; empty where there is one."""
        if self.time_band is not None:
            return ""
        return self.errors.reason or uncovered(self.timing.elapsed_ps.tolist(), self.errors.bands)

    @property
    def error_words(self) -> str:
        """The band of the time in a few words: '-9 to +14 %', with what must be known of it."""
        band = self.time_band
        return f"{NOT_VALIDATED} ({self.not_validated})" if band is None else band.words

    def validation(self) -> dict[str, object]:
        """The band of the time as `summary` holds it: times in s, errors in percent."""
        band = self.time_band
        low_s, high_s = (None, None) if band is None else band.real_s(self.latency_s)
        return {
            "reason": self.not_validated,
            "low_s": low_s,
            "high_s": high_s,
            "p10_pct": band and band.p10_pct,
            "p90_pct": band and band.p90_pct,
            "time_share": band and band.share,
            "measurements": band and band.rows,
            "basis": list(band.bases) if band else [],
            "measured_on": list(band.measured_on) if band else [],
        }

    def summary(self) -> dict[str, object]:
        """The object that `hwsim run --json` prints; with "shares", by device and link, where several devices
        share the network."""
        found = self._summary()
        if self.timing.where:
            found["shares"] = {name: asdict(share) for name, share in shares(self.timing).items()}
        return found

    def _summary(self) -> dict[str, object]:
        return {
            "workload": self.workload,
            "design": self.design,
            "batch": self.batch,
            "dtype": self.dtype,
            "synthetic": self.synthetic,
            "latency_s": self.latency_s,
            "cycles": self.cycles,
            "throughput_per_s": self.throughput_per_s,
            "macs": self.macs,
            "multiplications": self.multiplications,
            "utilization": self.utilization,
            "energy_j": self.energy_j,
            "average_power_w": self.average_power_w,
            "area_mm2": self.area_mm2,
            "bound": self.limit,
            "busy_share": self.busy_share,
            "stall_share": self.stalls,
            "cycle_share": self.cycle_share,
            "peak_chip_bytes": self.peak_chip_bytes,
            "spilled": list(self.spilled),
            "compressed_weights": self.weights.summary(self.design),
            "validation": self.validation(),
            "verified": self.verified,
            "folder": None if self.folder is None else str(self.folder),
        }

    def at(self, folder: Path) -> Result:
        """The same result, knowing the folder that it was written to."""
        return replace(self, folder=folder)
