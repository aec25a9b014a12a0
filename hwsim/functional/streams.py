"""Products as interleaved PEs compute them: the matrix in compressed streams, broadcast column by column.

As in `walk`, nothing here asks what a tile ought to do: it adds its columns if it is issued and its operands
were fetched, sums begin where the plan takes room for results, and they leave where it gives that back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.arrays import BoolArray, Int64Array, Uint8Array
from hwsim.functional.locate import Place, in_product
from hwsim.functional.products import ARBITRARY, Executed, ProductRun
from hwsim.functional.walk import Columns
from hwsim.plan.mapping import GemmMapping, StreamMapping
from hwsim.plan.matvec import matrix_rows, value_groups, vectors
from hwsim.plan.residency import Residency
from hwsim.tensor.codecs.csc import interleave
from hwsim.tensor.formats import format_bits
from hwsim.tensor.tensor import Array, Shape
from hwsim.workload.operators import Conv2d, Matmul, Operator


def whole_product(operator: Operator) -> GemmMapping:
    """The product in one piece, groups of a convolution as its batch: how results lie."""
    p = operator.problem
    if isinstance(p, Conv2d):
        m, n, k = p.N * p.P * p.Q, p.K // p.groups, p.C // p.groups * p.R * p.S
        return GemmMapping(p.groups, m, n, k, m, n, k)
    assert isinstance(p, Matmul)
    return GemmMapping(1, p.B * p.M, p.N, p.K, p.B * p.M, p.N, p.K)


@dataclass(frozen=True, eq=False)
class StreamFlags:
    """(parts, vectors) each: what the tile of a part and a vector does."""

    issued: BoolArray
    opens: BoolArray  # takes room for sums
    columns: BoolArray  # the columns and their table of values are what came last
    vector: BoolArray  # the vector was loaded where it is outside
    drains: BoolArray  # gives the room back
    restores: BoolArray  # sums that waited outside come in before it
    saves: BoolArray  # sums or results leave behind it
    constants_arrive: bool  # biases and other operands of fused steps were fetched


def read_flags(
    mapping: StreamMapping, columns: Columns, residency: Residency, accumulator_bits: int
) -> StreamFlags:
    """What the plan's columns say of each tile. Something has come when all its bytes have."""
    count = min(columns.tiles, mapping.tiles)
    issued = columns.first(count)
    vector, part = (index[:count] for index in mapping.order())

    def laid(values: BoolArray) -> BoolArray:
        table = np.zeros((len(mapping.parts), mapping.vectors), dtype=np.bool_)
        table[part, vector] = values
        return table

    results = issued.pool("results")
    assert results is not None
    opens, drains = results
    out = residency.output
    sums = mapping.outputs * accumulator_bits // 8
    # What a vector's tiles work on is loaded before the first of them: its numbers, then sums that waited.
    loads = issued.demand("load")[np.maximum.accumulate(np.where(opens, np.arange(count), 0))]
    written = 0 if out.place == "chip" else -(-out.size_bytes // mapping.vectors)
    leaving = np.where(part == len(mapping.parts) - 1, written, sums)
    there, constants_arrive = _columns_there(mapping, issued, residency, part)
    return StreamFlags(
        issued=laid(np.ones(count, dtype=np.bool_)),
        opens=laid(opens),
        columns=laid(there),
        vector=laid(loads >= mapping.vector_bytes),
        drains=laid(drains),
        restores=laid(opens & (loads - mapping.vector_bytes >= sums)),
        saves=laid(issued.demand("store") >= leaving),
        constants_arrive=constants_arrive,
    )


def _columns_there(
    mapping: StreamMapping, issued: Columns, residency: Residency, part: Int64Array
) -> tuple[BoolArray, bool]:
    """Whether each tile finds its own columns and table in the machine, and whether the constants came. All
    come through one stage: a pass of the matrix where its room is taken, a table where another group
    begins."""
    a, b = residency.operands[:2]
    fetched = issued.demand("weights").copy()
    there = np.ones(issued.tiles, dtype=np.bool_)
    if b.place != "chip":
        room = issued.pool("matrix")
        assert room is not None
        wanted = np.array([p.pass_bytes for p in mapping.parts], dtype=np.int64)[part]
        comes = room[0] & (fetched >= wanted) & (wanted > 0)
        fetched -= np.where(comes, wanted, 0)
        there &= _held(comes, np.cumsum([p.opens_pass for p in mapping.parts])[part])
    groups = np.array([p.group for p in mapping.parts])[part]
    if mapping.parts[-1].group > 0:
        table = (mapping.values + 1) * format_bits(a.dtype) // 8
        comes = (np.diff(groups, prepend=-1) != 0) & (fetched >= table)
        fetched -= np.where(comes, table, 0)
        there &= _held(comes, groups)
    constants = sum(o.size_bytes for o in residency.operands[2:] if o.place != "chip")
    return there, int(fetched.sum()) >= constants


def _held(comes: BoolArray, what: Int64Array) -> BoolArray:
    """Whether the machine holds, of several things of which each replaces the one before, the tile's own."""
    last = np.maximum.accumulate(np.where(comes, np.arange(len(comes)), -1))
    found: BoolArray = (last >= 0) & (what[last] == what)
    return found


def run_streams(
    run: ProductRun, mapping: StreamMapping, flags: StreamFlags, weights: Array, shape: Shape
) -> tuple[Executed, Int64Array]:
    """Execute all issued tiles, and the sums [vectors, outputs] as they left the machine. `run` knows the
    operands and the way out, `weights` are the second operand's numbers before they were stored, which decide
    the groups, `shape` is the output tensor's."""
    from hwsim.kernels.eie_numbers import add_columns

    problem = run.op.problem
    assert isinstance(problem, Conv2d | Matmul)
    transposed = bool(dict(run.op.attributes).get("trans_b", False))
    groups, group_of = value_groups(weights, mapping.values)
    given = np.concatenate([part.astype(np.int32) for part in vectors(problem, run.a.values)])
    sums = np.full((mapping.vectors, mapping.outputs), ARBITRARY, dtype=np.int64)
    outside = sums.copy()
    written = np.zeros(mapping.vectors, dtype=np.uint8)
    streams, group = None, -1
    for index, part in enumerate(mapping.parts):
        if streams is None or part.group != group:
            group = part.group
            own = np.where(group_of == group + 1, run.b.values, 0) if groups > 1 else run.b.values
            rows = np.ascontiguousarray(matrix_rows(problem, transposed, own), dtype=np.int32)
            streams = interleave(rows, mapping.pes, mapping.index_bits)
        opens = flags.opens[index]
        restored = flags.restores[index] & mapping.by_pass & (index > 0)
        sums[opens & ~restored] = 0 if index == 0 or not mapping.by_pass else ARBITRARY
        sums[opens & restored] = outside[opens & restored]
        add_columns(
            given, part.begin, part.end, streams.pointers, streams.starts, streams.values,
            streams.gaps.astype(np.int32), flags.columns[index] & flags.vector[index], sums,
        )  # fmt: skip
        leaves = flags.drains[index] & flags.saves[index]
        outside[leaves] = sums[leaves]
        if index == len(mapping.parts) - 1:
            written[leaves] += 1
        sums[flags.drains[index]] = ARBITRARY
    return _finished(run, outside, written, shape), outside


def _finished(run: ProductRun, sums: Int64Array, written: Uint8Array, shape: Shape) -> Executed:
    """Sums through the way out, group by group of a convolution, in the shape of the output."""
    gemm = run.mapping
    wrapped = run.wrap(sums)
    out = np.zeros((gemm.batch, gemm.m, gemm.n), dtype=run.out.integer_type)
    for group in range(gemm.batch):
        own = np.ascontiguousarray(wrapped[:, group * gemm.n : (group + 1) * gemm.n])
        out[group] = run.finish(own, group, (0, gemm.m), (0, gemm.n))
    times = np.ascontiguousarray(np.broadcast_to(written[None, :, None], out.shape))
    out[times == 0] = 0
    return Executed(run.shaped(out, shape), run.shaped(times, shape))


def locate_stream(
    run: ProductRun, mapping: StreamMapping, flags: StreamFlags, sums: Int64Array, where: Shape, shape: Shape
) -> Place:
    """The tile, counted within the operator, and the stage at which an element of the output went wrong.
    `sums` are those that left the machine."""
    batch, row, column = in_product(run, where, shape)
    problem = run.op.problem
    vector, output = row, batch * run.mapping.n + column
    if isinstance(problem, Matmul):
        vector, output = batch * problem.M + row, column
    vectors_of_tiles, part_of_tiles = mapping.order()
    first, last = mapping.runs()
    tiles = np.flatnonzero(vectors_of_tiles == vector).tolist()
    for tile in tiles:
        part = int(part_of_tiles[tile])
        if not flags.issued[part, vector]:
            return Place(None, "compute", f"tile {tile} of the operator is not issued")
        if bool(flags.opens[part, vector]) != bool(first[tile]):
            return Place(tile, "compute", "its sum begins in the wrong tile")
        if not flags.columns[part, vector]:
            return Place(tile, "weights", "its columns or their table of values were not fetched")
        if not flags.vector[part, vector]:
            return Place(tile, "load", "its vector was not loaded")
        if first[tile] and tile != tiles[0] and not flags.restores[part, vector]:
            return Place(tile, "load", "its sum does not come back from outside")
        if bool(flags.drains[part, vector]) != bool(last[tile]):
            return Place(tile, "drain", "its sum leaves before all columns are added, or not at all")
        if last[tile] and not flags.saves[part, vector]:
            return Place(tile, "store", "its sum or result is never written outside")
    factors = run.rows(batch, row, row + 1, 0, run.mapping.k)[0].astype(np.float64)
    exact = int(factors @ run.block(batch, 0, run.mapping.k, column, column + 1)[:, 0])
    found = int(sums[vector, output])
    if found != exact:
        reason = f"its sum is {found:,} where {exact:,} belongs: an entry is decoded to another value or row"
        return Place(tiles[-1], "compute", reason)
    bits = run.accumulator_bits
    if not -(2 ** (bits - 1)) <= exact < 2 ** (bits - 1):
        return Place(tiles[-1], "compute", f"its sum of {exact} overflows an accumulator of {bits} bits")
    if not flags.constants_arrive:
        return Place(tiles[0], "weights", "its bias is never fetched")
    return Place(tiles[-1], "drain", "its sum is right, but not its bias, function or rounding")
