"""The points that no other point dominates, how much they dominate, and the one where trading turns bad."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwsim.arrays import BoolArray, Float64Array
from hwsim.errors import SpecError

_BY_PAIRS = 256  # points, or fewer, are compared each with each: loading compiled code takes longer
_COMPILED_FOR = 3  # objectives
_FEW = 64
_LOG_SPAN = 10.0  # an objective that spans more than this factor is compared by its logarithm
_LARGEST = 1e300  # stands for infinity where differences are taken


def non_dominated(values: Float64Array) -> BoolArray:
    """(n,) which points (n, m), every objective minimised, no other point dominates: none is at least as good
    in every objective and better in one. Equal points are kept together. Up to three objectives take
    n log n steps. Raises SpecError for what is not a number."""
    points = np.ascontiguousarray(values, dtype=np.float64)
    if points.ndim != 2:
        raise SpecError(f"takes (points, objectives), not an array of {points.ndim} dimensions")
    if np.isnan(points).any():
        raise SpecError("a point has an objective that is not a number: leave out points that failed")
    count, objectives = points.shape
    if not count or not objectives:
        return np.ones(count, dtype=np.bool_)
    if count <= _BY_PAIRS:
        return _undominated_by_any(points)
    keep = _undominated_by_few(points)
    keep[keep] = _marked(points[keep])
    return keep


def _undominated_by_any(points: Float64Array) -> BoolArray:
    """(n,) which of points (n, m) none dominates, by all pairs."""
    no_worse = (points[:, None] <= points).all(axis=2)
    better = (points[:, None] < points).any(axis=2)
    return np.asarray(~(no_worse & better).any(axis=0))


def _undominated_by_few(points: Float64Array) -> BoolArray:
    """(n,) less the points that one of a few with small sums dominates: of random ones nearly all, for much
    less than sorting them takes."""
    from hwsim.kernels.pareto import unmark_dominated

    keep = np.ones(len(points), dtype=np.bool_)
    if len(points) > _FEW:
        with np.errstate(invalid="ignore"):
            # Each objective scaled to its span, so that none outweighs the others.
            spread = (points - points.min(axis=0)) / np.maximum(np.ptp(points, axis=0), np.finfo(float).tiny)
        sums = np.nan_to_num(spread, nan=np.inf).sum(axis=1)
        unmark_dominated(points, points[np.argpartition(sums, _FEW)[:_FEW]], keep)
    return keep


def _marked(points: Float64Array) -> BoolArray:
    """(n,) which of points (n, m) none dominates."""
    from hwsim.kernels import pareto

    count, objectives = points.shape
    keep = np.zeros(count, dtype=np.bool_)
    if objectives <= _COMPILED_FOR:
        whole = np.zeros((count, _COMPILED_FOR))
        whole[:, :objectives] = points
        order = np.lexsort(whole.T[::-1])
        whole = whole[order]
        different, ranks = np.unique(whole[:, 1], return_inverse=True)
        least = np.full(len(different) + 1, np.inf)
        pareto.mark_three(whole, ranks.astype(np.int64) + 1, least, keep)
    else:
        order = np.lexsort(points.T[::-1])
        pareto.mark_any(np.ascontiguousarray(points[order]), np.zeros(count, dtype=np.int64), keep)
    found = np.empty(count, dtype=np.bool_)
    found[order] = keep
    return found


def hypervolume(values: Float64Array, reference: Float64Array) -> float:
    """The volume that points (n, m) dominate below `reference` (m,), all objectives minimised (Zitzler and
    Thiele, 1998). Points beyond the reference add nothing."""
    from pymoo.indicators.hv import HV

    points = np.asarray(values, dtype=np.float64)
    inside = points[(points < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    return float(HV(ref_point=np.asarray(reference, dtype=np.float64))(inside[non_dominated(inside)]))


@dataclass(frozen=True, eq=False)
class Scale:
    """How objectives are compared: those that spanned more than a factor of ten, and one sign, by their
    logarithm; others as they are. `signs` (m,) are 0 for the latter. Which is less stays."""

    signs: Float64Array

    @classmethod
    def of(cls, values: Float64Array) -> Scale:
        """The scale of points (n, m), of which there is one at least."""
        signs = np.where(values.min(axis=0) > 0, 1.0, np.where(values.max(axis=0) < 0, -1.0, 0.0))
        size = np.abs(values)
        return cls(np.where(size.max(axis=0) > _LOG_SPAN * size.min(axis=0), signs, 0.0))

    def __call__(self, values: Float64Array) -> Float64Array:
        """(n, m) points on the scale, finite."""
        bounded = np.clip(values, -_LARGEST, _LARGEST)
        logs = self.signs * np.log(np.maximum(self.signs * bounded, 1 / _LARGEST))
        return np.where(self.signs == 0, bounded, logs)

    def back(self, scaled: Float64Array) -> Float64Array:
        """(n, m) the points that lie at these places of the scale."""
        return np.where(self.signs == 0, scaled, self.signs * np.exp(self.signs * scaled))


def knee(values: Float64Array) -> int:
    """The place of the point (n, m) nearest to the best of every objective, each scaled to the span of the
    points: from there, more of one costs much of another. Give the frontier alone. Raises SpecError without
    points."""
    points = np.asarray(values, dtype=np.float64)
    if not len(points):
        raise SpecError("a knee is one of the points, and there are none")
    scaled = Scale.of(points)(points)
    scaled = scaled - scaled.min(axis=0)
    span = scaled.max(axis=0)
    distance = np.linalg.norm(scaled / np.where(span > 0, span, 1.0), axis=1)
    return int(np.argmin(distance))
