"""Places in a workload file: which part of it a fault is in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hwsim.errors import CapacityError, SpecError
from hwsim.schema import Node


def child(node: Node, key: str) -> Node:
    """The child `key`, or the node itself where the file leaves it out."""
    return (node.children or {}).get(key, node)


def items(node: Node) -> list[Node]:
    return node.items or []


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that is not known."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def fault(node: Node, message: str) -> SpecError:
    return SpecError(node.place.problem(node.path, message))


@contextmanager
def placed(node: Node) -> Iterator[None]:
    """Say where in the file a fault is."""
    try:
        yield
    except SpecError as error:
        if any(problem.file for problem in error.problems):
            raise
        raise fault(node, str(error)) from None
    except CapacityError as error:
        raise CapacityError(str(fault(node, str(error)))) from None
