"""Layers of image networks that are several operators: squeeze-and-excitation, the shuffle of channels."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.errors import SpecError
from hwsim.workload import shapes
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.draft import Weigh


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """`squeeze` channels between the two layers, `function` behind the first, `gate` behind the second."""

    squeeze: int
    function: str = "relu"
    gate: str = "sigmoid"


def add_squeeze_excite(
    builder: GraphBuilder, label: Label, x: str, layer: SqueezeExcite, weigh: Weigh
) -> str:
    """x [N, C, H, W] times a number for each channel, made of the means of all channels by two layers of 1x1
    convolutions (Hu et al., "Squeeze-and-excitation networks", CVPR 2018, sec. 3). Raises SpecError for an
    input that is no feature map."""
    name = label.owner
    if layer.squeeze < 1:
        raise SpecError(f"layer {name!r} (squeeze_excite): squeeze is {layer.squeeze}: it must be at least 1")
    try:
        _, channels, _, _ = shapes.feature_map(builder.shape(x))
    except SpecError as error:
        raise SpecError(f"layer {name!r} (squeeze_excite): {error}") from None

    gate = builder.global_pool(label.part("mean"), x, "average")
    for what, rows, cols, function in (
        ("squeeze", layer.squeeze, channels, layer.function), ("excite", channels, layer.squeeze, layer.gate),
    ):  # fmt: skip
        weight = weigh(f"{what}_weight", (rows, cols, 1, 1), "weight", cols)
        gate = builder.conv2d(label.part(what), gate, weight, weigh(f"{what}_bias", (rows,), "bias", 1))
        gate = builder.unary(label.part(f"{what}.{function}"), gate, function)
    return builder.combine(label, "mul", (x, gate))


def add_channel_shuffle(builder: GraphBuilder, label: Label, x: str, groups: int) -> str:
    """The channels of x [N, C, H, W] dealt out: the first of each of `groups` groups, then the second of
    each, and so on (Zhang et al., "ShuffleNet", CVPR 2018, sec. 3.1). Raises SpecError where groups do not
    divide channels."""
    name = label.owner
    try:
        n, c, h, w = shapes.feature_map(builder.shape(x))
    except SpecError as error:
        raise SpecError(f"layer {name!r} (channel_shuffle): {error}") from None
    if groups < 1 or c % groups:
        raise SpecError(f"layer {name!r} (channel_shuffle): {groups} groups do not divide {c} channels")
    apart = builder.view(label.part("apart"), x, "reshape", (n, groups, c // groups, h * w))
    dealt = builder.transpose(label.part("dealt"), apart, (0, 2, 1, 3))
    return builder.view(label, dealt, "reshape", (n, c, h, w))
