"""Hand-worked pipelines in absolute picoseconds, on both timing paths, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwsim.errors import CapacityError, DeadlockError, SpecError
from hwsim.plan import Pipeline, Program, SlotPool, Wait
from hwsim.sim import NEVER_PS, simulate
from hwsim.sim.recurrence import lay_out, run_schedule
from tests.programs import UNLIMITED, build, resource, stage

both = pytest.mark.parametrize("timing", ["events", "fast"])

# Weights are fetched ahead through a FIFO of two, shifted into one of two planes of the array, used, drained.
SYSTOLIC = Pipeline(
    (
        stage("weights", "memory"),
        stage("shift", "column", "weights"),
        stage("compute", "array", "shift"),
        stage("drain", "output", "compute"),
    ),
    (resource("memory"), resource("column"), resource("array"), resource("output")),
    (SlotPool("fifo", "weights", "shift", 2), SlotPool("planes", "shift", "compute", 2)),
)


def starts(program: Program, timing: str) -> dict[str, list[int]]:
    trace = simulate(program, timing)
    assert trace.path == timing
    if timing == "fast":  # the quick loop serves most of these; the general one must agree
        assert run_schedule(program, lay_out(program))[0].tolist() == trace.start_ps.tolist()
    return dict(zip(program.pipeline.stage_names, trace.start_ps.tolist(), strict=True))


@both
def test_weight_bound_array(timing: str) -> None:
    program = build(
        SYSTOLIC, {"weights": [100] * 3, "shift": [10] * 3, "compute": [40] * 3, "drain": [5] * 3}
    )
    assert starts(program, timing) == {
        "weights": [0, 100, 200],
        "shift": [100, 200, 300],
        "compute": [110, 210, 310],
        "drain": [150, 250, 350],
    }
    trace = simulate(program, timing)
    assert trace.makespan_ps == 355
    assert trace.end_ps[3].tolist() == [155, 255, 355]


@both
def test_compute_bound_array_holds_back_the_shift_and_then_the_fetch(timing: str) -> None:
    durations = {"weights": [10] * 5, "shift": [10] * 5, "compute": [100] * 5, "drain": [0] * 5}
    assert starts(build(SYSTOLIC, durations), timing) == {
        "weights": [0, 10, 20, 30, 130],  # the fifth needs the FIFO slot that shift 2 gives back at 130
        "shift": [10, 20, 120, 220, 320],  # the third needs the plane that compute 0 gives back at 120
        "compute": [20, 120, 220, 320, 420],
        "drain": [120, 220, 320, 420, 520],
    }


def one_port(*order: str) -> Program:
    """Fetch and drain on one port, one input slot; the order of the stages is their rank."""
    stages = {
        "fetch": stage("fetch", "port"),
        "compute": stage("compute", "unit", "fetch"),
        "drain": stage("drain", "port", "compute", in_order=False),
    }
    pipeline = Pipeline(
        tuple(stages[name] for name in order),
        (resource("port"), resource("unit")),
        (SlotPool("input", "fetch", "compute", 1),),
    )
    return build(pipeline, {"fetch": [10, 10], "compute": [20, 20], "drain": [10, 10]})


@both
def test_at_one_instant_the_earlier_stage_is_served_first(timing: str) -> None:
    """At 30 compute 0 ends: it asks for drain 0, and its slot lets fetch 1 be asked for."""
    first = starts(one_port("fetch", "compute", "drain"), timing)
    assert first == {"fetch": [0, 30], "compute": [10, 40], "drain": [40, 60]}
    last = starts(one_port("drain", "compute", "fetch"), timing)
    assert last == {"drain": [30, 70], "compute": [10, 50], "fetch": [0, 40]}


@both
def test_an_earlier_request_is_served_before_an_earlier_stage(timing: str) -> None:
    """The port is busy to 12; drain 0 asks at 6, fetch 2 (slot given back by compute 1) at 9."""
    pipeline = Pipeline(
        (
            stage("fetch", "port"),
            stage("compute", "unit", "fetch"),
            stage("drain", "port", "compute", in_order=False),
        ),
        (resource("port"), resource("unit")),
        (SlotPool("input", "fetch", "compute", 2),),
    )
    program = build(pipeline, {"fetch": [4, 8, 5], "compute": [2, 1, 1], "drain": [3, 3, 3]})
    # fetch 1 is asked for at 0 and runs 4-12; fetch 2 asks at 6, with drain 0: rank decides, fetch 2 12-17.
    assert starts(program, timing) == {"fetch": [0, 4, 12], "compute": [4, 12, 17], "drain": [17, 20, 23]}
    later = build(pipeline, {"fetch": [4, 8, 5], "compute": [2, 1, 1], "drain": [3, 3, 3]}, takes={
        "input": [True, True, True]
    }, frees={"input": [False, True, True]})  # fmt: skip
    # The slot comes only from compute 1, at 13: drain 0 asked at 6 and is served at 12.
    assert starts(later, timing) == {"fetch": [0, 4, 15], "compute": [4, 12, 20], "drain": [12, 20, 23]}


@both
@pytest.mark.parametrize(
    ("compute_ps", "expected"),
    [([10, 10], [10, 15]), ([20, 10], [20, 10]), ([12, 10], [17, 10])],
)
def test_requests_out_of_order_go_by_time_then_tile(
    timing: str, compute_ps: list[int], expected: list[int]
) -> None:
    pipeline = Pipeline(
        (stage("compute", "units"), stage("drain", "port", "compute", in_order=False)),
        (resource("units", 2), resource("port")),
    )
    program = build(pipeline, {"compute": compute_ps, "drain": [5, 7]})
    assert starts(program, timing) == {"compute": [0, 0], "drain": expected}


@both
def test_a_demand_of_length_zero_neither_queues_nor_holds_a_server(timing: str) -> None:
    pipeline = Pipeline((stage("compute", "unit"),), (resource("unit"),))
    assert starts(build(pipeline, {"compute": [10, 0, 7]}), timing) == {"compute": [0, 0, 10]}


@both
def test_lengths_of_zero_ripple_through_at_one_instant(timing: str) -> None:
    """Issue runs to a fixed point: all of tile 1 to 3 is done at the instant that tile 0 ends."""
    pipeline = Pipeline(
        (stage("a", "r"), stage("b", "s", "a"), stage("c", "t", "b")),
        (resource("r"), resource("s"), resource("t")),
        (SlotPool("room", "a", "c", 1),),
    )
    program = build(pipeline, {"a": [5, 0, 0, 2], "b": [0, 0, 0, 0], "c": [0, 0, 0, 0]})
    assert starts(program, timing) == {"a": [0, 5, 5, 5], "b": [5, 5, 5, 7], "c": [5, 5, 5, 7]}


@both
def test_a_stage_is_issued_once_however_its_predecessors_end(timing: str) -> None:
    """c follows a and b, and b takes no time after a: the end of a brings about b, and both bring about c."""
    pipeline = Pipeline(
        (
            stage("a", "r"),
            stage("b", "s", "a", in_order=False),
            stage("c", "t", "a", "b", in_order=False),
        ),
        (resource("r"), resource("s"), resource("t")),
    )
    program = build(pipeline, {"a": [5, 5], "b": [0, 0], "c": [3, 3]})
    assert starts(program, timing) == {"a": [0, 5], "b": [5, 10], "c": [5, 10]}


@both
def test_what_becomes_ready_within_an_instant_is_still_served_by_tile(timing: str) -> None:
    """At 10 tile 1 is ready for c by its b; tile 0 only by way of x, which takes no time after its a."""
    pipeline = Pipeline(
        (
            stage("c", "port", "x", "b", in_order=False),
            stage("a", "r"),
            stage("b", "s"),
            stage("x", "t", "a", in_order=False),
        ),
        (resource("port"), resource("r", 2), resource("s", 2), resource("t")),
    )
    program = build(pipeline, {"c": [5, 7], "a": [10, 2], "b": [3, 10], "x": [0, 0]})
    assert starts(program, timing) == {"c": [10, 15], "a": [0, 0], "b": [0, 0], "x": [10, 2]}


@both
def test_several_servers(timing: str) -> None:
    pipeline = Pipeline((stage("compute", "units"),), (resource("units", 2),))
    assert starts(build(pipeline, {"compute": [10, 4, 3, 9]}), timing) == {"compute": [0, 0, 4, 7]}


@both
def test_a_pure_delay_overlaps_with_itself(timing: str) -> None:
    pipeline = Pipeline(
        (stage("load", "port"), stage("latency", "wire", "load"), stage("compute", "unit", "latency")),
        (resource("port"), resource("wire", UNLIMITED), resource("unit")),
    )
    program = build(pipeline, {"load": [10] * 3, "latency": [100] * 3, "compute": [5] * 3})
    assert starts(program, timing) == {
        "load": [0, 10, 20],
        "latency": [10, 20, 30],
        "compute": [110, 120, 130],
    }


@both
def test_an_accumulator_bank_is_taken_by_the_first_and_freed_by_the_last_tile_of_a_sum(timing: str) -> None:
    pipeline = Pipeline(
        (stage("compute", "array"), stage("drain", "port", "compute", in_order=False)),
        (resource("array"), resource("port")),
        (SlotPool("bank", "compute", "drain", 1),),
    )
    program = build(
        pipeline,
        {"compute": [10] * 4, "drain": [0, 30, 0, 30]},
        takes={"bank": [True, False, True, False]},
        frees={"bank": [False, True, False, True]},
    )
    assert starts(program, timing) == {"compute": [0, 10, 50, 60], "drain": [10, 20, 60, 70]}


@both
def test_slots_come_free_in_order_of_time_not_of_tiles(timing: str) -> None:
    """Tile 1 gives its slot back at 6, long before tile 0 does at 51."""
    pipeline = Pipeline(
        (stage("load", "port"), stage("hold", "wire", "load")),
        (resource("port"), resource("wire", UNLIMITED)),
        (SlotPool("room", "load", "hold", 2),),
    )
    program = build(pipeline, {"load": [1, 1, 1, 1], "hold": [50, 4, 10, 1]})
    assert starts(program, timing) == {"load": [0, 1, 6, 17], "hold": [1, 2, 7, 18]}


@both
def test_a_wait_holds_back_until_the_other_tile_ended(timing: str) -> None:
    pipeline = Pipeline(
        (stage("compute", "array"), stage("drain", "port", "compute", in_order=False)),
        (resource("array"), resource("port")),
        (),
        (Wait("raw", "compute", "drain"),),
    )
    durations = {"compute": [10, 10, 10], "drain": [5, 25, 5]}
    waiting = build(pipeline, durations, waits={"raw": [(2, 0), (2, 1)]})
    assert starts(waiting, timing) == {"compute": [0, 10, 45], "drain": [10, 20, 55]}
    assert starts(build(pipeline, durations), timing) == {"compute": [0, 10, 20], "drain": [10, 20, 45]}


@both
def test_a_wait_may_point_forward_where_the_other_tile_can_go_first(timing: str) -> None:
    pipeline = Pipeline(
        (stage("compute", "array"), stage("other", "unit")),
        (resource("array"), resource("unit")),
        (),
        (Wait("first", "compute", "other"),),
    )
    program = build(pipeline, {"compute": [10, 10], "other": [3, 4]}, waits={"first": [(0, 1)]})
    assert starts(program, timing) == {"compute": [7, 17], "other": [0, 3]}


@both
def test_many_slots_given_back_in_reverse(timing: str) -> None:
    """Delays that shrink from tile to tile give slots back in the reverse order, far apart."""
    pipeline = Pipeline(
        (stage("load", "port"), stage("hold", "wire", "load")),
        (resource("port", UNLIMITED), resource("wire", UNLIMITED)),
        (SlotPool("room", "load", "hold", 200),),
    )
    program = build(pipeline, {"load": [0] * 400, "hold": list(range(400, 0, -1))})
    found = starts(program, timing)
    # 200 at time 0 end at 400, 399 ... 201. The next 200 start as those end, and take 200, 199 ... 1.
    assert found["load"] == [0] * 200 + list(range(201, 401))


@both
def test_no_tiles(timing: str) -> None:
    program = build(SYSTOLIC, {name: [] for name in SYSTOLIC.stage_names})
    trace = simulate(program, timing)
    assert trace.start_ps.shape == (4, 0)
    assert trace.makespan_ps == 0


@both
def test_columns_of_a_trace_are_read_only(timing: str) -> None:
    trace = simulate(build(SYSTOLIC, {name: [1] for name in SYSTOLIC.stage_names}), timing)
    for column in (trace.start_ps, trace.end_ps):
        with pytest.raises(ValueError, match="read-only"):
            column[0, 0] = 0


def test_auto_is_fast() -> None:
    program = build(SYSTOLIC, {name: [1] for name in SYSTOLIC.stage_names})
    assert simulate(program).path == "fast"


@both
def test_progress_ends_at_the_whole(timing: str) -> None:
    calls: list[tuple[int, int]] = []
    program = build(SYSTOLIC, {name: [3] for name in SYSTOLIC.stage_names}, kind_of_tile=[0] * 10_000)
    simulate(program, timing, lambda done, total: calls.append((done, total)))
    assert calls[-1] == (10_000, 10_000)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})
    assert len(calls) == (3 if timing == "events" else 1)


@both
def test_a_deadlock_names_the_first_blocked_tile_of_each_stage_and_its_reasons(timing: str) -> None:
    program = build(
        replace(SYSTOLIC, waits=(Wait("raw", "compute", "drain"),)),
        {name: [5] * 6 for name in SYSTOLIC.stage_names},
        frees={"planes": [True, False, False, True, True, True]},
        waits={"raw": [(2, 0), (2, 4)]},
        first_tile=[0, 3, 6],
    )
    with pytest.raises(DeadlockError) as caught:
        simulate(program, timing)
    assert str(caught.value).splitlines() == [
        "the pipeline stands still with 4 of 6 tiles unfinished:",
        "  weights of tile 5 (operator 1) waits for a slot of pool fifo (2 slots, 5 taken, 3 given back)",
        "  shift of tile 3 (operator 1) waits for a slot of pool planes (2 slots, 3 taken, 1 given back)",
        "  compute of tile 2 (operator 0) waits for drain of tile 4 (operator 1) (wait raw)",
        "  drain of tile 2 (operator 0) waits for its compute",
        "look for waits that point forward or in a circle, and for slots that are never given back",
    ]


@both
@pytest.mark.parametrize("upon", ["compute", "drain"])
def test_a_tile_that_waits_for_itself_is_a_deadlock(timing: str, upon: str) -> None:
    pipeline = replace(SYSTOLIC, waits=(Wait("self", "compute", upon),))
    program = build(pipeline, {name: [5] for name in SYSTOLIC.stage_names}, waits={"self": [(0, 0)]})
    with pytest.raises(DeadlockError, match=rf"compute of tile 0 waits for {upon} of tile 0 \(wait self\)"):
        simulate(program, timing)


@both
@pytest.mark.parametrize("in_order", [True, False])
def test_stages_in_a_circle_are_a_deadlock(timing: str, in_order: bool) -> None:
    pipeline = Pipeline(
        (stage("a", "r", "b", in_order=in_order), stage("b", "r", "a", in_order=in_order)), (resource("r"),)
    )
    with pytest.raises(DeadlockError, match="a of tile 0 waits for its b"):
        simulate(build(pipeline, {"a": [1], "b": [0]}), timing)


@both
def test_a_pool_without_slots_is_a_deadlock(timing: str) -> None:
    pipeline = replace(SYSTOLIC, pools=(SlotPool("fifo", "weights", "shift", 0),))
    program = build(pipeline, {name: [5] for name in SYSTOLIC.stage_names})
    with pytest.raises(DeadlockError, match="weights of tile 0 waits for a slot of pool fifo"):
        simulate(program, timing)


@both
def test_times_up_to_the_limit_are_exact_and_beyond_are_refused(timing: str) -> None:
    pipeline = Pipeline((stage("compute", "array"),), (resource("array"),))
    half = NEVER_PS // 2
    trace = simulate(build(pipeline, {"compute": [half, half - 1]}), timing)
    assert trace.start_ps.tolist() == [[0, half]]
    assert trace.makespan_ps == NEVER_PS - 1
    with pytest.raises(CapacityError, match=r"add up to 4\.61e\+06 s"):
        simulate(build(pipeline, {"compute": [half, half]}), timing)
    with pytest.raises(CapacityError):
        simulate(build(pipeline, {"compute": [2**63 - 1]}, kind_of_tile=[0] * 4), timing)


COMPUTE = stage("compute", "array")


@both
@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (Pipeline((), ()), "the pipeline has no stages"),
        (Pipeline((COMPUTE, COMPUTE), (resource("array"),)), "two stages are called 'compute'"),
        (Pipeline((COMPUTE,), ()), "stage compute uses resource 'array'"),
        (Pipeline((COMPUTE,), (resource("array", 0),)), "resource array has 0 servers"),
        (Pipeline((stage("a", "r", "b"),), (resource("r"),)), "stage a is after 'b', which is no stage"),
        (
            Pipeline((COMPUTE,), (resource("array"),), (SlotPool("p", "compute", "drain", 1),)),
            "pool p names 'drain', which is no stage",
        ),
        (
            Pipeline((COMPUTE,), (resource("array"),), (SlotPool("p", "compute", "compute", -1),)),
            "pool p has -1 slots",
        ),
        (
            Pipeline((stage("a", "r", in_order=False),), (resource("r"),), (), (Wait("w", "a", "a"),)),
            "wait w holds back stage a, which is out of order",
        ),
    ],
)
def test_a_malformed_pipeline_is_refused(timing: str, pipeline: Pipeline, message: str) -> None:
    durations = {s.name: [1] for s in pipeline.stages}
    program = build(pipeline, durations) if durations else replace(ONE, pipeline=pipeline)
    with pytest.raises(SpecError) as caught:
        simulate(program, timing)
    assert message in str(caught.value)


ONE = build(
    Pipeline((COMPUTE,), (resource("array"),), (), (Wait("raw", "compute", "compute"),)),
    {"compute": [1, 1]},
    waits={"raw": [(1, 0)]},
)


def ints(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


@both
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind_of_tile": np.array([0, 2], dtype=np.int32)}, "kind outside 0 to 1"),
        ({"kind_of_tile": np.array([0, -1], dtype=np.int32)}, "kind outside 0 to 1"),
        ({"durations_ps": np.array([[1, -1]])}, "a duration is negative (-1 ps)"),
        ({"durations_ps": np.ones((2, 2), dtype=np.int64)}, "durations_ps has shape (2, 2)"),
        ({"takes": np.ones((1, 2), dtype=np.bool_)}, "takes has shape (1, 2)"),
        ({"first_tile": ints(0, 1)}, "first_tile does not rise from 0 to the number of tiles, 2"),
        ({"first_tile": ints()}, "first_tile does not rise"),
        ({"wait_tiles": ()}, "1 waits need as many entries"),
        ({"wait_tiles": (ints(2),)}, "wait raw names a tile outside 0 to 1"),
        ({"wait_upon": (ints(-1),)}, "wait raw names a tile outside 0 to 1"),
        ({"wait_upon": (ints(0, 0),)}, "wait raw: wait_tiles and wait_upon differ in shape"),
        ({"wait_tiles": (ints(1, 0),), "wait_upon": (ints(0, 0),)}, "waiting tiles are not ascending"),
    ],
)
def test_malformed_columns_are_refused(timing: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        simulate(replace(ONE, **change), timing)
    assert message in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        simulate(replace(ONE, durations_ps=np.array([[1, -1]]), wait_upon=(ints(-1),)))
    assert len(caught.value.problems) == 2


def test_an_unknown_timing_is_refused() -> None:
    with pytest.raises(SpecError, match="timing 'exact' is unknown; use one of auto, events, fast"):
        simulate(ONE, "exact")
