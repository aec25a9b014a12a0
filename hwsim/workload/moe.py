"""Mixture of experts: a router, feed-forward layers of which each place takes a few, their weighted sum.

Which experts a place takes hangs on what a network has learnt, so it is drawn from the seed and fixed when
the network is loaded; the router's own scores are computed all the same and weigh the results.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Int64Array
from hwsim.errors import CapacityError, SpecError
from hwsim.tensor.tensor import Array, format_shape
from hwsim.workload.attention_layer import FeedForward, add_feed_forward
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.draft import Weigh

MAX_SCORES = 2**24  # places times experts that are drawn
MAX_EXPERTS = 10_000


@dataclass(frozen=True, slots=True)
class Moe:
    """`experts` layers as `expert` describes, of which each place takes `top`. `skew` says how uneven the
    load is: see `draw_experts`."""

    experts: int
    top: int
    expert: FeedForward
    skew: float = 0.0


def draw_experts(places: int, experts: int, top: int, skew: float, *, name: str, seed: int) -> Int64Array:
    """[places, top]: the experts that each place takes, the highest score first. Scores are a standard normal
    number for each place and expert plus `skew` times one for each expert, all drawn from `seed`: without
    skew every expert is as likely, and loads differ by chance alone."""
    digest = hashlib.blake2b(f"experts\0{name}\0{seed}".encode(), digest_size=16).digest()
    draw = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
    scores = draw.standard_normal((places, experts)) + skew * draw.standard_normal(experts)
    found: Int64Array = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Indices that are known when the network is loaded."""

    array: NDArray[Any]

    def __call__(self) -> Array:
        return self.array.astype(np.int32)


def add_moe(builder: GraphBuilder, label: Label, x: str, layer: Moe, weigh: Weigh) -> str:
    """x [..., width] through the experts that each place takes, each times the router's softmax over those
    taken (Jiang et al., "Mixtral of experts", 2024, sec. 2.1), summed: x's shape. Experts that no place takes
    are not run; their weights are held in memory all the same. Raises SpecError for sizes that do not fit,
    CapacityError for more scores than hwsim draws."""
    return _Moe(builder, label, layer, weigh).add(x)


@dataclass(frozen=True, slots=True)
class _Moe:
    builder: GraphBuilder
    label: Label
    layer: Moe
    weigh: Weigh

    def add(self, x: str) -> str:
        builder, layer = self.builder, self.layer
        shape = builder.shape(x)
        if len(shape) < len(("places", "width")):
            raise self._fault(f"takes [places, width] or more and got {format_shape(shape)}")
        width = shape[-1]
        places = int(np.prod(shape[:-1]))
        self._check(places)
        rows = builder.view(self.label.part("places"), x, "reshape", (places, width))
        chosen = draw_experts(
            places, layer.experts, layer.top, layer.skew,
            name=f"{builder.name}\0{self.label.name}", seed=builder.seed,
        )  # fmt: skip
        weights = self._weights(rows, chosen)
        results = self._experts(rows, chosen)
        # Where the result of each place and choice stands among those of all experts, one after the other.
        order = np.argsort(chosen.reshape(-1), kind="stable")
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        own = self._gathered("own", results, back.reshape(chosen.shape))
        weighed = builder.combine(self.label.part("weighed"), "mul", (own, weights))
        total = builder.reduce(self.label.part("sum"), weighed, "sum", (1,), keepdims=False)
        return builder.view(self.label, total, "reshape", shape)

    def _fault(self, message: str) -> SpecError:
        return SpecError(f"layer {self.label.owner!r} (moe): {message}")

    def _check(self, places: int) -> None:
        layer = self.layer
        if not 1 <= layer.experts <= MAX_EXPERTS:
            raise self._fault(f"has {layer.experts} experts: there must be 1 to {MAX_EXPERTS:,}")
        if not 1 <= layer.top <= layer.experts:
            raise self._fault(
                f"takes the top {layer.top} of {layer.experts} experts: it must be 1 or more, and no more "
                "than there are"
            )
        if places * layer.experts > MAX_SCORES:
            raise CapacityError(
                f"layer {self.label.owner!r} (moe): {places:,} places and {layer.experts} experts are more "
                f"scores than hwsim draws ({MAX_SCORES:,}): use a smaller batch or a shorter sequence"
            )

    def _gathered(self, part: str, table: str, places: Int64Array) -> str:
        """Rows of `table` [rows, ...] at `places`."""
        below = self.builder.shape(table)[0]
        name = f"{self.label.name}.{part}.places"
        indices = self.builder.indices(name, places.shape, below, values=Places(places))
        return self.builder.gather(self.label.part(part), table, indices)

    def _weights(self, rows: str, chosen: Int64Array) -> str:
        """The router's softmax over the experts that each place takes: [places, top, 1]."""
        builder, experts = self.builder, self.layer.experts
        places, width = builder.shape(rows)
        router = self.weigh("router_weight", (experts, width), "weight", width)
        scores = builder.matmul(self.label.part("router"), rows, router, transpose_b=True)
        shares = builder.softmax(self.label.part("shares"), scores)
        flat = builder.view(self.label.part("shares.flat"), shares, "reshape", (places * experts, 1))
        taken = self._gathered("taken", flat, np.arange(places)[:, None] * experts + chosen)
        if self.layer.top == 1:
            return taken
        sums = builder.reduce(self.label.part("taken.sum"), taken, "sum", (1,))
        return builder.combine(self.label.part("weights"), "div", (taken, sums))

    def _experts(self, rows: str, chosen: Int64Array) -> str:
        """The results of all experts, one after the other: [places * top, width]."""
        made = []
        takers = [np.flatnonzero((chosen == expert).any(axis=1)) for expert in range(self.layer.experts)]
        width = self.builder.shape(rows)[1]
        for expert, places in enumerate(takers):
            weigh = self._weigh_of(expert)
            if not len(places):
                self._hold(weigh, width)
                continue
            x = self._gathered(f"{expert}.input", rows, places)
            made.append(
                add_feed_forward(self.builder, self.label.part(str(expert)), x, self.layer.expert, weigh)
            )
        return self.builder.concat(self.label.part("results"), made, 0)

    def _weigh_of(self, expert: int) -> Weigh:
        return lambda part, shape, kind, fan_in: self.weigh(f"{expert}.{part}", shape, kind, fan_in)

    def _hold(self, weigh: Weigh, width: int) -> None:
        """The weights of an expert that no place takes."""
        layer = self.layer.expert
        parts = [("up", layer.hidden, width), ("down", width, layer.hidden)]
        parts += [("gate", layer.hidden, width)] if layer.gated else []
        for part, features, size in parts:
            self.builder.hold(weigh(f"{part}_weight", (features, size), "weight", size))
            if layer.bias:
                self.builder.hold(weigh(f"{part}_bias", (features,), "bias", 1))
