"""What a space file may hold: workloads, designs, axes, constraints, objectives and the method. Declarations,
and the JSON Schema for editors that is made from them; `space` resolves them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from hwsim.explore.outcome import METRICS
from hwsim.schema import Spec, by_kind, field, json_schema

Scalar = bool | int | float | str
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
MAX_VALUES = 10_000  # of one axis


class AxisSpec(Spec):
    """An axis written at length: its values, or a range from `low` to `high` by one of `step`, `factor` and
    `count`; with `when`, one that counts at some points only. A list stands for `{values: [...]}`."""

    values: tuple[Scalar, ...] = field("What it takes, each as `--set` would take it.", default=())
    low: Scalar | None = field(
        "First value of a range: a number, or a quantity such as 2 MiB.",
        default=None,
        when_absent="`values` lists them",
    )
    high: Scalar | None = field(
        "Last value of a range, if a step meets it; a quantity where `low` is one.",
        default=None,
        when_absent="`values` lists them",
    )
    step: Scalar | None = field(
        "Distance of neighbours in a range, with the unit of its ends.",
        default=None,
        when_absent="`factor` or `count` says",
    )
    factor: float | None = field(
        "Ratio of neighbours in a range; 2 doubles.", default=None, when_absent="`step` or `count` says", gt=1
    )
    count: int | None = field(
        "How many values a range has, both ends included.",
        default=None,
        when_absent="`step` or `factor` says",
        ge=2,
        le=MAX_VALUES,
    )
    scale: Literal["linear", "log"] = field(
        "Whether neighbours of a range with a count have one distance (linear) or one ratio (log).",
        default="linear",
    )
    when: str = field(
        "Condition over other axes, such as `array.dataflow == ws`, written as constraints are; where it "
        "does not hold the field keeps the design's own value.",
        default="",
        when_absent="it always counts",
    )

    def check(self) -> Iterator[tuple[str, str]]:
        ranged = self.low is not None or self.high is not None
        if bool(self.values) == ranged:
            yield "", "needs `values`, or a range from `low` to `high`, and not both"
        elif ranged:
            if self.low is None or self.high is None:
                yield "", "needs both `low` and `high` for a range"
            if sum(x is not None for x in (self.step, self.factor, self.count)) != 1:
                yield "", "needs one of `step`, `factor` and `count` for a range"
            if self.scale == "log" and self.count is None:
                yield "scale", "is for a range with a `count`; leave it out beside `step` or `factor`"
        elif self.step is not None or self.factor is not None or self.count is not None:
            yield "values", "stand beside `step`, `factor` or `count`, which are for ranges: keep one of them"


class GridSpec(Spec):
    """Every point, in order."""

    kind: Literal["grid"]


class SampleSpec(Spec):
    """Some points, drawn from the seed: each equally likely (random), or spread evenly over the values of
    every axis, as a Latin hypercube (lhs) or a Sobol sequence (sobol)."""

    kind: Literal["random", "lhs", "sobol"]
    points: int = field("How many points are evaluated at most.", ge=1, le=10**8)


class Nsga2Spec(Spec):
    """The evolutionary search NSGA-II (Deb et al., 2002): each generation is bred from the best points so
    far, by the objectives, and nearer to meeting the constraints."""

    kind: Literal["nsga2"]
    evaluations: int = field("How many points are evaluated at most.", ge=2, le=10**7)
    population: int = field("Points of one generation.", default=40, ge=4, le=10_000)


MethodSpec = GridSpec | SampleSpec | Nsga2Spec
METHODS = (GridSpec, SampleSpec, Nsga2Spec)


def _metrics() -> str:
    """Each metric with its meaning, and which way is better."""
    better = {"min": "less", "max": "more"}
    return "; ".join(f"{m.name}: {m.sentence} ({better[m.better]} is better)" for m in METRICS.values())


class SpaceSpec(Spec):
    """A space as its file holds it."""

    name: str = field("What the space is called: letters, digits, and _ . - within.")
    description: str = field("What is asked of it, in a sentence.", default="", descriptive=True)
    workloads: tuple[str, ...] = field("Networks by name or path; more than one make an axis `workload`.")
    designs: tuple[str, ...] = field("Base designs by name or path; more than one make an axis `design`.")
    axes: dict[str, tuple[Scalar, ...] | AxisSpec] = field(
        "What varies, by what it sets: the path of a design's field as `--set` takes it (`array.rows`, "
        "`clock`; `hwsim describe DESIGN` lists them), `workload.<parameter>` (`workload.batch`), `dtype`, "
        "`weight_dtype`, or `recipe` (a name, a path, or `none`). Each is a list of values, such as "
        "`[64, 128]` or `[8 MiB, 24 MiB]`, or a section: `{low: 32, high: 512, factor: 2}`, or "
        "`{values: [4, 8], when: array.dataflow == ws}`.",
        default={},
    )
    constraints: tuple[str, ...] = field(
        "Conditions that a point must meet, over metrics (those of `objectives`) and axes: comparisons with "
        "`and`, `or`, `not`, `+ - * /` and brackets, such as `area_mm2 <= 50` or `array.rows >= array.cols`; "
        "quantities stand in quotes, `unified_buffer.size <= '8 MiB'`. Those over axes alone keep points "
        "from being evaluated, and exclude nothing where an axis does not count; a comparison with a metric "
        "that a point lacks does not hold.",
        default=(),
    )
    objectives: tuple[str, ...] = field(
        f"Metrics that are traded against one another. {_metrics()}.",
        default=("latency_s", "energy_j", "area_mm2"),
    )
    method: Annotated[MethodSpec, by_kind(*METHODS)] = field(
        "How points are chosen: `{kind: grid}` tries every one, and is what holds unless another is named; "
        "`{kind: random, points: 500}`, or `lhs` or `sobol` for `random`, some; `{kind: nsga2, evaluations: "
        "1000}` searches.",
        default=GridSpec(kind="grid"),
    )
    seed: int = field(
        "Seed of drawn points, of recipes, and of weights that networks do not bring.",
        default=0,
        ge=0,
        le=2**63 - 1,
    )

    def check(self) -> Iterator[tuple[str, str]]:
        if not _NAME.fullmatch(self.name):
            yield "name", f"{self.name[:100]!r} must be 1 to 100 letters, digits, _ . and -"
        for key in ("workloads", "designs", "objectives"):
            listed = getattr(self, key)
            if not listed:
                yield key, "names none"
            if len(set(listed)) < len(listed):
                yield key, "names one twice"
        for name in self.objectives:
            if name not in METRICS:
                yield "objectives", f"{name!r} is no metric; known: {', '.join(METRICS)}"
        for name in ("workload", "design"):
            if name in self.axes:
                yield f"axes.{name}", f"list them under `{name}s` instead"


def space_schema() -> dict[str, Any]:
    """JSON Schema of space files, with what fields demand of one another as far as a schema can say it."""
    schema = json_schema(SpaceSpec)
    axis = schema["$defs"][AxisSpec.__name__]
    by = [{"required": [key]} for key in ("step", "factor", "count")]
    axis["oneOf"] = [{"required": ["values"]}, {"required": ["low", "high"], "oneOf": by}]
    schema["properties"]["objectives"]["items"]["enum"] = list(METRICS)
    for key in ("workloads", "designs", "objectives"):
        schema["properties"][key] |= {"minItems": 1, "uniqueItems": True}
    schema["properties"]["name"]["pattern"] = f"^{_NAME.pattern}$"
    return {**schema, "title": "hwsim space"}
