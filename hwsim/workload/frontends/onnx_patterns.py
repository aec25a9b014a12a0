"""Layers that exporters write as many small operators, recognised behind lowering and put back together.

What a pattern replaces disappears, so a pattern is refused where anything else reads what lies within it.
Norms are in `onnx_norms`, attention in `onnx_attention`; here are pointwise functions, and what is done with
all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from hwsim.units import counted
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.frontends.onnx_attention import find_attention
from hwsim.workload.frontends.onnx_finder import Finder, Match, is_pointwise, near
from hwsim.workload.frontends.onnx_norms import find_norm
from hwsim.workload.graph import operands
from hwsim.workload.operators import Elementwise, Operator


def fuse_patterns(builder: GraphBuilder, outputs: Sequence[str]) -> list[str]:
    """Put layers back together, and drop operators that lead to no output. Returns what was done, in
    words."""
    found: Counter[str] = Counter()
    for recognisers in ((_gelu, _gated, find_norm), (find_attention,)):
        finder = Finder(builder, outputs)
        gone: set[str] = set()
        matches: dict[str, Match] = {}
        for op in builder.operators:
            match = next((m for r in recognisers if (m := r(finder, op)) is not None), None)
            if match is not None and gone.isdisjoint(o.name for o in match.within):
                gone.update(o.name for o in match.within)
                matches[match.last.name] = match
                found[match.what] += 1
        if matches:
            _replace(builder, matches, gone)
    _prune(builder, outputs)
    if not found:
        return []
    told = ", ".join(counted(count, what) for what, count in found.items())
    return [f"put back together from the small operators that the file has for them: {told}"]


def _replace(builder: GraphBuilder, matches: dict[str, Match], gone: set[str]) -> None:
    before = list(builder.operators)
    builder.operators.clear()
    for op in before:
        if op.name not in gone:
            builder.operators.append(op)
            continue
        builder.forget(op)
        if (match := matches.get(op.name)) is not None:
            match.build(builder, Label(op.name, op.output, op.layer))


def _prune(builder: GraphBuilder, outputs: Sequence[str]) -> None:
    wanted, kept = set(outputs), []
    for op in reversed(builder.operators):
        if op.output in wanted:
            wanted.update(operands(op))
            kept.append(op)
        else:
            builder.forget(op)
    builder.operators[:] = reversed(kept)


# -- products of several factors -------------------------------------------------------------------------


@dataclass(slots=True)
class _Product:
    """`number` times `factors`, worked out by the operators `within`."""

    number: float
    factors: list[str]
    within: list[Operator]


def _product(finder: Finder, name: str, depth: int = 4) -> _Product:
    """A tensor as a product, as far as only its own operators make it."""
    op = finder.makers.get(finder.behind(name))
    if op is None or depth == 0 or not is_pointwise(op, "mul", "div"):
        return _Product(1.0, [name], [])
    left, right = op.inputs[0], op.inputs[1]
    number = finder.number(right)
    if is_pointwise(op, "div"):
        if number is None or not number:
            return _Product(1.0, [name], [])
        found = _product(finder, left, depth - 1)
        return _Product(found.number / number, found.factors, [*found.within, op])
    found = _Product(1.0, [], [op])
    for side in op.inputs:
        if (number := finder.number(side)) is not None:
            found.number *= number
        else:
            part = _product(finder, side, depth - 1)
            found.number *= part.number
            found.factors += part.factors
            found.within += part.within
    return found


def _unary(x: str, function: str, builder: GraphBuilder, label: Label) -> None:
    builder.unary(label, x, function)


def _plus(finder: Finder, name: str, wanted: float) -> tuple[str, Operator] | None:
    """What a constant number is added to, and by which operator."""
    op = finder.maker(name, "add")
    if op is None or len(op.inputs) != 2:
        return None
    for side, other in (op.inputs, op.inputs[::-1]):
        if near(finder.number(other), wanted):
            return side, op
    return None


# -- pointwise functions ---------------------------------------------------------------------------------


def _gelu(finder: Finder, op: Operator) -> Match | None:
    """x (1 + erf(x / sqrt 2)) / 2, and the same with tanh (Hendrycks & Gimpel 2016), however written."""
    if not is_pointwise(op, "mul"):
        return None
    found = _product(finder, op.output)
    if len(found.factors) != 2 or not near(found.number, 0.5):
        return None
    for x, other in (found.factors, found.factors[::-1]):
        one = _plus(finder, other, 1.0)
        if one is None:
            continue
        for function, argument in (("erf", _erf_argument), ("tanh", _tanh_argument)):
            made = finder.maker(one[0], function)
            inner = argument(finder, made.inputs[0], x) if made is not None else None
            if made is None or inner is None:
                continue
            within = finder.closed(op, [*found.within, one[1], made, *inner])
            if within is not None:
                name = "gelu" if function == "erf" else "gelu_tanh"
                return Match("GELU", op, within, partial(_unary, x, name))
    return None


def _erf_argument(finder: Finder, name: str, x: str) -> list[Operator] | None:
    found = _product(finder, name)
    right = (
        len(found.factors) == 1 and finder.same(found.factors[0], x) and near(found.number, math.sqrt(0.5))
    )
    return found.within if right else None


def _tanh_argument(finder: Finder, name: str, x: str) -> list[Operator] | None:
    """sqrt(2 / pi) (x + 0.044715 x**3), or x sqrt(2 / pi) (1 + 0.044715 x x)."""
    outer = _product(finder, name)
    if not near(outer.number, math.sqrt(2 / math.pi)):
        return None
    if len(outer.factors) == 1:
        terms, power, added = finder.maker(outer.factors[0], "add"), 3, x
    else:
        rest = [factor for factor in outer.factors if not finder.same(factor, x)]
        terms, power, added = finder.maker(rest[0], "add") if len(rest) == 1 else None, 2, ""
    if terms is None or len(terms.inputs) != 2:
        return None
    for side, other in (terms.inputs, terms.inputs[::-1]):
        plain = finder.same(side, added) if added else near(finder.number(side), 1.0)
        inner = _powered(finder, other, x, power)
        if plain and inner is not None and near(inner[0], 0.044715):
            return [*outer.within, terms, *inner[1]]
    return None


def _powered(finder: Finder, name: str, x: str, power: int) -> tuple[float, list[Operator]] | None:
    """(factor, operators) of a number times x to that power."""
    found = _product(finder, name)
    within, exponent = list(found.within), 0.0
    for factor in found.factors:
        op = finder.maker(factor, "pow")
        if op is not None and finder.same(op.inputs[0], x):
            exponent += finder.number(op.inputs[1]) or math.nan
            within.append(op)
        elif finder.same(factor, x):
            exponent += 1
        else:
            return None
    return (found.number, within) if exponent == power else None


def _gated(finder: Finder, op: Operator) -> Match | None:
    """x sigmoid(x), x hard_sigmoid(x) and x tanh(softplus(x))."""
    if not is_pointwise(op, "mul") or len(op.inputs) != 2:
        return None
    for x, gate in (op.inputs, op.inputs[::-1]):
        source = finder.makers.get(finder.behind(gate))
        if source is None or not isinstance(source.problem, Elementwise) or not source.inputs:
            continue
        function, inner = _gate(finder, source)
        if not function or not finder.same(inner[-1].inputs[0], x):
            continue
        within = finder.closed(op, inner)
        if within is not None:
            said = {"silu": "SiLU", "hard_swish": "hard swish", "mish": "Mish"}[function]
            return Match(said, op, within, partial(_unary, x, function))
    return None


def _gate(finder: Finder, op: Operator) -> tuple[str, list[Operator]]:
    if is_pointwise(op, "sigmoid"):
        return "silu", [op]
    given = dict(op.attributes)
    if is_pointwise(op, "hard_sigmoid") and near(float(str(given["alpha"])), 1 / 6) and given["beta"] == 0.5:
        return "hard_swish", [op]
    if is_pointwise(op, "tanh") and (inner := finder.maker(op.inputs[0], "softplus")) is not None:
        return "mish", [op, inner]
    return "", [op]
