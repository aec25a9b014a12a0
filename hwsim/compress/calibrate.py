"""Calibration: the network runs on sample inputs, and each tensor's range is found from what it held.

Two passes over the samples, so that the activations of few are held at a time: the first finds the
ends, the second, where a method needs it, counts how often each part of the range occurs.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.errors import SpecError
from hwsim.functional import activations, execute
from hwsim.functional.flow import given_or_drawn
from hwsim.functional.images import for_inputs
from hwsim.functional.reference import product
from hwsim.tensor.tensor import Array, Shape, format_shape
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Conv2d, Matmul

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[str, ...] = get_args(Method)
Samples = Mapping[str, Array]
HELD_ELEMENTS = 2**26  # activations held at once: half a gibibyte of float64

_FINE = 2**16  # bins of a percentile's histogram: it is found to a 65,536th of the range
# Migacz, "8-bit Inference with TensorRT", GTC 2017, takes 2048 bins and tries every end from 128 on; every
# eighth end is as good to 0.4 % of the range.
_BINS, _STRIDE = 2048, 8


@dataclass(frozen=True, slots=True)
class Ranges:
    """How a range is found. "minmax" keeps everything; "percentile" leaves out the share of numbers beyond
    `percentile` of 100 on each side; "entropy" clips where the Kullback-Leibler divergence between the
    numbers and what is left of them on `levels` steps is least."""

    method: Method = "minmax"
    percentile: float = 99.9

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SpecError(f"unknown way to find ranges {self.method!r}: hwsim knows {', '.join(METHODS)}")
        if not 50.0 < self.percentile <= 100.0:
            raise SpecError(f"percentile is {self.percentile}: it must lie above 50 and be at most 100")

    @property
    def words(self) -> str:
        """For the history."""
        return {
            "minmax": "min-max",
            "percentile": f"{self.percentile}th percentile",
            "entropy": "least divergence",
        }[self.method]


def find_range(values: Array, ranges: Ranges, levels: int) -> tuple[float, float]:
    """The least and the largest number to keep of `values`; `levels` are the steps on each side of zero.
    Raises SpecError for values that are not finite."""
    seen = _Seen()
    seen.widen(values)
    if ranges.method != "minmax":
        seen.open(ranges)
        seen.count(values)
    return seen.range(ranges, levels)


def calibrate(
    workload: Workload, samples: Samples | None, ranges: Ranges, levels: int
) -> dict[str, tuple[float, float]]:
    """The range of every input and activation of `workload` over `samples`: input name -> one batch, or
    several joined along the first axis. Without samples one batch is drawn from the workload's seed (standard
    normal). Raises SpecError for samples that do not fit."""
    seen: dict[str, _Seen] = {}
    for batch in _batches(workload, samples):
        for name, reals in activations(workload, batch).items():
            seen.setdefault(name, _Seen()).widen(reals)
    if ranges.method != "minmax":
        for each in seen.values():
            each.open(ranges)
        for batch in _batches(workload, samples):
            for name, reals in activations(workload, batch).items():
                seen[name].count(reals)
    return {name: each.range(ranges, levels) for name, each in seen.items()}


def largest_sums(workload: Workload, samples: Samples | None, operators: Container[str]) -> dict[str, float]:
    """The largest size of a sum of products in each conv2d or matmul of `operators`, over `samples`."""
    found: dict[str, float] = {}
    for batch in _batches(workload, samples):
        reals = activations(workload, batch)
        for op in for_inputs(workload, batch).operators:
            if op.name not in operators or not isinstance(op.problem, Conv2d | Matmul):
                continue
            a, b = (reals[n] if n in reals else workload.values(n) for n in op.inputs[:2])
            sums = product(op.problem, op.attributes, a, b)
            found[op.name] = max(found.get(op.name, 0.0), float(np.abs(sums).max(initial=0.0)))
    return found


def executed(workload: Workload, samples: Samples | None, name: str) -> Float64Array:
    """Tensor `name` over all samples, as the network computes it in its own number formats up to there."""
    place = next(i for i, op in enumerate(workload.operators) if op.output == name)
    so_far = replace(workload, operators=workload.operators[: place + 1], outputs=(name,))
    return np.concatenate([execute(so_far, batch)[name] for batch in _batches(workload, samples)])


def in_batches(workload: Workload, samples: Samples) -> Iterator[dict[str, Array]]:
    """`samples` in parts that fit in memory together with all activations. A network loaded for one image
    takes many at once; one loaded for a batch takes batches of its own size."""
    shapes = {name: workload.tensors[name].shape for name in workload.inputs}
    count = _count(workload, samples, shapes)
    held = sum(workload.tensors[op.output].elements for op in workload.operators)
    own = next(iter(shapes.values()))[0]
    step = 1 if own > 1 else max(1, HELD_ELEMENTS // max(held, 1))
    for first in range(0, count, step):
        yield {
            name: samples[name][first * shape[0] : (first + step) * shape[0]]
            for name, shape in shapes.items()
        }


def _count(workload: Workload, samples: Samples, shapes: Mapping[str, Shape]) -> int:
    """How many of its batches the samples hold. Raises SpecError where they do not fit."""
    if set(samples) != set(shapes):
        raise SpecError(
            f"samples are given for {', '.join(sorted(samples)) or 'no input'}: {workload.name} takes "
            f"{', '.join(shapes)}"
        )
    counts: set[int] = set()
    for name, shape in shapes.items():
        given = samples[name].shape
        if len(given) != len(shape) or given[1:] != shape[1:] or not given[0] or given[0] % shape[0]:
            raise SpecError(
                f"samples for {name!r} have shape {format_shape(given)}: {workload.name} takes "
                f"{format_shape(shape)}, or several such batches joined along the first axis"
            )
        counts.add(given[0] // shape[0])
    if len(counts) > 1:
        raise SpecError(f"samples for the inputs of {workload.name} are not equally many")
    return counts.pop()


def _batches(workload: Workload, samples: Samples | None) -> Iterator[dict[str, Array]]:
    if samples is not None:
        yield from in_batches(workload, samples)
    else:
        yield {name: given_or_drawn(workload, name, {}) for name in workload.inputs}


class _Seen:
    """What has been seen of one tensor: its ends, then how often each part of its range occurs."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.edges: tuple[float, float] = (0.0, 0.0)
        self.counts = np.zeros(0, dtype=np.int64)
        self.sizes_only = False

    def widen(self, reals: Array) -> None:
        if not np.isfinite(reals).all():
            raise SpecError("cannot find the range of numbers that hold NaN or infinity")
        self.low = min(self.low, float(reals.min(initial=math.inf)))
        self.high = max(self.high, float(reals.max(initial=-math.inf)))

    def open(self, ranges: Ranges) -> None:
        """Make ready to count: sizes for entropy, signed numbers for percentiles."""
        self.sizes_only = ranges.method == "entropy"
        self.edges = (0.0, self.largest) if self.sizes_only else (self.low, self.high)
        self.counts = np.zeros(_BINS if self.sizes_only else _FINE, dtype=np.int64)

    @property
    def largest(self) -> float:
        return max(abs(self.low), abs(self.high))

    def count(self, reals: Array) -> None:
        if self.edges[0] == self.edges[1]:
            return
        flat = np.abs(reals).reshape(-1) if self.sizes_only else reals.reshape(-1)
        if self.sizes_only:
            flat = flat[flat > 0]  # zero lies on every grid, so it tells none from another
        self.counts += np.histogram(flat, len(self.counts), self.edges)[0]

    def range(self, ranges: Ranges, levels: int) -> tuple[float, float]:
        if self.low > self.high:
            return 0.0, 0.0
        if ranges.method == "minmax" or not self.counts.any():
            return self.low, self.high
        if ranges.method == "entropy":
            end = least_divergence(self.counts, levels) * self.largest / _BINS
            return max(self.low, -end), min(self.high, end)
        return self._percentiles(ranges.percentile / 100.0)

    def _percentiles(self, share: float) -> tuple[float, float]:
        first, last = self.edges
        width = (last - first) / _FINE
        below = np.cumsum(self.counts)
        low = int(np.searchsorted(below, (1.0 - share) * below[-1], side="right"))
        high = int(np.searchsorted(below, share * below[-1], side="left"))
        return first + low * width, min(first + (high + 1) * width, last)


def least_divergence(counts: Array, levels: int) -> float:
    """After how many bins of a histogram of sizes to clip, so that the Kullback-Leibler divergence of what
    `levels` equal steps keep is least (the procedure of Migacz, "8-bit Inference with TensorRT", GTC 2017).

    For each end: the reference has everything beyond the end in its last bin; the candidate has the bins up
    to the end merged into `levels` steps, and each step's sum spread evenly over its occupied bins.
    """
    bins = len(counts)
    if levels >= bins:
        return float(bins)
    best, found = math.inf, bins
    ends = [*range(levels, bins, _STRIDE), bins]
    total = float(counts.sum())
    for end in ends:
        inside = counts[:end].astype(np.float64)
        reference = inside.copy()
        reference[-1] += total - inside.sum()
        starts = np.arange(levels) * end // levels
        occupied = (inside > 0).astype(np.float64)
        sums, places = np.add.reduceat(inside, starts), np.add.reduceat(occupied, starts)
        spread = np.divide(sums, places, out=np.zeros(levels), where=places > 0)
        candidate = np.repeat(spread, np.diff([*starts, end])) * occupied
        if not candidate.any():
            continue
        p = reference / total
        q = candidate / candidate.sum()
        there = p > 0
        # A bin that the candidate leaves empty would be infinitely far; half a count stands for it.
        distance = float(np.sum(p[there] * np.log(p[there] / np.maximum(q[there], 0.5 / total))))
        if distance < best:
            best, found = distance, end
    return float(found) if found == bins else found + 0.5
