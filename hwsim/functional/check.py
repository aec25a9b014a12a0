"""One operator's results beside the reference's: exact for integers, within a derived bound for floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.functional import reference, reference_vector
from hwsim.functional.numbers import Drain, Stored, bias_factor, split_steps
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import Conv2d, Elementwise, Matmul, Operator, Pool

Float64Array = NDArray[np.float64]

_SUMS = {"add": "add", "sub": "add", "batch_norm": "batch_norm"}  # function -> the sum of its terms


@dataclass(frozen=True, eq=False)
class Expected:
    """What results must be: stored elements, and how far off a float may be (None: not at all)."""

    values: Float64Array
    bound: Float64Array | None


@dataclass(frozen=True)
class Agreement:
    """How results compared: the first wrong element (C order; None when all are right), whether all agree
    bit for bit, the largest difference with the bound there, and the largest share of a bound."""

    first_wrong: int | None
    exact: bool
    max_error: float
    bound: float
    used: float


def expect_product(
    op: Operator, a: Stored, b: Stored, out: Encoding, bias: Array, drain: Drain | None, tiles_deep: int
) -> Expected:
    """The reference's result of a product on the stored operands. `bias` is as ProductRun takes it;
    `tiles_deep` is how many tiles each sum is cut into."""
    problem = op.problem
    assert isinstance(problem, Conv2d | Matmul)
    sums = reference.product(problem, op.attributes, a.values, b.values)
    channel_axis = 1 if isinstance(problem, Conv2d) else -1
    added = _along(bias, sums.ndim, channel_axis)
    factor, _, functions = split_steps(op.epilogue)
    if drain is not None:
        assert np.abs(sums).max(initial=0.0) < reference.EXACT
        scale = drain.multiplier
        raw = reference.requantised(sums + added, scale.multiplier, scale.shift, drain.before.rounding)
        raw = np.minimum(np.maximum(raw, drain.low), drain.high)
        if not drain.steps:
            return Expected(raw, None)
        reals = reference_vector.steps(drain.steps, raw * drain.before.scale)
        return Expected(to_integers(reals, out), None)
    size = reference.product(problem, op.attributes, np.abs(a.values), np.abs(b.values))
    depth = problem.C // problem.groups * problem.R * problem.S if isinstance(problem, Conv2d) else problem.K
    error = reference.gamma(depth + tiles_deep, 2.0**-24) * size * abs(factor) + depth * 2.0**-149
    linear = sums * factor + added
    return _rounded(
        reference_vector.steps(functions, linear), reference_vector.spread(functions, linear, error), out
    )


def expect_vector(op: Operator, inputs: Sequence[Stored], out: Encoding, shape: tuple[int, ...]) -> Expected:
    """The reference's result of any other operator on the stored operands."""
    if isinstance(op.problem, Pool):
        x = inputs[0]
        reals = reference_vector.vector(op, [x.values.astype(np.float64)], shape) * x.encoding.scale
        sizes = reference_vector.vector(op, [np.abs(x.values).astype(np.float64)], shape) * x.encoding.scale
    else:
        numbers = [_reals(x) for x in inputs]
        reals = reference_vector.vector(op, numbers, shape)
        sizes = np.abs(reals)
        if isinstance(op.problem, Elementwise) and op.problem.function in ("add", "sub", "batch_norm"):
            # Terms may cancel, and each has its own rounding.
            terms = replace(op, problem=replace(op.problem, function=_SUMS[op.problem.function]))
            sizes = reference_vector.vector(terms, [np.abs(x) for x in numbers], shape)
    found = reference_vector.steps(op.epilogue, reals)
    if not out.is_float:
        return Expected(to_integers(found, out), None)
    # Double precision with at most 2**8 roundings, before the one that counts.
    error = 2.0**-44 * np.nan_to_num(sizes)
    return _rounded(found, reference_vector.spread(op.epilogue, reals, error), out)


def expect_flow(
    op: Operator, inputs: Sequence[Float64Array], constants: Mapping[str, Array], shape: tuple[int, ...]
) -> tuple[Float64Array, Float64Array]:
    """The float64 flow through one operator: what stands before its functions, and its result."""
    problem = op.problem
    if isinstance(problem, Conv2d | Matmul):
        factor, bias, functions = split_steps(op.epilogue)
        linear = reference.product(problem, op.attributes, inputs[0], inputs[1]) * factor
        if bias is not None:
            added = constants[bias.tensor].astype(np.float64).reshape(-1) * bias_factor(bias)
            linear = linear + _along(added, linear.ndim, 1 if isinstance(problem, Conv2d) else -1)
        linear = linear.reshape(shape)
        return linear, reference_vector.steps(functions, linear)
    linear = reference_vector.vector(op, inputs, shape).reshape(shape)
    return linear, reference_vector.steps(op.epilogue, linear)


def compare(got: Array, written: NDArray[np.uint8] | None, expected: Expected, out: Encoding) -> Agreement:
    """Results beside what they must be. An element that was never or twice written is wrong."""
    wanted = expected.values.reshape(got.shape)
    difference = got.astype(np.float64) - wanted
    with np.errstate(invalid="ignore"):
        same = (difference == 0) | (np.isnan(got) & np.isnan(wanted)) if out.is_float else difference == 0
    right, used, allowed = same, 0.0, np.zeros(())
    error = np.where(same, 0.0, np.abs(difference))
    if expected.bound is not None:
        allowed = expected.bound.reshape(got.shape)
        right = same | (error <= allowed)
        shares = np.divide(error, allowed, out=np.zeros_like(error), where=allowed > 0)
        used = float(shares.max(initial=0.0))
    if written is not None:
        right = right & (written == 1)
    wrong = None if right.all() else int(np.argmin(right))
    worst = int(np.argmax(error)) if error.size else 0
    bound = float(allowed.reshape(-1)[worst]) if expected.bound is not None and error.size else 0.0
    exact = wrong is None and not error.any()
    return Agreement(wrong, bool(exact), float(error.max(initial=0.0)) * out.scale, bound, used)


def to_integers(reals: Float64Array, out: Encoding) -> Float64Array:
    """Whole units of `out`, rounded by comparing what lies between two of them with a half, and saturated."""
    units = np.nan_to_num(reals / out.scale, nan=0.0, posinf=2.0**60, neginf=-(2.0**60))
    below = np.floor(units)
    rest = units - below
    match out.rounding:
        case "truncate":
            found = below
        case "half_up":
            found = below + (rest >= 0.5)
        case _:
            found = below + ((rest > 0.5) | ((rest == 0.5) & (np.mod(below, 2) == 1)))
    low, high = out.limits
    return np.minimum(np.maximum(found, low), high)


def _rounded(reals: Float64Array, error: Float64Array, out: Encoding) -> Expected:
    """Floats: what is stored may be off by the error so far, and by one rounding of what is there then."""
    with np.errstate(invalid="ignore"):
        kept = np.minimum(np.maximum(reals, -out.largest), out.largest)
        bound = error + out.unit_roundoff * (np.abs(kept) + error) + out.smallest_step / 2
    return Expected(kept, bound)


def _reals(x: Stored) -> Float64Array:
    return x.values.astype(np.float64) * x.encoding.scale


def _along(constants: Array, rank: int, axis: int) -> Array:
    """One number a channel, shaped to be added along `axis`."""
    shape = [1] * rank
    shape[axis] = -1
    return constants.reshape(shape)
