"""Working out, at load, what an ONNX graph computes from constants and shapes alone.

Exporters write shape arithmetic as nodes (Shape, Gather, Concat, Reshape); that is done here on small arrays.
Large constants are only rearranged, lazily.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload import shapes
from hwsim.workload.frontends.onnx_arithmetic import ARITHMETIC, Fold
from hwsim.workload.frontends.onnx_graph import (
    Constant,
    Node,
    filled_constant,
    small_constant,
    worked_constant,
)

MOST_INDICES = 2**20


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
    # Only a shape that the file itself holds stands for weights that it leaves out.
    shape = given[0].integers("shape")
    return filled_constant(node.outputs[0], shape, array, placeholder=bool(given[0].kind))


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


INTEGER_TYPES: Mapping[int, type[np.generic]] = {
    2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
    12: np.uint32, 13: np.uint64,
}  # fmt: skip
FLOAT_TYPES = (1, 10, 11, 16)  # FLOAT, FLOAT16, DOUBLE, BFLOAT16 of TensorProto.DataType


def _cast(node: Node, given: list[Constant]) -> Constant:
    """Between floating types nothing is done here: formats are the workload's affair, not the constant's."""
    target = node.integer("to", 1)
    if target in FLOAT_TYPES and given[0].floating:
        return _identity(node, given)
    wanted = np.float32 if target in FLOAT_TYPES else INTEGER_TYPES.get(target)
    if wanted is None:
        raise SpecError(f"casts to type {target}, which is not read here")
    return worked_constant(
        node.outputs[0], given[0].shape, given[:1], lambda v: v.astype(wanted), floating=target in FLOAT_TYPES
    )


def _cast_like(node: Node, given: list[Constant]) -> Constant:
    if given[0].floating and given[1].floating:
        return _identity(node, given)
    wanted = given[1].array("type").dtype
    return small_constant(node.outputs[0], given[0].array("input").astype(wanted))


def _size(node: Node, given: list[Constant]) -> Constant:
    return small_constant(node.outputs[0], np.array(given[0].elements, dtype=np.int64))


def _gather(node: Node, given: list[Constant]) -> Constant:
    table, index = given
    axis = shapes.axis_of(node.integer("axis", 0), len(table.shape))
    places = gathered_places(index, table.shape[axis])
    shape = (*table.shape[:axis], *places.shape, *table.shape[axis + 1 :])
    return worked_constant(
        node.outputs[0], shape, (table,), lambda v: np.take(v, places, axis=axis), floating=table.floating
    )


def gathered_places(index: Constant, size: int) -> Array:
    """Constant indices into `size` places, from 0 on. Raises SpecError for others."""
    places = index.array("indices", MOST_INDICES)
    if places.dtype.kind not in "iu":
        raise SpecError("its indices must be integers")
    if places.size and (places.min() < -size or places.max() >= size):
        raise SpecError(f"its indices go from {places.min()} to {places.max()} where {size} places are")
    return np.where(places < 0, places + size, places).astype(np.int64)


def _concat(node: Node, given: list[Constant]) -> Constant:
    parts = [c for c in given if 0 not in c.shape] or given[:1]
    axis = shapes.axis_of(node.integer("axis", 0), len(parts[0].shape))
    shape = shapes.concatenated([c.shape for c in parts], axis)
    floating = any(c.floating for c in parts)
    return worked_constant(
        node.outputs[0], shape, parts, lambda *v: np.concatenate(v, axis=axis), floating=floating
    )


def _slice(node: Node, given: list[Constant]) -> Constant:
    shape = list(given[0].shape)
    cut = [slice(None)] * len(shape)
    for axis, (start, end, step) in slice_ranges(node, given[1:], len(shape)).items():
        cut[axis] = slice(start, end if end > -(2**62) else None, step)
        shape[axis] = len(range(*cut[axis].indices(shape[axis])))
    place = tuple(cut)
    return worked_constant(
        node.outputs[0], tuple(shape), given[:1], lambda v: v[place], floating=given[0].floating
    )


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


FOLDS: Mapping[str, Fold] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Identity": _identity,
    "Dropout": _identity,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Size": _size,
    **ARITHMETIC,
}
