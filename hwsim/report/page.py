"""The page of a run: what the tables and figures say, put into one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from hwsim.report import roofline, timeline
from hwsim.report.bands import band_shown
from hwsim.report.layers import layer_energy_j, layer_table
from hwsim.report.reading import Run, read_folder
from hwsim.report.stacks import stack
from hwsim.report.tables import CAUSES, PARTS, shares, sources
from hwsim.report.template import fill
from hwsim.report.weights import weights_shown
from hwsim.report.wording import area, percent, quantity, rate
from hwsim.units import PS_PER_S, counted


def draw_run(folder: str | Path) -> bytes:
    """The page as UTF-8. The same files give the same bytes. Raises SpecError when the folder does not hold
    one whole result."""
    run = read_folder(folder)
    return fill(
        "page.html.j2",
        run.summary.provenance.version,
        run=run,
        said=run.summary,
        made=run.summary.provenance,
        verdict=_verdict(run),
        band=band_shown(run),
        checked=_checked(run),
        stalls=shares(run.summary.stall_share, first="active"),
        meanings={name: CAUSES[name] for name in CAUSES if run.summary.stall_share.get(name)},
        busy=shares(run.summary.busy_share),
        cycles=shares(run.summary.cycle_share),
        parts={name: PARTS[name] for name in PARTS if run.summary.cycle_share.get(name)},
        roofline=roofline.roofline(run),
        describe_roofline=roofline.describe,
        time_stacks=_time_stacks(run),
        energy_stacks=_energy_stacks(run),
        energy=shares(
            {name: sum(parts) for name, parts in run.summary.energy_by_component.items()},
            partial(quantity, unit="J"), whole=run.summary.energy_j,
        ),
        areas=shares(
            {row.component: row.area_mm2 for row in run.area}, area, whole=run.summary.area_mm2,
        ),
        timeline=timeline.timeline(run),
        describe_timeline=timeline.describe,
        layers=layer_table(run),
        weights=weights_shown(run),
        sources=sources(run),
    )  # fmt: skip


def _verdict(run: Run) -> dict[str, object]:
    """What the first screen says, in words."""
    said = run.summary
    limit = max(said.busy_share, key=lambda name: said.busy_share[name], default="")
    power_w = said.energy_j / said.latency_s if said.latency_s else 0.0
    stalls = {name: share for name, share in said.stall_share.items() if name != "active" and share >= 0.01}
    cause = max(stalls, key=lambda name: stalls[name], default="")
    return {
        "cause": cause,
        "cause_share": percent(stalls[cause]) if cause else "",
        "cause_meaning": CAUSES.get(cause, ""),
        "limit": limit,
        "limit_busy": percent(said.busy_share[limit]) if limit else "",
        "turns": bool(limit) and said.busy_share[limit] < 0.5,  # no resource holds the run for half of it
        "time": quantity(said.latency_s, "s"),
        "cycles": f"{said.cycles:,} cycles at {quantity(said.clock_hz, 'Hz')}",
        "throughput": rate(said.batch / said.latency_s) if said.latency_s else "-",
        "energy": quantity(said.energy_j, "J"),
        "leakage": percent(
            sum(leaked for _, leaked in said.energy_by_component.values()) / (said.energy_j or 1.0)
        ),
        "energy_each": quantity(said.energy_j / said.batch, "J") if said.batch > 1 else "",
        "power": quantity(power_w, "W"),
        "published_w": _published_power(said.published),
        "area": area(said.area_mm2),
        "work": quantity(said.macs, "MAC"),
        "utilization": percent(said.utilization),
        "wasted": max(0, said.multiplications - said.macs),
        "saved": max(0, said.macs - said.multiplications),
        "saved_by": _saved_by(run),
    }


def _saved_by(run: Run) -> str:
    """What makes multiplications fewer than MACs: another algorithm, zeros that are skipped, or both."""
    ways = ["by Winograd's algorithm"] if any(row.kind == "winograd" for row in run.operators) else []
    if any(row.multiplications < row.macs for row in run.weights) or "multiply" in run.summary.cycle_share:
        ways.insert(0, "by skipping zeros")
    return f", {' and '.join(ways)}" if ways else ""


def _checked(run: Run) -> str:
    """How the numbers were checked: '57 operators bit for bit', or how near their bounds they come."""
    operators = counted(len(run.checked), "operator")
    if all(row.exact for row in run.checked):
        return f"{operators} computed, bit for bit as the reference"
    used = max(row.bound_used for row in run.checked)
    return f"{operators} computed, within the bounds of the format (at most {percent(used)} of one)"


def _published_power(published: Mapping[str, float]) -> str:
    words = {"idle_power_w": "idle", "busy_power_w": "busy"}
    return ", ".join(f"{published[key]:g} W {word}" for key, word in words.items() if key in published)


def _time_stacks(run: Run) -> object:
    parts = [
        {"active": row.active_ps / PS_PER_S} | {cause: ps / PS_PER_S for cause, ps in row.stalls_ps.items()}
        for row in run.operators
    ]
    names = [row.name for row in run.operators]
    return stack(names, parts, lambda value: quantity(value, "s") if value else "0", first="active")


def _energy_stacks(run: Run) -> object:
    names = [row.name for row in run.operators]
    return stack(names, layer_energy_j(run), lambda value: quantity(value, "J") if value else "0")
