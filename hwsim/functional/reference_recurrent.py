"""The independent reference of recurrent operators, in numpy and float64: gates by name, after the equations
of the ONNX operators LSTM, GRU and RNN (onnx.ai/onnx/operators) and, for projections, of Sak et al. 2014.
Shares no code with what executes them.

A step is begun with the sums of gates. Where what they make is multiplied once more (a projection, or the
state that a GRU has reset), the step is finished with the sums of that.

Bounds for floats: with e the error of a gate's argument, a sigmoid is off by at most e / 4 and a tanh by e;
what follows is sums and products of two numbers with errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.workload.recurrent import Recurrent, recurrent_parts

NAMES: Mapping[str, str] = {"lstm": "iofc", "gru": "zrh", "rnn": "i"}
SLACK = 2.0**-40  # of double precision, over all terms of a step
Kept = Callable[[Float64Array], Float64Array]


@dataclass(frozen=True, eq=False)
class Flowed:
    """The float64 flow through an operator, step by step: what each step leaves, states [T, N, S] and, of an
    LSTM, cells [T, N, H]; `hidden` [T, N, H], what gates make where that is multiplied once more; the
    `result` at the places of the sequence; and the largest sizes that its products reach, in their order."""

    states: Float64Array
    cells: Float64Array
    hidden: Float64Array
    result: Float64Array
    largest: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Meeting:
    """What gates are made from, of one step or many: sums from the input and from the state (..., gates H),
    or fewer gates of the state, and the state and the cell before; peepholes [3, H] or None."""

    given: Float64Array
    sums: Float64Array
    state: Float64Array
    cell: Float64Array
    peepholes: Float64Array | None = None


def flow(problem: Recurrent, operands: Sequence[Float64Array]) -> Flowed:
    """Through all steps, from operands as `Recurrent` lists them."""
    at = recurrent_parts(problem, [np.asarray(operand, dtype=np.float64) for operand in operands])
    n, units, steps = problem.N, problem.H, problem.T
    split = problem.gates * units - (units if problem.resets_before else 0)  # rows of R for what comes first
    bias = np.zeros(problem.gates * units) if at.state_bias is None else at.state_bias.reshape(-1)
    input_bias = 0.0 if at.input_bias is None else at.input_bias.reshape(-1)
    peepholes = None if at.peepholes is None else at.peepholes.reshape(3, units)
    state = np.zeros((n, problem.S)) if at.initial_state is None else at.initial_state.reshape(n, -1)
    cell = np.zeros((n, units)) if at.initial_cell is None else at.initial_cell.reshape(n, -1)
    states = np.empty((steps, n, problem.S))
    cells, hidden = (np.zeros((steps, n, units)) for _ in range(2))
    reached: dict[str, float] = {}

    def times(what: str, left: Float64Array, weight: Float64Array) -> Float64Array:
        found: Float64Array = left @ weight.T
        reached[what] = max(reached.get(what, 0.0), float(np.abs(found).max(initial=0.0)))
        return found

    for step in range(steps):
        given = at.x[steps - 1 - step if problem.reverse else step]
        if at.input_weight is not None:
            given = times("input", given, at.input_weight)
        sums = times("state", state, at.state_weight[:split]) + bias[:split]
        met = Meeting(given + input_bias, sums, state, cell, peepholes)
        made, cell = begin(problem, met)
        cells[step] = cell
        if problem.resets_before:
            hidden[step] = made
            late = times("hidden", made, at.state_weight[split:]) + bias[split:]
            made = finish(problem, met, late)
        elif at.projection is not None:
            hidden[step] = made
            made = finish(problem, met, times("hidden", made, at.projection))
        states[step] = state = made
    largest = tuple(reached[what] for what, _, _ in problem.products)
    return Flowed(states, cells, hidden, in_places(problem, states, cells[-1]), largest)


def in_places(problem: Recurrent, states: Float64Array, last_cell: Float64Array) -> Float64Array:
    """What steps leave as the result has it: by places of the sequence, and perhaps the last cell."""
    found = states[::-1] if problem.reverse else states
    return np.concatenate([found, last_cell[None]]) if problem.keeps_cell else found


def begin(problem: Recurrent, met: Meeting, keep: Kept | None = None) -> tuple[Float64Array, Float64Array]:
    """What gates make, and the cell after the step: the state, or what is multiplied once more before it is
    one. `keep` is what becomes of a cell where it is stored."""
    a = _arguments(problem, met)
    if problem.cell == "rnn":
        total = a["i"]
        return (np.tanh(total) if problem.function == "tanh" else np.maximum(total, 0.0)), met.cell
    if problem.resets_before:
        return sigmoid(a["r"]) * met.state, met.cell
    if problem.cell == "gru":
        update, reset = sigmoid(a["z"]), sigmoid(a["r"])
        new = np.tanh(by_name(problem, met.given)["h"] + reset * by_name(problem, met.sums)["h"])
        return (1.0 - update) * new + update * met.state, met.cell
    cell = sigmoid(a["f"]) * met.cell + sigmoid(a["i"]) * np.tanh(a["c"])
    kept = cell if keep is None else keep(cell)
    return _leave(a, met, kept) * np.tanh(kept), cell


def finish(problem: Recurrent, met: Meeting, late: Float64Array) -> Float64Array:
    """The new state, where what gates made was multiplied: `late` are the sums of that."""
    if problem.P:
        return late
    update = sigmoid(_arguments(problem, met)["z"])
    new = np.tanh(by_name(problem, met.given)["h"] + late)
    return (1.0 - update) * new + update * met.state


def begin_errors(
    problem: Recurrent, met: Meeting, off_given: Float64Array, off_sums: Float64Array, kept: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """How far `begin` may be off, in what it makes and in the cell, where sums are off by so much. `kept` is
    the cell as it is stored, which the state is made from."""
    a, e = _arguments(problem, met), _argument_errors(problem, met, off_given, off_sums, kept)
    nothing = np.zeros_like(met.state)
    if problem.cell == "rnn":
        return e["i"], nothing
    if problem.resets_before:
        return (e["r"] / 4 + SLACK) * np.abs(met.state), nothing
    if problem.cell == "gru":
        s = by_name(problem, met.sums)["h"]
        reset = sigmoid(a["r"])
        new = np.tanh(by_name(problem, met.given)["h"] + reset * s)
        off_new = e["h"] + e["r"] / 4 * (np.abs(s) + e["h"])
        return _mixed(sigmoid(a["z"]), e["z"], new, off_new, met.state), nothing
    enter, stay, new = sigmoid(a["i"]), sigmoid(a["f"]), np.tanh(a["c"])
    off_cell = e["f"] / 4 * np.abs(met.cell) + e["i"] / 4 * (np.abs(new) + e["c"]) + enter * e["c"]
    off_cell = off_cell + SLACK * (np.abs(stay * met.cell) + np.abs(enter * new))
    leave, size = _leave(a, met, kept), np.abs(np.tanh(kept))
    return (e["o"] / 4 + SLACK * leave) * size, off_cell


def finish_errors(
    problem: Recurrent, met: Meeting, late: Float64Array, off_given: Float64Array, off_sums: Float64Array,
    off_late: Float64Array,
) -> Float64Array:  # fmt: skip
    """How far `finish` may be off, where sums are off by so much."""
    if problem.P:
        return off_late + SLACK * np.abs(late)
    u = by_name(problem, met.given)["h"]
    e = _argument_errors(problem, met, off_given, off_sums, met.cell)
    off_new = by_name(problem, off_given)["h"] + off_late + SLACK * (np.abs(u) + np.abs(late))
    new = np.tanh(u + late)
    return _mixed(sigmoid(_arguments(problem, met)["z"]), e["z"], new, off_new, met.state)


def _mixed(
    update: Float64Array, off: Float64Array, new: Float64Array, off_new: Float64Array, state: Float64Array
) -> Float64Array:
    """The error of (1 - z) n + z h'."""
    found = off / 4 * (np.abs(state - new) + off_new) + (1 - update) * off_new
    return found + SLACK * (np.abs(new) + np.abs(state))


def _arguments(problem: Recurrent, met: Meeting) -> dict[str, Float64Array]:
    """What each gate is a function of, but for what the new cell adds to that of o."""
    u, s = by_name(problem, met.given), by_name(problem, met.sums)
    found = {name: u[name] + s[name] for name in s}
    if met.peepholes is not None:
        into, _, forget = met.peepholes
        found["i"] = found["i"] + into * met.cell
        found["f"] = found["f"] + forget * met.cell
    return found


def _leave(a: Mapping[str, Float64Array], met: Meeting, kept: Float64Array) -> Float64Array:
    """The output gate of an LSTM, which sees the new cell as it is stored."""
    seen = 0.0 if met.peepholes is None else met.peepholes[1] * kept
    return sigmoid(a["o"] + seen)


def _argument_errors(
    problem: Recurrent, met: Meeting, off_given: Float64Array, off_sums: Float64Array, kept: Float64Array
) -> dict[str, Float64Array]:
    u, s = by_name(problem, met.given), by_name(problem, met.sums)
    off_u, off_s = by_name(problem, off_given), by_name(problem, off_sums)
    found = {n: off_u[n] + off_s[n] + SLACK * (np.abs(u[n]) + np.abs(s[n])) for n in s}
    if met.peepholes is not None:
        for name, weights, cell in zip("iof", met.peepholes, (met.cell, kept, met.cell), strict=True):
            found[name] = found[name] + SLACK * np.abs(weights * cell)
    return found


def by_name(problem: Recurrent, numbers: Float64Array) -> dict[str, Float64Array]:
    """(..., gates H), or those of the first gates alone, or (..., H), the same for all gates, taken apart."""
    names, count = NAMES[problem.cell], numbers.shape[-1] // problem.H
    if count == 1:
        return dict.fromkeys(names, numbers)
    return dict(zip(names[:count], np.split(numbers, count, axis=-1), strict=True))


def sigmoid(x: Float64Array) -> Float64Array:
    """1 / (1 + exp(-x)), without powers that overflow."""
    small = np.exp(-np.abs(x))
    found: Float64Array = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return found
