"""Recurrent layers: their sizes, and the three forms in which their inputs are multiplied."""

from __future__ import annotations

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Shape, format_shape
from hwsim.workload.operators import GATES, Recurrent

FORMS = ("batched", "stepwise", "absent")
FUNCTIONS = ("tanh", "relu")  # of an rnn


def recurrent_problem(
    cell: str,
    x: Shape,
    state_weight: Shape,
    input_weight: Shape | None,
    skip: bool,
    function: str,
) -> Recurrent:
    """The problem behind operands of those shapes: x [T, N, features], weights [gates H, H] and perhaps
    [gates H, features]. Raises SpecError for what does not fit together."""
    if cell not in GATES:
        raise SpecError(f"unknown cell {cell!r}: hwsim knows {', '.join(GATES)}")
    if function not in FUNCTIONS or (cell != "rnn" and function != "tanh"):
        takes = f"takes the function {' or '.join(FUNCTIONS)}" if cell == "rnn" else "has its own functions"
        raise SpecError(f"a {cell} {takes}, not {function!r}")
    if len(x) != 3:
        raise SpecError(f"takes [steps, batch, features] and got {format_shape(x)}: reshape it first")
    gates = GATES[cell]
    if len(state_weight) != 2 or state_weight[0] != gates * state_weight[1]:
        raise SpecError(
            f"weights of shape {format_shape(state_weight)} do not fit: a {cell} takes "
            f"[{gates} x hidden, hidden]"
        )
    steps, batch, features = x
    hidden = state_weight[1]
    if input_weight is not None and input_weight != (gates * hidden, features):
        raise SpecError(
            f"input weights of shape {format_shape(input_weight)} do not fit {features} features and {gates} "
            f"gates of {hidden}: they must be [{gates * hidden}, {features}]"
        )
    if input_weight is not None and skip:
        raise SpecError("skips the products of its inputs, so it takes no weights for them")
    problem = Recurrent(cell, batch, steps, hidden, 0 if input_weight is None else features, skip, function)
    if problem.features != features:
        what = "hidden size, for every gate" if skip else f"{gates} gates of {hidden}"
        raise SpecError(
            f"x of shape {format_shape(x)} has {features} features where its inputs are not multiplied, and "
            f"what is added to the gates needs {problem.features}: the {what}"
        )
    return problem
