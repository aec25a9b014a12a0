"""Attention in one kernel on a GPU, whose scores exist only in the registers of thread blocks (Dao et al.,
"FlashAttention", NeurIPS 2022; Dao, "FlashAttention-2", 2023).

A thread block holds a block of queries and walks over the keys and values that they see, block by block: a
product of queries and keys, a running softmax, a product with the values. Memory delivers keys and values
once where the cache can hold those of one head, and they pass the cache again for each block of queries.
Where there are too few blocks for the multiprocessors, as in decoding, keys are cut into parts, and a second
kernel joins what the parts found (Dao et al., "Flash-Decoding", 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from types import MappingProxyType

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.design.kinds.gpu import GpuMultiprocessorsSpec
from hwsim.devices.gpu_blocked import HIT_LATENCY, PROLOGUE_SLABS
from hwsim.devices.gpu_demands import Demands, kernels, part_of, pointwise_cycles, split_evenly
from hwsim.devices.gpu_machine import Machine
from hwsim.devices.gpu_tiles import SIDE, SIDE_LOSS
from hwsim.errors import CapacityError
from hwsim.plan.attention import AttentionMapping, places_seen
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import Operand, Residency
from hwsim.tensor.formats import format_bits
from hwsim.workload.operators import Attention

SLICE = 32  # numbers of a head that a sliced kernel has in shared memory, twice


@dataclass(frozen=True, slots=True)
class AttentionBlock:
    """What a thread block works on at a time: `queries` rows and `keys` places, for heads of up to `size`
    numbers; its threads and the registers of each, and how many blocks of keys and values it has in shared
    memory, beside the queries. A `sliced` kernel has scores there instead, and slices of all operands, so
    that queries come again for each block of keys."""

    queries: int
    keys: int
    size: int
    threads: int = 128
    registers: int = 255
    stages: int = 1
    sliced: bool = False

    def held(self, problem: Attention) -> int:
        """Numbers in shared memory."""
        if self.sliced:
            return self.queries * self.keys + 2 * (self.queries + self.keys) * SLICE
        return self.queries * problem.D + self.stages * self.keys * (problem.D + problem.V)


@dataclass(frozen=True, slots=True)
class AttentionMenu:
    """Kernels of one generation. `large` for many queries, `few` for up to as many as its blocks have.
    `exponential` is how many pointwise operations take the time of one exponential; `overlaps` says that one
    group of threads does its softmax while another multiplies."""

    large: tuple[AttentionBlock, ...]
    few: tuple[AttentionBlock, ...]
    exponential: int = 4
    overlaps: bool = False


# The kernels of CUTLASS that xFormers and PyTorch take for plain floats, and before Ampere for all.
_WIDE = AttentionBlock(32, 128, 256, registers=168, sliced=True)
_CUTLASS = AttentionMenu((AttentionBlock(64, 64, 64, registers=168, sliced=True), _WIDE), (_WIDE,))
# FlashAttention-2's own kernels, and those for few queries that its split version has.
_FLASH_2 = AttentionMenu(
    (AttentionBlock(128, 128, 64), AttentionBlock(128, 64, 128), AttentionBlock(64, 64, 256)),
    (AttentionBlock(64, 256, 64), AttentionBlock(64, 128, 128), AttentionBlock(64, 64, 256)),
)
# FlashAttention-3 (Shah et al., 2024): three groups of threads, two blocks of keys, softmax behind products.
_FLASH_3 = AttentionMenu(
    (
        AttentionBlock(192, 128, 64, 384, 168, 2),
        AttentionBlock(128, 128, 128, 384, 168, 2),
        AttentionBlock(128, 80, 256, 384, 168, 2),
    ),
    _FLASH_2.few,
    exponential=8,
    overlaps=True,
)
# Block sizes and registers as the sources of these libraries have them (recalled); exponentials as the CUDA
# C++ programming guide's table of arithmetic throughput: a quarter of the rate of additions, from 9.0 on an
# eighth.
MENUS: Mapping[str, AttentionMenu] = MappingProxyType(
    {
        "cublas_7": _CUTLASS,
        "cublas_8": _CUTLASS,
        "cublas_10": _CUTLASS,
        "cublas_11": _FLASH_2,
        "cublas_12": _FLASH_3,
    }
)

# When FlashAttention-2 cuts keys into parts, and into how many (recalled from its num_splits_heuristic): not
# where blocks fill so much of the machine, else as many parts as reach so much of the best use of its waves.
FULL_SHARE = 0.8
WAVE_SHARE = 0.85
MOST_PARTS = 128
LEAST_SIDE = 16  # of a block: one fragment of a tensor unit

# Of each score beside its exponential: the running maximum, the difference from it, and the sum. Of each
# number of a result, for each block of keys: what was there is scaled to the new maximum. These counts are
# hwsim's reading of FlashAttention-2, algorithm 1.
SCORE_PASSES = 3
SUM_BITS = 32  # of what parts hand on: floats, and a maximum with a sum for each row


@dataclass(frozen=True, slots=True)
class AttentionJob:
    """A way to do attention, and the operands as the kernel meets them, each with the share of it that the
    cache does not hold. `reread` is how often memory delivers keys and values."""

    mapping: AttentionMapping
    block: AttentionBlock
    resident: int
    menu: AttentionMenu
    operands: tuple[tuple[Operand, float], ...]
    output_bits: int
    write_miss: float
    reread: float

    @property
    def dtype(self) -> str:
        return self.operands[0][0].dtype


def attention_job(
    problem: Attention,
    residency: Residency,
    misses: tuple[tuple[float, ...], float],
    room: GpuMultiprocessorsSpec,
    cache_bytes: int,
    machine: Machine,
) -> AttentionJob:
    """The kernel that the library takes. `misses` are of operands and result. Raises CapacityError where no
    block of it fits a multiprocessor."""
    dtype = residency.operands[0].dtype
    plain = machine.units[dtype].startswith("plain")
    menu = replace(_CUTLASS, exponential=MENUS[machine.library].exponential)
    menu = menu if plain else MENUS[machine.library]
    packed = problem.Q == 1
    one = AttentionMapping(problem, 1, 1, packed=packed)
    few, held = _fitting(problem, menu.few, dtype, room, machine.library)
    parts = _parts(
        one.heads * -(-one.rows // few.queries), -(-places_seen(problem) // few.keys), 2 * machine.count
    )
    if parts == 1 and one.rows > few.queries:
        few, held = _fitting(problem, menu.large, dtype, room, machine.library)
    adding = min(machine.count, one.heads * one.rows) if parts > 1 else 0
    mapping = AttentionMapping(problem, few.queries, few.keys, parts, packed, adding)
    check_tiles(mapping.tiles, "the operator needs", "", "use a smaller batch")
    # Blocks that share keys and do not run at the same time fetch them anew, unless the cache keeps a head's.
    sharing = mapping.blocks * (1 if packed else problem.H // problem.G)
    waves = max(1.0, sharing / (held * machine.count))
    a_head = sum(o.size_bytes for o in residency.operands[1:3]) / (problem.B * problem.G)
    lost = min(1.0, max(0.0, 2 * a_head / cache_bytes - 1))
    operands = tuple(zip(residency.operands, misses[0], strict=True))
    bits = format_bits(residency.output.dtype)
    return AttentionJob(mapping, few, held, menu, operands, bits, misses[1], 1 + (waves - 1) * lost)


def _parts(blocks: int, key_blocks: int, slots: int) -> int:
    """Into how many parts the keys of each block are cut, for so many thread blocks side by side."""
    if blocks >= FULL_SHARE * slots:
        return 1
    most = min(MOST_PARTS, slots, key_blocks)
    # Parts are whole blocks of keys: of the numbers that give equally long ones, only the least.
    counts = [n for n in range(1, most + 1) if n == 1 or -(-key_blocks // n) != -(-key_blocks // (n - 1))]
    used = [blocks * n / slots / ceil(blocks * n / slots) for n in counts]
    return next(n for n, share in zip(counts, used, strict=True) if share >= WAVE_SHARE * max(used))


def _fitting(
    problem: Attention,
    menu: tuple[AttentionBlock, ...],
    dtype: str,
    room: GpuMultiprocessorsSpec,
    library: str,
) -> tuple[AttentionBlock, int]:
    """The kernel for heads of this size, and how many of its blocks a multiprocessor keeps under way. Where
    none fits, blocks of fewer keys, then of fewer queries."""
    size = max(problem.D, problem.V)
    block = next((one for one in menu if size <= one.size), menu[-1])
    while not (resident := _resident(problem, block, dtype, room)):
        if block.keys > LEAST_SIDE:
            block = replace(block, keys=block.keys // 2)
        elif block.queries > LEAST_SIDE:
            block = replace(block, queries=block.queries // 2)
        else:
            raise CapacityError(
                f"no block of the attention kernels of {library} for heads of {size} numbers in {dtype} fits "
                "a multiprocessor: give it more registers, threads or shared memory"
            )
    return block, resident


def _resident(problem: Attention, block: AttentionBlock, dtype: str, room: GpuMultiprocessorsSpec) -> int:
    """Thread blocks that a multiprocessor keeps under way, as registers, threads and shared memory allow."""
    return min(
        room.registers // (block.threads * block.registers),
        room.threads // block.threads,
        room.shared_memory_bytes // max(1, block.held(problem) * format_bits(dtype) // 8),
        room.blocks,
    )


def attention_demands(job: AttentionJob, machine: Machine) -> Demands:
    """What the thread blocks of a kernel ask for, and those that join parts."""
    mapping, p = job.mapping, job.mapping.problem
    kinds, kind_of_tile = mapping.kinds()
    rows, keys = kinds[:, 0], kinds[:, 1]
    bits, pairs = format_bits(job.dtype), rows * keys
    blocks = -(-keys // job.block.keys)
    queries = -(-rows * p.D * bits // 8) * (np.maximum(blocks, 1) if job.block.sliced else 1)
    held = -(-keys * (p.D + p.V) * bits // 8)
    mask = np.zeros_like(rows)
    for operand, _ in job.operands[3:]:
        mask += -(-np.minimum(pairs, operand.elements) * format_bits(operand.dtype) // 8)
    delivered = _delivered(job, kinds, np.bincount(kind_of_tile))
    head = -(-delivered // np.maximum(1, blocks))
    split = mapping.parts > 1
    out = rows * (p.V + 2) * SUM_BITS // 8 if split else -(-rows * p.V * job.output_bits // 8)
    passes = SCORE_PASSES + 1 + len(job.operands[3:])
    operations = pairs * passes + rows * p.V * (blocks + (not split))
    columns = {
        "fetch": head,
        "stream": delivered - head,
        "weights": held + mask,
        "load": queries,
        "compute": _cycles(job, rows, blocks, machine),
        "store": out,
        "write_back": out if split else part_of(out, job.write_miss),
    }
    actions = {
        (machine.units[job.dtype], f"mac_{job.dtype}"): pairs * (p.D + p.V),
        ("lanes", f"op_{job.dtype}"): operations,
        ("shared_memory", "write"): queries + held,
        # Queries go to registers; each warp reads all keys and values for its own rows.
        ("shared_memory", "read"): queries + held * (job.block.threads // 32),
    }
    resident = np.full(len(rows), job.resident, dtype=np.int64)
    one = Demands(kind_of_tile, columns, resident, actions, mapping)
    return one if not split else replace(kernels(one, _joining(job, machine)), mapping=mapping)


def _cycles(job: AttentionJob, rows: Int64Array, blocks: Int64Array, machine: Machine) -> Int64Array:
    """(kinds,) cycles of a multiprocessor. Tensor units compute blocks whole; plain ones the rows that are
    there. Products and softmax take turns unless they overlap, and are no shorter than the wait for a block
    of keys, which blocks that share a multiprocessor share."""
    p, block = job.mapping.problem, job.block
    high = rows if machine.units[job.dtype].startswith("plain") else np.full_like(rows, block.queries)
    loss = 1 + SIDE_LOSS * (SIDE / block.queries + SIDE / block.keys)
    rate = machine.macs_per_cycle[job.dtype] * machine.products[job.dtype].gemm_share / loss
    products = high * block.keys * (p.D + p.V) / rate
    passes = SCORE_PASSES + job.menu.exponential + len(job.operands[3:])
    softmax = (high * block.keys * passes + high * p.V) / machine.lanes
    each = np.maximum(products, softmax) if job.menu.overlaps else products + softmax
    miss = max(share for _, share in job.operands[1:3])
    latency_s = machine.products[job.dtype].slab_latency_s * (HIT_LATENCY + (1 - HIT_LATENCY) * miss)
    tiles = job.mapping.tiles - job.mapping.adding
    wait = latency_s * machine.clock_hz / min(job.resident, -(-tiles // machine.count))
    found: Int64Array = np.ceil(blocks * np.maximum(each, wait) + PROLOGUE_SLABS * wait).astype(np.int64)
    return found + pointwise_cycles(high * p.V, machine)


def _delivered(job: AttentionJob, kinds: Int64Array, counts: Int64Array) -> Int64Array:
    """(kinds,) bytes from memory: each block's share, rounded up, of what memory delivers in all."""
    mapping, p = job.mapping, job.mapping.problem
    rows, keys = (counts @ kinds).tolist()
    reached = mapping.places_read
    (q, q_miss), (k, k_miss), (v, v_miss), *masks = job.operands
    of_queries = ceil(q.size_bytes * q_miss)
    of_keys = ceil((k.size_bytes * k_miss + v.size_bytes * v_miss) * job.reread)
    found = np.zeros(len(kinds), dtype=np.int64)
    for i, (high, wide) in enumerate(kinds.tolist()):
        found[i] = -(-of_queries * high // rows) + -(-of_keys * reached * wide // (p.S * keys))
        for mask, miss in masks:
            found[i] += -(-ceil(mask.size_bytes * miss) * high * wide // (mapping.heads * mapping.rows * p.S))
    return found


def _joining(job: AttentionJob, machine: Machine) -> Demands:
    """The kernel that joins what parts found: each is scaled to the common maximum, and all are added."""
    mapping, p = job.mapping, job.mapping.problem
    results = mapping.heads * mapping.rows
    count = mapping.adding
    done = split_evenly(results, count)
    read = done * mapping.parts * (p.V + 2) * SUM_BITS // 8
    out = -(-done * p.V * job.output_bits // 8)
    work = done * mapping.parts * p.V * 2
    latency_s = machine.products[job.dtype].slab_latency_s
    columns = {
        "fetch": np.zeros(count, dtype=np.int64),
        "stream": read,
        "load": read,
        "compute": ceil(latency_s * machine.clock_hz) + pointwise_cycles(work, machine),
        "store": out,
        "write_back": part_of(out, job.write_miss),
    }
    actions = {("lanes", "op_fp32"): work}
    return Demands(np.arange(count, dtype=np.int32), columns, np.ones(count, dtype=np.int64), actions)
