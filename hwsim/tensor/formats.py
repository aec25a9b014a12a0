"""Number formats: their names and sizes. How numbers round and saturate in them lives elsewhere."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hwsim.errors import SpecError


@dataclass(frozen=True, slots=True)
class Format:
    """A number format: `bits` of one stored element and its kind: "float", "int" (two's complement), "uint",
    or "levels" (a few whole numbers times a scale: ternary is -1, 0 or 1, binary is -1 or 1). `significand`
    counts the significant bits of a float with the hidden one."""

    name: str
    bits: int
    kind: str
    significand: int = 0


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        f.name: f
        for f in (
            Format("fp32", 32, "float", 24),
            Format("fp16", 16, "float", 11),
            Format("bf16", 16, "float", 8),
            Format("fp8_e4m3", 8, "float", 4),
            Format("fp8_e5m2", 8, "float", 3),
            Format("int32", 32, "int"),
            Format("int16", 16, "int"),
            Format("int8", 8, "int"),
            Format("int4", 4, "int"),
            Format("uint8", 8, "uint"),
            Format("ternary", 2, "levels"),
            Format("binary", 1, "levels"),
        )
    }
)


def find_format(name: str) -> Format:
    """The format called `name`. Raises SpecError, with the nearest name, when there is none."""
    found = FORMATS.get(name)
    if found is None:
        begins = [known for known in FORMATS if name and known.startswith(name.lower())]
        close = begins or difflib.get_close_matches(name.lower(), FORMATS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise SpecError(f"unknown number format {name!r}: {hint}hwsim knows {', '.join(FORMATS)}")
    return found


def format_bits(name: str) -> int:
    """Bits of one element. Raises SpecError for an unknown format."""
    return find_format(name).bits


def accumulator_format(name: str) -> str:
    """The format in which products of `name` are summed and biases are added: int32 or fp32."""
    return "fp32" if find_format(name).kind == "float" else "int32"
