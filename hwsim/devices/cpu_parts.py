"""The tile pipeline of the cpu kind, and the parts that its actions are charged to.

A tile is the work of one core. What it needs and no cache holds is fetched from memory. Everything passes the
last cache on its way to the core (weights, load), is computed, and goes back through it (store) and, if it
does not stay there, on to memory (write_back). One operator runs at a time: its first tile launches the
threads, and its last ends the barrier behind them (join).
"""

from __future__ import annotations

from fractions import Fraction

from hwsim.design.kinds.cpu import CpuSpec
from hwsim.plan import Cause, Component, Pipeline, Resource, SlotPool, Stage, Wait
from hwsim.tensor.formats import format_bits

AHEAD = 2  # tiles of a core that are fetched or computed at once: hardware prefetch runs one tile ahead
LINE_BITS = 512  # of one access to a cache: a line of 64 bytes
BANK_BYTES = 2**20  # caches are built of banks of at most this size

CAUSES = (
    Cause("ready", "wait", "ready"),
    Cause("launch", "stage", "launch"),
    Cause("memory", "stage", "fetch"),
    Cause("cache", "stage", "weights"),
    Cause("cache", "stage", "load"),
)


def make_pipeline(spec: CpuSpec) -> Pipeline:
    """Stages in arbitration order. The memory serves reads and writes in turn; each core has its own way to
    its last cache."""
    cores, calibration = spec.cores, spec.calibration
    clock = Fraction(cores.vector_clock_hz)
    into, out_of = ("cache", "write"), ("cache", "read")
    busy = (("package", "busy"),) if spec.power is not None else ()
    stages = (
        Stage("launch", "threads", "cycles"),
        Stage("fetch", "memory", "bytes", after=("launch",), charges=(("memory", "read"), into)),
        Stage("weights", "cache", "bytes", after=("fetch",), charges=(out_of,)),
        Stage("load", "cache", "bytes", after=("fetch",), charges=(out_of,)),
        Stage("compute", "cores", "cycles", after=("weights", "load"), charges=busy),
        Stage("store", "cache", "bytes", after=("compute",), charges=(into,)),
        Stage("write_back", "memory", "bytes", after=("store",), charges=(("memory", "write"), out_of)),
        Stage("join", "threads", "cycles", after=("write_back",)),
    )
    reached = Fraction(spec.memory.bandwidth_bytes_per_s) * Fraction(str(calibration.memory_share))
    resources = (
        Resource("threads", clock),
        Resource("memory", reached),
        Resource("cache", spec.cache.bytes_per_cycle * clock, cores.count),
        Resource("cores", clock, cores.count),
    )
    pools = (
        SlotPool("machine", "launch", "join", 1),
        SlotPool("ahead", "fetch", "compute", AHEAD * cores.count),
    )
    return Pipeline(stages, resources, pools, (Wait("ready", "launch", "join"),))


def native_format(spec: CpuSpec) -> str:
    """The widest format that the vector units multiply."""
    return max(spec.vector.products_per_lane, key=format_bits)


def cpu_components(spec: CpuSpec) -> tuple[Component, ...]:
    """The multipliers of all cores, as many lanes for pointwise work, last caches and memory, and where its
    power is given the package, which is all the rest."""
    widest = native_format(spec)
    lanes = spec.cores.count * spec.vector.fma_ports * spec.vector.lanes
    bank = min(spec.cache.size_bytes, BANK_BYTES)
    banks = spec.caches * -(-spec.cache.size_bytes // bank)
    package: tuple[Component, ...] = ()
    if spec.power is not None:
        cycle_pj = spec.power.core_w / spec.cores.vector_clock_hz * 1e12
        package = (Component("package", "package", static_w=spec.power.idle_w, action_pj=cycle_pj),)
    return (
        Component("cores", "mac", lanes, dtype=widest),
        Component("lanes", "vector", lanes, dtype=widest),
        Component("control", "control", spec.cores.count),
        Component("cache", "sram", banks, bank, LINE_BITS),
        Component("memory", "dram", spec.memory.channels, technology=spec.memory.technology),
        *package,
    )
