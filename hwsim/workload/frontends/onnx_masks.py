"""ONNX operators on what is true or false, where the network computes with it: choices and masks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from hwsim.errors import UnsupportedError
from hwsim.tensor.tensor import Array
from hwsim.workload.builder import Label
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Constant, Node, worked_constant
from hwsim.workload.frontends.onnx_sequences import MASKED

MOST_READ = 2**22  # elements of a constant that is looked through for one number
_FAR_BELOW = -1e8  # at or below this a choice masks scores: adding it is as good as choosing it


def _where(at: Lowering, node: Node) -> None:
    condition, first, second = node.inputs
    chosen = at.constants.get(condition)
    if chosen is None:
        _computed_choice(at, node, condition, first, second)
    elif first in at.constants or second in at.constants:
        kept, other = (first, second) if second in at.constants else (second, first)
        _masked(at, node, chosen, kept, at.constants[other], inverted=kept == second)
    else:
        label = at.label(node)
        parts = [
            at.builder.combine(
                at.part(label, part),
                "mul",
                [at.weight(name, "scale"), _factor(at, label, chosen, part, other)],
            )
            for name, part, other in ((first, "first", False), (second, "second", True))
        ]
        at.builder.combine(label, "add", parts)


def _factor(at: Lowering, label: Label, chosen: Constant, part: str, inverted: bool) -> str:
    """1 where a tensor is kept, 0 where not."""

    def ones(values: Array) -> Array:
        truth = values.astype(bool)
        return (~truth if inverted else truth).astype(np.float32)

    made = worked_constant(f"{label.name}.{part}.kept", chosen.shape, (chosen,), ones, floating=True)
    return at.builder.weight(made.name, made.shape, "scale", values=made.values, role="constant")


def _masked(
    at: Lowering, node: Node, chosen: Constant, kept: str, other: Constant, *, inverted: bool
) -> None:
    """What the network computes where a constant says so, and a constant elsewhere."""
    label = at.label(node)
    x = at.weight(kept, "shift")
    masks = other.elements == 1 and float(other.array("choice").reshape(-1)[0]) <= _FAR_BELOW
    shape = tuple(np.broadcast_shapes(chosen.shape, other.shape))

    def added(truth: Array, values: Array) -> Array:
        left_out = truth.astype(bool) if inverted else ~truth.astype(bool)
        found = np.where(left_out, np.maximum(values, MASKED), 0)
        return np.broadcast_to(found, shape).astype(np.float32)

    made = worked_constant(f"{label.name}.mask", shape, (chosen, other), added, floating=True)
    mask = at.builder.weight(made.name, shape, "shift", values=made.values, role="constant")
    if not masks:
        factor = _factor(at, label, chosen, "kept", inverted)
        x = at.builder.combine(at.part(label, "kept"), "mul", [x, factor])
    at.builder.combine(label, "add", [x, mask])


def _computed_choice(at: Lowering, node: Node, condition: str, first: str, second: str) -> None:
    """Of two constant numbers the one that a computed 0 or 1 chooses: a straight line through both."""
    one, zero = (_everywhere(at, name) for name in (first, second))
    if one is None or zero is None:
        raise UnsupportedError(
            f"node {node.name!r} (Where) chooses by what the network computes; hwsim takes constant "
            "conditions, or a choice between two numbers"
        )
    one, zero = max(one, MASKED), max(zero, MASKED)
    label = at.label(node)
    x = at.weight(condition, "scale")
    names = []
    for part, number in (("range", one - zero), ("least", zero)):
        name = f"{label.name}.{part}"
        values = worked_constant(name, (), (), lambda v=number: np.array(v, np.float32), floating=True).values
        names.append(at.builder.weight(name, (1,), "scale", values=values, role="constant"))
    scaled = at.builder.combine(at.part(label, "scaled"), "mul", [x, names[0]])
    at.builder.combine(label, "add", [scaled, names[1]])


def _everywhere(at: Lowering, name: str) -> float | None:
    """The number that a constant holds everywhere."""
    found = at.constants.get(name)
    if found is None or not 0 < found.elements <= MOST_READ:
        return None
    values = np.asarray(found.values(), dtype=np.float64).reshape(-1)
    return float(values[0]) if (values == values[0]).all() else None


def _not(at: Lowering, node: Node) -> None:
    label, x = at.label(node), at.activation(node)
    name = f"{label.name}.one"
    values = worked_constant(name, (), (), lambda: np.ones((), np.float32), floating=True).values
    one = at.builder.weight(name, (1,), "shift", values=values, role="constant")
    at.builder.combine(label, "sub", [one, x])
    at.truths.add(node.outputs[0])


def _and(at: Lowering, node: Node) -> None:
    operands = [at.weight(name, "scale") for name in node.inputs]
    at.builder.combine(at.label(node), "mul", operands)
    at.truths.add(node.outputs[0])


def _equal(at: Lowering, node: Node) -> None:
    """What is received as a mask, compared with 0 or 1."""
    for name, other in (node.inputs, node.inputs[::-1]):
        number = at.constants[other].number("number") if other in at.constants else None
        found = at.whole.get(name)
        if found is None or number not in (0, 1):
            continue
        at.notes[f"input {found.name!r} is compared with {number:g}: it is taken for a mask of 0 and 1"] = (
            None
        )
        if number == 0:
            _not(at, replace(node, inputs=(name,)))
        else:
            at.builder.view(at.label(node), at.weight(name, "scale"), "identity")
        at.truths.add(node.outputs[0])
        return
    raise UnsupportedError(
        f"node {node.name!r} (Equal) compares what the network computes; hwsim takes a mask that it "
        "receives, compared with 0 or 1"
    )


MASKS: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Where": _where, "Not": _not, "And": _and, "Equal": _equal,
}  # fmt: skip
