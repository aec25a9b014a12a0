"""Both timing paths, and each loop of the fast one, give the same picosecond on any program."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hwsim.errors import DeadlockError
from hwsim.plan import Program
from hwsim.result import Trace
from hwsim.sim import NEVER_PS, simulate
from hwsim.sim.recurrence import lay_out, run_schedule, run_sweep, sweep_order
from tests.oracles.tile_pipeline import start_times
from tests.programs import random_programs


def outcome(program: Program, timing: str) -> Trace | str:
    try:
        return simulate(program, timing)
    except DeadlockError as error:
        return str(error)


def test_paths_agree_on_every_start_and_on_every_deadlock() -> None:
    seen: Counter[str] = Counter()
    for number, program in enumerate(random_programs(seed=1, count=2400)):
        by_events, fast = outcome(program, "events"), outcome(program, "fast")
        columns = lay_out(program)
        general_ps, makespan_ps = run_schedule(program, columns)
        order = sweep_order(program, columns)
        swept = None if order is None else run_sweep(program, columns, order)
        if isinstance(by_events, str) or isinstance(fast, str):
            assert by_events == fast, number
            assert general_ps.max() == NEVER_PS, number
            assert swept is None, number
            seen["deadlock"] += 1
            continue
        np.testing.assert_array_equal(fast.start_ps, by_events.start_ps, str(number))
        np.testing.assert_array_equal(general_ps, by_events.start_ps, str(number))
        assert fast.makespan_ps == by_events.makespan_ps == makespan_ps == by_events.end_ps.max()
        if swept is not None:
            np.testing.assert_array_equal(swept[0], by_events.start_ps, str(number))
            assert swept[1] == makespan_ps
        seen["general" if swept is None else "swept"] += 1
    # The comparison is worth something only while it meets all of them often.
    assert min(seen["deadlock"], seen["general"], seen["swept"]) > 200, seen


@pytest.mark.parametrize("timing", ["events", "fast"])
def test_paths_follow_the_rule_read_aloud(timing: str) -> None:
    for number, program in enumerate(random_programs(seed=2, count=240)):
        found = outcome(program, timing)
        expected = start_times(program)
        if isinstance(found, str):
            assert any(None in row for row in expected), number
        else:
            assert found.start_ps.tolist() == expected, number


def test_the_quick_loop_gives_up_only_where_tiles_overtake() -> None:
    """Programs in order throughout, on resources of their own, without zero lengths: never given up."""
    tried = 0
    for program in random_programs(seed=3, count=2000):
        stages = program.pipeline.stages
        chain = all(stage.after == (stages[i - 1].name,) for i, stage in enumerate(stages) if i)
        if chain and all(stage.in_order for stage in stages) and (program.durations_ps > 0).all():
            columns = lay_out(program)
            own = len({stage.resource for stage in stages}) == len(stages)
            single = all(r.servers == 1 for r in program.pipeline.resources)
            order = sweep_order(program, columns)
            swept = None if order is None else run_sweep(program, columns, order)
            if own and single and run_schedule(program, columns)[0].max() < NEVER_PS:
                assert swept is not None
                tried += 1
    assert tried > 10
