"""Bit streams: numbers of any width and prefix codes, written one after the other, the highest bit first.

Arithmetic is in uint64 throughout: numba makes a float of a uint64 and an int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Int64Array, Uint8Array, Uint64Array
from hwsim.kernels.compile import compiled_in_place

UInts = NDArray[Any]  # unsigned, of any width


@compiled_in_place
def pack(symbols: UInts, width: int, packed: Uint8Array) -> None:
    """Write the low `width` bits (1 to 64) of each symbol. `packed` has the bytes they take, all zero."""
    place = 0
    room = 8  # bits free in packed[place]
    for i in range(symbols.size):
        symbol = np.uint64(symbols[i])
        left = width
        while left > 0:
            taken = min(left, room)
            left -= taken
            room -= taken
            piece = (symbol >> np.uint64(left)) & ((np.uint64(1) << np.uint64(taken)) - np.uint64(1))
            packed[place] |= np.uint8(piece << np.uint64(room))
            if room == 0:
                place += 1
                room = 8


@compiled_in_place
def unpack(packed: Uint8Array, width: int, symbols: UInts) -> None:
    """Read `symbols.size` numbers of `width` bits; `packed` must hold them all."""
    place = 0
    room = 8  # bits unread in packed[place]
    for i in range(symbols.size):
        symbol = np.uint64(0)
        left = width
        while left > 0:
            taken = min(left, room)
            left -= taken
            room -= taken
            piece = (np.uint64(packed[place]) >> np.uint64(room)) & np.uint64((1 << taken) - 1)
            symbol |= piece << np.uint64(left)
            if room == 0:
                place += 1
                room = 8
        symbols[i] = symbol


@compiled_in_place
def write_codes(symbols: UInts, codes: Uint64Array, lengths: Int64Array, packed: Uint8Array) -> None:
    """Write the code of each symbol. A code has at most 56 bits, so that it and what is left of a byte fit
    in 64. `packed` has just the bytes they take."""
    window = np.uint64(0)
    filled = 0
    place = 0
    for i in range(symbols.size):
        symbol = symbols[i]
        window = (window << np.uint64(lengths[symbol])) | codes[symbol]
        filled += lengths[symbol]
        while filled >= 8:
            filled -= 8
            packed[place] = np.uint8((window >> np.uint64(filled)) & np.uint64(255))
            place += 1
    if filled > 0:
        packed[place] = np.uint8((window << np.uint64(8 - filled)) & np.uint64(255))


@compiled_in_place
def read_codes(
    packed: Uint8Array,
    short_symbols: UInts,
    short_lengths: Uint8Array,
    short_bits: int,
    first_code: Int64Array,
    first_place: Int64Array,
    ordered: UInts,
    symbols: UInts,
) -> int:
    """Read `symbols.size` canonical codes. Returns the bits read, or -1 where they are no codes or end early.

    short_symbols and short_lengths (2**short_bits,): the code that these next bits begin with, length 0 where
    it is longer or none. first_code (longest + 2,): the first code of each length; first_place
    (longest + 2,): its place in `ordered`, which lists the symbols by code.
    """
    longest = first_code.size - 2
    window = np.uint64(0)
    filled = 0
    place = 0
    short_mask = np.uint64((1 << short_bits) - 1)
    for i in range(symbols.size):
        while filled <= 56 and place < packed.size:
            window = (window << np.uint64(8)) | np.uint64(packed[place])
            place += 1
            filled += 8
        if filled >= short_bits:
            near = (window >> np.uint64(filled - short_bits)) & short_mask
        else:
            near = (window << np.uint64(short_bits - filled)) & short_mask
        length: Any = np.int64(short_lengths[near])
        if length > 0:
            if length > filled:
                return -1
            symbols[i] = short_symbols[near]
            filled -= length
            continue
        found = False
        code = np.int64(0)
        for tried in range(1, min(longest, filled) + 1):
            code = (code << 1) | np.int64((window >> np.uint64(filled - tried)) & np.uint64(1))
            ahead = code - first_code[tried]
            if 0 <= ahead < first_place[tried + 1] - first_place[tried]:
                symbols[i] = ordered[first_place[tried] + ahead]
                filled -= tried
                found = True
                break
        if not found:
            return -1
    return place * 8 - filled
