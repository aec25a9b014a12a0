"""Families of devices: those of one shape share the options of operators, whatever their clock, memory and
links. Tiles are made once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache

from hwsim.bounded import Bounded
from hwsim.plan import Options

KEPT_BYTES = 64 << 20  # of plans of all shapes


class Shape:
    """All that decides tiles, as one object. See `shape`."""


@lru_cache(maxsize=256)
def shape(*facts: Hashable) -> Shape:
    """One for equal facts: it is looked up by itself, and not by them each time."""
    del facts
    return Shape()


KEPT = Bounded[Options](KEPT_BYTES, size=lambda options: options.size_bytes)


def shared_options(of: Shape, key: Hashable, make: Callable[[], Options]) -> Options:
    """The options called `key` on devices of a shape, made by whoever needs them first."""
    return KEPT.once((of, key), make)
