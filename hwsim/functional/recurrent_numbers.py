"""How the numbers of a recurrent operator are stored. States are stored as its result is, and so is what
they begin with; an LSTM's cell has the same format and a scale of its own, and so has what a projection
multiplies (what a GRU has reset is stored as states are). Sums of a step, biases added, are not rounded
before the gates, which are computed in double precision; the cell is rounded once, and what is made from it,
as it is stored, once more. What an operator begins with comes as it is stored elsewhere and is stored
anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.errors import UnsupportedError
from hwsim.functional.numbers import BIAS_LIMIT, Drain, Numbers, Stored
from hwsim.functional.reference_recurrent import Flowed
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.operators import Operator
from hwsim.workload.recurrent import Recurrent, RecurrentParts, recurrent_parts


@dataclass(frozen=True, eq=False)
class Steps:
    """All that decides the numbers of one recurrent operator. Of the products of a step, in their order,
    `weights`, `biases`, `drains`, and how what they multiply is stored (`sources`): biases are in whole units
    of the sums and drains say what those stand for, and for floats biases are reals and drains None. `out`,
    `cell` and `hidden` are how states, an LSTM's cell, and what gates make for one more product are stored.
    `peepholes` are reals [3, H]. `state` and `cell_before` are what it begins with, None for zeros; `result`
    is the float64 flow's."""

    op: Operator
    problem: Recurrent
    x: Stored
    sources: tuple[Encoding, ...]
    weights: tuple[Stored, ...]
    biases: tuple[Array, ...]
    drains: tuple[Drain | None, ...]
    out: Encoding
    cell: Encoding
    hidden: Encoding
    peepholes: Float64Array | None
    state: Stored | None
    cell_before: Stored | None
    result: Float64Array


@dataclass(frozen=True, eq=False)
class Left:
    """What a machine, or the reference, stored after every step: states [T, N, S], cells and `hidden`
    [T, N, H], step by step (the last two of numbers that nobody reads where the operator has none)."""

    states: Array
    cells: Array
    hidden: Array


def steps_of(
    op: Operator,
    problem: Recurrent,
    operand: Callable[[str], Stored],
    numbers: Numbers,
    tensors: Mapping[str, Tensor],
    constants: Mapping[str, Array],
    flowed: Flowed,
) -> Steps:
    """`operand` gives what is not multiplied as it is stored. Raises UnsupportedError for formats without
    arithmetic."""
    names = recurrent_parts(problem, op.inputs)
    x, tensor = operand(names.x), tensors[op.output]
    state, cell = (
        None if name is None else operand(name) for name in (names.initial_state, names.initial_cell)
    )
    reached = [flowed.result.reshape(-1), *(() if state is None else (state.reals.reshape(-1),))]
    out = numbers.encode_result(op, tensor, np.concatenate(reached), (x,))
    if out.is_float != x.encoding.is_float:
        raise UnsupportedError(
            f"operator {op.name} keeps its state as {tensor.dtype} and adds inputs in "
            f"{x.encoding.format.name}: take floats for both, or integers"
        )
    hidden = numbers.own(tensor.dtype, flowed.hidden) if problem.P else out
    cells = [flowed.cells.reshape(-1), *(() if cell is None else (cell.reals.reshape(-1),))]
    found = _Products(op, problem, names, numbers, tensors, constants, flowed)
    sources = {"input": x.encoding, "state": out, "hidden": hidden}
    for what, rows, _ in problem.products:
        found.add(what, rows, sources[what])
    peepholes = None if names.peepholes is None else operand(names.peepholes).reals.reshape(3, -1)
    kept = numbers.own(tensor.dtype, np.concatenate(cells))
    return Steps(
        op, problem, x, tuple(sources[what] for what, _, _ in problem.products), tuple(found.weights),
        tuple(found.biases), tuple(found.drains), out, kept, hidden, peepholes, state, cell, flowed.result,
    )  # fmt: skip


class _Products:
    """The weights of the products of a step, as they are added in order."""

    def __init__(
        self, op: Operator, problem: Recurrent, names: RecurrentParts[str], numbers: Numbers,
        tensors: Mapping[str, Tensor], constants: Mapping[str, Array], flowed: Flowed,
    ) -> None:  # fmt: skip
        self.op, self.problem, self.names, self.numbers = op, problem, names, numbers
        self.tensors, self.constants = tensors, constants
        self.largest = dict(zip((what for what, _, _ in problem.products), flowed.largest, strict=True))
        self.weights: list[Stored] = []
        self.biases: list[Array] = []
        self.drains: list[Drain | None] = []
        self._state_rows = 0  # of R, that products before have taken

    def add(self, what: str, rows: int, source: Encoding) -> None:
        """One product, of operands stored as `source` says."""
        names = self.names
        if what == "input":
            assert names.input_weight is not None
            stored = self._stored(names.input_weight, source, self.largest["input"])
            bias = self._bias(names.input_bias)
        elif what == "hidden" and names.projection is not None:
            stored = self._stored(names.projection, source, self.largest["hidden"])
            bias = np.zeros(1)
        else:  # all rows of R at once, or first those that do not multiply the state that is reset
            reached = max(
                self.largest["state"], self.largest["hidden"] if self.problem.resets_before else 0.0
            )
            cut = slice(self._state_rows, self._state_rows + rows)
            stored = _rows_of(self._stored(names.state_weight, source, reached), cut)
            bias = self._bias(names.state_bias)
            bias = bias[cut] if bias.size > 1 else bias
            self._state_rows += rows
        drain = None if source.is_float else _drain(source, stored.encoding)
        self.weights.append(stored)
        self.drains.append(drain)
        self.biases.append(_bias_units(bias, drain))

    def _stored(self, name: str, source: Encoding, reached: float) -> Stored:
        return self.numbers.store_weights(
            self.op, self.tensors[name], self.constants[name], source, np.array([reached])
        )

    def _bias(self, name: str | None) -> Array:
        return np.zeros(1) if name is None else self.constants[name].reshape(-1)


def _rows_of(stored: Stored, cut: slice) -> Stored:
    """Some rows of a weight, with their scales where each row has its own."""
    encoding, grid = stored.encoding, stored.encoding.by_channel
    if grid is not None:
        grid = replace(grid, scales=grid.scales[cut], zero_points=grid.zero_points[cut])
        encoding = replace(encoding, by_channel=grid)
    return Stored(stored.values[cut], encoding)


def _drain(source: Encoding, weights: Encoding) -> Drain:
    nothing = np.zeros(0, dtype=np.int64)
    return Drain(source.scale * weights.scales, nothing, nothing, 0, 0, None, ())


def _bias_units(bias: Array, drain: Drain | None) -> Array:
    if drain is None:
        return bias.astype(np.float32).astype(np.float64)
    units = np.rint(bias.astype(np.float64) / drain.sum_scales)
    return np.clip(units, -BIAS_LIMIT, BIAS_LIMIT).astype(np.int64)
