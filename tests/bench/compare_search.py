"""Prints how much of the hypervolume of every point of a space NSGA-II finds with few evaluations, over five
seeds, beside points drawn at random. The store keeps the points, so a second call is quick:

.venv/bin/python -m tests.bench.compare_search SPACE.yaml STORE [evaluations]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from hwsim.explore.frontier import Scale, hypervolume, non_dominated
from hwsim.explore.methods import make_method
from hwsim.explore.outcome import minimised
from hwsim.explore.space import load_space
from hwsim.explore.space_file import GridSpec, Nsga2Spec, SampleSpec, SpaceSpec
from hwsim.explore.stored import Points
from hwsim.explore.sweep import sweep
from hwsim.schema import load_yaml

Values = np.ndarray[Any, np.dtype[np.float64]]
SEEDS = range(5)


def main(path: str, store: str, evaluations: int = 1000) -> None:
    spec = load_yaml(path, SpaceSpec)
    every = load_space(spec.with_values({"method": GridSpec(kind="grid")}))
    points = sweep(every, store=store, check=0).points
    values = minimised(points.objectives, points.metrics)
    print(f"{len(points):,} points, {int(points.frontier.sum()):,} on the frontier")
    print(f"{'method':<10}{'evaluations':>12}{'median':>10}{'least':>10}{'of logarithms':>16}{'least':>10}")
    for method in (
        Nsga2Spec(kind="nsga2", evaluations=evaluations),
        SampleSpec(kind="random", points=evaluations),
    ):
        found = []
        for seed in SEEDS:
            tried = chosen(spec.with_values({"method": method, "seed": seed}), points, values)
            found.append(shares(points, values, tried))
        (median, logs), (least, least_logs) = np.median(found, axis=0), np.min(found, axis=0)
        counts = f"{method.kind:<10}{evaluations:>12,}{median:>10.2%}{least:>10.2%}"
        print(f"{counts}{logs:>16.2%}{least_logs:>10.2%}")


def chosen(spec: SpaceSpec, points: Points, values: Values) -> list[int]:
    """Places in `points` of all that a method tries; what came of them is looked up."""
    space = load_space(spec)
    known = {tuple(row): i for i, row in enumerate(np.maximum(points.indices, 0).tolist())}
    method, found = make_method(space), []
    while len(rows := method.ask(1000)):
        at = [known[tuple(row)] for row in rows.tolist()]
        found += at
        method.tell(rows, values[at], np.where(points.feasible[at], 0.0, points.violations[at]))
    return found


def shares(points: Points, values: Values, tried: list[int]) -> tuple[float, float]:
    """The hypervolume of what was tried over that of every point, the mean of all workloads: below the worst
    figures of all points, and of logarithms below the worst of the frontier, which is harder."""
    plain, logs = [], []
    mine = np.zeros(len(points), dtype=np.bool_)
    mine[tried] = True
    for network in np.unique(points.networks):
        counted = points.feasible & (points.networks == network) & ~np.isnan(values).any(axis=1)
        whole, some = values[counted], values[counted & mine]
        best = whole[non_dominated(whole)]
        worst = whole.max(axis=0)
        plain.append(hypervolume(some, worst) / hypervolume(best, worst))
        scale = Scale(np.where(whole.min(axis=0) > 0, 1.0, np.where(worst < 0, -1.0, 0.0)))
        edge = scale(best).max(axis=0)
        logs.append(hypervolume(scale(some), edge) / hypervolume(scale(best), edge))
    return float(np.mean(plain)), float(np.mean(logs))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(text) for text in sys.argv[3:]))
