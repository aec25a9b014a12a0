"""Energy and area of arithmetic: multipliers, and the adders that sum their products.

An integer multiplier is an array of one-bit partial products, a x b of them, so its energy and area follow
the product of the two widths. The published points (8 x 8 and 32 x 32 bits) differ by 15.5 times in energy
for 16 times the partial products; other widths lie on the log-log line through them at the width sqrt(a b):
16 x 8 bits is 128 partial products, as a square multiplier of 11.3 bits. Products of integers are summed in
32-bit integers and products of floats in fp32.
"""

from __future__ import annotations

import math

from hwsim.cost.figures import Figure, Figures
from hwsim.cost.interpolation import loglog
from hwsim.errors import UnsupportedError
from hwsim.tensor.formats import Format, accumulator_format, find_format


def read_pair(pair: str) -> tuple[Format, Format]:
    """The two formats of "int8" (both operands) or "int16xint8". Raises SpecError for an unknown format."""
    first, _, second = pair.partition("x")
    return find_format(first), find_format(second or first)


def multiply_add(figures: Figures, quantity: str, a: Format, b: Format) -> Figure:
    """Energy in pJ or area in um2 of one multiplier of `a` x `b` with the adder of its sums."""
    product = multiplier(figures, quantity, a, b)
    total = figures.at_node(figures.row("adder", quantity, accumulator_format(a.name)), quantity)
    return Figure(product.value + total.value, _joined("multiplier", product.source, "adder", total.source))


def multiplier(figures: Figures, quantity: str, a: Format, b: Format) -> Figure:
    """Energy in pJ or area in um2 of one multiplier of `a` x `b`. Raises UnsupportedError for floats of two
    kinds and for a float with an integer: no figure exists for those."""
    if a.kind == "float" or b.kind == "float":
        if a != b:
            raise UnsupportedError(
                f"no figure exists for products of {a.name} and {b.name}; give both operands one float format"
            )
        return figures.at_node(figures.row("multiplier", quantity, a.name), quantity)
    rows = sorted(
        (row for row in figures.rows("multiplier", quantity) if find_format(row.variant).kind == "int"),
        key=lambda row: find_format(row.variant).bits,
    )
    if not rows:
        raise UnsupportedError(
            f"technology table {figures.table.name!r} has no {quantity} of an integer multiplier"
        )
    widths = [find_format(row.variant).bits for row in rows]
    width = math.sqrt(a.bits * b.bits)
    factor, note = figures.scale(rows[0].scaling, quantity, rows[0].node_nm)
    if width in widths:
        row = rows[widths.index(int(width))]
        return Figure(row.value * factor, row.cited + note)
    value = loglog(width, widths, [row.value for row in rows]) * factor
    ends = " and ".join(row.variant for row in rows)
    return Figure(value, f"{rows[0].cited}, {a.bits} x {b.bits} partial products between {ends}{note}")


def mac_energy(figures: Figures, pe_format: str, pair: str) -> Figure:
    """pJ of one multiplication-accumulation of `pair` in a PE whose multiplier is built for `pe_format`.

    Integers wider than the PE take several passes through it, each with its own addition (16 x 8 bits in an
    8-bit PE: two); narrower ones leave partial products at rest. A float in a PE of integers, or an integer
    in one of floats, is charged as its own unit.
    """
    a, b = read_pair(pair)
    if not pe_format or "float" in (a.kind, b.kind, find_format(pe_format).kind):
        return multiply_add(figures, "energy", a, b)
    native = find_format(pe_format)
    passes = -(-a.bits // native.bits) * -(-b.bits // native.bits)
    if passes == 1:
        return multiply_add(figures, "energy", a, b)
    one = multiply_add(figures, "energy", min(a, native, key=_bits), min(b, native, key=_bits))
    return Figure(passes * one.value, f"{passes} passes of the {native.name} PE. {one.source}")


def _bits(number_format: Format) -> int:
    return number_format.bits


def _joined(first: str, source: str, second: str, other: str) -> str:
    return source if source == other else f"{first}: {source}. {second}: {other}"
