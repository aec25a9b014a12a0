"""One operator's results beside the reference's: exact for integers, within a derived bound for floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwsim.arrays import Float64Array, Uint8Array
from hwsim.functional import (
    reference,
    reference_recurrent,
    reference_sequence,
    reference_vector,
    reference_winograd,
)
from hwsim.functional.approximation import approximates, tabled
from hwsim.functional.approximation_error import approximation_error, table_error
from hwsim.functional.numbers import Drain, Stored, bias_factor, split_steps
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import (
    Conv2d,
    Elementwise,
    Matmul,
    Operator,
    Pool,
    Recurrent,
    WinogradTransform,
)

_SLACK = 2.0**-44  # of double precision with at most 2**8 roundings, before the one that counts
_SUMS = {"add": "add", "sub": "add", "batch_norm": "batch_norm"}  # function -> the sum of its terms


@dataclass(frozen=True, eq=False)
class Expected:
    """What results must be: stored elements, and how far off a float may be (None: not at all)."""

    values: Float64Array
    bound: Float64Array | None


@dataclass(frozen=True)
class Agreement:
    """How results compared: the first wrong element (C order; None when all are right), whether all agree
    bit for bit, the largest difference with the bound there, the largest share of a bound, and the largest
    difference in units of the last place of integers (0 for floats)."""

    first_wrong: int | None
    exact: bool
    max_error: float
    bound: float
    used: float
    units: float = 0.0


def expect_product(
    op: Operator, a: Stored, b: Stored, out: Encoding, bias: Array, drain: Drain | None, tiles_deep: int
) -> Expected:
    """The reference's result of a product on the stored operands. `bias` is as ProductRun takes it;
    `tiles_deep` is how many tiles each sum is cut into."""
    sums = exact_sums(op, a, b)
    if drain is not None and drain.before is not None:
        if drain.approximate and tabled(drain.steps):
            return _expect_tabled(op, sums, bias, drain, drain.before, out)
        return Expected(drained(op, sums, bias, drain, out), None)
    linear = _linear(op, sums, bias, drain)
    if drain is None:
        problem = op.problem
        assert isinstance(problem, Conv2d | Matmul)
        factor, _, functions = split_steps(op.epilogue)
        size = reference.product(problem, op.attributes, np.abs(a.values), np.abs(b.values))
        depth = _depth(problem)
        error = reference.gamma(depth + tiles_deep, 2.0**-24) * size * abs(factor) + depth * 2.0**-149
    else:
        functions, error = drain.steps, _SLACK * np.abs(linear)
    found = reference_vector.steps(functions, linear)
    return rounded(found, reference_vector.spread(functions, linear, error), out)


def _expect_tabled(
    op: Operator, sums: Float64Array, bias: Array, drain: Drain, before: Encoding, out: Encoding
) -> Expected:
    """What stands before a function is exact, and the function off by what its table may be."""
    step = drain.steps[0]
    rounded_sums = drained(op, sums, bias, replace(drain, steps=()), before)
    reals = reference_vector.steps(drain.steps, (rounded_sums - before.zero_point) * before.scale)
    error = np.full(reals.shape, table_error(step.function, step.attributes, before))
    return rounded(reals, error, out)


def expect_winograd(op: Operator, a: Stored, b: Stored, out: Encoding, bias: Array, tile: int) -> Expected:
    """The same of a convolution of floats by Winograd's filtering: what it is, and how far off its parts may
    be. A term is rounded where its patch and its filter are kept, in its product and once for each other
    channel; transforms are computed in double precision."""
    problem = op.problem
    assert isinstance(problem, Conv2d)
    factor, _, functions = split_steps(op.epilogue)
    linear = _linear(op, exact_sums(op, a, b), bias, None)
    size = reference_winograd.product_sizes(problem, tile, a.reals, b.reals)
    error = (reference.gamma(problem.C + 3, 2.0**-24) + _SLACK) * size * abs(factor)
    error = error + problem.C * 2.0**-140  # products below the smallest fp32, grown by the last transform
    found = reference_vector.steps(functions, linear)
    return rounded(found, reference_vector.spread(functions, linear, error), out)


def exact_sums(op: Operator, a: Stored, b: Stored) -> Float64Array:
    """The sums of a product of stored operands: of integers in whole numbers, exactly."""
    problem = op.problem
    assert isinstance(problem, Conv2d | Matmul)
    left, right = a.values, b.values
    if not a.encoding.is_float:
        left = reference.whole_units(left, a.encoding.zero_points)
        right = reference.whole_units(right, b.encoding.along(b.encoding.zero_points, right.ndim))
    sums = reference.product(problem, op.attributes, left, right)
    assert a.encoding.is_float or np.abs(sums).max(initial=0.0) < reference.EXACT
    return sums


def drained(
    op: Operator, sums: Float64Array, bias: Array, drain: Drain | None, out: Encoding
) -> Float64Array:
    """What the reference makes of the sums of a product: stored integers, or reals before their one rounding
    to a float format."""
    if drain is None or drain.before is None:
        functions = split_steps(op.epilogue)[2]
        reals = reference_vector.steps(functions, _linear(op, sums, bias, drain))
        return reals if out.is_float else to_integers(reals, out)
    before = drain.before
    whole = sums + _along(op, bias, sums)
    if drain.singles is None:
        shares = _along(op, drain.multipliers, sums), _along(op, drain.shifts, sums)
        raw = reference.requantised(whole, *shares, before.rounding) + before.zero_point
    else:
        raw = reference.requantised_single(whole, _along(op, drain.singles, sums)) + before.zero_point
    raw = np.minimum(np.maximum(raw, drain.low), drain.high)
    if before == out and not drain.steps:
        return raw
    reals = (raw - before.zero_point) * before.scale
    return to_integers(reference_vector.steps(drain.steps, reals), out)


def _linear(op: Operator, sums: Float64Array, bias: Array, drain: Drain | None) -> Float64Array:
    """What stands before the functions of a product whose sums are not requantised."""
    if drain is None:
        return sums * split_steps(op.epilogue)[0] + _along(op, bias, sums)
    linear: Float64Array = (sums + _along(op, bias, sums)) * _along(op, drain.sum_scales, sums)
    return linear


def expect_vector(
    op: Operator,
    inputs: Sequence[Stored],
    out: Encoding,
    shape: tuple[int, ...],
    *,
    approximate: bool = False,
) -> Expected:
    """The reference's result of any other operator on the stored operands; with `approximate` it may be off
    as far as integer machines' functions are."""
    reals = _vector_reals(op, inputs, shape)
    found = reference_vector.steps(op.epilogue, reals)
    if approximate and approximates(op, inputs, out):
        error = approximation_error(op, inputs, reals)
        return rounded(found, reference_vector.spread(op.epilogue, reals, error), out)
    if op.kind in reference_sequence.KINDS or reference_sequence.is_rotary(op):
        error = reference_sequence.uncertainty(op, [_reals(x) for x in inputs], reals)
        return rounded(found, reference_vector.spread(op.epilogue, reals, error), out)
    if not out.is_float:
        return Expected(to_integers(found, out), None)
    sizes = np.abs(reals)
    if isinstance(op.problem, Pool):
        scale = inputs[0].encoding.scale
        sizes = reference_vector.vector(op, [np.abs(_units(inputs[0]))], shape) * scale
    elif isinstance(op.problem, WinogradTransform):
        sizes = sizes + reference_winograd.sizes(op.problem, _reals(inputs[0]))
    elif isinstance(op.problem, Elementwise) and op.problem.function in _SUMS:
        # Terms may cancel, and each has its own rounding.
        terms = replace(op, problem=replace(op.problem, function=_SUMS[op.problem.function]))
        sizes = reference_vector.vector(terms, [np.abs(_reals(x)) for x in inputs], shape)
    error = _SLACK * np.nan_to_num(sizes)
    return rounded(found, reference_vector.spread(op.epilogue, reals, error), out)


def vector_result(
    op: Operator, inputs: Sequence[Stored], out: Encoding, shape: tuple[int, ...]
) -> Float64Array:
    """What the reference makes of any other operator: stored integers, or reals before their one rounding to
    a float format."""
    found = reference_vector.steps(op.epilogue, _vector_reals(op, inputs, shape))
    return found if out.is_float else to_integers(found, out)


def _vector_reals(op: Operator, inputs: Sequence[Stored], shape: tuple[int, ...]) -> Float64Array:
    """Before the fused functions. Pools and Winograd transforms count in whole units, so that their sums are
    exact."""
    if isinstance(op.problem, Pool):
        pooled = reference_vector.vector(op, [_units(inputs[0])], shape)
        return pooled * inputs[0].encoding.scale
    if isinstance(op.problem, WinogradTransform):
        transformed = reference_winograd.transform(op.problem, _units(inputs[0])) * inputs[0].encoding.scale
        return transformed if len(inputs) == 1 else transformed + _reals(inputs[1]).reshape(1, -1, 1, 1)
    return reference_vector.vector(op, [_reals(x) for x in inputs], shape)


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
            linear = linear + _along(op, added, linear)
        linear = linear.reshape(shape)
        return linear, reference_vector.steps(functions, linear)
    if isinstance(problem, Recurrent):
        states = reference_recurrent.flow(problem, inputs).result
        return states, states
    linear = reference_vector.vector(op, inputs, shape).reshape(shape)
    return linear, reference_vector.steps(op.epilogue, linear)


def compare(got: Array, written: Uint8Array | None, expected: Expected, out: Encoding) -> Agreement:
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
    most = float(error.max(initial=0.0))
    units = 0.0 if out.is_float else most
    return Agreement(wrong, bool(exact), most * out.scale, bound * out.scale, used, units)


def to_integers(reals: Float64Array, out: Encoding) -> Float64Array:
    """Stored integers of `out`, rounded by comparing what lies between two of them with a half, moved by the
    zero point and saturated. Ternary and binary compare with their thresholds instead."""
    if out.format.name == "binary":
        return np.array(1.0 - 2.0 * ~(reals >= 0), dtype=np.float64)
    if out.threshold is not None:
        return 1.0 * (reals > out.threshold) - 1.0 * (reals < -out.threshold)
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
    kept: Float64Array = np.minimum(np.maximum(found + out.zero_point, low), high)
    return kept


def rounded(reals: Float64Array, error: Float64Array, out: Encoding) -> Expected:
    """Floats: what is stored may be off by the error so far, and by one rounding of what is there then. Their
    error moves an integer only where it reaches across the middle between two."""
    if not out.is_float:
        found = to_integers(reals, out)
        with np.errstate(invalid="ignore"):
            ends = [to_integers(reals + side, out) for side in (-error, error)]
        return Expected(found, np.maximum(np.abs(ends[0] - found), np.abs(ends[1] - found)))
    with np.errstate(invalid="ignore"):
        kept = np.minimum(np.maximum(reals, -out.largest), out.largest)
        bound = error + out.unit_roundoff * (np.abs(kept) + error) + out.smallest_step / 2
    return Expected(kept, bound)


def _depth(problem: Conv2d | Matmul) -> int:
    """Terms of one sum."""
    if isinstance(problem, Matmul):
        return problem.K
    return problem.C // problem.groups * problem.R * problem.S


def _units(x: Stored) -> Float64Array:
    """Whole numbers of what stored integers stand for; floats themselves."""
    return reference.whole_units(x.values, x.encoding.zero_points).astype(np.float64)


def _reals(x: Stored) -> Float64Array:
    reals: Float64Array = _units(x) * x.encoding.scale
    return reals


def _along(op: Operator, numbers: Array, sums: Array) -> Array:
    """One number a channel of a product, or one for all, shaped to meet its sums."""
    shape = [1] * sums.ndim
    shape[1 if isinstance(op.problem, Conv2d) else -1] = -1
    return numbers.reshape(shape)
