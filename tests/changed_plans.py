"""Plans changed on purpose, and what verification says of the numbers that they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hwsim.functional import verify_program
from hwsim.plan import Plan, join_plans
from hwsim.preparation import Prepared
from hwsim.result import Verification
from hwsim.workload import Workload

Change = Callable[[Plan], Plan]


def verify_changed(
    workload: Workload, right: Prepared, at: int, change: Change, *, accumulator_bits: int = 32
) -> Verification:
    """Verify with the plan of operator `at` of the schedule changed; waits do not matter to numbers."""
    plans = [change(plan) if i == at else plan for i, plan in enumerate(right.plans)]
    program = join_plans(right.program.pipeline, plans, [{} for _ in plans])
    return verify_program(workload, right.schedule, program, accumulator_bits=accumulator_bits)


def each(plan: Plan) -> Plan:
    """The same plan with a kind of its own for every tile, so that one tile alone can be changed."""
    kinds = plan.kind_of_tile
    return replace(
        plan,
        kind_of_tile=np.arange(len(kinds), dtype=np.int32),
        demands=plan.demands[:, kinds].copy(),
        takes=plan.takes[:, kinds].copy(),
        frees=plan.frees[:, kinds].copy(),
        actions={},
    )
