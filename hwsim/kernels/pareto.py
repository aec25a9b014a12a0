"""Which of many points no other point dominates, in machine code. Every objective is minimised."""

from __future__ import annotations

import numpy as np

from hwsim.arrays import BoolArray, Float64Array, Int64Array
from hwsim.kernels.compile import compiled_in_place, inlined


@inlined
def _dominates(by: Float64Array, other: int, values: Float64Array, i: int) -> bool:
    """Whether row `other` of `by` is nowhere worse than row i of `values`, and somewhere better."""
    better = False
    for d in range(values.shape[1]):
        if by[other, d] > values[i, d]:
            return False
        if by[other, d] < values[i, d]:
            better = True
    return better


@compiled_in_place
def unmark_dominated(values: Float64Array, by: Float64Array, keep: BoolArray) -> None:
    """`keep` (n,) becomes false for points (n, m) that one of `by` (few, m) dominates."""
    for i in range(values.shape[0]):
        for other in range(by.shape[0]):
            if _dominates(by, other, values, i):
                keep[i] = False
                break


@compiled_in_place
def mark_three(values: Float64Array, ranks: Int64Array, least: Float64Array, keep: BoolArray) -> None:
    """Of points (n, 3) in lexicographic order, `keep` (n,) becomes whether none dominates them. `ranks` are
    those of the second objective, from 1; `least` (ranks + 1,), infinite at first, is a Fenwick tree over
    them of the least third objective so far (Kung et al., "On finding the maxima of a set of vectors", 1975).
    Equal points share their lot."""
    for i in range(values.shape[0]):
        same = i > 0
        for d in range(3):
            if same and values[i, d] != values[i - 1, d]:
                same = False
        if same:
            keep[i] = keep[i - 1]
            continue
        third, place, found = values[i, 2], ranks[i], np.inf
        while place > 0:
            found = min(found, least[place])
            place -= place & -place
        keep[i] = found > third
        place = ranks[i]
        while keep[i] and place < least.shape[0]:
            least[place] = min(least[place], third)
            place += place & -place


@compiled_in_place
def mark_any(values: Float64Array, archive: Int64Array, keep: BoolArray) -> None:
    """The same of points (n, m) in an order in which none comes before one that dominates it; `archive` (n,)
    is room for the places of those kept. Takes as many comparisons a point as are kept so far."""
    held = 0
    for i in range(values.shape[0]):
        keep[i] = True
        for at in range(held):
            other = archive[at]
            if _dominates(values, other, values, i):
                keep[i] = False
                # What dominates one point often dominates the next too.
                archive[at], archive[0] = archive[0], other
                break
        if keep[i]:
            archive[held] = i
            held += 1
