"""Products as the array computes them: tile by tile along a TileWalk, in the machine's own numbers.

The array multiplies stored numbers, zero points and all. With a zero point z of the activations and y of a
column's weights, what the sum of K products should be is

    sum (a - z)(b - y) = sum a b - y sum a - z sum b + K z y,

so three terms are added to it on its way out: the column sums of weights are known beforehand, and the row
sums of activations are formed beside the array.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwsim.arrays import Float64Array, Uint8Array
from hwsim.functional.approximate import look_up
from hwsim.functional.approximation import tabled
from hwsim.functional.functions import apply_steps
from hwsim.functional.numbers import Drain, Stored, split_steps
from hwsim.functional.walk import NOTHING, TileWalk
from hwsim.plan.mapping import GemmMapping
from hwsim.tensor.encoding import ROUNDINGS, Encoding
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload.operators import Conv2d, Matmul, Operator

Compute = np.float32 | np.float64
CACHED_BYTES = 2**28  # of gathered rows, kept for the tiles that use them again
ARBITRARY = 0x5A5A5A  # what accumulators hold that nobody cleared
EXACT_BITS = {np.float32: 24, np.float64: 53}  # whole numbers up to 2**bits are exact


@dataclass(frozen=True, eq=False)
class Executed:
    """What came out: stored elements in the shape of the output tensor, and for each of them how many times
    it was written."""

    values: Array
    written: Uint8Array


@dataclass(eq=False)
class ProductRun:
    """One conv2d or matmul on the array. `bias` is one number a column ([1] or [columns of all batches]):
    whole units of the sums for integers, reals for floats. `accumulator_bits` is the width of a sum of
    integers."""

    op: Operator
    mapping: GemmMapping
    a: Stored
    b: Stored
    out: Encoding
    bias: Array
    drain: Drain | None  # of integers
    accumulator_bits: int
    _rows: OrderedDict[tuple[int, ...], Array] = field(default_factory=OrderedDict, init=False)
    _rows_bytes: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.compute: type[Any] = self._compute_type()
        problem = self.op.problem
        self._conv = problem if isinstance(problem, Conv2d) else None
        if self._conv is not None:
            top, left, bottom, right = self._conv.pad
            self._left = self._padded((top, bottom), (left, right))
            c = self._conv
            self._right = self.b.values.reshape(c.groups, c.K // c.groups, -1)  # [G, N, K]
        else:
            assert isinstance(problem, Matmul)
            self._left, self._right = matrices(self.op, problem, self.a.values, self.b.values)
        self._corrected = self.drain is not None and (
            self.a.encoding.zero_point != 0 or bool(self.b.encoding.zero_points.any())
        )

    def _compute_type(self) -> type[Any]:
        """fp32 multiplies and adds whole numbers exactly up to 2**24, and is twice as fast as fp64."""
        if self.drain is None:
            return np.float32
        most = max(map(abs, self.a.encoding.limits)) * max(map(abs, self.b.encoding.limits))
        return np.float32 if most * self.mapping.tile_k <= 2 ** EXACT_BITS[np.float32] else np.float64

    def _padded(self, height: tuple[int, int], width: tuple[int, int]) -> Array:
        """The feature map with 0 around it, as it is stored; what a last window that hangs over reads is 0
        too."""
        x, c = self.a.values, self._conv
        assert c is not None
        reach = [
            max(0, (count - 1) * step + (window - 1) * gap + 1 - size - sum(around))
            for count, step, window, gap, size, around in (
                (c.P, c.stride[0], c.R, c.dilation[0], c.H, height),
                (c.Q, c.stride[1], c.S, c.dilation[1], c.W, width),
            )
        ]
        shape = (*x.shape[:2], c.H + sum(height) + reach[0], c.W + sum(width) + reach[1])
        padded = np.full(shape, padding_value(self.a.encoding), dtype=self.compute)
        padded[:, :, height[0] : height[0] + c.H, width[0] : width[0] + c.W] = x
        return padded

    # -- operands --------------------------------------------------------------------------------------

    def feed(self, first: Array) -> None:
        """Take other numbers for the first operand of a matmul, as wide and high and stored alike."""
        self._left = first.reshape(self._left.shape)

    def rows(self, batch: int, m0: int, m1: int, k0: int, k1: int) -> Array:
        """Rows m0..m1 and columns k0..k1 of the first operand; convolution windows are gathered."""
        if self._conv is None:
            return self._left[batch, m0:m1, k0:k1].astype(self.compute)
        depth = self.mapping.k
        if (m1 - m0) * depth * np.dtype(self.compute).itemsize > CACHED_BYTES:
            return self._gather(batch, m0, m1, k0, k1)
        key = (batch, m0, m1)
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = self._gather(batch, m0, m1, 0, depth)
            self._rows_bytes += found.nbytes
            while self._rows_bytes > CACHED_BYTES and len(self._rows) > 1:
                self._rows_bytes -= self._rows.popitem(last=False)[1].nbytes
        return found[:, k0:k1]

    def _gather(self, batch: int, m0: int, m1: int, k0: int, k1: int) -> Array:
        from hwsim.kernels.matrix_tiles import gather_windows

        c = self._conv
        assert c is not None
        channels = c.C // c.groups * self.mapping.packed
        first = batch * channels
        # The last pack may hold fewer groups: what its other columns read is zero.
        real = min(k1, (min(c.C, first + channels) - first) * c.R * c.S)
        out = np.zeros((m1 - m0, k1 - k0), dtype=self.compute)
        if real > k0:
            there = np.empty((m1 - m0, real - k0), dtype=self.compute)
            gather_windows(self._left, there, m0, k0, first, (c.P, c.Q), (c.R, c.S), c.stride, c.dilation)
            out[:, : real - k0] = there
        return out

    def block(self, batch: int, k0: int, k1: int, n0: int, n1: int) -> Array:
        """The k0..k1 x n0..n1 block of the second operand; packed groups are blocks on the diagonal."""
        if self._conv is None:
            return self._right[batch, k0:k1, n0:n1].astype(self.compute)
        groups, n, k = self._right.shape
        packed = self.mapping.packed
        if packed == 1:
            return self._right[batch, n0:n1, k0:k1].T.astype(self.compute)
        whole = np.zeros((packed * k, packed * n), dtype=self.compute)
        for i in range(min(packed, groups - batch * packed)):
            whole[i * k : (i + 1) * k, i * n : (i + 1) * n] = self._right[batch * packed + i].T
        return whole[k0:k1, n0:n1]

    # -- the walk --------------------------------------------------------------------------------------

    def run(self, walk: TileWalk, shape: Shape) -> Executed:
        """Execute all tiles in order; `shape` is that of the output tensor."""
        mapping = self.mapping
        results = np.zeros((mapping.batch, mapping.m, mapping.n), dtype=self.stored_type)
        written = np.zeros(results.shape, dtype=np.uint8)
        boxes = walk.boxes.tolist()
        block, held, sums = None, (NOTHING, 0, 0), None
        rows_from, block_from = walk.rows_from.tolist(), walk.block_from.tolist()
        for i, (b, m0, m1, n0, n1, k0, k1) in enumerate(boxes):
            if block is None or held != (block_from[i], k1 - k0, n1 - n0):
                held = (block_from[i], k1 - k0, n1 - n0)
                block = self._held_block(boxes, *held)
            rows = self._held_rows(walk, boxes, rows_from[i], m1 - m0, (k0, k1))
            if sums is None or walk.opens[i] or sums.shape != (m1 - m0, n1 - n0):
                sums = self.new_sums((m1 - m0, n1 - n0), cleared=bool(walk.opens[i]))
            self.add(sums, rows @ block)
            if walk.drains[i] and walk.stores[i]:
                results[b, m0:m1, n0:n1] = self.finish(sums, b, (m0, m1), (n0, n1))
                written[b, m0:m1, n0:n1] += 1
            if walk.loses[i]:
                sums = None
        return Executed(self.shaped(results, shape), self.shaped(written, shape))

    @property
    def stored_type(self) -> type[Any]:
        return np.float32 if self.out.is_float else self.out.integer_type

    def _held_block(self, boxes: list[list[int]], source: int, depth: int, width: int) -> Array:
        """What the array holds of the second operand, where depth x width of it are used."""
        if source == NOTHING:
            return np.zeros((depth, width), dtype=self.compute)
        b, _, _, n0, n1, k0, k1 = boxes[source]
        return _cut(self.block(b, k0, k1, n0, n1), depth, width)

    def _held_rows(
        self, walk: TileWalk, boxes: list[list[int]], source: int, count: int, columns: tuple[int, int]
    ) -> Array:
        """The rows that came last, or the block of them that the array holds."""
        depth = columns[1] - columns[0]
        if source == NOTHING:
            return np.zeros((count, depth), dtype=self.compute)
        k0, k1 = boxes[source][5:7] if walk.holds_rows else columns
        loaded = int(walk.rows_loaded[source])
        if loaded == NOTHING:
            return np.zeros((count, depth), dtype=self.compute)
        b, m0, m1 = boxes[loaded][:3]
        return _cut(self.rows(b, m0, m1, k0, k1), count, depth)

    def new_sums(self, shape: Shape, *, cleared: bool) -> Array:
        """Accumulators as a tile finds them: zero where it takes them, anything where it does not."""
        if self.drain is None:
            return np.full(shape, 0.0 if cleared else np.nan, dtype=np.float32)
        return np.full(shape, 0 if cleared else ARBITRARY, dtype=np.int64)

    def add(self, sums: Array, partial: Array) -> None:
        """Add a tile's partial sums in the accumulators' own width; those of floats are fp32."""
        if self.drain is None:
            sums += partial
            return
        from hwsim.kernels.matrix_tiles import add_to_sums

        add_to_sums(sums, partial, self._sum_bits)

    @property
    def _sum_bits(self) -> int:
        return min(self.accumulator_bits, 62)

    def wrap(self, sums: Array) -> Array:
        """Whole sums as the accumulators hold them, wrapped around at their width."""
        half = 1 << (self._sum_bits - 1)
        found: Array = ((sums + half) & (2 * half - 1)) - half
        return found

    def finish(self, sums: Array, batch: int, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Sums on their way out: bias, functions, and the output's format."""
        drain = self.drain
        if drain is None:
            functions = split_steps(self.op.epilogue)[2]
            return self.out.store(apply_steps(functions, self.linear(sums, batch, rows, columns)))
        if drain.before is None:
            return self.out.store(apply_steps(drain.steps, self.linear(sums, batch, rows, columns)))
        from hwsim.kernels.matrix_tiles import LARGEST_PRODUCT, requantise

        bias = self._by_column(self.bias, batch, columns, np.int64)
        sums = self._whole(sums, batch, rows, columns)
        if drain.singles is not None:
            ratios = self._by_column(drain.singles, batch, columns, np.float32, outside=1)
            units = np.rint((sums + bias).astype(np.float32) * ratios)
            moved = units.astype(np.float64) + drain.before.zero_point
            return np.clip(moved, drain.low, drain.high).astype(np.int32)
        out = np.empty(sums.shape, dtype=np.int32)
        multipliers, shifts = (
            self._by_column(numbers, batch, columns, np.int64, outside=1)
            for numbers in (drain.multipliers, drain.shifts)
        )
        most = LARGEST_PRODUCT // np.abs(multipliers)
        rounding = ROUNDINGS.index(drain.before.rounding)
        requantise(
            sums,
            bias,
            multipliers,
            shifts,
            most,
            rounding,
            drain.before.zero_point,
            drain.low,
            drain.high,
            out,
        )
        if drain.before == self.out and not drain.steps:
            return out
        if drain.approximate and tabled(drain.steps):
            step = drain.steps[0]
            return self.out.store(look_up(step.function, step.attributes, drain.before, out))
        return self.out.store(apply_steps(drain.steps, drain.before.reals(out)))

    def linear(
        self, sums: Array, batch: int, rows: tuple[int, int], columns: tuple[int, int]
    ) -> Float64Array:
        """What sums stand for, bias added, before any function and rounding."""
        if self.drain is None:
            factor = split_steps(self.op.epilogue)[0]
            bias = self._by_column(self.bias, batch, columns, np.float64)
            reals: Float64Array = sums.astype(np.float64) * factor + bias
            return reals
        bias = self._by_column(self.bias, batch, columns, np.int64)
        scales = self._by_column(self.drain.sum_scales, batch, columns, np.float64)
        whole = self._whole(sums, batch, rows, columns) + bias
        return whole.astype(np.float64) * scales

    def _whole(self, sums: Array, batch: int, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Whole sums with what zero points ask to be added."""
        return self.wrap(sums + self.correction(batch, rows, columns)) if self._corrected else sums

    def correction(self, batch: int, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """What the zero points ask to be added to the sums of rows x columns: -y sum a - z sum b + K z y."""
        z = self.a.encoding.zero_point
        y = self._by_column(self.b.encoding.zero_points, batch, columns, np.int64)
        block = self.block(batch, 0, self.mapping.k, *columns)
        found = np.zeros((rows[1] - rows[0], columns[1] - columns[0]), dtype=np.int64)
        depth = self.mapping.k // self.mapping.packed  # each packed group sums over its own rows alone
        found += depth * z * y - z * block.sum(axis=0, dtype=np.float64).astype(np.int64)
        if y.any():
            there = self.rows(batch, *rows, 0, self.mapping.k).astype(np.int64)
            by_group = there.reshape(len(there), self.mapping.packed, depth).sum(axis=2)
            group = np.arange(*columns) // (self.mapping.n // self.mapping.packed)
            found -= y * by_group[:, group]
        return found

    def _by_column(
        self, numbers: Array, batch: int, columns: tuple[int, int], wanted: type[Any], outside: int = 0
    ) -> Array:
        """Of `numbers`, one for the product or one a column of all batches, those of some columns; `outside`
        where the last pack holds fewer groups."""
        n0, n1 = columns
        if numbers.size == 1:
            return np.full(n1 - n0, numbers.reshape(-1)[0], dtype=wanted)
        first = batch * self.mapping.n if self._conv is not None else 0
        found = np.full(n1 - n0, outside, dtype=wanted)
        part = numbers[first + n0 : first + n1]
        found[: len(part)] = part
        return found

    def shaped(self, results: Array, shape: Shape) -> Array:
        """(batch, m, n) as the output tensor."""
        c = self._conv
        if c is None:
            return results.reshape(shape)
        per_group = c.K // c.groups
        columns = results.reshape(self.mapping.batch, c.N, c.P * c.Q, self.mapping.packed, per_group)
        channels = columns.transpose(1, 0, 3, 4, 2).reshape(c.N, -1, c.P * c.Q)
        return np.ascontiguousarray(channels[:, : c.K]).reshape(shape)


def padding_value(encoding: Encoding) -> float:
    """What surrounds a feature map: the number that is stored for 0. Binary stores none; there the array
    leaves out what lies around, as if it held 0."""
    return float(encoding.zero_point)


def matrices(op: Operator, problem: Matmul, a: Array, b: Array) -> tuple[Array, Array]:
    """The operands of a matmul as [B, M, K] and [B, K, N]: transposed, broadcast, rows of vectors added."""
    given = dict(op.attributes)
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    if given.get("trans_a"):
        left = left.swapaxes(-1, -2)
    if given.get("trans_b"):
        right = right.swapaxes(-1, -2)
    if problem.B == 1:
        return left.reshape(1, problem.M, problem.K), right.reshape(1, problem.K, problem.N)
    lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left = np.broadcast_to(left, (*lead, *left.shape[-2:])).reshape(problem.B, problem.M, problem.K)
    right = np.broadcast_to(right, (*lead, *right.shape[-2:])).reshape(problem.B, problem.K, problem.N)
    return left, right


def _cut(block: Array, height: int, width: int) -> Array:
    """The corner of a block that a tile uses: zeros where the block does not reach."""
    if block.shape == (height, width):
        return block
    found = np.zeros((height, width), dtype=block.dtype)
    part = block[:height, :width]
    found[: part.shape[0], : part.shape[1]] = part
    return found
