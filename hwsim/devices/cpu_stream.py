"""Work that streams through the cores of a CPU: matrix-vector products, direct convolutions, pointwise
operators, and products with stored-sparse weights.

An operator is a number of equal tasks (rows of a result). Each core takes a contiguous share, in a few parts,
so that hardware prefetch brings the next part while one is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hwsim.arrays import Int32Array, Int64Array
from hwsim.design.kinds.cpu import CpuSpec
from hwsim.devices.cpu_gemm import (
    Demands,
    Product,
    as_stated,
    divided,
    found_in_cache,
    macs_per_cycle,
    pointwise_cycles,
)
from hwsim.devices.windows import touched_bytes
from hwsim.plan.mapping import DirectMapping, RowMapping
from hwsim.plan.residency import Operand, WeightStorage
from hwsim.tensor.formats import format_bits
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Conv2d, Matmul

PARTS = 4  # of a core's share: prefetch hides three quarters of it


@dataclass(frozen=True, eq=False)
class Slices:
    """`tasks` equal tasks cut into tiles of `size` (the last may be smaller): one or two kinds."""

    tasks: int
    size: Int64Array  # (kinds,)
    kind_of_tile: Int32Array

    @property
    def ends(self) -> tuple[int, ...]:
        """Tasks up to and with each tile."""
        full = range(1, len(self.kind_of_tile))
        return *(tile * int(self.size[0]) for tile in full), self.tasks

    def share(self, total: int) -> Int64Array:
        """(kinds,) a tile's share of `total`, rounded up: all tiles together have at least the whole."""
        return np.array([-(-total * int(size) // self.tasks) for size in self.size], dtype=np.int64)

    def exact(self, total: int) -> Int64Array:
        """(kinds,) a tile's share of `total`; all tiles together have exactly the whole."""
        full = total * int(self.size[0]) // self.tasks
        last = total - full * (len(self.kind_of_tile) - 1)
        return np.array([full, last][-len(self.size) :] if len(self.size) > 1 else [last], dtype=np.int64)


def cut(tasks: int, cores: int, parts: int = PARTS) -> Slices:
    """Cut tasks into tiles for `cores` cores in up to `parts` parts each. Of the numbers of parts, the one
    that leaves the busiest core the least work; among equals, the finest."""
    share = -(-tasks // cores)

    def busiest(parts: int) -> int:
        size = -(-share // parts)
        tiles = -(-tasks // size)
        return -(-tiles // cores) * size

    chosen = min(range(1, min(parts, share) + 1), key=lambda p: (busiest(p), -p))
    size = -(-share // chosen)
    count = -(-tasks // size)
    # The last tile is of a kind of its own: it may be smaller, and takes what rounding leaves.
    sizes = [size, tasks - (count - 1) * size] if count > 1 else [tasks]
    kind_of_tile = np.zeros(count, dtype=np.int32)
    kind_of_tile[-1] = len(sizes) - 1
    return Slices(tasks, np.array(sizes, dtype=np.int64), kind_of_tile)


def gemv_demands(product: Product, spec: CpuSpec) -> Demands:
    """Products of which one side is a vector: each element of the matrix is used once, so nothing is packed
    and the matrix streams past. Tasks are its rows, over all products of the batch."""
    rows = product.n if product.m == 1 else product.m
    tasks = cut(product.batch * rows, spec.cores.count)
    matrix, vector = (product.b, product.a) if product.m == 1 else (product.a, product.b)
    fits = in_caches([matrix, vector, product.output], spec)
    streamed = tasks.share(matrix.size_bytes)
    macs = tasks.exact(product.macs)
    operations = tasks.exact(product.batch * rows * product.pointwise)
    cycles = divided(macs, macs_per_cycle(spec, product.a.dtype)) + pointwise_cycles(operations, spec)
    core_rate = spec.calibration.gemv_bytes_per_cycle
    if core_rate is not None:
        cycles = np.maximum(cycles, divided(streamed, as_stated(core_rate)))
    in_matrix, in_vector = "load", "weights"
    if product.m == 1:
        in_matrix, in_vector = in_vector, in_matrix
    columns = {
        "fetch": np.where(found_in_cache(matrix, fits, spec), 0, streamed)
        + np.where(found_in_cache(vector, fits, spec), 0, tasks.share(vector.size_bytes)),
        in_matrix: streamed,
        # A product's own vector whole, or those of several products in one tile.
        in_vector: np.maximum(-(-vector.size_bytes // product.batch), tasks.share(vector.size_bytes)),
        "compute": cycles,
        **_written(tasks, product.output, fits),
    }
    along = "n" if product.m == 1 else "m"
    mapping = RowMapping(product.batch, product.m, product.n, product.k, along, tasks.ends)
    return Demands(tasks.kind_of_tile, columns, macs, operations, product.a.dtype, mapping)


def conv_demands(conv: Conv2d, product: Product, spec: CpuSpec) -> Demands:
    """Direct convolution with channels along the vector registers, as oneDNN's JIT kernels and LIBXSMM's do
    (Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures",
    SC 2018). A task is one row of outputs of one block of channels."""
    lanes = spec.vector.lanes
    depth = conv.C // conv.groups
    # A depthwise convolution puts its groups side by side into a register.
    blocks = -(-conv.K // lanes) if depth == 1 else conv.groups * -(-conv.K // conv.groups // lanes)
    tasks = cut(conv.N * blocks * conv.P, spec.cores.count)
    fits = in_caches([product.a, product.b, product.output], spec)
    macs = tasks.exact(product.macs)
    operations = tasks.exact(product.output.elements * product.pointwise)
    rate = macs_per_cycle(spec, product.a.dtype) * as_stated(spec.calibration.conv_share)
    rate *= _latency_hidden(conv, spec)
    work = tasks.size * lanes * conv.Q * depth * conv.R * conv.S
    columns = {
        "fetch": np.where(
            found_in_cache(product.a, fits, spec), 0, tasks.share(touched_bytes(conv, product.a.size_bytes))
        )
        + np.where(found_in_cache(product.b, fits, spec), 0, tasks.share(product.b.size_bytes)),
        "weights": np.minimum(
            -(-tasks.size // conv.P) * -(-product.b.size_bytes // blocks), product.b.size_bytes
        ),
        "load": np.minimum(tasks.share(product.a.size_bytes * blocks), product.a.size_bytes),
        "compute": divided(work, rate) + pointwise_cycles(operations, spec),
        **_written(tasks, product.output, fits),
    }
    mapping = DirectMapping(conv, lanes, tasks.ends)
    return Demands(tasks.kind_of_tile, columns, macs, operations, product.a.dtype, mapping)


def vector_demands(
    operands: Sequence[Operand], output: Operand, operations: int, repeated_bytes: int, spec: CpuSpec
) -> Demands:
    """A pointwise, pooling or moving operator of so many operations in all, whose cores read so many bytes
    again from their caches."""
    tasks = cut(max(1, output.elements), spec.cores.count)
    fits = in_caches([*operands, output], spec)
    work = tasks.exact(operations)
    zero = np.zeros_like(work)
    columns = {
        "fetch": sum(
            (zero if found_in_cache(o, fits, spec) else tasks.share(o.size_bytes) for o in operands), zero
        ),
        "load": sum((tasks.share(o.size_bytes) for o in operands), tasks.share(repeated_bytes)),
        "compute": pointwise_cycles(work, spec),
        **_written(tasks, output, fits),
    }
    return Demands(tasks.kind_of_tile, columns, zero, work, output.dtype)


INDEX_BYTES = 4  # of a column index and of a row pointer, as libraries' CSR routines take them


def csr_bytes(rows: int, nonzeros: int, dtype: str) -> int:
    """Bytes of a matrix in CSR: a value and its column index for each stored weight, a pointer for each row
    and one behind the last."""
    return -(-nonzeros * format_bits(dtype) // 8) + (nonzeros + rows + 1) * INDEX_BYTES


def store_sparse(workload: Workload, below: float) -> WeightStorage:
    """Weights of matrix products whose density is under `below`, in CSR with a row for each result; the rest
    dense. How many are zero is what the tensor says."""
    sizes: dict[str, int] = {}
    kept: dict[str, int] = {}
    for op in workload.operators:
        if not isinstance(op.problem, Matmul) or op.problem.B > 1:
            continue
        weights = workload.tensors[op.inputs[1]]
        if weights.role == "weight" and weights.density < below:
            kept[weights.name] = max(1, round(weights.density * weights.elements))
            sizes[weights.name] = csr_bytes(op.problem.N, kept[weights.name], weights.dtype)
    return WeightStorage(sizes, nonzeros=kept)


def csr_demands(product: Product, nonzeros: int, spec: CpuSpec) -> Demands:
    """A product whose second operand is stored in CSR, its `n` rows over the cores that the library's sparse
    routines use. A core reads each stored weight with its index once, and gathers an activation for each
    product; neither fills vector registers."""
    cores = spec.library.sparse_cores or spec.cores.count
    tasks = cut(product.n, cores, parts=1)
    fits = in_caches([product.a, product.b, product.output], spec)
    macs = tasks.exact(nonzeros * product.m)
    fitted = spec.calibration
    # Demands are in cycles of the vector clock, and walking an index runs at the scalar one.
    scalar = Fraction(spec.cores.vector_clock_hz, spec.cores.clock_hz)
    one = as_stated(fitted.csr_cycles_per_nonzero)
    one += product.m * as_stated(fitted.csr_cycles_per_product)
    cycles = divided(tasks.exact(nonzeros), 1 / (one * scalar)) if one else np.zeros_like(macs)
    operations = tasks.exact(product.m * product.n * product.pointwise)
    cycles = np.maximum(cycles, divided(macs, macs_per_cycle(spec, product.a.dtype)))
    gathered = np.full_like(macs, product.a.size_bytes)
    columns = {
        "fetch": np.where(found_in_cache(product.b, fits, spec), 0, tasks.share(product.b.size_bytes))
        + np.where(found_in_cache(product.a, fits, spec), 0, tasks.share(product.a.size_bytes)),
        "weights": tasks.share(product.b.size_bytes),
        "load": gathered,
        "compute": cycles + pointwise_cycles(operations, spec),
        **_written(tasks, product.output, fits),
    }
    mapping = RowMapping(product.batch, product.m, product.n, product.k, "n", tasks.ends, sparse=True)
    return Demands(tasks.kind_of_tile, columns, macs, operations, product.a.dtype, mapping)


def _latency_hidden(conv: Conv2d, spec: CpuSpec) -> Fraction:
    """Share of its multiply rate that a core reaches with as many sums in flight as one row of outputs gives
    a register tile: fewer than latency times ports leave ports idle."""
    library, vector = spec.library, spec.vector
    registers = library.vector_extent // vector.lanes * library.broadcast_extent
    sums = Fraction(conv.Q, -(-conv.Q // registers))
    return min(Fraction(1), sums / (vector.fma_latency_cycles * vector.fma_ports))


def in_caches(operands: Sequence[Operand], spec: CpuSpec) -> bool:
    """Whether what streams past fits in all last caches together."""
    return sum(o.size_bytes for o in operands) <= spec.caches * spec.cache.size_bytes


def _written(tasks: Slices, output: Operand, fits: bool) -> dict[str, Int64Array]:
    written = tasks.share(output.size_bytes)
    stays = fits and output.place != "memory"
    return {"store": written, "write_back": np.zeros_like(written) if stays else written}
