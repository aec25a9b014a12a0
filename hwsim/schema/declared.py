"""What is said about a field, where a spec is from, and the mapping that specs hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NoReturn

from hwsim.schema.tree import Node


@dataclass(frozen=True, slots=True)
class Declared:
    """What is said about one field of a Spec."""

    sentence: str
    has_unit: bool = False
    dimension: str = ""  # from the field's name
    unlimited: bool = False  # the word `unlimited` is allowed and stands for None
    descriptive: bool = False  # changes no timing, usage or area
    when_absent: str = ""  # what None stands for where the field may be left out
    limit: str = ""  # why there is an upper bound
    bounds: tuple[tuple[str, Fraction], ...] = ()  # of quantities, in base units


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a Spec was read: its file, the SHA-256 of the bytes, overrides as (full path, text), the tree."""

    path: str
    sha256: str
    overrides: tuple[tuple[str, str], ...]
    tree: Node = field(repr=False, compare=False)


class FrozenDict(dict[str, Any]):
    """A dict that can be hashed but not changed. Mapping fields of specs become one."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("the mappings of a spec are read-only")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)
