"""Seeded damage to bytes, text and trees, and YAML text from trees. Knows nothing of hwsim."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

Tree = Any  # dicts, lists and scalars

NUMBERS: tuple[int | float, ...] = (
    0, 1, -1, 2, 3, 7, 8, 16, 100, 255, 256, 4096, 65536, 2**24, 2**31 - 1, 2**31, 2**32, 2**40, 2**53 + 1,
    2**62, 2**63 - 1, 2**63, -(2**63), 10**18, 10**30, 10**99, 0.5, 0.1, 1e-9, 1e-300, 5e-324, 1e300, -0.0,
)  # fmt: skip
UNITS = (
    "Hz", "MHz", "GHz", "B", "KiB", "MiB", "GiB", "GB/s", "B/s", "TB/s", "bit", "nm", "W", "mW", "pJ", "ns",
    "s", "%", "furlong", "", "B B", "µW", "GB / s",
)  # fmt: skip
WORDS = (
    "", "~", "null", "true", "false", "yes", ".nan", ".inf", "-.inf", "nan", "inf", "1e400", "1_000",
    "0x10", "0o17", "unlimited", "none", "int8", "int9", "fp32", "ws", "os", "is", "batch", "2 * batch",
    "batch // 0", "batch ** 9", "((((", "-batch", "conv", "linear", "systolic", "horowitz",
    "<script>alert(1)</script>", "../../x", "a\x00b", "\ud800", "\u202e\u2066", "é", "日本語", "\U0001f600",
    "'", '"', "a: b", "[1, 2]", "{a: 1}", "*a", "&a 1", "!!python/object:os.system x", "<<", "=", "?", "-",
    "%", "{{ 7 * 7 }}", "=1+1", "x" * 300, "9" * 90,
)  # fmt: skip
_MARKS = (
    "{", "}", "[", "]", ":", ",", "#", "&a ", "*a", "!", "|", ">", "'", '"', "%", "@", "`", "- ", "? ",
    "\n", "\n  ", "\t", "---\n", "...\n", "\r", "\x85", "\ufeff", " ", "<<: *a\n",
)  # fmt: skip
_BYTES = (0, 1, 7, 8, 10, 18, 26, 34, 58, 127, 128, 129, 255)


def scalar(rng: Random) -> Any:
    """A value of no particular sense."""
    kind = rng.randrange(8)
    if kind < 2:
        return rng.choice(NUMBERS)
    if kind == 2:
        return rng.randint(-3, 70)
    if kind == 3:
        return rng.choice((None, True, False, float("nan"), float("inf")))
    if kind == 4:
        return quantity(rng)
    return rng.choice(WORDS)


def quantity(rng: Random) -> str:
    number = rng.choice((*NUMBERS, "nan", "1e400", "", "1,000", rng.randint(1, 900)))
    return f"{number}{rng.choice((' ', '', '  '))}{rng.choice(UNITS)}"


def packed(content: bytes, level: int = 1) -> bytes:
    """gzip without the time of day, which would make another input of the same number."""
    return gzip.compress(content, level, mtime=0)


def damaged_bytes(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """`content` with some faults of the kinds that disks, editors and attackers make."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(made) + 1)
        what = rng.randrange(8)
        if what < 3 and made:
            made[at % len(made)] = rng.choice(_BYTES) if rng.random() < 0.6 else rng.randrange(256)
        elif what == 3:
            made[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif what == 4:
            del made[at : at + rng.choice((1, 2, 8, 100, 1000))]
        elif what == 5:
            end = at + rng.choice((1, 8, 64, 512))
            made[at:at] = made[at:end] * rng.choice((1, 2, 20))
        elif what == 6 and others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            made[at:] = other[start : start + 20_000]
        elif what == 7 and rng.random() < 0.3:
            del made[at:]
    return bytes(made)


def damaged_text(rng: Random, text: str) -> bytes:
    """`text` with other words, marks and lines, as UTF-8 or nearly."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        lines = text.split("\n")
        at = rng.randrange(len(lines))
        what = rng.randrange(8)
        if what < 3:
            words = lines[at].split(" ")
            words[rng.randrange(len(words))] = str(scalar(rng))
            lines[at] = " ".join(words)
        elif what == 3:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice(_MARKS) + lines[at][place:]
        elif what == 4:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif what == 5:
            del lines[at]
        elif what == 6:
            lines[at] = rng.choice((" ", "  ", "\t", "- ")) + lines[at]
        else:
            key, colon, rest = lines[at].partition(":")
            lines[at] = key[: rng.randrange(len(key) + 1)] + rng.choice(("", "s", "_x")) + colon + rest
        text = "\n".join(lines)
    return text.encode("utf-8", rng.choice(("replace", "surrogatepass")))


def damaged_table(rng: Random, lines: Sequence[str]) -> bytes:
    """The CSV lines with other cells, cells too many or too few, and rows said twice."""
    rows = [line.split(",") for line in lines]
    what = rng.random()
    if what < 0.2:
        return damaged_bytes(rng, "\n".join(lines).encode())
    for _ in range(rng.choice((1, 1, 2, 3))):
        row = rng.choice(rows)
        change = rng.randrange(8)
        if change < 5:
            row[rng.randrange(len(row))] = rng.choice(
                (str(scalar(rng)), str(rng.choice(NUMBERS)), rng.choice(row))
            )
        elif change == 5:
            row.insert(rng.randrange(len(row)), str(scalar(rng)))
        elif change == 6 and len(row) > 1:
            row.pop(rng.randrange(len(row)))
        else:
            rows.append(list(row))
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


# -- trees -----------------------------------------------------------------------------------------------


def damaged_tree(rng: Random, tree: Tree, value: Callable[[Random], Any] = scalar) -> Tree:
    """A copy of `tree` with one to three faults of structure, key or value."""
    made = json.loads(json.dumps(tree))
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(made))
        if not places:
            return made
        box, key = rng.choice(places)
        what = rng.randrange(9)
        if what < 4:
            box[key] = value(rng)
        elif what == 4:
            del box[key]
        elif what == 5:
            other, there = rng.choice(places)
            # A copy: a tree that holds itself has no text.
            box[key] = json.loads(
                json.dumps(other.get(there) if isinstance(other, dict) else other[there:][:1])
            )
        elif what == 6:
            box[key] = rng.choice(([box[key]], [box[key]] * 3, {"kind": box[key]}, [], {}))
        elif isinstance(box, dict):
            box[rng.choice((str(key) + "s", str(key)[1:], str(value(rng)), "name", "kind"))] = box.pop(key)
        else:
            box.insert(rng.randrange(len(box) + 1), json.loads(json.dumps(rng.choice(box))))
    return made


def tuned_tree(rng: Random, tree: Tree) -> Tree:
    """A copy of `tree` with up to three of its whole numbers and quantities others of their sort."""
    made = json.loads(json.dumps(tree))
    numbers = [
        (box, key) for box, key in _places(made)
        if type(box[key]) is int or (isinstance(box[key], str) and re.match(r"\d+ ", box[key]))
    ]  # fmt: skip
    for box, key in rng.sample(numbers, min(len(numbers), rng.choice((0, 1, 2, 3)))):
        number = rng.choice((1, 2, 3, 5, 16, 1000, 65536))
        box[key] = number if type(box[key]) is int else f"{number} {box[key].partition(' ')[2]}"
    return made


def _places(tree: Tree) -> Iterator[tuple[Any, Any]]:
    """Every container of the tree with each key or index in it."""
    entries: Any = (
        tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    )
    for key, below in entries:
        yield tree, key
        yield from _places(below)


def random_tree(rng: Random, keys: Sequence[str], depth: int = 4) -> Tree:
    """A tree without sense whose keys are mostly `keys`."""
    kind = rng.random()
    if depth == 0 or kind < 0.45:
        return scalar(rng)
    if kind < 0.6:
        return [random_tree(rng, keys, depth - 1) for _ in range(rng.randrange(4))]
    return {
        rng.choice(keys) if rng.random() < 0.9 else str(scalar(rng)): random_tree(rng, keys, depth - 1)
        for _ in range(rng.randrange(7))
    }


def random_section(rng: Random, keys: Sequence[str]) -> Tree:
    """A random tree that is a mapping at its top, as every file of hwsim is."""
    return {rng.choice(keys): random_tree(rng, keys) for _ in range(rng.randrange(1, 9))}


def yaml_text(rng: Random, tree: Tree) -> bytes:
    """`tree` in flow style over many lines. Text is quoted; a little of it stands plain, and then means what
    YAML makes of it."""
    return _flow(rng, tree).encode("utf-8", "surrogatepass")


def _flow(rng: Random, tree: Tree) -> str:
    if isinstance(tree, dict):
        entries = (f"{_text(rng, key)}: {_flow(rng, below)}" for key, below in tree.items())
        return "{\n" + ",\n".join(entries) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(_flow(rng, below) for below in tree) + "]"
    if isinstance(tree, str):
        return _text(rng, tree)
    words = {"None": "null", "True": "true", "False": "false", "nan": ".nan", "inf": ".inf"}
    return words.get(repr(tree), repr(tree))


def _text(rng: Random, text: object) -> str:
    return str(text) if rng.random() < 0.01 else json.dumps(str(text), ensure_ascii=False)
