"""How much each axis matters to a metric: its share of what varies, and what its values come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Float64Array, Int64Array
from hwsim.explore.axes import Axis
from hwsim.explore.frontier import Scale


@dataclass(frozen=True, slots=True)
class Effect:
    """What one axis does to a metric, over points that had one.

    `share` is its main effect, the variance that is gone once its value is known, over all variance: 0 to 1,
    and None where every value came once, so that nothing can be told from chance. `least` and `most` are the
    means at the values `least_at` and `most_at`. Where the metric spans more than a factor of ten, variance
    is that of its logarithm, and means are geometric: then it is `logarithmic`."""

    axis: str
    share: float | None
    least_at: str
    least: float
    most_at: str
    most: float
    logarithmic: bool = False


def sensitivity(
    axes: Sequence[Axis],
    indices: Int64Array,
    values: Float64Array,
    *,
    points: int | None = None,
) -> tuple[Effect, ...]:
    """The effect of each axis on a metric (n,) of points (n, axes), the largest first. An index of -1 says
    that an axis does not count there; one that takes a single value has no effect to tell. Points whose
    metric is not finite are left out.

    The share is the first-order index of Sobol (1993), by means of groups. Few points a group make it too
    large by what chance puts between means: that is taken off (Hays's omega squared), as far as the n points
    are a sample of `points`; of all `points` it is exact. Points that a search chose are no even sample: then
    it describes what was tried."""
    usable = np.isfinite(values)
    indices, values = indices[usable], values[usable]
    if not len(values):
        return ()
    scale = Scale.of(values[:, None])
    scaled = scale(values[:, None])[:, 0]
    total = float(((scaled - scaled.mean()) ** 2).sum())
    sampled = 1.0 if points is None else max(0.0, 1 - len(values) / points)
    effects = []
    for i, axis in enumerate(axes):
        on = indices[:, i] >= 0
        places, groups = np.unique(indices[on, i], return_inverse=True)
        if len(places) > 1:
            means, share = _of_groups(scaled[on], groups, total, sampled)
            low, high = int(np.argmin(means)), int(np.argmax(means))
            metric = scale.back(means[:, None])[:, 0]
            effects.append(
                Effect(
                    axis.name, share,
                    axis.values[places[low]], float(metric[low]),
                    axis.values[places[high]], float(metric[high]), bool(scale.signs[0]),
                )
            )  # fmt: skip
    return tuple(sorted(effects, key=lambda e: -1.0 if e.share is None else e.share, reverse=True))


def _of_groups(
    values: Float64Array, groups: Int64Array, total: float, sampled: float
) -> tuple[Float64Array, float | None]:
    """Means (groups,) of values (n,), and the share of `total` that lies between them."""
    counts = np.bincount(groups)
    means: Float64Array = np.bincount(groups, weights=values) / counts
    between = float((counts * (means - values.mean()) ** 2).sum())
    within = float(((values - means[groups]) ** 2).sum())
    freedom = len(values) - len(counts)
    if sampled and not freedom:
        return means, None
    chance = sampled * (len(counts) - 1) * within / freedom if freedom else 0.0
    # Rounding leaves something of what is nothing.
    share = max(between - chance, 0.0) / total if total > 1e-12 * max(1.0, math.fsum(values**2)) else 0.0
    return means, min(share, 1.0)
