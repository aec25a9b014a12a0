"""Operators of the activation unit as it executes them, and those that only move elements.

Pools work on stored numbers and moves copy them; a result whose scale differs from its operand's is scaled
once, at the end. All else works on what the numbers stand for, in double precision, and is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.errors import UnsupportedError
from hwsim.functional.approximate import look_up, normalise, shares_of_rows
from hwsim.functional.approximation import approximates
from hwsim.functional.functions import apply_binary, apply_steps, apply_unary
from hwsim.functional.numbers import Stored, attribute
from hwsim.functional.sequence_vectors import (
    computed,
    copied,
    masked_scores,
    only_copies,
    patches,
    rotated,
)
from hwsim.functional.winograd import execute_transform
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload.functions import UNARY
from hwsim.workload.operators import (
    Elementwise,
    Lrn,
    Move,
    Norm,
    Operator,
    Pool,
    Softmax,
    WinogradTransform,
)


def execute_vector(
    op: Operator, inputs: Sequence[Stored], out: Encoding, shape: Shape, *, approximate: bool = False
) -> Array:
    """The stored result of any operator that is no product; with `approximate` functions between integers are
    those of integer machines. Raises UnsupportedError for a function that has no definition here."""
    if op.epilogue and only_copies(op):
        raise UnsupportedError(
            f"operator {op.name}: a {op.kind} moves stored elements, and a function fused behind it cannot "
            "be verified: make it an operator of its own"
        )
    if approximate and approximates(op, inputs, out):
        return out.store(apply_steps(op.epilogue, _approximated(op, inputs)).reshape(shape))
    if isinstance(op.problem, Move):
        return _moved(op, inputs, out, shape)
    if isinstance(op.problem, WinogradTransform):
        return execute_transform(op, op.problem, inputs, out, shape)
    if isinstance(op.problem, Pool):
        # Counted from the zero point: what lies around a map is 0.
        units = inputs[0].values.astype(np.float64) - inputs[0].encoding.zero_point
        reals = _pooled(op.problem, units) * inputs[0].encoding.scale
    elif isinstance(op.problem, Elementwise):
        reals = _elementwise(op, op.problem, [x.reals for x in inputs])
    elif isinstance(op.problem, Softmax):
        from hwsim.kernels.activation_unit import softmax_rows

        reals = _softmax(op, op.problem, masked_scores(op, inputs), softmax_rows)
    elif isinstance(op.problem, Lrn):
        reals = _lrn(op, op.problem, inputs[0].reals)
    elif (stored := copied(op, inputs, out)) is not None:
        return stored.reshape(shape)
    elif (found := computed(op, inputs)) is not None:
        reals = found
    else:
        raise UnsupportedError(f"operator {op.name}: a {op.kind} cannot be verified")
    return out.store(apply_steps(op.epilogue, reals).reshape(shape))


def _approximated(op: Operator, inputs: Sequence[Stored]) -> Float64Array:
    """What integer machines make of an operator that `approximates` names."""
    if isinstance(op.problem, Elementwise):
        return look_up(op.problem.function, op.attributes, inputs[0].encoding, inputs[0].values)
    if isinstance(op.problem, Softmax):
        return _softmax(op, op.problem, masked_scores(op, inputs), shares_of_rows)
    assert isinstance(op.problem, Norm)
    return normalise(op, op.problem, inputs)


def _pooled(problem: Pool, x: Float64Array) -> Float64Array:
    from hwsim.kernels.activation_unit import pool_windows

    out = np.empty((problem.N, problem.C, problem.P, problem.Q))
    pool_windows(
        np.ascontiguousarray(x), out, (problem.R, problem.S), problem.stride, problem.pad,
        problem.dilation, problem.function == "average", problem.count_include_pad,
    )  # fmt: skip
    return out


def _elementwise(op: Operator, problem: Elementwise, inputs: list[Float64Array]) -> Float64Array:
    if problem.function in UNARY:
        return apply_unary(problem.function, op.attributes, inputs[0])
    if problem.function == "batch_norm":
        x, scale, shift = inputs
        channels = (-1,) + (1,) * (x.ndim - 2)
        scaled = apply_binary("mul", x, scale.reshape(channels))
        return apply_binary("add", scaled, shift.reshape(channels))
    if problem.function == "rotary":
        return rotated(op, inputs)
    found = inputs[0]
    for other in inputs[1:]:
        found = apply_binary(problem.function, found, other)
    return found


def _softmax(
    op: Operator, problem: Softmax, x: Float64Array, softmax_rows: Callable[[Float64Array], None]
) -> Float64Array:
    """Of x along its axis, by what takes the softmax of rows in place."""
    axis = int(attribute(op.attributes, "axis", -1))
    if dict(op.attributes).get("flattened"):
        rows = np.array(x).reshape(problem.rows, problem.cols)
        softmax_rows(rows)
        return rows.reshape(x.shape)
    moved = np.ascontiguousarray(np.moveaxis(x, axis, -1)).copy()
    softmax_rows(moved.reshape(problem.rows, problem.cols))
    return np.moveaxis(moved, -1, axis)


def _lrn(op: Operator, problem: Lrn, x: Float64Array) -> Float64Array:
    from hwsim.kernels.activation_unit import normalise_channels

    flat = np.ascontiguousarray(x).reshape(x.shape[0], x.shape[1], -1)
    out = np.empty_like(flat)
    alpha, beta, k = (
        attribute(op.attributes, name, default)
        for name, default in (("alpha", 1e-4), ("beta", 0.75), ("k", 1.0))
    )
    normalise_channels(flat, out, problem.size, alpha, beta, k)
    return out.reshape(x.shape)


def _moved(op: Operator, inputs: Sequence[Stored], out: Encoding, shape: Shape) -> Array:
    """Elements in other places, written one slice of the result at a time."""
    given = dict(op.attributes)
    inputs = [x if x.encoding == out else Stored(out.store(x.reals), out) for x in inputs]
    if op.problem.function == "concat":  # type: ignore[union-attr]
        found = np.empty(shape, dtype=np.float32 if out.is_float else out.integer_type)
        axis, at = int(attribute(op.attributes, "axis", 0)), 0
        for x in inputs:
            place = [slice(None)] * len(shape)
            place[axis] = slice(at, at + x.values.shape[axis])
            found[tuple(place)] = x.values
            at += x.values.shape[axis]
        return found
    return _moved_alone(op, inputs[0].values, given, out)


def _moved_alone(op: Operator, x: Array, given: Mapping[str, object], out: Encoding) -> Array:
    """A move of one tensor, whose elements stay as they are stored."""
    match op.problem.function:  # type: ignore[union-attr]
        case "convert":
            return x
        case "im2col":
            return patches(op, x, out.store(np.zeros(())))
        case "transpose":
            return np.ascontiguousarray(x.transpose(_whole(given["perm"])))
        case "slice":
            for axis, begin, stop, stride in _ranges(given["ranges"]):
                x = x.take(np.arange(begin, stop, stride), axis=axis)
            return x
        case "pad":
            before, after = _whole(given["before"]), _whole(given["after"])
            fill = out.store(np.array(attribute(op.attributes, "fill", 0.0)))
            for axis, sides in enumerate(zip(before, after, strict=True)):
                x = _padded(x, axis, *sides, str(given["mode"]), fill)
            return x
    raise UnsupportedError(f"operator {op.name}: a {op.problem} cannot be verified")


def _padded(x: Array, axis: int, before: int, after: int, mode: str, fill: Array) -> Array:
    """One axis padded, by the place in x that each element of the result comes from."""
    size = x.shape[axis]
    places = np.arange(-before, size + after)
    if mode == "constant":
        found = x.take(np.clip(places, 0, size - 1), axis=axis)
        outside = [slice(None)] * x.ndim
        for part in (slice(0, before), slice(before + size, before + size + after)):
            outside[axis] = part
            found[tuple(outside)] = fill
        return found
    if mode == "reflect" and size > 1:
        places = np.abs((places + size - 1) % (2 * size - 2) - (size - 1))
    elif mode == "wrap":
        places = places % size
    else:
        places = np.clip(places, 0, size - 1)
    return x.take(places, axis=axis)


def _whole(values: object) -> tuple[int, ...]:
    assert isinstance(values, tuple)
    return tuple(int(value) for value in values)


def _ranges(values: object) -> list[tuple[int, ...]]:
    assert isinstance(values, tuple)
    return [_whole(value) for value in values]
