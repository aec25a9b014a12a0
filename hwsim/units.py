"""Quantities with units: parsing what people write ("34 GB/s"), and writing what people read ("1.35 ms").

GB is 1e9 bytes and GiB 2**30. Everything is kept in base units; names carry the unit (`clock_hz`).
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

PS_PER_S = 10**12
PS_PER_US = 10**6

_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SMALL = {"m": Fraction(1, 10**3), "u": Fraction(1, 10**6), "n": Fraction(1, 10**9), "p": Fraction(1, 10**12)}


def _scaled(base: str, *tables: dict[str, int] | dict[str, Fraction]) -> dict[str, Fraction]:
    return {prefix + base: Fraction(scale) for table in tables for prefix, scale in table.items()}


# Dimension -> unit as written -> factor to the base unit (the first one listed has factor 1).
DIMENSIONS: dict[str, dict[str, Fraction]] = {
    "bytes": _scaled("B", _DECIMAL, _BINARY),
    "bytes_per_s": _scaled("B/s", _DECIMAL, _BINARY),
    "hz": _scaled("Hz", _DECIMAL),
    "s": _scaled("s", {"": 1}, _SMALL),
    "w": _scaled("W", {"": 1, "k": 10**3}, _SMALL),
    "mm2": {"mm2": Fraction(1), "um2": Fraction(1, 10**6)},
    "nm": {"nm": Fraction(1), "um": Fraction(1000)},
}

# Suffix of a field's name in code -> dimension; the key in a file is the name without the suffix.
SUFFIXES = {f"_{dimension}": dimension for dimension in DIMENSIONS}

_QUANTITY = re.compile(
    r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*([A-Za-z][A-Za-z0-9/]*)?\s*"
)


def parse_quantity(text: str, dimension: str) -> Fraction:
    """The exact value of `text` in the base unit of `dimension`. Raises ValueError with the cure."""
    units = DIMENSIONS[dimension]
    example = EXAMPLES[dimension]
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError(
            f"cannot read {text!r} as a quantity; write a number and a unit, such as {example!r}"
        )
    number, unit = match.groups()
    if unit is None:
        raise ValueError(f"{text!r} has no unit; write for example {example!r}")
    if unit not in units:
        wrong = next((name for name, known in DIMENSIONS.items() if unit in known), None)
        kind = (
            f" is a unit of {_WORDS[wrong]}, not of {_WORDS[dimension]}"
            if wrong
            else " is not a unit hwsim knows"
        )
        raise ValueError(f"{text!r}: {unit!r}{kind}; write for example {example!r}")
    return Fraction(number.replace("_", "")) * units[unit]


# Dimension -> a quantity as people write it, for messages.
EXAMPLES = {
    "bytes": "24 MiB", "bytes_per_s": "34 GB/s", "hz": "700 MHz", "s": "5 us",
    "w": "40 W", "mm2": "1.5 mm2", "nm": "28 nm",
}  # fmt: skip
_WORDS = {
    "bytes": "size", "bytes_per_s": "bandwidth", "hz": "frequency", "s": "time",
    "w": "power", "mm2": "area", "nm": "length",
}  # fmt: skip


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """`value` with an SI prefix and `digits` significant digits: format_si(0.00135, "s") is '1.35 ms'."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    exponent = math.floor(math.log10(abs(value)) / 3) * 3
    scaled = float(f"{value / 10.0**exponent:.{digits}g}")
    if abs(scaled) >= 1000:  # 999.9996 rounds up into the next prefix
        exponent, scaled = exponent + 3, scaled / 1000
    exponent = max(-15, min(15, exponent))
    prefix = "fpnum kMGTP"[(exponent + 15) // 3].strip()
    scaled = value / 10.0**exponent
    text = f"{scaled:.{digits}g}"
    return f"{text if 'e' not in text else f'{scaled:.0f}'} {prefix}{unit}"


def format_bytes(count: float) -> str:
    """A size in binary units with three significant digits: '24 MiB'."""
    for prefix, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return (
                f"{count / scale:.3g} {prefix}" if count / scale < 1000 else f"{count / scale:.0f} {prefix}"
            )
    return f"{count:.0f} B"


def counted(count: int, noun: str) -> str:
    """'1 layer', '1,500 layers'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
