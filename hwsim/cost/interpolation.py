"""Interpolation between published points. Sizes, widths and nodes span decades and the quantities follow
powers of them, so points are joined by straight lines on double-logarithmic paper."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence


def loglog(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """y at `x` on the line through the points (xs ascending, all positive): a published point is met exactly.
    Beyond the ends the first or last slope goes on; a single point is constant."""
    if len(xs) == 1:
        return ys[0]
    above = bisect_left(xs, x)
    if above < len(xs) and xs[above] == x:
        return ys[above]
    low = min(max(above - 1, 0), len(xs) - 2)
    slope = math.log(ys[low + 1] / ys[low]) / math.log(xs[low + 1] / xs[low])
    return ys[low] * math.exp(slope * math.log(x / xs[low]))
