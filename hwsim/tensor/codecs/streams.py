"""The bit streams of an encoded tensor: written once and counted as they are written, read with every length
checked before anything is made of it.

All streams are written with the highest bit first, and lie in bytes whose last one is filled with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.codecs import huffman
from hwsim.tensor.tensor import Array

PARTS = ("values", "index", "pointers", "codebook", "code tables", "header")

COUNT_BITS = 32  # of each number in a header


def damaged(codec: str, reason: str) -> SpecError:
    """The error for streams that this codec did not write."""
    return SpecError(f"the {codec} stream is damaged: {reason}")


def unsigned(bits: int) -> np.dtype[Any]:
    """The numpy type for unpacked numbers of that many bits: 16 at least, so that compiled loops come in
    fewer kinds."""
    return np.dtype(f"u{next(size for size in (2, 4, 8) if bits <= 8 * size)}")


class Sink:
    """Takes the streams of one tensor. `word` says how its numbers are written (see `words`); `counts` are
    the numbers of a header: what a decoder must know and cannot tell from the shape, the options and the
    streams themselves."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.counts: dict[str, int] = {}
        self.word = ""
        self._bits: dict[str, int] = {}

    def parts(self) -> tuple[tuple[str, int], ...]:
        """Bits by part, of the parts there are."""
        return tuple((part, self._bits[part]) for part in PARTS if part in self._bits)

    def count(self, name: str, number: int) -> None:
        """A number for the header: 32 bits."""
        self.counts[name] = number
        self._bits["header"] = self._bits.get("header", 0) + COUNT_BITS

    def symbols(self, name: str, part: str, symbols: Array, width: int) -> None:
        """Unsigned numbers of `width` bits each."""
        self._add(name, part, _packed(symbols, width), symbols.size * width)

    def coded(self, name: str, part: str, symbols: Array, alphabet: int) -> None:
        """Unsigned numbers below `alphabet`, by a Huffman code of their own, whose table is part of the
        "code tables"."""
        code = huffman.code_for(symbols, alphabet)
        packed, bits = code.write(symbols)
        self._add(name, part, packed, bits)
        self.symbols(f"{name}_table", "code tables", huffman.table_symbols(code), 1)

    def mask(self, name: str, part: str, chosen: Array) -> None:
        """One bit for each element."""
        self._add(name, part, np.packbits(chosen.reshape(-1)), chosen.size)

    def _add(self, name: str, part: str, packed: Array, bits: int) -> None:
        packed.setflags(write=False)
        self.arrays[name] = packed
        self._bits[part] = self._bits.get(part, 0) + bits


class StoredStreams:
    """The streams of one tensor as a file gave them: nothing about them is believed."""

    def __init__(self, codec: str, word: object, counts: object, arrays: Mapping[str, Array]) -> None:
        self.codec = codec
        if not isinstance(word, str):
            raise damaged(codec, "nothing says how its numbers are written")
        if not isinstance(counts, Mapping):
            raise damaged(codec, "it has no counts")
        self.word = word
        self._counts = dict(counts)
        self._arrays: dict[str, Any] = dict(arrays)
        for name, array in self._arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype != np.uint8 or array.ndim != 1:
                raise damaged(codec, f"{name!r} is not a row of bytes")

    def fault(self, reason: str) -> SpecError:
        return damaged(self.codec, reason)

    def count(self, name: str, most: int) -> int:
        """A number of the header, from 0 to `most`."""
        number = self._counts.pop(name, None)
        if type(number) is not int or not 0 <= number <= most:
            raise self.fault(f"its count of {name} is {number!r}, not a whole number from 0 to {most:,}")
        return number

    def symbols(self, name: str, width: int, count: int) -> Array:
        """`count` unsigned numbers of `width` bits."""
        packed = self._take(name)
        self._check_length(name, packed, count * width)
        return _unpacked(packed, width, count)

    def coded(self, name: str, count: int, alphabet: int) -> Array:
        """`count` Huffman-coded numbers below `alphabet`."""
        table = self._take(f"{name}_table")
        bits = huffman.table_bits(table, alphabet)
        self._check_length(f"{name}_table", table, bits)
        lengths = huffman.table_lengths(np.unpackbits(table, count=bits), alphabet)
        if lengths is None:
            raise self.fault(f"{name!r} has no valid code table of {alphabet:,} symbols")
        packed = self._take(name)
        if count > 8 * packed.size:  # each has a bit at least
            raise self.fault(f"{name!r} is too short for {count:,} symbols")
        read = huffman.PrefixCode(lengths).read(packed, count)
        if read is None:
            raise self.fault(f"{name!r} holds bits that are no code, or end early")
        symbols, bits = read
        self._check_length(name, packed, bits)
        return symbols

    def mask(self, name: str, count: int) -> Array:
        """`count` single bits, as booleans."""
        packed = self._take(name)
        self._check_length(name, packed, count)
        found: Array = np.unpackbits(packed, count=count).view(np.bool_)
        return found

    def check_all_read(self) -> None:
        """Raise SpecError for streams and counts that belong to no tensor of this codec."""
        for name in (*self._arrays, *self._counts):
            raise self.fault(f"{name!r} is none of its parts")

    def _take(self, name: str) -> Array:
        packed: Array | None = self._arrays.pop(name, None)
        if packed is None:
            raise self.fault(f"its {name!r} is missing")
        return packed

    def _check_length(self, name: str, packed: Array, bits: int) -> None:
        if packed.size != -(-bits // 8):
            raise self.fault(
                f"{name!r} has {packed.size:,} bytes, and {bits:,} bits of it take {-(-bits // 8):,}"
            )
        if bits % 8 and int(packed[-1]) & ((1 << (8 - bits % 8)) - 1):
            raise self.fault(f"{name!r} has bits set behind its end")


def _packed(symbols: Array, width: int) -> Array:
    if width in (8, 16, 32, 64):
        return symbols.astype(f">u{width // 8}").view(np.uint8)
    packed = np.zeros(-(-symbols.size * width // 8), dtype=np.uint8)
    if packed.size:
        from hwsim.kernels import bit_streams

        bit_streams.pack(symbols, width, packed)
    return packed


def _unpacked(packed: Array, width: int, count: int) -> Array:
    if width in (8, 16, 32, 64):
        read: Array = np.ascontiguousarray(packed).view(f">u{width // 8}").astype(unsigned(width))
        return read
    symbols = np.zeros(count, dtype=unsigned(width))
    if packed.size:
        from hwsim.kernels import bit_streams

        bit_streams.unpack(np.ascontiguousarray(packed), width, symbols)
    return symbols
