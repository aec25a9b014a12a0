"""The ONNX operators LSTM, GRU and RNN (onnx.ai/onnx/operators), a recurrent operator a direction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Array, Distribution, Shape, format_shape
from hwsim.workload.builder import Label
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Constant, Node, worked_constant
from hwsim.workload.recurrent import GATES

_FUNCTIONS = {"lstm": ("Sigmoid", "Tanh", "Tanh"), "gru": ("Sigmoid", "Tanh"), "rnn": ("Tanh",)}
_DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}


@dataclass(frozen=True, slots=True)
class _Layer:
    """A node's sizes: `steps` of `batch` sequences, `units` in each of the `directions`."""

    cell: str
    steps: int
    batch: int
    units: int
    directions: tuple[bool, ...]
    batch_first: bool


def _recurrent(cell: str) -> Callable[[Lowering, Node], None]:
    def lower(at: Lowering, node: Node) -> None:
        x = at.activation(node)
        layer = _layer(at, node, cell, at.builder.shape(x))
        label = at.label(node, node.input(1))
        if layer.batch_first:
            x = at.builder.transpose(at.part(label, "steps_first"), x, (1, 0, 2))
        states, cells = [], []
        for place, reverse in enumerate(layer.directions):
            state, last = _direction(at, node, layer, label, x, place, reverse)
            states.append(state)
            cells.append(last)
        _results(at, node, layer, label, states, cells)

    return lower


def _layer(at: Lowering, node: Node, cell: str, x: Shape) -> _Layer:
    directions = _DIRECTIONS.get(node.text("direction", "forward"))
    if directions is None:
        raise SpecError(f"has the direction {node.text('direction', '')!r}, which ONNX does not define")
    if len(x) != 3:
        raise SpecError(f"takes [steps, batch, features] and got {format_shape(x)}")
    batch_first = node.flag("layout")
    steps, batch = (x[1], x[0]) if batch_first else (x[0], x[1])
    weights = {1: at.constant(node, 1, "weights"), 2: at.constant(node, 2, "state's weights")}
    if any(found is None for found in weights.values()):
        raise SpecError("lacks its weights")
    assert weights[2] is not None
    shape = weights[2].shape
    units = shape[-1] if len(shape) == 3 else 0
    rows = GATES[cell] * units
    if shape != (len(directions), rows, units) or at.shape(node.input(1)) != (len(directions), rows, x[2]):
        raise SpecError(
            f"its weights {format_shape(at.shape(node.input(1)))} and {format_shape(shape)} do not fit "
            f"{len(directions)} directions of {GATES[cell]} gates and {x[2]} features: they must be "
            f"[directions, gates x hidden, features] and [directions, gates x hidden, hidden]"
        )
    if node.integer("hidden_size", units) != units:
        raise SpecError(
            f"says hidden_size {node.integer('hidden_size', units)} and its weights are of {units}"
        )
    _refuse_others(node, cell, len(directions))
    _check_lengths(at, node, steps)
    return _Layer(cell, steps, batch, units, directions, batch_first)


def _refuse_others(node: Node, cell: str, directions: int) -> None:
    if "clip" in node.attributes:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) clips its cells, which hwsim does not model"
        )
    if node.flag("input_forget"):
        raise UnsupportedError(f"node {node.name!r} (LSTM) couples its input and forget gates")
    named = tuple(node.texts("activations") or _FUNCTIONS[cell] * directions)
    allowed = [_FUNCTIONS[cell] * directions]
    if cell == "rnn":
        allowed.append(("Relu",) * directions)
    if named not in allowed:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) has the functions {', '.join(named)}; hwsim runs "
            f"{' or '.join(', '.join(one) for one in allowed)}"
        )


def _check_lengths(at: Lowering, node: Node, steps: int) -> None:
    """Sequences of different lengths would stop at different steps."""
    name = node.input(4)
    if not name:
        return
    if name not in at.constants:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) receives the length of each sequence; hwsim runs all of full "
            "length: export the network without sequence_lens"
        )
    if set(at.constants[name].integers("sequence_lens")) != {steps}:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) has sequences of different lengths; hwsim runs all of {steps} "
            "steps: pad them, or export the network without sequence_lens"
        )


def _direction(
    at: Lowering, node: Node, layer: _Layer, label: Label, x: str, place: int, reverse: bool
) -> tuple[str, str]:
    """The states of one direction at all places, [steps, batch, units], and its last cell [1, batch, units]
    ("" where nobody asks)."""
    units, gates = layer.units, GATES[layer.cell]
    rows = gates * units
    end = f"[{place}]" if len(layer.directions) > 1 else ""
    part = Label(f"{label.name}{end}", "", label.layer)
    weight = _piece(at, node.input(1), "input_weight" + end, place, None, "weight")
    state_weight = _piece(at, node.input(2), "state_weight" + end, place, None, "weight")
    bias = state_bias = ""
    if node.input(3):
        _check_shape(at, node, 3, (len(layer.directions), 2 * rows))
        bias = _piece(at, node.input(3), "input_bias" + end, place, (0, rows), "bias")
        state_bias = _piece(at, node.input(3), "state_bias" + end, place, (rows, 2 * rows), "bias")
    peepholes = ""
    if node.input(7) and layer.cell == "lstm" and not _zero(at, node.input(7)):
        _check_shape(at, node, 7, (len(layer.directions), 3 * units))
        peepholes = _piece(at, node.input(7), "peepholes" + end, place, None, "bias")
    keeps = layer.cell == "lstm" and bool(node.outputs[2:3]) and bool(node.outputs[2])
    products = at.builder.matmul(at.part(part, "inputs"), x, weight, bias, transpose_b=True)
    found = at.builder.recurrent(
        at.part(part, "cells"), products, state_weight, "", state_bias, cell=layer.cell, peepholes=peepholes,
        initial_state=_initial(at, node, 5, layer, part, place),
        initial_cell=_initial(at, node, 6, layer, part, place) if layer.cell == "lstm" else "",
        function=_function(node, layer.cell, place), reverse=reverse, keeps_cell=keeps,
        reset_after=layer.cell != "gru" or node.flag("linear_before_reset"),
    )  # fmt: skip
    if not keeps:
        return found, ""
    last = at.builder.rows(at.part(part, "last_cell"), found, layer.steps, layer.steps + 1)
    return at.builder.rows(at.part(part, "states"), found, 0, layer.steps), last


def _function(node: Node, cell: str, place: int) -> str:
    named = node.texts("activations")
    return named[place].lower() if cell == "rnn" and named else "tanh"


def _check_shape(at: Lowering, node: Node, index: int, wanted: Shape) -> None:
    if at.shape(node.input(index)) != wanted:
        raise SpecError(
            f"input {index}, {node.input(index)!r}, has the shape "
            f"{format_shape(at.shape(node.input(index)))} and must have {format_shape(wanted)}"
        )


def _piece(
    at: Lowering, name: str, part: str, place: int, rows: tuple[int, int] | None, distribution: Distribution
) -> str:
    """What one direction has of a constant [directions, ...], as a tensor of its own."""
    found = at.constants.get(name)
    if found is None:
        raise UnsupportedError(f"tensor {name!r} is computed, and recurrent layers have constant weights")
    cut = slice(*rows) if rows else slice(None)
    shape = found.shape[1:] if rows is None else (rows[1] - rows[0], *found.shape[2:])

    def take(values: Array) -> Array:
        return np.ascontiguousarray(values[place][cut])

    made = f"{name}.{part}"
    if made not in at.constants:
        taken: Constant = worked_constant(made, shape, (found,), take, floating=True)
        at.constants[made] = replace(taken, fill=found.fill, steps=found.steps)
    return at.weight(made, distribution, shape[-1])


def _zero(at: Lowering, name: str) -> bool:
    """Whether a constant is zero everywhere: as good as left out."""
    found = at.constants.get(name)
    return found is not None and not np.any(found.values())


def _initial(at: Lowering, node: Node, index: int, layer: _Layer, part: Label, place: int) -> str:
    """What a direction begins with, [1, batch, units]; "" for zeros."""
    name = node.input(index)
    if not name or _zero(at, name):
        return ""
    what = "state" if index == 5 else "cell"
    x = at.weight(name, "shift")
    if layer.batch_first:
        x = at.builder.transpose(at.part(part, f"first_{what}_turned"), x, (1, 0, 2))
    wanted = (len(layer.directions), layer.batch, layer.units)
    if at.builder.shape(x) != wanted:
        raise SpecError(
            f"its initial {what} has the shape {format_shape(at.builder.shape(x))} and must have "
            f"{format_shape(wanted)}"
        )
    if len(layer.directions) == 1:
        return x
    return at.builder.rows(at.part(part, f"first_{what}"), x, place, place + 1)


def _results(
    at: Lowering, node: Node, layer: _Layer, label: Label, states: list[str], cells: list[str]
) -> None:
    """Y [steps, directions, batch, units], and what the last step leaves, Y_h and Y_c [directions, batch,
    units]; with batches first where the node has them so."""
    wanted = [*node.outputs, "", "", ""][:3]
    steps, batch, units = layer.steps, layer.batch, layer.units
    if wanted[0]:
        seen = [
            at.builder.view(at.part(label, f"states{i}"), name, "unsqueeze", (steps, 1, batch, units))
            for i, name in enumerate(states)
        ]
        _joined(at, layer, Label(label.name, wanted[0], label.layer), seen, 1, (2, 0, 1, 3))
    if wanted[1]:
        ends = [(0, 1) if reverse else (steps - 1, steps) for reverse in layer.directions]
        last = [
            at.builder.rows(at.part(label, f"last_state{i}"), name, *end)
            for i, (name, end) in enumerate(zip(states, ends, strict=True))
        ]
        _joined(
            at, layer, Label(at.unique(f"{label.name}.state"), wanted[1], label.layer), last, 0, (1, 0, 2)
        )
    if wanted[2] and layer.cell == "lstm":
        _joined(
            at, layer, Label(at.unique(f"{label.name}.cell"), wanted[2], label.layer), cells, 0, (1, 0, 2)
        )


def _joined(
    at: Lowering, layer: _Layer, label: Label, parts: list[str], axis: int, perm: tuple[int, ...]
) -> None:
    if not layer.batch_first:
        at.builder.concat(label, parts, axis)
        return
    joined = at.builder.concat(at.part(label, "joined"), parts, axis)
    at.builder.transpose(label, joined, perm)


RECURRENT: Mapping[str, Callable[[Lowering, Node], None]] = {
    "LSTM": _recurrent("lstm"),
    "GRU": _recurrent("gru"),
    "RNN": _recurrent("rnn"),
}
