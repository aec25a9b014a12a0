"""An LSTM with peepholes and a projection as loops over single numbers, from the equations in the
documentation of the ONNX operator LSTM and, for the projection, of torch.nn.LSTM. Slow and obvious."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Numbers = Sequence[float]


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def _dot(weights: Numbers, values: Numbers) -> float:
    return sum(float(w) * float(v) for w, v in zip(weights, values, strict=True))


def lstm_projected(
    x: np.ndarray, w: np.ndarray, r: np.ndarray, bias: np.ndarray, v: np.ndarray, p: np.ndarray,
    h: np.ndarray, c: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """States [T, N, P] and last cells [N, H] of an LSTM with gates i o f c, peepholes p [3 H] (i o f) and the
    projection v [P, H]; w [4 H, I], r [4 H, P], bias [4 H], and h [N, P] and c [N, H] before."""
    states = []
    for at in x:
        steps = [_step(at[n], w, r, bias, v, p, h[n], c[n]) for n in range(len(at))]
        h, c = (np.array([step[i] for step in steps]) for i in range(2))
        states.append(h)
    return np.array(states), c


def _step(
    x: Numbers, w: np.ndarray, r: np.ndarray, bias: np.ndarray, v: np.ndarray, p: np.ndarray, h: Numbers,
    c: Numbers,
) -> tuple[list[float], list[float]]:  # fmt: skip
    """State and cell of one sequence after one step."""
    units = v.shape[1]

    def gate(number: int, j: int) -> float:
        row = number * units + j
        return _dot(w[row], x) + _dot(r[row], h) + float(bias[row])

    cells, outs = [], []
    for j in range(units):
        enter = _sigmoid(gate(0, j) + p[j] * c[j])
        stay = _sigmoid(gate(2, j) + p[2 * units + j] * c[j])
        cells.append(stay * c[j] + enter * math.tanh(gate(3, j)))
        leave = _sigmoid(gate(1, j) + p[units + j] * cells[j])
        outs.append(leave * math.tanh(cells[j]))
    return [_dot(row, outs) for row in v], cells
