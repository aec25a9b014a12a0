"""Technology: what an action costs in pJ, and a part in mm2 and W, on one table at one process node.

Counted units: "mac_int8", "mac_int16xint8" ... are multiplications-accumulations; "read" and "write" of
memories and registers and "transfer" of links are bytes; "op" and "op_int8" ... of vector lanes are element
operations. What no table prices is an error, never zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real

from hwsim.cost.arithmetic import mac_energy, multiply_add
from hwsim.cost.figures import Figure, Figures, refuse
from hwsim.cost.memory import access_energy_per_byte, bank_area_um2, bank_leakage_w
from hwsim.cost.table import TableRow, read_table
from hwsim.errors import SpecError, UnsupportedError
from hwsim.library import find
from hwsim.plan import Component
from hwsim.tensor.formats import Format, find_format

UM2_PER_MM2 = 10**6


@dataclass(frozen=True, slots=True)
class Technology:
    """A technology table at a node. Equal when table, node and content are, so that prices can be cached."""

    table: str
    node_nm: float
    sha256: str
    figures: Figures = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """What a result's provenance says: table, node and the beginning of the content's hash."""
        return f"{self.table} at {self.node_nm:g} nm (sha256 {self.sha256[:12]})"

    def energy_pj(self, component: Component, action: str) -> Figure:
        """pJ of one counted unit of `action`, and its source. Raises UnsupportedError where none is known."""
        return _ENERGY[_known_kind(component)](self.figures, component, action)

    def area_mm2(self, component: Component) -> Figure:
        """mm2 of all instances, and the source. For dram and links it is their interface on the die."""
        one = _AREA_UM2[_known_kind(component)](self.figures, component)
        return Figure(component.instances * one.value / UM2_PER_MM2, one.source)

    def leakage_w(self, component: Component) -> Figure:
        """W that all instances leak, and the source: SRAM by its bytes, everything else by its area as logic.
        Refresh and standby of memories off the chip are not in it; a clock network and a
        package draw what their design says."""
        if component.kind == "clock":
            return Figure(component.static_w, "a calibrated constant of the design")
        if component.kind == "package":
            return Figure(component.static_w, "as the design states it")
        if component.kind == "sram":
            bank = bank_leakage_w(self.figures, component)
            return Figure(component.instances * bank.value, bank.source)
        row = self.figures.row("logic", "leakage")
        power, note = self.figures.scale(row.scaling, "leakage", row.node_nm)
        shrink, _ = self.figures.scale(row.scaling, "area", row.node_nm)
        per_mm2 = row.value * power / shrink
        return Figure(per_mm2 * self.area_mm2(component).value, f"{row.cited}; by area{note}")


def load_technology(table: str, node_nm: Real | float) -> Technology:
    """The technology table called `table` (a name of the library's technology shelf, or a path) at a node.

    Raises SpecError when there is no such table, it is faulty, or the node lies outside the nodes that its
    scaling rows span.
    """
    node = float(node_nm)
    found = read_table(table, find("technology", table))
    nodes = [row.node_nm for row in found.rows if row.component == "scaling" and row.node_nm is not None]
    if nodes and not min(nodes) <= node <= max(nodes):
        raise SpecError(
            f"technology table {table!r} scales from {max(nodes):g} to {min(nodes):g} nm, "
            f"so not to {node:g} nm: choose a node in between"
        )
    return Technology(table, node, found.sha256, Figures(found, node))


def technology_rows(table: str = "horowitz") -> list[TableRow]:
    """Every row of a technology table, as `hwsim describe technology` prints them."""
    return list(read_table(table, find("technology", table)).rows)


def _known_kind(component: Component) -> str:
    if component.kind not in _ENERGY:
        raise UnsupportedError(
            f"component {component.name!r} is of kind {component.kind!r}; "
            f"technology tables price {', '.join(_ENERGY)}"
        )
    return component.kind


def _mac(figures: Figures, component: Component, action: str) -> Figure:
    if not action.startswith("mac_"):
        raise refuse(component.name, component.kind, action, "mac_<format>, such as mac_int8")
    if component.action_pj:
        return Figure(component.action_pj, "as the design states it")
    return mac_energy(figures, component.dtype, action.removeprefix("mac_"))


def _package(_: Figures, component: Component, action: str) -> Figure:
    if action != "busy":
        raise refuse(component.name, component.kind, action, "busy")
    return Figure(component.action_pj, "as the design states it")


def _vector(figures: Figures, component: Component, action: str) -> Figure:
    """A lane multiplies and adds once an element operation: enough to scale, compare, pool or add. Tables and
    exponentials of sigmoid, tanh and softmax are not priced apart. A lane is at least 8 bits wide."""
    name, _, dtype = action.partition("_")
    if name != "op" or not (dtype or component.dtype):
        raise refuse(component.name, component.kind, action, "op and op_<format>, such as op_int8")
    number_format = _lane_format(dtype or component.dtype)
    one = multiply_add(figures, "energy", number_format, number_format)
    return Figure(one.value, f"a lane taken to multiply and add once. {one.source}")


def _sram(figures: Figures, component: Component, action: str) -> Figure:
    if action not in ("read", "write"):
        raise refuse(component.name, component.kind, action, "read and write")
    return access_energy_per_byte(figures, component, action)


def _per_byte(*actions: str) -> Callable[[Figures, Component, str], Figure]:
    """Energy of a kind whose rows give one access of `width_bits`."""

    def energy(figures: Figures, component: Component, action: str) -> Figure:
        if action not in actions:
            raise refuse(component.name, component.kind, action, " and ".join(actions) or "none")
        _refuse_ideal(component)
        row = figures.row(component.kind, action, component.technology)
        one = figures.at_node(row, "energy")
        return Figure(one.value * 8 / row.width_bits, one.source)

    return energy


def _lane_format(name: str) -> Format:
    """What a vector lane computes in: numbers narrower than a byte are scaled and compared as int8."""
    found = find_format(name)
    return find_format("int8") if found.bits < 8 else found


def _lane_area(figures: Figures, component: Component) -> Figure:
    number_format = _lane_format(component.dtype)
    return multiply_add(figures, "area", number_format, number_format)


def _arithmetic_area(figures: Figures, component: Component) -> Figure:
    number_format = find_format(component.dtype)
    return multiply_add(figures, "area", number_format, number_format)


def _register_area(figures: Figures, component: Component) -> Figure:
    bit = figures.at_node(figures.row("register", "area"), "area")
    return Figure(bit.value * component.width_bits, bit.source)


def _refuse_ideal(component: Component) -> None:
    if component.kind in ("dram", "link") and component.technology in ("", "none"):
        raise UnsupportedError(
            f"component {component.name!r} is ideal (no technology), so it has no energy or area: drop it"
        )


def _listed_area(figures: Figures, component: Component) -> Figure:
    _refuse_ideal(component)
    return figures.at_node(figures.row(component.kind, "area", component.technology), "area")


def _no_area(_: Figures, component: Component) -> Figure:
    return Figure(0.0, f"{component.name} has no area apart from the parts that it serves")


_ENERGY: dict[str, Callable[[Figures, Component, str], Figure]] = {
    "mac": _mac,
    "vector": _vector,
    "register": _per_byte("read", "write"),
    "sram": _sram,
    "dram": _per_byte("read", "write"),
    "link": _per_byte("transfer"),
    "control": _per_byte(),
    "clock": _per_byte(),
    "package": _package,
}
_AREA_UM2: dict[str, Callable[[Figures, Component], Figure]] = {
    "mac": _arithmetic_area,
    "vector": _lane_area,
    "register": _register_area,
    "sram": bank_area_um2,
    "dram": _listed_area,
    "link": _listed_area,
    "control": _listed_area,
    "clock": _no_area,
    "package": _no_area,
}
