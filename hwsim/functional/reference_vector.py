"""The independent reference of the activation unit's operators, in numpy and float64. Shares no code with
what executes them; definitions are those of the ONNX operators of the same names (onnx.ai/onnx/operators)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.errors import UnsupportedError
from hwsim.functional import reference_sequence
from hwsim.functional.reference_winograd import with_bias
from hwsim.workload.operators import (
    Attributes,
    Elementwise,
    Lrn,
    Move,
    Operator,
    Pool,
    Softmax,
    Step,
    WinogradTransform,
)

Given = Mapping[str, float]


def _erf(x: Float64Array) -> Float64Array:
    return np.vectorize(math.erf, otypes=[np.float64])(x) if x.size else x


def _softplus(x: Float64Array) -> Float64Array:
    return np.logaddexp(0.0, x)


UNARY: Mapping[str, Callable[[Float64Array, Given], Float64Array]] = {
    "relu": lambda x, _: np.maximum(x, 0.0),
    "leaky_relu": lambda x, g: np.where(x < 0, g.get("alpha", 0.01) * x, x),
    "sigmoid": lambda x, _: 1.0 / (1.0 + np.exp(-x)),
    "tanh": lambda x, _: np.tanh(x),
    "clip": lambda x, g: np.clip(x, g.get("min", -np.inf), g.get("max", np.inf)),
    "elu": lambda x, g: np.where(x < 0, g.get("alpha", 1.0) * np.expm1(np.minimum(x, 0)), x),
    "celu": lambda x, g: np.where(
        x < 0, g.get("alpha", 1.0) * np.expm1(np.minimum(x, 0) / g.get("alpha", 1.0)), x
    ),
    "selu": lambda x, g: (
        g.get("gamma", 1.05070102214813232421875)
        * np.where(x < 0, g.get("alpha", 1.67326319217681884765625) * np.expm1(np.minimum(x, 0)), x)
    ),
    "softplus": lambda x, _: _softplus(x),
    "softsign": lambda x, _: x / (np.abs(x) + 1.0),
    "hard_sigmoid": lambda x, g: np.clip(g.get("alpha", 0.2) * x + g.get("beta", 0.5), 0.0, 1.0),
    "hard_swish": lambda x, _: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "gelu": lambda x, _: 0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))),
    "gelu_tanh": lambda x, _: x / (1.0 + np.exp(-math.sqrt(8.0 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x, _: x / (1.0 + np.exp(-x)),
    "mish": lambda x, _: x * np.tanh(_softplus(x)),
    "erf": lambda x, _: _erf(x),
    "exp": lambda x, _: np.exp(np.minimum(x, 709.0)),
    "log": lambda x, _: np.log(x),
    "sqrt": lambda x, _: np.sqrt(x),
    "reciprocal": lambda x, _: 1.0 / x,
    "abs": lambda x, _: np.abs(x),
    "neg": lambda x, _: np.negative(x),
}

BINARY: Mapping[str, Callable[[Float64Array, Float64Array], Float64Array]] = {
    "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum, "sub": np.subtract,
    "div": np.divide, "pow": np.power, "prelu": lambda x, slope: np.where(x > 0, x, x * slope),
}  # fmt: skip

# Largest slope of the functions that are not monotone; those that are spread an interval to its ends.
# gelu and its tanh form: at sqrt(2), 1.129; silu: at 2.4, 1.0998; mish: 1.089; hard_swish: at 3, 1.5; abs: 1.
_SLOPES = {"gelu": 1.13, "gelu_tanh": 1.13, "silu": 1.1, "mish": 1.09, "hard_swish": 1.5, "abs": 1.0}


def unary(function: str, attributes: Attributes, x: Float64Array) -> Float64Array:
    """One pointwise function of `workload.functions.UNARY`."""
    with np.errstate(all="ignore"):
        return UNARY[function](x, {name: float(str(value)) for name, value in attributes})


def steps(behind: Sequence[Step], x: Float64Array) -> Float64Array:
    """Fused functions, one after the other."""
    for step in behind:
        x = unary(step.function, step.attributes, x)
    return x


def spread(behind: Sequence[Step], x: Float64Array, error: Float64Array) -> Float64Array:
    """How far the results of fused functions may lie from steps(behind, x) when x is off by up to `error`.
    Infinite where the interval leaves a function's domain."""
    for step in behind:
        y = unary(step.function, step.attributes, x)
        slope = _SLOPES.get(step.function)
        if slope is not None:
            reach = slope * error
        else:
            ends = [unary(step.function, step.attributes, x + side) for side in (-error, error)]
            with np.errstate(invalid="ignore"):
                reach = np.maximum(np.abs(ends[0] - y), np.abs(ends[1] - y))
            reach = np.where(np.isnan(reach), np.inf, reach)
        # A double's own rounding, generously, of two evaluations of the function.
        x, error = y, reach + 2.0**-48 * (np.abs(np.nan_to_num(x)) + np.abs(np.nan_to_num(y)))
    return error


def vector(op: Operator, inputs: Sequence[Float64Array], shape: tuple[int, ...]) -> Float64Array:
    """The result of an operator of the activation unit, before its fused functions."""
    problem = op.problem
    with np.errstate(all="ignore"):
        if isinstance(problem, Pool):
            return pool(problem, inputs[0])
        if isinstance(problem, Elementwise):
            return _elementwise(op, problem, inputs).reshape(shape)
        if isinstance(problem, Softmax):
            return _softmax(op, inputs)
        if isinstance(problem, Lrn):
            return _lrn(op, problem, inputs[0])
        if isinstance(problem, Move):
            return move(op, problem, inputs)
        if isinstance(problem, WinogradTransform):
            return with_bias(problem, inputs)
        found = reference_sequence.sequence(op, inputs)
    if found is not None:
        return found.reshape(shape)
    raise UnsupportedError(f"operator {op.name}: there is no reference for a {op.kind}")


def pool(problem: Pool, x: Float64Array) -> Float64Array:
    """Windows place by place; what lies outside is never the maximum and counts only as told."""
    top, left, bottom, right = problem.pad
    tall = max(
        problem.H + top + bottom,
        (problem.P - 1) * problem.stride[0] + (problem.R - 1) * problem.dilation[0] + 1,
    )
    wide = max(
        problem.W + left + right,
        (problem.Q - 1) * problem.stride[1] + (problem.S - 1) * problem.dilation[1] + 1,
    )
    best = problem.function == "max"
    around = np.full((problem.N, problem.C, tall, wide), -np.inf if best else 0.0)
    around[:, :, top : top + problem.H, left : left + problem.W] = x
    counts = np.zeros((tall, wide))
    if problem.count_include_pad:
        counts[: problem.H + top + bottom, : problem.W + left + right] = 1
    counts[top : top + problem.H, left : left + problem.W] = 1
    found = np.full((problem.N, problem.C, problem.P, problem.Q), -np.inf if best else 0.0)
    weight = np.zeros((problem.P, problem.Q))
    for r in range(problem.R):
        for s in range(problem.S):
            y, z = r * problem.dilation[0], s * problem.dilation[1]
            rows = slice(y, y + (problem.P - 1) * problem.stride[0] + 1, problem.stride[0])
            columns = slice(z, z + (problem.Q - 1) * problem.stride[1] + 1, problem.stride[1])
            if best:
                np.maximum(found, around[:, :, rows, columns], out=found)
            else:
                found += around[:, :, rows, columns]
                weight += counts[rows, columns]
    return found if best else found / weight


def _elementwise(op: Operator, problem: Elementwise, inputs: Sequence[Float64Array]) -> Float64Array:
    if problem.function in UNARY:
        return unary(problem.function, op.attributes, inputs[0])
    if problem.function == "batch_norm":
        x, scale, shift = inputs
        return np.moveaxis(np.moveaxis(x, 1, -1) * scale + shift, -1, 1)
    if problem.function == "rotary":
        return reference_sequence.rotated(dict(op.attributes), inputs)
    found = inputs[0]
    for other in inputs[1:]:
        found = BINARY[problem.function](found, other)
    return found


def _softmax(op: Operator, inputs: Sequence[Float64Array]) -> Float64Array:
    given = dict(op.attributes)
    x = inputs[0] * float(str(given.get("scale", 1.0)))
    if len(inputs) > 1:
        x = x + inputs[1]
    causal, window = bool(given.get("causal", False)), int(str(given.get("window", 0)))
    if causal or window:
        queries = int(str(given["queries"]))
        seen = reference_sequence.visible(queries, x.shape[-1], causal, window)
        grouped = x.reshape(-1, queries, x.shape[-1])
        x = np.where(seen, grouped, -np.inf).reshape(x.shape)
    axis = int(str(given.get("axis", -1)))
    axes = tuple(range(axis, x.ndim)) if given.get("flattened") else (axis,)
    powers: Float64Array = np.exp(x - x.max(axis=axes, keepdims=True))
    total: Float64Array = powers.sum(axis=axes, keepdims=True)
    return powers / total


def _lrn(op: Operator, problem: Lrn, x: Float64Array) -> Float64Array:
    given = {name: float(str(value)) for name, value in op.attributes}
    channels, before = x.shape[1], (problem.size - 1) // 2
    squares = np.zeros((x.shape[0], channels + problem.size - 1, *x.shape[2:]))
    squares[:, before : before + channels] = x * x
    total = np.zeros_like(x)
    for i in range(problem.size):
        total += squares[:, i : i + channels]
    base = given.get("k", 1.0) + given.get("alpha", 1e-4) / problem.size * total
    powers: Float64Array = base ** -given.get("beta", 0.75)
    return x * powers


def move(op: Operator, problem: Move, inputs: Sequence[Float64Array]) -> Float64Array:
    """concat, transpose, pad and slice, by numpy's functions of those names; convert changes the format
    alone."""
    given = dict(op.attributes)
    x = inputs[0]
    match problem.function:
        case "concat":
            return np.concatenate(inputs, axis=int(str(given["axis"])))
        case "convert":
            return x
        case "im2col":
            return reference_sequence.patches(given, x)
        case "transpose":
            return np.transpose(x, given["perm"])  # type: ignore[call-overload,no-any-return]
        case "pad":
            width = list(zip(given["before"], given["after"], strict=True))  # type: ignore[call-overload]
            if given["mode"] == "constant":
                return np.pad(x, width, constant_values=float(str(given["fill"])))
            return np.pad(x, width, mode=given["mode"])  # type: ignore[call-overload,no-any-return]
        case "slice":
            cut = [slice(None)] * x.ndim
            for axis, begin, stop, stride in given["ranges"]:  # type: ignore[attr-defined]
                cut[axis] = slice(begin, None if stop < 0 else stop, stride)
            return x[tuple(cut)]
    raise UnsupportedError(f"operator {op.name}: there is no reference for a {problem.function}")
