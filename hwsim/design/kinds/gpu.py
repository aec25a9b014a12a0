"""The spec of the gpu kind: multiprocessors with plain and tensor units, their clocks and power limit,
second-level cache, memory, the library that drives them, and constants fitted to measurements. What such a
device does with it lives in `hwsim.devices`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hwsim.design.kinds.published import PublishedSpec
from hwsim.design.kinds.shared import FORMATS, Dram, NumberFormat, check_launches, fitted_on
from hwsim.schema import Spec, field, quantity

_MAX_SMS = 1024
_MAX_MACS = 2**16  # of one multiprocessor a cycle

# Of a load from memory: 400 to 900 cycles in the microbenchmarks of Jia et al., arXiv 1804.06826, from Kepler
# to Volta (recalled).
LOAD_LATENCY_S = 500e-9

Library = Literal["cublas_7", "cublas_8", "cublas_10", "cublas_11", "cublas_12"]


class GpuClockSpec(Spec):
    """Clocks of the multiprocessors."""

    base_hz: int = quantity("Cycles a second that the part never falls below, whatever its power limit.")
    boost_hz: int = quantity("The highest clock that it reaches. Cycles are counted at this clock.")

    def check(self) -> Iterator[tuple[str, str]]:
        if self.base_hz > self.boost_hz:
            yield "base", "is above boost, the highest clock that the part reaches"


class GpuMultiprocessorsSpec(Spec):
    """The streaming multiprocessors (SMs), and what one of them has room for."""

    count: int = field("Streaming multiprocessors.", ge=1, le=_MAX_SMS)
    lanes: int = field("Pointwise operations in 32 bits that one does a cycle.", ge=1, le=4096)
    registers: int = field("Registers of 32 bits in one, shared by its thread blocks.", ge=1024, le=2**20)
    threads: int = field("Threads that one keeps under way.", ge=32, le=2**14)
    blocks: int = field("Thread blocks that one keeps under way.", ge=1, le=1024)
    shared_memory_bytes: int = quantity("Shared memory in one, for its thread blocks together.")


class GpuUnitSpec(Spec):
    """How a multiprocessor multiplies numbers of one format."""

    unit: Literal["plain", "tensor"] = field(
        "What multiplies: the plain units, thread by thread, or tensor cores, block by block."
    )
    macs_per_cycle: int = field("Multiply-adds of one multiprocessor a cycle.", ge=1, le=_MAX_MACS)
    structured_rate: int = field(
        "How many times as fast it works on products with weights stored 2:4 (two of four neighbouring "
        "inputs kept): 2 where tensor cores skip the zeros; 1 unless stated, and they are taken as dense.",
        default=1, ge=1, le=2,
    )  # fmt: skip


class GpuCacheSpec(Spec):
    """The second-level cache that all multiprocessors share."""

    size_bytes: int = quantity("Its size.")
    bytes_per_cycle: int = field("Bytes a cycle that all its slices deliver together.", ge=1, le=2**20)


class GpuMemorySpec(Spec):
    """The memory of the board."""

    technology: Dram = field("Kind of memory, which decides the energy of a byte.")
    size_bytes: int = quantity("Room for weights and activations.")
    bandwidth_bytes_per_s: int = quantity("Bytes a second of all channels together.")
    channels: int = field(
        "Memory channels of 64 bits, each with its interface on the die; one unless stated. They change "
        "area, not bandwidth.",
        default=1,
        ge=1,
        le=128,
    )


class GpuPowerSpec(Spec):
    """The power limit, and what working multipliers draw, from which the clock follows that they can hold."""

    limit_w: float = quantity("Power that the board may draw.")
    idle_w: float = quantity(
        "Power while operators run beside what is counted apart (multipliers, caches, memory): idle logic, "
        "fans, conversion losses."
    )
    multiply_pj: dict[str, float] = field(
        "Energy of one multiply-add by number format at the boost clock, with all that feeds it, in pJ."
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if self.idle_w >= self.limit_w:
            yield "idle", "leaves nothing of limit for the multipliers"
        for name, energy in self.multiply_pj.items():
            if energy <= 0:
                yield f"multiply_pj.{name}", f"must be above 0, not {energy}"


class GpuProductsSpec(Spec):
    """Fitted constants of products in one number format."""

    gemm_share: float = field(
        "Share of the multiply rate, at the clock that power allows, that the largest tiles of the matrix "
        "library reach; all of it unless fitted.",
        default=1.0, gt=0, le=1,
    )  # fmt: skip
    slab_latency_s: float = quantity(
        "Time until a slab of operands from memory can be multiplied, which a multiprocessor with too few "
        "thread blocks waits for; 500 ns unless fitted, the latency of a load from memory.",
        default=LOAD_LATENCY_S,
        ge=0,
    )
    conv_share: float = field(
        "Share of `gemm_share` that convolutions reach; all of it unless fitted.", default=1.0, gt=0, le=1
    )
    conv_slab_latency_s: float | None = quantity(
        "The slab latency of convolutions; that of matrix products unless fitted.",
        default=None,
        ge=0,
        when_absent="that of matrix products",
    )
    recurrent_step_s: float = quantity(
        "Time of one step of a recurrent layer beside its product: pointwise work, launches and waits; 10 us "
        "unless fitted, two kernels.",
        default=10e-6,
        ge=0,
    )
    recurrent_slab_latency_s: float | None = quantity(
        "The slab latency of recurrent layers; that of matrix products unless fitted.",
        default=None,
        ge=0,
        when_absent="that of matrix products",
    )


class GpuCalibrationSpec(Spec):
    """Constants fitted to measurements; results that rest on them say so."""

    memory_share: float = field(
        "Share of the memory's bandwidth that a stream reaches; 0.8 unless fitted, as copies on three "
        "generations reach 0.68 to 0.82 (Habitat, USENIX ATC 2021).",
        default=0.8, gt=0, le=1,
    )  # fmt: skip
    l2_share: float = field(
        "Share of the second-level cache's rate that thread blocks reach; all of it unless fitted.",
        default=1.0, gt=0, le=1,
    )  # fmt: skip
    overfetch: float = field(
        "Bytes that the memory moves for each byte of an operand whose rows fall into too many pages; one "
        "unless fitted.",
        default=1.0, ge=1, le=32,
    )  # fmt: skip
    overfetch_of: Literal["strided", "all"] = field(
        "Which operands of blocked products that is: those read along their short side (strided, the "
        "default), or also all others that the memory delivers.",
        default="strided",
    )
    overfetch_beyond_bytes: int | None = quantity(
        "Span of such an operand under the thread blocks of one wave up to which it is fetched once.",
        default=None,
        when_absent="any span is fetched once",
    )
    csr_cycles_per_nonzero: float = field(
        "Cycles of a multiprocessor for reading one stored weight of a sparse matrix with its index; 1 "
        "unless fitted.",
        default=1.0, ge=0, le=10_000,
    )  # fmt: skip
    csr_cycles_per_product: float = field(
        "Cycles of a multiprocessor for each multiplication by a stored weight, gathered through the cache; "
        "0.75 unless fitted, near what three generations show (0.76 to 0.85).",
        default=0.75, ge=0, le=10_000,
    )  # fmt: skip
    launch_us: dict[str, float] = field(
        "Time of one operator beside its kernel, by the harness that measured it, in microseconds.",
        default={},
    )
    products: dict[str, GpuProductsSpec] = field(
        "Constants by number format; none is fitted unless stated.", default={}
    )
    fitted_on: str = fitted_on()

    def check(self) -> Iterator[tuple[str, str]]:
        for name in self.products:
            if name not in FORMATS:
                yield f"products.{name}", f"is not a number format; known: {', '.join(FORMATS)}"
        yield from check_launches(self.launch_us)
        if self.overfetch > 1 and self.overfetch_of == "strided" and self.overfetch_beyond_bytes is None:
            yield "overfetch", "changes nothing without overfetch_beyond: say from which span on it is paid"


class GpuSpec(Spec):
    """A GPU driven by its vendor's libraries."""

    kind: Literal["gpu"] = field("The kind of device: a GPU.")
    dtype: NumberFormat = field(
        "Number format of activations and weights when a run names none; fp32 unless stated.", default="fp32"
    )
    clock: GpuClockSpec = field("Clocks of the multiprocessors.")
    multiprocessors: GpuMultiprocessorsSpec = field("The streaming multiprocessors.")
    units: dict[str, GpuUnitSpec] = field("What a multiprocessor multiplies, by number format.")
    l2: GpuCacheSpec = field("The second-level cache.")
    memory: GpuMemorySpec = field("The memory of the board.")
    power: GpuPowerSpec | None = field(
        "The power limit; without it multipliers hold the boost clock.",
        default=None,
        when_absent="multipliers hold the boost clock",
    )
    library: Library = field(
        "The generation of the vendor's libraries, by the release of its matrix library: which tiles there "
        "are, and whether sums are split."
    )
    sparse_below: float = field(
        "Weights of a matrix product are stored sparse (CSR) where their density is below this; half unless "
        "stated, where values with 32-bit indices begin to take less room than fp32 alone.",
        default=0.5, ge=0, le=1,
    )  # fmt: skip
    recurrent: Literal["streamed", "persistent"] = field(
        "How the steps of a recurrent layer are done: streamed (the default), kernels for each step, as in "
        "cuDNN's standard algorithm; or persistent, one kernel for all steps with the weights in registers, "
        "where they fit, else streamed.",
        default="streamed",
    )
    cache_state: Literal["cold", "hot"] = field(
        "What the cache holds when an operator starts: nothing but what the operators before it left (cold, "
        "the default), or all its operands as far as they fit (hot), as in a benchmark that repeats one.",
        default="cold",
    )
    harness: str = field(
        "Whose launch cost an operator pays: a name of calibration's launch_us; empty unless stated, which "
        "is launch.",
        default="",
        when_absent="none, so launch",
    )
    launch_s: float = quantity(
        "Time from one launch to the next where no harness is named; 0.5 us unless stated, what CUDA graphs "
        "add to a kernel of 3 us (recalled); launched one by one, empty kernels follow one another in 3 us.",
        default=5e-7,
        ge=0,
    )
    published: PublishedSpec | None = field(
        "What was published about the part.", default=None, descriptive=True, when_absent="nothing"
    )
    calibration: GpuCalibrationSpec = field("Constants fitted to measurements.", default=GpuCalibrationSpec())

    def products(self, dtype: str) -> GpuProductsSpec:
        """The fitted constants of products in a number format."""
        return self.calibration.products.get(dtype, GpuProductsSpec())

    def check(self) -> Iterator[tuple[str, str]]:
        known = ", ".join(self.units)
        if not self.units:
            yield "units", "names no number format, so the multiprocessors could multiply nothing"
        for name in self.units:
            if name not in FORMATS:
                yield f"units.{name}", f"is not a number format; known: {', '.join(FORMATS)}"
        if self.units and self.dtype not in self.units:
            yield "dtype", f"the multiprocessors have no units for {self.dtype} (they have {known})"
        for name in self.calibration.products:
            if name not in self.units:
                yield f"calibration.products.{name}", f"is for a format without units (there are {known})"
        for name in self.power.multiply_pj if self.power is not None else ():
            if name not in self.units:
                yield f"power.multiply_pj.{name}", f"is for a format without units (there are {known})"
        if self.harness and self.harness not in self.calibration.launch_us:
            named = ", ".join(self.calibration.launch_us) or "none"
            yield "harness", f"{self.harness!r} has no launch cost in calibration.launch_us (it has {named})"
