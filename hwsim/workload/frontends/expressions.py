"""Expressions in a spec worked out: each size as its number, and each fault with its line and column."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, get_args

from hwsim.errors import SpecError
from hwsim.schema import Node, Spec
from hwsim.schema.spec import file_key
from hwsim.workload.frontends.layer_base import Expression
from hwsim.workload.frontends.places import child, placed
from hwsim.workload.sizes import read_size

S = TypeVar("S", bound=Spec)
_ANY = Expression()


def resolved(spec: S, node: Node, parameters: Mapping[str, int]) -> S:
    """`spec` with every size that is text replaced by its number. Raises SpecError at the expression."""
    found = {}
    for name, marker in _sizes(type(spec)):
        written = getattr(spec, name)
        if isinstance(written, str | tuple):
            worked = worked_out(written, child(node, file_key(name)), parameters, marker)
            if worked != written:
                found[name] = worked
    return spec.model_copy(update=found) if found else spec


def worked_out(written: Any, node: Node, parameters: Mapping[str, int], marker: Expression = _ANY) -> Any:
    """The number of one size, or the numbers of a list of them."""
    if isinstance(written, tuple):
        nodes = node.items or [node] * len(written)
        return tuple(
            worked_out(part, place, parameters, marker) for part, place in zip(written, nodes, strict=True)
        )
    if not isinstance(written, str):
        return written
    with placed(node):
        value = read_size(written, parameters)
        if marker.least is not None and value < marker.least:
            raise SpecError(f"{written!r} is {value}: it must be at least {marker.least}")
        return value


@cache
def _sizes(spec: type[Spec]) -> tuple[tuple[str, Expression], ...]:
    """The fields that may hold expressions."""
    found = []
    for name, declared in spec.model_fields.items():
        markers = list(_markers(declared.annotation)) if declared.annotation is not None else []
        if markers:
            found.append((name, markers[0]))
    return tuple(found)


def _markers(annotation: Any) -> list[Expression]:
    if isinstance(annotation, Expression):
        return [annotation]
    return [marker for part in get_args(annotation) for marker in _markers(part)]
