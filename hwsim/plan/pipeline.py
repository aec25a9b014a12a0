"""The shape of a machine's tile pipeline: stages, the resources they share, slots and waits.

A *tile* passes through the stages of one pipeline. Nothing here knows time: a stage asks for an amount
(bytes or cycles), a resource has a rate, and `sim` alone turns the two into a schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.units import PS_PER_S

_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that serves stages: a memory port, a link, an array. `rate` is units per second for each
    server (bytes/s or cycles/s, as the stages that use it demand); None is unlimited (no time passes)."""

    name: str
    rate: Fraction | None
    servers: int = 1

    def duration_ps(self, amount: int) -> int:
        """Picoseconds that one server needs for `amount`, rounded up by exact integer arithmetic."""
        if self.rate is None or amount == 0:
            return 0
        return -(-amount * PS_PER_S * self.rate.denominator // self.rate.numerator)

    def durations_ps(self, amounts: Int64Array) -> Int64Array:
        """The same of many amounts, as exactly: whole numbers of the amount that takes whole picoseconds, and
        the rest. Raises OverflowError for times that no int64 holds."""
        if self.rate is None or not amounts.size:
            return np.zeros_like(amounts)
        up, down = PS_PER_S * self.rate.denominator, self.rate.numerator
        common = gcd(up, down)
        up, down = up // common, down // common
        # Products below must stay in int64; what could pass it takes Python's whole numbers.
        if max(int(amounts.max()) // down + 1, down) * up >= _INT64:
            exact = [self.duration_ps(amount) for amount in amounts.ravel().tolist()]
            return np.array(exact, dtype=np.int64).reshape(amounts.shape)
        many, rest = np.divmod(amounts, down)
        found: Int64Array = many * up - (-rest * up // down)
        return found


def row_durations_ps(resources: Sequence[Resource], amounts: Int64Array) -> Int64Array:
    """(n, k) durations of amounts (n, k), row i on one server of resource i; rows of one rate together."""
    found = np.zeros(amounts.shape, dtype=np.int64)
    rows: dict[Fraction, list[int]] = {}
    for row, resource in enumerate(resources):
        if resource.rate is not None:
            rows.setdefault(resource.rate, []).append(row)
    for together in rows.values():
        found[together] = resources[together[0]].durations_ps(amounts[together])
    return found


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of every tile. It may be issued when the stages `after` of the same tile have ended.

    `in_order` stages are issued in tile order (tile i never before tile i-1); the others as soon as their
    `after` stages end, and may neither wait nor take slots. `charges` names the (component, action) pairs
    that every demanded unit is charged for, so that traffic is stated once.
    """

    name: str
    resource: str
    unit: str  # "bytes" or "cycles"
    after: tuple[str, ...] = ()
    in_order: bool = True
    charges: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SlotPool:
    """Room between two stages: a tile takes a slot when `taken_by` is issued and gives it back when
    `freed_by` ends. Tiles may take without freeing and free without taking (an accumulator bank is taken
    by the first and freed by the last tile of a sum)."""

    name: str
    taken_by: str
    freed_by: str
    slots: int


@dataclass(frozen=True, slots=True)
class Wait:
    """A dependence between tiles: `stage` of one is not issued before `upon` of another has ended."""

    name: str
    stage: str
    upon: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why the focus stage of a pipeline stands still: `kind` is "stage" (a stage of the same tile has not
    ended), "wait" (an awaited tile has not) or "pool" (no slot); `what` names it."""

    name: str
    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a machine as energy and area tables know it: `instances` of a mac (a PE), register
    (`width_bits` flip-flops), sram (a bank of `capacity_bytes`), dram or link (`technology`), vector lane
    or control, clock (network) or package (all of a chip that is not counted apart), the last two without
    area of their own."""

    name: str
    kind: str
    instances: int = 1
    capacity_bytes: int = 0
    width_bits: int = 0
    dtype: str = ""
    technology: str = ""
    energy_scale: float = 1.0  # calibration: over what a technology table gives
    area_scale: float = 1.0
    static_w: float = 0.0  # drawn all the time by all instances, beside leakage
    action_pj: float = 0.0  # of its one action, where the design and no table states it


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A machine as the simulator sees it. Stage order is arbitration rank (first wins a tie)."""

    stages: tuple[Stage, ...]
    resources: tuple[Resource, ...]
    pools: tuple[SlotPool, ...] = ()
    waits: tuple[Wait, ...] = ()

    def stage_index(self, name: str) -> int:
        return self.stage_names.index(name)

    @property
    def stage_names(self) -> tuple[str, ...]:
        return tuple(s.name for s in self.stages)

    def resource_of(self, stage: Stage) -> Resource:
        return next(r for r in self.resources if r.name == stage.resource)
