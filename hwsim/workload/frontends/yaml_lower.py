"""Layers of feature maps and vectors in a workload file, each lowered to operators by the builder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hwsim.errors import SpecError
from hwsim.tensor.tensor import format_shape
from hwsim.workload import shapes
from hwsim.workload.frontends import layers as spec
from hwsim.workload.frontends.layer_base import Layer
from hwsim.workload.frontends.yaml_context import Context
from hwsim.workload.image_layers import SqueezeExcite, add_channel_shuffle, add_squeeze_excite
from hwsim.workload.recurrent_layer import Beginning, RecurrentLayer, add_recurrent_layer


def _conv(at: Context, layer: spec.Conv) -> None:
    x = at.only()
    _, channels, _, _ = shapes.feature_map(at.builder.shape(x))
    out, groups, (r, s) = at.size(layer.out_channels), at.size(layer.groups), at.pair(layer.kernel)
    if out < 1 or groups < 1 or channels % groups or out % groups:
        raise SpecError(
            f"layer {at.name!r} (conv): {groups} groups do not divide {channels} input and {out} output "
            "channels: choose a common divisor"
        )
    per_group = channels // groups
    weight = at.weight("weight", (out, per_group, r, s), "weight", per_group * r * s, layer.draws)
    bias = at.weight("bias", (out,), "bias") if layer.bias else ""
    at.builder.conv2d(
        at.label, x, weight, bias, stride=at.pair(layer.stride), pad=at.pads(layer.pad),
        dilation=at.pair(layer.dilation), groups=groups,
    )  # fmt: skip


def _linear(at: Context, layer: spec.Linear) -> None:
    x, out = at.only(), at.size(layer.out_features)
    shape = at.builder.shape(x)
    if len(shape) not in (2, 3):
        raise SpecError(
            f"layer {at.name!r} (linear): takes [batch, features] or [batch, tokens, features] and got "
            f"{format_shape(shape)}: add a `{{kind: flatten}}` layer before it"
        )
    if layer.weight_of is None:
        weight = at.weight("weight", (out, shape[-1]), "weight", shape[-1], layer.draws)
    else:
        weight = at.weight_of(layer.weight_of, (out, shape[-1]))
    bias = at.weight("bias", (out,), "bias") if layer.bias else ""
    at.builder.matmul(at.label, x, weight, bias, transpose_b=True)


def _recurrent(at: Context, layer: spec.Recurrent) -> None:
    found = RecurrentLayer(
        layer.kind, at.size(layer.hidden), layer.input, layer.bias, layer.batch_first, layer.function,
        at.size(layer.layers), layer.bidirectional, layer.reverse, layer.peepholes,
        None if layer.projection is None else at.size(layer.projection), layer.reset_after,
    )  # fmt: skip
    x, *begins = at.inputs
    add_recurrent_layer(at.builder, at.label, x, found, at.weight, Beginning(*begins), at.ends)


def _matmul(at: Context, layer: spec.Matmul) -> None:
    if len(at.inputs) != 2:
        raise SpecError(
            f"layer {at.name!r} (matmul): takes two inputs and got {len(at.inputs)}: write `inputs: [a, b]`"
        )
    at.builder.matmul(at.label, *at.inputs, transpose_a=layer.transpose_a, transpose_b=layer.transpose_b)


def _pool(at: Context, layer: spec.Pool) -> None:
    at.builder.pool(
        at.label, at.only(), layer.kind.removesuffix("_pool"), at.pair(layer.kernel),
        stride=None if layer.stride is None else at.pair(layer.stride), pad=at.pads(layer.pad),
        ceil_mode=layer.ceil_mode, count_include_pad=layer.count_include_pad,
    )  # fmt: skip


def _global_pool(at: Context, layer: spec.GlobalPool) -> None:
    function = layer.kind.removeprefix("global_").removesuffix("_pool")
    at.builder.global_pool(at.label, at.only(), function)


def _combine(at: Context, layer: spec.Combine) -> None:
    at.builder.combine(at.label, layer.kind, at.inputs)


def _pointwise(at: Context, layer: spec.Pointwise) -> None:
    given = {name: getattr(layer, name) for name in ("alpha", "beta", "gamma", "min", "max")}
    attributes = {name: value for name, value in given.items() if value is not None}
    if layer.kind == "relu6":
        if attributes:
            raise SpecError(f"layer {at.name!r}: relu6 takes no attributes; write clip with min and max")
        at.builder.unary(at.label, at.only(), "clip", {"min": 0.0, "max": 6.0})
        return
    at.builder.unary(at.label, at.only(), layer.kind, attributes)


def _batch_norm(at: Context, layer: spec.BatchNorm) -> None:
    x = at.only()
    shape = at.builder.shape(x)
    channels = (shape[1] if len(shape) > 1 else 1,)
    at.builder.batch_norm(
        at.label,
        x,
        at.weight("gamma", channels, "scale"),
        at.weight("beta", channels, "shift"),
        at.weight("mean", channels, "mean"),
        at.weight("variance", channels, "variance"),
        epsilon=layer.epsilon,
    )


def _lrn(at: Context, layer: spec.Lrn) -> None:
    given = {"alpha": layer.alpha, "beta": layer.beta, "k": layer.k}
    at.builder.lrn(at.label, at.only(), at.size(layer.size), **given)


def _reshape(at: Context, layer: spec.Reshape) -> None:
    x = at.only()
    target = [at.size(size) for size in layer.shape]
    try:
        shape = shapes.reshaped(at.builder.shape(x), target)
    except SpecError as error:
        raise SpecError(f"layer {at.name!r} (reshape): {error}") from None
    at.builder.view(at.label, x, "reshape", shape)


def _flatten(at: Context, layer: spec.Flatten) -> None:
    x = at.only()
    at.builder.view(at.label, x, "flatten", shapes.flattened(at.builder.shape(x), layer.axis))


def _pad(at: Context, layer: spec.Pad) -> None:
    before, after = ([at.size(size) for size in sizes] for sizes in (layer.before, layer.after))
    at.builder.pad(at.label, at.only(), before, after, fill=layer.fill)


def _slice(at: Context, layer: spec.Slice) -> None:
    at.builder.slice(at.label, at.only(), {layer.axis: (at.size(layer.start), at.size(layer.end), 1)})


def _conv_transpose(at: Context, layer: spec.ConvTranspose) -> None:
    x = at.only()
    _, channels, _, _ = shapes.feature_map(at.builder.shape(x))
    out, groups, (r, s) = at.size(layer.out_channels), at.size(layer.groups), at.pair(layer.kernel)
    if out < 1 or groups < 1 or out % groups:
        raise SpecError(
            f"layer {at.name!r} (conv_transpose): {groups} groups do not divide {out} output channels: "
            "choose a common divisor"
        )
    weight = at.weight("weight", (channels, out // groups, r, s), "weight", channels // groups * r * s)
    bias = at.weight("bias", (out,), "bias") if layer.bias else ""
    at.builder.conv_transpose(
        at.label, x, weight, bias, stride=at.pair(layer.stride), pad=at.pads(layer.pad),
        dilation=at.pair(layer.dilation), output_padding=at.pair(layer.output_padding), groups=groups,
    )  # fmt: skip


def _upsample(at: Context, layer: spec.Upsample) -> None:
    _, _, height, width = shapes.feature_map(at.shape())
    if layer.size is not None:
        size = at.pair(layer.size)
    else:
        scale = at.size(layer.scale or 1)
        size = height * scale, width * scale
    coordinates = "align_corners" if layer.align_corners else "half_pixel"
    at.builder.resize(at.label, at.only(), size, layer.function, coordinates=coordinates)


def _squeeze_excite(at: Context, layer: spec.SqueezeExcite) -> None:
    found = SqueezeExcite(at.size(layer.squeeze), layer.function, layer.gate)
    add_squeeze_excite(at.builder, at.label, at.only(), found, at.weight)


def _reduce(at: Context, layer: spec.Reduce) -> None:
    at.builder.reduce(at.label, at.only(), layer.function, layer.axes, keepdims=layer.keep)


LOWER: Mapping[type[Layer], Callable[[Context, Any], object]] = {
    spec.Conv: _conv,
    spec.Linear: _linear,
    spec.Recurrent: _recurrent,
    spec.Matmul: _matmul,
    spec.Pool: _pool,
    spec.GlobalPool: _global_pool,
    spec.Combine: _combine,
    spec.Pointwise: _pointwise,
    spec.BatchNorm: _batch_norm,
    spec.Lrn: lambda at, x: at.builder.lrn(
        at.label, at.only(), at.size(x.size), alpha=x.alpha, beta=x.beta, k=x.k
    ),
    spec.Softmax: lambda at, x: at.builder.softmax(at.label, at.only(), x.axis),
    spec.Concat: lambda at, x: at.builder.concat(at.label, at.inputs, x.axis),
    spec.Reshape: _reshape,
    spec.Flatten: _flatten,
    spec.Transpose: lambda at, x: at.builder.transpose(at.label, at.only(), x.perm),
    spec.Pad: _pad,
    spec.Slice: _slice,
    spec.Reduce: _reduce,
    spec.ConvTranspose: _conv_transpose,
    spec.Upsample: _upsample,
    spec.SqueezeExcite: _squeeze_excite,
    spec.ChannelShuffle: lambda at, x: add_channel_shuffle(
        at.builder, at.label, at.only(), at.size(x.groups)
    ),
    spec.Dropout: lambda at, x: at.builder.view(at.label, at.only(), x.kind),
}
