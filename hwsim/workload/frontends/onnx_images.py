"""ONNX operators of image networks beyond convolution and pooling: what each becomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Array, format_shape
from hwsim.workload import shapes
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Constant, Node, worked_constant
from hwsim.workload.frontends.onnx_layers import flat_only, two
from hwsim.workload.operators import Pair
from hwsim.workload.sequence_builder import COORDINATES


def _conv_transpose(at: Lowering, node: Node) -> None:
    x, weight, bias = at.activation(node), node.input(1), node.input(2)
    image, kernel = at.builder.shape(x), at.shape(weight)
    flat_only(node, image)
    flat_only(node, kernel)
    window = (kernel[2], kernel[3])
    stride, dilation, extra = (
        two(node, "strides"),
        two(node, "dilations"),
        two(node, "output_padding", (0, 0)),
    )
    pad = _transposed_pads(node, (image[2], image[3]), window, stride, dilation, extra)
    label = at.label(node, weight)
    name = at.weight(weight, "weight", kernel[0])
    if any(weight in op.inputs for op in at.builder.operators):
        raise UnsupportedError(f"node {node.name!r} (ConvTranspose) shares its weights with another node")
    at.builder.conv_transpose(
        label, x, name, at.weight(bias, "bias") if bias else "", stride=stride, dilation=dilation, pad=pad,
        output_padding=extra, groups=node.integer("group", 1),
    )  # fmt: skip


def _transposed_pads(
    node: Node, size: Pair, window: Pair, stride: Pair, dilation: Pair, extra: Pair
) -> shapes.Pads:
    """Padding that is cut off the result: given, or what leaves the wanted size."""
    shapes.check_window(window, stride, (0, 0, 0, 0), dilation)
    auto = node.text("auto_pad", "NOTSET")
    wanted = node.integers("output_shape")
    if wanted is None and auto in ("NOTSET", "VALID", ""):
        given = node.integers("pads") if auto != "VALID" else None
        top, left, bottom, right = given or (0, 0, 0, 0)
        return top, left, bottom, right
    before, after = [], []
    for axis in (0, 1):
        target = wanted[axis - 2] if wanted else size[axis] * stride[axis]
        full = (size[axis] - 1) * stride[axis] + extra[axis] + (window[axis] - 1) * dilation[axis] + 1
        total = max(0, full - target)
        small, large = total // 2, total - total // 2
        before.append(small if auto == "SAME_UPPER" else large)
        after.append(large if auto == "SAME_UPPER" else small)
    return before[0], before[1], after[0], after[1]


def _resize(at: Lowering, node: Node) -> None:
    """Resize since opset 10, and Upsample before it."""
    x = at.activation(node)
    image = at.builder.shape(x)
    flat_only(node, image)
    first = 1 if node.type == "Upsample" or at.opset < 11 else 2
    scales = at.constant(node, first, "scales")
    sizes = at.constant(node, first + 1, "sizes") if first == 2 else None
    size, exact = _new_size(at, node, image, scales, sizes)
    mode = node.text("mode", "nearest")
    if mode not in ("nearest", "linear"):
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) has mode {mode!r}; hwsim resizes by nearest and linear"
        )
    said = node.text("coordinate_transformation_mode", "half_pixel" if first == 2 else "asymmetric")
    if said not in COORDINATES:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) has coordinates {said!r}; hwsim knows {', '.join(COORDINATES)}"
        )
    if node.flag("antialias") or node.flag("exclude_outside"):
        raise UnsupportedError(f"node {node.name!r} ({node.type}) smooths what it takes away")
    if not exact and said != "align_corners":
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) has scales that do not make whole sizes: give sizes instead"
        )
    default = "round_prefer_floor" if first == 2 else "floor"
    at.builder.resize(at.label(node), x, size, mode, coordinates=said,
                      nearest=node.text("nearest_mode", default))  # fmt: skip


def _new_size(
    at: Lowering, node: Node, image: tuple[int, ...], scales: Constant | None, sizes: Constant | None
) -> tuple[Pair, bool]:
    """(height, width), and whether they are the scales times the old ones exactly."""
    axes = node.integers("axes") or tuple(range(4))
    places = [shapes.axis_of(axis, 4) for axis in axes]
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise UnsupportedError(f"node {node.name!r} ({node.type}) keeps the aspect: export it with sizes")
    if sizes is not None and sizes.elements:
        given = dict(zip(places, sizes.integers("sizes"), strict=True))
        result = [given.get(axis, image[axis]) for axis in range(4)]
        exact = True
    else:
        factors = scales.array("scales").reshape(-1) if scales is not None else node.numbers("scales")
        if factors is None or not len(factors) or not all(math.isfinite(f) and f > 0 for f in factors):
            raise SpecError("needs sizes, or scales above 0")
        scaled = dict(zip(places, (float(f) for f in factors), strict=True))
        wanted = [image[axis] * scaled.get(axis, 1.0) for axis in range(4)]
        result = [math.floor(size) for size in wanted]
        exact = all(abs(size - round(size)) < 1e-4 for size in wanted)
        result = [round(size) for size in wanted] if exact else result
    if tuple(result[:2]) != image[:2] and at.batch == at.old_batch:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) resizes batch or channels of {format_shape(image)} to {result}"
        )
    return (result[2], result[3]), exact


def _instance_norm(at: Lowering, node: Node) -> None:
    x = at.activation(node)
    channels = at.builder.shape(x)[1]
    _group(at, node, x, channels, node.input(1), node.input(2))


def _group_norm(at: Lowering, node: Node) -> None:
    """Scale and shift are for each group before opset 21, and for each channel since."""
    x, groups = at.activation(node), node.integer("num_groups", 0)
    shape = at.builder.shape(x)
    if len(shape) < 2 or groups < 1 or shape[1] % groups:
        raise SpecError(f"{groups} groups do not divide the channels of {format_shape(shape)}")
    names = []
    for index, what in ((1, "scale"), (2, "shift")):
        found = at.constant(node, index, what)
        if found is None:
            raise SpecError(f"lacks its {what}")
        names.append(_by_channel(at, found, groups, shape[1] // groups) if at.opset < 21 else found.name)
    _group(at, node, x, groups, *names)


def _by_channel(at: Lowering, found: Constant, groups: int, channels: int) -> str:
    if found.shape != (groups,):
        raise SpecError(f"{found.name!r} of shape {format_shape(found.shape)} must hold {groups} numbers")

    def repeat(values: Array) -> Array:
        return np.repeat(values, channels)

    name = f"{found.name}.channels"
    made = worked_constant(name, (groups * channels,), (found,), repeat, floating=True)
    at.constants[name] = replace(made, fill=found.fill, steps=found.steps)
    return name


def _group(at: Lowering, node: Node, x: str, groups: int, scale: str, shift: str) -> None:
    at.builder.norm(
        at.label(node), x, "group_norm", at.weight(scale, "scale"), at.weight(shift, "bias"), groups=groups,
        epsilon=node.number("epsilon", 1e-5),
    )  # fmt: skip


IMAGES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "ConvTranspose": _conv_transpose,
    "Resize": _resize,
    "Upsample": _resize,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
}
