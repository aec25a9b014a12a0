"""What follows from a gpu spec before any operator is known: occupancy, the clock that power allows, and
rates, as plain numbers that closed forms read often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from hwsim.design.kinds.gpu import GpuCalibrationSpec, GpuProductsSpec, GpuSpec
from hwsim.devices.gpu_tiles import LIBRARIES, Block
from hwsim.plan import Pipeline
from hwsim.tensor.formats import format_bits

# Dynamic power goes with f V^2, and voltage roughly with f^0.75 in the upper part of its range, so that a
# clock follows power by this exponent's inverse.
POWER_EXPONENT = 2.5


@dataclass(frozen=True, slots=True)
class HeldBlock:
    """A tile of the library, and how many such thread blocks a multiprocessor keeps under way."""

    block: Block
    resident: int


@dataclass(frozen=True, eq=False)
class Machine:
    """A GPU in figures, but for the rates of memory and cache (`Rates`). `macs_per_cycle` is that of one
    multiprocessor, at the clock that power allows, counted in cycles of the boost clock."""

    count: int
    lanes: int
    clock_hz: int
    register_bytes: int  # of all multiprocessors together
    library: str
    splits: tuple[int, ...]
    macs_per_cycle: Mapping[str, float]
    structured_rate: Mapping[str, int]  # times macs_per_cycle, for weights stored 2:4
    blocks: Mapping[str, tuple[HeldBlock, ...]]
    narrow: Mapping[str, int]  # the side up to which a product goes to the kernel for narrow matrices
    recurrent: Mapping[str, tuple[HeldBlock, ...]]  # tiles of recurrent layers, where there are some apart
    units: Mapping[str, str]  # the component that multiplies
    fitted: GpuCalibrationSpec
    products: Mapping[str, GpuProductsSpec]


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes a second that streams reach."""

    memory: float
    cache: float


def rates_of(pipeline: Pipeline, fitted: GpuCalibrationSpec) -> Rates:
    """The rates of a machine, by its pipeline; `fitted` are the shares that those hold already."""
    found = {resource.name: resource.rate for resource in pipeline.resources}
    memory, cache = found["memory"], found["l2"]
    assert memory is not None
    assert cache is not None
    return _rates(memory, cache, fitted.memory_share, fitted.l2_share)


@lru_cache(maxsize=64)
def _rates(memory: Fraction, cache: Fraction, memory_share: float, l2_share: float) -> Rates:
    whole = [int(memory / Fraction(str(memory_share))), int(cache / Fraction(str(l2_share)))]
    return Rates(whole[0] * memory_share, whole[1] * l2_share)


@lru_cache(maxsize=64)
def machine_of(spec: GpuSpec) -> Machine:
    """The figures of a spec."""
    library, fitted = LIBRARIES[spec.library], spec.calibration
    plain = {name: unit.unit == "plain" for name, unit in spec.units.items()}
    return Machine(
        count=spec.multiprocessors.count,
        lanes=spec.multiprocessors.lanes,
        clock_hz=spec.clock.boost_hz,
        register_bytes=4 * spec.multiprocessors.count * spec.multiprocessors.registers,
        library=spec.library,
        splits=library.splits,
        macs_per_cycle={
            name: unit.macs_per_cycle * clock_share(spec, name) for name, unit in spec.units.items()
        },
        structured_rate={name: unit.structured_rate for name, unit in spec.units.items()},
        blocks={name: _held(spec, name) for name in spec.units},
        narrow={name: library.narrow if plain[name] else 1 for name in spec.units},
        recurrent={name: _held_recurrent(spec, name) for name in spec.units},
        units={name: f"{unit.unit}_{name}" for name, unit in spec.units.items()},
        fitted=fitted,
        products={name: spec.products(name) for name in spec.units},
    )


def _held(spec: GpuSpec, dtype: str) -> tuple[HeldBlock, ...]:
    """The library's tiles for a format that fit a multiprocessor. Slabs of tensor units are as many bytes
    deep in all formats."""
    library = LIBRARIES[spec.library]
    menu = library.plain
    if spec.units[dtype].unit == "tensor":
        menu = tuple(replace(block, k=block.k * 16 // format_bits(dtype)) for block in library.tensor)
    found = ((block, resident_blocks(spec, block, dtype)) for block in menu)
    return tuple(HeldBlock(block, resident) for block, resident in found if resident)


def _held_recurrent(spec: GpuSpec, dtype: str) -> tuple[HeldBlock, ...]:
    """The library's tiles for steps of recurrent layers, where it has some apart and they fit."""
    if spec.units[dtype].unit != "plain":
        return ()
    blocks = LIBRARIES[spec.library].recurrent
    found = ((block, resident_blocks(spec, block, dtype)) for block in blocks)
    return tuple(HeldBlock(block, resident) for block, resident in found if resident)


def resident_blocks(spec: GpuSpec, block: Block, dtype: str) -> int:
    """Thread blocks that one multiprocessor keeps under way: as registers, threads and shared memory allow
    (CUDA occupancy)."""
    sm = spec.multiprocessors
    shared = block.stages * (block.m + block.n) * block.k * format_bits(dtype) // 8
    return min(
        sm.registers // (block.threads * block.registers),
        sm.threads // block.threads,
        sm.shared_memory_bytes // max(1, shared),
        sm.blocks,
    )


def clock_share(spec: GpuSpec, dtype: str) -> float:
    """Share of the boost clock that all multipliers of a format can hold within the power limit."""
    power = spec.power
    energy_pj = None if power is None else power.multiply_pj.get(dtype)
    if power is None or energy_pj is None:
        return 1.0
    rate = spec.multiprocessors.count * spec.units[dtype].macs_per_cycle * spec.clock.boost_hz
    room = (power.limit_w - power.idle_w) / (rate * energy_pj * 1e-12)
    held = room ** (1 / POWER_EXPONENT) if room < 1 else 1.0
    floor = spec.clock.base_hz / spec.clock.boost_hz
    return max(held, floor)
