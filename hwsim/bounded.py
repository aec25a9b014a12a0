"""Bounded: what was made once, kept for as long as there is room."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Made = TypeVar("Made")


class Bounded(Generic[Made]):
    """Things by key, up to `most` of them; with `size`, up to so much in all. What was made first goes first.
    For what takes more to make than its key says, so that `functools.lru_cache` does not serve."""

    def __init__(self, most: int, size: Callable[[Made], int] | None = None) -> None:
        self._room = most
        self._size = size or _one
        self._made: dict[Hashable, Made] = {}

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What is kept under `key`, or what `make` returns, kept from then on."""
        if key in self._made:
            return self._made[key]
        made = self._made[key] = make()
        self._room -= self._size(made)
        while self._room < 0 and len(self._made) > 1:  # what has just been made stays
            oldest = next(iter(self._made))
            self._room += self._size(self._made.pop(oldest))
        return made

    def clear(self) -> None:
        """Forget all."""
        self._room += sum(map(self._size, self._made.values()))
        self._made.clear()


def _one(_: Any) -> int:
    return 1
