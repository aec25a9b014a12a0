"""Words: how one raw number is written in a given width, exactly or not at all.

A word of 64, 32 or 16 bits holds a float of that size ("float64", "float32", "float16", or "bfloat16", the
upper half of a float32); any width holds whole numbers in two's complement ("int") or without a sign
("uint"). The first of these that holds every number of the tensor is taken. Which one it is belongs to the
number format, which the network states, so it is not counted as stored bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.codecs.streams import Sink, StoredStreams, unsigned
from hwsim.tensor.tensor import Array

_FLOATS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}

_CHUNK = 2**20  # numbers turned into words at a time, since what lies between takes eight bytes each


def write_words(sink: Sink, codec: str, name: str, part: str, values: Array, bits: int) -> None:
    """Write `values` (1-D), each in a word of `bits`. Raises SpecError for numbers that do not fit."""
    sink.word, symbols = words_of(values, bits, codec, part)
    sink.symbols(name, part, symbols, bits)


def read_words(stored: StoredStreams, name: str, count: int, bits: int, dtype: np.dtype[Any]) -> Array:
    """`count` numbers of `dtype`, written in words of `bits`. Raises SpecError for damage."""
    return numbers_of(stored, stored.symbols(name, bits, count), bits, dtype)


def words_of(values: Array, bits: int, codec: str, part: str) -> tuple[str, Array]:
    """The kind of word that holds all of `values` (1-D) in `bits`, and their words (unsigned). Raises
    SpecError, naming the first number that does not fit, where there is none."""
    first_misfit = 0
    for kind in _kinds(values.dtype, bits):
        words = np.empty(values.size, dtype=unsigned(bits))
        for first in range(0, values.size, _CHUNK):
            piece = values[first : first + _CHUNK]
            words[first : first + _CHUNK], fits = _as_words(piece, kind, bits)
            if not fits.all():
                first_misfit = max(first_misfit, first + int(np.argmin(fits)))
                break
        else:
            return kind, words
    option = "entry_bits" if part == "codebook" else "value_bits"
    raise SpecError(
        f"codec {codec}: {values[first_misfit].item()!r} does not fit in {bits} bits exactly: give {option} "
        f"{8 * values.dtype.itemsize}, or round the tensor to a narrower format first"
    )


def numbers_of(stored: StoredStreams, words: Array, bits: int, dtype: np.dtype[Any]) -> Array:
    """The numbers of `dtype` that words stand for. Raises SpecError for damage."""
    kind = stored.word
    with np.errstate(all="ignore"):  # damage may be anything
        if _FLOATS.get(kind) == bits and dtype.kind == "f":
            if kind == "bfloat16":
                found = (words.astype(np.uint32) << np.uint32(16)).view(np.float32)
            else:
                found = words.view(kind)
            numbers: Array = found.astype(dtype, copy=False)
        elif kind == "int":
            shift = 64 - bits
            numbers = ((words.astype(np.uint64) << np.uint64(shift)).view(np.int64) >> shift).astype(dtype)
        elif kind == "uint":
            numbers = words.astype(dtype)
        else:
            raise stored.fault(f"words of {bits} bits for {dtype} numbers cannot be of kind {kind!r}")
    if dtype.kind == "f" and not np.isfinite(numbers).all():
        raise stored.fault("it holds numbers that are not finite")
    return numbers


def _kinds(dtype: np.dtype[Any], bits: int) -> Iterator[str]:
    if dtype.kind == "f":
        yield from (kind for kind, width in _FLOATS.items() if width == bits)
    yield from ("int", "uint")


def _as_words(values: Array, kind: str, bits: int) -> tuple[Array, Array]:
    """Words of one kind, and which of them hold their number exactly."""
    with np.errstate(over="ignore"):
        if kind == "bfloat16":
            words = (values.astype(np.float32).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
            return words, (words.astype(np.uint32) << np.uint32(16)).view(np.float32) == values
        if kind in _FLOATS:
            narrow = values.astype(kind, copy=False)
            return narrow.view(unsigned(bits)), narrow == values
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind == "int" else (0, 2**bits - 1)
    if values.dtype.kind == "f":
        # Above 2**62 floats are no longer tried as whole numbers: int64 ends at 2**63.
        fits = (values == np.rint(values)) & (np.abs(values.astype(np.float64)) < 2.0**62)
        whole = np.where(fits, values, 0).astype(np.int64)
    else:
        fits, whole = np.ones(values.size, dtype=np.bool_), values
    limits = np.iinfo(whole.dtype)
    fits &= (whole >= max(low, limits.min)) & (whole <= min(high, limits.max))
    wide = np.uint64 if whole.dtype.kind == "u" else np.int64
    return (whole.astype(wide).view(np.uint64) & np.uint64(2**bits - 1)).astype(unsigned(bits)), fits
