"""Work that streams through a GPU: matrices by narrow matrices and vectors, products with stored-sparse
weights, and pointwise operators. Equal tasks, rows of a result or results, are dealt out to thread blocks."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.design.kinds.gpu import LOAD_LATENCY_S
from hwsim.devices.gpu_blocked import HIT_LATENCY, PROLOGUE_SLABS, Job
from hwsim.devices.gpu_demands import Demands, part_of, pointwise_cycles, split_evenly
from hwsim.devices.gpu_machine import Machine
from hwsim.devices.gpu_tiles import NARROW_STEP
from hwsim.plan.residency import Operand
from hwsim.plan.shares import RowMapping, even_ends
from hwsim.tensor.formats import format_bits

# Thread blocks of a streaming kernel that a multiprocessor keeps under way: enough to hide waits.
RESIDENT = 4
# Operations of a pointwise kernel that are worth a thread block: 128 threads with four elements each, as
# PyTorch's have it (recalled).
BLOCK_OPERATIONS = 512
# Rows of the wide operand that one block takes at least, one a thread for each few columns of the narrow one,
# all of which it reads.
NARROW_ROWS = 32
# Lane cycles of one load of 32 bits in a narrow product, whose operands come from the cache one by one:
# both parts of Pascal that DeepBench measured reach an eighth of their rate in fp32 with 16 columns. And
# threads of such a kernel that a multiprocessor keeps under way, as 80 registers a thread would have it:
# where the columns of all rows are under way at once, memory delivers the wide operand once for all of them
# (Titan X Pascal with 4,608 rows), else again for each few (with 6,144). Both were read from DeepBench's
# products with N = 16, by hand.
LANE_CYCLES = 8
NARROW_THREADS = 768
HEAD_BYTES = 4  # of a streaming block: the first number from memory is waited for, the rest streams past


def blocks_for(tasks: int, machine: Machine, resident: int = RESIDENT) -> int:
    """Thread blocks of a streaming kernel: as many as are under way at once, no more than tasks."""
    return max(1, min(tasks, resident * machine.count))


def narrow_demands(job: Job, machine: Machine) -> Demands:
    """A product of which one side is narrow: the wide operand streams past, and again for each few rows or
    columns of the narrow one. Tasks are its rows."""
    wide_a = job.m >= job.n
    rows, narrow = (job.m, job.n) if wide_a else (job.n, job.m)
    wide, small = (job.a, job.b) if wide_a else (job.b, job.a)
    times = -(-narrow // NARROW_STEP)
    tasks = job.batch * rows
    apart = tasks * times > NARROW_THREADS * machine.count
    wanted = max(job.batch, min(tasks, -(-tasks * times // NARROW_ROWS)))
    # Blocks of a matrix-vector product only stream, all alike: one stands for all of its multiprocessor.
    count = blocks_for(wanted, machine, RESIDENT if narrow > 1 else 1)
    done = split_evenly(tasks, count)
    once = -(-done * job.k * format_bits(job.dtype) // 8)
    macs = done * narrow * job.k
    results = done * narrow
    # A load brings several numbers of the formats of tensor units; of int8 in plain units it does not.
    plain = machine.units[job.dtype].startswith("plain")
    a_load = 1.0 if plain else 32 / format_bits(job.dtype)
    rate = min(machine.macs_per_cycle[job.dtype], machine.lanes * a_load / LANE_CYCLES)
    wait = _wait_cycles(count, job.slab_latency_s, wide.miss, machine)
    out = -(-results * job.output_bits // 8)
    in_wide, in_small = ("load", "weights") if wide_a else ("weights", "load")
    columns = {
        "stream": part_of(once * (times if apart else 1), wide.miss)
        + part_of(split_evenly(small.size_bytes, count), small.miss),
        in_wide: once * times,
        # All of a product's own, or those of several products in one block.
        in_small: np.maximum(-(-small.size_bytes // job.batch), split_evenly(small.size_bytes, count)),
        "compute": np.ceil(macs / rate + wait).astype(np.int64)
        + pointwise_cycles(results * job.pointwise, machine),
        "store": out,
        "write_back": part_of(out, job.write_miss),
    }
    return _demands(
        columns,
        {(machine.units[job.dtype], f"mac_{job.dtype}"): macs, **_lanes(results * job.pointwise, job.dtype)},
        RowMapping(job.batch, job.m, job.n, job.k, "m" if wide_a else "n", even_ends(tasks, count)),
    )


def csr_demands(job: Job, nonzeros: int, machine: Machine) -> Demands:
    """Weights in CSR, a row for each column of the product, by a dense matrix. A multiprocessor walks the
    stored weights of its rows once and gathers a number of the dense operand for each product; the longer of
    the two decides."""
    fitted = machine.fitted
    count = blocks_for(job.n, machine)
    stored = split_evenly(nonzeros, count)
    macs = stored * job.m
    results = split_evenly(job.m * job.n, count)
    walk, gather = fitted.csr_cycles_per_nonzero, fitted.csr_cycles_per_product
    cycles = np.maximum(stored * walk, macs * gather)
    rate = machine.macs_per_cycle[job.dtype]
    weights = split_evenly(job.b.size_bytes, count)
    wait = _wait_cycles(count, LOAD_LATENCY_S, job.b.miss, machine)
    gathered = np.minimum(macs * (format_bits(job.dtype) // 8 or 1), job.a.size_bytes)
    out = -(-results * job.output_bits // 8)
    columns = {
        "stream": part_of(weights, job.b.miss) + part_of(split_evenly(job.a.size_bytes, count), job.a.miss),
        "weights": weights,
        "load": np.maximum(gathered, split_evenly(job.a.size_bytes, count)),
        "compute": np.ceil(np.maximum(cycles, macs / rate) + wait).astype(np.int64)
        + pointwise_cycles(results * job.pointwise, machine),
        "store": out,
        "write_back": part_of(out, job.write_miss),
    }
    return _demands(
        columns,
        {(machine.units[job.dtype], f"mac_{job.dtype}"): macs, **_lanes(results * job.pointwise, job.dtype)},
        RowMapping(job.batch, job.m, job.n, job.k, "n", even_ends(job.n, count), sparse=True),
    )


def vector_demands(
    operands: Sequence[tuple[Operand, float]],
    output: Operand,
    write_miss: float,
    operations: int,
    repeated_bytes: int,
    machine: Machine,
) -> Demands:
    """A pointwise, pooling or moving operator of so many operations in all. Operands come with the share of
    them that the cache does not hold; so many of their bytes are read from it again."""
    count = blocks_for(-(-operations // BLOCK_OPERATIONS), machine)
    work = split_evenly(operations, count)
    zero = np.zeros(count, dtype=np.int64)
    out = split_evenly(output.size_bytes, count)
    missed = max((miss for _, miss in operands), default=0.0)
    wait = ceil(_wait_cycles(count, LOAD_LATENCY_S, missed, machine))
    columns = {
        "stream": sum((part_of(split_evenly(o.size_bytes, count), miss) for o, miss in operands), zero),
        "load": sum((split_evenly(o.size_bytes, count) for o, _ in operands), zero)
        + split_evenly(repeated_bytes, count),
        "compute": pointwise_cycles(work, machine) + wait,
        "store": out,
        "write_back": part_of(out, write_miss),
    }
    return _demands(columns, _lanes(work, output.dtype))


def moving_demands(
    read_bytes: int, written_bytes: int, operations: int, dtype: str, machine: Machine
) -> Demands:
    """A kernel that reads memory, does a little and writes memory, such as a transform of feature maps."""
    count = RESIDENT * machine.count
    work = split_evenly(operations, count)
    wait = ceil(_wait_cycles(count, LOAD_LATENCY_S, 1.0, machine))
    columns = {
        "stream": split_evenly(read_bytes, count),
        "load": split_evenly(read_bytes, count),
        "compute": pointwise_cycles(work, machine) + wait,
        "store": split_evenly(written_bytes, count),
        "write_back": split_evenly(written_bytes, count),
    }
    return _demands(columns, _lanes(work, dtype))


def _wait_cycles(count: int, latency_s: float, miss: float, machine: Machine) -> float:
    """Cycles of its multiprocessor that each of `count` blocks waits for its first operand and behind its
    last result. `miss` is the share of loads that the cache does not serve. Blocks of one multiprocessor
    share the waits."""
    latency_s *= HIT_LATENCY + (1 - HIT_LATENCY) * miss
    return PROLOGUE_SLABS * latency_s * machine.clock_hz / -(-count // machine.count)


def _lanes(operations: Int64Array, dtype: str) -> dict[tuple[str, str], Int64Array]:
    return {("lanes", f"op_{dtype}"): operations}


def _demands(
    columns: dict[str, Int64Array],
    actions: dict[tuple[str, str], Int64Array],
    mapping: RowMapping | None = None,
) -> Demands:
    """Each tile a kind of its own; the first byte from memory is waited for."""
    count = len(columns["compute"])
    head = np.minimum(columns.get("stream", np.zeros(count, dtype=np.int64)), HEAD_BYTES)
    columns = {**columns, "fetch": head, "stream": columns.get("stream", head) - head}
    return Demands(
        np.arange(count, dtype=np.int32), columns, np.full(count, RESIDENT, dtype=np.int64), actions, mapping
    )
