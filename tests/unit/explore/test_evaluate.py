"""Points of sweeps equal runs to the last bit, on every kind of machine; what cannot run is an outcome."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

import hwsim
from hwsim.devices import chooses_by_rates, make_device
from hwsim.explore.evaluate import Evaluator, run_arguments
from hwsim.explore.outcome import NO_ROOM, OK
from hwsim.explore.space import Space, load_space
from hwsim.preparation import prepare
from tests.kept import forget

SYSTOLIC = """
name: arrays
workloads: [resnet18, digits_cnn]
designs: [tpu_v1]
axes:
  workload.batch: [1, 3]
  array.rows: {low: 16, high: 512, factor: 2}
  array.cols: [24, 64, 256]
  array.dataflow: [ws, os, is]
  unified_buffer.size: {low: 256 KiB, high: 16 MiB, factor: 4}
  weight_memory.bandwidth: [17 GB/s, 34 GB/s, 300 GB/s]
  clock: [200 MHz, 700 MHz]
  technology.node: [28 nm, 45 nm]
  shift_in_cycles: {values: [4, 40], when: array.dataflow != os}
"""
OTHERS = """
name: chips
workloads: [lenet5, digits_mlp, gpt2_decode]
designs: [v100, xeon_e5_2699v3, eie_64pe, xeon_plus_tpu]
axes:
  dtype: [fp32, fp16, int8]
  memory.bandwidth: {values: [20 GB/s, 68 GB/s], when: design == xeon_e5_2699v3}
  multiprocessors.count: {values: [8, 80], when: design == v100}
  fifo_depth: {values: [2, 8], when: design == eie_64pe}
"""

# One family but for the last axis: what is shared must not remember the rates of whoever came first.
RATES = """
name: rates
workloads: [resnet18, tpu_lstm1]
designs: [tpu_v1]
axes:
  weight_memory.bandwidth: [1 GB/s, 34 GB/s, 4 TB/s, unlimited]
  clock: [20 MHz, 700 MHz]
  host_link.bandwidth: [1 GB/s, unlimited]
  unified_buffer.size: [400 KiB, 24 MiB]
"""

# The same of chips that plan for the rate of their memory. cublas_8's tiles of recurrent layers wait for it.
MEMORIES = """
name: memories
workloads: [resnet18, tpu_lstm1]
designs: [v100, titan_x_pascal, xeon_e5_2699v3, knl_7250]
axes:
  memory.bandwidth: [5 GB/s, 50 GB/s, 400 GB/s, 3 TB/s]
  cores.clock: {values: [1 GHz, 1.2 GHz], when: design == knl_7250}
"""


def space(folder: Path, text: str) -> Space:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


@pytest.mark.parametrize(("text", "count"), [(SYSTOLIC, 60), (OTHERS, 40), (RATES, 40), (MEMORIES, 24)])
def test_points_equal_runs_to_the_last_bit(tmp_path: Path, text: str, count: int) -> None:
    found = space(tmp_path, text)
    draw = np.random.default_rng(7)
    indices = found.canonical(np.stack([draw.integers(size, size=count) for size in found.sizes], axis=1))
    outcomes = Evaluator(found).evaluate(indices)
    assert outcomes.ok.sum() > count / 4
    for i, row in enumerate(indices.tolist()):
        given = run_arguments(found, found.texts(row))
        named = given.pop("workload"), given.pop("design")
        if not outcomes.ok[i]:  # a run says the network and the design too
            with pytest.raises(hwsim.HwsimError, match=re.escape(outcomes.reasons[i])):
                hwsim.run(*named, **given)  # type: ignore[arg-type]
            continue
        forget()  # a run must not meet what the points have made
        run = hwsim.run(*named, **given)  # type: ignore[arg-type]
        assert outcomes.limits[i] == run.limit
        for name in (
            "latency_s", "energy_j", "area_mm2", "average_power_w", "throughput_per_s", "utilization",
        ):  # fmt: skip
            assert outcomes.metrics[name][i] == getattr(run, name), (name, given)


def test_rates_choose_different_plans(tmp_path: Path) -> None:
    """So that the test above compares different things: of one family, plans and limits change with rates."""
    found = space(tmp_path, RATES)
    rows = found.grid(0, found.total)
    totals, chosen = Evaluator(found), set()
    outcomes = totals.evaluate(rows)
    assert len(set(outcomes.limits)) > 3
    for row in rows.tolist():
        given = run_arguments(found, found.texts(row))
        if given["workload"] == "resnet18" and "unified_buffer.size=400 KiB" in str(given["overrides"]):
            design = hwsim.load_design("tpu_v1", given["overrides"])  # type: ignore[arg-type]
            device = make_device(design.device_spec)
            plans = prepare(hwsim.load_workload("resnet18").astype("int8"), device).plans
            chosen.add(tuple(plan.mapping for plan in plans))
    assert len(chosen) > 1


@pytest.mark.parametrize(("name", "network"), [("v100", "resnet18"), ("titan_x_pascal", "tpu_lstm1")])
def test_memories_choose_different_plans_of_one_family(name: str, network: str) -> None:
    graph = hwsim.load_workload(network).astype("fp32")
    families, chosen = set(), set()
    for bandwidth in ("5 GB/s", "3 TB/s"):
        device = make_device(hwsim.load_design(name, (f"memory.bandwidth={bandwidth}",)).device_spec)
        assert chooses_by_rates(device)
        families.add(device.family)
        chosen.add(tuple(plan.demands.tobytes() for plan in prepare(graph, device).plans))
    assert len(families) == 1
    assert len(chosen) == 2


def test_rates_too_slow_for_any_clock_are_refused_as_a_run_is(tmp_path: Path) -> None:
    """Also where the family was laid out at a fast rate."""
    text = (
        "name: slow\nworkloads: [resnet50]\ndesigns: [tpu_v1]\naxes:\n  unified_buffer.size: [96 KiB]\n"
        "  weight_memory.bandwidth: [10 MB/s, 10 B/s, 1 B/s]\n"
    )
    found = space(tmp_path, text)
    outcomes = Evaluator(found).evaluate(found.grid(0, 3))
    assert outcomes.status.tolist() == [OK, NO_ROOM, NO_ROOM]
    with pytest.raises(hwsim.CapacityError, match=re.escape(outcomes.reasons[2])):
        hwsim.run(
            "resnet50", "tpu_v1", overrides=["unified_buffer.size=96 KiB", "weight_memory.bandwidth=1 B/s"]
        )
    with pytest.raises(hwsim.CapacityError, match="an operator takes"):
        hwsim.run("mixtral_decode", "systolic_plain", overrides=["weight_memory.bandwidth=1 B/s"])


def test_what_follows_from_metrics(tmp_path: Path) -> None:
    found = space(
        tmp_path, "name: one\nworkloads: [lenet5]\ndesigns: [tpu_v1]\naxes: {array.rows: [8, 64]}\n"
    )
    m = Evaluator(found).evaluate(found.grid(0, 2)).metrics
    np.testing.assert_array_equal(m["energy_delay_js"], m["energy_j"] * m["latency_s"])
    np.testing.assert_allclose(m["throughput_per_w"], m["throughput_per_s"] / m["average_power_w"])
    np.testing.assert_allclose(m["throughput_per_mm2"], m["throughput_per_s"] / m["area_mm2"])
    assert np.isnan(m["sqnr_db"]).all()  # nobody asked for it


def test_signal_over_noise_falls_with_bits(tmp_path: Path) -> None:
    text = (
        "name: noise\nworkloads: [digits_mlp]\ndesigns: [systolic_32]\n"
        "axes: {dtype: [int16, int8, int4]}\nobjectives: [sqnr_db, latency_s]\n"
    )
    found = space(tmp_path, text)
    outcomes = Evaluator(found).evaluate(found.grid(0, 3))
    noise = [x for x in outcomes.metrics["sqnr_db"].tolist() if not math.isnan(x)]
    assert len(noise) >= 2
    assert noise == sorted(noise, reverse=True)


def test_a_recipe_is_an_axis(tmp_path: Path) -> None:
    text = (
        "name: pruned\nworkloads: [lenet300]\ndesigns: [v100]\n"
        "axes: {recipe: [none, deep_compression]}\nobjectives: [weight_bytes]\n"
    )
    found = space(tmp_path, text)
    plain, pruned = Evaluator(found).evaluate(found.grid(0, 2)).metrics["weight_bytes"]
    assert pruned < plain / 10


def test_the_seed_is_that_of_the_weights_too(tmp_path: Path) -> None:
    text = "name: seeded\nworkloads: [eie_nt_we]\ndesigns: [eie_64pe]\nseed: 5\naxes: {fifo_depth: [4]}\n"
    found = space(tmp_path, text)
    (latency_s,) = Evaluator(found).evaluate(found.grid(0, 1)).metrics["latency_s"]
    given = run_arguments(found, found.texts([0]))
    assert given["seed"] == 5
    assert latency_s == hwsim.run("eie_nt_we", "eie_64pe", overrides=["fifo_depth=4"], seed=5).latency_s
    assert latency_s != hwsim.run("eie_nt_we", "eie_64pe", overrides=["fifo_depth=4"]).latency_s
