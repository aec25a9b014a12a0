"""Points of made-up sweeps, for tests of what is made of a store. No machine is simulated: figures follow
from a formula that spreads them as real ones lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwsim.explore.axes import Axis
from hwsim.explore.outcome import METRICS, OK, UNSUPPORTED
from hwsim.explore.stored import Points

BUFFERS = ("4 MiB", "8 MiB", "24 MiB")
CONSTRAINT = "area_mm2 <= 150"
REASON = 'conv "1", <b>: no room & no host'


def axis(name: str, kind: str, values: Sequence[str], numbers: Sequence[float] | None = None) -> Axis:
    return Axis(name, kind, tuple(values), None if numbers is None else np.array(numbers, dtype=np.float64))


def sample_axes(count: int) -> tuple[Axis, ...]:
    """Axes whose grid holds at least `count` points: a range, quantities, words, a batch."""
    steps = max(2, math.ceil(count / (4 * len(BUFFERS) * 2 * 2)))
    rows = [8 * (i + 1) for i in range(steps)]
    return (
        axis("array.rows", "field", [str(x) for x in rows], rows),
        axis("array.cols", "field", ["64", "128", "256", "512"], [64, 128, 256, 512]),
        axis("buffer.size", "field", BUFFERS, [4 * 2**20, 8 * 2**20, 24 * 2**20]),
        axis("array.dataflow", "field", ["ws", "os"]),
        axis("workload.batch", "parameter", ["1", "8"], [1, 8]),
    )


def sample_points(count: int = 96, *, workloads: Sequence[str] = (), name: str = "shapes") -> Points:
    """So many points of the grid. Every 17th is unsupported, and in every 11th one axis does not count."""
    axes = sample_axes(count)
    if workloads:
        axes = (axis("workload", "workload", workloads), *axes)
    sizes = [len(one.values) for one in axes]
    places = np.linspace(0, math.prod(sizes) - 1, count).astype(np.int64)
    indices = np.stack(np.unravel_index(places, sizes), axis=1).astype(np.int64)
    at = {one.name: one.column(indices[:, i]) for i, one in enumerate(axes)}
    number = {key: column.astype(np.float64) for key, column in at.items() if column.dtype != object}
    rows, cols, size = number["array.rows"], number["array.cols"], number["buffer.size"]
    batch, wave = number["workload.batch"], np.sin(37.0 * np.arange(count))
    stationary = np.where(at["array.dataflow"] == "ws", 1.0, 1.3)
    larger = 1.0 + (indices[:, 0] * 2.0 if workloads else 0.0)
    area = 40 + rows * cols * 6e-4 + size * 5e-6
    macs = 4e9 * batch * larger
    compute = macs / (rows * cols * 7e8) * stationary * (1.15 + 0.1 * wave)
    memory = larger * (2.5e7 * 24 * 2**20 / size + 1e6 * batch) / 3.4e10
    latency = np.maximum(compute, memory)
    energy = macs * 1.2e-12 * (1 + 0.1 * wave) + latency * area * 0.05
    status = np.where(np.arange(count) % 17 == 16, UNSUPPORTED, OK).astype(np.int8)
    metrics = {
        "latency_s": latency, "energy_j": energy, "area_mm2": area, "average_power_w": energy / latency,
        "energy_delay_js": energy * latency, "throughput_per_s": batch / latency,
        "throughput_per_w": batch / energy, "throughput_per_mm2": batch / latency / area,
        "utilization": np.minimum(1.0, compute / latency / 1.4), "weight_bytes": np.full(count, 25.5e6),
    }  # fmt: skip
    absent = np.full(count, math.nan)
    found = {key: np.where(status == OK, metrics.get(key, absent), math.nan) for key in METRICS}
    indices[::11, len(axes) - 3] = -1
    space = {
        "workloads": list(workloads) or ["resnet50"], "designs": ["tpu_v1"], "seed": 0,
        "constraints": [CONSTRAINT], "objectives": ["latency_s", "energy_j", "area_mm2"],
    }  # fmt: skip
    return Points(
        name=name,
        description="Which array and which buffer for ResNet-50?",
        version="0",
        axes=axes,
        space=space,
        indices=indices,
        status=status,
        reasons=tuple("" if code == OK else f"{REASON} {i % 3}" for i, code in enumerate(status)),
        limits=tuple(
            "" if code != OK else "array" if c > m else "dram"
            for code, c, m in zip(status, compute, memory, strict=True)
        ),
        violations=np.where(area <= 150, 0.0, (area - 150) / 150),
        metrics=found,
    )


def answerless() -> dict[str, Points]:
    """Sweeps of which no point is best: none was tried, none could be evaluated, none meets the constraints,
    nothing was asked for."""
    some = sample_points(40)
    failed = replace(
        some,
        status=np.full(40, UNSUPPORTED, dtype=np.int8),
        reasons=("no",) * 40,
        limits=("",) * 40,
        metrics=dict.fromkeys(METRICS, np.full(40, math.nan)),
    )
    return {
        "none": sample_points(0),
        "failed": failed,
        "missed": replace(some, violations=np.ones(40)),
        "unasked": replace(some, space={**some.space, "objectives": []}),
    }
