"""A program timed again at other rates gives what a simulation of it gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.errors import CapacityError, DeadlockError, HwsimError
from hwsim.sim import Retimed, simulate
from tests.programs import random_programs


def test_makespans_equal_simulations() -> None:
    """Also where stages begin or cease to take time, which changes how they meet their resources."""
    draw = np.random.default_rng(3)
    compared = refused = 0
    for program in random_programs(seed=11, count=400):
        idle = draw.integers(0, 2, size=len(program.durations_ps))  # stages that take no time at first
        try:
            retimed = Retimed(replace(program, durations_ps=program.durations_ps * idle[:, None]))
        except HwsimError:
            continue
        for _ in range(4):
            factors = draw.integers(0, 4, size=len(program.durations_ps))
            durations_ps = program.durations_ps * factors[:, None]
            try:
                found: int | str = simulate(replace(program, durations_ps=durations_ps), "events").makespan_ps
            except DeadlockError as error:
                found = str(error)
            if isinstance(found, str):
                with pytest.raises(DeadlockError) as caught:
                    retimed.makespan_ps(durations_ps)
                assert str(caught.value) == found
                refused += 1
            else:
                assert retimed.makespan_ps(durations_ps) == found
                compared += 1
    assert compared > 500
    assert refused > 20


def test_times_that_cannot_be_kept_are_refused() -> None:
    program = next(p for p in random_programs(seed=1, count=40) if p.durations_ps.all(axis=1).any())
    with pytest.raises(CapacityError, match="faster resources"):
        Retimed(program).makespan_ps(np.full_like(program.durations_ps, 2**61))
