"""The independent reference of Winograd's transforms: the matrices as published, in float64. M X M^T of a
patch X is one product of the Kronecker square of M with the elements of X in a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.workload.operators import Conv2d, WinogradTransform
from hwsim.workload.winograd import FILTER, INPUT, OUTPUT


def transform(problem: WinogradTransform, x: Float64Array) -> Float64Array:
    """B^T d B of every patch, or A^T y A of every tile, in the layout that `WinogradTransform` states. Whole
    numbers stay exact."""
    if problem.direction == "input":
        return _input(problem, x, INPUT[problem.tile])
    return _output(problem, x, OUTPUT[problem.tile])


def sizes(problem: WinogradTransform, x: Float64Array) -> Float64Array:
    """The same with all terms positive: what their roundings are measured by."""
    if problem.direction == "input":
        return _input(problem, np.abs(x), np.abs(INPUT[problem.tile]))
    return _output(problem, np.abs(x), np.abs(OUTPUT[problem.tile]))


def product_sizes(conv: Conv2d, tile: int, x: Float64Array, weights: Float64Array) -> Float64Array:
    """A whole convolution by F(tile x tile, 3 x 3) with all terms of all its parts positive, [N, K, P, Q]."""

    def part(direction: str, channels: int) -> WinogradTransform:
        return WinogradTransform(
            direction, tile, conv.N, channels, conv.H, conv.W, conv.P, conv.Q, pad=conv.pad
        )

    g = np.abs(FILTER[tile])
    filters = np.kron(g, g) @ np.abs(weights).reshape(conv.K * conv.C, 9).T
    by_place = filters.reshape(-1, conv.K, conv.C).transpose(0, 2, 1)
    return sizes(part("output", conv.K), sizes(part("input", conv.C), x) @ by_place)


def with_bias(problem: WinogradTransform, inputs: Sequence[Float64Array]) -> Float64Array:
    """A transform of reals, and the bias behind it where there is one."""
    found = transform(problem, inputs[0])
    return found if len(inputs) == 1 else found + inputs[1].reshape(1, -1, 1, 1)


def _input(p: WinogradTransform, x: Float64Array, matrix: Float64Array) -> Float64Array:
    m = p.tile
    top, left, _, _ = p.pad
    tall, broad = (-(-count // m) * m + 2 for count in (p.P, p.Q))
    below, beside = max(0, tall - top - p.H), max(0, broad - left - p.W)
    around = np.pad(x, ((0, 0), (0, 0), (top, below), (left, beside)))
    seen = np.lib.stride_tricks.sliding_window_view(around, (m + 2, m + 2), axis=(2, 3))
    patches = seen[:, :, : tall - 2 : m, : broad - 2 : m]
    n, _, high, wide, *_ = patches.shape
    grouped = patches.reshape(n, p.groups, p.C // p.groups, high, wide, m + 2, m + 2)
    rows = grouped.transpose(5, 6, 1, 0, 3, 4, 2).reshape((m + 2) ** 2, -1)
    found: Float64Array = np.kron(matrix, matrix) @ rows
    return found.reshape((m + 2) ** 2 * p.groups, n * high * wide, p.C // p.groups)


def _output(p: WinogradTransform, y: Float64Array, matrix: Float64Array) -> Float64Array:
    m = p.tile
    high, wide = -(-p.P // m), -(-p.Q // m)
    rows = np.kron(matrix, matrix) @ y.reshape((m + 2) ** 2, -1)
    tiles = rows.reshape(m, m, p.groups, p.N, high, wide, p.C // p.groups).transpose(3, 2, 6, 4, 0, 5, 1)
    return tiles.reshape(p.N, p.C, high * m, wide * m)[:, :, : p.P, : p.Q]
