"""Operators of sequence networks in machine code, in double precision but where they say otherwise."""

from __future__ import annotations

import math

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.kernels.compile import compiled_in_place, inlined


@compiled_in_place
def normalise_rows(x: Float64Array, centred: bool, epsilon: float) -> None:
    """Each row of x (rows, columns) in place: less its mean where `centred`, over the square root of the mean
    of squares and epsilon."""
    for i in range(x.shape[0]):
        centre = 0.0
        if centred:
            for j in range(x.shape[1]):
                centre += x[i, j]
            centre /= x.shape[1]
        squares = 0.0
        for j in range(x.shape[1]):
            x[i, j] -= centre
            squares += x[i, j] * x[i, j]
        factor = 1.0 / math.sqrt(squares / x.shape[1] + epsilon)
        for j in range(x.shape[1]):
            x[i, j] *= factor


@inlined
def _hidden(key: int, place: int, causal: bool, window: int) -> bool:
    """Whether a query at `place` does not see `key`."""
    return (causal and key > place) or (window > 0 and (key - place >= window or place - key >= window))


@compiled_in_place
def mask_rows(x: Float64Array, queries: int, causal: bool, window: int) -> None:
    """Minus infinity at places of x (rows, keys) that row i, which is query i mod `queries`, does not see."""
    keys = x.shape[1]
    for i in range(x.shape[0]):
        place = keys - queries + i % queries
        for j in range(keys):
            if _hidden(j, place, causal, window):
                x[i, j] = -math.inf


@compiled_in_place
def reduce_rows(x: Float64Array, out: Float64Array, code: int) -> None:
    """out (rows,) from x (rows, columns): 0 mean, 1 sum, 2 max, 3 min."""
    for i in range(x.shape[0]):
        found = x[i, 0]
        for j in range(1, x.shape[1]):
            if code <= 1:
                found += x[i, j]
            elif code == 2:
                found = max(found, x[i, j])
            else:
                found = min(found, x[i, j])
        out[i] = found / x.shape[1] if code == 0 else found


@compiled_in_place
def resample(
    x: Float64Array,
    out: Float64Array,
    rows: Int64Array,
    row_shares: Float64Array,
    columns: Int64Array,
    column_shares: Float64Array,
) -> None:
    """out (maps, P, Q) from x (maps, H, W): each result from the input at rows[p, i] and columns[q, j], with
    the product of their shares."""
    for n in range(out.shape[0]):
        for p in range(out.shape[1]):
            for q in range(out.shape[2]):
                total = 0.0
                for i in range(rows.shape[1]):
                    for j in range(columns.shape[1]):
                        share = row_shares[p, i] * column_shares[q, j]
                        total += share * x[n, rows[p, i], columns[q, j]]
                out[n, p, q] = total


@compiled_in_place
def fold_windows(
    x: Float64Array,
    out: Float64Array,
    stride: tuple[int, int],
    pad: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    """out (maps, P, Q) from windows x (maps, R, S, H, W): each result gathers the windows that reach it."""
    for n in range(out.shape[0]):
        for p in range(out.shape[1]):
            for q in range(out.shape[2]):
                total = 0.0
                for r in range(x.shape[1]):
                    down = p + pad[0] - r * dilation[0]
                    if down % stride[0] != 0 or not 0 <= down // stride[0] < x.shape[3]:
                        continue
                    for s in range(x.shape[2]):
                        across = q + pad[1] - s * dilation[1]
                        if across % stride[1] == 0 and 0 <= across // stride[1] < x.shape[4]:
                            total += x[n, r, s, down // stride[0], across // stride[1]]
                out[n, p, q] = total


@compiled_in_place
def rotate_rows(x: Float64Array, cosine: Float64Array, sine: Float64Array, interleaved: bool) -> None:
    """x (heads, places, D) in place: number i of the first half of each row turned with number i of the
    second, or 2 i with 2 i + 1, by the angle of (place, i)."""
    half = x.shape[2] // 2
    for n in range(x.shape[0]):
        for place in range(x.shape[1]):
            for i in range(half):
                a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + half)
                first, second = x[n, place, a], x[n, place, b]
                c, s = cosine[place, i], sine[place, i]
                x[n, place, a] = first * c - second * s
                x[n, place, b] = first * s + second * c


@compiled_in_place
def attend(
    q: Float64Array,
    k: Float64Array,
    v: Float64Array,
    mask: Float64Array,
    boxes: Int64Array,
    most: Float64Array,
    total: Float64Array,
    sums: Float64Array,
    scores: Float64Array,
    scale: float,
    places: tuple[int, int],
    causal: bool,
    window: int,
) -> None:
    """What a fused kernel finds for the rows q (heads, rows, D) with keys k (groups, S, D), values v (groups,
    S, V) and a mask (heads, rows, S) or of no elements: of each box (part, head, first row and the one behind
    the last, first key and the one behind the last), in blocks of as many keys as there is room for in
    `scores`, the largest score and the sum of powers (parts, heads, rows), and the weighted values (parts,
    heads, rows, V). Scores and sums are rounded to fp32. Row i stands at place places[0] + i places[1]."""
    size, values, block = q.shape[2], v.shape[2], len(scores)
    group = q.shape[0] // k.shape[0]
    for n in range(boxes.shape[0]):
        part, h, begin, end, low, high = (
            boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3], boxes[n, 4], boxes[n, 5],
        )  # fmt: skip
        g = h // group
        for i in range(begin, end):
            place = places[0] + i * places[1]
            most[part, h, i], total[part, h, i] = -math.inf, 0.0
            sums[part, h, i, :] = 0.0
            for first in range(low, high, block):
                last = min(first + block, high)
                peak = most[part, h, i]
                for j in range(first, last):
                    score = -math.inf
                    if not _hidden(j, place, causal, window):
                        score = 0.0
                        for d in range(size):
                            score += q[h, i, d] * k[g, j, d]
                        score = float(np.float32(score)) * scale
                        if mask.size:
                            score += mask[h, i, j]
                    scores[j - first] = score
                    peak = max(peak, score)
                if peak == -math.inf:
                    continue
                kept = math.exp(most[part, h, i] - peak)
                powers = total[part, h, i] * kept
                for e in range(values):
                    sums[part, h, i, e] *= kept
                for j in range(first, last):
                    power = math.exp(scores[j - first] - peak)
                    powers += power
                    for e in range(values):
                        sums[part, h, i, e] += power * v[g, j, e]
                most[part, h, i], total[part, h, i] = peak, np.float32(powers)
                for e in range(values):
                    sums[part, h, i, e] = np.float32(sums[part, h, i, e])
