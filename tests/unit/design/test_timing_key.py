"""What of a design decides its times: the key by which measurements know it."""

from __future__ import annotations

import re

import pytest

from hwsim.design import load_design
from hwsim.design.timing import CONDITIONS, PRICES, timing_key
from hwsim.pipeline import run
from hwsim.workload import conv2d, matmul, matvec

# Overrides of every field that the key leaves out as a mere price, for a design of each kind that has it.
PRICED = {
    "v100": ("memory.technology=ddr3", "memory.channels=3"),
    "knl_7250": ("memory.technology=ddr3", "memory.channels=3", "power.idle=1 W power.core=9 W"),
    "eie_64pe": (
        "io.technology=ddr4", "calibration.sram_area=3", "calibration.sram_energy=2",
        "calibration.clock_energy_pj=5",
    ),
}  # fmt: skip


def test_every_kind_says_which_fields_are_prices() -> None:
    sections = {kind: set(paths) for kind, paths in PRICES.items()}
    for name, overrides in PRICED.items():
        kind = load_design(name).device_spec.kind
        tried = {text.split("=")[0] for text in overrides}  # of those that only go together, the first
        untried = {p for p in sections[kind] if not any(t == p or t.startswith(f"{p}.") for t in tried)}
        assert not untried


@pytest.mark.parametrize(("name", "override"), [(n, o) for n, given in PRICED.items() for o in given])
def test_a_price_changes_no_time_and_no_key(name: str, override: str) -> None:
    together = re.split(r" (?=[a-z_.]+=)", override)
    plain, other = load_design(name), load_design(name, together)
    assert plain.device_spec != other.device_spec
    assert timing_key(plain.device_spec) == timing_key(other.device_spec)
    tried = [matvec(300, 400, density=0.1)]
    if name != "eie_64pe":
        tried += [matmul(64, 200, 300), conv2d(1, 16, 12, 12, 16, 3)]
    for workload in tried:
        assert run(workload, plain).timing.makespan_ps == run(workload, other).timing.makespan_ps


@pytest.mark.parametrize(
    ("name", "override"),
    [("v100", "multiprocessors.count=79"), ("v100", "calibration.products.fp16.gemm_share=0.5"),
     ("v100", "calibration.launch_us.deepbench=1"), ("knl_7250", "cores.count=3"),
     ("eie_64pe", "fifo_depth=4"), ("tpu_v1", "array.rows=2")],
)  # fmt: skip
def test_what_decides_times_changes_the_key(name: str, override: str) -> None:
    plain, other = load_design(name), load_design(name, (override,))
    assert timing_key(plain.device_spec) != timing_key(other.device_spec)


def test_conditions_and_descriptions_are_no_part_of_it() -> None:
    key = timing_key(load_design("v100").device_spec)
    for override in (
        "cache_state=hot",
        "harness=deepbench",
        "launch=9 us",
        "dtype=fp32",
        "published.tdp=9 W",
    ):
        assert timing_key(load_design("v100", (override,)).device_spec) == key
    assert CONDITIONS == ("cache_state", "harness", "launch", "dtype")
