"""The hand-worked runs of tests/hand_worked.py, to the picosecond, byte and picojoule, on both timing
paths."""

from __future__ import annotations

import pytest

from hwsim.result import Result
from tests.hand_worked import CASES, GEMM_ENERGY_PJ, TINY_AREA_UM2, Case, run_case


@pytest.mark.parametrize("timing", ["fast", "events"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_time_stalls_and_counts(case: Case, timing: str) -> None:
    found = run_case(case, timing)
    assert found.timing.makespan_ps == case.makespan_ps
    if case.active_ps is not None:
        assert int(found.timing.active_ps.sum()) == case.active_ps
    if case.stalls_ps:
        assert stalls(found) == dict(case.stalls_ps)
    assert found.macs == case.macs
    counted = {key: found.usage.total(*key) for key in case.counts}
    assert counted == dict(case.counts)


def stalls(found: Result) -> dict[str, int]:
    totals = found.timing.stalls_ps.sum(axis=0).tolist()
    return {cause: ps for cause, ps in zip(found.timing.causes, totals, strict=True) if ps}


def test_nothing_else_is_charged() -> None:
    assert set(run_case(CASES[0]).usage.columns()["component"]) == {
        component for component, _ in CASES[0].counts
    }
    charged = run_case(CASES[0]).usage
    assert {key for key, total in zip(charged.keys, charged.counts.sum(axis=0), strict=True) if total} == set(
        CASES[0].counts
    )


def test_picojoules_of_every_component() -> None:
    found = run_case(CASES[0])
    assert found.usage.by_component() == pytest.approx(GEMM_ENERGY_PJ, rel=1e-12)
    assert found.dynamic_energy_j == pytest.approx(sum(GEMM_ENERGY_PJ.values()) * 1e-12, rel=1e-12)


def test_leakage_is_power_times_time() -> None:
    found = run_case(CASES[0])
    assert found.leakage_energy_j == pytest.approx(sum(found.area.leakage_w) * 38e-9, rel=1e-12)
    assert found.energy_j == pytest.approx(found.dynamic_energy_j + found.leakage_energy_j, rel=1e-12)
    parts = found.energy_parts
    assert sum(p["dynamic_j"] + p["leakage_j"] for p in parts.values()) == pytest.approx(
        found.energy_j, rel=1e-12
    )


def test_area_of_components() -> None:
    found = run_case(CASES[0])
    area = dict(zip(found.area.components, found.area.area_mm2, strict=True))
    wanted = {name: um2 * 1e-6 for name, um2 in TINY_AREA_UM2.items()}
    assert {name: area[name] for name in wanted} == pytest.approx(wanted, rel=1e-9)


def test_weight_tile_of_the_tpu_arrives_in_1350_begun_cycles() -> None:
    """64 KiB at 34 GB/s are 1,927,530 ps, 1,349.27 cycles of 700 MHz; the shift takes 256."""
    from hwsim.design import load_design
    from hwsim.devices import make_device

    pipeline = make_device(load_design("tpu_v1").device_spec).pipeline
    memory = next(r for r in pipeline.resources if r.name == "weight_memory")
    loader = next(r for r in pipeline.resources if r.name == "array_loader")
    assert memory.duration_ps(65_536) == 1_927_530
    assert memory.duration_ps(65_536) * 700_000_000 // 10**12 == 1349
    assert loader.duration_ps(256) == 365_715  # 365,714.29 rounded up
