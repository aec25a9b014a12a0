"""What a notebook shows of a Sweep: the first points of its frontier in a table, and all points plotted over
the first two objectives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Float64Array
from hwsim.explore.outcome import METRICS, minimised
from hwsim.explore.stored import Points
from hwsim.result.notebook import INK, framed, svg, table

SHOWN = 8  # rows
DRAWN = 1500  # points besides the frontier: a notebook keeps what it shows
_WIDTH, _HEIGHT, _EDGE = 420, 260, 34
_LOG_SPAN = 10.0  # an axis that spans more than this factor is drawn by logarithms


def sweep_html(points: Points) -> str:
    """A table and a plot as one piece of HTML that needs nothing beside it."""
    best = np.flatnonzero(points.frontier)
    failed = len(points) - points.counts.get("ok", 0)
    title = f"{points.name}: {len(points):,} points, {len(best):,} on the frontier"
    parts = [f" ({failed:,} without figures)"] if failed else []
    if len(best):
        parts.append(_frontier(points, best))
        if len(points.objectives) > 1:
            parts.append(_plot(points))
    return framed(title, parts)


def _frontier(points: Points, best: NDArray[np.intp]) -> str:
    values = minimised(points.objectives[:1], points.metrics)[best, 0]
    order = best[np.lexsort((values, points.networks[best]))]
    names = [axis.name for axis in points.axes]
    rows = []
    for i in order[:SHOWN].tolist():
        texts = points.texts(i)
        figures = [f"{points.metrics[name][i]:.4g}" for name in points.objectives]
        rows.append([*(texts.get(name, "") for name in names), *figures, points.limits[i]])
    if len(order) > SHOWN:
        rows.append([f"and {len(order) - SHOWN:,} more"])
    return table(rows, [*names, *points.objectives, "limit"])


def _plot(points: Points) -> str:
    """Feasible points over the first two objectives, the frontier on top."""
    names = points.objectives[:2]
    across, up = (points.metrics[name] for name in names)
    known = points.feasible & np.isfinite(across) & np.isfinite(up)
    others = np.flatnonzero(known & ~points.frontier)
    others = others[:: max(1, -(-len(others) // DRAWN))]
    best = np.flatnonzero(known & points.frontier)
    together = np.concatenate([others, best])
    if not len(together):
        return ""
    x, words_x = _scaled(across[together], _WIDTH)
    y, words_y = _scaled(up[together], _HEIGHT)
    dots = [
        f'<circle cx="{_EDGE + x[i]:.1f}" cy="{_HEIGHT - y[i]:.1f}" r="{3 if i >= len(others) else 2}" '
        f'fill="{INK if i >= len(others) else "currentColor"}" opacity="{1 if i >= len(others) else 0.25}"/>'
        for i in range(len(together))
    ]
    lines = (
        f'<path d="M{_EDGE - 6} 0V{_HEIGHT + 6}H{_EDGE + _WIDTH}" fill="none" stroke="currentColor"/>'
        f'<text x="{_EDGE + _WIDTH}" y="{_HEIGHT + 22}" text-anchor="end">{names[0]}, {words_x}</text>'
        f'<text x="12" y="{_EDGE}" transform="rotate(-90 12 {_EDGE})" text-anchor="end">{names[1]}, {words_y}'
        "</text>"
    )
    better = " and ".join(f"{'less' if METRICS[n].better == 'min' else 'more'} {n}" for n in names)
    title = f"The frontier (blue) and other points that meet the constraints; {better} is better"
    return svg(_WIDTH + _EDGE + 8, _HEIGHT + _EDGE, title, lines + "".join(dots))


def _scaled(values: Float64Array, room: int) -> tuple[Float64Array, str]:
    """(n,) places within `room`, and the range in words."""
    low, high = float(values.min()), float(values.max())
    logs = low > 0 and high > _LOG_SPAN * low
    placed = np.log(values) if logs else values
    span = float(np.ptp(placed)) or 1.0
    found: Float64Array = (placed - placed.min()) / span * room
    return found, f"{low:.3g} to {high:.3g}{' (log)' if logs else ''}"
