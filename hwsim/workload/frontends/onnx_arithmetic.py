"""Arithmetic on constants of an ONNX graph: masks, positions, factors and sizes that exporters leave to be
worked out, as onnx.ai/onnx/operators defines each operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Array, Shape, check_shape
from hwsim.workload import shapes
from hwsim.workload.frontends.onnx_graph import Constant, Node, small_constant, worked_constant

Fold = Callable[[Node, list[Constant]], Constant]
MOST_RANGE = 2**20


def _pointwise(apply: Callable[..., Any], *, truth: bool = False) -> Fold:
    """Operands broadcast as in numpy. `truth`: the result is true or false, whatever the operands are."""

    def run(node: Node, given: list[Constant]) -> Constant:
        shape = broadcast([c.shape for c in given])
        floating = not truth and any(c.floating for c in given)
        return worked_constant(node.outputs[0], shape, given, apply, floating=floating)

    return run


def broadcast(found: list[Shape]) -> Shape:
    """The common shape; sizes of 0 are taken as numpy does."""
    return np.broadcast_shapes(*found) if any(0 in shape for shape in found) else shapes.broadcast(found)


def _divide(left: Array, right: Array) -> Array:
    if left.dtype.kind not in "iu":
        return np.asarray(left / right)
    if not np.all(right):
        raise ZeroDivisionError("division by zero")
    return np.asarray(np.trunc(left / right).astype(left.dtype))  # ONNX divides integers towards zero


def _power(left: Array, right: Array) -> Array:
    return np.asarray(np.power(left.astype(np.float64), right)).astype(left.dtype)


def _sum(*terms: Array) -> Array:
    found = terms[0]
    for term in terms[1:]:
        found = found + term
    return found


def _chosen(condition: Array, first: Array, second: Array) -> Array:
    return np.asarray(np.where(condition, first, second))


def _where(node: Node, given: list[Constant]) -> Constant:
    shape = broadcast([c.shape for c in given])
    return worked_constant(node.outputs[0], shape, given, _chosen, floating=given[1].floating)


def _modulo(node: Node, given: list[Constant]) -> Constant:
    function = np.fmod if node.flag("fmod") else np.mod
    return _pointwise(function)(node, given)


def _range(node: Node, given: list[Constant]) -> Constant:
    start, limit, step = (c.array("range").reshape(-1)[0] for c in given)
    if not step:
        raise SpecError("its step is 0")
    count = max(0, math.ceil((float(limit) - float(start)) / float(step)))
    if count > MOST_RANGE:
        raise SpecError(f"counts {count:,} numbers; at most {MOST_RANGE:,} make sense")
    return small_constant(node.outputs[0], np.asarray(start + step * np.arange(count), dtype=start.dtype))


def _expand(node: Node, given: list[Constant]) -> Constant:
    shape = broadcast([given[0].shape, given[1].integers("shape")])
    if 0 not in shape:
        check_shape(shape, "the result")
    return worked_constant(
        node.outputs[0], shape, given[:1], lambda v: np.broadcast_to(v, shape), floating=given[0].floating
    )


def _tile(node: Node, given: list[Constant]) -> Constant:
    counts = given[1].integers("repeats")
    if len(counts) != len(given[0].shape) or any(count < 1 for count in counts):
        raise SpecError(f"repeats {list(counts)} do not fit {list(given[0].shape)}")
    shape = tuple(size * count for size, count in zip(given[0].shape, counts, strict=True))
    if 0 not in shape:
        check_shape(shape, "the result")
    return worked_constant(
        node.outputs[0], shape, given[:1], lambda v: np.tile(v, counts), floating=given[0].floating
    )


def _trilu(node: Node, given: list[Constant]) -> Constant:
    offset = given[1].integers("k")[0] if len(given) > 1 else 0
    cut = np.triu if node.flag("upper", default=True) else np.tril
    return worked_constant(
        node.outputs[0], given[0].shape, given[:1], lambda v: cut(v, offset), floating=given[0].floating
    )


def _reduce(function: Callable[..., Any]) -> Fold:
    def run(node: Node, given: list[Constant]) -> Constant:
        shape = given[0].shape
        named = given[1].integers("axes") if len(given) > 1 else node.integers("axes")
        if not named and node.flag("noop_with_empty_axes"):
            named, whole = (), given[0]
            return whole.reshaped(node.outputs[0], shape)
        axes = tuple(shapes.axis_of(axis, len(shape)) for axis in named or range(len(shape)))
        keep = node.flag("keepdims", default=True)
        kept = tuple(1 if i in axes else size for i, size in enumerate(shape) if keep or i not in axes)
        kind = given[0].floating

        def apply(values: Array) -> Array:
            found = np.asarray(function(values, axis=axes, keepdims=keep))
            return found if kind else found.astype(values.dtype)

        return worked_constant(node.outputs[0], kept, given[:1], apply, floating=kind)

    return run


def _cumulated(node: Node, given: list[Constant]) -> Constant:
    if node.flag("exclusive") or node.flag("reverse"):
        raise SpecError("runs backwards or leaves out the last, which is not worked out here")
    axis = given[1].integers("axis")[0]
    return worked_constant(
        node.outputs[0], given[0].shape, given[:1],
        lambda v: np.cumsum(v, axis=axis, dtype=v.dtype), floating=given[0].floating,
    )  # fmt: skip


def _nonzero(node: Node, given: list[Constant]) -> Constant:
    return small_constant(node.outputs[0], np.array(np.nonzero(given[0].array("input")), dtype=np.int64))


def _clip(node: Node, given: list[Constant]) -> Constant:
    limits = [c.array("limit").reshape(-1)[0] for c in given[1:]]
    return worked_constant(
        node.outputs[0], given[0].shape, given[:1],
        lambda v: np.clip(v, *(*limits, None)[:2]), floating=given[0].floating,
    )  # fmt: skip


def _sigmoid(values: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-values)), dtype=values.dtype)


ARITHMETIC: Mapping[str, Fold] = {
    "Add": _pointwise(np.add),
    "Sub": _pointwise(np.subtract),
    "Mul": _pointwise(np.multiply),
    "Div": _pointwise(_divide),
    "Pow": _pointwise(_power),
    "Mod": _modulo,
    "Sum": _pointwise(_sum),
    "Max": _pointwise(lambda *v: np.max(np.broadcast_arrays(*v), axis=0)),
    "Min": _pointwise(lambda *v: np.min(np.broadcast_arrays(*v), axis=0)),
    "Equal": _pointwise(np.equal, truth=True),
    "Less": _pointwise(np.less, truth=True),
    "LessOrEqual": _pointwise(np.less_equal, truth=True),
    "Greater": _pointwise(np.greater, truth=True),
    "GreaterOrEqual": _pointwise(np.greater_equal, truth=True),
    "And": _pointwise(np.logical_and, truth=True),
    "Or": _pointwise(np.logical_or, truth=True),
    "Xor": _pointwise(np.logical_xor, truth=True),
    "Not": _pointwise(np.logical_not, truth=True),
    "IsNaN": _pointwise(np.isnan, truth=True),
    "IsInf": _pointwise(np.isinf, truth=True),
    "Floor": _pointwise(np.floor),
    "Ceil": _pointwise(np.ceil),
    "Round": _pointwise(np.rint),
    "Sqrt": _pointwise(np.sqrt),
    "Reciprocal": _pointwise(np.reciprocal),
    "Abs": _pointwise(np.abs),
    "Neg": _pointwise(np.negative),
    "Sign": _pointwise(np.sign),
    "Exp": _pointwise(np.exp),
    "Log": _pointwise(np.log),
    "Sin": _pointwise(np.sin),
    "Cos": _pointwise(np.cos),
    "Tanh": _pointwise(np.tanh),
    "Sigmoid": _pointwise(_sigmoid),
    "Relu": _pointwise(lambda v: np.maximum(v, 0)),
    "Clip": _clip,
    "Where": _where,
    "Range": _range,
    "Expand": _expand,
    "Tile": _tile,
    "Trilu": _trilu,
    "CumSum": _cumulated,
    "NonZero": _nonzero,
    "ReduceSum": _reduce(np.sum),
    "ReduceProd": _reduce(np.prod),
    "ReduceMean": _reduce(np.mean),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
}
