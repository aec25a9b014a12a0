"""Rule 4: bounds and bytes fall with more bandwidth, buffer and PEs; a larger limit never hurts a mapping.

Times need not fall (edge tiles, skew, first come first served), so none are compared.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.devices.systolic import SystolicDevice
from hwsim.devices.systolic_pipeline import asked
from hwsim.errors import CapacityError
from hwsim.pipeline import Prepared, prepare
from hwsim.plan import Plan
from hwsim.plan.residency import Operand, Residency
from hwsim.workload import load_workload, matmul
from hwsim.workload.lowering import plain_attention
from tests.hand_worked import TINY
from tests.sequences import decoder

MORE = {
    "bandwidth": [f"weight_memory.bandwidth={rate} GB/s" for rate in (4, 34, 400)],
    "link": [f"host_link.bandwidth={rate} GB/s" for rate in (1, 16, 64)],
    "buffer": [f"unified_buffer.size={size} KiB" for size in (768, 1024, 3000, 24576)],
    "accumulators": [f"accumulators.rows={rows}" for rows in (256, 512, 4096, 8192)],
    "FIFO": [f"depth_tiles={depth}" for depth in (1, 2, 4)],
    "rows of PEs": [f"array.rows={rows}" for rows in (16, 64, 256, 512)],
    "columns of PEs": [f"array.cols={cols}" for cols in (16, 64, 256, 512)],
}
# Scores of 1 MB for each of 8 heads, which the smaller buffers spill.
SEQUENCE = plain_attention(
    decoder(layers=1, queries=1024, heads=8, groups=2, size=32, inner=1024, rows=300, dtype="int8")
)
LIMITS = ("buffer", "accumulators", "FIFO")  # the device may use less of these than there is


def prepared(workload: str, override: str) -> tuple[Prepared, SystolicDevice]:
    device = make_device(load_design("tpu_v1", (override,)).device_spec)
    assert isinstance(device, SystolicDevice)
    network = SEQUENCE if workload == SEQUENCE.name else load_workload(workload)
    return prepare(network.astype("int8"), device), device


def floor_ps(device: SystolicDevice, plan: Plan) -> int:
    """What a mapping is chosen by."""
    amounts = asked(plan, not device.spec.array.double_buffer)
    resources = device.pipeline.resources
    return max(r.duration_ps(amount) for r, amount in zip(resources, amounts, strict=True))


@pytest.mark.parametrize("workload", ["lenet5", "alexnet", "resnet18", "mobilenet_v1", SEQUENCE.name])
@pytest.mark.parametrize("more", MORE)
def test_bounds_and_bytes_fall(workload: str, more: str) -> None:
    before: tuple[np.ndarray, int, int] | None = None
    for override in MORE[more]:
        found, device = prepared(workload, override)
        moved = [i for i, stage in enumerate(device.pipeline.stages) if stage.unit == "bytes"]
        moved_bytes = sum(int(plan.stage_totals[moved].sum()) for plan in found.plans)
        measure = sum(floor_ps(device, plan) for plan in found.plans)
        bounds = found.bound_ps.sum(axis=0)
        if before is not None:
            assert (bounds <= before[0]).all(), override
            assert moved_bytes <= before[1], override
            assert measure <= before[2] or more not in LIMITS, override
        before = bounds, moved_bytes, measure


def test_these_limits_bind_somewhere() -> None:
    """So that the test above compares different things."""
    assert prepared("resnet18", MORE["buffer"][0])[0].schedule.spilled
    assert not prepared("resnet18", MORE["buffer"][-1])[0].schedule.spilled
    tiles = [sum(plan.tiles for plan in prepared("resnet18", o)[0].plans) for o in MORE["accumulators"]]
    assert tiles == sorted(tiles, reverse=True)
    assert len(set(tiles)) == len(tiles)


@settings(max_examples=60)
@given(
    sizes=st.tuples(*[st.integers(1, 60)] * 3),
    places=st.tuples(st.sampled_from(["chip", "memory"]), st.sampled_from(["chip", "memory"])),
    bandwidth=st.sampled_from(["1 GB/s", "3 GB/s", "unlimited"]),
    overlap=st.booleans(),
    dataflow=st.sampled_from(["ws", "is", "os"]),
    rows=st.tuples(st.integers(2, 80), st.integers(0, 80)),
    room=st.tuples(st.integers(200, 4000), st.integers(0, 2000)),
)
@example((56, 28, 51), ("memory", "memory"), "3 GB/s", True, "is", (24, 49), (311, 0))
def test_a_mapping_within_more_room_is_not_worse_by_the_measure_it_is_chosen_by(
    sizes: tuple[int, int, int], places: tuple[str, str], bandwidth: str, overlap: bool, dataflow: str,
    rows: tuple[int, int], room: tuple[int, int],
) -> None:  # fmt: skip
    m, n, k = sizes
    operands = (Operand(m * k, m * k, "int8", places[0]), Operand(k * n, k * n, "int8", "weights"))
    output = Operand(m * n, m * n, "int8", places[1])

    def measure(rows: int, stream_bytes: int) -> int:
        overrides = (f"weight_memory.bandwidth={bandwidth}", f"fold_overlap={str(overlap).lower()}",
                     f"dataflow={dataflow}", f"accumulators.rows={rows}")  # fmt: skip
        device = make_device(load_design(TINY, overrides).device_spec)
        assert isinstance(device, SystolicDevice)
        residency = Residency(operands, output, stream_bytes if "memory" in places else None)
        return floor_ps(device, device.plan(matmul(m, n, k).operators[0], residency))

    try:
        least = measure(rows[0], room[0])
    except CapacityError:
        assume(False)
    assert measure(sum(rows), room[0]) <= least
    assert measure(rows[0], sum(room)) <= least
