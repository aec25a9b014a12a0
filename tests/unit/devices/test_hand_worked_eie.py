"""The hand-worked runs of tests/hand_worked_eie.py, to the cycle and byte, on both timing paths."""

from __future__ import annotations

import pytest

from hwsim.pipeline import run, verify
from tests.hand_worked_eie import CASES, MATRIX, SMALL, EieCase, busy, counts, product, run_case, split


@pytest.mark.parametrize("timing", ["fast", "events"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_cycles_and_counts(case: EieCase, timing: str) -> None:
    found = run_case(case, timing)
    assert busy(found) == dict(case.busy)
    assert split(found) == dict(case.split)
    assert not case.counts or counts(found) == dict(case.counts)
    assert case.makespan_ps in (None, found.timing.makespan_ps)
    assert found.stalls.get("other", 0) == 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_numbers(case: EieCase) -> None:
    assert verify(case.workload, "eie_64pe", overrides=(*SMALL, *case.overrides)).exact.all()


def test_picojoules_and_what_is_fitted() -> None:
    """The product of the first case. Horowitz: 20 pJ for 64 bits of a 32 KiB memory and 100 pJ of 1 MiB, so a
    word of 128 KiB lies between; half of each where the paper's figure is fitted. A clock of 2 pJ a cycle and
    PE is 4 mW at 1 GHz and two PEs."""
    workload = product(MATRIX, [1, 0, 1])
    plain = run(workload, "eie_64pe", overrides=SMALL)
    changed = [f"calibration.{name}" for name in ("sram_energy=0.5", "sram_area=2", "clock_energy_pj=2")]
    fitted = run(workload, "eie_64pe", overrides=(*SMALL, *changed))
    price = dict(zip(plain.usage.keys, plain.usage.energy_pj_per_count.tolist(), strict=True))
    assert 20 / 8 < price["matrix_sram", "read"] < 100 / 8
    assert 0.3 < price["arithmetic", "mac_int16"] < 3.2  # 0.1 pJ to add 32 bits, and 0.2 to 3.1 to multiply
    dear, cheap = plain.usage.by_component(), fitted.usage.by_component()
    for memory in ("matrix_sram", "pointer_sram"):
        assert cheap[memory] == pytest.approx(dear[memory] / 2)
    for part in ("act_queue", "codebook", "arithmetic", "activation_registers"):
        assert cheap[part] == pytest.approx(dear[part])
    area = [dict(zip(r.area.components, r.area.area_mm2, strict=True)) for r in (plain, fitted)]
    for memory in ("matrix_sram", "pointer_sram", "activation_sram"):
        assert area[1][memory] == pytest.approx(2 * area[0][memory])
    assert area[1]["arithmetic"] == area[0]["arithmetic"]
    clock_j = sum(fitted.energy_parts["clock_network"].values())
    assert clock_j == pytest.approx(4e-3 * fitted.latency_s)
    assert "clock_network" not in plain.energy_parts
