"""Recurrent layers on a systolic machine, worked out on paper for tests/tiny.yaml: a 2 x 2 weight-stationary
array at 500 MHz (2 ns a cycle), memory at 1 ns a byte, link at 0.5 ns a byte, two lanes. Times in ns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.pipeline import run
from hwsim.plan.residency import scratch_bytes
from hwsim.result import Result
from hwsim.workload import recurrent
from hwsim.workload.operators import Recurrent
from tests.recurrent_layers import CELLS, FORMS, OPTIONS, layer

TINY = Path(__file__).parents[2] / "tiny.yaml"
FORMATS = Path(__file__).parents[2] / "formats.yaml"


def stalls(found: Result) -> dict[str, int]:
    totals = found.timing.stalls_ps.sum(axis=0).tolist()
    return {cause: ps for cause, ps in zip(found.timing.causes, totals, strict=True) if ps}


# An LSTM of one unit, one sequence, two steps: four gates are two tiles of two columns a step, each with 2
# bytes of weights (2 to arrive, 4 to shift in), one row (2), 4 to settle. A tile's two sums take two passes
# each on two lanes: 4. With the second come 5 operations of the new state, three cycles more: 10.
#   x: 0-1. Tile A: weights 0-2, shift -6, compute 6-8, settled 12, drain -16.
#   B: the FIFO's place is free at 6: weights -8, shift -12, compute -14, settled 18, drain -28: a new state.
#   C: weights 12-14, shift -18, and waits for the state: compute 28-30, settled 34, drain -38.
#   D: weights 18-20, shift -24, compute 30-32, settled 36, drain 38-48. The result leaves in 1: 49.
# The array stands for input 0-1, weights 1-2, shifts 2-6 and 8-12, the state 14-28, and the last drain 32-48.
LSTM_PS = 49_000
LSTM_STALLS = {
    "input": 1_000, "weight_stall": 1_000, "weight_shift": 8_000, "raw": 14_000, "output": 16_000,
    "tail": 1_000,
}  # fmt: skip
LSTM_COUNTS = {
    ("array", "mac_int8"): 8,
    # A multiplication latches an activation and a sum: 5 bytes. Two bytes a tile pass 1.5 rows each.
    ("pe_registers", "write"): 8 * 5 + 4 * 3,
    # The state once a tile; of a step 16 bytes of sums, one of x, one of the cell; both states to the link.
    ("unified_buffer", "read"): 4 + 2 * 18 + 2,
    # x; sums of a step; its state and cell.
    ("unified_buffer", "write"): 2 + 2 * (16 + 2),
    ("accumulators", "write"): 8 * 4,
    ("accumulators", "read"): 8 * 4,
    ("activation_unit", "op_int8"): 2 * (4 * 2 + 5),
    ("weight_memory", "read"): 8,
    ("weight_fifo", "write"): 8,
    ("weight_fifo", "read"): 8,
    ("host_link", "transfer"): 2 + 2,
}
LSTM_PJ = {
    "array": 8 * 0.3,
    "pe_registers": 52 * 0.082856,
    "unified_buffer": (42 + 38) * 1.25,
    "accumulators": 64 * 1.25,
    "activation_unit": 26 * 0.3,
    "weight_memory": 8 * 162.5,
    "weight_fifo": 16 * 10 * (4 / 8192) ** 0.5 / 8,
    "host_link": 4 * 30.88,
}


@pytest.mark.parametrize("timing", ["fast", "events"])
def test_an_lstm_on_paper(timing: str) -> None:
    found = run(recurrent("lstm", 1, 1, 2), TINY, timing=timing)
    assert found.timing.makespan_ps == LSTM_PS
    assert stalls(found) == LSTM_STALLS
    counted = found.usage.counts.sum(axis=0).tolist()
    assert {k: n for k, n in zip(found.usage.keys, counted, strict=True) if n} == LSTM_COUNTS
    assert found.usage.by_component() == pytest.approx(LSTM_PJ, rel=1e-12)
    assert found.dynamic_energy_j == pytest.approx(sum(LSTM_PJ.values()) * 1e-12, rel=1e-12)


# An RNN of two units: one block of 2 x 2 weights, which stays in the array. x: four bytes in two steps, 0-2.
#   weights 0-4, shift -8, compute 8-10, settled 14, drain (two sums, two passes, two lanes) -18: a new state.
#   The second step computes at once: 18-20, settled 24, drain -28. Four bytes leave in 2: 30.
@pytest.mark.parametrize("timing", ["fast", "events"])
def test_a_single_block_of_weights_stays_in_the_array(timing: str) -> None:
    found = run(recurrent("rnn", 2, 1, 2), TINY, timing=timing)
    assert found.timing.makespan_ps == 30_000
    assert found.usage.total("weight_memory", "read") == 4
    assert found.usage.total("pe_registers", "write") == 8 * 5 + 6


# The LSTM above with its state projected, so that one tile of one byte of weights more follows in each step.
#   A and B as above: at 28 the gates have made what is projected. V: FIFO free at 12, weights -13, shift -17,
#   and waits: compute 28-30, settled 34, one sum in one pass: drain -36, the new state.
#   C: weights 17-19, shift -23, waits: compute 36-38, settled 42, drain -46.
#   D: weights 23-25; V leaves its plane at 30: shift -34, compute 38-40, settled 44, drain 46-56.
#   V: weights 34-35; C leaves its plane at 38: shift -42, compute 56-58, settled 62, drain -64. Out in 1: 65.
PROJECTED_PS = 65_000


@pytest.mark.parametrize("timing", ["fast", "events"])
def test_a_projection_on_paper(timing: str) -> None:
    net = layer("lstm", "absent", steps=2, batch=1, hidden=1, bias=False, projection=1)
    found = run(net, TINY, timing=timing)
    assert found.timing.makespan_ps == PROJECTED_PS
    assert found.macs == found.multiplications == 2 * (4 + 1)
    assert found.usage.total("activation_unit", "op_int8") == 2 * (4 * 2 + 5 + 1)
    assert found.usage.total("weight_memory", "read") == 2 * (4 + 1)
    # As of the LSTM on paper, and of each step: what is projected, its sum (4), and the state.
    assert found.usage.total("unified_buffer", "read") == 4 + 2 * 18 + 2 + 2 * (1 + 4)
    assert found.usage.total("unified_buffer", "write") == 2 + 2 * 18 + 2 * (4 + 1)


# A GRU of one unit, one sequence, one step, that resets its state. Gates z r are one tile, n another.
#   zr: weights 0-2, shift -6, compute -8, settled 12, two sums in two passes and r h': 3 cycles, drain -18.
#   n: weights 6-7, shift -11, waits: compute 18-20, settled 24; one sum in two passes, one cycle, and 3
#   operations, two cycles: drain -30. The result leaves in 0.5.
@pytest.mark.parametrize("timing", ["fast", "events"])
def test_a_gru_that_resets_its_state_on_paper(timing: str) -> None:
    net = layer("gru", "absent", steps=1, batch=1, hidden=1, bias=False, reset_after=False)
    found = run(net, TINY, timing=timing)
    assert found.timing.makespan_ps == 30_500
    assert found.macs == found.multiplications == 3
    assert found.usage.total("activation_unit", "op_int8") == 3 * 2 + 4


# One step of the LSTM on paper, from a state and a cell, which come in 1 more (0.5-1.5, before any sum), and
# whose cell is kept. Converting the two takes 2 of the operations of the gates: 7, four cycles where there
# were three; the cell that is kept one more cycle: drain 18-32. State, last state and last cell leave in 1.5.
@pytest.mark.parametrize("timing", ["fast", "events"])
def test_what_an_lstm_begins_with_and_leaves_on_paper(timing: str) -> None:
    net = layer("lstm", "absent", steps=1, batch=1, hidden=1, bias=False, begins="state, cell",
                ends=("state", "cell"))  # fmt: skip
    found = run(net, TINY, timing=timing)
    assert found.timing.makespan_ps == 33_500
    assert found.usage.total("activation_unit", "op_int8") == 4 * 2 + 5 + 2 + 1
    assert found.usage.total("host_link", "transfer") == 3 + 3


def test_peepholes_are_pointwise_work() -> None:
    """Six operations of each unit and step, and three numbers of 4 bytes that are read; no MACs."""
    plain, peeping = (run(layer("lstm", "absent", peepholes=on), TINY) for on in (False, True))
    assert peeping.macs == peeping.multiplications == plain.macs
    operations, read = (
        [found.usage.total(*what) for found in (plain, peeping)]
        for what in (("activation_unit", "op_int8"), ("unified_buffer", "read"))
    )
    assert operations[1] - operations[0] == 5 * 2 * 4 * 6
    assert read[1] - read[0] == 5 * 3 * 4 * 4
    assert peeping.timing.makespan_ps > plain.timing.makespan_ps


def test_a_direction_costs_what_the_other_does() -> None:
    times = [run(layer("gru", "stepwise", reverse=back), TINY).timing.makespan_ps for back in (False, True)]
    assert times[0] == times[1]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
@pytest.mark.parametrize("machine", ["as it is", "spilled"])
def test_both_timing_paths_agree_on_every_option(option: str, dataflow: str, machine: str) -> None:
    cell, more = OPTIONS[option]
    net = layer(cell, "stepwise", steps=20, features=6, **more)
    layers = [op.problem for op in net.operators if isinstance(op.problem, Recurrent)]
    room = max(2 * max(scratch_bytes(problem, "int8") for problem in layers), 160)
    overrides = [f"unified_buffer.size={room} B"] if machine == "spilled" else []
    fast, events = (
        run(net, FORMATS, overrides=[f"dataflow={dataflow}", *overrides], timing=timing)
        for timing in ("fast", "events")
    )
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert fast.macs == fast.multiplications == net.macs
    assert bool(fast.spilled) == (machine == "spilled")


@pytest.mark.parametrize("dataflow", ["is", "os"])
def test_weights_that_stream_come_in_every_step(dataflow: str) -> None:
    found = run(recurrent("rnn", 2, 1, 2), TINY, overrides=[f"dataflow={dataflow}"])
    assert found.usage.total("weight_memory", "read") == 8


def test_weights_of_several_blocks_come_in_every_step() -> None:
    found = run(layer("lstm", "stepwise", bias=True), TINY)
    assert found.usage.total("weight_memory", "read") == 5 * 16 * (4 + 7) + 2 * 16 * 4


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
@pytest.mark.parametrize("machine", ["as it is", "spilled", "one plane", "no lanes"])
def test_both_timing_paths_agree(cell: str, form: str, dataflow: str, machine: str) -> None:
    net = layer(cell, form, steps=20, features=6)  # type: ignore[arg-type]
    problem = net.operators[-1].problem
    assert isinstance(problem, Recurrent)
    room = max(2 * scratch_bytes(problem, "int8"), 160)  # for the state and the gates, and as much to stream
    more = {
        "as it is": (),
        "spilled": (f"unified_buffer.size={room} B",),
        "one plane": ("array.double_buffer=false", "array.fold_overlap=false", "accumulators.banks=1"),
        "no lanes": ("lanes=unlimited", "accumulators.rows=unlimited", "depth_tiles=unlimited"),
    }[machine]
    fast, events = (
        run(net, FORMATS, overrides=[f"dataflow={dataflow}", *more], timing=timing)
        for timing in ("fast", "events")
    )
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert fast.macs == fast.multiplications == net.macs
    assert bool(fast.spilled) == (machine == "spilled")


def test_steps_wait_for_one_another() -> None:
    """Each further step takes its compute, settling and both drains, 20, and its byte to leave: 0.5."""
    times = [run(recurrent("lstm", 1, 1, steps), TINY).timing.makespan_ps for steps in (2, 3, 4)]
    assert times[1] - times[0] == times[2] - times[1] == 20_500


def test_a_spilled_input_and_result_go_through_the_memory_once() -> None:
    """Of a machine without a link, whose inputs and outputs lie in the memory anyway."""
    net = layer("gru", "absent", steps=40, bias=False)
    found = run(net, FORMATS, overrides=["unified_buffer.size=300 B"])
    weights = 12 * 4 * 40
    assert set(found.spilled) == {"x", "cells"}
    assert found.usage.total("weight_memory", "read") == weights + 320
    assert found.usage.total("weight_memory", "write") == 320


def test_a_state_without_room_is_refused() -> None:
    with pytest.raises(CapacityError, match=r"operator cells holds 144 B of state and gates during a step"):
        run(layer("lstm", "absent"), FORMATS, overrides=["unified_buffer.size=100 B"])


def test_steps_of_many_tiles_are_refused() -> None:
    roomy = ["weight_memory.size=unlimited", "unified_buffer.size=unlimited"]
    with pytest.raises(CapacityError, match=r"100,000,000 steps.* tiles"):
        run(recurrent("rnn", 1, 1, 100_000_000), TINY, overrides=roomy)


def test_formats_that_the_array_does_not_multiply_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"the array multiplies int8, .* not fp32"):
        run(recurrent("gru", 2, 1, 2), TINY, dtype="fp32")


def test_the_eie_says_why_not() -> None:
    with pytest.raises(UnsupportedError, match="feed no state back from step to step"):
        run(recurrent("gru", 2, 1, 2), "eie_64pe")


@pytest.mark.parametrize(
    ("form", "dataflow", "operand", "place", "wanted"),
    [
        ("absent", "ws", 2, "chip", "raw"),
        ("absent", "is", 2, "chip", "raw_shift"),
        ("absent", "is", 0, "chip", "raw"),  # which is added to sums
        ("stepwise", "is", 0, "chip", "raw_shift"),
        ("absent", "os", 2, "memory", "reload_weights"),
        ("absent", "ws", 0, "memory", "reload"),
    ],
)
def test_what_a_layer_begins_with_is_waited_for_where_it_is_multiplied(
    form: Any, dataflow: str, operand: int, place: str, wanted: str
) -> None:
    [cells] = layer("rnn", form, begins="state").operators
    device = make_device(load_design(FORMATS, [f"dataflow={dataflow}"]).device_spec)
    assert device.wait_name(cells, operand, cells, place) == wanted
