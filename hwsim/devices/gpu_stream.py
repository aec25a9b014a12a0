"""Work that streams through a GPU: matrices by narrow matrices and vectors, products with stored-sparse
weights, and pointwise operators. Equal tasks, rows of a result or results, are dealt out to thread blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwsim.devices.gpu_blocked import HIT_LATENCY, PROLOGUE_SLABS, Job
from hwsim.devices.gpu_demands import Demands, Int64Array, part_of, pointwise_cycles, split_evenly
from hwsim.devices.gpu_machine import Machine
from hwsim.devices.gpu_tiles import NARROW_STEP
from hwsim.plan.residency import Operand
from hwsim.tensor.formats import format_bits

# Thread blocks of a streaming kernel that a multiprocessor keeps under way: enough to hide waits.
RESIDENT = 4
# Rows of the wide operand that one block takes at least: it reads all of the narrow one.
NARROW_ROWS = 32
HEAD_BYTES = 4  # of a streaming block: the first number from memory is waited for, the rest streams past


def blocks_for(tasks: int, machine: Machine) -> int:
    """Thread blocks of a streaming kernel: as many as are under way at once, no more than tasks."""
    return max(1, min(tasks, RESIDENT * machine.count))


def narrow_demands(job: Job, machine: Machine) -> Demands:
    """A product of which one side is narrow: the wide operand streams past, and again for each few rows or
    columns of the narrow one. Tasks are its rows."""
    wide_a = job.m >= job.n
    rows, narrow = (job.m, job.n) if wide_a else (job.n, job.m)
    wide, small = (job.a, job.b) if wide_a else (job.b, job.a)
    times = -(-narrow // NARROW_STEP)
    tasks = job.batch * rows
    count = blocks_for(-(-tasks // NARROW_ROWS), machine)
    done = split_evenly(tasks, count)
    bits = format_bits(job.dtype)
    passed = -(-done * job.k * bits // 8) * times
    macs = done * narrow * job.k
    results = done * narrow
    rate = machine.macs_per_cycle[job.dtype]
    latency_s = job.slab_latency_s * (HIT_LATENCY + (1 - HIT_LATENCY) * wide.miss)
    wait = PROLOGUE_SLABS * latency_s * machine.clock_hz / (-(-count // machine.count))
    out = -(-results * job.output_bits // 8)
    in_wide, in_small = ("load", "weights") if wide_a else ("weights", "load")
    columns = {
        "stream": part_of(passed, wide.miss) + part_of(split_evenly(small.size_bytes, count), small.miss),
        in_wide: passed,
        in_small: np.full(count, -(-small.size_bytes // job.batch)),
        "compute": np.ceil(macs / rate + wait).astype(np.int64)
        + pointwise_cycles(results * job.pointwise, machine),
        "store": out,
        "write_back": part_of(out, job.write_miss),
    }
    return _demands(
        columns,
        {(machine.units[job.dtype], f"mac_{job.dtype}"): macs, **_lanes(results * job.pointwise, job.dtype)},
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
    gathered = np.minimum(macs * (format_bits(job.dtype) // 8 or 1), job.a.size_bytes)
    out = -(-results * job.output_bits // 8)
    columns = {
        "stream": part_of(weights, job.b.miss) + part_of(split_evenly(job.a.size_bytes, count), job.a.miss),
        "weights": weights,
        "load": np.maximum(gathered, split_evenly(job.a.size_bytes, count)),
        "compute": np.ceil(np.maximum(cycles, macs / rate)).astype(np.int64)
        + pointwise_cycles(results * job.pointwise, machine),
        "store": out,
        "write_back": part_of(out, job.write_miss),
    }
    return _demands(
        columns,
        {(machine.units[job.dtype], f"mac_{job.dtype}"): macs, **_lanes(results * job.pointwise, job.dtype)},
    )


def vector_demands(
    operands: Sequence[tuple[Operand, float]],
    output: Operand,
    write_miss: float,
    operations: int,
    machine: Machine,
) -> Demands:
    """A pointwise, pooling or moving operator of so many operations in all. Operands come with the share of
    them that the cache does not hold."""
    count = blocks_for(max(1, output.elements), machine)
    work = split_evenly(operations, count)
    zero = np.zeros(count, dtype=np.int64)
    out = split_evenly(output.size_bytes, count)
    columns = {
        "stream": sum((part_of(split_evenly(o.size_bytes, count), miss) for o, miss in operands), zero),
        "load": sum((split_evenly(o.size_bytes, count) for o, _ in operands), zero),
        "compute": pointwise_cycles(work, machine),
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
    columns = {
        "stream": split_evenly(read_bytes, count),
        "load": split_evenly(read_bytes, count),
        "compute": pointwise_cycles(work, machine),
        "store": split_evenly(written_bytes, count),
        "write_back": split_evenly(written_bytes, count),
    }
    return _demands(columns, _lanes(work, dtype))


def _lanes(operations: Int64Array, dtype: str) -> dict[tuple[str, str], Int64Array]:
    return {("lanes", f"op_{dtype}"): operations}


def _demands(columns: dict[str, Int64Array], actions: dict[tuple[str, str], Int64Array]) -> Demands:
    """Each tile a kind of its own; the first byte from memory is waited for."""
    count = len(columns["compute"])
    head = np.minimum(columns.get("stream", np.zeros(count, dtype=np.int64)), HEAD_BYTES)
    columns = {**columns, "fetch": head, "stream": columns.get("stream", head) - head}
    return Demands(
        np.arange(count, dtype=np.int32), columns, np.full(count, RESIDENT, dtype=np.int64), actions
    )
