"""The 300 pipelines whose exact times came with the rule, on both timing paths."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from hwsim.plan import Pipeline, Program, SlotPool, Wait
from hwsim.sim import simulate
from hwsim.sim.recurrence import lay_out, run_schedule
from tests.programs import build, resource, stage

CASES = json.loads(gzip.decompress((Path(__file__).parent / "tile_pipeline_cases.json.gz").read_bytes()))
STAGES = ("fetch", "compute", "drain")


def program_of(case: dict[str, Any]) -> Program:
    pipeline = Pipeline(
        (
            stage("fetch", "port"),
            stage("compute", "units", "fetch"),
            stage("drain", "port", "compute", in_order=False),
        ),
        (resource("port", case["port_servers"]), resource("units", case["compute_units"])),
        (
            SlotPool("input", "fetch", "compute", case["input_slots"]),
            SlotPool("output", "compute", "drain", case["output_slots"]),
        ),
        (Wait("after_tile", "fetch", "drain"),),
    )
    waits = [(tile, other) for tile, other in enumerate(case["after_tile"]) if other >= 0]
    return build(pipeline, {name: case[f"{name}_ps"] for name in STAGES}, waits={"after_tile": waits})


def test_all_cases_are_there() -> None:
    assert len(CASES) == 300


@pytest.mark.parametrize("timing", ["events", "fast"])
def test_every_start_end_and_makespan(timing: str) -> None:
    for number, case in enumerate(CASES):
        trace = simulate(program_of(case), timing)
        found = {
            "start_ps": dict(zip(STAGES, trace.start_ps.tolist(), strict=True)),
            "end_ps": dict(zip(STAGES, trace.end_ps.tolist(), strict=True)),
            "makespan_ps": trace.makespan_ps,
        }
        assert found == {name: case[name] for name in found}, number


def test_the_general_loop_alone() -> None:
    for number, case in enumerate(CASES):
        program = program_of(case)
        start_ps, makespan_ps = run_schedule(program, lay_out(program))
        assert start_ps.tolist() == [case["start_ps"][name] for name in STAGES], number
        assert makespan_ps == case["makespan_ps"], number
