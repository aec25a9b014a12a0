"""How the numbers of a recurrent operator are stored. States are stored as its result is, and so is the zero
that they begin with; an LSTM's cell has the same format and a scale of its own. Sums of a step, biases added,
are not rounded before the gates, which are computed in double precision; the cell is rounded once, and the
state, made from the cell as it is stored, once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwsim.errors import UnsupportedError
from hwsim.functional.numbers import BIAS_LIMIT, Drain, Numbers, Stored
from hwsim.functional.reference_recurrent import Flowed
from hwsim.tensor.encoding import Encoding, Float64Array
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.operators import Operator, Recurrent


@dataclass(frozen=True, eq=False)
class Steps:
    """All that decides the numbers of one recurrent operator. Of the products of a step (of the input, where
    the steps multiply it, and of the state) `weights`, `biases` and `drains`: biases are in whole units of
    the sums and drains say what those stand for, and for floats biases are reals and drains None. `cell` is
    how an LSTM's cell is stored, `result` the float64 flow's states."""

    op: Operator
    problem: Recurrent
    x: Stored
    weights: tuple[Stored, ...]
    biases: tuple[Array, ...]
    drains: tuple[Drain | None, ...]
    out: Encoding
    cell: Encoding
    result: Float64Array


def steps_of(
    op: Operator,
    problem: Recurrent,
    x: Stored,
    numbers: Numbers,
    tensors: Mapping[str, Tensor],
    constants: Mapping[str, Array],
    flowed: Flowed,
) -> Steps:
    """Raises UnsupportedError for formats without arithmetic."""
    tensor = tensors[op.output]
    out = numbers.encode_result(op, tensor, flowed.states, (x,))
    if out.is_float != x.encoding.is_float:
        raise UnsupportedError(
            f"operator {op.name} keeps its state as {tensor.dtype} and adds inputs in "
            f"{x.encoding.format.name}: take floats for both, or integers"
        )
    sources = [(op.inputs[1], out)]
    named = list(op.inputs[1 + problem.weights :])
    if problem.I:
        sources.insert(0, (op.inputs[2], x.encoding))
        named.reverse()
    weights, biases, drains = [], [], []
    for i, ((name, source), largest) in enumerate(zip(sources, flowed.largest, strict=True)):
        reached = np.array([largest])
        stored = numbers.store_weights(op, tensors[name], constants[name], source, reached)
        bias = constants[named[i]].reshape(-1) if named else np.zeros(1)
        drain = None if source.is_float else _drain(source, stored.encoding)
        weights.append(stored)
        drains.append(drain)
        biases.append(_bias(bias, drain))
    cell = numbers.own(tensor.dtype, flowed.cells)
    return Steps(op, problem, x, tuple(weights), tuple(biases), tuple(drains), out, cell, flowed.states)


def _drain(source: Encoding, weights: Encoding) -> Drain:
    nothing = np.zeros(0, dtype=np.int64)
    return Drain(source.scale * weights.scales, nothing, nothing, 0, 0, None, ())


def _bias(bias: Array, drain: Drain | None) -> Array:
    if drain is None:
        return bias.astype(np.float32).astype(np.float64)
    units = np.rint(bias.astype(np.float64) / drain.sum_scales)
    return np.clip(units, -BIAS_LIMIT, BIAS_LIMIT).astype(np.int64)
