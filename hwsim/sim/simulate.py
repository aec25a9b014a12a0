"""simulate: the one door to both timing paths, and the rule of time that they follow."""

from __future__ import annotations

from collections.abc import Callable

from hwsim.errors import SpecError
from hwsim.plan import Program
from hwsim.result import Trace
from hwsim.sim.soundness import NEVER_PS, check_sound, deadlock

TIMINGS = ("auto", "events", "fast")


def simulate(
    program: Program, timing: str = "auto", progress: Callable[[int, int], None] | None = None
) -> Trace:
    """When every tile of `program` is served in every stage, in whole picoseconds.

    `timing` is "events" (SimPy processes), "fast" (compiled loops) or "auto", which is fast: both give the
    same picosecond on every program, and fast takes a hundredth of the time. `progress` is called with
    (tiles done, tiles in all) now and then, by the fast path only at the end.

    The rule:
    1. An in-order stage issues tile i when tile i-1 has been issued in it, the stages it is `after` have
       ended for tile i, all that tile i waits for has ended, and every pool that it takes from has a free
       slot. An out-of-order stage issues a tile when its `after` stages have ended. Nothing else holds a
       stage back: what is after nothing can be issued at time 0. A slot is given back when the stage that
       frees it ends.
    2. At an instant all completions come first; then stages issue until nothing more can be issued. A
       demand of length zero is done at once: it takes no server and never queues.
    3. Then, once, each resource grants its waiting requests by (request time, stage in the pipeline's
       order, tile) while it has idle servers. Nothing is preempted.

    Raises SpecError for a malformed program or unknown timing, CapacityError where the times could pass
    2**62 ps (53 days), DeadlockError where tiles are left that nothing can ever issue.
    """
    if timing not in TIMINGS:
        raise SpecError(f"timing {timing!r} is unknown; use one of {', '.join(TIMINGS)}")
    check_sound(program)
    if timing == "events":
        from hwsim.sim import events  # SimPy loads only where it is used

        path, (start_ps, makespan_ps) = "events", events.run(program, progress)
    else:
        from hwsim.sim import recurrence  # numba takes 0.3 s to load

        path, (start_ps, makespan_ps) = "fast", recurrence.run(program)
    if int(start_ps.max(initial=0)) >= NEVER_PS:
        raise deadlock(program, start_ps)
    if progress:
        progress(program.tiles, program.tiles)
    return Trace(
        stages=program.pipeline.stage_names,
        stage_resources=tuple(stage.resource for stage in program.pipeline.stages),
        first_tile=program.first_tile,
        kind_of_tile=program.kind_of_tile,
        durations_ps=program.durations_ps,
        start_ps=start_ps,
        makespan_ps=makespan_ps,
        path=path,
    )
