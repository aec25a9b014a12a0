"""Products as a matrix times vectors: how weights lie in the matrix and windows of a feature map in the
vectors.

A convolution becomes one matrix-vector product for each position of its output: the columns of the matrix are
the taps (channel, row, column) of a window, and the vector is the window. It is the rule that the EIE paper
gives for 1 x 1 convolutions, section 7.4, applied to each tap of a window; groups are blocks on the matrix's
diagonal.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from hwsim.tensor.tensor import Array
from hwsim.workload.operators import Conv2d, Matmul

_CHUNK = 2**25  # elements of windows looked at together


def matrix_rows(problem: Conv2d | Matmul, transposed: bool, weights: Array) -> Array:
    """Weights as [outputs, inputs] of one matrix-vector product; `transposed`: a matmul's lie so already."""
    if isinstance(problem, Matmul):
        if transposed:
            return weights.reshape(problem.N, problem.K)
        return weights.reshape(problem.K, problem.N).T
    flat = weights.reshape(problem.K, -1)
    if problem.groups == 1:
        return flat
    outputs, inputs = problem.K // problem.groups, flat.shape[1]
    found = np.zeros((problem.K, problem.groups * inputs), dtype=weights.dtype)
    for group in range(problem.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        found[rows, group * inputs : (group + 1) * inputs] = flat[rows]
    return found


def value_groups(weights: Array, values: int) -> tuple[int, Array]:
    """How many groups of at most so many different values beside zero a matrix falls into, and the group of
    each weight, from 1; 0 is zero."""
    there = weights != 0
    kept = weights[there]
    distinct = np.unique(kept)
    groups = max(1, -(-len(distinct) // values))
    found = np.zeros(weights.shape, dtype=np.min_scalar_type(groups))
    found[there] = np.searchsorted(distinct, kept) // values + 1
    return groups, found


def vector_count(problem: Conv2d | Matmul) -> int:
    """Matrix-vector products of an operator."""
    return problem.N * problem.P * problem.Q if isinstance(problem, Conv2d) else problem.B * problem.M


def vector_bytes(problem: Conv2d | Matmul, size_bytes: int, room_bytes: int | None) -> int:
    """Bytes that come in for one vector where the first operand, of so many bytes, lies outside. A byte of a
    feature map comes once if the room (None: no limit) holds as many of its lines as a window is high; else
    all lines of a window come anew for each line of the output; and where not even a window has room, each
    comes whole."""
    each = -(-size_bytes // vector_count(problem))
    if isinstance(problem, Matmul) or room_bytes is None:
        return each
    element = -(-size_bytes // (problem.N * problem.C * problem.H * problem.W))
    line, span = problem.C * problem.W * element, (problem.R - 1) * problem.dilation[0] + 1
    window = problem.C * problem.R * problem.S * element
    if span * line <= room_bytes:
        return each
    if window <= room_bytes:
        return max(each, -(-problem.R * line // problem.Q))
    return max(each, window)


def vectors(problem: Conv2d | Matmul, first: Array) -> Iterator[Array]:
    """The first operand as [vectors, inputs], in parts of bearable size: rows of a matmul, windows of a
    convolution with zeros around the feature map."""
    if isinstance(problem, Matmul):
        yield first.reshape(-1, problem.K)
        return
    top, left, bottom, right = problem.pad
    # A last window that was rounded up hangs over the padding.
    high = (problem.P - 1) * problem.stride[0] + (problem.R - 1) * problem.dilation[0] + 1
    wide = (problem.Q - 1) * problem.stride[1] + (problem.S - 1) * problem.dilation[1] + 1
    bottom, right = max(bottom, high - top - problem.H), max(right, wide - left - problem.W)
    padded = np.pad(first, ((0, 0), (0, 0), (top, bottom), (left, right)))
    rows = np.arange(problem.P) * problem.stride[0]
    down = np.arange(problem.R) * problem.dilation[0]
    columns = np.arange(problem.Q) * problem.stride[1]
    across = np.arange(problem.S) * problem.dilation[1]
    inputs = problem.C * problem.R * problem.S
    step = max(1, _CHUNK // max(1, inputs * problem.Q))
    for image in padded:
        for begin, end in pairwise([*range(0, problem.P, step), problem.P]):
            window = image[
                :,
                (rows[begin:end, None] + down)[:, None, :, None],
                (columns[:, None] + across)[None, :, None, :],
            ]
            yield window.transpose(1, 2, 0, 3, 4).reshape(-1, inputs)
