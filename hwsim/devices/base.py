"""What every device kind offers to the pipeline. A device states demands; it never knows time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol, TypeGuard

from hwsim.plan import Cause, Component, Options, Pipeline, Plan
from hwsim.plan.residency import Contents, Residency, WeightStorage
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Operator


class Device(Protocol):
    """Pure behaviour over a spec. Equal (problem, residency) give equal plans, which may be cached."""

    pipeline: Pipeline
    focus: str  # the stage whose busy time is the machine's useful work
    causes: tuple[Cause, ...]  # why the focus stage stands still, highest priority first
    clock_hz: int
    macs_per_cycle: float  # peak, of the fastest number format
    accumulator_bits: int  # width of one sum of products
    chip_bytes: int | None
    memory_bytes: int | None
    host_link: bool
    background_share: float
    reads_contents: bool  # whether plans depend on which numbers are zero

    @property
    def ideal(self) -> tuple[str, ...]:
        """Components without limit, so without energy and area."""

    @property
    def unmodelled(self) -> tuple[str, ...]:
        """What this kind leaves out, in sentences."""

    def __hash__(self) -> int:
        """Of the object itself or of its spec: plans are kept by device."""

    def supports(self, operator: Operator, formats: Sequence[str]) -> str:
        """Why the operator cannot run here, or an empty string."""

    def weight_storage(self, workload: Workload, contents: Mapping[str, Contents]) -> WeightStorage:
        """How the weights of a whole network are kept here. `contents` is empty where they are not read."""

    def plan(self, operator: Operator, residency: Residency | None) -> Plan:
        """Demands of one operator under its residency (None for views and transfers)."""

    def bound_ps(self, operator: Operator, residency: Residency | None) -> dict[str, int]:
        """A floor on the busy time of each resource, from the problem and its compulsory bytes alone."""

    def wait_name(self, consumer: Operator, operand: int, producer: Operator, place: str) -> str:
        """Which Wait of the pipeline holds `consumer` back until `producer`'s result, which it reads as that
        operand, is in `place`."""

    def components(self) -> tuple[Component, ...]:
        """The parts that actions are charged to and that take area."""


class ChoosesByRates(Device, Protocol):
    """A device whose plans depend on rates of resources in nothing but which of several is chosen, and not on
    what weights hold: studies of many machines plan once for all that have one `family`."""

    @property
    def family(self) -> Hashable:
        """All that decides options and waits, and what operators are supported."""

    def options(self, operator: Operator, residency: Residency | None) -> Options:
        """Plans of one operator, among which `Options.at` chooses as `plan` does."""


def chooses_by_rates(device: Device) -> TypeGuard[ChoosesByRates]:
    """Whether a device has a `family`."""
    return hasattr(device, "family")
