"""What the steps of a recurrent cell ask of any machine beside their products: element operations, as the
activation unit of the systolic kind counts them (hwsim's own reading of the equations).

Of one sum: it is converted, with its function where it has all it needs; a sum of the state, and one of the
state that a GRU has reset, also has the input's part added. Of each unit behind its gates: f c' + i g, tanh,
and the product with o, of an LSTM; the product with r, and h' - n, times z, plus n, of a GRU; nothing of an
RNN, whose gate is the state. Peepholes are three products of a unit, each added.
"""

from __future__ import annotations

from hwsim.workload.recurrent import PEEPHOLES, Recurrent

CONVERTED, CONVERTED_AND_ADDED = 1, 2
UPDATES = {"lstm": 5, "gru": 4, "rnn": 0}
RESET = 1  # of a GRU's updates, the product with r


def passes(problem: Recurrent, what: str) -> int:
    """Operations on each sum of the product of "input", "state" or "hidden"."""
    adds = what == "state" or (what == "hidden" and not problem.P)
    return CONVERTED_AND_ADDED if adds else CONVERTED


def gate_updates(problem: Recurrent) -> int:
    """Operations of one unit behind the sums of its gates."""
    if problem.resets_before:
        return RESET
    return UPDATES[problem.cell] + (2 * PEEPHOLES if problem.peepholes else 0)


def end_updates(problem: Recurrent) -> int:
    """Operations of one unit behind one more product of what its gates made."""
    return UPDATES["gru"] - RESET if problem.resets_before else 0


def begin_operations(problem: Recurrent) -> int:
    """Before the first step: what it begins with is converted."""
    return problem.N * (problem.S * problem.initial_state + problem.H * problem.initial_cell)


def last_operations(problem: Recurrent) -> int:
    """Behind the last step: a cell that is kept is converted."""
    return problem.N * problem.H * problem.keeps_cell


def step_operations(problem: Recurrent) -> tuple[int, int]:
    """All of one step: with the gates, and behind one more product of what they made."""
    n, units = problem.N, problem.H
    rows = {what: rows for what, rows, _ in problem.products}
    reset = units if problem.resets_before and problem.I else 0  # sums of the input that wait for the reset
    gates = rows["state"] * passes(problem, "state") + (rows.get("input", 0) - reset) * CONVERTED
    end = rows.get("hidden", 0) * passes(problem, "hidden") + reset * CONVERTED
    return n * (gates + units * gate_updates(problem)), n * (end + units * end_updates(problem))


def recurrent_operations(problem: Recurrent) -> int:
    """All of an operator."""
    steps = problem.T * sum(step_operations(problem))
    return steps + begin_operations(problem) + last_operations(problem)
