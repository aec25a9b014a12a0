"""What attention must at least do, counted query by query and not asked of its problem or of its tiles."""

from __future__ import annotations

import numpy as np

from hwsim.plan.residency import Residency
from hwsim.workload.operators import Attention


def seen_pairs(p: Attention) -> int:
    """Pairs of a query and a place that it sees, of one head."""
    place = np.arange(p.Q, dtype=np.int64) + (p.S - p.Q)
    reach = p.window - 1 if p.window else p.S
    before = np.clip(place, 0, reach)
    behind = np.zeros_like(place) if p.causal else np.clip(p.S - 1 - place, 0, reach)
    if not p.causal and not p.window:
        return p.Q * p.S  # where there are more queries than places, they have no place of their own
    return int((before + 1 + behind).sum())


def needed_bytes(p: Attention, residency: Residency) -> tuple[int, ...]:
    """Bytes of each operand that must come from outside the chip: all queries, keys and values from the first
    place on that the first query sees, and of what is added to scores the share that is not left out."""
    first = max(0, p.S - p.Q - p.window + 1) if p.window else 0
    shares = ((1, 1), (p.S - first, p.S), (p.S - first, p.S), (seen_pairs(p), p.Q * p.S))
    return tuple(
        0 if o.place == "chip" else o.size_bytes * part // whole
        for o, (part, whole) in zip(residency.operands, shares, strict=False)
    )
