"""Price lists and area tables of a machine's parts, cached: a run multiplies its counts by a price list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.cost.figures import Figure
from hwsim.cost.technology import Technology
from hwsim.errors import CheckError
from hwsim.plan import Component
from hwsim.result import AreaTable

Keys = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class PriceList:
    """pJ of one count of each (component, action), with its source."""

    keys: Keys
    pj_per_count: Float64Array  # (keys,), read-only
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        self.pj_per_count.setflags(write=False)


def price_actions(
    components: Sequence[Component], keys: Sequence[tuple[str, str]], technology: Technology
) -> PriceList:
    """Prices aligned with `keys`, (component name, action) each. Raises UnsupportedError for what the
    technology has no figure for, CheckError for a key that names no component: a fault of the device, not of
    its input."""
    return _price_actions(tuple(components), tuple(keys), technology)


def area_table(components: Sequence[Component], technology: Technology) -> AreaTable:
    """Area and leakage of each component, in order. Raises as `price_actions` does."""
    return _area_table(tuple(components), technology)


@lru_cache(maxsize=256)
def _price_actions(components: tuple[Component, ...], keys: Keys, technology: Technology) -> PriceList:
    parts = _by_name(components)
    unknown = sorted({name for name, _ in keys if name not in parts})
    if unknown:
        raise CheckError(
            f"actions are charged to {', '.join(unknown)}, and the machine has only {', '.join(parts)}. "
            "This is a fault of hwsim, please report it"
        )
    figures = [_action_figure(parts[name], action, technology) for name, action in keys]
    prices = np.array([figure.value for figure in figures], dtype=np.float64)
    return PriceList(keys, prices, tuple(figure.source for figure in figures))


@lru_cache(maxsize=256)
def _area_table(components: tuple[Component, ...], technology: Technology) -> AreaTable:
    _by_name(components)
    areas, leakages = zip(*(_part_figures(part, technology) for part in components), strict=True)
    return AreaTable(
        tuple(component.name for component in components),
        tuple(area.value for area in areas),
        tuple(leakage.value for leakage in leakages),
        tuple(f"area: {a.source}. leakage: {w.source}" for a, w in zip(areas, leakages, strict=True)),
    )


# Parts one by one too, as designs of one sweep share most of theirs.


@lru_cache(maxsize=4096)
def _action_figure(part: Component, action: str, technology: Technology) -> Figure:
    return _calibrated(technology.energy_pj(part, action), part.energy_scale)


@lru_cache(maxsize=4096)
def _part_figures(part: Component, technology: Technology) -> tuple[Figure, Figure]:
    """Area and leakage."""
    return _calibrated(technology.area_mm2(part), part.area_scale), technology.leakage_w(part)


def _calibrated(figure: Figure, scale: float) -> Figure:
    return (
        figure if scale == 1 else Figure(figure.value * scale, f"x {scale:g} by calibration. {figure.source}")
    )


def _by_name(components: tuple[Component, ...]) -> Mapping[str, Component]:
    parts = {component.name: component for component in components}
    if len(parts) != len(components):
        raise CheckError(
            "two components of a machine have one name. This is a fault of hwsim, please report it"
        )
    return parts
