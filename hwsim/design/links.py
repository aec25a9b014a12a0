"""Between the devices of a design: the spec of a link, and what must hold for several devices to share a
network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from hwsim.design.kinds.systolic import SystolicSpec
from hwsim.schema import Spec, field, quantity
from hwsim.schema.wording import did_you_mean

# The operators that a placement may name: all but those that no device works for.
PLACED_KINDS = (
    "append", "attention", "conv2d", "elementwise", "fold", "gather", "lrn", "matmul", "move", "norm", "pool",
    "recurrent", "reduce", "resize", "softmax", "winograd",
)  # fmt: skip


class LinkSpec(Spec):
    """A link between two devices of a design. One transfer at a time, in either direction."""

    between: tuple[str, str] = field("The two devices at its ends.")
    bandwidth_bytes_per_s: int | None = quantity(
        "Bytes a second; unlimited unless stated, so that only the ends' own ports limit it.",
        default=None,
        unlimited=True,
    )
    latency_s: float = quantity(
        "Time from the last byte's leaving to its arrival, of each transfer; none unless stated.",
        default=0.0,
        ge=0,
        le=1,
    )
    technology: Literal["pcie3", "none"] = field(
        "Kind of link, which decides the energy of a byte; `none` unless stated, for one whose energy is "
        "that of a port at its end.",
        default="none",
    )

    def joins(self, one: str, other: str) -> bool:
        """Whether these two are its ends."""
        return {one, other} == set(self.between)


def link_faults(devices: Mapping[str, Spec], links: Mapping[str, LinkSpec]) -> Iterator[tuple[str, str]]:
    """What is wrong with links, each by its path."""
    joined: dict[frozenset[str], str] = {}
    for name, link in links.items():
        if name in devices:
            yield f"links.{name}", "is called as a device is: give it a name of its own"
        for end in link.between:
            if end not in devices:
                yield f"links.{name}.between", f"{end!r} is none of the devices ({', '.join(devices)})"
        ends = frozenset(link.between)
        if len(ends) == 1:
            yield f"links.{name}.between", f"names {link.between[0]} twice: a link has two ends"
        elif ends in joined:
            yield f"links.{name}.between", f"joins what {joined[ends]} joins: one link between two devices"
        joined.setdefault(ends, name)


def sharing_faults(
    devices: Mapping[str, Spec],
    links: Mapping[str, LinkSpec],
    host: str,
    default: str,
    placement: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    """What is wrong with several devices that share a network. `host` is empty where they do not."""
    if not host:
        for key, given in (("links", links), ("placement", placement)):
            if given:
                yield key, "means nothing without host_device, which makes several devices share a network"
        return
    if host not in devices:
        yield "host_device", f"{host!r} is none of the devices ({', '.join(devices)})"
        return
    if host == default:
        yield "host_device", f"is the default device {host}, which would run everything: leave it out"
    elif default in devices and not any(link.joins(host, default) for link in links.values()):
        yield "links", f"none joins {default} and {host}: add one with `between: [{host}, {default}]`"
    for kind, device in placement.items():
        if kind not in PLACED_KINDS:
            yield f"placement.{kind}", f"is no kind of operator; {did_you_mean(kind, PLACED_KINDS)}"
        if device not in devices:
            yield f"placement.{kind}", f"{device!r} is none of the devices ({', '.join(devices)})"
    yield from _port_faults(devices, links)


def _port_faults(devices: Mapping[str, Spec], links: Mapping[str, LinkSpec]) -> Iterator[tuple[str, str]]:
    """What an array's own port must be like where it meets another device."""
    linked = {end: name for name, link in links.items() for end in link.between}
    for name, spec in devices.items():
        if not isinstance(spec, SystolicSpec) or name not in linked:
            continue
        if spec.host_link is None:
            yield f"devices.{name}.host_link", f"is missing: it is the port that link {linked[name]} ends at"
        if spec.calibration is not None and spec.calibration.host_overlap > 0:
            yield (
                f"devices.{name}.calibration.host_overlap",
                "means nothing where devices share a network: they work on one batch at a time",
            )
