"""Winograd's transforms as the activation unit executes them: in the factored form that
`WINOGRAD_OPERATIONS` counts, in double precision, on whole units where numbers are integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.functional.functions import apply_steps
from hwsim.functional.numbers import Stored
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload.operators import Operator, WinogradTransform


def execute_transform(
    op: Operator, problem: WinogradTransform, inputs: Sequence[Stored], out: Encoding, shape: Shape
) -> Array:
    """The stored result of a transform; the output's adds the bias, if there is one, and applies the fused
    functions."""
    x = inputs[0]
    units = x.values.astype(np.float64) - x.encoding.zero_point
    if problem.direction == "input":
        reals = transformed_patches(problem, units) * x.encoding.scale
    else:
        reals = put_together(problem, units) * x.encoding.scale
        if len(inputs) > 1:
            reals = reals + inputs[1].reals.reshape(1, -1, 1, 1)
    return out.store(apply_steps(op.epilogue, reals).reshape(shape))


def transformed_patches(p: WinogradTransform, x: Float64Array) -> Float64Array:
    """B^T d B of all patches: [places groups, tiles, channels of a group]."""
    high, wide, size = -(-p.P // p.tile), -(-p.Q // p.tile), p.tile + 2
    top, left, _, _ = p.pad
    # Room for the patches of tiles that hang over the edges.
    padded = np.zeros(
        (p.N, p.C, max(top + p.H, high * p.tile + 2), max(left + p.W, wide * p.tile + 2)), dtype=np.float64
    )
    padded[:, :, top : top + p.H, left : left + p.W] = x
    # One array for each place of a patch, over all tiles.
    d = [
        [padded[:, :, i : i + high * p.tile : p.tile, j : j + wide * p.tile : p.tile] for j in range(size)]
        for i in range(size)
    ]
    line = _INPUT_LINES[p.tile]
    columns = [line([d[i][j] for i in range(size)]) for j in range(size)]
    rows = [line([columns[j][i] for j in range(size)]) for i in range(size)]
    found = np.empty((size * size, p.groups, p.N * high * wide, p.C // p.groups))
    for i in range(size):
        for j in range(size):
            grouped = rows[i][j].reshape(p.N, p.groups, p.C // p.groups, high * wide)
            found[i * size + j] = grouped.transpose(1, 0, 3, 2).reshape(p.groups, -1, p.C // p.groups)
    return found.reshape(size * size * p.groups, -1, p.C // p.groups)


def put_together(p: WinogradTransform, y: Float64Array) -> Float64Array:
    """A^T y A of all tiles, put together: [N, C, P, Q]."""
    high, wide, size = -(-p.P // p.tile), -(-p.Q // p.tile), p.tile + 2
    places = y.reshape(size, size, p.groups, p.N, high, wide, p.C // p.groups)
    line = _OUTPUT_LINES[p.tile]
    columns = [line([places[i, j] for i in range(size)]) for j in range(size)]
    found = np.empty((p.N, p.groups, p.C // p.groups, high, p.tile, wide, p.tile))
    for i in range(p.tile):
        row = line([columns[j][i] for j in range(size)])
        for j in range(p.tile):
            found[:, :, :, :, i, :, j] = row[j].transpose(1, 0, 4, 2, 3)
    return found.reshape(p.N, p.C, high * p.tile, wide * p.tile)[:, :, : p.P, : p.Q]


def transformed_filters(tile: int, weights: Float64Array) -> Float64Array:
    """G g G^T of all filters [K, C, 3, 3]: [places, C, K], lines of G written out and their common parts
    formed once."""
    line = _FILTER_LINES[tile]
    columns = [line([weights[:, :, r, s] for r in range(3)]) for s in range(3)]
    size = tile + 2
    rows = [line([columns[s][i] for s in range(3)]) for i in range(size)]
    found = np.empty((size * size, weights.shape[1], weights.shape[0]))
    for i in range(size):
        for j in range(size):
            found[i * size + j] = rows[i][j].T
    return found


def _filter_line_2(g: Sequence[Float64Array]) -> list[Float64Array]:
    ends = g[0] + g[2]
    return [g[0], (ends + g[1]) / 2, (ends - g[1]) / 2, g[2]]


def _filter_line_4(g: Sequence[Float64Array]) -> list[Float64Array]:
    ends, quarter = g[0] + g[2], g[0] / 4 + g[2]
    return [
        g[0] / 4,
        -(ends + g[1]) / 6,
        -(ends - g[1]) / 6,
        (quarter + g[1] / 2) / 6,
        (quarter - g[1] / 2) / 6,
        g[2],
    ]


def _input_line_2(d: Sequence[Float64Array]) -> list[Float64Array]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _output_line_2(m: Sequence[Float64Array]) -> list[Float64Array]:
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _input_line_4(d: Sequence[Float64Array]) -> list[Float64Array]:
    even, odd = d[4] - 4 * d[2], d[3] - 4 * d[1]
    near, far = d[4] - d[2], d[3] - d[1]
    return [
        4 * d[0] - 5 * d[2] + d[4],
        even + odd,
        even - odd,
        near + 2 * far,
        near - 2 * far,
        4 * d[1] - 5 * d[3] + d[5],
    ]


def _output_line_4(m: Sequence[Float64Array]) -> list[Float64Array]:
    one, minus_one = m[1] + m[2], m[1] - m[2]
    two, minus_two = m[3] + m[4], m[3] - m[4]
    return [m[0] + one + two, minus_one + 2 * minus_two, one + 4 * two, minus_one + 8 * minus_two + m[5]]


_INPUT_LINES = {2: _input_line_2, 4: _input_line_4}
_OUTPUT_LINES = {2: _output_line_2, 4: _output_line_4}
_FILTER_LINES = {2: _filter_line_2, 4: _filter_line_4}
