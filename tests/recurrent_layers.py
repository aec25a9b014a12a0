"""Recurrent layers for tests: every cell in every form, with biases, from one builder."""

from __future__ import annotations

from typing import Any

from hwsim.tensor.tensor import Distribution, Shape
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.recurrent_layer import Beginning, Form, RecurrentLayer, add_recurrent_layer

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
    begins: str = "",
    ends: tuple[str, ...] = (),
    **more: Any,
) -> Workload:
    """One layer called `cells` on an input x; inputs that are not multiplied are as wide as the state.
    `begins` names what else it receives, "state" or "state, cell": inputs h0 and c0, or "constant" ones.
    `more` are fields of the layer."""
    g = GraphBuilder(f"{cell}_layer", dtype=dtype)
    wide = hidden if form == "absent" else features
    shape = (batch, steps, wide) if batch_first else (steps, batch, wide)
    x = g.input("x", shape, density=density)

    def weigh(part: str, shape: Shape, distribution: Distribution, fan_in: int) -> str:
        return g.weight(part, shape, distribution, fan_in=fan_in)

    made = RecurrentLayer(cell, hidden, form, bias, batch_first, function, **more)
    size = hidden if made.projection is None else made.projection

    def begin(name: str, size: int) -> str:
        shape = (made.cells, batch, size)
        return g.weight(name, shape, "shift") if "constant" in begins else g.input(name, shape)

    state = begin("h0", size) if "state" in begins else ""
    last = begin("c0", hidden) if "cell" in begins else ""
    out = add_recurrent_layer(g, Label("cells"), x, made, weigh, Beginning(state, last), ends)
    outputs = [out, *(f"cells.{end}" for end in ends)]
    return g.build(outputs, Source("builtin", "constructor", ""), parameters={"batch": batch})


# What a cell may have beside its plain form, by a name: the cell and the fields of its layer.
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "peepholes": ("lstm", {"peepholes": True}),
    "projection": ("lstm", {"projection": 3}),
    "wide projection": ("lstm", {"projection": 6}),
    "peepholes and projection": ("lstm", {"peepholes": True, "projection": 3, "begins": "state, cell"}),
    "reset before": ("gru", {"reset_after": False}),
    "reset before, from a state": ("gru", {"reset_after": False, "begins": "state", "reverse": True}),
    "reverse": ("rnn", {"reverse": True}),
    "from a state": ("rnn", {"begins": "state", "function": "relu"}),
    "both ends": ("lstm", {"begins": "state, cell", "ends": ("state", "cell")}),
    "reverse, both ends": (
        "lstm", {"begins": "state, cell", "ends": ("state", "cell"), "reverse": True, "peepholes": True},
    ),
    "stacked": ("gru", {"layers": 2, "begins": "state", "ends": ("state",)}),
    "both ways": ("lstm", {"bidirectional": True, "layers": 2, "ends": ("state", "cell")}),
}  # fmt: skip
