"""Where tensors live: lives, views, what is spilled, transfers and capacities, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwsim.errors import CapacityError
from hwsim.plan.residency import Edge, Schedule, schedule
from hwsim.workload import Workload
from hwsim.workload.operators import Elementwise, Transfer, View
from tests.networks import network, operator, residual_network

# Issue order of residual_network: 0 input:x, 1 c1, 2 c2, 3 s, 4 flat (a view), 5 y, 6 output:y.
# Alive at each, in bytes: x 64; x c1 192; c1 c2 256; c1 c2 s 384; s 128; s y 138; y 10.
PEAK_BYTES = 384
WEIGHT_BYTES = 4 * 8 + 8 * 8 + 128 * 10


def residual(chip_bytes: int | None = None, memory_bytes: int | None = None, share: float = 0.0) -> Schedule:
    return schedule(
        residual_network(),
        chip_bytes=chip_bytes,
        memory_bytes=memory_bytes,
        background_share=share,
    )


def place_of(found: Schedule, name: str) -> dict[str, str]:
    """Tensor -> place, as the operator called `name` meets its operands and output."""
    at = [op.name for op in found.operators].index(name)
    op, residency = found.operators[at], found.residencies[at]
    assert residency is not None
    names = (*op.inputs, op.output)
    return dict(zip(names, [o.place for o in (*residency.operands, residency.output)], strict=True))


@pytest.mark.parametrize("chip_bytes", [None, PEAK_BYTES, PEAK_BYTES + 1])
def test_all_stays_on_chip_where_the_peak_fits(chip_bytes: int | None) -> None:
    found = residual(chip_bytes)
    assert [op.name for op in found.operators] == ["input:x", "c1", "c2", "s", "flat", "y", "output:y"]
    assert found.spilled == ()
    assert found.peak_chip_bytes == PEAK_BYTES
    assert found.memory_bytes == WEIGHT_BYTES
    assert place_of(found, "c1") == {"x": "chip", "w1": "weights", "c1": "chip"}
    assert all(r is None or r.stream_bytes is None for r in found.residencies)


def test_room_in_memory_is_used_again() -> None:
    """With all spilled, as much at a time as is alive at a time: 384 bytes, and not the 458 of all together.
    Without a host link x and y (64 and 10) stay all the time, beside c1, c2 and s (128 each) or s and y."""
    assert residual(1).memory_bytes == WEIGHT_BYTES + PEAK_BYTES
    apart = schedule(residual_network(), chip_bytes=1, memory_bytes=None, host_link=False)
    assert apart.memory_bytes == WEIGHT_BYTES + 64 + 10 + 3 * 128


def test_operators_wait_for_those_whose_results_they_read() -> None:
    chip = "chip"
    assert set(residual().edges) == {
        Edge(1, 0, chip, 0),
        Edge(2, 1, chip, 0),
        Edge(3, 1, chip, 0),
        Edge(3, 2, chip, 1),
        Edge(5, 3, chip, 0),
        Edge(6, 5, chip, 0),
    }


def test_a_view_shares_the_storage_of_what_it_views() -> None:
    found = residual()
    assert found.residencies[4] is None  # the view itself touches nothing
    assert not [edge for edge in found.edges if 4 in (edge.consumer, edge.producer)]
    assert place_of(residual(383), "y")["flat"] == place_of(residual(383), "s")["s"]


def test_what_is_used_least_for_its_size_is_spilled_first() -> None:
    # 383 bytes are one too few. A quarter, 95, is kept for streams, so 288 are left. Only at s (384) do
    # more live; c2 and s are used once and c1 twice, and of equals the first by name goes.
    found = residual(383)
    assert found.spilled == ("c2",)
    assert found.peak_chip_bytes == 256  # c1 and s
    assert found.memory_bytes == WEIGHT_BYTES + 128
    assert place_of(found, "s") == {"c1": "chip", "c2": "memory", "s": "chip"}
    assert place_of(found, "c2") == {"c1": "chip", "w2": "weights", "c2": "memory"}
    assert Edge(3, 2, "memory", 1) in found.edges
    # Operators that touch a spilled tensor may use the kept quarter; the others need none.
    streams = {op.name: r.stream_bytes for op, r in zip(found.operators, found.residencies, strict=True) if r}
    assert streams == {"c1": None, "c2": 95, "s": 95, "y": None}


def test_spilling_goes_on_until_all_fits() -> None:
    # 200 - 50 = 150 bytes: at c1 (192) x and c1 live, x is used once; at c2 (256) c2 goes; at s (256) s goes.
    found = residual(200)
    assert found.spilled == ("c2", "s", "x")
    assert found.peak_chip_bytes == 128
    assert place_of(found, "y")["flat"] == "memory"
    transfer = found.operators[0].problem
    assert isinstance(transfer, Transfer)
    assert transfer.to_memory
    # 32 - 8 = 24 bytes hold the ten of y alone.
    assert residual(32).spilled == ("c1", "c2", "s", "x")
    assert residual(8).spilled == ("c1", "c2", "s", "x", "y")


def test_memory_must_hold_weights_and_what_is_spilled() -> None:
    needed = WEIGHT_BYTES + 128
    assert residual(383, needed).memory_bytes == needed
    with pytest.raises(CapacityError, match=r"needs 1\.47 KiB of device memory .*1\.34 KiB.*has 1\.47 KiB"):
        residual(383, needed - 1)


def test_background_traffic_is_the_share_that_nobody_waits_for() -> None:
    found = residual(share=0.25)
    moved = [op.problem for op in found.operators if isinstance(op.problem, Transfer)]
    # Input, background, output: rounding favours the waiting share.
    assert [problem.size_bytes for problem in moved] == [64 - 16, 16, 10 - 2]
    assert [problem.out_bytes for problem in moved] == [0, 2, 0]
    assert found.operators[1].name == "background"
    assert not [edge for edge in found.edges if 1 in (edge.consumer, edge.producer)]


def test_an_output_that_views_an_input_is_the_input() -> None:
    workload = network(
        {"x": (2, 6)},
        {},
        [
            (operator(View("reshape", 12), "x", "r"), (12,)),
            (operator(Elementwise("relu", 12), "r", "y"), (12,)),
        ],
        ["r", "y"],
    )
    found = schedule(workload, chip_bytes=None, memory_bytes=None)
    assert found.peak_chip_bytes == 24
    edges = {(e.consumer, e.producer) for e in found.edges}
    assert edges == {(2, 0), (3, 0), (4, 2)}  # relu and output:r wait for the input, output:y for relu


def test_a_spilled_input_is_waited_for_and_written_whole() -> None:
    """Only tensors on chip have traffic that hides behind other batches."""
    found = residual(share=0.25, chip_bytes=8)
    assert "x" in found.spilled
    moved = [op.problem for op in found.operators if isinstance(op.problem, Transfer)]
    assert (moved[0].size_bytes, moved[0].to_memory, moved[1].size_bytes) == (64, True, 0)


def in_memory(workload: Workload, chip_bytes: int | None, share: float = 0.0) -> Schedule:
    return schedule(
        replace(workload, operands_in_memory=True),
        chip_bytes=chip_bytes, memory_bytes=None, background_share=share,
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_operands_in_memory_stay_there_and_cross_no_link(share: float) -> None:
    found = in_memory(residual_network(), PEAK_BYTES * 4, share)
    moved = [op.problem for op in found.operators if isinstance(op.problem, Transfer)]
    assert all(problem.size_bytes == problem.out_bytes == 0 and problem.to_memory for problem in moved)
    assert place_of(found, "c1") == {"x": "memory", "w1": "weights", "c1": "chip"}
    assert place_of(found, "y")["y"] == "memory"
    assert found.spilled == ()  # nothing had to go: it was never on chip
    assert found.peak_chip_bytes == PEAK_BYTES
    assert found.memory_bytes == WEIGHT_BYTES + 64 + 10  # x and y
    # What lies between is on chip, so a quarter is kept for streaming.
    assert [r.stream_bytes for r in found.residencies if r is not None] == [
        PEAK_BYTES,
        None,
        None,
        PEAK_BYTES,
    ]


def test_room_for_streaming_is_kept_where_operands_lie_in_memory() -> None:
    """Without that, c1 c2 s would fill the chip to the last byte, and x have no room to come through."""
    assert in_memory(residual_network(), PEAK_BYTES).spilled != ()
    assert residual(PEAK_BYTES).spilled == ()


def test_streaming_may_fill_a_chip_on_which_nothing_stays() -> None:
    alone = network({"x": (64,)}, {}, [(operator(Elementwise("relu", 64), "x", "y"), (64,))], ["y"])
    found = in_memory(alone, 1000)
    (residency,) = (r for r in found.residencies if r is not None)
    assert residency.stream_bytes == 1000
    assert found.peak_chip_bytes == 0
