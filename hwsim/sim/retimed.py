"""Makespans of one program at many rates: what does not depend on them is checked and laid out once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.plan import Program
from hwsim.sim.soundness import NEVER_PS, check_lengths, check_sound, deadlock


class Retimed:
    """A program whose durations may change. Raises as `simulate` does."""

    def __init__(self, program: Program) -> None:
        check_sound(program)
        self._program = program
        self._lay_out(program)

    def _lay_out(self, program: Program) -> None:
        from hwsim.sim import recurrence  # numba takes 0.3 s to load

        self._demanding = _demanding(program.durations_ps)
        self._columns = recurrence.lay_out(program)
        self._order = recurrence.sweep_order(program, self._columns)
        self._run = recurrence.run_laid_out

    def makespan_ps(self, durations_ps: Int64Array) -> int:
        """What `simulate` finds for the program with these durations (S, k), none below zero."""
        program = replace(self._program, durations_ps=durations_ps)
        check_lengths(program)
        if _demanding(durations_ps) != self._demanding:
            self._lay_out(program)
        columns = self._columns._replace(durations=np.array(durations_ps.T, order="C"))
        start_ps, makespan_ps = self._run(program, columns, self._order)
        if int(start_ps.max(initial=0)) >= NEVER_PS:
            raise deadlock(program, start_ps)
        return makespan_ps


def _demanding(durations_ps: Int64Array) -> bytes:
    """Which stages take time at all: on that depends how they meet their resources."""
    return durations_ps.any(axis=1).tobytes()
