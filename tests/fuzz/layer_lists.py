"""Lists of layers that stand apart: topologies of SCALE-Sim and matrix products, as CSV and as JSON, sound or
damaged."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from tests.fuzz.mutate import NUMBERS, damaged_bytes, damaged_table, damaged_text, damaged_tree

CONV = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides"
VAST = (10**6, 10**9, 2**31, 2**62)


def sound_list(rng: Random) -> dict[str, bytes]:
    """A file of up to six layers, as people have them: with commas behind, blank rows and remarks."""
    if rng.random() < 0.3:
        return {"w.json": json.dumps(_tree(rng)).encode()}
    ends = rng.choice(("\n", "\n", "\r\n"))
    mark = b"\xef\xbb\xbf" if rng.random() < 0.1 else b""
    return {"w.csv": mark + ends.join(_lines(rng)).encode()}


def damaged_list(rng: Random) -> dict[str, bytes]:
    """The same with faults of cells, of text, of bytes, or of structure."""
    if rng.random() < 0.35:
        tree = damaged_tree(rng, _tree(rng))
        text = json.dumps(tree, ensure_ascii=rng.random() < 0.5)
        if rng.random() < 0.3:
            return {"w.json": damaged_text(rng, text)}
        return {"w.json": text.encode("utf-8", "surrogatepass")}
    lines, what = _lines(rng), rng.random()
    if what < 0.6:
        return {"w.csv": damaged_table(rng, lines)}
    if what < 0.8:
        return {"w.csv": damaged_text(rng, "\n".join(lines))}
    return {"w.csv": damaged_bytes(rng, "\n".join(lines).encode())}


def large_list(rng: Random) -> dict[str, bytes]:
    """Many rows, one endless cell or row, great depth, or few bytes that ask for much."""
    many = rng.choice((3000, 20_000, 150_000))
    made: tuple[dict[str, bytes], ...] = (
        {"w.csv": b"M,N,K\n" + b"1,2,3\n" * many},
        {"w.csv": b"M,N,K\n" + b"a,b,c\n" * many},
        {"w.csv": b'M,N,K\n"' + b"x" * many * 10},
        {"w.csv": b"M,N,K," + b"c," * many * 10},
        {"w.csv": b"M,N,K,count\n" + b"1,1,1,99999\n" * rng.choice((1, 100))},
        {"w.csv": f"M,N,K\n{','.join(str(rng.choice(VAST)) for _ in range(3))}\n".encode()},
        {"w.csv": f"{CONV}\na,{','.join(str(rng.choice(VAST)) for _ in range(7))}\n".encode()},
        {"w.json": b"[" * many + b"]" * many},
        {"w.json": b"[" + b'{"M":1,"N":1,"K":1},' * many + b"{}]"},
        {"w.json": b"[" + b'{"m_m":1,"N":1,"K":1},' * many + b"{}]"},
        {"w.json": b'[{"M":' + b"9" * many + b"}]"},
        {"w.json": b"[{" + b",".join(b'"k%d":1' % key for key in range(many)) + b"}]"},
    )
    return rng.choice(made)


def _lines(rng: Random) -> list[str]:
    conv = rng.random() < 0.5
    extra = [name for name in ("Batch", "Sparsity", *(() if conv else ("Count",))) if rng.random() < 0.2]
    header = ",".join([CONV if conv else rng.choice(("Layer,M,N,K", "Layer Name, M, N, K", "m,n,k")), *extra])
    named = conv or header.startswith("Layer")
    rows = []
    for index in range(rng.randrange(1, 7)):
        cells = _conv(rng) if conv else [_size(rng, 40) for _ in range(3)]
        cells += [_extra(rng, name) for name in extra]
        name = rng.choice(("conv", "conv_DP_", "fc ", "L")) + str(index % 4)
        rows.append(",".join([name, *cells] if named else cells))
        if rng.random() < 0.2:
            rows.append(rng.choice(("", ",,,,", " ")))
    end = rng.choice(("", ",", ", ", ",#dw"))
    return [header + rng.choice(("", ",")), *(row + end if row.strip(" ,") else row for row in rows)]


def _conv(rng: Random) -> list[str]:
    window = rng.choice((1, 2, 3, 5))
    size = [window + rng.randrange(12) for _ in range(2)]
    return [*map(str, (*size, window, window)), *(_size(rng, 9) for _ in range(2)), rng.choice("1123")]


def _extra(rng: Random, name: str) -> str:
    if name == "Sparsity":
        return rng.choice(("1:1", "2:4", "1:4", "", "4:8"))
    return rng.choice(("", "1", "2", "3"))


def _size(rng: Random, most: int) -> str:
    return str(rng.choice(NUMBERS) if rng.random() < 0.03 else rng.randint(1, most))


def _tree(rng: Random) -> Any:
    listed = []
    for index in range(rng.randrange(1, 5)):
        made: dict[str, Any] = {key: rng.randint(1, 30) for key in rng.choice(("MNK", "mnk"))}
        if rng.random() < 0.5:
            made["name"] = f"g{index % 3}"
        if rng.random() < 0.3:
            made[rng.choice(("batch", "count"))] = rng.randint(1, 4)
        listed.append(made)
    return {"name": "net", "gemms": listed} if rng.random() < 0.4 else listed
