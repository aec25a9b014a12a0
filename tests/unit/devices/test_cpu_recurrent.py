"""Recurrent layers on a CPU: what each step launches, fetches and waits for."""

from __future__ import annotations

from typing import Any

import pytest

from hwsim.design import load_design
from hwsim.errors import UnsupportedError
from hwsim.pipeline import run, verify
from hwsim.result import Result
from hwsim.workload import recurrent
from tests.recurrent_layers import CELLS, FORMS, OPTIONS, layer

DESIGN = "generic_x86"


def found(*overrides: str, steps: int = 3, hidden: int = 64, cell: str = "lstm", **more: Any) -> Result:
    net = recurrent(cell, hidden, 4, steps, dtype="fp32", **more)
    return run(net, DESIGN, overrides=["cache_state=cold", *overrides])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("state", ["hot", "cold"])
def test_both_timing_paths_agree(cell: str, form: Any, batch: int, state: str) -> None:
    net = layer(cell, form, batch=batch, hidden=20, dtype="fp32")
    fast, events = (
        run(net, DESIGN, dtype="fp32", overrides=[f"cache_state={state}"], timing=timing)
        for timing in ("fast", "events")
    )
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert fast.macs == fast.multiplications == net.macs


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("design", [DESIGN, "v100"])
@pytest.mark.parametrize("state", ["hot", "cold"])
def test_every_option_runs_on_a_cpu_and_a_gpu(option: str, design: str, state: str) -> None:
    cell, more = OPTIONS[option]
    net = layer(cell, "stepwise", batch=3, hidden=20, dtype="fp32", **more)
    fast, events = (
        run(net, design, dtype="fp32", overrides=[f"cache_state={state}"], timing=timing)
        for timing in ("fast", "events")
    )
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert fast.macs == fast.multiplications == net.macs


@pytest.mark.parametrize(
    ("cell", "more", "loops"),
    [
        ("lstm", {"projection": 16}, 3),  # the state's product, gates, the projection
        ("gru", {"reset_after": False}, 4),  # gates, reset; the reset state's product, and the new state
        ("lstm", {"peepholes": True}, 2),
    ],
)
def test_what_gates_make_is_one_more_loop(cell: str, more: dict[str, Any], loops: int) -> None:
    launch = load_design(DESIGN).device_spec.paid_launch_s
    timing = run(layer(cell, "absent", steps=3, hidden=64, dtype="fp32", **more), DESIGN).timing
    busy_ps = int(timing.busy_ps[:, timing.stages.index("launch")].sum())
    assert busy_ps == pytest.approx(3 * loops * launch * 1e12, rel=1e-3)


def test_a_cell_that_is_kept_is_copied_once() -> None:
    launch = load_design(DESIGN).device_spec.paid_launch_s
    net = layer("lstm", "absent", steps=3, hidden=64, dtype="fp32", ends=("cell",))
    timing = run(net, DESIGN).timing
    busy_ps = int(timing.busy_ps[:, timing.stages.index("launch")].sum())
    assert busy_ps == pytest.approx((3 * 2 + 1) * launch * 1e12, rel=1e-3)


def test_peepholes_cost_a_cpu_and_a_gpu_work() -> None:
    for design in (DESIGN, "v100"):
        plain, peeping = (
            run(layer("lstm", "absent", dtype="fp32", peepholes=on), design, dtype="fp32")
            for on in (False, True)
        )
        assert plain.macs == peeping.macs
        assert (
            peeping.usage.total("lanes", "op_fp32") - plain.usage.total("lanes", "op_fp32") == 5 * 2 * 4 * 6
        )


def test_weights_of_a_projection_are_fetched() -> None:
    """Of a cold cache once, and in every step where it has no room for them."""
    sizes: dict[str, Any] = {"steps": 3, "batch": 4, "hidden": 64, "bias": False, "dtype": "fp32"}
    plain, projected = (
        run(layer("lstm", "absent", **sizes, **more), DESIGN, overrides=["cache_state=cold"])
        for more in ({}, {"projection": 64})
    )
    read = [r.usage.total("memory", "read") for r in (plain, projected)]
    assert read[1] - read[0] == pytest.approx(64 * 64 * 4, rel=0.02)


def test_each_loop_of_each_step_is_launched() -> None:
    """Two loops a step: the product of the state, and the gates; three where the input is multiplied too."""
    launch = load_design(DESIGN).device_spec.paid_launch_s
    for form, loops in (("absent", 2), ("stepwise", 3)):
        timing = found(form=form).timing
        busy_ps = int(timing.busy_ps[:, timing.stages.index("launch")].sum())
        assert busy_ps == pytest.approx(3 * loops * launch * 1e12, rel=1e-3)


def test_steps_follow_one_another() -> None:
    times = [found(steps=steps, hidden=8).timing.makespan_ps for steps in (2, 3, 4)]
    assert 0 <= (times[2] - times[1]) - (times[1] - times[0]) <= 1000  # the input grows by a step too
    assert found(steps=1, hidden=8).timing.makespan_ps < times[0]
    assert times[1] - times[0] > 2 * load_design(DESIGN).device_spec.paid_launch_s * 1e12


def test_weights_stay_in_a_cache_that_holds_them() -> None:
    weights = 4 * 64 * 64 * 4
    x = 3 * 4 * 64 * 4
    assert found().usage.total("memory", "read") == pytest.approx(weights + x, rel=0.02)
    small = found("cache.size=32 KiB").usage.total("memory", "read")
    assert small > 3 * weights


def test_its_numbers_are_not_executed() -> None:
    with pytest.raises(UnsupportedError, match="cannot be executed"):
        verify(recurrent("gru", 4, 2, 3), DESIGN, dtype="fp32")


def test_formats_must_agree() -> None:
    with pytest.raises(UnsupportedError, match="the cores multiply operands of one format"):
        run(recurrent("gru", 4, 2, 3), DESIGN, dtype="fp32", weight_dtype="bf16")
