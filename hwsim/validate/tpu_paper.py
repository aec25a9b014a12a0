"""The TPU v1 beside its paper: where the cycles of MLP0 and CNN0 go, weight tiles, floor plan and power.

Shapes of both applications are hwsim's own (the paper gives layer counts, weights and batch), so a gap is
that of machine and shapes together. Every figure comes out of `run`; nothing is computed beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.units import PS_PER_S
from hwsim.validate.published import Comparison, Published, tpu_v1_published

DESIGN = "tpu_v1"
APPLICATIONS = {"MLP0": "tpu_mlp0", "CNN0": "tpu_cnn0"}

NO_HOST = ("host_link.bandwidth=unlimited",)
UNFITTED = ("calibration.host_efficiency=1", "calibration.host_overlap=0")

MATRIX = ("active", "weight_stall", "weight_shift")  # columns of Table 3 that time without the host has
NORMALISED_POINTS = 1.5
FLOOR_PLAN_POINTS = 10.0
ONE_CYCLE = 1.0

# Block of Fig. 2 -> the components of the systolic kind that it holds. The first four are the whole figure;
# the last two are parts of the first two.
FLOOR_PLAN = {
    "data_buffers": ("unified_buffer", "accumulators", "weight_fifo"),
    "compute": ("array", "pe_registers", "activation_unit"),
    "io": ("weight_memory", "host_link"),
    "control": ("control",),
    "unified_buffer": ("unified_buffer",),
    "matrix_unit": ("array", "pe_registers"),
}
WHOLE_FIGURE = ("data_buffers", "compute", "io", "control")


@dataclass(frozen=True)
class TpuPaper:
    """All comparisons, by section."""

    results: Mapping[str, Result]
    normalised: tuple[Comparison, ...]
    counters: tuple[Comparison, ...]
    weight_tile: tuple[Comparison, ...]
    floor_plan: tuple[Comparison, ...]
    modelled_share: Mapping[str, float]  # of the modelled area, in percent
    power: tuple[Comparison, ...]
    cnn0_without_host: Mapping[str, float]  # cycle shares in percent when the host link takes no time
    cnn0_unfitted: Mapping[str, float]  # and when it moves its whole rate and nothing overlaps

    @property
    def sections(self) -> tuple[tuple[str, tuple[Comparison, ...]], ...]:
        return (
            ("normalised cycles", self.normalised),
            ("cycles", self.counters),
            ("weight tile", self.weight_tile),
            ("floor plan", self.floor_plan),
            ("power", self.power),
        )

    @property
    def misses(self) -> tuple[Comparison, ...]:
        """Comparisons that lie outside what is demanded."""
        return tuple(c for _, found in self.sections for c in found if c.holds is False)


def compare_tpu() -> TpuPaper:
    """Run both applications on the shipped design and set them beside the paper. Takes milliseconds."""
    published = tpu_v1_published()
    results = {name: run(workload, DESIGN) for name, workload in APPLICATIONS.items()}
    cnn0 = results["CNN0"]
    return TpuPaper(
        results=results,
        normalised=tuple(_normalised(results["MLP0"], published)),
        counters=tuple(c for name, result in results.items() for c in _counters(name, result, published)),
        weight_tile=tuple(_weight_tile(results["MLP0"], published)),
        floor_plan=tuple(_floor_plan(cnn0, published)),
        modelled_share={name: 100 * _area_share(cnn0, name) for name in FLOOR_PLAN},
        power=tuple(_power(results, published)),
        cnn0_without_host=cycle_shares(run(APPLICATIONS["CNN0"], DESIGN, overrides=NO_HOST)),
        cnn0_unfitted=cycle_shares(run(APPLICATIONS["CNN0"], DESIGN, overrides=UNFITTED)),
    )


def cycle_shares(result: Result) -> dict[str, float]:
    """The columns of Table 3 in percent. Active, weight stall, weight shift and non-matrix split all cycles;
    RAW and input stalls are parts of non-matrix here, and useful and unused MACs split active."""
    stalls = {name: 100 * share for name, share in result.stalls.items()}
    active, useful = stalls["active"], 100 * result.utilization
    return {
        "active": active,
        "useful_macs": useful,
        "unused_macs": active - useful,
        "weight_stall": stalls["weight_stall"],
        "weight_shift": stalls["weight_shift"],
        "non_matrix": 100 - sum(stalls[name] for name in MATRIX),
        "raw": stalls["raw"],
        "input": stalls["input"],
        "achieved": 2 * result.macs / result.latency_s / 1e12,
        "host_share": 100 * result.busy_share["host_link"],
    }


def _normalised(result: Result, published: Mapping[tuple[str, str], Published]) -> list[Comparison]:
    """Active, weight stall and weight shift of MLP0 over their sum: what the host does drops out."""
    shares = cycle_shares(result)
    total = sum(shares[name] for name in MATRIX)
    of_paper = sum(published["MLP0", name].value for name in MATRIX)
    return [
        Comparison(
            replace(
                published["MLP0", name],
                value=100 * published["MLP0", name].value / of_paper,
                unit="% of the three",
            ),
            100 * shares[name] / total,
            NORMALISED_POINTS,
        )
        for name in MATRIX
    ]


_REMARKS = {
    ("MLP0", "non_matrix"): "host_overlap is fitted on this figure",
    ("MLP0", "host_share"): "host_efficiency is fitted on this figure",
}


def _counters(name: str, result: Result, published: Mapping[tuple[str, str], Published]) -> list[Comparison]:
    shares = cycle_shares(result)
    return [
        Comparison(published[name, figure], share, remark=_REMARKS.get((name, figure), ""))
        for figure, share in shares.items()
    ]


def _weight_tile(result: Result, published: Mapping[tuple[str, str], Published]) -> list[Comparison]:
    """What one whole tile of weights takes in the schedule that was simulated."""
    trace = result.trace

    def cycles(stage: str) -> float:
        longest_ps = int(trace.durations_ps[trace.stages.index(stage)].max())
        return longest_ps * result.clock_hz / PS_PER_S

    return [
        Comparison(published["chip", "tile_arrival"], cycles("weights"), ONE_CYCLE),
        Comparison(published["chip", "shift_in"], cycles("shift"), ONE_CYCLE),
    ]


def _area_share(result: Result, block: str) -> float:
    areas = dict(zip(result.area.components, result.area.area_mm2, strict=True))
    return sum(areas[name] for name in FLOOR_PLAN[block]) / result.area_mm2


def _floor_plan(result: Result, published: Mapping[tuple[str, str], Published]) -> list[Comparison]:
    """Shares of the die. Fig. 2 labels 79 % of it, and hwsim models what is labelled: its shares of the
    modelled area are brought to that part of the die."""
    labelled = sum(published["floor plan", name].value for name in WHOLE_FIGURE)
    return [
        Comparison(published["floor plan", name], labelled * _area_share(result, name), FLOOR_PLAN_POINTS)
        for name in FLOOR_PLAN
    ]


def _power(results: Mapping[str, Result], published: Mapping[tuple[str, str], Published]) -> list[Comparison]:
    """Idle watts beside leakage, busy watts beside each application's mean."""
    any_result = results["CNN0"]
    leakage_w = sum(any_result.area.leakage_w)
    idle = "leakage of the modelled parts alone"
    busy = "mean over the run, of modelled actions and leakage"
    return [
        Comparison(published["chip", "idle_power"], leakage_w, remark=idle),
        *(
            Comparison(
                replace(published["chip", "busy_power"], subject=name), result.average_power_w, remark=busy
            )
            for name, result in results.items()
        ),
    ]
