"""Recurrent layers for tests: every cell in every form, with biases, from one builder."""

from __future__ import annotations

from hwsim.tensor.tensor import Distribution, Shape
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.recurrent_layer import Form, RecurrentLayer, add_recurrent_layer

CELLS = ("lstm", "gru", "rnn")
FORMS: tuple[Form, ...] = ("batched", "stepwise", "absent")


def layer(
    cell: str,
    form: Form = "batched",
    *,
    steps: int = 5,
    batch: int = 2,
    hidden: int = 4,
    features: int = 7,
    bias: bool = True,
    batch_first: bool = False,
    function: str = "tanh",
    density: float = 1.0,
    dtype: str = "int8",
) -> Workload:
    """One layer called `cells` on an input x; inputs that are not multiplied are as wide as the state."""
    g = GraphBuilder(f"{cell}_layer", dtype=dtype)
    wide = hidden if form == "absent" else features
    shape = (batch, steps, wide) if batch_first else (steps, batch, wide)
    x = g.input("x", shape, density=density)

    def weigh(part: str, shape: Shape, distribution: Distribution, fan_in: int) -> str:
        return g.weight(part, shape, distribution, fan_in=fan_in)

    made = RecurrentLayer(cell, hidden, form, bias, batch_first, function)
    out = add_recurrent_layer(g, Label("cells"), x, made, weigh)
    return g.build([out], Source("builtin", "constructor", ""), parameters={"batch": batch})
