"""Design: the machine, as one or several devices and the technology they are made in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from hwsim.design.kinds.cpu import CpuSpec
from hwsim.design.kinds.eie import EieSpec
from hwsim.design.kinds.gpu import GpuSpec
from hwsim.design.kinds.systolic import SystolicSpec
from hwsim.design.links import LinkSpec, link_faults, sharing_faults
from hwsim.schema import Spec, by_kind, field, quantity

# The device kinds. A new kind is one spec here, `DeviceSpec = A | B`, and its behaviour in hwsim.devices.
DEVICE_SPECS: tuple[type[Spec], ...] = (SystolicSpec, EieSpec, CpuSpec, GpuSpec)
DeviceSpec = SystolicSpec | EieSpec | CpuSpec | GpuSpec

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class TechnologySpec(Spec):
    """What the chip is made in, for energy and area."""

    table: str = field(
        "Technology table of energies and areas; horowitz unless stated, the most cited set.",
        default="horowitz",
    )
    node_nm: int = quantity(
        "Process node; 45 nm unless stated, that of the base tables, so that nothing is scaled.",
        default=45,
        ge=1,
        le=1000,
    )


class Design(Spec):
    """A machine. `load_design` reads it; in code give `devices` by name."""

    name: str = field("What the design is called; the file's name unless stated.", descriptive=True)
    description: str = field("What the design is, in a sentence.", default="", descriptive=True)
    source: str = field("Where its numbers are from as a whole.", default="", descriptive=True)
    technology: TechnologySpec = field("Process and energy table.", default=TechnologySpec())
    devices: dict[str, Annotated[DeviceSpec, by_kind(*DEVICE_SPECS)]] = field(
        "The devices by name. A file with one device may write its fields at top level instead."
    )
    default_device: str = field(
        "The device that runs a workload; needed only where there are several.",
        default="",
        when_absent="the only one",
    )
    host_device: str = field(
        "The device that holds the network's inputs and outputs and runs what the default device cannot; "
        "without one the default device runs alone.",
        default="",
        when_absent="none: the default device runs alone",
    )
    placement: dict[str, str] = field(
        "Devices by kind of operator, for operators that the default device shall not run; none unless "
        "stated.",
        default={},
    )
    links: dict[str, LinkSpec] = field(
        "The links between devices by name; none unless stated, as one device needs none.", default={}
    )
    technologies: dict[str, TechnologySpec] = field(
        "Technology of devices that are made in another than `technology` says, by device; none unless "
        "stated.",
        default={},
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if not self.devices:
            yield "devices", "names no device"
        for name in self.devices:
            if not _NAME.fullmatch(name):
                yield f"devices.{name}", "a device's name must be letters, digits, - and _, a letter first"
        listed = ", ".join(self.devices)
        if self.default_device and self.default_device not in self.devices:
            yield "default_device", f"{self.default_device!r} is none of the devices ({listed})"
        if not self.default_device and len(self.devices) > 1:
            yield "default_device", f"is missing: it says which of {listed} runs a workload"
        for name in self.technologies:
            if name not in self.devices:
                yield f"technologies.{name}", f"is none of the devices ({listed})"
        yield from link_faults(self.devices, self.links)
        if self.devices:
            yield from sharing_faults(
                self.devices, self.links, self.host_device, self.device_name, self.placement
            )

    @property
    def device_name(self) -> str:
        """The device that runs a workload."""
        return self.default_device or next(iter(self.devices))

    @property
    def device_spec(self) -> DeviceSpec:
        """The spec of the device that runs a workload."""
        spec: DeviceSpec = self.devices[self.device_name]
        return spec

    @property
    def sharing(self) -> tuple[str, ...]:
        """The devices that share a network, the default device first; one where it runs alone."""
        if not self.host_device:
            return (self.device_name,)
        return tuple(dict.fromkeys((self.device_name, self.host_device, *self.placement.values())))

    def technology_of(self, device: str) -> TechnologySpec:
        """What a device is made in."""
        return self.technologies.get(device, self.technology)

    @property
    def published(self) -> Mapping[str, float]:
        """Published figures of that device by field name, floor-plan shares as 'floor_plan.<block>'. None
        where it shares the network: what was published is of one of them."""
        found = self.device_spec.published
        if found is None or self.host_device:
            return {}
        values = {name: getattr(found, name) for name in found.declared if name != "floor_plan"}
        shares = {f"floor_plan.{block}": share for block, share in found.floor_plan.items()}
        return {name: value for name, value in {**values, **shares}.items() if value is not None}

    @property
    def path(self) -> str:
        """The file it was read from; empty for a design made in code."""
        return self.origin.path if self.origin is not None else ""

    @property
    def sha256(self) -> str:
        """Of the file's bytes; of all values for a design made in code."""
        return self.origin.sha256 if self.origin is not None else self.content_hash

    @property
    def overrides(self) -> tuple[str, ...]:
        """What was set on top of the file, as full 'path=value'."""
        set_ = self.origin.overrides if self.origin is not None else ()
        return tuple(f"{path}={value}" for path, value in set_)
