"""What a sweep says: which points are best and balanced, what limits them, which axes matter, and which
constraints exclude how much. Facts first, then the same in sentences, for terminals and pages."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import BoolArray, Float64Array
from hwsim.explore.frontier import Scale, hypervolume, knee
from hwsim.explore.outcome import METRICS, OK, minimised
from hwsim.explore.sensitivity import Effect, sensitivity
from hwsim.explore.stored import Points
from hwsim.units import counted, format_bytes, format_si

_TOLD = 0.05  # an axis that explains less than this of what varies is not named
_NAMED = 3  # axes of one sentence
_OF_ALL = " of what varies"
_UNEVEN = 10.0  # chi squared over its degrees of freedom; by chance it is about 1
_MEASURED = 4  # objectives: the time that a hypervolume takes grows with their number in the exponent


@dataclass(frozen=True, slots=True)
class Choice:
    """A point of the frontier worth looking at: `why` is "balanced", or the objective that it is best in.
    `point` is its place in Points, `texts` its axes and values, less the workload."""

    workload: str
    why: str
    point: int
    texts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Insight:
    """What is worth knowing of a sweep. Points of different workloads are never compared: `choices`,
    `hypervolumes` (by workload) and `effects` (by workload and objective, largest first) are of each. Without
    an axis `workload` its name is empty. A hypervolume is the share of the box between the best and the worst
    of each objective, over the points that count, that the frontier dominates; for two to four objectives.
    `limits` counts what limits the points of the frontier, `excluded` what each constraint excludes of the
    points with figures, `failed` why points have none."""

    choices: tuple[Choice, ...]
    hypervolumes: Mapping[str, float]
    limits: Mapping[str, int]
    effects: Mapping[tuple[str, str], tuple[Effect, ...]]
    excluded: Mapping[str, int]
    failed: Mapping[str, int]
    sentences: tuple[str, ...]


def insight(points: Points) -> Insight:
    """What the points of a sweep say."""
    networks = _networks(points)
    names = list(dict.fromkeys(networks))
    choices = tuple(choice for name in names for choice in _choices(points, name, networks))
    hypervolumes = {name: share for name in names if (share := _hypervolume(points, networks == name))}
    limits = dict(Counter(points.limits[i] for i in np.flatnonzero(points.frontier)).most_common())
    effects = {
        (name, objective): _effects(points, networks == name, objective)
        for name in names
        for objective in points.objectives
    }
    counts = points.counts
    failed = {status: count for status, count in counts.items() if status != "ok"}
    found = Insight(choices, hypervolumes, limits, effects, points.excluded(), failed, ())
    said = (
        *_of_counts(points, found),
        *_of_choices(points, found),
        *_of_limits(found),
        *_of_effects(points, found),
    )
    return replace(found, sentences=said)


def spoken(metric: str, value: float) -> str:
    """A figure with its unit: spoken("latency_s", 0.00135) is '1.35 ms'."""
    written = METRICS[metric]
    if written.form == "si":
        return format_si(value, written.unit)
    if written.form == "percent":
        return f"{100 * value:.3g} %"
    if written.form == "bytes":
        return format_bytes(value)
    number = f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
    return f"{number} {written.unit}"


def _networks(points: Points) -> NDArray[np.object_]:
    """(n,) the workload of each point; empty where all have the same."""
    names = [name for axis in points.axes if axis.kind == "workload" for name in axis.values] or [""]
    return np.array(names, dtype=object)[points.networks]


def _knobs(points: Points) -> list[int]:
    """Axes that are choices: a workload is given."""
    return [i for i, axis in enumerate(points.axes) if axis.kind != "workload"]


def _choices(points: Points, name: str, networks: NDArray[np.object_]) -> list[Choice]:
    """The balanced point of a workload's frontier, and the best of each objective."""
    mine = np.flatnonzero(points.frontier & (networks == name))
    if not len(mine):
        return []
    values = minimised(points.objectives, points.metrics)[mine]
    chosen = {"balanced": int(mine[knee(values)])} if len(points.objectives) > 1 else {}
    chosen |= {objective: int(mine[np.argmin(values[:, m])]) for m, objective in enumerate(points.objectives)}
    return [
        Choice(name, why, i, {axis: text for axis, text in points.texts(i).items() if axis != "workload"})
        for why, i in chosen.items()
    ]


def _hypervolume(points: Points, mine: BoolArray) -> float:
    """What a workload's frontier dominates, of all between the best and the worst; 0 where it is not told."""
    if not 2 <= len(points.objectives) <= _MEASURED:
        return 0.0
    values = minimised(points.objectives, points.metrics)
    counted = points.feasible & mine & ~np.isnan(values).any(axis=1)
    if not counted.any():
        return 0.0
    scaled = Scale.of(values[counted])(values[counted])
    low, span = scaled.min(axis=0), np.ptp(scaled, axis=0)
    best = (scaled[points.frontier[counted]] - low) / np.where(span > 0, span, 1.0)
    return hypervolume(best, np.ones(len(low)))


def _effects(points: Points, mine: BoolArray, objective: str) -> tuple[Effect, ...]:
    """Of each axis on an objective, over the points of a workload that count."""
    knobs = _knobs(points)
    counted = points.feasible & mine
    axes = [points.axes[i] for i in knobs]
    values: Float64Array = points.metrics[objective][counted]
    # Of every point there is nothing is left to chance.
    whole = len(points) == points.of_points
    population = int(np.isfinite(values).sum()) if whole else math.prod(len(axis.values) for axis in axes)
    return sensitivity(axes, points.indices[counted][:, knobs], values, points=population)


# -- sentences ---------------------------------------------------------------------------------------------


def _of_counts(points: Points, found: Insight) -> list[str]:
    """How many points were tried, count, and do not, and why."""
    good, figures = int(points.feasible.sum()), int((points.status == OK).sum())
    if points.constraints:
        said = [f"{good:,} {'meets' if good == 1 else 'meet'} every constraint"]
        if outside := figures - good:
            said.append(f"{outside:,} {'does' if outside == 1 else 'do'} not")
    else:
        said = [f"{good:,} {'has' if good == 1 else 'have'} figures"]
    if found.failed:
        why = _listed([f"{count:,} {status}" for status, count in found.failed.items()])
        said.append(f"{sum(found.failed.values()):,} could not be evaluated ({why})")
    sentences = [f"{counted(len(points), 'point')} tried: {_listed(said)}."]
    excluded = sorted(found.excluded.items(), key=lambda item: -item[1])
    if parts := [f"`{text}` excludes {count:,}" for text, count in excluded if count]:
        sentences.append(f"Of the {figures:,} with figures, {_listed(parts)}.")
    sentences += [f"No point has {METRICS[name].noun}: {why}." for name, why in points.unknown.items()]
    return sentences


def _of_choices(points: Points, found: Insight) -> list[str]:
    """How many points are best, and which one of them to look at first."""
    best = int(points.frontier.sum())
    if not best:
        return []
    nouns = [METRICS[name].noun for name in points.objectives]
    several = any(choice.workload for choice in found.choices)
    of_it = " for the same workload" if several else ""
    if len(nouns) == 1:
        said = []
    elif best == 1:
        said = [f"One point is the best in {_listed(nouns)} at once."]
    else:
        others = f"{', '.join(nouns[:-1])} or {nouns[-1]}"
        better = f"no other that was tried{of_it} is better in {others} without being worse in another"
        said = [f"{best:,} points are on the frontier: {better}."]
        if len(found.hypervolumes) == 1 and not several:
            (share,) = found.hypervolumes.values()
            said.append(
                f"They dominate {100 * share:.0f} % of what lies between the best and the worst of each"
                f"{', by logarithms of what spans more than ten times' if _spans_far(points) else ''}."
            )
    for choice in found.choices:
        whose = f" for {choice.workload}" if choice.workload else ""
        if choice.why == "balanced" and best > 1:
            figures = _listed([spoken(n, float(points.metrics[n][choice.point])) for n in points.objectives])
            said.append(f"Balanced{whose}, nearest to the best of each: {figures} with {_values(choice)}.")
        elif choice.why != "balanced" and (not several or len(nouns) == 1):
            figure = spoken(choice.why, float(points.metrics[choice.why][choice.point]))
            extreme = "Least" if METRICS[choice.why].better == "min" else "Most"
            said.append(f"{extreme} {METRICS[choice.why].noun}{whose}: {figure} with {_values(choice)}.")
    return said


def _spans_far(points: Points) -> bool:
    """Whether a hypervolume is over the logarithm of an objective."""
    values = minimised(points.objectives, points.metrics)[points.feasible]
    values = values[~np.isnan(values).any(axis=1)]
    return bool(len(values) and Scale.of(values).signs.any())


def _of_limits(found: Insight) -> list[str]:
    """What limits the best points."""
    named = {limit: count for limit, count in found.limits.items() if limit}
    total = sum(found.limits.values())
    if not named:
        return []
    if len(named) == 1 and total == sum(named.values()):
        (limit,) = named
        return [f"What limits {'every one of them' if total > 1 else 'it'} is {limit}."]
    parts = [f"{limit} in {count:,}" for limit, count in named.items()]
    return [f"What limits them: {_listed(parts)}."]


def _of_effects(points: Points, found: Insight) -> list[str]:
    """Which axes matter to each objective."""
    said = []
    for objective in points.objectives:
        of_workloads = {name: effects for (name, what), effects in found.effects.items() if what == objective}
        if len(of_workloads) == 1:
            (effects,) = of_workloads.values()
            said += _of_one(objective, effects)
        else:
            said += _of_several(objective, of_workloads)
    if said and len(points) != points.of_points and _uneven(points):
        said.append(
            "The points lie unevenly over the axes, as those of a search do: shares are of what was tried, "
            "and a grid tells more."
        )
    elif any(sum(e.share or 0.0 for e in effects) > 1 + _TOLD for effects in found.effects.values()):
        said.append(
            "Shares overlap: axes whose values come together, as constraints have it, explain the same."
        )
    return said


def _of_one(objective: str, effects: Sequence[Effect]) -> list[str]:
    """Which axes matter to an objective of one workload, the first with what it does."""
    noun, shares = _capital(METRICS[objective].noun), _shares(effects)
    if not shares:
        if not effects or effects[0].share is None:
            return []
        return [f"{noun} depends on no axis alone: none explains {100 * _TOLD:.0f} % of what varies."]
    first = effects[0]
    low, high = ((spoken(objective, at)) for at in (first.least, first.most))
    does = f"on average {low} at {first.least_at} and {high} at {first.most_at}"
    then = f"; then on {_listed(shares[1:_NAMED])}" if len(shares) > 1 else ""
    logs = ", all by logarithms, as it spans more than ten times" if first.logarithmic else ""
    return [f"{noun} depends most on {shares[0]}: {does}{then}{logs}."]


def _of_several(objective: str, of_workloads: Mapping[str, Sequence[Effect]]) -> list[str]:
    """The same of several workloads, those together of which the same is said."""
    alike: dict[str, list[str]] = {}
    for name, effects in of_workloads.items():
        if shares := _shares(effects)[:2]:
            alike.setdefault(" and ".join(shares), []).append(name)
    if not alike:
        return []
    noun, (first, *_) = _capital(METRICS[objective].noun), alike
    if len(alike) == 1 and len(alike[first]) == len(of_workloads):
        return [f"{noun} depends most on {first}, for each workload."]
    parts = [f"{shares} for {_listed(names)}" for shares, names in alike.items()]
    # What the figures are is said with the first of them.
    return [f"{noun} depends most on {'; '.join([parts[0], *(p.replace(_OF_ALL, '') for p in parts[1:])])}."]


def _shares(effects: Sequence[Effect]) -> list[str]:
    """Axes that explain something, with how much; of what, the first says."""
    told = [(e.axis, e.share) for e in effects if e.share is not None and e.share >= _TOLD]
    return [f"{axis} ({100 * share:.0f} %{'' if i else _OF_ALL})" for i, (axis, share) in enumerate(told)]


def _uneven(points: Points) -> bool:
    """Whether values of an axis come far more or less often than they would by chance in an even sample."""
    for i in _knobs(points):
        counts = np.bincount(
            points.indices[points.indices[:, i] >= 0, i], minlength=len(points.axes[i].values)
        )
        expected = counts.sum() / len(counts)
        if expected and ((counts - expected) ** 2).sum() / expected > _UNEVEN * len(counts):
            return True
    return False


def _values(choice: Choice) -> str:
    return _listed([f"{axis}={text}" for axis, text in choice.texts.items()]) or "the design as it is"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
