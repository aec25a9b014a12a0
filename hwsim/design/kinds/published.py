"""What a design file may say was published about a real part."""

from __future__ import annotations

from hwsim.schema import Percent, Spec, field, quantity


class PublishedSpec(Spec):
    """What was published about the real part. Shown beside results; nothing is computed from it."""

    idle_power_w: float | None = quantity(
        "Power when idle.", default=None, descriptive=True, when_absent="not given"
    )
    busy_power_w: float | None = quantity(
        "Power under load.", default=None, descriptive=True, when_absent="not given"
    )
    tdp_w: float | None = quantity(
        "Thermal design power.", default=None, descriptive=True, when_absent="not given"
    )
    die_area_mm2: float | None = quantity(
        "Area of the die.", default=None, descriptive=True, when_absent="not given"
    )
    floor_plan: dict[str, Percent] = field(
        "Share of the die by block, in percent. Blocks may hold others.", default={}, descriptive=True
    )
