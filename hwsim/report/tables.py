"""The small tables of the page: shares with bars, what causes mean, and the sources of figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hwsim.report.reading import Run
from hwsim.report.wording import quantity

# Causes for which the focus stage stands still, as GLOSSARY.md explains them, to follow "as ...".
CAUSES = {
    "weight_stall": "the tile's weights have not arrived from memory",
    "weight_shift": "weights that have arrived are being shifted into the array",
    "raw": "the operand is a result of the array that has not drained yet",
    "vector": "the operand is still to come from the activation unit (pooling, pointwise work)",
    "input": "the operand is on its way from the host, or back from memory after a spill",
    "output": "a drained result is not yet where the next step reads it",
    "accumulator": "earlier sums still fill the accumulators",
    "weight_load": "a matrix that has no room on chip, or a table of shared values, comes in from outside",
    "input_load": "the activations have no room on chip and come in from outside",
    "reload": "activations that were sent outside are still on their way there",
    "fetch": "activations move from their memory into the source registers",
    "drain": "results move from the registers into the activation memory",
    "launch": "the operator is being started, or its threads meet at its end",
    "memory": "data have not arrived from memory",
    "cache": "data are on their way from the last cache",
    "ready": "the operator before has not ended",
    "tail": "the last tile has left, and its results are on their way out",
    "other": "none of the other causes holds",
}


# What cycles of processing elements go to, where a machine tells.
PARTS = {
    "multiply": "a stored weight times a broadcast activation",
    "padding": "a stored zero that bridges a gap too long for its index",
    "empty_column": "looking up a column of which the element holds nothing",
    "starved": "waiting for the next activation, since an element with more to do holds the broadcast up",
    "finished_early": "done, while other elements are not",
}


@dataclass(frozen=True)
class Share:
    """A line with a bar: `share` of the whole, and the amount in words."""

    name: str
    share: float
    amount: str


@dataclass(frozen=True)
class Source:
    """Where the price of an action is from."""

    component: str
    action: str
    price: str
    count: str
    amount: str
    source: str


def shares(
    parts: Mapping[str, float],
    write: Callable[[float], str] | None = None,
    *,
    whole: float = 1.0,
    first: str = "",
) -> list[Share]:
    """Largest first, `first` before all. `write` says amounts; without it there are only shares."""
    order = sorted(parts, key=lambda name: (name != first, -parts[name], name))
    return [
        Share(name, min(parts[name] / (whole or 1.0), 1.0), write(parts[name]) if write else "")
        for name in order
        if parts[name] > 0 or name == first
    ]


def sources(run: Run) -> list[Source]:
    """One line for each (component, action) that was charged, largest energy first."""
    totals: dict[tuple[str, str, float, str], list[float]] = {}
    for row in run.usage:
        total = totals.setdefault(
            (row.component, row.action, row.energy_pj_per_count, row.source), [0.0, 0.0]
        )
        total[0] += row.count
        total[1] += row.energy_pj * 1e-12
    order = sorted(totals.items(), key=lambda item: (-item[1][1], item[0]))
    return [
        Source(component, action, f"{price:.3g} pJ", quantity(count, ""), quantity(energy_j, "J"), source)
        for (component, action, price, source), (count, energy_j) in order
    ]
