"""Two tiny machines and a wire, worked out by hand to the picosecond and the picojoule."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.workload.operators import Elementwise, Matmul, Softmax
from tests.networks import network, operator, sandwich

PAIR = Path(__file__).parents[2] / "pair.yaml"
TINY = Path(__file__).parents[2] / "tiny.yaml"
ON_CPU = ("placement.softmax=cpu",)


def completions(result: Result) -> dict[str, int]:
    timing = result.timing
    return dict(zip(timing.names, (timing.completion_ps // 1000).tolist(), strict=True))


@pytest.mark.parametrize("timing", ["fast", "events"])
def test_a_softmax_on_the_processor(timing: str) -> None:
    """In ns. A byte of the wire takes 4, and 100 more until it is there; the ends are faster and work beside
    it. The array takes 8 for each tile of 2 x 2 weights, and then 4 to settle and 8 to drain the last. The
    processor takes 50 to launch, 32 to load, 16 for 4 passes over 32 numbers in 8 lanes, 32 to store."""
    found = run(sandwich(), PAIR, overrides=ON_CPU, timing=timing)
    assert completions(found) == {
        "input:x": 0,
        "wire:x": 24 * 4 + 100,
        "h": 196 + 12 * 8 + 4 + 8,
        "wire:h": 304 + 32 * 4 + 100,
        "s": 532 + 50 + 32 + 16 + 32,
        "wire:s": 662 + 32 * 4 + 100,
        "y": 890 + 8 * 8 + 4 + 8,
        "wire:y": 966 + 16 * 4 + 100,
        "output:y": 1130,
    }
    assert found.timing.makespan_ps == 1_130_000
    assert found.timing.where == ("cpu", "wire", "array", "wire", "cpu", "wire", "array", "wire", "cpu")


def test_what_crosses_the_wire_and_what_it_costs() -> None:
    """104 bytes of 8 bits at 3.86 pJ each, on the wire and at the array's own port, which is such a link too;
    the caches and buffers at its ends are read and written for each of them."""
    found = run(sandwich(), PAIR, overrides=ON_CPU)
    timing, usage = found.timing, found.usage
    moved = dict(zip(timing.names, timing.moved_bytes.tolist(), strict=True))
    assert {name: moved[name] for name in moved if name.startswith("wire")} == {
        "wire:x": 24, "wire:h": 32, "wire:s": 32, "wire:y": 16,
    }  # fmt: skip
    assert sum(moved.values()) == 104
    assert usage.total("wire", "transfer") == usage.total("array.host_link", "transfer") == 104
    assert usage.by_component()["wire"] == pytest.approx(104 * 8 * 3.86)
    # x and s leave the processor's cache; h and y come into it, and the softmax reads and writes it too.
    assert usage.total("cpu.cache", "read") == 24 + 32 + 32
    assert usage.total("cpu.cache", "write") == 32 + 16 + 32


def test_who_stood_still_for_whom() -> None:
    """The array waits 228 ns for h to leave it and 130 for the softmax to be made of it, then 228 for s to
    come; x is 196 ns on its way. y's way back is nothing that it waits for."""
    found = run(sandwich(), PAIR, overrides=ON_CPU)
    stalls = dict(zip(found.timing.causes, found.timing.stalls_ps.sum(axis=0).tolist(), strict=True))
    assert stalls["transfer"] == (196 + 228) * 1000
    assert stalls["elsewhere"] == (228 + 130) * 1000
    assert stalls["other"] == 0


def test_a_share_of_the_time_for_each() -> None:
    found = run(sandwich(), PAIR, overrides=ON_CPU).summary()["shares"]
    assert isinstance(found, dict)
    assert found["wire"]["elapsed_s"] == pytest.approx((196 + 228 + 228 + 164) * 1e-9)
    assert found["wire"]["operators"] == ("wire:x", "wire:h", "wire:s", "wire:y")
    assert found["cpu"]["elapsed_s"] == pytest.approx(130e-9)
    assert sum(one["share"] for one in found.values()) == pytest.approx(1)


def test_a_link_without_limits_changes_nothing() -> None:
    """All on the array, over a link as fast as its port: as long as with the array alone."""
    free = ("links.wire.bandwidth=unlimited", "links.wire.latency=0 s", "cache.bytes_per_cycle=8")
    shared, alone = run(sandwich(), PAIR, overrides=free), run(sandwich(), TINY)
    assert shared.timing.makespan_ps == alone.timing.makespan_ps
    own = {key.removeprefix("array."): joule for key, joule in shared.usage.by_component().items()}
    assert {name: own[name] for name in alone.usage.by_component()} == alone.usage.by_component()


def test_devices_work_side_by_side() -> None:
    """Two branches, one on each device, take less than one after the other; both wait for what they share."""
    work = network(
        {"x": (16, 16)},
        {"w": (16, 16), "v": (16, 16)},
        [
            (operator(Matmul(1, 16, 16, 16), "x w", "h"), (16, 16)),
            (operator(Softmax(16, 16), "x", "s"), (16, 16)),
            (operator(Elementwise("add", 256, 2), "h s", "y"), (16, 16)),
        ],
        ["y"],
    )
    found = completions(run(work, PAIR, overrides=ON_CPU))
    assert found["s"] < found["h"]  # it needs nothing of the array
    assert found["y"] > max(found["h"], found["s"])


def test_a_result_is_sent_once_to_each_device() -> None:
    work = network(
        {"x": (4, 8)},
        {"w": (8, 8), "v": (8, 8)},
        [
            (operator(Matmul(1, 4, 8, 8), "x w", "h"), (4, 8)),
            (operator(Softmax(4, 8), "h", "s"), (4, 8)),
            (operator(Softmax(4, 8), "h", "t"), (4, 8)),
            (operator(Matmul(1, 4, 8, 8), "h v", "y"), (4, 8)),
        ],
        ["y", "s", "t"],
    )
    names = run(work, PAIR, overrides=ON_CPU).timing.names
    assert [name for name in names if name.startswith("wire")] == ["wire:x", "wire:h", "wire:y"]
