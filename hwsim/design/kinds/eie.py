"""The spec of the eie kind: processing elements that each hold some rows of a compressed matrix and multiply
them with broadcast nonzero activations. After Han et al., "EIE: Efficient Inference Engine on Compressed Deep
Neural Network", ISCA 2016; what such a device does lives in `hwsim.devices`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from hwsim.design.kinds.published import PublishedSpec
from hwsim.design.kinds.shared import Dram, fitted_on
from hwsim.schema import Spec, field, quantity

MAX_PES = 4096
_TOO_LARGE = "a larger machine is too large to simulate"


class SparseMatrixSramSpec(Spec):
    """The memory of each PE that holds its share of the weights: entries of a value's index and a gap."""

    size_bytes: int = quantity("Room in each PE.", ge=8)
    width_bits: int = field("Bits of one access.", ge=8, le=1024)

    def check(self) -> Iterator[tuple[str, str]]:
        if self.width_bits % 8:
            yield "width_bits", f"must be whole bytes (a multiple of 8), not {self.width_bits}"


class PointerSramSpec(Spec):
    """The memory of each PE that says where each column begins, in two banks so that a column's begin and end
    are read at once."""

    size_bytes: int = quantity("Room in each PE, both banks together.", ge=8)
    pointer_bits: int = field(
        "Bits of one pointer; 16 unless stated, as in the paper.", default=16, ge=8, le=32
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if self.pointer_bits % 8:
            yield "pointer_bits", f"must be whole bytes (a multiple of 8), not {self.pointer_bits}"


class ActivationsSpec(Spec):
    """Where each PE keeps its share of the activations."""

    registers: int = field(
        "Activations in each of the two register files of a PE, one of sources and one of results, which "
        "change roles from layer to layer.",
        ge=1,
        le=2**16,
    )
    sram_bytes: int = quantity("Memory behind the registers, in each PE.", ge=8)
    sram_width_bits: int = field("Bits of one access to it.", ge=8, le=1024)

    def check(self) -> Iterator[tuple[str, str]]:
        if self.sram_width_bits % 16:
            yield (
                "sram_width_bits",
                f"must be whole activations (a multiple of 16), not {self.sram_width_bits}",
            )


class IoSpec(Spec):
    """The way in and out of the machine, for weights and activations that do not fit. PEs stand idle
    while weights come in."""

    bandwidth_bytes_per_s: int | None = quantity("Bytes a second, in and out together.", unlimited=True)
    technology: Literal[Dram, "none"] = field(
        "Kind of memory behind it, which decides the energy of a byte; `none` is one without energy or area."
    )


class EieCalibrationSpec(Spec):
    """Constants fitted to published figures of a real part; results that rest on them say so."""

    sram_area: float = field(
        "Area of the memories over what the technology table gives; 1 unless fitted.",
        default=1.0,
        gt=0,
        le=10,
    )
    sram_energy: float = field(
        "Energy of an access to the memories over what the technology table gives; 1 unless fitted.",
        default=1.0,
        gt=0,
        le=10,
    )
    clock_energy_pj: float = field(
        "Energy of the clock network of one PE in each cycle, busy or idle, in pJ; none unless fitted.",
        default=0.0,
        ge=0,
        le=10**6,
    )
    fitted_on: str = fitted_on()


class EieSpec(Spec):
    """An engine for sparse matrix times sparse vector. Rows are interleaved over the PEs."""

    kind: Literal["eie"] = field("The kind of device: an engine on compressed matrices.")
    clock_hz: int = quantity("Cycles a second of the whole chip.")
    pes: int = field("Processing elements.", ge=1, le=MAX_PES, limit=_TOO_LARGE)
    fifo_depth: int = field("Places of each PE's queue of broadcast activations, a ring.", ge=2, le=2**16)
    usable_slots: int | None = field(
        "Activations that the queue holds; one less than its places unless stated, since a ring whose ends "
        "meet is empty.",
        default=None,
        when_absent="one less than fifo_depth",
        ge=1,
        le=2**16,
    )
    credit_cycles: int = field(
        "Cycles from taking an activation out of the queue until its place can be filled again.",
        default=2,
        ge=1,
        le=1024,
    )
    empty_column_cycles: int = field(
        "Cycles that a PE spends on a column in which it holds nothing; the pointer read, one unless stated.",
        default=1,
        ge=0,
        le=1024,
    )
    index_bits: int = field(
        "Bits of the gap between entries of a column; longer gaps take padding zeros.", default=4, ge=1, le=16
    )
    weight_bits: int = field(
        "Bits of a weight's index into the table of shared values, which also holds the padding's zero.",
        default=4,
        ge=1,
        le=8,
    )
    accumulator_bits: int = field(
        "Width of one sum; 32 unless stated, which holds any sum of 16-bit products that are scaled to it.",
        default=32,
        ge=8,
        le=128,
    )
    matrix_sram: SparseMatrixSramSpec = field("The weights in each PE.")
    pointer_sram: PointerSramSpec = field("The column pointers in each PE.")
    activations: ActivationsSpec = field("The activations in each PE.")
    pointwise_lanes: int | None = field(
        "Elements that each PE pools, adds or otherwise handles a cycle outside of products; without it such "
        "operators cannot run.",
        default=None,
        when_absent="pooling and pointwise operators are refused",
        ge=1,
        le=1024,
    )
    io: IoSpec | None = field(
        "The way in and out during a run.",
        default=None,
        when_absent="nothing moves in or out during a run: what does not fit is refused",
    )
    dtype: Literal["int16"] = field("Number format of activations and shared weights.", default="int16")
    published: PublishedSpec | None = field(
        "What was published about the part.", default=None, descriptive=True, when_absent="nothing"
    )
    calibration: EieCalibrationSpec | None = field(
        "Constants fitted to published figures.", default=None, when_absent="nothing is fitted"
    )

    @property
    def slots(self) -> int:
        """Activations that a PE's queue holds."""
        return self.fifo_depth - 1 if self.usable_slots is None else self.usable_slots

    @property
    def entry_bits(self) -> int:
        """Bits of a stored entry: the index of its value, and its gap."""
        return self.weight_bits + self.index_bits

    @property
    def matrix_entries(self) -> int:
        """Entries that one PE holds."""
        return self.matrix_sram.size_bytes * 8 // self.entry_bits

    @property
    def table_values(self) -> int:
        """Values beside zero that the table of shared values tells apart."""
        values: int = 2**self.weight_bits - 1
        return values

    @property
    def pointers(self) -> int:
        """Column pointers that one PE holds."""
        return self.pointer_sram.size_bytes * 8 // self.pointer_sram.pointer_bits

    def check(self) -> Iterator[tuple[str, str]]:
        if self.usable_slots is not None and self.usable_slots > self.fifo_depth:
            yield "usable_slots", f"a queue of {self.fifo_depth} places cannot hold {self.usable_slots}"
        if self.accumulator_bits % 8:
            yield "accumulator_bits", f"must be whole bytes (a multiple of 8), not {self.accumulator_bits}"
        if self.entry_bits > self.matrix_sram.width_bits:
            yield "matrix_sram.width_bits", f"an access must hold an entry of {self.entry_bits} bits"
        if self.matrix_entries < 1:
            yield "matrix_sram.size_bytes", f"holds no entry of {self.entry_bits} bits"
        if self.pointers < 2:
            yield "pointer_sram.size_bytes", "holds no column's begin and end"
