"""Layers of sequence networks in a workload file, each lowered to operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hwsim.errors import SpecError
from hwsim.tensor.tensor import format_shape
from hwsim.workload.attention_layer import (
    AttentionLayer,
    FeedForward,
    Positions,
    add_attention,
    add_class_token,
    add_feed_forward,
    add_positions,
)
from hwsim.workload.frontends import sequence_layers as spec
from hwsim.workload.frontends.layer_base import Layer
from hwsim.workload.frontends.yaml_context import Context
from hwsim.workload.moe import Moe, add_moe


def _embedding(at: Context, layer: spec.Embedding) -> None:
    x, rows, width = at.only(), at.size(layer.vocab), at.size(layer.width)
    if not at.builder.tensors[x].index_range:
        raise SpecError(
            f"layer {at.name!r} (embedding): looks up indices, and {x!r} holds other numbers: declare it as "
            "`inputs: {tokens: {shape: [batch, tokens], indices: " + f"{rows}" + "}}`"
        )
    if layer.weight_of is None:
        table = at.weight("weight", (rows, width), "weight", width)
    else:
        table = at.weight_of(layer.weight_of, (rows, width))
    at.builder.gather(at.label, table, x)


def _positional(at: Context, layer: spec.Positional) -> None:
    rows = None if layer.places is None else at.size(layer.places)
    found = Positions(layer.form == "learned", rows, at.size(layer.start))
    add_positions(at.builder, at.label, at.only(), found, at.weight)


def _attention(at: Context, layer: spec.Attention) -> None:
    found = AttentionLayer(
        at.size(layer.heads),
        None if layer.kv_heads is None else at.size(layer.kv_heads),
        None if layer.head_size is None else at.size(layer.head_size),
        causal=layer.causal,
        window=at.size(layer.window or 0),
        rotary_base=layer.rotary_base if layer.rotary else None,
        biased=layer.biased,
        scale=layer.scale,
        cached=None if layer.cache is None else at.size(layer.cache),
    )
    x, *memory = at.inputs
    add_attention(at.builder, at.label, x, memory[0] if memory else "", found, at.weight)


def _layer_norm(at: Context, layer: spec.LayerNorm) -> None:
    width = at.shape()[-1:]
    scale = at.weight("scale", width, "scale")
    shift = at.weight("shift", width, "shift") if layer.shifts else ""
    at.builder.norm(at.label, at.only(), layer.kind, scale, shift, epsilon=layer.epsilon)


def _group_norm(at: Context, layer: spec.GroupNorm) -> None:
    shape = at.shape()
    if len(shape) < len(("batch", "channels", "places")):
        raise SpecError(
            f"layer {at.name!r} (group_norm): takes [batch, channels, ...] and got {format_shape(shape)}"
        )
    channels = shape[1:2]
    scale, shift = at.weight("scale", channels, "scale"), at.weight("shift", channels, "shift")
    groups = at.size(layer.groups)
    at.builder.norm(at.label, at.only(), "group_norm", scale, shift, groups=groups, epsilon=layer.epsilon)


def _feed_forward(at: Context, layer: spec.FeedForward) -> None:
    found = FeedForward(at.size(layer.hidden), layer.function, layer.gated, layer.bias)
    add_feed_forward(at.builder, at.label, at.only(), found, at.weight)


def _moe(at: Context, layer: spec.Moe) -> None:
    expert = FeedForward(at.size(layer.hidden), layer.function, layer.gated, layer.bias)
    found = Moe(at.size(layer.experts), at.size(layer.top), expert, layer.skew)
    add_moe(at.builder, at.label, at.only(), found, at.weight)
    uneven = f", plus {layer.skew:g} times one for each expert" if layer.skew else ""
    at.notes[
        f"the experts of each place are drawn from the seed, not computed: the top {found.top} of "
        f"{found.experts} by a standard normal number for each place and expert{uneven}"
    ] = None


LOWER: Mapping[type[Layer], Callable[[Context, Any], object]] = {
    spec.Embedding: _embedding,
    spec.Positional: _positional,
    spec.ClassToken: lambda at, _: add_class_token(at.builder, at.label, at.only(), at.weight),
    spec.Attention: _attention,
    spec.LayerNorm: _layer_norm,
    spec.GroupNorm: _group_norm,
    spec.FeedForward: _feed_forward,
    spec.Moe: _moe,
}
