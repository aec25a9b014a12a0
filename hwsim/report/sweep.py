"""The page of a sweep: what it says in words and without scripts, and its points packed for the scripts."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Float64Array, Int64Array
from hwsim.report.sweep_reading import read_swept
from hwsim.report.template import fill
from hwsim.report.wording import NARROW, percent, quantity, size
from hwsim.result.swept import Swept, SweptAxis, SweptChoice, SweptEffect, SweptMetric

STYLES = ("page.css", "sweep.css")
SCRIPTS = (
    "sweep_points.js", "sweep_scales.js", "sweep_scatter.js", "sweep_parallel.js", "sweep_table.js",
    "sweep_opened.js", "sweep.js",
)  # fmt: skip
OK = "ok"
REASONS = 12  # that are listed; more are counted
REASON_CHARS = 300  # of one point's; the file has all
REASONS_CHARS = 150_000  # of all together
VALUES = 12  # of an axis that are listed


@dataclass(frozen=True)
class EffectBar:
    """An axis in the chart of what matters: its share as a length, and what its ends do."""

    axis: str
    share: float | None
    does: str


@dataclass(frozen=True)
class Effects:
    """The bars of one objective of one workload."""

    heading: str
    workload: str
    bars: tuple[EffectBar, ...]


@dataclass(frozen=True)
class ChoiceCard:
    """A point to look at first: the figure that it is best in (of a balanced one, the first objective), and
    those of the other objectives in words."""

    why: str
    workload: str
    row: int
    figure: str
    others: tuple[str, ...]
    design: str
    limit: str


def draw_sweep(folder: str | Path) -> bytes:
    """The page as UTF-8. The same files give the same bytes. Raises SpecError when the folder does not hold
    one whole sweep."""
    found = read_swept(Path(folder))
    metrics = {metric.name: metric for metric in found.known}
    return fill(
        "sweep.html.j2",
        found.version,
        styles=STYLES,
        scripts=SCRIPTS,
        found=found,
        objectives=[metrics[name] for name in found.objectives],
        choices=[_card(found, choice, metrics) for choice in found.choices if found.objectives],
        workloads=next((axis.values for axis in found.axes if axis.kind == "workload"), ()),
        effects=_effects(found, metrics),
        limits=sorted({limit for limit in found.limits if limit}),
        failures=_failures(found),
        missing=any(
            outcome == OK and not fits for outcome, fits in zip(found.outcomes, found.feasible, strict=True)
        ),
        axis_values=_axis_values,
        points=_script_json(_points(found)),
    )


def figure(metric: SweptMetric, value: float) -> str:
    """A figure as people read it: '1.35 ms', '12 MiB', '85 %', '330 mm2'."""
    if not np.isfinite(value):
        return "not known" if np.isnan(value) else f"{value}"
    if metric.form == "si":
        return quantity(value, metric.unit)
    if metric.form == "bytes":
        return size(value)
    if metric.form == "percent":
        return percent(value)
    number = f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.3g}"
    return f"{number}{'' if metric.unit.startswith('/') else NARROW}{metric.unit}".rstrip(NARROW)


# -- what does without scripts -----------------------------------------------------------------------------


def _reason(why: str, metrics: Mapping[str, SweptMetric]) -> str:
    if why not in metrics:
        return why.capitalize()
    metric = metrics[why]
    return f"{'Least' if metric.better == 'min' else 'Most'} {metric.noun}"


def _card(found: Swept, choice: SweptChoice, metrics: Mapping[str, SweptMetric]) -> ChoiceCard:
    row = found.indices[choice.row].tolist()
    own = [
        f"{axis.name} = {axis.values[at]}"
        for axis, at in zip(found.axes, row, strict=True)
        if at >= 0 and axis.kind != "workload"
    ]
    first = choice.why if choice.why in found.objectives else found.objectives[0]
    written = {
        name: figure(metrics[name], float(found.metrics[name][choice.row])) for name in found.objectives
    }
    return ChoiceCard(
        why=_reason(choice.why, metrics),
        workload=choice.workload,
        row=choice.row,
        figure=written.pop(first),
        others=tuple(f"{metrics[name].noun} {text}" for name, text in written.items()),
        design=", ".join(own) or "the design as it is",
        limit=found.limits[choice.row],
    )


def _effects(found: Swept, metrics: Mapping[str, SweptMetric]) -> list[Effects]:
    groups: dict[tuple[str, str], list[SweptEffect]] = {}
    for effect in found.effects:
        groups.setdefault((effect.workload, effect.objective), []).append(effect)
    return [
        Effects(
            metrics[objective].noun + (f" of {workload}" if workload else ""),
            workload,
            tuple(EffectBar(e.axis, e.share, _does(e, metrics[objective])) for e in effects),
        )
        for (workload, objective), effects in groups.items()
    ]


def _does(effect: SweptEffect, metric: SweptMetric) -> str:
    low, high = figure(metric, effect.least), figure(metric, effect.most)
    return f"{low} at {effect.least_at}, {high} at {effect.most_at}"


def _failures(found: Swept) -> tuple[list[tuple[str, int]], int]:
    """Reasons why points have no figures, most frequent first, with how many of those shown have each; and
    how many reasons more there are."""
    told = Counter(
        f"{outcome}: {reason}"
        for outcome, reason in zip(found.outcomes, found.reasons, strict=True)
        if outcome != OK
    )
    ordered = sorted(told.items(), key=lambda item: (-item[1], item[0]))
    return [(text[:REASON_CHARS], count) for text, count in ordered[:REASONS]], max(0, len(ordered) - REASONS)


def _axis_values(axis: SweptAxis) -> str:
    values = axis.values
    if len(values) <= VALUES:
        return ", ".join(values)
    return f"{', '.join(values[: VALUES - 3])} ... {values[-1]} ({len(values):,} values)"


# -- points for scripts ------------------------------------------------------------------------------------


def _points(found: Swept) -> dict[str, Any]:
    """All that scripts need, columns packed: indices in one or two bytes, figures as float64, every bit of
    them."""
    metrics = {metric.name: metric for metric in found.known}
    known = [
        m for m in found.known if m.name in found.objectives or not np.isnan(found.metrics[m.name]).all()
    ]
    return {
        "name": found.name,
        "rows": len(found),
        "workload": found.workload,
        "design": found.design,
        "seed": found.seed,
        "objectives": found.objectives,
        "axes": [
            {**asdict(axis), "column": _indices(found.indices[:, i], len(axis.values))}
            for i, axis in enumerate(found.axes)
        ],
        "metrics": [{**asdict(m), "column": _figures(found.metrics[m.name])} for m in known],
        "limits": _coded(found.limits, [limit for limit, _ in Counter(found.limits).most_common()]),
        "outcomes": _coded(found.outcomes, [OK]),
        "reasons": _coded(_cut(found.reasons)),
        "feasible": _packed("u1", found.feasible),
        "frontier": _packed("u1", found.frontier),
        "choices": [{"row": c.row, "words": _reason(c.why, metrics)} for c in found.choices],
    }


def _packed(kind: str, values: NDArray[Any]) -> dict[str, object]:
    if len(values) and (values == values[0]).all():
        return {"same": float(values[0]) if np.isfinite(values[0]) else None}
    raw = values.astype(f"<{kind}").tobytes()
    return {"type": kind, "packed": base64.b64encode(raw).decode("ascii")}


def _indices(places: Int64Array, count: int) -> dict[str, object]:
    """Where an axis does not count, the index after the last."""
    return _packed("u1" if count < 256 else "u2", np.where(places < 0, count, places))


def _figures(values: Float64Array) -> dict[str, object]:
    if np.isnan(values).all():
        return {"same": None}
    return _packed("f8", values)


def _coded(texts: Sequence[str], first: Sequence[str] = ()) -> dict[str, object]:
    """Texts as numbers into a list of those that differ: `first`, then in the order in which they come."""
    names = {text: code for code, text in enumerate(dict.fromkeys((*first, *texts)))}
    codes = np.array([names[text] for text in texts], dtype=np.int64)
    return {"names": list(names), "column": _packed("u1" if len(names) <= 256 else "u2", codes)}


def _cut(reasons: Sequence[str]) -> list[str]:
    """Reasons short enough to keep the page small: long ones end early, and past a bound the file alone has
    them."""
    kept: dict[str, str] = {}
    room = REASONS_CHARS
    for reason in dict.fromkeys(reasons):
        short = reason if len(reason) <= REASON_CHARS else f"{reason[:REASON_CHARS]}..."
        kept[reason] = short if len(short) <= room else "see points.csv beside this page"
        room -= min(room, len(short))
    return [kept[reason] for reason in reasons]


def _script_json(value: object) -> str:
    """JSON that can stand in a script element: nothing in it ends the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
