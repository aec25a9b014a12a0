"""Operators of sequence networks, and those that enlarge feature maps, as a machine executes them.

Lookups, caches and resampling to the nearest place copy stored numbers; the rest works on what they stand
for, in double precision, and is rounded once. Fused attention goes through blocks of keys, with scores and
running sums in fp32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.functional.attention_tiles import attended
from hwsim.functional.numbers import Stored
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import (
    Append,
    Attention,
    Fold,
    Gather,
    Move,
    Norm,
    Operator,
    Reduce,
    Resize,
)

_REDUCE_CODES = {"mean": 0, "sum": 1, "max": 2, "min": 3}
Given = Mapping[str, object]


def only_copies(op: Operator) -> bool:
    """Whether an operator moves elements and changes none."""
    nearest = isinstance(op.problem, Resize) and op.problem.function == "nearest"
    return nearest or isinstance(op.problem, Gather | Append | Move)


def copied(op: Operator, inputs: Sequence[Stored], out: Encoding) -> Array | None:
    """The stored result of an operator that moves elements and changes none; None for any other."""
    problem, given = op.problem, dict(op.attributes)
    if isinstance(problem, Gather):
        axis = _whole(given["axis"])
        return np.take(_stored_as(inputs[0], out), inputs[1].values.astype(np.int64), axis=axis)
    if isinstance(problem, Append):
        found = _stored_as(inputs[0], out).copy()
        axis, start = _whole(given["axis"]), _whole(given["start"])
        at = np.moveaxis(found, axis, 0)
        new = np.moveaxis(_stored_as(inputs[1], out), axis, 0)
        at[start : start + len(new)] = new
        return found
    if isinstance(problem, Resize) and problem.function == "nearest":
        rows, _ = sources(problem, given, problem.H, problem.P)
        columns, _ = sources(problem, given, problem.W, problem.Q)
        return _stored_as(inputs[0], out)[:, :, rows[:, 0]][:, :, :, columns[:, 0]]
    return None


def _stored_as(x: Stored, out: Encoding) -> Array:
    return x.values if x.encoding == out else out.store(x.reals)


def computed(op: Operator, inputs: Sequence[Stored]) -> Float64Array | None:
    """The reals of an operator's result before they are rounded; None for one that is not of these."""
    from hwsim.kernels import sequence_unit as kernels

    problem, given = op.problem, dict(op.attributes)
    if isinstance(problem, Norm):
        return _normalised(problem, given, inputs)
    if isinstance(problem, Attention):
        return attended(op, problem, inputs)
    if isinstance(problem, Reduce):
        axes = np.asarray(given["axes"]).tolist()
        x = inputs[0].reals
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        rows = np.ascontiguousarray(x.transpose(*kept, *axes)).reshape(problem.rows, problem.cols)
        found = np.empty(problem.rows)
        kernels.reduce_rows(rows, found, _REDUCE_CODES[problem.function])
        return found
    if isinstance(problem, Resize):
        x = np.ascontiguousarray(inputs[0].reals).reshape(-1, problem.H, problem.W)
        found = np.empty((len(x), problem.P, problem.Q))
        tall, wide = (
            sources(problem, given, *sizes) for sizes in ((problem.H, problem.P), (problem.W, problem.Q))
        )
        kernels.resample(x, found, *tall, *wide)
        return found
    if isinstance(problem, Fold):
        p = problem
        windows = np.ascontiguousarray(inputs[0].reals).reshape(p.N * p.K, p.R, p.S, p.H, p.W)
        found = np.empty((p.N * p.K, p.P, p.Q))
        kernels.fold_windows(windows, found, p.stride, p.pad[:2], p.dilation)
        bias = inputs[1].reals.reshape(-1, 1, 1) if len(inputs) > 1 else 0.0
        return found.reshape(p.N, p.K, p.P, p.Q) + bias
    return None


def _normalised(problem: Norm, given: Given, inputs: Sequence[Stored]) -> Float64Array:
    from hwsim.kernels.sequence_unit import normalise_rows

    x = np.array(inputs[0].reals, order="C")
    rows = x.reshape(problem.rows, problem.cols)
    normalise_rows(rows, problem.function != "rms_norm", _real(given["epsilon"]))
    found = rows.reshape(x.shape)
    for index, constant in enumerate(inputs[1:]):
        values = constant.reals
        if problem.function == "group_norm":
            values = values.reshape(-1, *[1] * (x.ndim - 2))
        found = found + values if index else found * values
    return found


def masked_scores(op: Operator, inputs: Sequence[Stored]) -> Float64Array:
    """What a softmax works on: its operand scaled, with the mask added, and minus infinity at what its rows
    do not see."""
    from hwsim.kernels.sequence_unit import mask_rows

    given = dict(op.attributes)
    x = np.array(inputs[0].reals, order="C") * _real(given.get("scale", 1.0))
    if len(inputs) > 1:
        x = x + inputs[1].reals
    causal, window = bool(given.get("causal", False)), _whole(given.get("window", 0))
    if causal or window:
        mask_rows(x.reshape(-1, x.shape[-1]), _whole(given["queries"]), causal, window)
    return x


def rotated(op: Operator, inputs: Sequence[Float64Array]) -> Float64Array:
    """A rotary embedding of the first operand."""
    from hwsim.kernels.sequence_unit import rotate_rows

    x = np.array(inputs[0], order="C")
    cosine, sine = (np.ascontiguousarray(angles) for angles in inputs[1:])
    rotate_rows(x.reshape(-1, *x.shape[-2:]), cosine, sine, bool(dict(op.attributes)["interleaved"]))
    return x


def patches(op: Operator, x: Array, zero: Array) -> Array:
    """im2col of stored elements: [N, P Q, C R S]; `zero` is what lies around the map."""
    given = {name: np.asarray(value).tolist() for name, value in op.attributes}
    (r, s), (down, across), (tall, wide) = given["kernel"], given["stride"], given["dilation"]
    top, left, bottom, right = given["pad"]
    n, c, h, w = x.shape
    rows = (h + top + bottom - (r - 1) * tall - 1) // down + 1
    columns = (w + left + right - (s - 1) * wide - 1) // across + 1
    found = np.full((n, rows, columns, c, r, s), zero, dtype=x.dtype)
    for i in range(r):
        for j in range(s):
            y = np.arange(rows) * down - top + i * tall
            z = np.arange(columns) * across - left + j * wide
            inside_y, inside_z = (y >= 0) & (y < h), (z >= 0) & (z < w)
            taken = x[:, :, y[inside_y]][:, :, :, z[inside_z]].transpose(0, 2, 3, 1)
            part = found[:, :, :, :, i, j]
            places = (np.arange(n), np.flatnonzero(inside_y), np.flatnonzero(inside_z), np.arange(c))
            part[np.ix_(*places)] = taken
    return found.reshape(n, rows * columns, c * r * s)


def sources(problem: Resize, given: Given, size: int, results: int) -> tuple[Int64Array, Float64Array]:
    """(results, taps) input places of each result along one axis, and their shares."""
    i = np.arange(results, dtype=np.float64)
    step = size / results
    place = (i + 0.5) * step - 0.5
    if given["coordinates"] == "asymmetric":
        place = i * step
    elif given["coordinates"] == "align_corners":
        place = i * ((size - 1) / max(results - 1, 1))
    elif given["coordinates"] == "pytorch_half_pixel" and results == 1:
        place = np.zeros(1)
    if problem.function == "nearest":
        middle = place - np.floor(place)
        up = {
            "floor": np.zeros(results, dtype=np.bool_),
            "ceil": middle > 0,
            "round_prefer_floor": middle > 1 / 2,
            "round_prefer_ceil": middle >= 1 / 2,
        }[str(given["nearest"])]
        found = np.clip(np.floor(place) + up, 0, size - 1).astype(np.int64)
        return found[:, None], np.ones((results, 1))
    share = place - np.floor(place)
    both = np.stack([np.floor(place), np.floor(place) + 1], axis=1)
    return np.clip(both, 0, size - 1).astype(np.int64), np.stack([1 - share, share], axis=1)


def _whole(value: object) -> int:
    return int(str(value))


def _real(value: object) -> float:
    found = float(str(value))
    assert math.isfinite(found)
    return found
