"""Where methods find points: every one in order, every one in a drawn order, or spread evenly over the grid.
Rows are canonical, and pass the constraints over axes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwsim.arrays import BoolArray, Int64Array, Uint64Array
from hwsim.errors import SpecError
from hwsim.explore.space import Space

COUNTED = 2**20  # grids up to this many points are counted
_CHUNK = 2**14
_MOST_IN_VAIN = 2**22
_ROUNDS = 6


def is_point(space: Space, rows: Int64Array) -> BoolArray:
    """(n,) which rows write a point the canonical way and pass the constraints over axes."""
    found: BoolArray = (space.canonical(rows) == rows).all(axis=1) & space.allowed(rows)
    return found


def count_points(space: Space) -> int | None:
    """How many points there are; None where the grid is too large to count them."""
    if space.total > COUNTED:
        return None
    return sum(
        int(is_point(space, space.grid(first, min(first + _CHUNK, space.total))).sum())
        for first in range(0, space.total, _CHUNK)
    )


def in_order(space: Space) -> Iterator[Int64Array]:
    """Every point, chunk by chunk, in the order of the grid."""
    for first in range(0, space.total, _CHUNK):
        rows = space.grid(first, min(first + _CHUNK, space.total))
        yield rows[is_point(space, rows)]


def shuffled(space: Space, seed: int) -> Iterator[Int64Array]:
    """Every point, chunk by chunk, in an order that the seed draws, each equally likely at each place.

    Takes no room: places go through a permutation that is calculated, a Feistel network that walks on while
    it is outside the grid (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). Raises
    SpecError where constraints leave none of very many."""
    half = max(1, (int(space.total - 1).bit_length() + 1) // 2)
    keys = np.random.default_rng(seed).integers(2**64, size=_ROUNDS, dtype=np.uint64)
    in_vain = 0
    for first in range(0, space.total, _CHUNK):
        places = np.arange(first, min(first + _CHUNK, space.total), dtype=np.uint64)
        places = _permuted(places, half, keys)
        while (outside := places >= space.total).any():
            places[outside] = _permuted(places[outside], half, keys)
        rows = np.stack(np.unravel_index(places.astype(np.int64), space.sizes), axis=1).astype(np.int64)
        rows = rows[is_point(space, rows)]
        in_vain = 0 if len(rows) else in_vain + _CHUNK
        if in_vain >= _MOST_IN_VAIN:
            raise SpecError(
                f"space {space.name}: {in_vain:,} draws in a row were excluded by {_quoted(space)}; "
                "loosen constraints, or take values from the axes that never pass"
            )
        yield rows


def _permuted(places: Uint64Array, half: int, keys: Uint64Array) -> Uint64Array:
    """A permutation of 0 to 4 ** half - 1."""
    low, shift = np.uint64(2**half - 1), np.uint64(half)
    left, right = places >> shift, places & low
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & low)
    return (left << shift) | right


def _mixed(values: Uint64Array) -> Uint64Array:
    """Bits well mixed: the finaliser of SplitMix64 (Steele et al., 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def spread(space: Space, kind: str, points: int, seed: int) -> Iterator[Int64Array]:
    """Rows spread evenly over the values of each axis, as a Latin hypercube ("lhs") or a Sobol sequence
    ("sobol") of the unit cube cut at equal parts; then more of the sequence, and drawn points, to take the
    place of those that come twice."""
    for rows in _evenly(len(space.axes), kind, points, seed, np.array(space.sizes)):
        rows = space.canonical(rows)
        yield rows[space.allowed(rows)]
    yield from shuffled(space, seed)


def _evenly(axes: int, kind: str, points: int, seed: int, sizes: Int64Array) -> Iterator[Int64Array]:
    from scipy.stats import qmc

    if kind == "lhs":
        cubes = iter([qmc.LatinHypercube(axes, rng=seed).random(points)])
    else:
        sequence = qmc.Sobol(axes, rng=seed)
        power = max(points - 1, 1).bit_length()
        # Only powers of two are balanced, so a sequence is drawn by doubling.
        cubes = (sequence.random_base2(p) for p in (power, power, power + 1))
    for cube in cubes:
        # Floating point can round to the end of the cube, which is no value.
        yield np.minimum((cube * sizes).astype(np.int64), sizes - 1)


def places_of(space: Space, rows: Int64Array) -> list[int]:
    """The places of rows in the grid: one number each."""
    if not space.axes:
        return [0] * len(rows)
    places: list[int] = np.ravel_multi_index(tuple(rows.T), space.sizes).tolist()
    return places


class Stream:
    """Rows as they are asked for. With `seen`, places in the grid, those that are in it are left out, and
    those that are given are added to it."""

    def __init__(self, space: Space, chunks: Iterator[Int64Array], seen: set[int] | None = None) -> None:
        self._space = space
        self._chunks = chunks
        self._seen = seen
        self._ready = np.zeros((0, len(space.axes)), dtype=np.int64)

    def take(self, count: int) -> Int64Array:
        """(up to count, axes) the next rows; fewer only where there are no more."""
        parts = [self._ready[:0]]
        while count > 0:
            if not len(self._ready):
                if (chunk := next(self._chunks, None)) is None:
                    break
                self._ready = chunk
            part, self._ready = self._split(count)
            parts.append(part)
            count -= len(part)
        return np.concatenate(parts)

    def _split(self, count: int) -> tuple[Int64Array, Int64Array]:
        """At most `count` of the rows that are ready, and those behind them."""
        if self._seen is None:
            return self._ready[:count], self._ready[count:]
        fresh: list[int] = []
        end = 0
        for place in places_of(self._space, self._ready):
            if len(fresh) == count:
                break
            if place not in self._seen:
                self._seen.add(place)
                fresh.append(end)
            end += 1
        return self._ready[fresh], self._ready[end:]


def _quoted(space: Space) -> str:
    texts = [f"`{constraint.text}`" for constraint in space.axis_constraints]
    return " and ".join(texts) if texts else "conditions of axes"
