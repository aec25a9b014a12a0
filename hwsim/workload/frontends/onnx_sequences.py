"""ONNX operators of sequence networks: norms, attention, rotary embedding, sums over named axes. Those of the
domain com.microsoft are what onnxruntime's optimiser writes (github.com/microsoft/onnxruntime,
docs/ContribOperators.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Array, format_shape
from hwsim.workload import shapes
from hwsim.workload.builder import Label
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Node, worked_constant

MASKED = -1e9  # added to a score that nothing may see


def _norm(function: str) -> Callable[[Lowering, Node], None]:
    def lower(at: Lowering, node: Node) -> None:
        at.refuse_extra_outputs(node)
        x = at.activation(node)
        rank = len(at.builder.shape(x))
        axis = shapes.axis_of(node.integer("axis", -1), rank)
        _normed(at, node, at.label(node), x, node.input(1), node.input(2), function, axis)

    return lower


def _normed(
    at: Lowering, node: Node, label: Label, x: str, scale: str, shift: str, function: str, axis: int
) -> str:
    """A norm, its scale and shift in the shape that is normed."""
    shape = at.builder.shape(x)[axis:]
    constants = []
    for name in (scale, shift):
        found = at.constants.get(name)
        if name and found is None:
            raise UnsupportedError(
                f"node {node.name!r} ({node.type}) computes {name!r}, which must be constant"
            )
        if found is not None and found.shape != shape and found.elements == math.prod(shape):
            name = f"{found.name}.as_normed"
            at.constants[name] = found.reshaped(name, shape)
        constants.append(name)
    epsilon = node.number("epsilon", 1e-12 if node.type.startswith("com.microsoft.Skip") else 1e-5)
    by = at.weight(constants[0], "weight") if constants[0] else ""
    on = at.weight(constants[1], "bias") if constants[1] else ""
    return at.builder.norm(label, x, function, by, on, axis=axis, epsilon=epsilon)


def _skip_norm(function: str) -> Callable[[Lowering, Node], None]:
    """x and what goes round it are added, perhaps with a bias, and normed; the sum may go on as well."""

    def lower(at: Lowering, node: Node) -> None:
        layered = function == "layer_norm"
        scale, shift, bias = (node.input(i) for i in ((2, 3, 4) if layered else (2, 99, 3)))
        if any(node.outputs[1:3]):
            raise UnsupportedError(f"node {node.name!r} ({node.type}) gives its mean and deviation away")
        label = at.label(node)
        total = node.outputs[3] if len(node.outputs) > 3 else ""
        terms = [at.activation(node), at.activation(node, 1)]
        if bias:
            terms.append(at.weight(bias, "shift"))
        inner = Label(at.unique(f"{label.name}.sum"), total, label.layer)
        x = at.builder.combine(inner, "add", terms)
        _normed(at, node, label, x, scale, shift, function, len(at.builder.shape(x)) - 1)

    return lower


# -- attention -------------------------------------------------------------------------------------------


def _attention(at: Lowering, node: Node) -> None:
    """Attention of opset 23: q, k and v [batch, heads, places, size], or [batch, places, heads x size]."""
    label = at.label(node)
    if node.number("softcap", 0.0):
        raise UnsupportedError(f"node {node.name!r} (Attention) caps its scores, which hwsim does not model")
    if len(node.outputs) > 3 and node.outputs[3]:
        raise UnsupportedError(f"node {node.name!r} (Attention) gives its scores away")
    names = [at.activation(node, i) for i in range(3)]
    flat = len(at.builder.shape(names[0])) == 3
    if flat:
        heads = node.integer("q_num_heads", 0)
        counts = (heads, *(node.integer("kv_num_heads", heads),) * 2)
        names = [_split(at, label, n, c, part) for n, c, part in zip(names, counts, "qkv", strict=True)]
    names[1:] = [_with_past(at, node, label, n, i) for i, n in enumerate(names[1:], 1)]
    causal = node.flag("is_causal")
    _attend(at, node, label, names, node.input(3), causal, node.attributes.get("scale"), flat)


def _with_past(at: Lowering, node: Node, label: Label, name: str, index: int) -> str:
    """Keys (1) or values (2) behind those of earlier places; the whole goes on as an output."""
    past, present = node.input(3 + index), [*node.outputs, "", ""][index]
    if not past and not present:
        return name
    made = Label(at.unique(f"{label.name}.present{index}"), present, label.layer)
    if not past:
        return at.builder.view(made, name, "identity")
    return at.builder.concat(made, [at.weight(past, "shift"), name], 2)


def _split(at: Lowering, label: Label, x: str, heads: int, part: str) -> str:
    """[batch, places, heads x size] as [batch, heads, places, size]."""
    shape = at.builder.shape(x)
    if len(shape) != 3 or heads < 1 or shape[2] % heads:
        raise SpecError(f"{heads} heads do not divide {format_shape(shape)}")
    seen = (shape[0], shape[1], heads, shape[2] // heads)
    split = at.builder.view(at.part(label, f"{part}_heads"), x, "reshape", seen)
    return at.builder.transpose(at.part(label, part), split, (0, 2, 1, 3))


def _attend(
    at: Lowering,
    node: Node,
    label: Label,
    names: list[str],
    mask: str,
    causal: bool,
    scale: object,
    flat: bool,
) -> None:
    q, k, v = names
    places, keys = at.builder.shape(q)[-2], at.builder.shape(k)[-2]
    if causal and places != keys and not node.input(4):
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) is causal over {places} queries and {keys} keys without a "
            "past: hwsim takes the queries for the last of the places"
        )
    factor = float(scale) if isinstance(scale, float | int) and scale else None
    last = at.part(label, "attended") if flat else label
    made = at.builder.attention(last, q, k, v, _mask(at, mask) if mask else "", scale=factor, causal=causal)
    if flat:
        batch, heads, rows, size = at.builder.shape(made)
        turned = at.builder.transpose(at.part(label, "turned"), made, (0, 2, 1, 3))
        at.builder.view(label, turned, "reshape", (batch, rows, heads * size))


def _mask(at: Lowering, name: str) -> str:
    """What is added to the scores: as it is, or a constant truth of what may be seen as numbers."""
    found = at.constants.get(name)
    if found is None:
        return at.weight(name, "shift")
    made = f"{name}.mask"

    def added(values: Array) -> Array:
        if values.dtype.kind == "b":
            return np.where(values, 0, MASKED).astype(np.float32)
        return np.maximum(values, MASKED).astype(np.float32)

    if made not in at.builder.tensors:
        constant = worked_constant(made, found.shape, (found,), added, floating=True)
        at.builder.weight(made, found.shape, "shift", values=constant.values, role="constant")
    return made


def _packed_attention(at: Lowering, node: Node) -> None:
    """com.microsoft.Attention: the products that make q, k and v are part of it."""
    label, heads = at.label(node), node.integer("num_heads", 0)
    if node.input(3) or node.input(4) or any(node.outputs[1:]) or node.attributes.get("qkv_hidden_sizes"):
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) has lengths, a past or sizes of its own: export the network "
            "without onnxruntime's attention fusion"
        )
    x = at.activation(node)
    weight = at.weight(node.input(1), "weight", at.shape(node.input(1))[0])
    bias = at.weight(node.input(2), "bias") if node.input(2) else ""
    made = at.builder.matmul(at.part(label, "inputs"), x, weight, bias)
    width = at.builder.shape(made)[-1] // 3
    parts = [
        at.builder.slice(at.part(label, f"{part}_part"), made, {2: (i * width, (i + 1) * width, 1)})
        for i, part in enumerate("qkv")
    ]
    names = [_split(at, label, name, heads, part) for name, part in zip(parts, "qkv", strict=True)]
    _attend(
        at, node, label, names, node.input(5), node.flag("unidirectional"), node.attributes.get("scale"), True
    )


def _multi_head(at: Lowering, node: Node) -> None:
    """com.microsoft.MultiHeadAttention with query, key and value apart."""
    label, heads = at.label(node), node.integer("num_heads", 0)
    if not (node.input(1) and node.input(2)) or node.input(4) or any(map(node.input, (6, 7))):
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) packs its inputs, or has lengths or a past: export the "
            "network without onnxruntime's attention fusion"
        )
    if any(node.outputs[1:]):
        raise UnsupportedError(f"node {node.name!r} ({node.type}) gives its keys and values away")
    names = [at.activation(node, i) for i in range(3)]
    if node.input(3):
        names = _biased(at, node, label, names)
    names = [
        name if len(at.builder.shape(name)) == 4 else _split(at, label, name, heads, part)
        for name, part in zip(names, "qkv", strict=True)
    ]
    _attend(
        at, node, label, names, node.input(5), node.flag("unidirectional"), node.attributes.get("scale"), True
    )


def _biased(at: Lowering, node: Node, label: Label, names: list[str]) -> list[str]:
    """One constant holds the biases of query, key and value."""
    found = at.constant(node, 3, "bias")
    assert found is not None
    made, start = [], 0
    for name, part in zip(names, "qkv", strict=True):
        width = at.builder.shape(name)[-1]
        cut = slice(start, start + width)
        piece = worked_constant(
            f"{found.name}.{part}", (width,), (found,), lambda v, c=cut: v[c], floating=True
        )
        at.constants[piece.name] = replace(piece, fill=found.fill, steps=found.steps)
        bias = at.weight(piece.name, "bias")
        made.append(at.builder.combine(at.part(label, f"{part}_bias"), "add", [name, bias]))
        start += width
    return made


def _rotary(at: Lowering, node: Node) -> None:
    """Rotary embedding of opset 23, and of com.microsoft, at constant places."""
    x, own = at.activation(node), node.type.startswith("com.microsoft.")
    cosine, sine, places = (2, 3, 1) if own else (1, 2, 3)
    shape = at.builder.shape(x)
    if len(shape) != 4 or node.integer("rotary_embedding_dim", 0) not in (0, shape[-1]):
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) turns part of {format_shape(shape)}; hwsim turns the whole of "
            "[batch, heads, places, size]"
        )
    label, names = at.label(node), []
    index = at.constant(node, places, "places") if node.input(places) else None
    for place, what in ((cosine, "cosine"), (sine, "sine")):
        found = at.constant(node, place, what)
        if found is None:
            raise SpecError(f"lacks its {what}")
        wanted = (shape[-2], shape[-1] // 2)
        where = np.arange(shape[-2]) if index is None else index.array("places").reshape(-1)
        if index is not None and where.size == 1:
            where = where[0] + np.arange(shape[-2])

        def rows(values: Array, where: Array = where, wanted: tuple[int, ...] = wanted) -> Array:
            return values.reshape(-1, wanted[1])[where[: wanted[0]]]

        made = worked_constant(f"{label.name}.{what}", wanted, (found,), rows, floating=True)
        names.append(at.builder.weight(made.name, wanted, "shift", values=made.values, role="constant"))
    at.builder.rotary(label, x, names[0], names[1], interleaved=node.flag("interleaved"))


SEQUENCES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "LayerNormalization": _norm("layer_norm"),
    "RMSNormalization": _norm("rms_norm"),
    "SimplifiedLayerNormalization": _norm("rms_norm"),
    "com.microsoft.SkipLayerNormalization": _skip_norm("layer_norm"),
    "com.microsoft.SkipSimplifiedLayerNormalization": _skip_norm("rms_norm"),
    "Attention": _attention,
    "com.microsoft.Attention": _packed_attention,
    "com.microsoft.MultiHeadAttention": _multi_head,
    "RotaryEmbedding": _rotary,
    "com.microsoft.RotaryEmbedding": _rotary,
}
