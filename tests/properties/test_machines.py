"""Machines and operators at random: every run keeps the honesty rules, every stall has a name, and the two
timing paths agree on every start."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import CapacityError
from hwsim.pipeline import run
from hwsim.workload import Workload, conv2d, matmul
from tests.hand_worked import TINY
from tests.networks import residual_network

SWITCH = ["true", "false"]
FIELDS = {
    "dataflow": ["ws", "is", "os"],
    "array.rows": range(1, 10),
    "array.cols": range(1, 10),
    "fold_overlap": SWITCH,
    "double_buffer": SWITCH,
    "drain": ["hidden", "serial"],
    "group_packing": SWITCH,
    "depth_tiles": [1, 2, "unlimited"],
    "accumulators.rows": [2, 6, 40, "unlimited"],
    "unified_buffer.size": ["300 B", "900 B", "3000 B", "unlimited"],
    "lanes": [1, 3, "unlimited"],
    "weight_memory.bandwidth": ["1 GB/s", "7 GB/s", "unlimited"],
    "host_link.bandwidth": ["100 MB/s", "9 GB/s", "unlimited"],
    "clock": ["700 MHz", "1 GHz"],
}
machines = st.fixed_dictionaries(
    {path: st.sampled_from([str(v) for v in values]) for path, values in FIELDS.items()}
)
sizes = st.integers(1, 40)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    kind = draw(st.sampled_from(["matmul", "conv2d", "residual"]))
    if kind == "matmul":
        return matmul(draw(sizes), draw(sizes), draw(sizes), batch=draw(st.sampled_from([1, 3])))
    if kind == "residual":
        return residual_network()
    channels = [draw(st.sampled_from([4, 8])) for _ in range(2)]
    height, width = draw(st.integers(3, 9)), draw(st.integers(3, 9))
    return conv2d(
        draw(st.integers(1, 3)), channels[0], height, width, channels[1], draw(st.integers(1, 3)),
        stride=draw(st.integers(1, 3)), pad=draw(st.integers(0, 1)), groups=draw(st.sampled_from([1, 2, 4])),
    )  # fmt: skip


@settings(max_examples=80)
@given(machine=machines, workload=workloads())
def test_runs_keep_the_rules_and_paths_agree(machine: dict[str, str], workload: Workload) -> None:
    try:
        fast = run(workload, TINY, overrides=machine)
    except CapacityError:
        return  # refused with the figure: a row of tiles does not fit the streaming buffer
    events = run(workload, TINY, overrides=machine, timing="events")
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert (fast.timing.stalls_ps == events.timing.stalls_ps).all()
    assert fast.stalls.get("other", 0) == 0
