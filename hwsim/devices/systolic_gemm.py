"""Matrix products on a systolic array: lowering, candidate mappings, and the demands of their tiles.

Weight-stationary (ws): a tile_k x tile_n block of weights sits in the array while tile_m rows of activations
pass. Input-stationary (is): a tile_k x tile_m block of activations sits while tile_n rows of weights pass.
Output-stationary (os): tile_m x tile_n sums sit while tile_k steps of both pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Int64Array
from hwsim.devices.vector_work import result_operations
from hwsim.errors import CapacityError
from hwsim.plan.mapping import GemmMapping
from hwsim.plan.residency import Operand, Residency
from hwsim.plan.tiling import TileKinds, tile_kinds
from hwsim.tensor.formats import format_bits
from hwsim.units import format_bytes
from hwsim.workload.operators import Conv2d, Matmul, Operator


@dataclass(frozen=True, slots=True)
class Gemm:
    """A conv2d (by im2col) or matmul as `batch` products of m x k by k x n, with what feeds them."""

    batch: int
    m: int
    n: int
    k: int
    a: Operand  # streams from the unified buffer
    b: Operand  # weights, or a second activation
    output: Operand
    a_bits: int
    b_bits: int
    output_bits: int
    operations: int  # of the activation unit for one result
    conv: Conv2d | None = None

    @property
    def compulsory_input_bytes(self) -> int:
        """Bytes of `a` that must be read at least once: feature-map rows no window touches are left out."""
        conv = self.conv
        if conv is None:
            return self.a.size_bytes
        high = _touched(conv.H, conv.P, conv.R, conv.stride[0], conv.dilation[0])
        wide = _touched(conv.W, conv.Q, conv.S, conv.stride[1], conv.dilation[1])
        return conv.N * high * wide * conv.C * self.a_bits // 8

    def input_bytes(self, rows: int, step: int, packed: int = 1) -> int:
        """Bytes of `a` that a tile of `rows` rows of the product needs at most, when tiles begin every
        `step` rows: for a convolution the raw feature-map rows under them with the halo, not their im2col
        copies."""
        conv = self.conv
        if conv is None:
            return -(-rows * self.k * self.a_bits // 8)
        channels = conv.C // conv.groups * packed
        return -(-_elements(conv, rows, step) * channels * self.a_bits // 8)


def _touched(size: int, outputs: int, window: int, stride: int, dilation: int) -> int:
    """Of `size` rows or columns of a map, those that some window touches, padding not counted off."""
    span = (window - 1) * dilation + 1
    return min(size, outputs * span if span < stride else (outputs - 1) * stride + span)


def _elements(conv: Conv2d, rows: int, step: int) -> int:
    """Elements of one channel's maps under `rows` consecutive outputs at most, when tiles begin every `step`
    outputs. A tile that divides an output row reads only the columns under it; others read whole rows. Tiles
    that do not begin with an output row reach into one more, and those that cross an image's end need two
    halos."""
    window = (conv.R - 1) * conv.dilation[0] + 1
    if rows < conv.Q and conv.Q % step == 0:
        return min(conv.H, window) * min(
            conv.W, (rows - 1) * conv.stride[1] + (conv.S - 1) * conv.dilation[1] + 1
        )
    whole = step % conv.Q == 0 or rows == conv.N * conv.P * conv.Q
    out_rows = -(-rows // conv.Q) if whole else (rows + conv.Q - 2) // conv.Q + 1
    images, rest = divmod(min(out_rows, conv.N * conv.P), conv.P)
    lines = images * conv.H + (min(conv.H, (rest - 1) * conv.stride[0] + window) if rest else 0)
    if out_rows > 1 and step % (conv.P * conv.Q) and rows < conv.N * conv.P * conv.Q and conv.N > 1:
        lines += max(0, window - conv.stride[0])
    return min(lines, conv.N * conv.H) * conv.W


def lower(operator: Operator, residency: Residency) -> Gemm:
    """The matrix products behind an operator: M = N P Q, N = K / groups, K = C / groups R S for conv2d."""
    a, b, out = residency.operands[0], residency.operands[1], residency.output
    bits = format_bits(a.dtype), format_bits(b.dtype), format_bits(out.dtype)
    widths = (*bits, result_operations(operator))
    problem = operator.problem
    if isinstance(problem, Conv2d):
        g = problem.groups
        m, n = problem.N * problem.P * problem.Q, problem.K // g
        return Gemm(g, m, n, problem.C // g * problem.R * problem.S, a, b, out, *widths, conv=problem)
    assert isinstance(problem, Matmul)
    return Gemm(problem.B, problem.M, problem.N, problem.K, a, b, out, *widths)


@dataclass(frozen=True, slots=True)
class ArrayShape:
    """What of the array decides mappings: its size, dataflow, and the accumulator rows of one bank."""

    rows: int
    cols: int
    dataflow: str
    bank_rows: int | None
    group_packing: bool


def mappings(gemm: Gemm, array: ArrayShape, stream_bytes: int | None) -> Iterator[GemmMapping]:
    """Candidate mappings: both loop orders, with and without packing groups as diagonal blocks."""
    packs = {1}
    if array.group_packing and gemm.batch > 1 and gemm.conv is not None:
        k_room = array.rows // gemm.k if array.dataflow != "os" else gemm.batch
        n_room = array.cols // gemm.n if array.dataflow != "is" else gemm.batch
        packs.add(max(1, min(gemm.batch, k_room, n_room)))
    for packed in sorted(packs):
        batch, n, k = -(-gemm.batch // packed), gemm.n * packed, gemm.k * packed
        if array.dataflow == "os":
            tile_m, tile_n, tile_k = min(array.rows, array.bank_rows or array.rows), array.cols, k
        elif array.dataflow == "ws":
            tile_m, tile_n, tile_k = array.bank_rows or gemm.m, array.cols, array.rows
        else:
            tile_m, tile_n, tile_k = array.cols, array.bank_rows or n, array.rows
        limits = min(tile_m, gemm.m), min(tile_n, n)
        for rows, cols in _fitting(gemm, *limits, packed, stream_bytes, array.dataflow == "is"):
            # With one tile along m or n, both orders are the same tiles one after the other.
            orders = ("mn", "nm") if rows < gemm.m and cols < n else ("mn",)
            for order in orders:
                yield GemmMapping(batch, gemm.m, n, k, rows, cols, min(tile_k, k), order, packed)


def _fitting(
    gemm: Gemm, rows: int, cols: int, packed: int, stream_bytes: int | None, narrower: bool
) -> Iterator[tuple[int, int]]:
    """Extents of a tile, up to rows x cols, whose streamed input and output fit twice in the buffer: fewer
    rows, or, where that is free to choose (`narrower`), fewer columns."""

    def fits(rows: int, cols: int) -> bool:
        return stream_bytes is None or _streamed_bytes(gemm, rows, cols, packed) <= stream_bytes

    least = 1 if narrower else cols
    if stream_bytes is not None and not fits(1, least):
        raise CapacityError(
            f"one row of tiles needs {format_bytes(_streamed_bytes(gemm, 1, least, packed))} of streaming "
            f"buffer (double-buffered), and {format_bytes(stream_bytes)} of the unified buffer are left for "
            "it: use a larger unified_buffer"
        )
    line = gemm.conv.Q if gemm.conv is not None else 1
    if fits(1, cols):
        full = rows if fits(rows, cols) else _most(rows, lambda some: fits(some, cols))
        # Of a map in memory, whole lines are read without overlap; more rows may fill the array better.
        aligned = full if gemm.a.place == "chip" else _most_rows(rows, line, lambda some: fits(some, cols))
        yield from ((some, cols) for some in dict.fromkeys((aligned, full)))
    if narrower and not fits(rows, cols):
        most = _most_rows(rows, line, lambda some: fits(some, 1))
        yield most, _most(cols, lambda some: fits(most, some))


def _streamed_bytes(gemm: Gemm, rows: int, cols: int, packed: int) -> int:
    """Room for two tiles' spilled input and output."""
    read = gemm.input_bytes(rows, rows, packed) if gemm.a.place != "chip" else 0
    written = -(-rows * cols * gemm.output_bits // 8) if gemm.output.place == "memory" else 0
    return 2 * (read + written)


def _most_rows(limit: int, line: int, fits: Callable[[int], bool]) -> int:
    """The most rows that fit, in whole lines of the output where one fits, else an even share of a line:
    others would read rows twice."""
    if line <= limit and fits(line):
        return line * _most(limit // line, lambda lines: fits(lines * line))
    return max(
        (rows for rows in range(1, min(limit, line) + 1) if line % rows == 0 and fits(rows)), default=1
    )


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `limit` that fits; 1 does."""
    low, high = 1, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


@dataclass(frozen=True, eq=False)
class GemmTiles:
    """What the tiles of a mapping move, by kind: the facts that demands and actions are made of."""

    kinds: TileKinds
    weight_bytes: Int64Array  # fetched for this tile (0: what the array holds is used again)
    load_bytes: Int64Array  # streamed activations, whole depth of a row block at its first tile
    store_bytes: Int64Array
    fresh: NDArray[np.bool_]  # a new stationary block is shifted in (os: new weights)
    spent: NDArray[np.bool_]  # the stationary block is used for the last time
    multiplications: Int64Array


def tiles_of(gemm: Gemm, mapping: GemmMapping, dataflow: str) -> GemmTiles:
    """Bytes and multiplications of every tile kind. Weights that the array holds are fetched when the (k, n)
    block changes; those that only stream through it (os, is) are held nowhere and come anew for each tile."""
    t = tile_kinds(mapping)
    single_k = mapping.tile_k >= mapping.k
    always = np.ones(len(t.m), dtype=np.bool_)
    fresh, spent = always, always
    if dataflow != "os":
        fresh, spent = _reuse(t, mapping, "n" if dataflow == "ws" else "m", single_k)
    weights_new = fresh if dataflow == "ws" else always
    blocks = t.k * t.n * gemm.b_bits
    weight_bytes = np.where(weights_new, -(-blocks // 8), 0)
    rows = np.array([gemm.input_bytes(int(m), mapping.tile_m, mapping.packed) for m in t.m], dtype=np.int64)
    loads = t.first_k & (t.first_n if mapping.order == "mn" or mapping.tile_m >= mapping.m else True)
    load_bytes = np.where(loads, rows, 0) if gemm.a.place != "chip" else np.zeros_like(rows)
    stores = -(-t.m * t.n * gemm.output_bits // 8)
    store_bytes = np.where(t.last_k, stores, 0) if gemm.output.place == "memory" else np.zeros_like(stores)
    return GemmTiles(t, weight_bytes, load_bytes, store_bytes, fresh, spent, t.m * t.n * t.k)


def _reuse(
    t: TileKinds, mapping: GemmMapping, along: str, single_k: bool
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the block along (k, `along`) is new and where it is used last. It stays for as long as neither
    index changes: over the other loop if that is the inner one and k has one tile, or for good."""
    other = "m" if along == "n" else "n"
    first = {"m": t.first_m, "n": t.first_n}
    last = {"m": t.last_m, "n": t.last_n}
    if not single_k:
        always = np.ones(len(t.m), dtype=np.bool_)
        return always, always
    if mapping.order[1] == other:  # the other loop runs inside
        return first[other], last[other]
    only = (mapping.n <= mapping.tile_n) if along == "n" else (mapping.m <= mapping.tile_m)
    if only:
        return first[other], last[other]
    always = np.ones(len(t.m), dtype=np.bool_)
    return always, always
