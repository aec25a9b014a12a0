"""EIE beside its paper: times of the benchmark layers, and area and power of a processing element by module.

The paper's layers are pruned networks; hwsim's have the printed sizes and densities with zeros spread evenly
by a seed. Every figure comes out of `run`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.validate.published import Comparison, Figures, eie_published

DESIGN, PROJECTION = "eie_64pe", "eie_256pe"
LAYERS = {
    "Alex-6": "eie_alex6", "Alex-7": "eie_alex7", "Alex-8": "eie_alex8", "VGG-6": "eie_vgg6",
    "VGG-7": "eie_vgg7", "VGG-8": "eie_vgg8", "NT-We": "eie_nt_we", "NT-Wd": "eie_nt_wd",
    "NT-LSTM": "eie_nt_lstm",
}  # fmt: skip
# VGG-6 has more columns than the paper's pointer memory has pointers, and the paper's times know nothing of
# it: they are compared on a machine with room.
ROOM = {"VGG-6": ("pointer_sram.size=64 KiB",)}
UNEVEN = {
    "VGG-6": "the pruned layer's zeros are not spread evenly; pointer_sram of 64 KiB",
    "Alex-8": "the pruned layer's zeros are not spread evenly",
}
# Module of Table II -> the components that it holds. The paper's modules hold the clock network's power; here
# it is a part of its own.
MODULES = {
    "act_queue": ("act_queue",),
    "pointer_read": ("pointer_sram",),
    "matrix_read": ("matrix_sram",),
    "arithmetic": ("arithmetic", "codebook", "pointwise"),
    "activations": ("activation_registers", "activation_sram"),
    "clock_network": ("clock_network",),
}
MEDIAN_PCT = 12.0
TOTAL_PCT = 10.0


@dataclass(frozen=True)
class EiePaper:
    """All comparisons, by section. `theoretical` counts entries, padding included, over PEs and clock."""

    results: Mapping[str, Result]
    theoretical: tuple[Comparison, ...]
    actual: tuple[Comparison, ...]
    element_area: tuple[Comparison, ...]
    element_power: tuple[Comparison, ...]
    chips: tuple[Comparison, ...]

    @property
    def sections(self) -> tuple[tuple[str, tuple[Comparison, ...]], ...]:
        return (
            ("theoretical time", self.theoretical),
            ("actual time", self.actual),
            ("area of a PE", self.element_area),
            ("power of a PE", self.element_power),
            ("chips", self.chips),
        )

    def median_error_pct(self, section: str) -> float:
        """Median size of the relative errors of a section."""
        found = dict(self.sections)[section]
        return statistics.median(abs(error_pct(comparison)) for comparison in found)


def error_pct(comparison: Comparison) -> float:
    """The gap over the published figure, in percent."""
    return 100 * comparison.gap / comparison.published.value


def compare_eie() -> EiePaper:
    """Run the nine layers on the shipped design and set them beside the paper. Takes some seconds."""
    published = eie_published()
    results = {name: run(workload, DESIGN, overrides=ROOM.get(name, ())) for name, workload in LAYERS.items()}
    return EiePaper(
        results=results,
        theoretical=tuple(_times(results, published, "theoretical")),
        actual=tuple(_times(results, published, "actual")),
        element_area=tuple(_element(results, published, "area")),
        element_power=tuple(_element(results, published, "power")),
        chips=tuple(_chips(results, published)),
    )


def _times(results: Mapping[str, Result], published: Figures, figure: str) -> Iterator[Comparison]:
    for name, result in results.items():
        if (name, figure) in published:
            simulated = result.latency_s * 1e6 if figure == "actual" else theoretical_us(result)
            yield Comparison(published[name, figure], simulated, remark=UNEVEN.get(name, ""))


def theoretical_us(result: Result) -> float:
    """Time if every entry that is touched were spread evenly over the PEs."""
    cycles = dict(zip(result.timing.parts, result.timing.part_cycles.sum(axis=0).tolist(), strict=True))
    entries = cycles["multiply"] + cycles["padding"]
    return float(entries / result.macs_per_cycle / result.clock_hz * 1e6)


def _element(results: Mapping[str, Result], published: Figures, figure: str) -> Iterator[Comparison]:
    """One PE by module: area, or power as the mean over the nine layers."""
    whole = 0.0
    for module, parts in MODULES.items():
        value = _area_um2(results["Alex-7"], parts) if figure == "area" else _mean_mw(results, parts)
        whole += value
        if (module, figure) in published:
            yield Comparison(published[module, figure], value)
    total = published["whole", figure]
    remark = "the memories' factor is fitted on this table; filler cells left out" if figure == "area" else ""
    yield Comparison(total, whole, total.value * TOTAL_PCT / 100, remark)


def _area_um2(result: Result, parts: tuple[str, ...]) -> float:
    areas = dict(zip(result.area.components, result.area.area_mm2, strict=True))
    return sum(areas[part] for part in parts) / result.macs_per_cycle * 1e6


def _mean_mw(results: Mapping[str, Result], parts: tuple[str, ...]) -> float:
    return statistics.fmean(_power_w(r, parts) / r.macs_per_cycle * 1e3 for r in results.values())


def _power_w(result: Result, parts: tuple[str, ...]) -> float:
    found = (result.energy_parts.get(part, {}) for part in parts)
    return sum(energy for part in found for energy in part.values()) / result.latency_s


def _chips(results: Mapping[str, Result], published: Figures) -> Iterator[Comparison]:
    """Whole chips without the memory outside, which the paper's have not."""
    parts = tuple(part for module in MODULES.values() for part in module)
    projected = {name: run(LAYERS[name], PROJECTION, overrides=ROOM.get(name, ())) for name in LAYERS}
    for subject, found in (("64 PEs", results), ("256 PEs, 28 nm", projected)):
        area = _area_um2(found["Alex-7"], parts) * found["Alex-7"].macs_per_cycle * 1e-6
        power = statistics.fmean(_power_w(result, parts) for result in found.values())
        for figure, value in (("area", area), ("power", power)):
            said = published[subject, figure]
            allowed = said.value * TOTAL_PCT / 100 if subject == "64 PEs" else None
            yield Comparison(replace(said, subject=subject), value, allowed)
