"""The stream of a tensor's values, which most codecs share: raw words, or indices into a table of the few
values that shared weights have; either also Huffman-coded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.codecs.codec import Codec, option, patterns_of
from hwsim.tensor.codecs.streams import Sink, StoredStreams
from hwsim.tensor.codecs.words import numbers_of, read_words, words_of, write_words
from hwsim.tensor.tensor import Array

# Symbols of a Huffman code: its table lists a length for each.
MOST_CODED_BITS = 16


@dataclass(frozen=True, kw_only=True)
class ValuedCodec(Codec):
    """A codec whose values may be raw or shared.

    With `codebook_bits` b, a value is an index of b bits into a table of at most 2**b entries, which holds
    exactly the distinct values of the stored stream, ascending. Zero is one of them where zeros are stored:
    padding entries, the free slots of a group, the zero tokens of runs.
    """

    value_bits: int | None = option(None, "Bits of a raw value; without it those of its dtype.", 1, 64)
    codebook_bits: int | None = option(None, "Values are indices of this many bits into a table.", 1, 16)
    entry_bits: int | None = option(None, "Bits of a table entry; without it those of the dtype.", 1, 64)

    def check(self) -> Iterator[str]:
        if self.codebook_bits is None and self.entry_bits is not None:
            yield "entry_bits needs codebook_bits: without it there is no table"
        if self.codebook_bits is not None and self.value_bits is not None:
            yield "give value_bits or codebook_bits: with a table, values are indices of codebook_bits"

    def write_values(self, sink: Sink, values: Array, coded: bool = False) -> None:
        """Write the stored values (1-D). Raises SpecError for more distinct ones than the table holds, or
        values that do not fit their words."""
        if self.codebook_bits is not None:
            write_shared(sink, self.name, values, self.codebook_bits, self.entry_bits, coded)
            return
        bits = self.value_bits or 8 * values.dtype.itemsize
        if not coded:
            write_words(sink, self.name, "values", "values", values, bits)
            return
        if bits > MOST_CODED_BITS:
            raise SpecError(
                f"codec {self.name}: huffman needs values of at most {MOST_CODED_BITS} bits, since its table "
                f"lists every value there may be, and these have {bits}: give codebook_bits or value_bits"
            )
        sink.word, symbols = words_of(values, bits, self.name, "values")
        sink.coded("values", "values", symbols, 2**bits)

    def read_values(
        self, stored: StoredStreams, count: int, dtype: np.dtype[Any], coded: bool = False
    ) -> Array:
        """`count` values again. Raises SpecError for damage."""
        if self.codebook_bits is not None:
            return read_shared(stored, count, dtype, self.codebook_bits, self.entry_bits, coded)
        bits = self.value_bits or 8 * dtype.itemsize
        if not coded:
            return read_words(stored, "values", count, bits, dtype)
        if bits > MOST_CODED_BITS:
            raise stored.fault(f"huffman codes of {bits} bits are never written")
        return numbers_of(stored, stored.coded("values", count, 2**bits), bits, dtype)


@dataclass(frozen=True, kw_only=True)
class CodedCodec(ValuedCodec):
    """A codec whose values and index may be Huffman-coded, each by a code of its own."""

    huffman: bool = option(False, "Huffman-code the values and, by another code, the index.")

    @property
    def stored_name(self) -> str:
        return f"{self.name}+huffman" if self.huffman else self.name


def write_shared(
    sink: Sink, codec: str, values: Array, bits: int, entry_bits: int | None, coded: bool
) -> None:
    """Write values (1-D) as a table and indices. The header counts the table's entries."""
    index, table = share_out(values, bits, codec)
    sink.count("entries of the table", table.size)
    width = entry_bits or 8 * values.dtype.itemsize
    write_words(sink, codec, "codebook", "codebook", table, width)
    if coded:
        sink.coded("values", "values", index, table.size)
    else:
        sink.symbols("values", "values", index, bits)


def read_shared(
    stored: StoredStreams, count: int, dtype: np.dtype[Any], bits: int, entry_bits: int | None, coded: bool
) -> Array:
    """Undo `write_shared`. Raises SpecError for damage."""
    entries = stored.count("entries of the table", 2**bits)
    table = read_words(stored, "codebook", entries, entry_bits or 8 * dtype.itemsize, dtype)
    index = stored.coded("values", count, entries) if coded else stored.symbols("values", bits, count)
    if index.size and int(index.max()) >= entries:
        raise stored.fault(f"it refers to entry {int(index.max())} of a table of {entries}")
    found: Array = table[index]
    return found


def share_out(values: Array, bits: int, codec: str) -> tuple[Array, Array]:
    """Indices (uint16) of values (1-D) in the table of their distinct ones, ascending, and the table. -0.0 is
    0. Raises SpecError for more than 2**bits distinct values."""
    patterns, mask = patterns_of(values)
    slots = np.full(2 ** (bits + 2), -1, dtype=np.int32)
    table = np.zeros(2**bits, dtype=np.uint64)
    index = np.zeros(values.size, dtype=np.uint16)
    entries = 0
    if values.size:
        from hwsim.kernels import sparse_streams

        keys = np.zeros(slots.size, dtype=np.uint64)
        entries = sparse_streams.index_values(patterns, mask, slots, keys, table, index)
    if entries < 0:
        zero = ", of which 0 is one (stored zeros need it, such as padding)" if not values.all() else ""
        raise SpecError(
            f"codec {codec}: the stored values have more than {2**bits:,} distinct ones{zero}, and indices "
            f"of {bits} bits know no more: share the weights among fewer values, or give more codebook_bits"
        )
    found = table[:entries].astype(patterns.dtype).view(values.dtype)
    order = np.argsort(found)
    rank = np.empty(max(entries, 1), dtype=np.uint16)
    rank[order] = np.arange(entries)
    return rank[index] if entries else index, found[order]
