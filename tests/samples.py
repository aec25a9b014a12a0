"""A result made by hand, for tests of what is done with results: three operators, four stages."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from hwsim.result import AreaTable, Provenance, Result, TimingTable, Trace, UsageTable, WeightTable

OPERATORS = ("input:x", "conv1", 'fc, "two"')
STAGES = ("weights", "load", "compute", "settle")
RESOURCES = ("memory", "array", "delay")
STAGE_RESOURCES = ("memory", "memory", "array", "delay")
DURATIONS_PS = np.array([[0, 100, 300], [50, 0, 40], [0, 200, 250], [0, 1000, 0]], dtype=np.int64)
KIND_OF_TILE = np.array([0, 1, 1, 1, 2], dtype=np.int32)
FIRST_TILE = np.array([0, 1, 4, 5], dtype=np.int64)
# weights and load share the memory; settle is a delay whose tiles overlap; 1,950 ps in all.
START_PS = np.array(
    [[0, 50, 150, 250, 350], [0, 50, 150, 250, 650], [50, 150, 350, 550, 750], [50, 350, 550, 750, 1000]],
    dtype=np.int64,
)
MAKESPAN_PS = 1750


def sample_trace() -> Trace:
    return Trace(
        STAGES, STAGE_RESOURCES, FIRST_TILE, KIND_OF_TILE, DURATIONS_PS, START_PS, MAKESPAN_PS, "events"
    )


def sample_result(**changes: Any) -> Result:
    """The result; `changes` replace its fields."""
    per_tile = DURATIONS_PS[:, KIND_OF_TILE]
    busy = np.stack([per_tile[:, a:b].sum(axis=1) for a, b in pairwise(FIRST_TILE)])
    fields: dict[str, Any] = {
        "workload": "sample",
        "design": "machine",
        "batch": 2,
        "dtype": "int8",
        "synthetic": False,
        "clock_hz": 10**9,
        "macs_per_cycle": 4,
        "focus": "compute",
        "timing": sample_timing(busy),
        "usage": UsageTable(
            OPERATORS,
            (("memory", "read"), ("array", "mac_int8")),
            np.array([[8, 0], [30, 6], [40, 4]], dtype=np.int64),
            np.array([2.5, 0.3]),
            ("row 1", "row 2"),
        ),
        "area": AreaTable(("memory", "array"), (1.5, 0.5), (0.002, 0.001), ("row 3", "row 4")),
        "peak_chip_bytes": 1000,
        "spilled": (),
        "published": {"idle_power_w": 1.0, "busy_power_w": 2.0},
        "provenance": Provenance(
            "0.1", "sample.yaml", "ab" * 32, "machine.yaml", "cd" * 32, ("rows=2",), {"batch": 2}, "horowitz",
            "events", ("a note",), ("refresh",),
        ),
        "trace": sample_trace(),
    }  # fmt: skip
    return Result(**(fields | changes))


def sample_weights() -> WeightTable:
    """Weights of the sample's two layers with MACs: the first pruned and stored by a codec, which the machine
    does not know; the second as it was."""
    return WeightTable(
        operators=OPERATORS[1:],
        layers=("conv1", "fc2"),
        tensors=("conv1.w", 'fc "2".w'),
        dtypes=("int8", "int8"),
        codecs=("bitmask", "dense"),
        uses=np.array([2, 1]),
        weights=np.array([4000, 2000]),
        density=np.array([0.25, 1.0]),
        codebook=np.array([15, 0]),
        quantised=np.array([False, True]),
        stored_bits=np.array([12000, 16064]),
        dense_bits=np.array([32000, 16000]),
        held_bytes=np.array([4000, 2000]),
        on_chip=np.array([False, True]),
        moved_bytes=np.array([8000, 0]),
        macs=np.array([6, 4]),
        multiplications=np.array([6, 4]),
    )


def sample_timing(busy: np.ndarray, names: tuple[str, ...] = OPERATORS) -> TimingTable:
    return TimingTable(
        names=names,
        kinds=("transfer", "conv2d", "matmul"),
        layers=("", "conv1", "fc2"),
        macs=np.array([0, 6, 4], dtype=np.int64),
        tiles=np.diff(FIRST_TILE),
        completion_ps=np.array([50, 1750, 1750], dtype=np.int64),
        overlapped=np.zeros(3, dtype=np.bool_),
        stages=STAGES,
        stage_resources=STAGE_RESOURCES,
        busy_ps=busy,
        causes=("input", "weights"),
        active_ps=np.array([0, 600, 250], dtype=np.int64),
        stalls_ps=np.array([[50, 0], [0, 100], [0, 750]], dtype=np.int64),
        resources=RESOURCES,
        servers=(1, 1, 10**9),
        bound_ps=np.zeros((3, 3), dtype=np.int64),
        makespan_ps=MAKESPAN_PS,
    )
