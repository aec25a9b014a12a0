"""The spec of the cpu kind: cores with SIMD units, their last cache, their memory, the blocking of the matrix
library, and constants fitted to measurements. What such a device does with it lives in `hwsim.devices`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hwsim.design.kinds.published import PublishedSpec
from hwsim.design.kinds.shared import FORMATS, Dram, NumberFormat, check_launches, fitted_on
from hwsim.schema import Spec, field, quantity

_MAX_CORES = 1024
_MAX_PRODUCTS = 64  # of one lane a cycle: 32 bits hold 32 one-bit products


class CpuCoresSpec(Spec):
    """The cores and their clocks."""

    count: int = field("Physical cores that share the work of an operator.", ge=1, le=_MAX_CORES)
    clock_hz: int = quantity("Cycles a second that all cores hold in scalar work, such as walking an index.")
    vector_clock_hz: int = quantity(
        "Cycles a second that all cores hold while their widest multipliers work, often lower than the other."
    )
    boost_clock_hz: int = quantity("The highest clock that a core reaches, which decides floors on time.")

    def check(self) -> Iterator[tuple[str, str]]:
        for name, found in (("clock", self.clock_hz), ("vector_clock", self.vector_clock_hz)):
            if found > self.boost_clock_hz:
                yield name, "is above boost_clock, the highest clock that a core reaches"


class CpuVectorSpec(Spec):
    """The SIMD unit of one core."""

    width_bits: int = field("Bits of a vector register.", ge=32, le=4096)
    fma_ports: int = field("Vector multiply-adds that a core begins a cycle.", ge=1, le=8)
    fma_latency_cycles: int = field(
        "Cycles until a multiply-add's sum can be added to; with too few sums in flight a core waits for it.",
        ge=1,
        le=64,
    )
    products_per_lane: dict[str, float] = field(
        "Multiply-adds that one port does a cycle in each 32-bit lane, by number format: 1 for fp32, 4 for "
        "int8 with dot-product instructions, less where several instructions make one.",
        default={"fp32": 1.0},
    )

    @property
    def lanes(self) -> int:
        """32-bit sums that one register holds."""
        return self.width_bits // 32

    def check(self) -> Iterator[tuple[str, str]]:
        if self.width_bits % 32:
            yield "width_bits", f"must be whole 32-bit lanes, not {self.width_bits} bits"
        if not self.products_per_lane:
            yield "products_per_lane", "names no number format, so the cores could multiply nothing"
        for name, products in self.products_per_lane.items():
            if name not in FORMATS:
                known = ", ".join(FORMATS)
                yield f"products_per_lane.{name}", f"is not a number format; known: {known}"
            elif not 0 < products <= _MAX_PRODUCTS:
                yield (
                    f"products_per_lane.{name}",
                    f"must be above 0 and at most {_MAX_PRODUCTS}, not {products}",
                )


class CpuLibrarySpec(Spec):
    """How the matrix library cuts work: the register tile and the depth of a panel."""

    vector_extent: int = field(
        "Results of a register tile along its vector registers; whole registers.", ge=1, le=1024
    )
    broadcast_extent: int = field(
        "Results of a register tile along the other side, whose operand is broadcast.", ge=1, le=1024
    )
    panel_depth: int = field(
        "Steps of the reduction that a packed panel holds: the least that is given to a core where cores "
        "share a sum.",
        ge=1,
        le=2**16,
    )
    sparse_below: float = field(
        "Weights of a matrix product are stored sparse (CSR) where their density is below this; half unless "
        "stated, where values with 32-bit indices begin to take less room than fp32 alone.",
        default=0.5,
        ge=0,
        le=1,
    )
    sparse_cores: int | None = field(
        "Cores that the library's sparse routines use; all of them unless stated.",
        default=None,
        when_absent="all cores",
        ge=1,
        le=_MAX_CORES,
    )


class CpuCacheSpec(Spec):
    """The last cache before the memory."""

    size_bytes: int = quantity("Size of one cache, the share of a group of cores.")
    cores_per_cache: int = field("Cores that share one of them.", ge=1, le=_MAX_CORES)
    bytes_per_cycle: int = field("Bytes that one core reads from it a cycle.", ge=1, le=1024)


class CpuMemorySpec(Spec):
    """The memory behind the caches."""

    technology: Dram = field("Kind of memory, which decides the energy of a byte.")
    size_bytes: int = quantity("Room for weights and activations.")
    bandwidth_bytes_per_s: int = quantity("Bytes a second of all channels together.")
    channels: int = field(
        "Memory channels, each with its interface on the die; one unless stated. They change area, not "
        "bandwidth.",
        default=1,
        ge=1,
        le=64,
    )


class CpuPowerSpec(Spec):
    """What the whole chip draws beside the multipliers, last caches and memory, which are counted apart."""

    idle_w: float = quantity("Power of the chip while an operator runs, beside its cores at work.", ge=0)
    core_w: float = quantity("What one core at work adds, with its front end and inner caches.", ge=0)


class CpuCalibrationSpec(Spec):
    """Constants fitted to measurements; results that rest on them say so."""

    gemm_share: float = field(
        "Share of the multiply rate that the library reaches inside a panel; all of it unless fitted.",
        default=1.0, gt=0, le=1,
    )  # fmt: skip
    conv_share: float = field(
        "The same for direct convolutions; all of it unless fitted.", default=1.0, gt=0, le=1
    )
    memory_share: float = field(
        "Share of the memory's bandwidth that a stream reaches; all of it unless fitted.",
        default=1.0, gt=0, le=1,
    )  # fmt: skip
    launch_us: dict[str, float] = field(
        "Time of one operator beside its work, by the harness that measured it, in microseconds.",
        default={},
    )
    gemv_bytes_per_cycle: float | None = field(
        "Bytes of a matrix that one core streams a cycle when it multiplies a vector; as fast as cache and "
        "multipliers allow unless fitted.",
        default=None,
        when_absent="what cache and multipliers allow",
        gt=0,
        le=1024,
    )
    csr_cycles_per_nonzero: float = field(
        "Cycles of a core for reading one stored weight with its index; 2 unless fitted, one load each.",
        default=2.0, ge=0, le=10_000,
    )  # fmt: skip
    csr_cycles_per_product: float = field(
        "Cycles of a core for each multiplication by a stored weight; 1 unless fitted, a gathered load.",
        default=1.0, ge=0, le=10_000,
    )  # fmt: skip
    fitted_on: str = fitted_on()

    def check(self) -> Iterator[tuple[str, str]]:
        yield from check_launches(self.launch_us)


class CpuSpec(Spec):
    """A multicore CPU with SIMD units, running a matrix library."""

    kind: Literal["cpu"] = field("The kind of device: a CPU.")
    dtype: NumberFormat = field(
        "Number format of activations and weights when a run names none; fp32 unless stated, as CPU "
        "libraries use.",
        default="fp32",
    )
    cores: CpuCoresSpec = field("The cores and their clocks.")
    vector: CpuVectorSpec = field("The SIMD unit of one core.")
    library: CpuLibrarySpec = field("How the matrix library cuts work.")
    cache: CpuCacheSpec = field("The last cache before the memory.")
    memory: CpuMemorySpec = field("The memory behind the caches.")
    power: CpuPowerSpec | None = field(
        "What the chip draws beside the parts that are counted apart.",
        default=None,
        when_absent="not counted",
    )
    cache_state: Literal["cold", "hot"] = field(
        "What the caches hold when an operator starts: nothing but what the operators before it left (cold, "
        "the default), or all its operands where they fit (hot), as in a benchmark that repeats an operator.",
        default="cold",
    )
    harness: str = field(
        "Whose launch cost an operator pays: a name of calibration's launch_us; empty unless stated, which "
        "is launch.",
        default="",
        when_absent="none, so launch",
    )
    launch_s: float = quantity(
        "Time of one operator beside its work where no harness is named: the call, the start of all threads "
        "and the barrier behind them; 5 us unless stated, what parallel regions of tens of threads take "
        "(recalled).",
        default=5e-6,
        ge=0,
    )
    published: PublishedSpec | None = field(
        "What was published about the part.", default=None, descriptive=True, when_absent="nothing"
    )
    calibration: CpuCalibrationSpec = field("Constants fitted to measurements.", default=CpuCalibrationSpec())

    @property
    def paid_launch_s(self) -> float:
        """Time of one operator beside its work, of the harness that is named."""
        return self.calibration.launch_us[self.harness] * 1e-6 if self.harness else self.launch_s

    @property
    def caches(self) -> int:
        """How many last caches there are."""
        return -(-self.cores.count // self.cache.cores_per_cache)

    def check(self) -> Iterator[tuple[str, str]]:
        if self.dtype not in self.vector.products_per_lane:
            known = ", ".join(self.vector.products_per_lane)
            yield "dtype", f"the cores have no rate for {self.dtype} in products_per_lane (they have {known})"
        if self.harness and self.harness not in self.calibration.launch_us:
            named = ", ".join(self.calibration.launch_us) or "none"
            yield "harness", f"{self.harness!r} has no launch cost in calibration.launch_us (it has {named})"
        if self.cache.cores_per_cache > self.cores.count:
            yield "cache.cores_per_cache", f"is more than the {self.cores.count} cores that there are"
        if (self.library.sparse_cores or 1) > self.cores.count:
            yield "library.sparse_cores", f"is more than the {self.cores.count} cores that there are"
        if self.library.vector_extent % self.vector.lanes:
            yield (
                "library.vector_extent",
                f"must be whole registers of {self.vector.lanes} lanes, not {self.library.vector_extent}",
            )
