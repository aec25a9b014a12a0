"""Canonical Huffman codes (Huffman, Proc. IRE 40(9), 1952): the shortest prefix code for given counts, known
by its lengths alone, since codes of one length are handed out in the order of the symbols.

The table of a code over an alphabet of A symbols is stored as 3 bits that say a width w, then A lengths of w
bits, 0 for a symbol that does not occur: 3 + w * A bits. A symbol that occurs alone has a code of 1 bit.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Int64Array, Uint8Array, Uint64Array
from hwsim.errors import CapacityError
from hwsim.tensor.tensor import Array

# Huffman's longest code over n symbols with n occurrences grows with log(n) / log(1.618): 45 bits at 2**31.
# Readers and writers keep a code and a part of a byte in 64 bits.
LONGEST_CODE = 48
_WIDTH_BITS = 3
_SHORT_BITS = 11  # codes up to here are read with one look into a table of 2**11 entries
_CHUNK = 2**20


@dataclass(frozen=True, eq=False)
class PrefixCode:
    """A canonical code by its lengths: int64 (alphabet,), at most 2**16 symbols, 0 for one without a code."""

    lengths: Int64Array

    @cached_property
    def codes(self) -> Uint64Array:
        """The code of each symbol (alphabet,), in its low bits."""
        found = np.zeros(self.lengths.size, dtype=np.uint64)
        per_length = self.first_code[self.lengths[self.ordered]]
        rank = np.arange(self.ordered.size) - self.first_place[self.lengths[self.ordered]]
        found[self.ordered] = (per_length + rank).astype(np.uint64)
        return found

    @cached_property
    def ordered(self) -> Int64Array:
        """The symbols that have a code, by code."""
        by_length = np.argsort(self.lengths, kind="stable")
        return by_length[np.count_nonzero(self.lengths == 0) :]

    @cached_property
    def first_place(self) -> Int64Array:
        """(longest + 2,): where the symbols of each length begin in `ordered`, and where the last end."""
        per_length = np.bincount(self.lengths, minlength=2)
        per_length[0] = 0
        return np.concatenate(([0], np.cumsum(per_length)))

    @cached_property
    def first_code(self) -> Int64Array:
        """(longest + 2,): the first code of each length; as after 1100 comes 11010 where codes get longer."""
        per_length = np.diff(self.first_place)
        first = np.zeros(per_length.size + 1, dtype=np.int64)
        for length in range(1, per_length.size + 1):
            first[length] = (first[length - 1] + per_length[length - 1]) << 1
        return first

    def write(self, symbols: Array) -> tuple[Array, int]:
        """The packed codes of `symbols`, each of which must have one, and their bits."""
        bits = int(_histogram(symbols, self.lengths.size) @ self.lengths)
        packed = np.zeros(-(-bits // 8), dtype=np.uint8)
        if bits:
            from hwsim.kernels import bit_streams

            bit_streams.write_codes(symbols, self.codes, self.lengths, packed)
        return packed, bits

    def read(self, packed: Array, count: int) -> tuple[Array, int] | None:
        """`count` symbols and the bits they took; None where the bits are no codes or end early."""
        symbols = np.zeros(count, dtype=np.uint16)
        if not count:
            return symbols, 0
        from hwsim.kernels import bit_streams

        short_symbols, short_lengths = self._short()
        bits = bit_streams.read_codes(
            np.ascontiguousarray(packed),
            short_symbols,
            short_lengths,
            _SHORT_BITS,
            self.first_code,
            self.first_place,
            self.ordered.astype(np.uint16),
            symbols,
        )
        return None if bits < 0 else (symbols, bits)

    def _short(self) -> tuple[NDArray[np.uint16], Uint8Array]:
        """By the next 11 bits: the symbol whose code they begin with, and its length, 0 for none."""
        symbols = np.zeros(2**_SHORT_BITS, dtype=np.uint16)
        lengths = np.zeros(2**_SHORT_BITS, dtype=np.uint8)
        for symbol in self.ordered:
            length = int(self.lengths[symbol])
            if length > _SHORT_BITS:
                break
            first = int(self.codes[symbol]) << (_SHORT_BITS - length)
            last = first + (1 << (_SHORT_BITS - length))
            symbols[first:last] = symbol
            lengths[first:last] = length
        return symbols, lengths


def code_for(symbols: Array, alphabet: int) -> PrefixCode:
    """The best code for these symbols, all below `alphabet`."""
    return PrefixCode(code_lengths(_histogram(symbols, alphabet)))


def _histogram(symbols: Array, alphabet: int) -> Int64Array:
    """How often each symbol occurs, a piece at a time: bincount makes eight bytes of every symbol."""
    counts = np.zeros(alphabet, dtype=np.int64)
    for first in range(0, symbols.size, _CHUNK):
        counts += np.bincount(symbols[first : first + _CHUNK], minlength=alphabet)
    return counts


def code_lengths(counts: Array) -> Int64Array:
    """Code lengths (alphabet,) of the best prefix code for symbols that occur `counts` times.

    The two rarest are joined until one is left; of equally rare ones symbols come before joined ones, then
    the earlier, which keeps the longest code as short as can be. Raises CapacityError where it is longer than
    48 bits, which no tensor of fewer than 2**31 elements needs.
    """
    lengths = np.zeros(len(counts), dtype=np.int64)
    used = [int(symbol) for symbol in np.flatnonzero(counts)]
    if len(used) == 1:
        lengths[used[0]] = 1
        return lengths
    heap = [(int(counts[symbol]), place) for place, symbol in enumerate(used)]
    heapq.heapify(heap)
    above = [0] * max(2 * len(used) - 1, 0)  # of each node, the one that it hangs from
    for joined in range(len(used), len(above)):
        for_one, one = heapq.heappop(heap)
        for_other, other = heapq.heappop(heap)
        above[one] = above[other] = joined
        heapq.heappush(heap, (for_one + for_other, joined))
    depth = [0] * len(above)
    for place in range(len(above) - 2, -1, -1):
        depth[place] = depth[above[place]] + 1
    lengths[used] = depth[: len(used)]
    if lengths.size and lengths.max() > LONGEST_CODE:
        raise CapacityError(
            f"a Huffman code over these counts needs {lengths.max()} bits for its rarest symbol, and hwsim "
            f"writes codes of at most {LONGEST_CODE}"
        )
    return lengths


def table_symbols(code: PrefixCode) -> Array:
    """A code's table as single bits: the width of its lengths in 3, then each length."""
    width = int(code.lengths.max(initial=0)).bit_length()
    head = np.array([width >> shift & 1 for shift in (2, 1, 0)], dtype=np.uint16)
    shifts = np.arange(width - 1, -1, -1)
    return np.concatenate((head, (code.lengths[:, None] >> shifts & 1).astype(np.uint16).reshape(-1)))


def table_bits(packed: Array, alphabet: int) -> int:
    """Bits of the table that `packed` begins with."""
    width = int(packed[0]) >> (8 - _WIDTH_BITS) if packed.size else 0
    return _WIDTH_BITS + width * alphabet


def table_lengths(bits: Array, alphabet: int) -> Int64Array | None:
    """The lengths (alphabet,) in a table of single bits; None for lengths that no code has: over 48 bits, or
    with more codes than there is room for."""
    width = (bits.size - _WIDTH_BITS) // alphabet if alphabet else 0
    shifts = np.arange(width - 1, -1, -1)
    lengths: Int64Array = bits[_WIDTH_BITS:].reshape(alphabet, width).astype(np.int64) @ (1 << shifts)
    per_length = np.bincount(lengths)
    if per_length.size > LONGEST_CODE + 1:
        return None
    # Kraft's inequality, in units of a code of 48 bits.
    taken = sum(int(count) << (LONGEST_CODE - length) for length, count in enumerate(per_length) if length)
    return lengths if taken <= 1 << LONGEST_CODE else None
