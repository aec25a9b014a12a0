"""Several devices and the links between them as one machine: the stages, resources and pools of all side by
side, each called after its device, and a stage for each link.

A tile of one device asks nothing of the stages of the others and passes them at once, so the devices work
side by side, held together by waits alone. A transfer is one tile: what it asks of the device that sends, of
the link, and of the device that receives goes on at the same time, as packets stream through; whoever reads
the result waits for all three, and for the link's latency behind its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType

from hwsim.design import Design, LinkSpec
from hwsim.devices import Device, make_device
from hwsim.errors import UnsupportedError
from hwsim.plan import Cause, Component, Pipeline, Resource, Stage, Wait, Within
from hwsim.units import PS_PER_S

UNLIMITED_SERVERS = 10**9  # a pure delay: bytes of any number of transfers are under way side by side
UNMODELLED = (
    "links: both directions at once (they take turns), headers of packets, and what drivers do",
    "links: transfers leave in the order in which the network's operators are issued",
)
# What a wait between devices is for: whoever reads a result of another device waits for it to be made
# (ELSEWHERE), then for its transfer (TRANSFER); the parts of the transfer wait for it to be made (LINK).
ELSEWHERE, TRANSFER, LINK = "elsewhere", "transfer", "link"


def between(purpose: str, stage: str, upon: str) -> str:
    """The name of the wait that holds `stage` back until `upon` of another tile has ended."""
    return f"{purpose}: {stage} upon {upon}"


def make_machine(design: Design) -> Machine:
    """What runs networks on a design: its one device, or all that share them. Equal designs share one
    machine, and so its plans."""
    return _shared(design) if design.host_device else make_device(design.device_spec)


class SharedMachine:
    """Devices that share a network, beside what `hwsim.devices.base.Device` says of one: pipeline, focus,
    causes, clock, peak and parts of all of them."""

    def __init__(self, design: Design) -> None:
        self.default, self.host = design.device_name, design.host_device
        self.placement: Mapping[str, str] = design.placement
        self.devices: Mapping[str, Device] = MappingProxyType(
            {name: make_device(design.devices[name]) for name in design.sharing}
        )
        self.formats: Mapping[str, str] = MappingProxyType(
            {name: design.devices[name].dtype for name in design.sharing}
        )
        self.links: Mapping[str, LinkSpec] = MappingProxyType(
            {name: link for name, link in design.links.items() if set(link.between) <= set(self.devices)}
        )
        first = self.devices[self.default]
        self.clock_hz = first.clock_hz
        peak_per_s = sum(d.macs_per_cycle * d.clock_hz for d in self.devices.values())
        self.macs_per_cycle = peak_per_s / self.clock_hz
        self.reads_contents = any(d.reads_contents for d in self.devices.values())
        self.focus = f"{self.default}.{first.focus}"
        self.pipeline = _joined(self.devices, self.links)
        self.spans = _spans(self.devices)
        own = tuple(replace(cause, what=f"{self.default}.{cause.what}") for cause in first.causes)
        self.causes: tuple[Cause, ...] = (*_causes_between(self.default, self.pipeline), *own)
        self.ideal = tuple(f"{name}.{part}" for name, d in self.devices.items() for part in d.ideal)
        self.unmodelled = (
            *UNMODELLED,
            *(f"{name}: {part}" for name, d in self.devices.items() for part in d.unmodelled),
        )

    def components(self) -> tuple[Component, ...]:
        """All of them, each called after its device."""
        return tuple(part for name in (*self.devices, *self.links) for part in self.components_of(name))

    def components_of(self, name: str) -> tuple[Component, ...]:
        """Of one device, or of a link; one without a technology of its own has none."""
        if name in self.devices:
            parts = self.devices[name].components()
            return tuple(replace(part, name=f"{name}.{part.name}") for part in parts)
        technology = self.links[name].technology
        return () if technology == "none" else (Component(name, "link", technology=technology),)

    def link_of(self, one: str, other: str) -> str:
        """The link between two devices. Raises UnsupportedError where there is none."""
        for name, link in self.links.items():
            if link.joins(one, other):
                return name
        raise UnsupportedError(
            f"what {one} makes is needed on {other}, and no link joins them: add one to links, with "
            f"`between: [{one}, {other}]`, or place the operators on devices that are linked"
        )


@lru_cache(maxsize=64)
def _shared(design: Design) -> SharedMachine:
    return SharedMachine(design)


Machine = Device | SharedMachine


def transfer_stage(link: str) -> str:
    """The stage in which a link moves bytes."""
    return f"{link}.transfer"


def flight_stage(link: str) -> str:
    """The stage in which the last of them are under way."""
    return f"{link}.flight"


def flight_ps(link: LinkSpec) -> int:
    """A link's latency in whole picoseconds, rounded up."""
    return -int(-Fraction(str(link.latency_s)) * PS_PER_S // 1)


def ends_of(pipeline: Pipeline) -> tuple[str, ...]:
    """Stages that no other comes after: when all of them have ended for a tile, it is done."""
    followed = {name for stage in pipeline.stages for name in stage.after}
    return tuple(name for name in pipeline.stage_names if name not in followed)


def _spans(devices: Mapping[str, Device]) -> Mapping[str, Within]:
    spans, stages, pools = {}, 0, 0
    for name, device in devices.items():
        spans[name] = Within(device.pipeline, stages, pools)
        stages += len(device.pipeline.stages)
        pools += len(device.pipeline.pools)
    return MappingProxyType(spans)


def _joined(devices: Mapping[str, Device], links: Mapping[str, LinkSpec]) -> Pipeline:
    own = [_called_after(name, device.pipeline) for name, device in devices.items()]
    stages = [stage for pipeline in own for stage in pipeline.stages]
    resources = [resource for pipeline in own for resource in pipeline.resources]
    for name, link in links.items():
        rate = link.bandwidth_bytes_per_s
        charges = ((name, "transfer"),) if link.technology != "none" else ()
        flight = f"{name}.latency"
        resources += [
            Resource(name, None if rate is None else Fraction(rate)),
            Resource(flight, Fraction(PS_PER_S), UNLIMITED_SERVERS),
        ]
        stages += [
            Stage(transfer_stage(name), name, "bytes", charges=charges),
            Stage(flight_stage(name), flight, "cycles", after=(transfer_stage(name),), in_order=False),
        ]
    waits = [wait for pipeline in own for wait in pipeline.waits]
    waits += dict.fromkeys(_waits_between(devices, links))
    return Pipeline(tuple(stages), tuple(resources), tuple(p for o in own for p in o.pools), tuple(waits))


def _called_after(device: str, pipeline: Pipeline) -> Pipeline:
    """The pipeline of a device with its name before every other."""

    def named(name: str) -> str:
        return f"{device}.{name}"

    return Pipeline(
        tuple(
            replace(
                stage,
                name=named(stage.name),
                resource=named(stage.resource),
                after=tuple(map(named, stage.after)),
                charges=tuple((named(component), action) for component, action in stage.charges),
            )
            for stage in pipeline.stages
        ),
        tuple(replace(resource, name=named(resource.name)) for resource in pipeline.resources),
        tuple(
            replace(pool, name=named(pool.name), taken_by=named(pool.taken_by), freed_by=named(pool.freed_by))
            for pool in pipeline.pools
        ),
        tuple(Wait(named(w.name), named(w.stage), named(w.upon)) for w in pipeline.waits),
    )


def _waits_between(devices: Mapping[str, Device], links: Mapping[str, LinkSpec]) -> Iterator[Wait]:
    """All waits that a transfer over any link, in either direction, may need."""
    for link, spec in links.items():
        for source, target in (spec.between, spec.between[::-1]):
            sends, receives = devices[source].pipeline, devices[target].pipeline
            made = [f"{source}.{upon}" for upon in dict.fromkeys(w.upon for w in sends.waits)]
            arrives = [stage.name for stage in receives.stages if stage.in_order]
            for upon in made:
                yield Wait(between(LINK, transfer_stage(link), upon), transfer_stage(link), upon)
                for stage in arrives:
                    yield Wait(between(LINK, f"{target}.{stage}", upon), f"{target}.{stage}", upon)
            sent = [flight_stage(link), *(f"{source}.{name}" for name in ends_of(sends))]
            for wait in receives.waits:
                held = f"{target}.{wait.stage}"
                for upon in made:
                    yield Wait(between(ELSEWHERE, held, upon), held, upon)
                for upon in (*sent, f"{target}.{wait.upon}"):
                    yield Wait(between(TRANSFER, held, upon), held, upon)


def _causes_between(device: str, pipeline: Pipeline) -> Iterator[Cause]:
    """Why a device stands still for others: first that a result is not made, then that it has not come."""
    for purpose in (ELSEWHERE, TRANSFER):
        for wait in pipeline.waits:
            if wait.name.startswith(f"{purpose}: {device}."):
                yield Cause(purpose, "wait", wait.name)
