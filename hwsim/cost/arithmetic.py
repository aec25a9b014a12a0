"""Energy and area of arithmetic: multipliers, and the adders that sum their products.

An integer multiplier is an array of one-bit partial products, a x b of them, so its energy and area follow
the product of the two widths. The published points (8 x 8 and 32 x 32 bits) differ by 15.5 times in energy
for 16 times the partial products; other widths lie on the log-log line between the table's points at the
width sqrt(a b): 16 x 8 bits is 128 partial products, as a square multiplier of 11.3 bits. Floats do likewise
with their significands: fp16 x fp8_e4m3 is 11 x 4 bits. Products of integers are summed in 32-bit integers
and products of floats in fp32.

Ternary and binary need no multiplier: they pass, drop or negate the other number, one gate or two for each of
its bits. Products of two binary numbers are counted and not added one by one. In an array built for wider
integers they are narrow integers like others. Integers beside float activations are floats when they meet.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping

from hwsim.cost.figures import Figure, Figures
from hwsim.cost.interpolation import loglog
from hwsim.cost.table import TableRow
from hwsim.errors import UnsupportedError
from hwsim.tensor.formats import Format, accumulator_format, find_format


def read_pair(pair: str) -> tuple[Format, Format]:
    """The two formats of "int8" (both operands) or "int16xint8". Raises SpecError for an unknown format."""
    first, _, second = pair.partition("x")
    return find_format(first), find_format(second or first)


def multiply_add(figures: Figures, quantity: str, a: Format, b: Format) -> Figure:
    """Energy in pJ or area in um2 of one multiplier of `a` x `b` with the adder of its sums."""
    product = multiplier(figures, quantity, a, b)
    counted = a == b == find_format("binary")
    adder = "popcount" if counted else accumulator_format(a.name)
    total = figures.at_node(figures.row("adder", quantity, adder), quantity)
    return Figure(product.value + total.value, _joined("multiplier", product.source, "adder", total.source))


def multiplier(figures: Figures, quantity: str, a: Format, b: Format) -> Figure:
    """Energy in pJ or area in um2 of one multiplier of activations in `a` by weights in `b`. Raises
    UnsupportedError for integers by floats: no array multiplies those."""
    if b.kind == "float" and a.kind != "float":
        raise UnsupportedError(
            f"no figure exists for activations in {a.name} times weights in {b.name}: give both one kind of "
            "format"
        )
    if a.kind == "float":
        return _of_floats(figures, quantity, a, b)
    if "levels" in (a.kind, b.kind):
        return _of_levels(figures, quantity, a, b)
    return _of_integers(figures, quantity, a.bits, b.bits)


def _of_floats(figures: Figures, quantity: str, a: Format, b: Format) -> Figure:
    if b.kind != "float":
        wide = _of_floats(figures, quantity, a, a)
        return Figure(
            wide.value,
            f"{b.name} dequantised to {a.name} on its way in, which is not priced. {wide.source}",
        )
    if a == b:
        return figures.at_node(figures.row("multiplier", quantity, a.name), quantity)
    points = {
        find_format(row.variant).significand: row
        for row in figures.rows("multiplier", quantity)
        if find_format(row.variant).kind == "float"
    }
    return _between(figures, quantity, points, (a.significand, b.significand), "a float multiplier")


def _of_integers(figures: Figures, quantity: str, a_bits: int, b_bits: int) -> Figure:
    points = {
        find_format(row.variant).bits: row
        for row in figures.rows("multiplier", quantity)
        if find_format(row.variant).kind == "int"
    }
    return _between(figures, quantity, points, (a_bits, b_bits), "an integer multiplier")


def _of_levels(figures: Figures, quantity: str, a: Format, b: Format) -> Figure:
    """A number of few levels selects what becomes of the other one, bit by bit."""
    selects, other = (a, b) if a.kind == "levels" and (b.kind != "levels" or a.bits <= b.bits) else (b, a)
    gate = figures.at_node(figures.row("multiplier", quantity, selects.name), quantity)
    times = f"{other.bits} bits of {other.name}, each: " if other.bits > 1 else ""
    return Figure(gate.value * other.bits, times + gate.source)


def _between(
    figures: Figures, quantity: str, points: Mapping[int, TableRow], widths: tuple[int, int], what: str
) -> Figure:
    """At the width sqrt(a b), on the line through the rows of `points` by their widths."""
    if not points:
        raise UnsupportedError(f"technology table {figures.table.name!r} has no {quantity} of {what}")
    known = sorted(points)
    rows = [points[width] for width in known]
    width = math.sqrt(widths[0] * widths[1])
    factor, note = figures.scale(rows[0].scaling, quantity, rows[0].node_nm)
    if width in known:
        row = points[int(width)]
        return Figure(row.value * factor, row.cited + note)
    value = loglog(width, known, [row.value for row in rows]) * factor
    above = min(max(bisect_left(known, width), 1), len(rows) - 1)
    ends = list(dict.fromkeys((rows[above - 1], rows[above])))
    cited = "; ".join(dict.fromkeys(row.cited for row in ends))
    names = " and ".join(row.variant for row in ends)
    return Figure(
        value, f"{cited}, {widths[0]} x {widths[1]} partial products on the line through {names}{note}"
    )


def mac_energy(figures: Figures, pe_format: str, pair: str) -> Figure:
    """pJ of one multiplication-accumulation of `pair` in a PE whose multiplier is built for `pe_format`.

    Integers wider than the PE take several passes through it, each with its own addition (16 x 8 bits in an
    8-bit PE: two); narrower ones, ternary and binary among them, leave partial products at rest. A float in a
    PE of integers, or an integer in one of floats or of few levels, is charged as its own unit.
    """
    a, b = read_pair(pair)
    native = find_format(pe_format) if pe_format else None
    if native is None or native.kind in ("float", "levels") or "float" in (a.kind, b.kind):
        return multiply_add(figures, "energy", a, b)
    a, b = (_as_integer(one) for one in (a, b))
    passes = -(-a.bits // native.bits) * -(-b.bits // native.bits)
    if passes == 1:
        return multiply_add(figures, "energy", a, b)
    one = multiply_add(figures, "energy", min(a, native, key=_bits), min(b, native, key=_bits))
    return Figure(passes * one.value, f"{passes} passes of the {native.name} PE. {one.source}")


def _as_integer(number_format: Format) -> Format:
    """What an integer multiplier sees of a number of few levels."""
    if number_format.kind != "levels":
        return number_format
    return Format(number_format.name, number_format.bits, "int")


def _bits(number_format: Format) -> int:
    return number_format.bits


def _joined(first: str, source: str, second: str, other: str) -> str:
    return source if source == other else f"{first}: {source}. {second}: {other}"
