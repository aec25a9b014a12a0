"""Damaged streams: each kind of damage is a SpecError that names it, and never a crash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwsim.errors import HwsimError, SpecError
from hwsim.tensor.codecs import Encoded, decode, make_codec

Values = np.ndarray[Any, Any]

SIXTEEN = np.zeros((2, 8), dtype=np.float32)
SIXTEEN[0, 1], SIXTEEN[0, 4], SIXTEEN[1, 7] = 3.5, 1.0, 1.5


def damaged(encoded: Encoded, meta: dict[str, Any], arrays: dict[str, Any]) -> str:
    merged = {name: array for name, array in {**encoded.arrays, **arrays}.items() if array is not None}
    with pytest.raises(SpecError) as caught:
        decode({**encoded.meta, **meta}, merged)
    return str(caught.value)


def octets(*numbers: int) -> Values:
    return np.array(numbers, dtype=np.uint8)


CODED = make_codec("relative", index_bits=3, codebook_bits=2, huffman=True).encode(SIXTEEN)
COLUMNS = make_codec("csc", pes=2, pointer_bits=8).encode(SIXTEEN)
RUNS = make_codec("run-length", index_bits=2).encode(SIXTEEN)
SLOTS = make_codec("n:m").encode(SIXTEEN)
FEW = make_codec("codebook", codebook_bits=3).encode(SIXTEEN)


@pytest.mark.parametrize(
    ("encoded", "meta", "arrays", "message"),
    [
        (COLUMNS, {"codec": "zip"}, {}, "its codec 'zip' is none of"),
        (COLUMNS, {"codec": ["csc"]}, {}, "its codec ['csc'] is none of"),
        (COLUMNS, {"options": {"pes": 2}}, {}, "its options are not"),
        (COLUMNS, {"options": {**COLUMNS.meta["options"], "pes": 10**9}}, {}, "pes must be a whole number"),
        (COLUMNS, {"shape": "2x8"}, {}, "its shape is not a list"),
        (COLUMNS, {"shape": [2, -8]}, {}, "holds a size that is not a whole number"),
        (COLUMNS, {"shape": [2**20, 2**20]}, {}, "has more than 2,147,483,647 elements"),
        (COLUMNS, {"shape": [2, 9]}, {}, "'pointers' has 18 bytes"),
        (COLUMNS, {"shape": [1, 8]}, {}, "entry 2 lies outside the tensor"),
        (COLUMNS, {"dtype": "object"}, {}, "its dtype 'object' is none of"),
        (COLUMNS, {"word": "int128"}, {}, "cannot be of kind 'int128'"),
        (COLUMNS, {"word": None}, {}, "nothing says how its numbers are written"),
        (COLUMNS, {"counts": {"entries": 3}}, {}, "'entries' is none of its parts"),
        (COLUMNS, {"counts": None}, {}, "it has no counts"),
        (COLUMNS, {}, {"pointers": None}, "its 'pointers' is missing"),
        (COLUMNS, {}, {"extra": octets(1)}, "'extra' is none of its parts"),
        (COLUMNS, {}, {"index": np.zeros(2)}, "'index' is not a row of bytes"),
        (COLUMNS, {}, {"index": octets(0x10, 0x70, 0)}, "'index' has 3 bytes, and 12 bits of it take 2"),
        (COLUMNS, {}, {"index": octets(0, 0x01)}, "'index' has bits set behind its end"),
        (COLUMNS, {}, {"pointers": octets(1, *[2] * 17)}, "its pointers do not rise from 0"),
        (COLUMNS, {}, {"pointers": octets(0, 3, *[2] * 7, *[0] * 9)}, "its pointers do not rise from 0"),
        (COLUMNS, {}, {"pointers": octets(*[0] * 8, 99, *[0] * 9)}, "it has 99 entries for 16 elements"),
        (COLUMNS, {}, {"values": octets(0x7F, 0x80, *[0] * 10)}, "it holds numbers that are not finite"),
        (CODED, {"counts": {**CODED.meta["counts"], "entries": 17}}, {}, "count of entries is 17"),
        (CODED, {"counts": {**CODED.meta["counts"], "entries": True}}, {}, "count of entries is True"),
        (CODED, {"counts": {**CODED.meta["counts"], "entries": 9}}, {}, "too short for 9 symbols"),
        (CODED, {"counts": {**CODED.meta["counts"], "entries": 5}}, {}, "are no code, or end early"),
        (CODED, {"counts": {**CODED.meta["counts"], "entries": 3}}, {}, "has bits set behind its end"),
        (CODED, {}, {"values_table": octets()}, "'values_table' has 0 bytes"),
        (CODED, {}, {"values_table": octets(0b010_01_01_0, 0b1_01_00000)}, "no valid code table of 4"),
        (CODED, {}, {"values_table": octets(0b110_11111, 0b1_000000_0, 0, 0)}, "no valid code table of 4"),
        (CODED, {}, {"values_table": octets(0b010_10_00_0, 0b0_00_00000)}, "are no code, or end early"),
        (RUNS, {"shape": [2, 9]}, {}, "its tokens do not stand for 18 elements"),
        (RUNS, {"shape": [3, 5]}, {}, "its tokens do not stand for 15 elements"),
        (SLOTS, {}, {"index": octets(0x1B, 0, 0x1B)}, "'index' has 3 bytes"),
        (SLOTS, {}, {"index": octets(0b00_00_00_01, 0b00_01_00_01)}, "slot 1 does not lie behind"),
        (SLOTS, {"shape": [4, 4]}, {"index": octets(0b00_01_01_00, 0)}, "slot 3 does not lie behind"),
        (FEW, {}, {"values": octets(*[0xFF] * 6)}, "it refers to entry 7 of a table of 4"),
        (FEW, {"counts": {"entries of the table": 3}}, {}, "'codebook' has 16 bytes"),
    ],
)
def test_damage_is_named(
    encoded: Encoded, meta: dict[str, Any], arrays: dict[str, Any], message: str
) -> None:
    assert message in damaged(encoded, meta, arrays)


def test_a_tensor_larger_than_memory_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("hwsim.tensor.codecs.csc.np.zeros", none_left)
    with pytest.raises(HwsimError, match="no memory for a float32 tensor"):
        decode(COLUMNS.meta, COLUMNS.arrays)
