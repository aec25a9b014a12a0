"""A design of the machine at hand: what its operating system says of cores and caches, and two short
measurements of what it does not say, the memory's bandwidth and the clock under load.

The text is a design file of the cpu kind, each number with its source, to be kept, corrected and calibrated.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SYSTEM = Path("/")
COPY_BYTES = 2**27  # of each buffer that is copied, 128 MiB: larger than the caches of most machines
COPIES = 3
PRODUCT_SIDE = 1536  # of the product whose rate bounds the clock from below
PRODUCTS = 5
REACHED = 0.9  # of the multiply rate, what tuned products reach at most; assumed

# Instruction set -> bits of a register, multiply-adds begun a cycle, their latency. Fog's instruction tables;
# server cores of Skylake and later begin two 512-bit ones, and NEON cores two of 128 bits.
SIMD = (("avx512f", 512, 2, 4), ("avx2", 256, 2, 4), ("sse2", 128, 1, 4), ("asimd", 128, 2, 4))
# Register tile and panel depth of BLIS by bits of a register: config/skx (32x12, KC 384), config/haswell
# (6x16, KC 256), and for 128 bits config/cortexa57 (8x12, KC 640).
TILES = {512: (32, 12, 384), 256: (16, 6, 256), 128: (8, 12, 640)}
INT8 = (("avx512_vnni", 4.0), ("avx_vnni", 4.0), ("asimddp", 4.0))  # dot products of four pairs a lane


@dataclass(frozen=True, slots=True)
class LastCache:
    """The outermost cache of one core: bytes, and how many processors share it."""

    size_bytes: int
    processors: int


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a design of this machine rests on. `guessed` are those of "cores", "flags", "cache" and "memory"
    that the system does not say."""

    model: str
    cores: int
    flags: frozenset[str]
    base_hz: int
    boost_hz: int
    cache: LastCache
    memory_bytes: int
    copied_bytes_per_s: int
    operations_per_s: float
    guessed: frozenset[str] = frozenset()


def read_host(system: Path = SYSTEM) -> HostFacts:
    """The facts of this machine: about a second of measurements. What its system does not say, as others than
    Linux do not, is guessed low (1 GHz, 1 MiB of cache, 1 GiB of memory), so that a fault shows."""
    info = _cpu_info(system)
    first = info[0] if info else {}
    cores, base_hz = _physical_cores(info), _base_hz(info)
    flags = frozenset((first.get("flags") or first.get("Features", "")).split())
    cache, memory_bytes = _last_cache(system), _memory_bytes()
    unsaid = {
        "cores": not any("core id" in entry for entry in info), "flags": not flags,
        "cache": cache is None, "memory": memory_bytes is None,
    }  # fmt: skip
    return HostFacts(
        model=first.get("model name") or platform.processor() or platform.machine() or "unknown",
        cores=cores,
        flags=flags,
        base_hz=base_hz,
        boost_hz=max(base_hz, _sysfs_number(system, "cpufreq/cpuinfo_max_freq") * 1000),
        cache=cache or LastCache(2**20, 1),
        memory_bytes=memory_bytes or 2**30,
        copied_bytes_per_s=_copied_bytes_per_s(cores),
        operations_per_s=_operations_per_s(),
        guessed=frozenset(what for what, missing in unsaid.items() if missing),
    )


def host_design(facts: HostFacts | None = None) -> str:
    """The text of a design file for this machine, or for one of which `facts` are given."""
    found = facts if facts is not None else read_host()
    name, bits, ports, latency = next((row for row in SIMD if row[0] in found.flags), SIMD[2])
    vector, broadcast, depth = TILES[bits]
    int8 = next((rate for flag, rate in INT8 if flag in found.flags), 1.0)
    peak = found.cores * ports * bits // 32 * 2
    shown_hz = int(found.operations_per_s / (REACHED * peak)) + 1
    boost_hz = max(found.boost_hz, found.base_hz, shown_hz)
    sharing = max(1, min(found.cache.processors, found.cores))
    model = re.sub(r"[^\w .,()@+-]", "", found.model)[:80].strip()

    def said(what: str, place: str) -> str:
        return "assumed: the system does not say" if what in found.guessed else place

    return f"""# The machine at hand, as its operating system and two short measurements show it.
name: host
description: "{model}"
source: what the operating system says of this machine, and measurements of it

kind: cpu
dtype: fp32  # what numpy and most frameworks compute in
cores:
  count: {found.cores}  # {said("cores", "/proc/cpuinfo: physical cores that this process may use")}
  clock: {boost_hz / 1e6:.0f} MHz  # assumed: the highest clock is held
  vector_clock: {boost_hz / 1e6:.0f} MHz  # assumed: held; gemm_share takes up the rest
  boost_clock: {boost_hz / 1e6:.0f} MHz  # the system's figure, or what a product shows
vector:
  width_bits: {bits}  # {said("flags", f"/proc/cpuinfo: {name}")}
  fma_ports: {ports}  # assumed from {name}
  fma_latency_cycles: {latency}  # assumed: that of most cores with {name}
  products_per_lane:
    fp32: 1  # one multiply-add a lane
    int8: {int8:g}  # from the instruction set's dot products, or their lack
library:
  vector_extent: {vector}  # BLIS, the configuration for {bits}-bit registers
  broadcast_extent: {broadcast}  # the same
  panel_depth: {depth}  # the same: KC
cache:
  size: {found.cache.size_bytes // 1024} KiB  # {said("cache", "/sys/devices/system/cpu/cpu0/cache")}
  cores_per_cache: {sharing}  # {said("cache", "/sys/devices/system/cpu/cpu0/cache")}
  bytes_per_cycle: 16  # assumed
memory:
  technology: ddr4  # assumed: the system does not say
  size: {found.memory_bytes // 2**20} MiB  # {said("memory", "the system's physical pages")}
  bandwidth: {found.copied_bytes_per_s / 1e9:.1f} GB/s  # measured: all cores copying
calibration:
  gemm_share: 0.8  # not fitted
  memory_share: 0.9  # not fitted
  launch_us:  # by what ran the operator in hwsim measure
    numpy: 5  # not fitted
    onnxruntime: 5  # not fitted
    torch: 5  # not fitted
  fitted_on: "nothing: run hwsim measure and hwsim calibrate"
"""


def _cpu_info(system: Path) -> list[dict[str, str]]:
    """/proc/cpuinfo, one mapping a processor; empty where there is none."""
    try:
        text = (system / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    blocks = (re.findall(r"^([^:\n]+?)\s*:[ \t]*(.*)$", block, re.MULTILINE) for block in text.split("\n\n"))
    return [dict(block) for block in blocks if block]


def _usable() -> int:
    """Processors that this process may run on."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _physical_cores(info: list[Mapping[str, str]] | list[dict[str, str]]) -> int:
    """Cores, several threads of one counted once, of those that this process may use."""
    pairs = {(entry.get("physical id"), entry["core id"]) for entry in info if "core id" in entry}
    return max(1, min(len(pairs) or _usable(), _usable()))


def _base_hz(info: list[dict[str, str]]) -> int:
    """The clock in the model's name, else the present one, else 1 GHz."""
    for entry in info[:1]:
        named = re.search(r"@\s*([\d.]+)\s*GHz", entry.get("model name", ""))
        if named:
            return int(float(named[1]) * 1e9)
        present = re.fullmatch(r"\d+(\.\d+)?", entry.get("cpu MHz", ""))
        if present:
            return int(float(present[0]) * 1e6)
    return 10**9


def _sysfs_number(system: Path, name: str) -> int:
    text = _sysfs(system, name)
    return int(text) if text.isdigit() else 0


def _sysfs(system: Path, name: str) -> str:
    try:
        return (system / "sys/devices/system/cpu/cpu0" / name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _last_cache(system: Path) -> LastCache | None:
    """The data cache of the highest level."""
    best, level = None, 0
    for index in range(8):
        folder = f"cache/index{index}"
        size = re.fullmatch(r"(\d+)([KM])", _sysfs(system, f"{folder}/size"))
        found = _sysfs_number(system, f"{folder}/level")
        if size and found > level and _sysfs(system, f"{folder}/type") != "Instruction":
            shared = _sysfs(system, f"{folder}/shared_cpu_list")
            bytes_each = int(size[1]) * (1024 if size[2] == "K" else 2**20)
            best, level = LastCache(bytes_each, _listed(shared)), found
    return best


def _memory_bytes() -> int | None:
    if not hasattr(os, "sysconf"):  # Windows
        return None
    try:
        return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
    except (OSError, ValueError):  # a system without these names
        return None


def _listed(text: str) -> int:
    """How many processors a list such as 0-3,8-11 names."""
    spans = re.findall(r"(\d+)(?:-(\d+))?", text)
    return max(1, sum(int(last or first) - int(first) + 1 for first, last in spans))


def _copied_bytes_per_s(cores: int) -> int:
    """Bytes that the memory moves a second while all cores copy, the best of a few: each line is read, and
    its place is read before it is written."""
    source = np.ones(COPY_BYTES // 4, dtype=np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.array_split(source, cores), np.array_split(target, cores), strict=True))
    best = float("inf")
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(COPIES):
            begun = time.perf_counter()
            list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))
            best = min(best, time.perf_counter() - begun)
    return int(3 * COPY_BYTES / best)


def _operations_per_s() -> float:
    """Operations a second of the best of a few matrix products: no core is slower than that."""
    a = np.ones((PRODUCT_SIDE, PRODUCT_SIDE), dtype=np.float32)
    best = float("inf")
    for _ in range(PRODUCTS):
        begun = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - begun)
    return 2 * PRODUCT_SIDE**3 / best
