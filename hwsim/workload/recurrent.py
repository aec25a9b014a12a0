"""Recurrent problems: what a cell takes over the steps of a sequence, the order of its operands, and their
sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Shape, format_shape

GATES: Mapping[str, int] = {"lstm": 4, "gru": 3, "rnn": 1}
FORMS = ("batched", "stepwise", "absent")
FUNCTIONS = ("tanh", "relu")  # of an rnn
PEEPHOLES = 3  # of each unit: into the gates i, o and f

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Recurrent:
    """T steps of a recurrent cell of H units for each of N sequences, one direction; equations and the order
    of gates are those of the ONNX operators LSTM, GRU and RNN (onnx.ai/onnx/operators). With s = R h' + b for
    the state h' before a step, and u from the input:

    lstm  gates i o f c:  i, o, f = sigmoid(u + s), g = tanh(u + s); cell c = f c' + i g, h = o tanh(c)
    gru   gates z r h:    z, r = sigmoid(u + s), n = tanh(u + r s); h = (1 - z) n + z h'
    rnn   one gate:       h = function(u + s)

    `peepholes` of an LSTM add p c' to the arguments of i and f, and p c to that of o, p being one number for
    each unit of each of the three (Gers & Schmidhuber 2000). A projection to P > 0 numbers makes its state
    h = V (o tanh(c)) (Sak et al. 2014, "Long short-term memory recurrent neural network architectures for
    large scale acoustic modeling", without a bias, as PyTorch has it). Without `reset_after` a GRU resets
    the state and not its product: n = tanh(u + R (r h') + b), ONNX's linear_before_reset = 0; with it, as
    cuDNN does.

    For x [T, N, features], u is W x plus a bias with I > 0 features, multiplied step by step; or, with I = 0,
    x itself: features are gates H, products made beforehand, or with `skip` H, the same for every gate
    (cuDNN's skip-input mode). `reverse` goes from the last place of the sequence to the first.

    Operands, those in brackets as the fields say: x, R [gates H, S], [W [gates H, I]], [V [P, H]], then
    perhaps b [gates H] and, where I > 0, the bias of W x [gates H]; [peepholes 3 H]; [the state, N S, and the
    cell, N H, before the first step: zero if absent]. S is P or, without a projection, H. The result is h at
    each place of the sequence, [T, N, S]; with `keeps_cell` the cell after the last step is one more row."""

    kind: ClassVar[str] = "recurrent"
    cell: str  # "lstm", "gru" or "rnn"
    N: int
    T: int
    H: int
    I: int = 0  # noqa: E741 - the field's letter
    skip: bool = False
    function: str = "tanh"  # of an rnn; "tanh" or "relu"
    P: int = 0
    peepholes: bool = False
    reset_after: bool = True
    reverse: bool = False
    initial_state: bool = False
    initial_cell: bool = False
    keeps_cell: bool = False

    @property
    def gates(self) -> int:
        return GATES[self.cell]

    @property
    def S(self) -> int:  # noqa: N802 - a letter like the others
        """Numbers of one sequence's state."""
        return self.P or self.H

    @property
    def features(self) -> int:
        """Numbers of one sequence's input to one step."""
        return self.I or self.H * (1 if self.skip else self.gates)

    @property
    def weights(self) -> int:
        """How many of the operands are weight matrices, behind x."""
        return 1 + (self.I > 0) + (self.P > 0)

    @property
    def resets_before(self) -> bool:
        """Whether the gate h of a GRU multiplies the state that r has reset, once r is known."""
        return self.cell == "gru" and not self.reset_after

    @property
    def products(self) -> tuple[tuple[str, int, int], ...]:
        """The products of one step in their order, each behind the gates that the one before it makes: what
        is multiplied ("input", "state", or "hidden": what gates made within the step), rows of weights, and
        their depth."""
        rows = self.gates * self.H
        found = [("input", rows, self.I)] if self.I else []
        found.append(("state", rows - (self.H if self.resets_before else 0), self.S))
        if self.resets_before:
            found.append(("hidden", self.H, self.H))
        if self.P:
            found.append(("hidden", self.P, self.H))
        return tuple(found)

    @property
    def sums(self) -> int:
        """Numbers that a machine holds during a step as wide as it adds them up: the results of its
        products."""
        return self.N * sum(rows for _, rows, _ in self.products)

    @property
    def states(self) -> int:
        """Numbers that it holds in the format of states: the state, an LSTM's cell, and what gates made where
        that is multiplied once more."""
        hidden = self.H * (self.products[-1][0] == "hidden")
        return self.N * (self.S + hidden + (self.H if self.cell == "lstm" else 0))

    @property
    def result_rows(self) -> int:
        """Rows of the result: one a step, and perhaps the last cell."""
        return self.T + self.keeps_cell

    @property
    def macs(self) -> int:
        return self.T * self.N * sum(rows * depth for _, rows, depth in self.products)


@dataclass(frozen=True, slots=True)
class RecurrentParts(Generic[Item]):
    """The operands of a recurrent operator by what they are: names, stored tensors, or whatever stands in
    their order. None for those that it does not have."""

    x: Item
    state_weight: Item
    input_weight: Item | None = None
    projection: Item | None = None
    state_bias: Item | None = None
    input_bias: Item | None = None
    peepholes: Item | None = None
    initial_state: Item | None = None
    initial_cell: Item | None = None


def recurrent_parts(problem: Recurrent, operands: Sequence[Item]) -> RecurrentParts[Item]:
    """`operands`, in the order that `Recurrent` states, by what they are."""
    rest = list(operands[2:])
    input_weight = rest.pop(0) if problem.I else None
    projection = rest.pop(0) if problem.P else None
    initial_cell = rest.pop() if problem.initial_cell else None
    initial_state = rest.pop() if problem.initial_state else None
    peepholes = rest.pop() if problem.peepholes else None
    state_bias = rest.pop(0) if rest else None
    input_bias = rest.pop(0) if rest else None
    return RecurrentParts(
        operands[0], operands[1], input_weight, projection, state_bias, input_bias, peepholes, initial_state,
        initial_cell,
    )  # fmt: skip


def recurrent_problem(
    cell: str, shapes: RecurrentParts[Shape], *, skip: bool = False, function: str = "tanh",
    reset_after: bool = True, reverse: bool = False, keeps_cell: bool = False,
) -> Recurrent:  # fmt: skip
    """The problem behind operands of those shapes: x [T, N, features], weights [gates H, S] and perhaps
    [gates H, features] and [S, H]. Raises SpecError for what does not fit together."""
    if cell not in GATES:
        raise SpecError(f"unknown cell {cell!r}: hwsim knows {', '.join(GATES)}")
    if function not in FUNCTIONS or (cell != "rnn" and function != "tanh"):
        takes = f"takes the function {' or '.join(FUNCTIONS)}" if cell == "rnn" else "has its own functions"
        raise SpecError(f"a {cell} {takes}, not {function!r}")
    if cell != "gru" and not reset_after:
        raise SpecError(f"a {cell} resets nothing: reset_after is for a gru")
    _check_lstm(cell, shapes, keeps_cell)
    if len(shapes.x) != 3:
        raise SpecError(f"takes [steps, batch, features] and got {format_shape(shapes.x)}: reshape it first")
    steps, batch, features = shapes.x
    hidden, projected = _sizes(cell, shapes)
    gates = GATES[cell]
    wide = shapes.input_weight
    if wide is not None and wide != (gates * hidden, features):
        raise SpecError(
            f"input weights of shape {format_shape(wide)} do not fit {features} features and {gates} "
            f"gates of {hidden}: they must be [{gates * hidden}, {features}]"
        )
    if wide is not None and skip:
        raise SpecError("skips the products of its inputs, so it takes no weights for them")
    problem = Recurrent(
        cell, batch, steps, hidden, 0 if wide is None else features, skip, function, projected,
        shapes.peepholes is not None, reset_after, reverse, shapes.initial_state is not None,
        shapes.initial_cell is not None, keeps_cell,
    )  # fmt: skip
    if problem.features != features:
        what = "hidden size, for every gate" if skip else f"{gates} gates of {hidden}"
        raise SpecError(
            f"x of shape {format_shape(shapes.x)} has {features} features where its inputs are not "
            f"multiplied, and what is added to the gates needs {problem.features}: the {what}"
        )
    _check_small(problem, shapes)
    return problem


def _check_lstm(cell: str, shapes: RecurrentParts[Shape], keeps_cell: bool) -> None:
    """Refuse for other cells what only an LSTM has."""
    for what, there in (
        ("peepholes", shapes.peepholes is not None),
        ("a projection", shapes.projection is not None),
        ("an initial cell", shapes.initial_cell is not None),
        ("a cell to keep", keeps_cell),
    ):
        if there and cell != "lstm":
            raise SpecError(f"a {cell} has no cell state, so {what} cannot be given: only an lstm takes one")
    if keeps_cell and shapes.projection is not None:
        raise SpecError(
            "keeps its last cell as a row of the states, and a projection makes those narrower: leave one out"
        )


def _sizes(cell: str, shapes: RecurrentParts[Shape]) -> tuple[int, int]:
    """Units, and numbers that the state is projected to (0: it is not)."""
    weight, projection, gates = shapes.state_weight, shapes.projection, GATES[cell]
    if projection is None:
        if len(weight) != 2 or weight[0] != gates * weight[1]:
            raise SpecError(
                f"weights of shape {format_shape(weight)} do not fit: a {cell} takes "
                f"[{gates} x hidden, hidden]"
            )
        return weight[1], 0
    if len(projection) != 2 or weight != (gates * projection[1], projection[0]):
        raise SpecError(
            f"weights of shape {format_shape(weight)} do not fit a projection of shape "
            f"{format_shape(projection)}: they must be [{gates} x hidden, projected] and [projected, hidden]"
        )
    return projection[1], projection[0]


def _check_small(problem: Recurrent, shapes: RecurrentParts[Shape]) -> None:
    """Refuse biases, peepholes and beginnings of other sizes."""
    units, rows = problem.H, problem.gates * problem.H
    gated = f"{problem.gates} gates of {units}"
    begins = f"{problem.N} sequences of"
    for what, shape, allowed, fits in (
        ("a bias", shapes.state_bias, ((rows,), (1, rows)), gated),
        ("a bias", shapes.input_bias, ((rows,), (1, rows)), gated),
        ("peepholes", shapes.peepholes, ((PEEPHOLES * units,), (1, PEEPHOLES * units)),
         f"{PEEPHOLES} gates of {units}"),
        ("an initial state", shapes.initial_state, _lead(problem.N, problem.S), f"{begins} {problem.S}"),
        ("an initial cell", shapes.initial_cell, _lead(problem.N, units), f"{begins} {units}"),
    ):  # fmt: skip
        if shape is not None and shape not in allowed:
            raise SpecError(f"{what} of shape {format_shape(shape)} does not fit {fits}")
    has_input_bias = shapes.input_bias is not None
    if has_input_bias and not problem.I:
        raise SpecError("takes a bias of the state alone where it does not multiply its inputs")
    if problem.I and has_input_bias != (shapes.state_bias is not None):
        raise SpecError("takes a bias of the state, or with weights of the input both or none")


def _lead(batch: int, size: int) -> tuple[Shape, Shape]:
    return (batch, size), (1, batch, size)
