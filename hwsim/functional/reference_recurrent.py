"""The independent reference of recurrent operators, in numpy and float64: gates by name, after the equations
of the ONNX operators LSTM, GRU (linear_before_reset = 1) and RNN (onnx.ai/onnx/operators). Shares no code
with what executes them.

Bounds for floats: with e the error of a gate's argument, a sigmoid is off by at most e / 4 and a tanh by e;
what follows is sums and products of two numbers with errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.tensor.encoding import Float64Array
from hwsim.workload.operators import Recurrent

NAMES: Mapping[str, str] = {"lstm": "iofc", "gru": "zrh", "rnn": "i"}
SLACK = 2.0**-40  # of double precision, over all terms of a step
Kept = Callable[[Float64Array], Float64Array]


@dataclass(frozen=True, eq=False)
class Flowed:
    """The float64 flow through an operator: the states and, of an LSTM, the cells after all steps, [T, N, H];
    and the largest sizes that products of its weights reach: of the input, where the steps multiply it, and
    of the state."""

    states: Float64Array
    cells: Float64Array
    largest: tuple[float, ...]


def flow(problem: Recurrent, operands: Sequence[Float64Array]) -> Flowed:
    """Through all steps, from operands as `Recurrent` lists them."""
    x, weight, *rest = (np.asarray(operand, dtype=np.float64) for operand in operands)
    input_weight = rest.pop(0) if problem.I else None
    bias = rest.pop(0).reshape(-1) if rest else 0.0
    input_bias = rest.pop(0).reshape(-1) if rest else 0.0
    state = cell = np.zeros((problem.N, problem.H))
    states, cells = (np.empty((problem.T, problem.N, problem.H)) for _ in range(2))
    largest = [0.0] * problem.weights
    for step in range(problem.T):
        given = x[step]
        if input_weight is not None:
            given = given @ input_weight.T
            largest[0] = max(largest[0], float(np.abs(given).max()))
        sums = state @ weight.T
        largest[-1] = max(largest[-1], float(np.abs(sums).max()))
        state, cell = advance(problem, given + input_bias, sums + bias, state, cell)
        states[step], cells[step] = state, cell
    return Flowed(states, cells, tuple(largest))


def advance(
    problem: Recurrent,
    given: Float64Array,
    sums: Float64Array,
    state: Float64Array,
    cell: Float64Array,
    keep: Kept | None = None,
) -> tuple[Float64Array, Float64Array]:
    """One step, or many at once: (..., gates H) from the input and from the state, and the state and cell
    before, make those after. `keep` is what becomes of a cell where it is stored."""
    u, s = by_name(problem, given), by_name(problem, sums)
    if problem.cell == "rnn":
        total = u["i"] + s["i"]
        return (np.tanh(total) if problem.function == "tanh" else np.maximum(total, 0.0)), cell
    if problem.cell == "gru":
        update, reset = (sigmoid(u[name] + s[name]) for name in "zr")
        new = np.tanh(u["h"] + reset * s["h"])
        return (1.0 - update) * new + update * state, cell
    enter, leave, stay = (sigmoid(u[name] + s[name]) for name in "iof")
    cell = stay * cell + enter * np.tanh(u["c"] + s["c"])
    return leave * np.tanh(cell if keep is None else keep(cell)), cell


def errors(
    problem: Recurrent,
    given: Float64Array,
    sums: Float64Array,
    off: Float64Array,
    state: Float64Array,
    cell: Float64Array,
    kept: Float64Array,
) -> tuple[Float64Array, Float64Array]:
    """How far `advance` may be off, in state and cell, where what comes from the input and from the state
    together is off by up to `off`, all of it in the state's part. `kept` is the cell as it is stored, which
    the state is made from."""
    u, s, e = (by_name(problem, part) for part in (given, sums, off))
    e = {name: part + SLACK * (np.abs(u[name]) + np.abs(s[name])) for name, part in e.items()}
    nothing = np.zeros_like(state)
    if problem.cell == "rnn":
        return e["i"], nothing
    if problem.cell == "gru":
        update, reset = (sigmoid(u[name] + s[name]) for name in "zr")
        new = np.tanh(u["h"] + reset * s["h"])
        off_reset, off_update = e["r"] / 4, e["z"] / 4
        off_new = e["h"] + off_reset * (np.abs(s["h"]) + e["h"])
        found = off_update * (np.abs(state - new) + off_new) + (1 - update) * off_new
        return found + SLACK * (np.abs(new) + np.abs(state)), nothing
    enter, leave, stay = (sigmoid(u[name] + s[name]) for name in "iof")
    new = np.tanh(u["c"] + s["c"])
    off_cell = e["f"] / 4 * np.abs(cell) + e["i"] / 4 * (np.abs(new) + e["c"]) + enter * e["c"]
    off_cell = off_cell + SLACK * (np.abs(stay * cell) + np.abs(enter * new))
    size = np.abs(np.tanh(kept))
    return (e["o"] / 4 + SLACK * leave) * size, off_cell


def by_name(problem: Recurrent, numbers: Float64Array) -> dict[str, Float64Array]:
    """(..., gates H) or, the same for all gates, (..., H), taken apart."""
    names = NAMES[problem.cell]
    if numbers.shape[-1] == problem.H:
        return dict.fromkeys(names, numbers)
    return dict(zip(names, np.split(numbers, len(names), axis=-1), strict=True))


def sigmoid(x: Float64Array) -> Float64Array:
    """1 / (1 + exp(-x)), without powers that overflow."""
    small = np.exp(-np.abs(x))
    found: Float64Array = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return found
