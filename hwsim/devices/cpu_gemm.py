"""Matrix products on a CPU, cut as libraries of the BLIS and oneDNN family cut them.

A register tile of `vector_extent` x `broadcast_extent` sums stays in registers while the reduction runs, and
is computed whole even where the matrix ends inside it (Van Zee and van de Geijn, "BLIS", ACM TOMS 41(3),
2015). Cores form a grid over rows, columns and, where there are fewer register tiles than cores, the
reduction; each gets one block of whole register tiles, so that cores idle where tiles do not divide evenly.
Operands are packed before they are multiplied: a block's bytes come first, and its products after.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil

import numpy as np

from hwsim.arrays import Float64Array, Int32Array, Int64Array
from hwsim.design.kinds.cpu import CpuSpec
from hwsim.plan.mapping import GemmMapping, TileMapping
from hwsim.plan.residency import Operand
from hwsim.plan.tiling import tile_kinds
from hwsim.tensor.formats import accumulator_format, format_bits


@dataclass(frozen=True, slots=True)
class Product:
    """`batch` products of m x k by k x n: first operand, second operand and result, and `pointwise`
    operations behind each result."""

    batch: int
    m: int
    n: int
    k: int
    a: Operand
    b: Operand
    output: Operand
    pointwise: int

    @property
    def macs(self) -> int:
        return self.batch * self.m * self.n * self.k

    @property
    def sum_bytes(self) -> int:
        """Of one sum that cores hand to one another."""
        return format_bits(accumulator_format(self.a.dtype)) // 8


def bytes_of(elements: Int64Array, operand: Operand) -> Int64Array:
    """Bytes of so many elements of an operand, rounded up."""
    return -(-elements * format_bits(operand.dtype) // 8)


@dataclass(frozen=True, eq=False)
class Demands:
    """Columns over kinds of tiles, by stage, and what else the plan needs."""

    kind_of_tile: Int32Array
    columns: dict[str, Int64Array]
    macs: Int64Array
    operations: Int64Array  # pointwise, of the vector lanes
    dtype: str  # of what is multiplied
    mapping: TileMapping | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One way to share a product: how cores form a grid, and which side lies along the vector registers."""

    rows: int  # cores along m
    cols: int  # cores along n
    depth: int  # cores along k
    along: str  # "m" or "n"


@lru_cache(maxsize=64)
def grids(cores: int, *, whole: bool) -> tuple[tuple[int, int, int], ...]:
    """All (rows, cols, depth) whose product is the number of cores or, unless `whole`, divides it."""
    divisors = [d for d in range(1, cores + 1) if cores % d == 0]
    used = [cores] if whole else divisors
    return tuple(
        (rows, cols, count // rows // cols)
        for count in used
        for rows in divisors
        for cols in divisors
        if count % (rows * cols) == 0
    )


def blocks(product: Product, spec: CpuSpec) -> Iterator[Block]:
    """Candidates. One product is for all cores; of several, some cores may take one each. The reduction is
    shared only where register tiles are fewer than cores, and by whole panels."""
    library = spec.library
    for along in ("n", "m"):
        tile = _register_tile(spec, along)
        few = product.batch * -(-product.m // tile[0]) * -(-product.n // tile[1]) < spec.cores.count
        for rows, cols, depth in grids(spec.cores.count, whole=product.batch == 1):
            if depth == 1 or (few and product.k >= depth * library.panel_depth):
                yield Block(rows, cols, depth, along)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The blocks of a product, and by what is chosen among them at any rate of the memory, (n,) each: bytes
    that it moves, seconds of the cores, and what decides between equals, tiles and rows of cores, the less
    the better."""

    blocks: tuple[Block, ...]
    moved_bytes: Float64Array
    cores_s: Float64Array
    tiles: Float64Array
    rows: Float64Array

    def best(self, memory_bytes_per_s: int, spec: CpuSpec) -> Block:
        """The block with the least time by its own closed form: bytes, then the work of the last core."""
        seconds = self.moved_bytes / memory_bytes_per_s / spec.calibration.memory_share + self.cores_s
        return self.blocks[int(np.lexsort((self.rows, self.tiles, seconds))[0])]


def candidates(product: Product, spec: CpuSpec) -> Candidates:
    """What a product may be cut into."""
    found = tuple(blocks(product, spec))
    table = np.array([_asked(product, block, spec) for block in found], dtype=np.float64)
    return Candidates(found, *table.T)


def best_demands(product: Product, memory_bytes_per_s: int, spec: CpuSpec) -> Demands:
    """Those of the best block."""
    return block_demands(product, candidates(product, spec).best(memory_bytes_per_s, spec), spec)


def block_mapping(product: Product, block: Block, spec: CpuSpec) -> GemmMapping:
    """Tiles of whole register tiles, one a core."""
    rows, cols = _register_tile(spec, block.along)
    return GemmMapping(
        product.batch, product.m, product.n, product.k,
        min(product.m, -(-product.m // rows // block.rows) * rows),
        min(product.n, -(-product.n // cols // block.cols) * cols),
        -(-product.k // block.depth),
    )  # fmt: skip


def block_demands(product: Product, block: Block, spec: CpuSpec) -> Demands:
    """What the tiles of a block ask for. From memory comes what no cache holds, each element once; through
    the cache each core reads its own panels."""
    mapping = block_mapping(product, block, spec)
    t = tile_kinds(mapping)
    hits = held(product, mapping, spec)
    a, b = bytes_of(t.m * t.k, product.a), bytes_of(t.k * t.n, product.b)
    c = bytes_of(t.m * t.n, product.output)
    partial = t.m * t.n * product.sum_bytes
    rows, cols = _register_tile(spec, block.along)
    padded = -(-t.m // rows) * rows * -(-t.n // cols) * cols * t.k
    rate = macs_per_cycle(spec, product.a.dtype) * as_stated(spec.calibration.gemm_share)
    operations = t.m * t.n * t.last_k * product.pointwise
    columns = {
        "fetch": np.where(t.first_n & ~hits["a"], a, 0) + np.where(t.first_m & ~hits["b"], b, 0),
        "weights": b,
        # Sums that other cores began are read and added to.
        "load": a + np.where(t.first_k, 0, partial),
        "compute": divided(padded, rate) + pointwise_cycles(operations, spec),
        "store": np.where(t.last_k, c, partial),
        "write_back": np.where(t.last_k & ~hits["c"], c, 0),
    }
    return Demands(t.kind_of_tile, columns, t.m * t.n * t.k, operations, product.a.dtype, mapping)


def held(product: Product, mapping: GemmMapping, spec: CpuSpec) -> dict[str, bool]:
    """Which of a, b and c (the result) lie in cache, by one rule: what the cores of one cache touch must fit
    in it. Weights are there only in the hot state, activations where the run left them on chip."""
    sizes = (product.a.size_bytes, product.b.size_bytes, product.output.size_bytes)
    one = sum(
        elements * format_bits(operand.dtype) // 8
        for elements, operand in (
            (mapping.tile_m * mapping.tile_k, product.a),
            (mapping.tile_k * mapping.tile_n, product.b),
            (mapping.tile_m * mapping.tile_n, product.output),
        )
    )
    one *= -(-mapping.tiles // spec.cores.count)
    fits = min(one * spec.cache.cores_per_cache, sum(sizes)) <= spec.cache.size_bytes
    return {
        "a": found_in_cache(product.a, fits, spec),
        "b": found_in_cache(product.b, fits, spec),
        "c": fits and product.output.place != "memory",
    }


def found_in_cache(operand: Operand, fits: bool, spec: CpuSpec) -> bool:
    """Whether an operand is in cache when its operator starts."""
    if operand.place == "chip" or spec.cache_state == "hot":
        return fits
    return False


@lru_cache(maxsize=256)
def as_stated(number: float) -> Fraction:
    """The number that a design's file states, which a float only comes near to."""
    return Fraction(str(number))


def macs_per_cycle(spec: CpuSpec, dtype: str) -> Fraction:
    """Multiplications of one core a cycle, at its best."""
    vector = spec.vector
    return vector.fma_ports * vector.lanes * as_stated(vector.products_per_lane[dtype])


def pointwise_cycles(operations: Int64Array, spec: CpuSpec) -> Int64Array:
    """Cycles of one core for pointwise operations, a lane of every port each cycle."""
    return -(-operations // (spec.vector.fma_ports * spec.vector.lanes))


def _register_tile(spec: CpuSpec, along: str) -> tuple[int, int]:
    """Rows and columns of a register tile whose vectors lie along m or n."""
    vector, broadcast = spec.library.vector_extent, spec.library.broadcast_extent
    return (vector, broadcast) if along == "m" else (broadcast, vector)


def divided(amounts: Int64Array, rate: Fraction) -> Int64Array:
    """Cycles for so many units at `rate` a cycle, rounded up exactly."""
    up, down = rate.denominator, rate.numerator
    found = [-(-amount * up // down) for amount in amounts.tolist()]
    return np.array(found, dtype=np.int64)


def _asked(product: Product, block: Block, spec: CpuSpec) -> tuple[float, ...]:
    """What a block is chosen by, in the order of the columns of `Candidates`."""
    mapping = block_mapping(product, block, spec)
    hits = held(product, mapping, spec)
    moved = sum(
        operand.size_bytes
        for name, operand in (("a", product.a), ("b", product.b), ("c", product.output))
        if not hits[name]
    )
    rows, cols = _register_tile(spec, block.along)
    high, wide = -(-mapping.tile_m // rows) * rows, -(-mapping.tile_n // cols) * cols
    rate = float(macs_per_cycle(spec, product.a.dtype)) * spec.calibration.gemm_share
    panels = format_bits(product.a.dtype) / 8 * (mapping.tile_m + mapping.tile_n) * mapping.tile_k
    sums = 2 * product.sum_bytes * mapping.tile_m * mapping.tile_n * (block.depth - 1)
    cycles = high * wide * mapping.tile_k / rate + (panels + sums) / spec.cache.bytes_per_cycle
    waves = ceil(mapping.tiles / spec.cores.count)
    return moved, waves * cycles / spec.cores.vector_clock_hz, mapping.tiles, block.rows
