"""Pruning: weights of small magnitude become zero, one by one or in the shapes that machines like.

Pruned tensors keep their shape, and their density is counted. Zeros alone save no storage: a codec does.
Magnitude pruning after Han et al., "Learning both Weights and Connections for Efficient Neural Networks",
NIPS 2015; whole channels by the sum of magnitudes after Li et al., "Pruning Filters for Efficient ConvNets",
ICLR 2017. Retraining is not part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np

from hwsim.arrays import BoolArray
from hwsim.compress.layers import (
    Patterns,
    WeightRef,
    density_of,
    from_matrix,
    held,
    in_axis,
    matrix_of,
    pick,
    read_weight,
    select,
    with_weights,
)
from hwsim.errors import SpecError
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.graph import Workload

MAX_GROUP = 256  # elements of an N:M group


def prune(
    workload: Workload,
    density: float | None = None,
    *,
    densities: Mapping[str, float] | None = None,
    layers: Patterns = None,
) -> Workload:
    """Keep the largest weights of each layer: round(density * weights) of them, at least one. Among equals
    the earlier ones stay.

    `densities` (layer or pattern -> density, a later entry wins) goes before `density`; layers that neither
    speaks of stay as they are. Raises SpecError for a density outside (0, 1] and for unknown layers.
    """
    refs = select(workload, layers)
    if density is None and not densities:
        raise SpecError("pruning needs `density`, or `densities` by layer")
    table = {} if densities is None else pick(workload, densities, refs)
    for share in (*(densities or {}).values(), *(() if density is None else (density,))):
        _check_density(share)
    chosen = {ref.tensor: table.get(ref.tensor, density) for ref in refs}
    picked = [(ref, share) for ref in refs if (share := chosen[ref.tensor]) is not None]

    def mask(values: Array, ref: WeightRef) -> BoolArray:
        return magnitude_mask(values, _kept(chosen[ref.tensor] or 1.0, values.size))

    shares = ", ".join(f"{ref.operator} {share:g}" for ref, share in picked)
    return _masked(
        workload, [ref for ref, _ in picked], mask, f"prune: smallest weights by layer to {shares}"
    )


def prune_global(workload: Workload, density: float, *, layers: Patterns = None) -> Workload:
    """Keep the largest weights of all chosen layers together: round(density * weights) of them, at least one.
    Among equals the earlier ones stay, in the network's order. Raises SpecError as `prune`."""
    _check_density(density)
    refs = select(workload, layers)
    sizes = [workload.tensors[ref.tensor].elements for ref in refs]
    together = np.concatenate([np.abs(read_weight(workload, ref)).reshape(-1) for ref in refs])
    split = np.split(magnitude_mask(together, _kept(density, together.size)), np.cumsum(sizes)[:-1])
    parts = {ref.tensor: mask for ref, mask in zip(refs, split, strict=True)}
    del together

    def masked(values: Array, ref: WeightRef) -> BoolArray:
        return parts[ref.tensor].reshape(values.shape)

    names = " ".join(ref.operator for ref in refs)
    return _masked(
        workload, refs, masked, f"prune: smallest weights of all layers together to {density:g} ({names})"
    )


def prune_channels(workload: Workload, density: float, *, layers: Patterns = None) -> Workload:
    """Keep the output channels (features) of each layer whose weights have the largest sum of magnitudes:
    round(density * channels), at least one. The others become zeros; shapes stay. Raises SpecError as
    `prune`."""
    _check_density(density)

    def mask(values: Array, ref: WeightRef) -> BoolArray:
        matrix = matrix_of(values, ref)
        scores = np.abs(matrix).sum(axis=1, dtype=np.float64)
        rows = magnitude_mask(scores, _kept(density, scores.size))
        return from_matrix(np.broadcast_to(rows[:, None], matrix.shape), values.shape, ref)

    refs = select(workload, layers)
    names = " ".join(ref.operator for ref in refs)
    return _masked(workload, refs, mask, f"prune: channels to {density:g} ({names})")


def prune_blocks(
    workload: Workload, density: float, rows: int, columns: int, *, layers: Patterns = None
) -> Workload:
    """Keep the blocks of `rows` outputs by `columns` inputs that have the largest mean magnitude, of each
    layer as a matrix [outputs, inputs]: round(density * blocks), at least one. Blocks at the edges may be
    smaller. Raises SpecError for a block larger than a layer's matrix, and as `prune`."""
    _check_density(density)
    _check_count("rows", rows)
    _check_count("columns", columns)

    def mask(values: Array, ref: WeightRef) -> BoolArray:
        matrix = matrix_of(values, ref)
        if rows > matrix.shape[0] or columns > matrix.shape[1]:
            raise SpecError(
                f"layer {ref.operator}: blocks of {rows} x {columns} are larger than its weights, which are "
                f"{matrix.shape[0]} outputs x {matrix.shape[1]} inputs"
            )
        starts = (np.arange(0, matrix.shape[0], rows), np.arange(0, matrix.shape[1], columns))
        sums = np.add.reduceat(np.abs(matrix), starts[1], axis=1, dtype=np.float64)
        sums = np.add.reduceat(sums, starts[0], axis=0)
        heights, widths = (
            np.diff(np.append(start, size)) for start, size in zip(starts, matrix.shape, strict=True)
        )
        kept = magnitude_mask(sums / np.outer(heights, widths), _kept(density, sums.size))
        whole = np.repeat(np.repeat(kept, heights, axis=0), widths, axis=1)
        return from_matrix(whole, values.shape, ref)

    refs = select(workload, layers)
    names = " ".join(ref.operator for ref in refs)
    return _masked(workload, refs, mask, f"prune: {rows} x {columns} blocks to {density:g} ({names})")


def prune_n_of_m(workload: Workload, n: int, m: int, *, layers: Patterns = None) -> Workload:
    """Keep the `n` largest of every `m` neighbouring inputs (channels, in a convolution at the same place of
    its window) of an output: 2 of 4 as in sparse tensor cores. A last group that is not full keeps up to `n`.
    Raises SpecError for n above m, and for unknown layers."""
    _check_count("n", n)
    _check_count("m", m)
    if n > m:
        raise SpecError(f"{n}:{m} would keep {n} of every {m} weights: n must be at most m")
    if m > MAX_GROUP:
        raise SpecError(f"groups of {m} are more than the {MAX_GROUP} that hwsim takes")

    def mask(values: Array, ref: WeightRef) -> BoolArray:
        rows = np.moveaxis(values, in_axis(ref, values.ndim), -1)
        width = -(-rows.shape[-1] // m) * m
        sizes = np.full((*rows.shape[:-1], width), -1.0, dtype=values.dtype)  # what is not there goes last
        sizes[..., : rows.shape[-1]] = np.abs(rows)
        groups = sizes.reshape(-1, m)
        order = np.argsort(-groups, axis=1, kind="stable")[:, :n]
        kept = np.zeros(groups.shape, dtype=np.bool_)
        np.put_along_axis(kept, order, True, axis=1)
        kept = kept.reshape(sizes.shape)[..., : rows.shape[-1]]
        return np.moveaxis(kept, -1, in_axis(ref, values.ndim))

    refs = select(workload, layers)
    names = " ".join(ref.operator for ref in refs)
    return _masked(workload, refs, mask, f"prune: {n}:{m} ({names})")


def magnitude_mask(values: Array, kept: int) -> BoolArray:
    """True at the `kept` elements of largest magnitude; among equals at the earlier ones."""
    if kept >= values.size:
        return np.ones(values.shape, dtype=np.bool_)
    sizes = np.abs(values.reshape(-1))
    sizes.partition(values.size - kept)
    cut = sizes[values.size - kept]
    del sizes
    mask: BoolArray = (values > cut) | (values < -cut)
    short = kept - int(np.count_nonzero(mask))
    equal = np.flatnonzero((values == cut) | (values == -cut))[:short]
    mask.reshape(-1)[equal] = True
    return mask


def _masked(
    workload: Workload, refs: Iterable[WeightRef], mask: Callable[[Array, WeightRef], BoolArray], step: str
) -> Workload:
    found: dict[str, Tensor] = {}
    for ref in refs:
        values = read_weight(workload, ref)
        kept = values * mask(values, ref)
        kept += 0.0  # no negative zeros
        tensor = workload.tensors[ref.tensor]
        found[ref.tensor] = replace(tensor, density=density_of(kept), storage=None, values=held(kept))
    return with_weights(workload, found, step)


def _kept(density: float, elements: int) -> int:
    return max(1, round(density * elements))


def _check_density(density: object) -> None:
    if isinstance(density, bool) or not isinstance(density, int | float) or not 0 < density <= 1:
        raise SpecError(f"density {density!r}: it is the share of weights that stay, above 0 and at most 1")


def _check_count(name: str, count: object) -> None:
    if type(count) is not int or count < 1:
        raise SpecError(f"{name} is {count!r}: it must be a whole number of at least 1")
