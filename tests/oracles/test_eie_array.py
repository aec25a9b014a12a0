"""The compiled recurrence of the EIE array against processes, cycle for cycle, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.kernels.eie_array import broadcast_cycles
from tests.oracles.eie_array import Array


def compiled(stored: np.ndarray, columns: list[int], slots: int, credit: int, empty: int) -> int:
    active = np.array(columns, dtype=np.int32)
    first = np.array([0, len(columns)], dtype=np.int64)
    entries = np.ascontiguousarray(stored.T, dtype=np.int32)
    cycles, _ = broadcast_cycles(entries, active, first, slots, credit, empty)
    return int(cycles[0])


@st.composite
def arrays(draw: st.DrawFn) -> tuple[np.ndarray, list[int], int, int, int]:
    pes, columns = draw(st.integers(1, 6)), draw(st.integers(1, 24))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    stored = random.poisson(draw(st.sampled_from([0.2, 1.0, 4.0, 12.0])), (pes, columns))
    active = [int(c) for c in np.flatnonzero(random.random(columns) < draw(st.sampled_from([0.3, 1.0])))]
    return stored, active, draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(0, 3))


@given(arrays())
def test_recurrence_and_processes_give_the_same_cycle(
    case: tuple[np.ndarray, list[int], int, int, int],
) -> None:
    stored, columns, slots, credit, empty = case
    assert compiled(stored, columns, slots, credit, empty) == Array(
        stored.tolist(), slots, credit, empty
    ).run(columns)


@pytest.mark.parametrize(
    ("stored", "slots", "cycles"),
    [
        # One PE, three columns of 2, 0 and 3 entries: nothing waits, 2 + 1 + 3.
        ([[2, 0, 3]], 7, 6),
        # One place: the second broadcast comes 2 cycles after the first was taken, at 2, just when the PE is
        # done; its lookup ends at 3. The third comes at 4.
        ([[2, 0, 3]], 1, 7),
        # Two PEs, deep queues: the fuller one decides.
        ([[4, 4, 1], [1, 1, 1]], 7, 9),
        # Two PEs and one place: broadcasts at 0, 2, and 4 + 2, since the first PE takes the second at 4.
        ([[4, 4, 1], [1, 1, 1]], 1, 9),
        # Taking turns: 5 + 1 in the one, 1 then 5 in the other; with one place the second is sent at 2.
        ([[5, 1], [1, 5]], 1, 7),
    ],
)
def test_hand_worked_cycles(stored: list[list[int]], slots: int, cycles: int) -> None:
    columns = list(range(len(stored[0])))
    assert compiled(np.array(stored), columns, slots, 2, 1) == cycles
    assert Array(stored, slots, 2, 1).run(columns) == cycles


def test_time_that_is_not_work_is_told() -> None:
    """Two PEs of 4 and 1 entries: the second is done three cycles early."""
    active, first = np.array([0], dtype=np.int32), np.array([0, 1], dtype=np.int64)
    cycles, present = broadcast_cycles(np.array([[4, 1]], dtype=np.int32), active, first, 7, 2, 1)
    assert (int(cycles[0]), int(present[0])) == (4, 5)
