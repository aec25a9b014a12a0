"""The spec of the systolic kind: a grid of processing elements that operands march through, its buffers, its
memory and its link. What such a device does with it lives in `hwsim.devices`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hwsim.design.kinds.published import PublishedSpec
from hwsim.design.kinds.shared import FORMATS, Dram, NumberFormat, fitted_on
from hwsim.schema import Count, Spec, field, quantity

MAX_SIDE = 2**16
MAX_PES = 2**24  # a 4096 x 4096 array; tile columns and register counts stay far inside int64
_MAX_CYCLES = 2**24
_TOO_LARGE = "a larger array is too large to simulate"


class ArraySpec(Spec):
    """The grid of processing elements."""

    rows: int = field("Rows of processing elements.", ge=1, le=MAX_SIDE, limit=_TOO_LARGE)
    cols: int = field("Columns of processing elements.", ge=1, le=MAX_SIDE, limit=_TOO_LARGE)
    dataflow: Literal["ws", "os", "is"] = field(
        "Which operand stays in the elements: weights (ws, the default as in most systolic chips), outputs "
        "(os) or inputs (is).",
        default="ws",
    )
    fold_overlap: bool = field(
        "Whether a tile enters while the one before still leaves, so that the skew is paid once and not for "
        "each tile; on unless stated, as pipelined arrays do.",
        default=True,
    )
    double_buffer: bool = field(
        "Whether elements hold a second stationary operand, so that the next one shifts in during "
        "computation; on unless stated, as in the TPU.",
        default=True,
    )
    shift_in_cycles: int | None = field(
        "Cycles to shift one tile of stationary operands in; without it one row a cycle.",
        default=None,
        when_absent="one a row of the array",
        ge=1,
        le=_MAX_CYCLES,
    )
    drain: Literal["hidden", "serial"] = field(
        "Whether finished sums leave behind the next tile (hidden, the default) or stop the array while they "
        "leave (serial).",
        default="hidden",
    )
    drain_cycles: int | None = field(
        "Cycles that finished sums take to leave: added to each tile by a serial drain, and the least time "
        "of a tile behind which they leave hidden. Without it one a row for os, whose sums leave through the "
        "rows, and none for ws and is, whose sums leave as they finish.",
        default=None,
        when_absent="one a row for os, 0 for ws and is",
        ge=0,
        le=_MAX_CYCLES,
    )
    group_packing: bool = field(
        "Whether several small groups of a grouped convolution share the array, each in its own rows and "
        "columns; off unless stated, since it needs routing that few arrays have.",
        default=False,
    )
    cycles_per_row: dict[str, Count] = field(
        "Cycles that one row of operands takes by number format, activations x weights (int16xint8) where "
        "they differ; int8 at full rate unless stated.",
        default={"int8": 1},
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if self.rows * self.cols > MAX_PES:
            grid = f"{self.rows:,} x {self.cols:,} processing elements"
            yield "rows", f"{grid} are too many to simulate (at most {MAX_PES:,})"
        if self.dataflow == "os" and self.shift_in_cycles is not None:
            yield (
                "shift_in_cycles",
                "means nothing with dataflow os, where no operand is shifted in: leave it out",
            )
        if not self.cycles_per_row:
            yield "cycles_per_row", "names no number format, so the array could multiply nothing"
        for pair, cycles in self.cycles_per_row.items():
            parts = pair.split("x")
            unknown = [part for part in parts if part not in FORMATS]
            if unknown or len(parts) > 2:
                yield (
                    f"cycles_per_row.{pair}",
                    f"is not a number format or a pair such as int16xint8; known: {', '.join(FORMATS)}",
                )
            elif len(parts) == 2 and parts[0] == parts[1]:
                yield f"cycles_per_row.{pair}", f"names one format twice; write {parts[0]}"
            elif cycles > MAX_SIDE:
                yield f"cycles_per_row.{pair}", f"must be at most {MAX_SIDE}, not {cycles}"


class WeightFifoSpec(Spec):
    """The queue between weight memory and array."""

    depth_tiles: int | None = field(
        "Weight tiles fetched ahead of the array; unlimited unless stated, so that only bandwidth limits "
        "prefetch.",
        default=None,
        unlimited=True,
        ge=1,
        le=MAX_SIDE,
    )


class AccumulatorsSpec(Spec):
    """The memory below the array in which sums grow."""

    rows: int | None = field(
        "Rows of sums, each as wide as the array, in all banks together; unlimited unless stated, so that a "
        "tile may have any number of rows.",
        default=None,
        unlimited=True,
        ge=1,
        le=2**24,
    )
    banks: int = field(
        "Parts that are filled and emptied in turn; two unless stated, so that one drains while one fills.",
        default=2,
        ge=1,
        le=1024,
    )
    width_bits: int = field(
        "Width of one sum; 32 unless stated, which holds any sum of 2^16 int8 products.",
        default=32,
        ge=8,
        le=128,
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if self.width_bits % 8:
            yield "width_bits", f"must be whole bytes (a multiple of 8), not {self.width_bits}"
        if self.rows is not None and self.rows < self.banks:
            yield "rows", f"{self.rows} rows cannot be split into {self.banks} banks"


class UnifiedBufferSpec(Spec):
    """The on-chip memory of activations."""

    size_bytes: int | None = quantity(
        "Room for activations on chip; unlimited unless stated, so that nothing spills.",
        default=None,
        unlimited=True,
    )
    bank_bytes: int = quantity(
        "Size of one SRAM bank, which decides the energy of an access; 64 KiB unless stated, between the "
        "8 KB and 1 MB for which energies are published.",
        default=64 * 2**10,
    )


class ActivationUnitSpec(Spec):
    """The unit behind the accumulators: nonlinear functions, pooling, elementwise work."""

    lanes: int | None = field(
        "Elements handled a cycle; `unlimited` is an ideal unit without time, energy or area.",
        unlimited=True,
        ge=1,
        le=MAX_PES,
    )


class WeightMemorySpec(Spec):
    """The memory outside the chip: weights, and what does not fit on the chip."""

    technology: Literal[Dram, "none"] = field(
        "Kind of memory, which decides the energy of a byte; `none` is an ideal one without energy or area."
    )
    size_bytes: int | None = quantity(
        "Room for weights and spilled activations; unlimited unless stated, so that every network fits.",
        default=None,
        unlimited=True,
    )
    bandwidth_bytes_per_s: int | None = quantity(
        "Bytes a second of all channels together, shared by weights, loads and stores.", unlimited=True
    )
    channels: int = field(
        "Memory channels, each with its interface on the die; one unless stated. They change area, not "
        "bandwidth.",
        default=1,
        ge=1,
        le=64,
    )


class HostLinkSpec(Spec):
    """The link over which a network's inputs arrive and its outputs leave."""

    bandwidth_bytes_per_s: int | None = quantity(
        "Bytes a second in each transfer, before calibration's host efficiency.", unlimited=True
    )


class CalibrationSpec(Spec):
    """Constants fitted to measurements; results that rest on them say so."""

    host_efficiency: float = field(
        "Share of the host link's bandwidth that is reached; all of it unless fitted.",
        default=1.0,
        gt=0,
        le=1,
    )
    host_overlap: float = field(
        "Share of the traffic of neighbouring batches that runs while this one computes; none unless fitted.",
        default=0.0,
        ge=0,
        lt=1,
    )
    fitted_on: str = fitted_on()


class SystolicSpec(Spec):
    """A systolic accelerator with weight memory, unified buffer and, if it has one, a host link."""

    kind: Literal["systolic"] = field("The kind of device: a systolic array.")
    clock_hz: int = quantity("Cycles a second of the whole chip.")
    dtype: NumberFormat = field(
        "Number format of activations and weights when a run names none; int8 unless stated, as inference "
        "chips use.",
        default="int8",
    )
    array: ArraySpec = field("The grid of processing elements.")
    weight_fifo: WeightFifoSpec = field("The queue of weight tiles.", default=WeightFifoSpec())
    accumulators: AccumulatorsSpec = field("The sums below the array.", default=AccumulatorsSpec())
    unified_buffer: UnifiedBufferSpec = field(
        "The on-chip memory of activations.", default=UnifiedBufferSpec()
    )
    activation_unit: ActivationUnitSpec = field("Nonlinear functions and elementwise work.")
    weight_memory: WeightMemorySpec = field("The memory outside the chip.")
    host_link: HostLinkSpec | None = field(
        "The link to the host; without it inputs and outputs of the network lie in weight memory.",
        default=None,
        when_absent="no link: inputs and outputs lie in weight memory",
    )
    published: PublishedSpec | None = field(
        "What was published about the part.", default=None, descriptive=True, when_absent="nothing"
    )
    calibration: CalibrationSpec | None = field(
        "Constants fitted to measurements.", default=None, when_absent="nothing is fitted"
    )

    @property
    def dataflow(self) -> str:
        """The array's dataflow."""
        return self.array.dataflow

    def check(self) -> Iterator[tuple[str, str]]:
        if self.dtype not in self.array.cycles_per_row:
            known = ", ".join(self.array.cycles_per_row)
            yield "dtype", f"the array has no rate for {self.dtype} in cycles_per_row (it has {known})"
        if self.calibration is not None and self.host_link is None:
            yield "calibration", "fits the host link, but the device has none"
