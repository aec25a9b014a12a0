"""Encoders that write text of '0' and '1', one element at a time, as the formats are described in words.

They share nothing with hwsim/tensor/codecs: no array operations, no packing, no counting by formula. A result
maps the name of a stream to its text; the streams of a part are listed in PART_OF.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

PART_OF = {
    "values": "values", "index": "index", "pointers": "pointers", "codebook": "codebook",
    "values_table": "code tables", "index_table": "code tables", "header": "header",
}  # fmt: skip

Number = float | int
Streams = dict[str, str]


def word(number: Number, kind: str, bits: int) -> str:
    """One number in so many bits: IEEE 754 through struct, or two's complement by hand."""
    if kind in ("float16", "float32", "float64"):
        raw = struct.pack({"float16": ">e", "float32": ">f", "float64": ">d"}[kind], number)
        return "".join(f"{byte:08b}" for byte in raw)
    if kind == "bfloat16":
        return word(number, "float32", 32)[:16]
    whole = int(number)
    return f"{whole if whole >= 0 else 2**bits + whole:0{bits}b}"


def huffman(symbols: Sequence[int], alphabet: int) -> tuple[str, str]:
    """The coded symbols and the code's table, both as text."""
    trees: list[tuple[int, int, dict[int, int]]] = []
    for symbol in sorted(set(symbols)):
        trees.append((list(symbols).count(symbol), len(trees), {symbol: 0}))
    made = len(trees)
    while len(trees) > 1:
        trees.sort(key=lambda tree: tree[:2])
        first, second = trees[:2]
        deeper = {symbol: depth + 1 for tree in (first, second) for symbol, depth in tree[2].items()}
        trees = [*trees[2:], (first[0] + second[0], made, deeper)]
        made += 1
    lengths = trees[0][2] if trees else {}
    if len(lengths) == 1:
        lengths = dict.fromkeys(lengths, 1)
    codes: dict[int, str] = {}
    code = ""
    for symbol in sorted(lengths, key=lambda each: (lengths[each], each)):
        if code:  # count up, then lengthen
            code = f"{int(code, 2) + 1:0{len(code)}b}"
        code += "0" * (lengths[symbol] - len(code))
        codes[symbol] = code
    width = max((len(f"{length:b}") for length in lengths.values()), default=0)
    table = f"{width:03b}" + "".join(
        f"{lengths.get(symbol, 0):0{width}b}" if width else "" for symbol in range(alphabet)
    )
    return "".join(codes[symbol] for symbol in symbols), table


def column_entries(column: Sequence[Number], index_bits: int) -> list[tuple[Number, int]]:
    """(value, gap) of one column: zeros are counted one by one, and a full count is stored as an entry."""
    entries: list[tuple[Number, int]] = []
    waiting: list[tuple[Number, int]] = []  # padding that is stored only if a nonzero follows
    zeros = 0
    for number in column:
        if number != 0:
            entries += [*waiting, (number, zeros)]
            waiting, zeros = [], 0
        elif zeros == 2**index_bits - 1:
            waiting.append((0, zeros))
            zeros = 0
        else:
            zeros += 1
    return entries


def values_streams(
    numbers: Sequence[Number],
    kind: str,
    bits: int,
    codebook_bits: int | None = None,
    huffman_coded: bool = False,
) -> Streams:
    """The stream of stored values, and the table of shared ones with its count."""
    if codebook_bits is None:
        if not huffman_coded:
            return {"values": "".join(word(number, kind, bits) for number in numbers)}
        symbols = [int(word(number, kind, bits), 2) for number in numbers]
        coded, table = huffman(symbols, 2**bits)
        return {"values": coded, "values_table": table}
    entries = sorted({float(number) + 0.0 for number in numbers})
    streams = {
        "codebook": "".join(word(entry, kind, bits) for entry in entries),
        "header": f"{len(entries):032b}",
    }
    places = [entries.index(float(number)) for number in numbers]
    if huffman_coded:
        streams["values"], streams["values_table"] = huffman(places, len(entries))
    else:
        streams["values"] = "".join(f"{place:0{codebook_bits}b}" for place in places)
    return streams


def entries_streams(
    entries: Sequence[tuple[Number, int]], index_bits: int, huffman_coded: bool, **values: Any
) -> Streams:
    streams = values_streams([value for value, _ in entries], huffman_coded=huffman_coded, **values)
    gaps = [gap for _, gap in entries]
    if huffman_coded:
        streams["index"], streams["index_table"] = huffman(gaps, 2**index_bits)
    else:
        streams["index"] = "".join(f"{gap:0{index_bits}b}" for gap in gaps)
    return streams


def csc(
    matrix: Sequence[Sequence[Number]],
    cols: int,
    index_bits: int,
    pes: int,
    pointer_bits: int,
    huffman_coded: bool,
    **values: Any,
) -> Streams:
    """Every PE takes each pes-th row, then every column of these in turn."""
    stored: list[tuple[Number, int]] = []
    pointers = ""
    for pe in range(pes):
        own: list[tuple[Number, int]] = []
        for col in range(cols):
            pointers += f"{len(own):0{pointer_bits}b}"
            own += column_entries([row[col] for row in matrix[pe::pes]], index_bits)
        pointers += f"{len(own):0{pointer_bits}b}"
        stored += own
    return {"pointers": pointers, **entries_streams(stored, index_bits, huffman_coded, **values)}


def relative(numbers: Sequence[Number], index_bits: int, huffman_coded: bool, **values: Any) -> Streams:
    entries = column_entries(numbers, index_bits)
    streams = entries_streams(entries, index_bits, huffman_coded, **values)
    streams["header"] = f"{len(entries):032b}" + streams.get("header", "")
    return streams


def bitmask(numbers: Sequence[Number], **values: Any) -> Streams:
    mask = "".join("1" if number != 0 else "0" for number in numbers)
    return {"index": mask, **values_streams([number for number in numbers if number != 0], **values)}


def run_length(numbers: Sequence[Number], index_bits: int, **values: Any) -> Streams:
    left = list(numbers)
    tokens: list[Number] = []
    runs = ""
    while left:
        tokens.append(left.pop(0) + 0)
        if tokens[-1] == 0:
            run = 0
            while left and left[0] == 0 and run < 2**index_bits - 1:
                left.pop(0)
                run += 1
            runs += f"{run:0{index_bits}b}"
    streams = values_streams(tokens, **values)
    streams["header"] = f"{len(tokens):032b}" + streams.get("header", "")
    return {"index": runs, **streams}


def groups(rows: Sequence[Sequence[Number]], n: int, m: int, **values: Any) -> Streams:
    kept: list[Number] = []
    index = ""
    places_bits = len(f"{m - 1:b}")
    for row in rows:
        for first in range(0, len(row), m):
            group = list(row[first : first + m])
            chosen = [place for place, number in enumerate(group) if number != 0]
            for place in range(len(group)):
                if len(chosen) < n and place not in chosen:
                    chosen.append(place)
            for place in sorted(chosen):
                kept.append(group[place] + 0)
                index += f"{place:0{places_bits}b}"
    return {"index": index, **values_streams(kept, **values)}


def bits_by_part(streams: Streams) -> dict[str, int]:
    """How many characters there are, by part."""
    found: dict[str, int] = {}
    for name, text in streams.items():
        found[PART_OF[name]] = found.get(PART_OF[name], 0) + len(text)
    return found


def as_bytes(text: str) -> list[int]:
    """Text as bytes, the last one filled with zeros."""
    return [int(text[first : first + 8].ljust(8, "0"), 2) for first in range(0, len(text), 8)]


def plain(values: np.ndarray[Any, Any]) -> list[Number]:
    """The numbers of an array, as Python's own, in its order."""
    return [number.item() for number in values.reshape(-1)]
