"""Stall attribution: hand-worked tables in picoseconds, and sums that hold for any program."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.errors import DeadlockError, SpecError
from hwsim.plan import Cause, Pipeline, Program, SlotPool, Wait
from hwsim.sim import attribute_stalls, completions, simulate
from tests.programs import UNLIMITED, build, random_programs, resource, stage

WEIGHTS = Cause("weight stall", "stage", "weights")
SHIFT = Cause("weight shift", "stage", "shift")
RAW = Cause("raw", "wait", "raw")
BANK = Cause("bank", "pool", "bank")

ARRAY = Pipeline(
    (
        stage("weights", "memory"),
        stage("shift", "column", "weights"),
        stage("compute", "array", "shift"),
        stage("drain", "output", "compute"),
    ),
    (resource("memory"), resource("column"), resource("array"), resource("output")),
    (SlotPool("bank", "compute", "drain", 1),),
    (Wait("raw", "compute", "drain"),),
)
# weights 0-100, 100-200, 200-300; shift 100-110, 200-210, 300-310. compute 0 runs 110-150 and drains 150-155.
# compute 1 has its weights at 210, and runs 210-250; drain 1 runs 250-330. compute 2 has its weights at
# 310, its bank at 330, and runs 330-370; drain 2 runs 370-375.
DURATIONS = {"weights": [100] * 3, "shift": [10] * 3, "compute": [40] * 3, "drain": [5, 80, 5]}


def table(program: Program, *causes: Cause, focus: str = "compute") -> list[list[int]]:
    """Rows of stalls by operator, each with the active time put before them."""
    trace = simulate(program)
    found = attribute_stalls(program, trace, focus, causes)
    assert found.causes == (*(cause.name for cause in causes), "other", "tail")
    assert int(found.active_ps.sum() + found.stall_ps.sum()) == trace.makespan_ps
    return np.column_stack([found.active_ps, found.stall_ps]).tolist()


def test_each_gap_goes_to_its_causes_in_turn() -> None:
    program = build(ARRAY, DURATIONS)
    # The gaps are 0-110, 150-210 and 250-330; the bank is back at 155 and 330.
    weights, shift = 100 + 50 + 50, 10 + 10 + 10
    assert table(program, WEIGHTS, SHIFT, BANK) == [[120, weights, shift, 20, 0, 5]]
    bank, weights, shift = 5 + 80, 100 + 45, 10 + 10
    assert table(program, BANK, WEIGHTS, SHIFT) == [[120, bank, weights, shift, 0, 5]]
    assert table(program) == [[120, 250, 5]]
    assert table(program, SHIFT) == [[120, 110 + 60 + 60, 20, 5]]


def test_a_cause_met_after_the_start_takes_the_gap_and_no_more() -> None:
    """drain comes after compute, so its end lies beyond every start."""
    assert table(build(ARRAY, DURATIONS), Cause("drain", "stage", "drain")) == [[120, 250, 0, 5]]


def test_causes_of_one_name_share_a_column() -> None:
    program = build(ARRAY, DURATIONS)
    found = attribute_stalls(
        program,
        simulate(program),
        "compute",
        (Cause("weights", "stage", "weights"), BANK, Cause("weights", "stage", "shift")),
    )
    assert found.causes == ("weights", "bank", "other", "tail")
    assert found.stall_ps.tolist() == [[200 + 10 + 10, 30, 0, 5]]


def test_an_operator_is_complete_when_its_last_stage_ends_and_a_view_at_once() -> None:
    program = build(ARRAY, DURATIONS, first_tile=[0, 0, 2, 3, 3])
    assert completions(simulate(program)).tolist() == [0, 330, 375, 0]


def test_an_operator_may_be_complete_before_the_one_ahead_of_it() -> None:
    """drain 1 runs 250-1050; compute 2 takes no time at 310, and has nothing to drain."""
    durations = DURATIONS | {"compute": [40, 40, 0], "drain": [5, 800, 0]}
    program = build(ARRAY, durations, first_tile=[0, 2, 3], takes={"bank": [False] * 3})
    assert completions(simulate(program)).tolist() == [1050, 310]


def test_rows_are_by_operator_and_the_tail_is_the_last_ones() -> None:
    program = build(ARRAY, DURATIONS, first_tile=[0, 0, 2, 3, 3])
    assert table(program, WEIGHTS, SHIFT, BANK) == [
        [0, 0, 0, 0, 0, 0],
        [80, 150, 20, 0, 0, 0],
        [40, 50, 10, 20, 0, 5],
        [0, 0, 0, 0, 0, 0],
    ]


def test_a_wait_counts_up_to_the_last_thing_awaited() -> None:
    program = build(
        ARRAY,
        {"weights": [1] * 3, "shift": [1] * 3, "compute": [10] * 3, "drain": [5, 50, 5]},
        takes={"bank": [False] * 3},
        waits={"raw": [(2, 0), (2, 1)]},
    )
    # compute 2-12, 12-22; drain 12-17, 22-72; compute 2 waits from 22 to 72, runs to 82, drained at 87.
    assert table(program, RAW, SHIFT) == [[30, 50, 2, 0, 5]]


def test_slots_are_met_in_order_of_time() -> None:
    """The slot that load 2 takes is tile 1's (back at 6), although tile 0's is back only at 51."""
    pipeline = Pipeline(
        (stage("load", "port"), stage("hold", "wire", "load")),
        (resource("port"), resource("wire", UNLIMITED)),
        (SlotPool("room", "load", "hold", 2),),
    )
    program = build(pipeline, {"load": [1, 1, 1, 1], "hold": [50, 4, 10, 1]})
    # load 0-1, 1-2, 6-7, 17-18: it waits 2-6 and 7-17. The last hold ends at 51.
    assert table(program, Cause("room", "pool", "room"), focus="load") == [[4, 4 + 10, 0, 51 - 18]]


def test_time_lost_to_another_user_of_the_resource_is_other() -> None:
    pipeline = Pipeline((stage("fetch", "port"), stage("drain", "port", "fetch")), (resource("port"),))
    program = build(pipeline, {"fetch": [10, 10], "drain": [3, 3]})
    # fetch 0-10, 10-20; drain 0 asked at 10, drain 1 at 20: 20-23, 23-26.
    fetched = Cause("fetched", "stage", "fetch")
    assert table(program, fetched, focus="drain") == [[6, 10, 10, 0]]


def test_every_picosecond_is_accounted_for_in_any_program() -> None:
    tried = explained = 0
    for number, program in enumerate(random_programs(seed=4, count=1500)):
        pipeline = program.pipeline
        try:
            trace = simulate(program)
        except DeadlockError:
            continue
        for index, focus in enumerate(pipeline.stages):
            if not focus.in_order:
                continue
            causes = [Cause(f"after {name}", "stage", name) for name in focus.after]
            causes += [Cause(w.name, "wait", w.name) for w in pipeline.waits if w.stage == focus.name]
            causes += [Cause(p.name, "pool", p.name) for p in pipeline.pools if p.taken_by == focus.name]
            found = attribute_stalls(program, trace, focus.name, causes)
            assert found.stall_ps.min(initial=0) >= 0
            assert int(found.active_ps.sum() + found.stall_ps.sum()) == trace.makespan_ps, number
            tried += 1
            users = [s for s in pipeline.stages if s.resource == focus.resource]
            server = pipeline.resource_of(focus)
            if len(users) == 1 and server.servers == 1:
                work = program.durations_ps[index][program.kind_of_tile]
                rows = np.add.reduceat(np.append(work, 0), program.first_tile[:-1])
                rows[np.diff(program.first_tile) == 0] = 0
                assert found.active_ps.tolist() == rows.tolist(), number
                # Everything that can hold an unshared stage back is among the causes.
                assert found.totals_ps["other"] == 0, number
                explained += 1
    assert tried > 2000
    assert explained > 1000


def test_no_tiles() -> None:
    program = build(ARRAY, {name: [] for name in DURATIONS}, first_tile=[0, 0])
    assert table(program, WEIGHTS, BANK, RAW) == [[0] * 6]


def test_totals_are_by_name() -> None:
    program = build(ARRAY, DURATIONS)
    found = attribute_stalls(program, simulate(program), "compute", (WEIGHTS, SHIFT, BANK))
    assert found.totals_ps == {
        "weight stall": 200,
        "weight shift": 30,
        "bank": 20,
        "other": 0,
        "tail": 5,
    }
    for column in (found.stall_ps, found.active_ps):
        assert not column.flags.writeable


@pytest.mark.parametrize(
    ("focus", "causes", "message"),
    [
        (
            "settle",
            [],
            "stalls of stage 'settle' cannot be told; in-order stages are weights, shift, compute",
        ),
        ("compute", [Cause("x", "stage", "fetch")], "stall cause 'x': the pipeline has no stage 'fetch'"),
        ("compute", [Cause("x", "slot", "bank")], "stall cause 'x': the pipeline has no slot 'bank'"),
        ("compute", [Cause("tail", "pool", "bank")], "stall causes cannot be called tail"),
    ],
)
def test_what_cannot_be_attributed_is_refused(focus: str, causes: list[Cause], message: str) -> None:
    program = build(ARRAY, DURATIONS)
    trace = simulate(program)
    with pytest.raises(SpecError) as caught:
        attribute_stalls(program, trace, focus, causes)
    assert message in str(caught.value)
