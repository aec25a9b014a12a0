"""Where the time of a shared network went: to its devices, and to the links between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.result.tables import TimingTable
from hwsim.units import PS_PER_S


@dataclass(frozen=True, slots=True)
class Share:
    """What a device ran, or a link moved: operators (transfers of a link), the time of the run that is put
    down to them, and the bytes that crossed a link."""

    operators: tuple[str, ...]
    elapsed_s: float
    share: float  # of the run's time
    moved_bytes: int


def shares(timing: TimingTable) -> dict[str, Share]:
    """By device or link, in the order of first use; empty where one device runs alone."""
    found = {}
    for name in dict.fromkeys(timing.where):
        rows = np.array([where == name for where in timing.where])
        elapsed_ps = int(timing.elapsed_ps[rows].sum())
        found[name] = Share(
            tuple(timing.names[i] for i in np.flatnonzero(rows)),
            elapsed_ps / PS_PER_S,
            elapsed_ps / (timing.makespan_ps or 1),
            int(timing.moved_bytes[rows].sum()),
        )
    return found


def sharing_note(timing: TimingTable) -> str:
    """'time: tpu 86.4 % (12 operators), pcie 10.5 % (7 transfers of 1,581,056 bytes)'."""
    parts = []
    for name, one in shares(timing).items():
        count = len(one.operators)
        what = f"transfer{'s' * (count > 1)} of {one.moved_bytes:,} bytes" if one.moved_bytes else "operator"
        plural = "s" * (count > 1 and not one.moved_bytes)
        parts.append(f"{name} {one.share:.1%} ({count} {what}{plural})".replace("%", " %", 1))
    return f"time: {', '.join(parts)}"
