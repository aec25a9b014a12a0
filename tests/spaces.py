"""Spaces without machines, and one whose figures are formulas: a stand-in for a study of a systolic array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.explore.axes import Axis, conditional, read_axis
from hwsim.explore.expressions import read_condition
from hwsim.explore.outcome import METRICS
from hwsim.explore.space import Space
from hwsim.explore.space_file import AxisSpec, MethodSpec, SpaceSpec

Values = NDArray[np.float64]


def space_of(
    axes: Mapping[str, Sequence[Any] | dict[str, Any]],
    *,
    method: MethodSpec | None = None,
    constraints: Sequence[str] = (),
    objectives: Sequence[str] = ("latency_s", "energy_j", "area_mm2"),
    seed: int = 0,
    workloads: Sequence[str] = ("network",),
) -> Space:
    """A space of axes whose names are not looked up: lists of values, or {"values": ..., "when": ...}. More
    than one workload are the first axis."""
    written = {
        name: AxisSpec(**{**values, "values": tuple(values["values"])})
        if isinstance(values, dict)
        else tuple(values)
        for name, values in axes.items()
    }
    chosen = {} if method is None else {"method": method}
    spec = SpaceSpec(
        name="made", workloads=tuple(workloads), designs=("machine",), axes=written, seed=seed,
        constraints=tuple(constraints), objectives=tuple(objectives), **chosen,
    )  # fmt: skip
    read = [read_axis(name, values) for name, values in written.items()]
    if len(workloads) > 1:
        read.insert(0, Axis("workload", "workload", tuple(workloads), None))
    known = {*METRICS, *(axis.name for axis in read)}
    return Space(
        spec,
        tuple(conditional(spec, axis, read) for axis in read),
        tuple(read_condition(text, known) for text in constraints),
        {**{f"workload:{name}": "0" for name in workloads}, "design:machine": "0"},
    )


ARRAY: Mapping[str, Sequence[Any]] = {
    "rows": [32, 48, 64, 96, 128, 192, 256, 384, 512],
    "cols": [32, 48, 64, 96, 128, 192, 256, 384, 512],
    "buffer_mib": [2, 4, 8, 12, 16, 24, 32, 48],
    "bandwidth_gb_per_s": [17, 34, 68, 100, 136, 204, 272, 400],
    "clock_mhz": [350, 500, 700, 900, 1200],
    "dataflow": ["ws", "os"],
}
# Products of a network like ResNet-50, rows x columns x reduction and how often.
_PRODUCTS = (
    (12544, 64, 147, 1), (3136, 64, 64, 1), (3136, 64, 576, 3), (3136, 256, 64, 3), (3136, 64, 256, 2),
    (784, 128, 1152, 4), (784, 512, 128, 4), (784, 128, 512, 3), (196, 256, 2304, 6), (196, 1024, 256, 6),
    (196, 256, 1024, 5), (49, 512, 4608, 3), (49, 2048, 512, 3), (49, 512, 2048, 2), (1, 1000, 2048, 1),
)  # fmt: skip


def array_figures(indices: NDArray[np.int64]) -> Values:
    """(n, 3) seconds, joules and square millimetres of points (n, 6) of ARRAY, batch 8, by rough formulas:
    edges of tiles are padded, what the buffer does not hold goes through memory, wider arrays read operands
    less often and idle more."""
    rows, cols, mib, gb_per_s, mhz = (
        np.array(ARRAY[name], dtype=np.float64)[indices[:, i]] for i, name in enumerate(list(ARRAY)[:5])
    )
    stationary = indices[:, 5] == 0
    room, bytes_per_s, hz = mib * 2**20, gb_per_s * 1e9, mhz * 1e6
    latency, energy = np.zeros(len(indices)), np.zeros(len(indices))
    for m, n, k, times in _PRODUCTS:
        m *= 8
        down, across = np.ceil(k / rows), np.ceil(n / cols)
        cycles = np.where(
            stationary,
            down * across * np.maximum(m, rows) + rows + cols,
            np.ceil(m / rows) * across * (k + rows + cols / 10),
        )
        spilled = np.maximum(m * k / 9 + m * n - room / 2, 0)
        again = np.where(stationary, 1, np.minimum(np.ceil(2 * m * k / room), np.ceil(m / rows)))
        moved = n * k * np.maximum(again, 1) + 2 * spilled
        latency += times * (np.maximum(cycles / hz, moved / bytes_per_s) + 5e-7)
        read = m * k * across + 4 * m * n * down
        energy += times * (m * n * k * 0.3e-12 * (0.8 + 0.2 * (mhz / 700) ** 1.5) + moved * 40e-12)
        energy += times * read * 0.2e-12 * np.sqrt(mib)
    area = 5 + rows * cols * 8e-4 * (0.9 + 0.1 * mhz / 700) + 1.2 * mib + 0.12 * gb_per_s
    return np.stack([latency, energy + 0.05 * area * latency, area], axis=1)
