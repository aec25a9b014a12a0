"""Einsum of one or two operands (onnx.ai/onnx/operators): as a transposition, or as a matrix product."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from hwsim.errors import SpecError, UnsupportedError
from hwsim.workload.builder import Label
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Node

_EQUATION = re.compile(r"([A-Za-z]+)(?:,([A-Za-z]+))?->([A-Za-z]*)")


def lower_einsum(at: Lowering, node: Node) -> None:
    """One operator, and the moves around it. Raises UnsupportedError for what is no matrix product."""
    text = node.text("equation", "").replace(" ", "")
    found = _EQUATION.fullmatch(text)
    terms = [] if found is None else [term for term in found.groups()[:2] if term is not None]
    if found is None or len(terms) != len(node.inputs) or any(len(set(t)) != len(t) for t in terms):
        raise UnsupportedError(
            f"node {node.name!r} (Einsum) says {text!r}; hwsim knows one or two operands, each letter once "
            "in each, and a result that is written out"
        )
    result, label = found.group(3), at.label(node, node.input(1))
    if not set(result) <= set("".join(terms)) or len(set(result)) != len(result):
        raise SpecError(f"its result {result!r} names what no operand has")
    for index, term in enumerate(terms):
        if len(at.shape(node.input(index))) != len(term):
            raise SpecError(f"{term!r} does not fit {list(at.shape(node.input(index)))}")
    if len(terms) == 1:
        _alone(at, node, label, terms[0], result)
    else:
        _product(at, node, label, terms[0], terms[1], result)


def _alone(at: Lowering, node: Node, label: Label, term: str, result: str) -> None:
    x = at.activation(node)
    if gone := [axis for axis, letter in enumerate(term) if letter not in result]:
        x = at.builder.reduce(at.part(label, "sum"), x, "sum", gone, keepdims=False)
        term = "".join(letter for letter in term if letter in result)
        if not term:
            raise UnsupportedError(f"node {node.name!r} (Einsum) sums all there is")
    at.builder.transpose(label, x, [term.index(letter) for letter in result])


def _product(at: Lowering, node: Node, label: Label, left: str, right: str, result: str) -> None:
    """Letters of both operands and the result are batches, those of both alone are summed over."""
    batch = [c for c in left if c in right and c in result]
    summed = [c for c in left if c in right and c not in result]
    rows, cols = ([c for c in one if c not in other] for one, other in ((left, right), (right, left)))
    if any(c not in result for c in (*rows, *cols)):
        raise UnsupportedError(f"node {node.name!r} (Einsum) sums over a letter of one operand alone")
    sizes: dict[str, int] = {}
    for index, term in enumerate((left, right)):
        for letter, size in zip(term, at.shape(node.input(index)), strict=True):
            if sizes.setdefault(letter, size) != size:
                raise SpecError(
                    f"letter {letter!r} is {sizes[letter]} in one operand and {size} in the other"
                )
    count = {name: math.prod(sizes[c] for c in letters) for name, letters in (
        ("batch", batch), ("rows", rows), ("summed", summed), ("cols", cols))}  # fmt: skip
    lead = (count["batch"],) if batch else ()
    a = _laid(at, node, label, 0, left, [*batch, *rows, *summed], (*lead, count["rows"], count["summed"]))
    b = _laid(at, node, label, 1, right, [*batch, *summed, *cols], (*lead, count["summed"], count["cols"]))
    made = at.builder.matmul(at.part(label, "product"), a, b)
    order = [*batch, *rows, *cols]
    seen = at.builder.view(at.part(label, "axes"), made, "reshape", tuple(sizes[c] for c in order) or (1,))
    if not order:
        raise UnsupportedError(f"node {node.name!r} (Einsum) makes a single number")
    at.builder.transpose(label, seen, [order.index(letter) for letter in result])


def _laid(
    at: Lowering,
    node: Node,
    label: Label,
    index: int,
    term: str,
    order: Sequence[str],
    shape: tuple[int, ...],
) -> str:
    """An operand with its letters in that order and then in that shape; a constant is laid so at load."""
    name = node.input(index)
    perm = tuple(term.index(letter) for letter in order)
    found = at.constants.get(name)
    if found is None:
        turned = at.builder.transpose(at.part(label, f"turned{index}"), at.activation(node, index), perm)
        return at.builder.view(at.part(label, f"laid{index}"), turned, "reshape", shape)
    made = f"{name}.{label.name}" if perm != tuple(range(len(term))) or shape != found.shape else name
    if made not in at.constants:
        turned_shape = tuple(found.shape[axis] for axis in perm)
        at.constants[made] = found.transposed(made, perm, turned_shape).reshaped(made, shape)
    return at.weight(made, "weight", shape[-2])
