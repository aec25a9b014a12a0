"""How the page writes quantities: SI prefixes with the signs that a browser can show, shares in percent."""

from __future__ import annotations

from hwsim.units import format_bytes, format_si

NARROW = "\u202f"  # a thin space that does not break, between number and unit


def quantity(value: float, unit: str, digits: int = 3) -> str:
    """`value` with an SI prefix: quantity(0.00135, "s") is '1.35 ms'."""
    number, _, scaled_unit = format_si(value, unit, digits).partition(" ")
    if scaled_unit.startswith("u") and scaled_unit != unit:
        scaled_unit = "\u00b5" + scaled_unit[1:]
    return f"{number}{NARROW}{scaled_unit}".rstrip(NARROW)


def size(count: float) -> str:
    """Bytes in binary units."""
    return format_bytes(count).replace(" ", NARROW)


def area(area_mm2: float) -> str:
    """Square millimetres; prefixes would be squared too, so there are none."""
    number = f"{area_mm2:,.0f}" if area_mm2 >= 1000 else f"{area_mm2:.3g}"
    return f"{number}{NARROW}mm\u00b2"


def percent(share: float) -> str:
    """A share of one; never '0.0 %' for what is more than nothing."""
    if share == 0:
        return f"0{NARROW}%"
    return f"{share:.1%}".replace("%", f"{NARROW}%") if share >= 0.0005 else f"<{NARROW}0.1{NARROW}%"


def rate(per_s: float) -> str:
    """Inferences per second: whole ones where they can be read, else with a prefix."""
    return f"{per_s:,.0f}/s" if 1000 <= per_s < 1e7 else f"{quantity(per_s, '')}/s"


def short(name: str) -> str:
    """The last part of an operator's name that is written like a path, for labels with little room."""
    return name.rsplit("/", 1)[-1] or name
