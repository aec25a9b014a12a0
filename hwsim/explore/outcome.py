"""What comes out for points: columns of metrics, what limited each, and why some have none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import BoolArray, Float64Array

OK, REFUSED, UNSUPPORTED, NO_ROOM, FAULT = range(5)
STATUSES = ("ok", "refused", "unsupported", "no room", "fault")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a point. `noun` is what people call it, `better` is "min" or "max" where it can be an
    objective. `form` says how it is written: with a prefix to its unit, in percent, in bytes, or plainly.
    `known` says for what it is known, where that is not everything."""

    name: str
    noun: str
    better: Literal["min", "max"]
    form: Literal["si", "percent", "bytes", "plain"]
    unit: str
    sentence: str
    known: str = ""


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("latency_s", "latency", "min", "si", "s", "time of one batch"),
        Metric("energy_j", "energy", "min", "si", "J", "energy of one batch"),
        Metric("area_mm2", "area", "min", "plain", "mm2", "area of the modelled parts"),
        Metric("average_power_w", "average power", "min", "si", "W", "energy over time"),
        Metric("energy_delay_js", "energy-delay product", "min", "si", "Js", "energy times time"),
        Metric(
            "throughput_per_s", "throughput", "max", "plain", "inferences/s",
            "inferences a second, one batch after the other",
        ),
        Metric(
            "throughput_per_w", "throughput per watt", "max", "plain", "inferences/J",
            "inferences a joule",
        ),
        Metric(
            "throughput_per_mm2", "throughput per mm2", "max", "plain", "inferences/s/mm2",
            "inferences a second and square millimetre",
        ),
        Metric(
            "utilization", "utilization", "max", "percent", "",
            "share of the peak MAC rate that did useful work",
        ),
        Metric(
            "weight_bytes", "size of the weights", "min", "bytes", "",
            "bytes of the weights as they are stored",
        ),
        Metric(
            "sqnr_db", "SQNR", "max", "plain", "dB",
            "signal over the noise of number formats and compression at the output",
        ),
        Metric(
            "accuracy", "accuracy", "max", "percent", "",
            "share of test images that are named rightly, where test images ship",
            "it is known only for networks that ship with trained weights and test images, digits_cnn and "
            "digits_mlp, and what `hwsim compress` makes of them",
        ),
    )
}  # fmt: skip
# Networks that ship with trained weights -> the data set whose images they name: they alone have accuracy.
TEST_IMAGES = {"digits_mlp": "digits", "digits_cnn": "digits"}
SIGNS = {"min": 1.0, "max": -1.0}


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for one point. Without it, `status` and `reason` say why there is nothing."""

    status: int = OK
    reason: str = ""
    limit: str = ""
    latency_s: float = math.nan
    energy_j: float = math.nan
    area_mm2: float = math.nan
    batch: int = 1
    utilization: float = math.nan
    weight_bytes: float = math.nan
    sqnr_db: float = math.nan
    accuracy: float = math.nan


# The rest follows from what is found, by the formulas of Result.
_DERIVED: Mapping[str, Callable[[Found], float]] = {
    "average_power_w": lambda f: f.energy_j / f.latency_s if f.latency_s else 0.0,
    "energy_delay_js": lambda f: f.energy_j * f.latency_s,
    "throughput_per_s": lambda f: f.batch / f.latency_s if f.latency_s else math.inf,
    "throughput_per_w": lambda f: f.batch / f.energy_j if f.energy_j else math.inf,
    "throughput_per_mm2": lambda f: (
        f.batch / f.latency_s / f.area_mm2 if f.latency_s and f.area_mm2 else math.inf
    ),
}


def metric_values(found: Found) -> dict[str, float]:
    """Every metric of one point, not a number where there is none."""
    if found.status != OK:
        return dict.fromkeys(METRICS, math.nan)
    return {
        name: _DERIVED[name](found) if name in _DERIVED else float(getattr(found, name)) for name in METRICS
    }


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Columns over n points: `metrics` by name (n,), status codes, limits and reasons."""

    metrics: Mapping[str, Float64Array]
    status: NDArray[np.int8]
    limits: tuple[str, ...]
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.status)

    @property
    def ok(self) -> BoolArray:
        """(n,) which points have figures."""
        found: BoolArray = self.status == OK
        return found


def outcomes(found: Sequence[Found]) -> Outcomes:
    """Points as columns."""
    rows = [metric_values(one) for one in found]
    return Outcomes(
        {name: np.array([row[name] for row in rows], dtype=np.float64) for name in METRICS},
        np.array([one.status for one in found], dtype=np.int8),
        tuple(one.limit for one in found),
        tuple(one.reason for one in found),
    )


def minimised(objectives: Sequence[str], metrics: Mapping[str, Float64Array]) -> Float64Array:
    """(n, objectives) metrics with the sign that makes less better."""
    columns = [SIGNS[METRICS[name].better] * metrics[name] for name in objectives]
    return np.stack(columns, axis=1) if columns else np.zeros((0, 0))
