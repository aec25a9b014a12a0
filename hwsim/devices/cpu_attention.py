"""Attention in one operator on a CPU. As on a GPU (FlashAttention, Dao et al., 2022) a task is a block of
queries of one head, which walks over the keys and values that they see; its scores stay in the core's own
cache. Keys are not cut into parts, so that few heads with one query each leave cores idle."""

from __future__ import annotations

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.design.kinds.cpu import CpuSpec
from hwsim.devices.cpu_gemm import (
    Demands,
    as_stated,
    bytes_of,
    divided,
    found_in_cache,
    macs_per_cycle,
    pointwise_cycles,
)
from hwsim.devices.cpu_stream import in_caches
from hwsim.plan.attention import AttentionMapping
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import Residency
from hwsim.workload.operators import Attention

# Queries of a block for at least so many queries, and keys: those of PyTorch's kernel (recalled from its
# FlashAttentionKernel.cpp).
QUERIES = ((768, 256), (192, 64), (1, 32))
KEYS = 512

# Of each score: the running maximum, the exponential of the difference, and the sum. Of each number of a
# result, for each block of keys: what was there is scaled to the new maximum; at the end it is divided.
SCORE_PASSES = 3


def attention_mapping(problem: Attention) -> AttentionMapping:
    """Blocks of queries and keys."""
    queries = next(block for least, block in QUERIES if least <= problem.Q)
    return AttentionMapping(problem, min(queries, problem.Q), min(KEYS, problem.S))


def attention_demands(problem: Attention, residency: Residency, spec: CpuSpec) -> Demands:
    """What the tasks ask for. Raises CapacityError where there are too many to simulate."""
    mapping = attention_mapping(problem)
    check_tiles(mapping.tiles, "the operator needs", "", "use a smaller batch")
    kinds, of_tile = mapping.kinds()
    rows, keys = kinds[:, 0], kinds[:, 1]
    q, k, v, *masks = residency.operands
    dtype, out = q.dtype, residency.output
    queries = bytes_of(rows * problem.D, q)
    held = bytes_of(keys * problem.D, k) + bytes_of(keys * problem.V, v)
    mask = np.zeros_like(rows)
    for operand in masks:
        mask += bytes_of(np.minimum(rows * keys, operand.elements), operand)
    results = bytes_of(rows * problem.V, out)
    pairs, blocks = rows * keys, -(-keys // mapping.tile_k)
    operations = pairs * (SCORE_PASSES + len(masks)) + rows * problem.V * (blocks + 1)
    fits = in_caches([*residency.operands, out], spec)
    stays = fits and out.place != "memory"
    columns = {
        "fetch": _fetched(mapping, kinds, np.bincount(of_tile), residency, fits, spec),
        "weights": held + mask,
        "load": queries,
        "compute": _cycles(problem, rows, keys, held, dtype, spec) + pointwise_cycles(operations, spec),
        "store": results,
        "write_back": np.zeros_like(results) if stays else results,
    }
    return Demands(of_tile, columns, pairs * (problem.D + problem.V), operations, dtype, mapping)


def _fetched(
    mapping: AttentionMapping,
    kinds: Int64Array,
    counts: Int64Array,
    residency: Residency,
    fits: bool,
    spec: CpuSpec,
) -> Int64Array:
    """(kinds,) bytes from memory, of operands that are not in a cache (`fits`: all of them have room there):
    queries once, what is added to scores once, and keys and values once where tasks share them, else anew
    for each task."""
    p, (rows, keys) = mapping.problem, kinds.T
    q, k, v, *masks = (0 if found_in_cache(o, fits, spec) else o.size_bytes for o in residency.operands)
    walked = int(counts @ keys) if _shared(mapping, residency, spec) else p.B * p.G * mapping.places_read
    found = _parts_of(q, rows, int(counts @ rows))
    found += _parts_of((k + v) * mapping.places_read // p.S, keys, walked)
    for mask in masks:
        found += _parts_of(mask, rows * keys, p.B * p.H * p.Q * p.S)
    return found


def _cycles(
    problem: Attention, rows: Int64Array, keys: Int64Array, held: Int64Array, dtype: str, spec: CpuSpec
) -> Int64Array:
    """Cycles of both products. Several queries are register tiles, computed whole; one is a vector, which
    keys and values stream past."""
    rate = macs_per_cycle(spec, dtype)
    if problem.Q == 1:
        cycles = divided(rows * keys * (problem.D + problem.V), rate)
        core_rate = spec.calibration.gemv_bytes_per_cycle
        return cycles if core_rate is None else np.maximum(cycles, divided(held, as_stated(core_rate)))
    wide, narrow = spec.library.vector_extent, spec.library.broadcast_extent
    high = -(-rows // narrow) * narrow
    scores = -(-keys // wide) * wide * problem.D
    values = keys * (-(-problem.V // wide) * wide)
    return divided(high * (scores + values), rate * as_stated(spec.calibration.gemm_share))


def _shared(mapping: AttentionMapping, residency: Residency, spec: CpuSpec) -> bool:
    """Whether a cache holds the keys and values that its cores walk over at once, so that memory delivers
    them once: neighbouring tasks share those of a head."""
    p = mapping.problem
    a_head = sum(o.size_bytes for o in residency.operands[1:3]) / (p.B * p.G)
    sharing = mapping.blocks * p.H // p.G
    heads = min(p.B * p.G, -(-spec.cache.cores_per_cache // sharing))
    return a_head * heads <= spec.cache.size_bytes


def _parts_of(amount: int, parts: Int64Array, whole: int) -> Int64Array:
    """(kinds,) each task's share of an amount, rounded up."""
    return np.array([-(-amount * int(some) // whole) for some in parts], dtype=np.int64)
