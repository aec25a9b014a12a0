"""Weight sharing: the weights of a layer take few values, found by k-means in one dimension.

Han, Mao, Dally, "Deep Compression", ICLR 2016, sections 3 and 3.2: a codebook a layer, and the three ways to
start. Everything works on sorted weights with running sums, where an iteration costs k searches and not a
pass over all weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.compress.layers import (
    Patterns,
    WeightRef,
    density_of,
    held,
    pick,
    read_weight,
    select,
    with_weights,
)
from hwsim.errors import SpecError
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.graph import Workload

Start = Literal["linear", "density", "random"]
STARTS: tuple[str, ...] = get_args(Start)
MAX_BITS = 8
MAX_ITERATIONS = 1000  # Lloyd's iterations end far sooner, when no weight changes its cluster


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """`centres`, ascending; `inertia` is the sum of squared distances to them."""

    centres: Float64Array
    inertia: float


def share(
    workload: Workload,
    bits: int | None = None,
    *,
    bits_by_layer: Mapping[str, int] | None = None,
    start: Start = "linear",
    seed: int = 0,
    layers: Patterns = None,
) -> Workload:
    """Give each layer a codebook of 2**bits values and move each weight to the nearest.

    Zeros of a pruned layer stay zeros, and take one of the entries: codecs need it for padding. `start` says
    where the centres begin: evenly from the least to the largest weight, evenly in the sorted weights, or at
    weights drawn with `seed`. `bits_by_layer` (layer or pattern -> bits) goes before `bits`; layers that
    neither speaks of stay as they are. Raises SpecError for bits outside 1 to 8, for codebooks of more
    entries than the layer has weights, and for unknown layers.
    """
    refs = select(workload, layers)
    if bits is None and not bits_by_layer:
        raise SpecError("sharing needs `bits`, or `bits_by_layer`")
    if start not in STARTS:
        raise SpecError(f"unknown start {start!r}: hwsim knows {', '.join(STARTS)}")
    table = {} if bits_by_layer is None else pick(workload, bits_by_layer, refs)
    for width in (*(bits_by_layer or {}).values(), *(() if bits is None else (bits,))):
        _check_bits(width)
    chosen = [(ref, width) for ref in refs if (width := table.get(ref.tensor, bits)) is not None]
    found = {ref.tensor: _shared(workload, ref, width, start, seed) for ref, width in chosen}
    widths = ", ".join(f"{ref.operator} {width}" for ref, width in chosen)
    drawn = f" of seed {seed}" if start == "random" else ""
    return with_weights(workload, found, f"share: codebooks from a {start} start{drawn}, bits of {widths}")


def k_means(ordered: Array, count: int, start: Start = "linear", seed: int = 0) -> Clusters:
    """At most `count` centres of sorted numbers: Lloyd's iterations from `start` until no number changes its
    cluster. A centre without numbers, such as a linear start puts where pruning left none, goes to where the
    squared distances are largest and splits that cluster; with fewer different numbers than `count` there
    are fewer centres."""
    sums = _Running(ordered)
    centres = _first(ordered, count, start, seed)
    ends: Int64Array | None = None
    for _ in range(MAX_ITERATIONS):
        now = _ends(ordered, centres)
        if ends is not None and np.array_equal(now, ends):
            break
        ends = now
        filled = np.diff(now, prepend=0) > 0
        centres = sums.means(now[filled])
        if centres.size < count:
            centres = sums.split(centres, now[filled], count - centres.size)
    return Clusters(centres, _inertia(ordered, centres, _ends(ordered, centres)))


class _Running:
    """Running sums of sorted numbers and of their squares, of which every cluster's are two differences."""

    def __init__(self, ordered: Array) -> None:
        self.ordered = ordered
        self.total = np.concatenate(([0.0], np.cumsum(ordered, dtype=np.float64)))
        self.squares = np.concatenate(([0.0], np.cumsum(np.square(ordered, dtype=np.float64))))

    def means(self, ends: Int64Array) -> Float64Array:
        """The mean of each cluster, none of them empty."""
        found: Float64Array = np.diff(self.total[ends], prepend=0.0) / np.diff(ends, prepend=0)
        return found

    def split(self, means: Float64Array, ends: Int64Array, more: int) -> Float64Array:
        """Centres with up to `more` of the clusters of largest squared distances in two parts, below and
        above their mean."""
        firsts = np.concatenate(([0], ends[:-1]))
        apart = np.diff(self.squares[ends], prepend=0.0) - np.diff(ends, prepend=0) * np.square(means)
        apart[self.ordered[firsts] == self.ordered[ends - 1]] = -np.inf  # all its numbers are one
        worst = np.argsort(-apart, kind="stable")[:more]
        worst = worst[apart[worst] > -np.inf]
        middle = np.searchsorted(self.ordered, means[worst].astype(self.ordered.dtype), side="right")
        middle = np.clip(middle, firsts[worst] + 1, ends[worst] - 1)
        low = (self.total[middle] - self.total[firsts[worst]]) / (middle - firsts[worst])
        high = (self.total[ends[worst]] - self.total[middle]) / (ends[worst] - middle)
        return np.sort(np.concatenate([np.delete(means, worst), low, high]))


def nearest(centres: Array, values: Array) -> Array:
    """The nearest of ascending `centres` to each value, in the values' type."""
    table = centres.astype(values.dtype)
    found: Array = table[np.searchsorted(_middles(centres).astype(values.dtype), values)]
    return found


def _shared(workload: Workload, ref: WeightRef, bits: int, start: Start, seed: int) -> Tensor:
    tensor = workload.tensors[ref.tensor]
    values = read_weight(workload, ref)
    pruned = tensor.density < 1.0
    live = values[values != 0] if pruned else values.reshape(-1)
    entries = 2**bits - pruned
    if entries > live.size:
        kind, beside = ("nonzero weights", " beside zero") if pruned else ("weights", "")
        raise SpecError(
            f"layer {ref.operator}: a codebook of {bits} bits has {entries} entries{beside}, more than the "
            f"{live.size:,} {kind} that would share them: take fewer bits"
        )
    clusters = k_means(np.sort(live), entries, start, _seed_of(workload, ref, seed))
    centres = np.unique(clusters.centres.astype(values.dtype))
    moved = nearest(centres, live)
    if pruned:
        whole = np.zeros_like(values)
        whole[values != 0] = moved
        moved = whole
    codebook = tuple(float(value) for value in centres)
    return replace(
        tensor, codebook=codebook, storage=None, quantisation=None, values=held(moved.reshape(tensor.shape)),
        density=density_of(moved),
    )  # fmt: skip


def _seed_of(workload: Workload, ref: WeightRef, seed: int) -> int:
    digest = hashlib.blake2b(f"{workload.name}\0{ref.tensor}\0{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _first(ordered: Array, count: int, start: Start, seed: int) -> Float64Array:
    if start == "linear":
        return np.linspace(float(ordered[0]), float(ordered[-1]), count)
    if start == "density":
        shares = (np.arange(count) + 0.5) / count
        found: Float64Array = ordered[(shares * ordered.size).astype(np.int64)].astype(np.float64)
        return found
    draw = np.random.Generator(np.random.PCG64(seed))
    places = draw.choice(ordered.size, count, replace=False, shuffle=False)
    return np.sort(ordered[places].astype(np.float64))


def _middles(centres: Array) -> Array:
    """Where one centre's numbers end and the next one's begin; a number in the middle goes to the lower."""
    found: Array = (centres[1:].astype(np.float64) + centres[:-1]) / 2
    return found


def _ends(ordered: Array, centres: Float64Array) -> Int64Array:
    """How many numbers lie in each cluster and those below it. In the numbers' own type, because a search in
    another would copy them all."""
    inner = np.searchsorted(ordered, _middles(centres).astype(ordered.dtype), side="right")
    return np.append(inner, ordered.size).astype(np.int64)


def _inertia(ordered: Array, centres: Float64Array, ends: Int64Array) -> float:
    """By direct differences: sums of squares less squares of sums would leave no digits of a small one."""
    first, total = 0, 0.0
    for centre, end in zip(centres, ends, strict=True):
        apart = ordered[first:end].astype(np.float64) - centre
        total += float(apart @ apart)
        first = int(end)
    return total


def _check_bits(bits: object) -> None:
    if type(bits) is not int or not 1 <= bits <= MAX_BITS:
        raise SpecError(f"bits {bits!r}: a codebook has 2**bits entries, with bits from 1 to {MAX_BITS}")
