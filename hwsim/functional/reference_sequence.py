"""The independent reference of normalisation, lookup, attention, caches, reductions and what enlarges feature
maps: plain numpy in float64. Shares no code with what executes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwsim.arrays import BoolArray, Float64Array
from hwsim.workload.operators import (
    Append,
    Attention,
    Elementwise,
    Fold,
    Gather,
    Norm,
    Operator,
    Reduce,
    Resize,
)

KINDS = ("norm", "gather", "attention", "append", "reduce", "resize", "fold")
_DOUBLE = 2.0**-44  # of double precision with at most 2**8 roundings
_SINGLE = 2.0**-24  # one rounding to fp32
_SMALLEST = 2.0**-149  # step of the smallest fp32
Given = Mapping[str, object]

_REDUCED: Mapping[str, Callable[..., Float64Array]] = {
    "mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min,
}  # fmt: skip


def sequence(op: Operator, inputs: Sequence[Float64Array]) -> Float64Array | None:
    """The result of an operator of `workload.problems`; None for any other."""
    problem, given = op.problem, dict(op.attributes)
    if isinstance(problem, Norm):
        return normalised(problem, given, inputs)
    if isinstance(problem, Gather):
        return np.take(inputs[0], inputs[1].astype(np.int64), axis=_whole(given["axis"]))
    if isinstance(problem, Attention):
        return attended(problem, _real(given["scale"]), inputs)[0]
    if isinstance(problem, Append):
        found = inputs[0].copy()
        places = [slice(None)] * found.ndim
        axis, start = _whole(given["axis"]), _whole(given["start"])
        places[axis] = slice(start, start + inputs[1].shape[axis])
        found[tuple(places)] = inputs[1]
        return found
    if isinstance(problem, Reduce):
        axes = tuple(np.asarray(given["axes"]).tolist())
        return _REDUCED[problem.function](inputs[0], axis=axes, keepdims=True)
    if isinstance(problem, Resize):
        return resized(problem, given, inputs[0])
    if isinstance(problem, Fold):
        return folded(problem, inputs)
    return None


def normalised(problem: Norm, given: Given, inputs: Sequence[Float64Array]) -> Float64Array:
    """x less its mean over the square root of variance and epsilon, times scale, plus shift."""
    x = inputs[0]
    rows = x.reshape(problem.rows, problem.cols)
    centre = 0.0 if problem.function == "rms_norm" else rows.mean(axis=1, keepdims=True)
    spread = np.mean((rows - centre) ** 2, axis=1, keepdims=True)
    found: Float64Array = ((rows - centre) / np.sqrt(spread + _real(given["epsilon"]))).reshape(x.shape)
    for name, constant in zip(("scale", "shift"), inputs[1:], strict=False):
        shape = (-1, *[1] * (x.ndim - 2)) if problem.function == "group_norm" else constant.shape
        along = constant.reshape(shape)
        found = found * along if name == "scale" else found + along
    return found


def attended(
    problem: Attention, scale: float, inputs: Sequence[Float64Array]
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """The result, and for bounds the weights [B, H, Q, S] and scale |q| |k| of each score."""
    q = inputs[0]
    k, v = (np.repeat(x, problem.H // problem.G, axis=1) for x in inputs[1:3])
    scores = scale * (q @ np.swapaxes(k, -1, -2))
    sizes = abs(scale) * (np.abs(q) @ np.swapaxes(np.abs(k), -1, -2))
    if problem.masked:
        scores = scores + inputs[3]
        sizes = sizes + np.abs(np.nan_to_num(inputs[3], neginf=0.0))
    hidden = ~visible(problem.Q, problem.S, problem.causal, problem.window)
    scores = np.where(hidden, -np.inf, scores)
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights = powers / powers.sum(axis=-1, keepdims=True)
    return weights @ v, weights, np.where(hidden, 0.0, sizes)


def visible(queries: int, keys: int, causal: bool, window: int) -> BoolArray:
    """(queries, keys): which places a query sees; the queries are the last of them."""
    place = np.arange(keys - queries, keys)[:, None]
    key = np.arange(keys)[None, :]
    seen = np.ones((queries, keys), dtype=np.bool_)
    if causal:
        seen &= key <= place
    if window:
        seen &= np.abs(key - place) < window
    return seen


def resized(problem: Resize, given: Given, x: Float64Array) -> Float64Array:
    """One matrix for each axis: which input places each result is made of, and with which weights."""
    tall = _resampling(problem, given, problem.H, problem.P)
    wide = _resampling(problem, given, problem.W, problem.Q)
    found: Float64Array = np.einsum("ph,nchw,qw->ncpq", tall, x, wide, optimize=True)
    return found


def _resampling(problem: Resize, given: Given, size: int, results: int) -> Float64Array:
    found = np.zeros((results, size))
    for i in range(results):
        ratio = results / size
        match given["coordinates"]:
            case "asymmetric":
                place = i / ratio
            case "align_corners":
                place = i * (size - 1) / (results - 1) if results > 1 else 0.0
            case "pytorch_half_pixel":
                place = (i + 0.5) / ratio - 0.5 if results > 1 else 0.0
            case _:
                place = (i + 0.5) / ratio - 0.5
        if problem.function == "nearest":
            near = {
                "floor": np.floor(place),
                "ceil": np.ceil(place),
                "round_prefer_floor": np.ceil(place - 0.5),
                "round_prefer_ceil": np.floor(place + 0.5),
            }[str(given["nearest"])]
            found[i, int(min(max(near, 0), size - 1))] = 1.0
            continue
        below = int(np.floor(place))
        for at, weight in ((below, below + 1 - place), (below + 1, place - below)):
            found[i, min(max(at, 0), size - 1)] += weight
    return found


def folded(problem: Fold, inputs: Sequence[Float64Array]) -> Float64Array:
    """Windows added where they lie, tap by tap, over a map with its padding still on."""
    p = problem
    top, left, bottom, right = p.pad
    windows = inputs[0].reshape(p.N, p.K, p.R, p.S, p.H, p.W)
    tall = max(p.P + top + bottom, (p.H - 1) * p.stride[0] + (p.R - 1) * p.dilation[0] + 1)
    wide = max(p.Q + left + right, (p.W - 1) * p.stride[1] + (p.S - 1) * p.dilation[1] + 1)
    whole = np.zeros((p.N, p.K, tall, wide))
    for r in range(p.R):
        for s in range(p.S):
            y, z = r * p.dilation[0], s * p.dilation[1]
            rows = slice(y, y + (p.H - 1) * p.stride[0] + 1, p.stride[0])
            columns = slice(z, z + (p.W - 1) * p.stride[1] + 1, p.stride[1])
            whole[:, :, rows, columns] += windows[:, :, r, s]
    found = whole[:, :, top : top + p.P, left : left + p.Q]
    return found + inputs[1].reshape(1, -1, 1, 1) if len(inputs) > 1 else found


def rotated(given: Given, inputs: Sequence[Float64Array]) -> Float64Array:
    """Pairs of numbers as complex ones, turned by the angles."""
    x, cosine, sine = inputs
    half = x.shape[-1] // 2
    pairs = x[..., 0::2] + 1j * x[..., 1::2] if given["interleaved"] else x[..., :half] + 1j * x[..., half:]
    turned = pairs * (cosine + 1j * sine)
    found = np.empty_like(x)
    if given["interleaved"]:
        found[..., 0::2], found[..., 1::2] = turned.real, turned.imag
    else:
        found[..., :half], found[..., half:] = turned.real, turned.imag
    return found


def patches(given: Given, x: Float64Array) -> Float64Array:
    """im2col: [N, P Q, C R S], one row for each place of the result."""
    from numpy.lib.stride_tricks import sliding_window_view

    (r, s), (down, across) = np.asarray(given["kernel"]), np.asarray(given["stride"])
    (tall, wide) = np.asarray(given["dilation"])
    top, left, bottom, right = np.asarray(given["pad"])
    around = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(around, ((r - 1) * tall + 1, (s - 1) * wide + 1), axis=(2, 3))
    taken = windows[:, :, ::down, ::across, ::tall, ::wide]
    n, c, p, q, _, _ = taken.shape
    return np.ascontiguousarray(taken.transpose(0, 2, 3, 1, 4, 5)).reshape(n, p * q, c * r * s)


def is_rotary(op: Operator) -> bool:
    return isinstance(op.problem, Elementwise) and op.problem.function == "rotary"


def uncertainty(op: Operator, inputs: Sequence[Float64Array], result: Float64Array) -> Float64Array:
    """How far a machine's result may lie from `result` before it is rounded to its format: roundings of
    double precision where terms may cancel, and of fp32 in fused attention."""
    problem, given = op.problem, dict(op.attributes)
    magnitudes = [np.abs(x) for x in inputs]
    if isinstance(problem, Attention):
        return _attention_error(problem, given, inputs)
    if isinstance(problem, Gather | Append):
        return np.zeros(result.shape)
    if isinstance(problem, Norm):
        sizes = _norm_sizes(problem, given, inputs, magnitudes)
        terms = problem.cols * 2.0**-8
    elif is_rotary(op):
        x, cosine, sine = magnitudes
        ends = [np.abs(rotated(given, [x, cosine, side])) for side in (-sine, sine)]
        sizes, terms = np.maximum(*ends), 0.0
    else:
        found = sequence(op, magnitudes)
        assert found is not None
        sizes, terms = found, problem.cols * 2.0**-8 if isinstance(problem, Reduce) else 0.0
    return _DOUBLE * (1 + terms) * sizes.reshape(result.shape)


def _attention_error(problem: Attention, given: Given, inputs: Sequence[Float64Array]) -> Float64Array:
    """A score of D products is off by at most gamma(D) scale |q| |k| and one rounding to fp32; a power by the
    exponential of twice that, since the largest score is off as well; and the sums of powers and of weighted
    values by one rounding each for a block of keys and for a part that is joined, of more keys than blocks
    and parts together (Higham, "Accuracy and stability of numerical algorithms", 2nd ed., ch. 3). Near zero
    such a rounding is of half the smallest step."""
    _, weights, sizes = attended(problem, _real(given["scale"]), inputs)
    score = (_SINGLE + problem.D * 2.0**-52) * sizes
    reach = np.expm1(2 * (score + score.max(axis=-1, keepdims=True))) + (problem.S + 1) * _SINGLE
    values = np.abs(np.repeat(inputs[2], problem.H // problem.G, axis=1))
    found: Float64Array = (weights * reach) @ values + (problem.S + 1) * _SMALLEST / 2
    return found


def _norm_sizes(
    problem: Norm, given: Given, inputs: Sequence[Float64Array], magnitudes: Sequence[Float64Array]
) -> Float64Array:
    """What roundings of a normalisation are relative to: the mean is off by its share of the largest number,
    and so is what it is taken from."""
    x = inputs[0]
    rows = x.reshape(problem.rows, problem.cols)
    centre = 0.0 if problem.function == "rms_norm" else rows.mean(axis=1, keepdims=True)
    squares = np.mean((rows - centre) ** 2, axis=1, keepdims=True) + _real(given["epsilon"])
    unit = np.abs(rows).max(axis=1, keepdims=True) / np.sqrt(squares)
    sizes = np.broadcast_to(unit + unit**2, rows.shape).reshape(x.shape)
    for name, constant in zip(("scale", "shift"), magnitudes[1:], strict=False):
        shape = (-1, *[1] * (x.ndim - 2)) if problem.function == "group_norm" else constant.shape
        along = constant.reshape(shape)
        sizes = sizes * along if name == "scale" else sizes + along
    return sizes


def _whole(value: object) -> int:
    return int(str(value))


def _real(value: object) -> float:
    return float(str(value))
