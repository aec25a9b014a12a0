"""Compressed sparse columns with relative index, as EIE keeps weights (Han et al., "EIE: Efficient Inference
Engine on Compressed Deep Neural Network", ISCA 2016, section III.B and C).

A weight matrix W[rows, cols] maps cols inputs to rows outputs. Rows are interleaved over PEs: row r is local
row r // pes of PE r % pes. Each PE keeps, column after column, its nonzeros as entries (value, gap): the gap
is the number of zeros since the last entry of the same column in the same PE, in `index_bits` bits. Where
more than 2**index_bits - 1 zeros lie between, entries of value 0 and the largest gap pad the way. Zeros after
the last nonzero of a column are not stored. Pointers say where each column begins: cols + 1 for each PE.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from hwsim.arrays import Int32Array, Int64Array
from hwsim.errors import SpecError
from hwsim.tensor.codecs.codec import (
    MAX_ELEMENTS,
    as_matrix,
    checked_axis,
    matrix_shape,
    option,
    patterns_of,
)
from hwsim.tensor.codecs.streams import Sink, StoredStreams
from hwsim.tensor.codecs.values import CodedCodec
from hwsim.tensor.tensor import Array, Shape, format_shape

MOST_PES = 2**16
MOST_INDEX_BITS = 16


@dataclass(frozen=True, eq=False)
class Interleaved:
    """A matrix [rows, cols] as the entries of its PEs. All arrays are read-only.

    counts, padding: int32 (pes, cols), stored entries and the padding among them. pointers: int64
    (pes, cols + 1), where each column begins in its PE's stream. starts: int64 (pes + 1,), where each PE's
    stream begins in `values` (the numbers themselves) and `gaps` (uint16), both (entries,).
    """

    shape: tuple[int, int]
    index_bits: int
    counts: Int32Array
    padding: Int32Array
    pointers: Int64Array
    starts: Int64Array
    values: Array
    gaps: Array

    @property
    def pes(self) -> int:
        return int(self.counts.shape[0])

    @cached_property
    def entries(self) -> int:
        """Stored entries of all PEs, padding included."""
        return int(self.starts[-1])

    def stream(self, pe: int) -> tuple[Array, Array]:
        """Values and gaps of one PE, which its row of `pointers` cuts into columns."""
        own = slice(int(self.starts[pe]), int(self.starts[pe + 1]))
        return self.values[own], self.gaps[own]


def interleave(values: Array, pes: int, index_bits: int) -> Interleaved:
    """The entries of values [rows, cols] over `pes` PEs. Any numbers; what is not zero is stored. Raises
    SpecError for what is no matrix, and for options out of range."""
    if values.ndim != 2 or values.dtype.kind not in "fiu" or values.size > MAX_ELEMENTS:
        raise SpecError(
            f"only a matrix of at most {MAX_ELEMENTS:,} numbers is interleaved over PEs, not "
            f"{format_shape(values.shape)} of {values.dtype}"
        )
    for name, number, most in (("pes", pes, MOST_PES), ("index_bits", index_bits, MOST_INDEX_BITS)):
        if not 1 <= number <= most:
            raise SpecError(f"{name} must be from 1 to {most:,}, not {number}")
    from hwsim.kernels import sparse_streams

    cols = values.shape[1]
    patterns, mask = patterns_of(values)
    counts = np.zeros((pes, cols), dtype=np.int32)
    padding = np.zeros((pes, cols), dtype=np.int32)
    last = np.empty(cols, dtype=np.int64)
    sparse_streams.count_entries(patterns, mask, pes, index_bits, last, counts, padding)
    pointers = np.zeros((pes, cols + 1), dtype=np.int64)
    np.cumsum(counts, axis=1, out=pointers[:, 1:])
    starts = np.concatenate(([0], np.cumsum(pointers[:, -1])))
    stored = np.empty(int(starts[-1]), dtype=patterns.dtype)
    gaps = np.empty(stored.size, dtype=np.uint16)
    places = starts[:-1, None] + pointers[:, :-1]
    sparse_streams.fill_entries(patterns, mask, pes, index_bits, last, places, stored, gaps)
    numbers = stored.view(values.dtype)
    for array in (counts, padding, pointers, starts, numbers, gaps):
        array.setflags(write=False)
    return Interleaved(
        matrix_shape(values.shape), index_bits, counts, padding, pointers, starts, numbers, gaps
    )


def write_entries(codec: CodedCodec, sink: Sink, found: Interleaved) -> None:
    """Write the values and gaps of all PEs, one PE after the other."""
    codec.write_values(sink, found.values, codec.huffman)
    if codec.huffman:
        sink.coded("index", "index", found.gaps, 2**found.index_bits)
    else:
        sink.symbols("index", "index", found.gaps, found.index_bits)


def read_entries(
    codec: CodedCodec,
    stored: StoredStreams,
    pointers: Int64Array,
    matrix: Array,
    index_bits: int,
) -> None:
    """Put the stored entries of every PE and column, which pointers (pes, cols + 1) delimit, into `matrix`,
    zero before. Raises SpecError for damage."""
    if (pointers[:, 0] != 0).any() or (np.diff(pointers, axis=1) < 0).any():
        raise stored.fault("its pointers do not rise from 0")
    ends = np.cumsum(pointers[:, -1])
    entries = int(ends[-1])
    if entries > matrix.size:
        raise stored.fault(f"it has {entries:,} entries for {matrix.size:,} elements")
    values = codec.read_values(stored, entries, matrix.dtype, codec.huffman)
    if codec.huffman:
        gaps = stored.coded("index", entries, 2**index_bits)
    else:
        gaps = stored.symbols("index", index_bits, entries)
    if not entries:
        return
    from hwsim.kernels import sparse_streams

    patterns, _ = patterns_of(values)
    target = matrix.view(patterns.dtype)
    outside = sparse_streams.scatter_entries(patterns, gaps, ends - pointers[:, -1], pointers, target)
    if outside >= 0:
        raise stored.fault(f"entry {outside:,} lies outside the tensor")


@dataclass(frozen=True, kw_only=True)
class Csc(CodedCodec):
    """Entries (value, gap) by column, with pointers. Tensors of more than two dimensions are matrices of
    their outputs and everything else: [K, C, R, S] is [K, C*R*S]."""

    name: ClassVar[str] = "csc"

    index_bits: int = option(4, "Bits of a gap.", 1, MOST_INDEX_BITS)
    pes: int = option(1, "PEs that rows are interleaved over, each with columns of its own.", 1, MOST_PES)
    pointer_bits: int = option(16, "Bits of a pointer; each PE has one for each column and one more.", 1, 32)
    out_axis: int = option(0, "The axis of the outputs, which are the rows.", 0, 15)

    def write(self, sink: Sink, values: Array) -> None:
        found = interleave(as_matrix(values, self.out_axis, self.name), self.pes, self.index_bits)
        most = int(found.pointers.max())
        if most >= 2**self.pointer_bits:
            pe = int(np.argmax(found.pointers[:, -1]))
            raise SpecError(
                f"codec csc: PE {pe} stores {most:,} entries, and pointers of {self.pointer_bits} bits reach "
                f"{2**self.pointer_bits - 1:,}: give pointer_bits {most.bit_length()}, or more PEs"
            )
        write_entries(self, sink, found)
        sink.symbols("pointers", "pointers", found.pointers.reshape(-1), self.pointer_bits)

    def read(self, stored: StoredStreams, shape: Shape, dtype: np.dtype[Any]) -> Array:
        turned: Shape = (1, 1)
        if shape:
            axis = checked_axis(self.out_axis, shape, self.name, "out_axis")
            turned = (shape[axis], *shape[:axis], *shape[axis + 1 :])
        rows, cols = matrix_shape(turned)
        pointers = stored.symbols("pointers", self.pointer_bits, self.pes * (cols + 1))
        matrix = np.zeros((rows, cols), dtype=dtype)
        by_pe = pointers.astype(np.int64).reshape(self.pes, cols + 1)
        read_entries(self, stored, by_pe, matrix, self.index_bits)
        if not shape:
            return matrix.reshape(())
        return np.ascontiguousarray(np.moveaxis(matrix.reshape(turned), 0, self.out_axis))
