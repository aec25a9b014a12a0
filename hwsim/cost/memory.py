"""Energy, area and leakage of on-chip SRAM, from a grid over capacity and width.

Energy of a 64-bit access follows the published capacities on log-log lines; below the smallest and above the
largest the end slopes go on. A wider access costs less than its share of bits: between 64 and 256 bits
by the wide_read and wide_write ratios of the table. An access narrower than 64 bits is charged its share of a
64-bit one. A bank wider than 256 bits is built of 256-bit slices that share its capacity.
"""

from __future__ import annotations

import math

from hwsim.cost.figures import Figure, Figures
from hwsim.cost.interpolation import loglog
from hwsim.errors import UnsupportedError
from hwsim.plan import Component


def access_energy_per_byte(figures: Figures, component: Component, action: str) -> Figure:
    """pJ for each byte read from or written to one bank."""
    rows = sorted(figures.rows("sram", action), key=lambda row: row.capacity_bytes)
    if not rows:
        raise UnsupportedError(f"technology table {figures.table.name!r} has no figure for {action} of sram")
    base_bits = rows[0].width_bits
    wide = figures.row("sram", f"wide_{action}")
    slices, capacity = _slices(component, wide.width_bits)
    capacities = [row.capacity_bytes for row in rows]
    energy = loglog(capacity, capacities, [row.value for row in rows])
    if wide.width_bits <= base_bits:
        raise UnsupportedError(
            f"technology table {figures.table.name!r}: wide_{action} must be wider than {action}"
        )
    width = component.width_bits / slices
    notes = [rows[0].cited]
    if not capacities[0] <= capacity <= capacities[-1]:
        notes.append(f"extrapolated to a bank of {capacity / 1024:.4g} KiB")
    if width > base_bits:
        energy *= wide.value ** (math.log(width / base_bits) / math.log(wide.width_bits / base_bits))
        notes.append(f"a {component.width_bits}-bit access by {wide.cited}")
    per_byte = energy * 8 / max(width, base_bits)
    factor, note = figures.scale(rows[0].scaling, "energy", rows[0].node_nm)
    return Figure(per_byte * factor, "; ".join(notes) + note)


def bank_area_um2(figures: Figures, component: Component) -> Figure:
    """um2 of one bank: log-log along capacity, then along width. A bank narrower than the narrowest of the
    grid takes that one's area."""
    rows = figures.rows("sram", "area")
    if not rows:
        raise UnsupportedError(f"technology table {figures.table.name!r} has no area of sram")
    widths = sorted({row.width_bits for row in rows})
    slices, capacity = _slices(component, widths[-1])
    areas = []
    for width in widths:
        curve = sorted((row.capacity_bytes, row.value) for row in rows if row.width_bits == width)
        areas.append(loglog(capacity, [size for size, _ in curve], [area for _, area in curve]))
    area = loglog(max(component.width_bits / slices, widths[0]), widths, areas) * slices
    sizes = [row.capacity_bytes for row in rows]
    beyond = "" if min(sizes) <= capacity <= max(sizes) else f"; extrapolated to {capacity / 1024:.4g} KiB"
    factor, note = figures.scale(rows[0].scaling, "area", rows[0].node_nm)
    return Figure(area * factor, rows[0].cited + beyond + note)


def bank_leakage_w(figures: Figures, component: Component) -> Figure:
    """W of one bank, in proportion to its capacity."""
    if component.capacity_bytes <= 0:
        raise _unsized(component)
    value = figures.by_node("sram", "leakage", figures.node_nm) * component.capacity_bytes
    nearest = min(figures.rows("sram", "leakage"), key=lambda row: abs((row.node_nm or 0) - figures.node_nm))
    note = (
        "" if nearest.node_nm == figures.node_nm else f"; between the nodes listed, at {figures.node_nm:g} nm"
    )
    return Figure(value, nearest.cited + note)


def _slices(component: Component, widest_bits: int) -> tuple[float, float]:
    """How many slices of the widest known access a bank is built of, and the bytes that each holds."""
    if component.capacity_bytes <= 0 or component.width_bits <= 0:
        raise _unsized(component)
    slices = max(1.0, component.width_bits / widest_bits)
    return slices, component.capacity_bytes / slices


def _unsized(component: Component) -> UnsupportedError:
    return UnsupportedError(
        f"component {component.name!r} (sram) has no capacity or no width, so no energy or area"
    )
