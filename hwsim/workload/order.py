"""Topological order of named things, and the names of a cycle when there is none."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from hwsim.errors import SpecError

_SHOWN = 12  # members of a cycle that a message names


def topological_order(dependencies: Mapping[str, Sequence[str]], what: str = "layer") -> list[str]:
    """Every key after the keys it depends on, otherwise in the order given. Every dependency must be a key.

    Raises SpecError naming the members of a cycle; `what` is the noun for them.
    """
    rank = {name: i for i, name in enumerate(dependencies)}
    names = list(dependencies)
    waiting = {name: len(set(needed)) for name, needed in dependencies.items()}
    users: dict[str, list[str]] = {name: [] for name in names}
    for name, needed in dependencies.items():
        for dependency in set(needed):
            users[dependency].append(name)
    ready = [rank[name] for name, count in waiting.items() if count == 0]
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for user in users[name]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, rank[user])
    if len(order) < len(names):
        members = _cycle(dependencies, set(names) - set(order), names)
        shown = members if len(members) <= _SHOWN else [*members[:_SHOWN], f"... ({len(members) - 1} in all)"]
        raise SpecError(
            f"the {what}s form a cycle: {' needs '.join(shown)}; a network must run from its inputs to its "
            f"outputs, so let one of them take another input"
        )
    return order


def _cycle(dependencies: Mapping[str, Sequence[str]], stuck: set[str], names: Sequence[str]) -> list[str]:
    """One cycle among `stuck`, whose members each need another member; its first name also ends it."""
    name = next(n for n in names if n in stuck)
    seen: dict[str, int] = {}
    path: list[str] = []
    while name not in seen:
        seen[name] = len(path)
        path.append(name)
        name = next(n for n in dependencies[name] if n in stuck)
    return [*path[seen[name] :], name]
