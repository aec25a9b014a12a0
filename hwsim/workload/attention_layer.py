"""Layers of sequence networks that are several operators: attention with its projections, feed-forward
layers, positions."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Shape, format_shape
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.draft import Weigh
from hwsim.workload.positions import Counted, Rotation, Sinusoids

PROJECTIONS = ("query", "key", "value", "output")


@dataclass(frozen=True, slots=True)
class AttentionLayer:
    """`heads` heads of queries and `kv_heads` of keys and values (as many unless given), each of `head_size`
    numbers (the width over the heads unless given). `cached` places stand in memory already, 0 for a first
    run; None keeps nothing. `rotary_base` turns queries and keys. `biased` names projections with a bias. The
    rest is that of `operators.Attention`."""

    heads: int
    kv_heads: int | None = None
    head_size: int | None = None
    causal: bool = False
    window: int = 0
    rotary_base: float | None = None
    biased: tuple[str, ...] = PROJECTIONS
    scale: float | None = None
    cached: int | None = None


def add_attention(
    builder: GraphBuilder, label: Label, x: str, memory: str, layer: AttentionLayer, weigh: Weigh
) -> str:
    """x [batch, places, width] looks at `memory` [batch, places, width], or at itself where that is empty:
    [batch, places, width of x]. With a cache, keys and values of the places here are written into tensors of
    role "cache", [batch, heads, cached + places, size], behind what is there. Raises SpecError for sizes that
    do not fit."""
    return _Attention(builder, label, layer, weigh).add(x, memory)


@dataclass(frozen=True, slots=True)
class _Attention:
    builder: GraphBuilder
    label: Label
    layer: AttentionLayer
    weigh: Weigh

    def add(self, x: str, memory: str) -> str:
        layer, builder = self.layer, self.builder
        batch, places, width = _sequence(builder, self.label, "attention", x)
        heads, kv_heads, size = self._heads(width)
        source = memory or x
        if memory and _sequence(builder, self.label, "attention", memory)[0] != batch:
            raise self._fault(
                f"looks from {format_shape(builder.shape(x))} at {format_shape(builder.shape(memory))}: the "
                "batch must be the same"
            )
        q = self._heads_of("query", x, heads, size)
        k = self._heads_of("key", source, kv_heads, size)
        v = self._heads_of("value", source, kv_heads, size)
        if layer.rotary_base is not None:
            q, k = self._turned("query", q, places, size), self._turned("key", k, places, size)
        if layer.cached is not None:
            k, v = self._cached("key", k), self._cached("value", v)
        found = builder.attention(
            self.label.part("scores"), q, k, v, scale=layer.scale, causal=layer.causal, window=layer.window
        )
        joined = builder.transpose(self.label.part("joined"), found, (0, 2, 1, 3))
        flat = builder.view(self.label.part("heads"), joined, "reshape", (batch, places, heads * size))
        return _linear(builder, self.label, flat, width, self.weigh, "output", "output" in layer.biased)

    def _fault(self, message: str) -> SpecError:
        return SpecError(f"layer {self.label.owner!r} (attention): {message}")

    def _heads(self, width: int) -> tuple[int, int, int]:
        """Heads of queries, heads of keys, size of a head."""
        layer = self.layer
        kv_heads = layer.heads if layer.kv_heads is None else layer.kv_heads
        if layer.heads < 1 or kv_heads < 1:
            raise self._fault(f"has {layer.heads} heads, and {kv_heads} of keys: there is at least 1")
        if layer.heads % kv_heads:
            raise self._fault(f"{kv_heads} heads of keys and values do not divide {layer.heads} of queries")
        if layer.head_size is None and width % layer.heads:
            raise self._fault(
                f"{layer.heads} heads do not divide the width of {width}: choose a divisor, or give "
                "`head_size`"
            )
        size = width // layer.heads if layer.head_size is None else layer.head_size
        if size < 1:
            raise self._fault(f"has a head_size of {size}: it must be at least 1")
        if layer.cached is not None and layer.cached < 0:
            raise self._fault(f"has a cache of {layer.cached} places: it must be at least 0")
        if layer.rotary_base is not None and size % 2:
            raise self._fault(f"turns heads of {size} numbers, which must be an even number for `rotary`")
        return layer.heads, kv_heads, size

    def _heads_of(self, projection: str, x: str, heads: int, size: int) -> str:
        """A projection of x, [batch, heads, places, size]."""
        biased = projection in self.layer.biased
        batch, places, _ = self.builder.shape(x)
        made = _linear(
            self.builder, self.label.part(projection), x, heads * size, self.weigh, projection, biased
        )
        apart = self.label.part(f"{projection}.heads")
        made = self.builder.view(apart, made, "reshape", (batch, places, heads, size))
        return self.builder.transpose(self.label.part(f"{projection}.first"), made, (0, 2, 1, 3))

    def _turned(self, projection: str, x: str, places: int, size: int) -> str:
        start, base = self.layer.cached or 0, self.layer.rotary_base
        assert base is not None
        # The same for all layers of a network, so they share it.
        name = f"rotary_{base:g}_{size}_{start}_{places}"
        shape = (places, size // 2)
        cosine = self.builder.weight(
            f"{name}.cosine", shape, values=Rotation("cosine", start, places, size, base), role="constant"
        )
        sine = self.builder.weight(
            f"{name}.sine", shape, values=Rotation("sine", start, places, size, base), role="constant"
        )
        return self.builder.rotary(self.label.part(f"{projection}.turned"), x, cosine, sine)

    def _cached(self, projection: str, new: str) -> str:
        start = self.layer.cached or 0
        batch, heads, places, size = self.builder.shape(new)
        name = f"{self.label.name}.{projection}_cache"
        whole = self.builder.cache(name, (batch, heads, start + places, size))
        label = self.label.part(f"{projection}.kept")
        return self.builder.append(label, whole, new, axis=2, start=start)


@dataclass(frozen=True, slots=True)
class FeedForward:
    """`hidden` features between two linear layers, behind the first `function`; when `gated`, what that gives
    is multiplied by a third layer's result."""

    hidden: int
    function: str = "relu"
    gated: bool = False
    bias: bool = True


def add_feed_forward(builder: GraphBuilder, label: Label, x: str, layer: FeedForward, weigh: Weigh) -> str:
    """x [..., width] through two linear layers: function(x up) down, or function(x gate) * (x up) down
    (Shazeer, "GLU variants improve transformer", 2020, eq. 5). Raises SpecError for sizes below one."""
    if layer.hidden < 1:
        raise SpecError(f"layer {label.owner!r}: hidden is {layer.hidden}: it must be at least 1")
    width = builder.shape(x)[-1]
    up = _linear(builder, label.part("up"), x, layer.hidden, weigh, "up", layer.bias)
    if layer.gated:
        gate = _linear(builder, label.part("gate"), x, layer.hidden, weigh, "gate", layer.bias)
        gate = builder.unary(label.part(layer.function), gate, layer.function)
        up = builder.combine(label.part("gated"), "mul", (gate, up))
    else:
        up = builder.unary(label.part(layer.function), up, layer.function)
    return _linear(builder, label, up, width, weigh, "down", layer.bias)


@dataclass(frozen=True, slots=True)
class Positions:
    """What is added to places from `start` on: rows of a trained table of `rows` rows, or sinusoids."""

    learned: bool
    rows: int | None = None
    start: int = 0


def add_positions(builder: GraphBuilder, label: Label, x: str, layer: Positions, weigh: Weigh) -> str:
    """x [batch, places, width] plus a row for each place. Raises SpecError where the table ends before the
    sequence does."""
    name = label.name
    _, places, width = _sequence(builder, label, "positional", x)
    rows = layer.start + places if layer.rows is None else layer.rows
    if layer.start < 0 or layer.start + places > rows:
        raise SpecError(
            f"layer {label.owner!r} (positional): places {layer.start} to {layer.start + places - 1} are not "
            f"in a table of {rows} places: enlarge it, or shorten the sequence"
        )
    if layer.learned:
        table = weigh("weight", (rows, width), "weight", width)
        numbers = Counted((places,), layer.start)
        indices = builder.indices(f"{name}.places", (places,), rows, values=numbers)
        added = builder.gather(label.part("rows"), table, indices)
    else:
        sinusoids = Sinusoids(layer.start, places, width)
        added = builder.weight(f"{name}.sinusoids", (places, width), values=sinusoids, role="constant")
    return builder.combine(label, "add", (x, added))


def add_class_token(builder: GraphBuilder, label: Label, x: str, weigh: Weigh) -> str:
    """x [batch, places, width] behind a trained row: [batch, 1 + places, width]."""
    batch, _, width = _sequence(builder, label, "class_token", x)
    token = weigh("weight", (1, width), "weight", width)
    rows = builder.indices(f"{label.name}.row", (batch, 1), 1, values=Counted((batch, 1), step=0))
    first = builder.gather(label.part("token"), token, rows)
    return builder.concat(label, (first, x), 1)


def _sequence(builder: GraphBuilder, label: Label, kind: str, x: str) -> Shape:
    shape = builder.shape(x)
    if len(shape) != len(("batch", "places", "width")):
        raise SpecError(
            f"layer {label.owner!r} ({kind}): takes [batch, places, width] and got "
            f"{format_shape(shape)}: add a `{{kind: reshape}}` layer before it"
        )
    return shape


def _linear(
    builder: GraphBuilder, label: Label, x: str, features: int, weigh: Weigh, part: str, biased: bool
) -> str:
    width = builder.shape(x)[-1]
    weight = weigh(f"{part}_weight", (features, width), "weight", width)
    bias = weigh(f"{part}_bias", (features,), "bias", 1) if biased else ""
    return builder.matmul(label, x, weight, bias, transpose_b=True)
