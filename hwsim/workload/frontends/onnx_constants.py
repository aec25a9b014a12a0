"""Working out, at load, what an ONNX graph computes from constants and shapes alone.

Exporters write shape arithmetic as nodes (Shape, Gather, Concat, Reshape); that is done here on small arrays.
Large constants are only rearranged, lazily.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload import shapes
from hwsim.workload.frontends.onnx_graph import SMALL, Constant, Node, filled_constant, small_constant

Fold = Callable[[Node, list[Constant]], Constant]


def shape_of(node: Node, shape: Shape) -> Constant:
    """The Shape operator, with its start and end of opset 15."""
    start, end = node.integer("start", 0), node.integer("end", len(shape))
    return small_constant(node.outputs[0], np.array(shape[start:end], dtype=np.int64))


def fold(node: Node, given: list[Constant]) -> Constant:
    """The result of `node` on constants. Raises SpecError when it cannot be worked out."""
    try:
        with np.errstate(all="ignore"):
            return FOLDS[node.type](node, given)
    except SpecError as error:
        raise SpecError(f"node {node.name!r} ({node.type}): {error}") from None
    except (IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise SpecError(
            f"node {node.name!r} ({node.type}) does not fit its constant inputs: {error}"
        ) from None


def _axes(node: Node, given: list[Constant]) -> tuple[int, ...] | None:
    return given[1].integers("axes") if len(given) > 1 else node.integers("axes")


def _constant(node: Node, _: list[Constant]) -> Constant:
    name = node.outputs[0]
    attributes = node.attributes
    if isinstance(value := attributes.get("value"), Constant):
        return value.reshaped(name, value.shape)
    for key, dtype in (("value_int", np.int64), ("value_ints", np.int64), ("value_float", np.float32),
                       ("value_floats", np.float32)):  # fmt: skip
        if key in attributes:
            return small_constant(name, np.array(attributes[key], dtype=dtype))
    raise SpecError("holds no number: text and sparse constants are not read")


def _constant_of_shape(node: Node, given: list[Constant]) -> Constant:
    value = node.attributes.get("value")
    array = value.array("value") if isinstance(value, Constant) else np.zeros(1, dtype=np.float32)
    if array.size != 1:
        raise SpecError("its value must be one number")
    return filled_constant(node.outputs[0], given[0].integers("shape"), array)


def _reshape(node: Node, given: list[Constant]) -> Constant:
    target = given[1].integers("shape") if len(given) > 1 else node.integers("shape") or ()
    shape = shapes.reshaped(given[0].shape, target, zero_copies=not node.integer("allowzero", 0))
    return given[0].reshaped(node.outputs[0], shape)


def _squeeze(node: Node, given: list[Constant]) -> Constant:
    return given[0].reshaped(node.outputs[0], shapes.squeezed(given[0].shape, _axes(node, given)))


def _unsqueeze(node: Node, given: list[Constant]) -> Constant:
    return given[0].reshaped(node.outputs[0], shapes.unsqueezed(given[0].shape, _axes(node, given) or ()))


def _flatten(node: Node, given: list[Constant]) -> Constant:
    return given[0].reshaped(node.outputs[0], shapes.flattened(given[0].shape, node.integer("axis", 1)))


def _transpose(node: Node, given: list[Constant]) -> Constant:
    rank = len(given[0].shape)
    perm = node.integers("perm") or tuple(reversed(range(rank)))
    return given[0].transposed(node.outputs[0], perm, shapes.transposed(given[0].shape, perm))


def _identity(node: Node, given: list[Constant]) -> Constant:
    return given[0].reshaped(node.outputs[0], given[0].shape)


_INTEGER_TYPES = {2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
                  12: np.uint32, 13: np.uint64}  # fmt: skip
FLOAT_TYPES = (1, 10, 11, 16)  # FLOAT, FLOAT16, DOUBLE, BFLOAT16 of TensorProto.DataType


def _cast(node: Node, given: list[Constant]) -> Constant:
    """Between floating types nothing is done here: formats are the workload's affair, not the constant's."""
    target = node.integer("to", 1)
    if target in FLOAT_TYPES and given[0].floating:
        return _identity(node, given)
    if target in FLOAT_TYPES:
        return small_constant(node.outputs[0], given[0].array("input").astype(np.float32))
    if target not in _INTEGER_TYPES:
        raise SpecError(f"casts to type {target}, which is not read here")
    return small_constant(node.outputs[0], given[0].array("input").astype(_INTEGER_TYPES[target]))


def _gather(node: Node, given: list[Constant]) -> Constant:
    table, index = given[0].array("input"), given[1].array("indices")
    if index.dtype.kind not in "iu":
        raise SpecError("its indices must be integers")
    return small_constant(node.outputs[0], np.asarray(np.take(table, index, axis=node.integer("axis", 0))))


def _concat(node: Node, given: list[Constant]) -> Constant:
    joined = np.concatenate([c.array("input") for c in given], axis=node.integer("axis", 0))
    return small_constant(node.outputs[0], joined)


def _slice(node: Node, given: list[Constant]) -> Constant:
    array = given[0].array("input")
    cut = [slice(None)] * array.ndim
    for axis, (start, end, step) in slice_ranges(node, given[1:], array.ndim).items():
        cut[axis] = slice(start, end if end > -(2**62) else None, step)
    return small_constant(node.outputs[0], np.array(array[tuple(cut)]))


def slice_ranges(node: Node, given: list[Constant], rank: int) -> dict[int, tuple[int, int, int]]:
    """axis -> (start, end, step) of a Slice node: from inputs since opset 10, from attributes before."""
    if given:
        named = [c.integers("slice") for c in given]
    else:
        parts = (node.integers("starts"), node.integers("ends"), node.integers("axes"))
        named = [part for part in parts if part is not None]
    if len(named) < 2:
        raise SpecError("a slice needs starts and ends")
    starts, ends = named[0], named[1]
    axes = named[2] if len(named) > 2 and named[2] else tuple(range(len(starts)))
    steps = named[3] if len(named) > 3 else (1,) * len(starts)
    rows = zip(axes, starts, ends, steps, strict=True)
    return {shapes.axis_of(axis, rank): (start, end, step) for axis, start, end, step in rows}


def _arithmetic(apply: Callable[[Array, Array], Array]) -> Fold:
    def run(node: Node, given: list[Constant]) -> Constant:
        if large := [c.name for c in given if c.elements > SMALL]:
            raise UnsupportedError(
                f"node {node.name!r} ({node.type}) works weights out from {large[0]!r}: fold constants when "
                "exporting the network"
            )
        left, right = (c.array("operand") for c in given)
        return small_constant(node.outputs[0], np.asarray(apply(left, right)))

    return run


def _divide(left: Array, right: Array) -> Array:
    if left.dtype.kind not in "iu":
        return np.asarray(left / right)
    if not np.all(right):
        raise ZeroDivisionError("division by zero")
    return np.asarray(np.trunc(left / right).astype(left.dtype))  # ONNX divides integers towards zero


FOLDS: Mapping[str, Fold] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Identity": _identity,
    "Cast": _cast,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Add": _arithmetic(lambda a, b: a + b),
    "Sub": _arithmetic(lambda a, b: a - b),
    "Mul": _arithmetic(lambda a, b: a * b),
    "Div": _arithmetic(_divide),
    "Floor": lambda node, given: small_constant(node.outputs[0], np.floor(given[0].array("input"))),
    "Ceil": lambda node, given: small_constant(node.outputs[0], np.ceil(given[0].array("input"))),
}
