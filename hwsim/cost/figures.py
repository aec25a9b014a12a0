"""Figures of a technology table, brought to one process node. Knows rows and nodes, not what parts do."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import NamedTuple

from hwsim.cost.interpolation import loglog
from hwsim.cost.table import Table, TableRow
from hwsim.errors import UnsupportedError


class Figure(NamedTuple):
    """A number and where it comes from."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Figures:
    """A table as it reads at `node_nm`."""

    table: Table
    node_nm: float

    def rows(self, component: str, action: str, variant: str | None = None) -> list[TableRow]:
        """All rows of a component's action (of one variant), in the order of the file."""
        return [
            row
            for row in self.table.rows
            if row.component == component and row.action == action and variant in (None, row.variant)
        ]

    def row(self, component: str, action: str, variant: str = "") -> TableRow:
        """The row of `variant`, else the row for any. Raises UnsupportedError: nothing is free."""
        rows = self.rows(component, action)
        for wanted in (variant, ""):
            found = [row for row in rows if row.variant == wanted]
            if found:
                return found[0]
        known = sorted({row.variant for row in rows})
        close = difflib.get_close_matches(variant, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; it knows {', '.join(known)}" if known else ""
        what = f"{component} {variant}".strip()
        raise UnsupportedError(
            f"technology table {self.table.name!r} has no figure for {action} of {what}{hint}. "
            "Add a row with its source, or choose another format or technology"
        )

    def at_node(self, row: TableRow, quantity: str) -> Figure:
        """One row's value at this node; `quantity` is energy, area or leakage."""
        factor, note = self.scale(row.scaling, quantity, row.node_nm)
        return Figure(row.value * factor, row.cited + note)

    def scale(self, scaling: str, quantity: str, from_nm: float | None) -> tuple[float, str]:
        """The factor from `from_nm` to this node by the table's own `scaling` rows (log-log between nodes),
        and a note that says so. What does not scale keeps its figure."""
        if scaling == "none" or from_nm is None or from_nm == self.node_nm:
            return 1.0, ""
        name = f"{scaling}_{quantity}"
        factor = self.by_node("scaling", name, self.node_nm) / self.by_node("scaling", name, from_nm)
        return factor, f"; x {factor:.4g} from {from_nm:g} to {self.node_nm:g} nm ({name} rows)"

    def by_node(self, component: str, action: str, node_nm: float) -> float:
        """A quantity that the table lists node by node, between the nodes listed."""
        rows = sorted(
            (row.node_nm, row.value) for row in self.rows(component, action) if row.node_nm is not None
        )
        if not rows or not rows[0][0] <= node_nm <= rows[-1][0]:
            span = f"only from {rows[0][0]:g} to {rows[-1][0]:g} nm" if rows else "not at all"
            raise UnsupportedError(
                f"technology table {self.table.name!r} lists {action} of {component} {span}, "
                f"so not at {node_nm:g} nm"
            )
        return loglog(node_nm, [node for node, _ in rows], [value for _, value in rows])


def refuse(component_name: str, kind: str, action: str, known: str) -> UnsupportedError:
    """The error for an action that a kind of part does not have."""
    return UnsupportedError(f"component {component_name!r} ({kind}) has no action {action!r}; it has {known}")
