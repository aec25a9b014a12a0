"""Blocked products on a GPU: which tile the library would take, and what its thread blocks ask for.

Each thread block computes one tile of sums over its part of the reduction, slab after slab. Blocks are dealt
out to multiprocessors in turn, so that edges of the matrix and the last, partly filled wave cost what they
cost. A multiprocessor that holds few blocks waits for slabs; one that holds several works on another
meanwhile. A wave's blocks lie in a rectangle of the result and share what they fetch from memory. Where a sum
is split, partial sums go to memory, and a second kernel adds them up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.devices.gpu_demands import Demands, kernels, part_of, pointwise_cycles, split_evenly
from hwsim.devices.gpu_machine import HeldBlock, Machine, Rates
from hwsim.devices.gpu_tiles import Block
from hwsim.errors import CapacityError
from hwsim.plan.mapping import GemmMapping, SplitMapping
from hwsim.plan.program import check_tiles
from hwsim.plan.tiling import TileKinds, tile_kinds
from hwsim.tensor.formats import accumulator_format, format_bits

INDEX_BITS = 2  # of each number kept by 2:4
LEAST_SLABS = 4  # of a part of a split sum: less is not worth a second kernel
PROLOGUE_SLABS = 2  # waited for before the loop and behind it: the first slab, and the results' way out
# Of a load that the cache serves, over one from memory: some 200 of 400 to 900 cycles in the microbenchmarks
# of Jia et al., arXiv 1804.06826, from Kepler to Volta (recalled).
HIT_LATENCY = 0.3
OVERFETCH_SIDE = 64  # rows of a block that fetch the other, overfetched operand anew
LARGEST_SIDE = 128  # of the tiles that large products are cut into, two to a multiprocessor


@dataclass(frozen=True, slots=True)
class Side:
    """One operand of a blocked product. `size_bytes` is all of it, as it lies in memory; `miss` the share of
    it that the cache does not hold; `rereads` how a part that several waves need is fetched: "waves" (anew
    for each rectangle of blocks), "maps" (feature maps: at most twice, since windows overlap in the cache) or
    "once". `strided` operands are read along their short side; `packed` ones were laid out by the library for
    itself, and are fetched without waste."""

    size_bytes: int
    miss: float
    rereads: str = "waves"
    strided: bool = False
    packed: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """`batch` products of m x k by k x n in one number format, as a kernel sees them. `share` is the fitted
    share of the multiply rate; `write_miss` the share of the results that leaves the cache. The second
    operand of a `structured` product is stored 2:4."""

    batch: int
    m: int
    n: int
    k: int
    dtype: str
    output_bits: int
    a: Side
    b: Side
    write_miss: float
    share: float
    slab_latency_s: float
    pointwise: int = 0
    splits: bool = True
    structured: bool = False

    @property
    def macs(self) -> int:
        return self.batch * self.m * self.n * self.k // (2 if self.structured else 1)

    @property
    def twice_weight_bits(self) -> int:
        """Twice the bits of the second operand for each step of the sum: half of the numbers, with two bits
        of index each, where it is structured."""
        bits = format_bits(self.dtype)
        return bits + INDEX_BITS if self.structured else 2 * bits


@dataclass(frozen=True, slots=True)
class Choice:
    """A tile, the number of parts of each sum, and the time that the choice was made by."""

    held: HeldBlock
    parts: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Candidates:
    """The tiles and splits that a library has for a product, each with the number of parts of each sum; and
    what they take at any rate of memory and cache, (n,) each: time of the multiprocessors, bytes from memory
    and through the cache, and where sums are split bytes of memory and time for adding them up."""

    tiles: tuple[tuple[HeldBlock, int], ...]
    compute_s: Float64Array
    memory_bytes: Float64Array
    cache_bytes: Float64Array
    added_bytes: Float64Array
    adding_s: Float64Array

    def best(self, rates: Rates) -> tuple[int, float]:
        """The first that takes the least time, and that time: the longest of multiprocessors, memory and
        cache, and adding up split sums."""
        moving_s = np.maximum(self.memory_bytes / rates.memory, self.cache_bytes / rates.cache)
        adding_s = self.added_bytes / rates.memory + self.adding_s
        seconds = np.maximum(self.compute_s, moving_s) + adding_s
        index = int(seconds.argmin())
        return index, float(seconds[index])

    def choice(self, index: int, seconds: float = 0.0) -> Choice:
        """One of them, with the time that it was chosen by."""
        return Choice(*self.tiles[index], seconds)


def best_choice(job: Job, machine: Machine, rates: Rates) -> Choice:
    """The tile and split with the least time by the closed form of `candidates`. Raises as that does."""
    found = candidates(job, machine)
    return found.choice(*found.best(rates))


def candidates(job: Job, machine: Machine) -> Candidates:
    """What the library's own model or autotuning chooses among. Raises CapacityError where no tile of the
    library fits a multiprocessor."""
    shapes = machine.blocks[job.dtype]
    if not shapes:
        raise CapacityError(
            f"no tile that {machine.library} has for {job.dtype} fits a multiprocessor: give it more "
            "registers or shared memory"
        )
    tiles = tuple((held, parts) for held in shapes for parts in _splits(job, held.block, machine))
    rows = np.array([_asked(job, held, parts, machine) for held, parts in tiles], dtype=np.float64)
    return Candidates(tiles, *rows.T)


def _splits(job: Job, block: Block, machine: Machine) -> Iterator[int]:
    """Numbers of parts of a sum: all distinct ones of whole slabs with at least a few each."""
    slabs = _count(job.k, block.k)
    seen = 0
    for wanted in machine.splits if job.splits else (1,):
        parts = _count(slabs, _count(slabs, wanted))
        if parts > seen and (parts == 1 or slabs >= LEAST_SLABS * wanted):
            seen = parts
            yield parts


def _asked(job: Job, held: HeldBlock, parts: int, machine: Machine) -> tuple[float, ...]:
    """What one of `Candidates` takes, in the order of its columns."""
    block = held.block
    tiles = job.batch * _count(job.m, block.m) * _count(job.n, block.n) * parts
    slabs = _count(_count(job.k, block.k), parts)
    rounds = _count(tiles, machine.count)
    compute_s = rounds * block_cycles(job, held, tiles, slabs, machine) / machine.clock_hz
    out_bytes = job.batch * job.m * job.n * job.output_bits / 8
    from_memory = sum(memory_bytes(job, held, tiles, parts, machine)) + job.write_miss * out_bytes
    passed = sum(_passed_bytes(job, block)) + out_bytes
    if parts == 1:
        return compute_s, from_memory, passed, 0.0, 0.0
    # Partial sums of the last round are written behind it, and all are read again.
    return compute_s, from_memory, passed, _partial_bytes(job, parts) * (1 + 1 / rounds), _latency_s(job)


def block_cycles(
    job: Job, held: HeldBlock, tiles: int, slabs: int, machine: Machine, rates: Rates | None = None
) -> float:
    """Cycles that one thread block occupies its multiprocessor, for a tile computed whole over `slabs` slabs:
    the larger of its products and its share of the wait for a slab, and the wait before and behind the loop.
    Blocks that a multiprocessor holds at once share the waits. With one stage of slabs a block waits, for the
    latency and until memory has delivered the slabs of all blocks at its rate, before it multiplies; `rates`
    are for such tiles alone."""
    block = held.block
    rate = machine.macs_per_cycle[job.dtype] * job.share
    rate *= machine.structured_rate[job.dtype] if job.structured else 1
    products = block.m * block.n * block.k / (rate * block.side_share)
    share = min(held.resident, _count(tiles, machine.count))
    wait = _latency_s(job) * machine.clock_hz / share
    each = max(products, wait)
    if block.stages == 1:
        assert rates is not None
        slab = block.k * (block.m * job.a.miss + block.n * job.b.miss) * format_bits(job.dtype) / 8
        arrived_s = min(tiles, machine.count * held.resident) * slab / rates.memory
        each = max(products, wait + (products + arrived_s * machine.clock_hz) / share)
    return slabs * each + PROLOGUE_SLABS * wait


def _latency_s(job: Job) -> float:
    """Of a slab: between a cache hit's and a miss's, as the operands miss."""
    miss = max(job.a.miss, job.b.miss)
    return job.slab_latency_s * (HIT_LATENCY + (1 - HIT_LATENCY) * miss)


def memory_bytes(job: Job, held: HeldBlock, tiles: int, parts: int, machine: Machine) -> tuple[int, int]:
    """Bytes of each operand that memory delivers in all. A wave's blocks form the rectangle of the result, of
    whole tiles, with the least border; each rectangle fetches its rows and columns anew."""
    block = held.block
    rows, cols = _count(job.m, block.m), _count(job.n, block.n)
    wave = max(1.0, min(machine.count * held.resident, tiles) / parts)
    high = min(rows, max(sqrt(wave * block.n / block.m), wave / cols))
    wide = min(cols, max(wave / high, 1.0))
    waves = max(1.0, rows * cols / (high * wide))
    a = _rereads(job.a, high * block.m / job.m * waves, cols)
    b = _rereads(job.b, wide * block.n / job.n * waves, rows)
    spans = _spans(job, machine) if job.a.strided or job.b.strided else (0.0, 0.0)
    return (
        _overfetched(job.a, a, spans[0], _count(job.n, OVERFETCH_SIDE), machine),
        _overfetched(job.b, b, spans[1], _count(job.m, OVERFETCH_SIDE), machine),
    )


def _spans(job: Job, machine: Machine) -> tuple[float, float]:
    """Bytes between the first and the last of each operand under the largest tiles of one wave, laid along m
    as far as that goes."""
    most = 2 * machine.count
    along_m = min(_count(job.m, LARGEST_SIDE), most)
    under_a = min(1.0, along_m * LARGEST_SIDE / job.m)
    under_b = min(1.0, max(1, most // along_m) * LARGEST_SIDE / job.n)
    return job.a.size_bytes / job.batch * under_a, job.b.size_bytes / job.batch * under_b


def _rereads(side: Side, times: float, tiles: int) -> float:
    """How often an operand is fetched, when its tiles meet `tiles` tiles of the other."""
    if side.rereads == "once":
        return 1.0
    if side.rereads == "maps":
        return min(tiles, 2.0)
    return max(1.0, min(times, tiles))


def _overfetched(side: Side, times: float, span_bytes: float, blocks: int, machine: Machine) -> int:
    """Bytes from memory for an operand that is fetched `times` times, and more where the rows under one wave
    fall into too many pages: each fetch then brings bytes that nobody reads before they are gone, and each of
    `blocks` blocks along the other side fetches anew."""
    fitted = machine.fitted
    size = side.size_bytes * side.miss
    if side.packed:
        return ceil(size * times)
    beyond = fitted.overfetch_beyond_bytes
    if side.strided and beyond is not None and span_bytes > beyond:
        return ceil(size * max(times, blocks) * fitted.overfetch)
    return ceil(size * times * (fitted.overfetch if fitted.overfetch_of == "all" else 1.0))


def _passed_bytes(job: Job, block: Block) -> tuple[int, int]:
    """Bytes of each operand that pass the cache: each tile's own, the second operand's once for a cluster."""
    bits = format_bits(job.dtype)
    rows = _count(job.m, block.m)
    a = job.batch * job.m * job.k * _count(job.n, block.n) * bits
    b = job.batch * job.k * job.n * rows * job.twice_weight_bits
    return -(-a // 8), -(-b // (16 * min(block.cluster, rows)))


def _partial_bytes(job: Job, parts: int) -> int:
    return job.batch * job.m * job.n * parts * format_bits(accumulator_format(job.dtype)) // 8


def block_demands(job: Job, choice: Choice, machine: Machine, rates: Rates | None = None) -> Demands:
    """What the thread blocks of a choice ask for. `rates` are for tiles of one stage; see `block_cycles`."""
    block, parts = choice.held.block, choice.parts
    depth = _count(_count(job.k, block.k), parts) * block.k
    mapping = GemmMapping(
        job.batch, job.m, job.n, job.k,
        min(block.m, job.m), min(block.n, job.n), min(depth, job.k),
        sharing=min(block.cluster, _count(job.m, block.m)),
    )  # fmt: skip
    check_tiles(mapping.tiles, "the operator needs", "", "use a smaller batch")
    t = tile_kinds(mapping)
    slabs = -(-t.k // block.k)
    found = [block_cycles(job, choice.held, mapping.tiles, int(count), machine, rates) for count in slabs]
    cycles = np.array([ceil(one) for one in found], dtype=np.int64)
    bits = format_bits(job.dtype)
    a = -(-t.m * t.k * bits // 8)
    b = -(-t.k * t.n * job.twice_weight_bits // (16 * mapping.sharing))
    delivered = _shares(job, mapping, choice.held, (t.m * t.k, t.k * t.n), machine)
    out = -(-t.m * t.n * job.output_bits // 8)
    head = -(-delivered // np.maximum(1, slabs))
    if parts > 1:
        out = t.m * t.n * (format_bits(accumulator_format(job.dtype)) // 8)
    columns = {
        "fetch": head,
        "stream": delivered - head,
        "weights": b,
        "load": a,
        "compute": cycles + pointwise_cycles(t.m * t.n * job.pointwise * (parts == 1), machine),
        "store": out,
        "write_back": out if parts > 1 else part_of(out, job.write_miss),
    }
    macs = t.m * t.n * t.k // (2 if job.structured else 1)
    actions = {
        (machine.units[job.dtype], f"mac_{job.dtype}"): macs,
        ("shared_memory", "write"): a + b,
        ("shared_memory", "read"): _shared_reads(t, block, bits),
    }
    if parts == 1 and job.pointwise:
        actions["lanes", f"op_{job.dtype}"] = t.m * t.n * job.pointwise
    one = Demands(t.kind_of_tile, columns, np.full(len(t.m), choice.held.resident), actions, mapping)
    if parts == 1:
        return one
    adding = _adding(job, parts, machine)
    return replace(kernels(one, adding), mapping=SplitMapping(mapping, len(adding.kind_of_tile)))


def _shares(
    job: Job, mapping: GemmMapping, held: HeldBlock, sizes: tuple[Int64Array, Int64Array], machine: Machine
) -> Int64Array:
    """(kinds,) bytes from memory of each block: its share of what memory delivers in all, rounded up."""
    parts = _count(mapping.k, mapping.tile_k)
    totals = memory_bytes(job, held, mapping.tiles, parts, machine)
    passes = (
        job.batch * job.m * job.k * _count(job.n, mapping.tile_n),
        job.batch * job.k * job.n * _count(job.m, mapping.tile_m),
    )
    found = np.zeros(len(sizes[0]), dtype=np.int64)
    for size, total, passed in zip(sizes, totals, passes, strict=True):
        found += np.array([-(-int(one) * total // passed) for one in size], dtype=np.int64)
    return found


def _shared_reads(t: TileKinds, block: Block, bits: int) -> Int64Array:
    """Bytes that threads read from shared memory: each its rows and columns of the tile, once a step. Threads
    lie in a square of the tile."""
    reads = sqrt(block.threads) * (block.m + block.n) * bits / 8
    tile: Int64Array = np.ceil(reads * t.k * (t.m * t.n) / (block.m * block.n)).astype(np.int64)
    return tile


def _adding(job: Job, parts: int, machine: Machine) -> Demands:
    """The kernel that adds up split sums, one thread block a multiprocessor."""
    results = job.batch * job.m * job.n
    count = min(machine.count, results)
    read = split_evenly(_partial_bytes(job, parts), count)
    done = split_evenly(results, count)
    added = done * (parts - 1 + job.pointwise)
    out = -(-done * job.output_bits // 8)
    columns = {
        "fetch": np.zeros(count, dtype=np.int64),
        "stream": read,
        "load": read,
        "compute": ceil(_latency_s(job) * machine.clock_hz) + pointwise_cycles(added, machine),
        "store": out,
        "write_back": part_of(out, job.write_miss),
    }
    actions = {("lanes", f"op_{accumulator_format(job.dtype)}"): added}
    return Demands(np.arange(count, dtype=np.int32), columns, np.ones(count, dtype=np.int64), actions)


def _count(total: int, size: int) -> int:
    return -(-total // size)
