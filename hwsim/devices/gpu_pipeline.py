"""The tile pipeline of the gpu kind, and the parts that its actions are charged to.

A tile is a thread block. It takes its room in a multiprocessor when its first slab is fetched from memory.
Then three things go on side by side, as the loop over slabs does them: the rest of its operands come from
memory (stream), all of them pass the second-level cache (weights, load), and a multiprocessor works
(compute). Blocks that share a multiprocessor take turns on it. When all three are done the block gives its
room back (leave, which takes no time), and its results drain behind it: to the cache (store) and, if they do
not stay there, on to memory (write_back). The front end launches operators ahead of their turn; one operator
runs at a time."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from hwsim.arrays import BoolArray, Int64Array
from hwsim.design.kinds.gpu import GpuSpec
from hwsim.plan import Cause, Component, Pipeline, Resource, SlotPool, Stage, Wait
from hwsim.tensor.formats import format_bits

RESIDENT = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # blocks of a multiprocessor that a pool of slots stands for
_SIZES = np.array(RESIDENT)
BANK_BYTES = 2**19  # the cache is built of banks of at most this size
LINE_BITS = 256  # of one access to the cache: a sector of 32 bytes
SHARED_BANK_BYTES = 2**14  # shared memory is built of banks of at most this size


def pool_name(resident: int) -> str:
    """The pool for kernels of which a multiprocessor keeps so many blocks: the largest that is not more."""
    return f"blocks_{max(size for size in RESIDENT if size <= resident)}"


def pools_held(resident: Int64Array, works: BoolArray) -> Mapping[str, BoolArray]:
    """Which kinds of blocks take room in which pool, by how many of them a multiprocessor keeps: those that
    work."""
    sizes = _SIZES[np.searchsorted(_SIZES, resident, side="right") - 1]
    return {pool_name(size): (sizes == size) & works for size in set(sizes.tolist())}


def causes() -> tuple[Cause, ...]:
    """Why multiprocessors stand still, the weightiest first."""
    return (
        Cause("ready", "wait", "ready"),
        Cause("launch", "stage", "launch"),
        *(Cause("memory", "pool", pool_name(size)) for size in RESIDENT),
        Cause("memory", "stage", "fetch"),
    )


def make_pipeline(spec: GpuSpec) -> Pipeline:
    """Stages in arbitration order. Memory and cache serve everyone in turn; each multiprocessor works on one
    block at a time."""
    clock = Fraction(spec.clock.boost_hz)
    read, into, out_of = ("memory", "read"), ("l2", "write"), ("l2", "read")
    stages = (
        Stage("launch", "front_end", "cycles"),
        Stage("fetch", "memory", "bytes", after=("launch",), charges=(read, into)),
        Stage("stream", "memory", "bytes", after=("fetch",), charges=(read, into)),
        Stage("weights", "l2", "bytes", after=("fetch",), charges=(out_of,)),
        Stage("load", "l2", "bytes", after=("fetch",), charges=(out_of,)),
        Stage("compute", "multiprocessors", "cycles", after=("fetch",)),
        Stage("leave", "multiprocessors", "cycles", ("stream", "weights", "load", "compute"), in_order=False),
        Stage("store", "l2", "bytes", after=("leave",), charges=(into,)),
        Stage("write_back", "memory", "bytes", after=("store",), charges=(("memory", "write"), out_of)),
    )
    reached = Fraction(spec.memory.bandwidth_bytes_per_s) * Fraction(str(spec.calibration.memory_share))
    count = spec.multiprocessors.count
    resources = (
        Resource("front_end", clock),
        Resource("memory", reached),
        Resource("l2", spec.l2.bytes_per_cycle * clock * Fraction(str(spec.calibration.l2_share))),
        Resource("multiprocessors", clock, count),
    )
    pools = (
        SlotPool("machine", "fetch", "write_back", 1),
        *(SlotPool(pool_name(size), "fetch", "leave", size * count) for size in RESIDENT),
    )
    return Pipeline(stages, resources, pools, (Wait("ready", "fetch", "write_back"),))


def gpu_components(spec: GpuSpec) -> tuple[Component, ...]:
    """Multipliers by number format, pointwise lanes, register files, shared memories, cache and memory; and
    where its power is given, the package, which is all the rest."""
    sm = spec.multiprocessors
    shared = min(sm.shared_memory_bytes, SHARED_BANK_BYTES)
    bank = min(spec.l2.size_bytes, BANK_BYTES)
    widest = max(spec.units, key=format_bits)
    power = spec.power
    energy_pj = {} if power is None else power.multiply_pj
    package: tuple[Component, ...] = ()
    if power is not None:
        package = (Component("package", "package", static_w=power.idle_w),)
    return (
        *(
            Component(
                f"{unit.unit}_{dtype}",
                "mac",
                sm.count * unit.macs_per_cycle,
                dtype=dtype,
                action_pj=energy_pj.get(dtype, 0.0),
            )
            for dtype, unit in spec.units.items()
        ),
        Component("lanes", "vector", sm.count * sm.lanes, dtype=widest),
        Component("registers", "register", sm.count * sm.registers, width_bits=32),
        Component(
            "shared_memory", "sram", sm.count * -(-sm.shared_memory_bytes // shared), shared, LINE_BITS
        ),
        Component("l2", "sram", -(-spec.l2.size_bytes // bank), bank, LINE_BITS),
        Component("memory", "dram", spec.memory.channels, technology=spec.memory.technology),
        Component("control", "control", sm.count),
        *package,
    )
