"""What actions and parts of a machine cost, each device in the technology that it is made in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from hwsim.cost import Technology, area_table, load_technology, price_actions
from hwsim.design import Design, TechnologySpec
from hwsim.placement.machine import Machine, SharedMachine
from hwsim.plan import Component
from hwsim.result import AreaTable


@dataclass(frozen=True, eq=False)
class Prices:
    """pJ of one count of each action with its source, area and leakage of all parts, and the technology
    tables that say so."""

    pj_per_count: NDArray[np.float64]
    sources: tuple[str, ...]
    area: AreaTable
    technology: str


def price(
    design: Design,
    machine: Machine,
    keys: Sequence[tuple[str, str]],
    load: Callable[[str, Real | float], Technology] = load_technology,
) -> Prices:
    """Prices of actions, (component, action) each, and of the parts of a machine, by the technology tables
    that `load` finds. Raises as `hwsim.cost.price_actions` does."""
    pj_per_count = np.zeros(len(keys), dtype=np.float64)
    sources = [""] * len(keys)
    areas: list[AreaTable] = []
    technologies: dict[str, None] = {}
    for components, made_in in _parts(design, machine):
        technology = load(made_in.table, made_in.node_nm)
        technologies[technology.name] = None
        names = {component.name for component in components}
        own = [i for i, (component, _) in enumerate(keys) if component in names]
        priced = price_actions(components, [keys[i] for i in own], technology)
        pj_per_count[own] = priced.pj_per_count
        for i, source in zip(own, priced.sources, strict=True):
            sources[i] = source
        areas.append(area_table(components, technology))
    return Prices(pj_per_count, tuple(sources), _joined(areas), "; ".join(technologies))


def _parts(design: Design, machine: Machine) -> Iterator[tuple[tuple[Component, ...], TechnologySpec]]:
    if not isinstance(machine, SharedMachine):
        yield machine.components(), design.technology_of(design.device_name)
        return
    for name in machine.devices:
        yield machine.components_of(name), design.technology_of(name)
    for name in machine.links:
        if components := machine.components_of(name):
            yield components, design.technology


def _joined(areas: Sequence[AreaTable]) -> AreaTable:
    return AreaTable(
        tuple(name for area in areas for name in area.components),
        tuple(mm2 for area in areas for mm2 in area.area_mm2),
        tuple(watts for area in areas for watts in area.leakage_w),
        tuple(source for area in areas for source in area.sources),
    )
