"""Recurrent layers executed step by step in every format, beside the reference; and faults to be caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwsim.functional.recurrent as executed
from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.errors import UnsupportedError, VerificationError
from hwsim.functional import activations, execute, verify_program
from hwsim.pipeline import prepare, run, verify
from hwsim.plan import Plan
from hwsim.plan.mapping import StepMapping
from hwsim.plan.residency import scratch_bytes
from hwsim.result import Verification
from hwsim.tensor.storage import Quantisation
from hwsim.workload import Workload
from hwsim.workload.operators import Recurrent
from tests.changed_plans import Change, each, verify_changed
from tests.recurrent_layers import CELLS, FORMS, OPTIONS, layer

FORMATS = Path(__file__).parents[2] / "formats.yaml"
INTEGERS = ("int4", "int8", "int16", "int32")


def check(workload: Workload, *overrides: str, **more: Any) -> Verification:
    return verify(workload, FORMATS, overrides=overrides, **more)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
@pytest.mark.parametrize("dtype", [*INTEGERS, "fp32", "fp16", "bf16"])
def test_every_cell_form_and_format_agrees(cell: str, form: Any, dataflow: str, dtype: str) -> None:
    found = check(layer(cell, form), f"dataflow={dataflow}", dtype=dtype)
    assert found.bit_exact == (dtype in INTEGERS)
    least = {"int4": 4, "int8": 28, "int16": 70, "int32": 70, "fp32": 120, "fp16": 55, "bf16": 35}
    assert found.sqnr_db[-1] > least[dtype]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    ("form", "dataflow", "dtype"),
    [("stepwise", "ws", "int8"), ("stepwise", "is", "fp32"), ("batched", "os", "int16"),
     ("absent", "is", "bf16")],
)  # fmt: skip
def test_every_option_agrees(option: str, form: Any, dataflow: str, dtype: str) -> None:
    cell, more = OPTIONS[option]
    if form == "absent" and more.get("bidirectional"):
        more = {**more, "layers": 1}  # both directions side by side are wider than a state
    found = check(layer(cell, form, **more), f"dataflow={dataflow}", dtype=dtype)
    assert found.bit_exact == (dtype in INTEGERS)
    least = {"int8": 24, "int16": 65, "fp32": 110, "bf16": 30}
    assert min(found.output_sqnr_db.values()) > least[dtype]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_agrees_in_fixed_point_and_where_things_spill(option: str) -> None:
    cell, more = OPTIONS[option]
    assert check(layer(cell, "stepwise", **more), fixed_point="q3.4").bit_exact
    net = layer(cell, "stepwise", batch=4, steps=40, **more)
    layers = [op.problem for op in net.operators if isinstance(op.problem, Recurrent)]
    room = 2 * max(scratch_bytes(problem, "int8") for problem in layers)  # to stream, and for the state
    spilled = (f"unified_buffer.size={room} B",)
    assert run(net, FORMATS, overrides=spilled, dtype="int8").spilled
    assert check(net, *spilled).bit_exact


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("dtype", ["int8", "fp16"])
def test_the_reference_alone_computes_every_option(option: str, dtype: str) -> None:
    cell, more = OPTIONS[option]
    net = layer(cell, "stepwise", **more).astype(dtype)
    ready = prepare(net, make_device(load_design(FORMATS).device_spec))
    draw = np.random.default_rng(5)
    given = {name: draw.standard_normal(net.tensors[name].shape).astype(np.float32) for name in net.inputs}
    found = verify_program(net, ready.schedule, ready.program, accumulator_bits=32, inputs=given)
    alone = execute(net, given)
    for name in net.outputs:
        error = np.abs(found.outputs[name] - alone[name]).max()
        assert error == 0 if dtype == "int8" else error < 5e-3


def test_scales_by_channel_belong_to_the_rows_that_are_multiplied_apart() -> None:
    net = layer("gru", "stepwise", reset_after=False)
    grid = Quantisation(tuple(0.01 + i / 900 for i in range(12)), tuple(range(-6, 6)), 0)
    tensors = {**net.tensors, "state_weight": replace(net.tensors["state_weight"], quantisation=grid)}
    found = check(replace(net, tensors=tensors))
    assert found.bit_exact
    assert found.sqnr_db[-1] > 25  # both sides take the scales as given: wrong ones would be noise


@pytest.mark.parametrize("machine", ["one plane", "one bank", "spilled", "ideal"])
@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
def test_other_machines_compute_the_same(machine: str, dataflow: str) -> None:
    overrides = {
        "one plane": ("array.double_buffer=false", "array.fold_overlap=false"),
        "one bank": ("accumulators.banks=1", "accumulators.rows=3"),
        "spilled": ("unified_buffer.size=600 B",),
        "ideal": ("accumulators.rows=unlimited", "lanes=unlimited"),
    }[machine]
    assert check(layer("gru", "stepwise", batch=4, steps=9), *overrides, f"dataflow={dataflow}").bit_exact


def test_weights_that_stay_in_the_array_are_there_in_every_step() -> None:
    assert check(layer("rnn", "absent", hidden=3), "dataflow=ws").bit_exact


def test_fixed_point_is_exact() -> None:
    for rounding in ("nearest_even", "half_up", "truncate"):
        assert check(layer("lstm", "stepwise"), fixed_point="q3.4", rounding=rounding).bit_exact


def test_an_rnn_with_relu() -> None:
    net = layer("rnn", "batched", function="relu")
    assert check(net).bit_exact
    assert not np.array_equal(*(activations(n, inputs(n))["cells"] for n in (net, layer("rnn", "batched"))))


@pytest.mark.parametrize("form", FORMS)
def test_grids_with_zero_points_and_scales_by_channel(form: Any) -> None:
    net = layer("lstm", form)
    tensors = dict(net.tensors)
    wide = tensors["x"].shape[-1]
    chosen = {
        "x": Quantisation((0.03,), (5,)),
        "cells": Quantisation((1 / 100,), (-17,)),
        "state_weight": Quantisation(tuple(0.01 + i / 900 for i in range(16)), tuple(range(-8, 8)), 0),
    }
    if form == "stepwise":
        chosen["input_weight"] = Quantisation(tuple(0.02 + i / 900 for i in range(16)), (3,) * 16, 0)
    assert wide in (4, 7)
    for name, grid in chosen.items():
        tensors[name] = replace(tensors[name], quantisation=grid)
    assert check(replace(net, tensors=tensors)).bit_exact


def test_floats_beside_integers_are_refused() -> None:
    net = layer("gru", "absent").astype("fp32")
    tensors = {**net.tensors, "x": replace(net.tensors["x"], dtype="int8")}
    with pytest.raises(UnsupportedError):
        verify(replace(net, tensors=tensors), FORMATS)


def inputs(net: Workload) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    return {"x": draw.standard_normal(net.tensors["x"].shape).astype(np.float32)}


@pytest.mark.parametrize("cell", CELLS)
def test_forms_are_one_network(cell: str) -> None:
    """Only where their products are made differs; weights of one name and seed are the same."""
    batched, stepwise = (layer(cell, form) for form in ("batched", "stepwise"))
    flows = [activations(net, inputs(net))["cells"] for net in (batched, stepwise)]
    assert np.abs(flows[0] - flows[1]).max() < 1e-12


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", ["int8", "fp16"])
def test_the_reference_alone_computes_what_the_machine_does(cell: str, dtype: str) -> None:
    net = layer(cell, "stepwise").astype(dtype)
    device = make_device(load_design(FORMATS).device_spec)
    ready = prepare(net, device)
    x = inputs(net)
    found = verify_program(net, ready.schedule, ready.program, accumulator_bits=32, inputs=x)
    alone = execute(net, x)["cells"]
    error = np.abs(found.outputs["cells"] - alone).max()
    assert error == 0 if dtype == "int8" else error < 2e-3


def test_images_cannot_be_stacked_along_the_steps() -> None:
    net = layer("rnn", "absent")
    with pytest.raises(UnsupportedError, match="works across the first axis"):
        execute(net, {"x": np.zeros((10, 2, 4), dtype=np.float32)})


# -- faults ----------------------------------------------------------------------------------------------


def caught(
    change: Change, *overrides: str, cell: str = "lstm", form: Any = "stepwise", **more: Any
) -> VerificationError:
    """What verification says of an LSTM, or another cell, whose plan was changed."""
    net = layer(cell, form, **more)
    device = make_device(load_design(FORMATS, overrides).device_spec)
    right = prepare(net, device)
    at = [isinstance(plan.mapping, StepMapping) for plan in right.plans].index(True)
    with pytest.raises(VerificationError) as told:
        verify_changed(net, right, at, change)
    assert told.value.operator == "cells"
    return told.value


def step_tiles(plan: Plan) -> int:
    assert isinstance(plan.mapping, StepMapping)
    return plan.mapping.step_tiles


def with_pool(pool: str, taken: bool, tile: Callable[[Plan], int]) -> Change:
    def change(plan: Plan) -> Plan:
        found = each(plan)
        takes = found.takes.copy()
        takes[[p.name for p in plan.pipeline.pools].index(pool), tile(plan)] = taken
        return replace(found, takes=takes)

    return change


def with_demand(stage: str, amount: int, tile: Callable[[Plan], int]) -> Change:
    def change(plan: Plan) -> Plan:
        found = each(plan)
        demands = found.demands.copy()
        demands[plan.pipeline.stage_index(stage), tile(plan)] = amount
        return replace(found, demands=demands)

    return change


def test_the_right_plan_passes() -> None:
    assert check(layer("lstm", "stepwise")).bit_exact


@pytest.mark.parametrize("step", [0, 2, 4])
def test_a_dropped_step_is_caught(step: int) -> None:
    def change(plan: Plan) -> Plan:
        size = step_tiles(plan)
        gone = slice(step * size, (step + 1) * size)
        return replace(plan, kind_of_tile=np.delete(plan.kind_of_tile, gone))

    caught(change)


def test_a_step_that_does_not_wait_for_the_state_is_caught() -> None:
    def reader(plan: Plan) -> int:
        assert isinstance(plan.mapping, StepMapping)
        return 2 * plan.mapping.step_tiles + plan.mapping.products[0].tiles

    error = caught(with_pool("state", False, reader))
    assert "step 2 reads a state that step 1 has not finished" in error.reason
    assert error.index[0] == 2


def test_a_state_that_is_given_up_early_is_caught() -> None:
    def change(plan: Plan) -> Plan:
        found, size = each(plan), step_tiles(plan)
        frees = found.frees.copy()
        row = [p.name for p in plan.pipeline.pools].index("state")
        frees[row, 2 * size - 1], frees[row, 2 * size - 2] = False, True
        return replace(found, frees=frees)

    assert "step 2 reads a state that step 1 has not finished" in caught(change).reason


def test_weights_of_the_input_that_stay_where_the_state_s_belong_are_caught() -> None:
    error = caught(with_pool("planes", False, lambda plan: step_tiles(plan) + 8))
    assert (error.stage, error.index[0]) == ("weights", 1)
    assert "stale block" in error.reason


def test_sums_that_do_not_leave_are_caught() -> None:
    error = caught(with_demand("drain", 0, lambda plan: step_tiles(plan) - 3))
    assert error.index[0] == 0


def test_an_input_that_does_not_come_is_caught() -> None:
    spilled = "unified_buffer.size=370 B"
    error = caught(with_demand("load", 0, lambda plan: 2 * step_tiles(plan)), spilled)
    assert (error.stage, error.reason) == ("load", "the input of step 2 has not come")


def test_a_state_that_is_not_written_is_caught() -> None:
    spilled = "unified_buffer.size=370 B"
    error = caught(with_demand("store", 0, lambda plan: 3 * step_tiles(plan) - 1), spilled)
    assert (error.stage, error.index[0]) == ("store", 2)


def test_biases_that_are_not_fetched_are_caught() -> None:
    def change(plan: Plan) -> Plan:
        first = int(plan.demands[plan.pipeline.stage_index("weights"), plan.kind_of_tile[0]])
        return with_demand("weights", first - 2 * 16 * 4, lambda _: 0)(plan)

    assert caught(change).reason == "its bias is never fetched"


LATE: list[tuple[str, dict[str, Any]]] = [("lstm", {"projection": 3}), ("gru", {"reset_after": False})]


def late_tile(plan: Plan) -> int:
    """The first tile of step 4, the last, that multiplies what its gates made."""
    assert isinstance(plan.mapping, StepMapping)
    return 5 * plan.mapping.step_tiles - plan.mapping.products[-1].tiles


@pytest.mark.parametrize(("cell", "more"), LATE)
def test_a_product_that_does_not_wait_for_the_gates_is_caught(cell: str, more: dict[str, Any]) -> None:
    error = caught(with_pool("state", False, late_tile), cell=cell, **more)
    assert "step 4 multiplies what its gates have not made" in error.reason
    assert error.index[0] == 4


@pytest.mark.parametrize(("cell", "more"), LATE)
def test_gates_that_are_given_up_early_are_caught(cell: str, more: dict[str, Any]) -> None:
    def change(plan: Plan) -> Plan:
        found, end = each(plan), late_tile(plan) - 1
        frees = found.frees.copy()
        row = [p.name for p in plan.pipeline.pools].index("state")
        frees[row, end], frees[row, end - 1] = False, True
        return replace(found, frees=frees)

    assert "step 4 multiplies what its gates have not made" in caught(change, cell=cell, **more).reason


@pytest.mark.parametrize(("cell", "more"), LATE)
def test_sums_that_do_not_leave_for_the_last_product_are_caught(cell: str, more: dict[str, Any]) -> None:
    error = caught(with_demand("drain", 0, lambda plan: late_tile(plan) - 1), cell=cell, **more)
    assert error.index[0] == 4


def test_a_last_cell_that_is_not_written_is_caught() -> None:
    """The last step stores its state of 8 bytes alone."""
    spilled = ("unified_buffer.size=600 B",)
    more: dict[str, Any] = {"ends": ("cell",), "steps": 20}
    error = caught(with_demand("store", 8, lambda plan: 20 * step_tiles(plan) - 1), *spilled, **more)
    assert (error.stage, error.reason) == ("store", "the last cell is never written to memory")
    assert error.index[0] == 20


def test_a_state_before_the_first_step_that_does_not_come_is_caught() -> None:
    """A constant comes with the first weights."""

    def change(plan: Plan) -> Plan:
        first = int(plan.demands[plan.pipeline.stage_index("weights"), plan.kind_of_tile[0]])
        return with_demand("weights", first - 1, lambda _: 0)(plan)

    error = caught(change, begins="constant state, cell", bias=False)
    assert error.reason == "its bias or state before the first step is never fetched"


def test_a_narrow_accumulator_is_caught() -> None:
    with pytest.raises(VerificationError):
        check(layer("rnn", "absent", hidden=40), "accumulators.width_bits=16")


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("dtype", ["int8", "fp16"])
def test_gates_in_another_order_are_caught(cell: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "_new_cell" if cell == "lstm" else "_new_state"
    right = getattr(executed, name)
    turned_parts = (0,) if cell == "lstm" else (1, 2)

    def turned(*given: Any) -> np.ndarray:
        parts = [part[:, ::-1] if i in turned_parts else part for i, part in enumerate(given)]
        return right(*parts)

    monkeypatch.setattr(executed, name, turned)
    with pytest.raises(VerificationError, match=r"the gates of step 0"):
        check(layer(cell, "batched"), dtype=dtype)


@pytest.mark.parametrize("what", ["states", "cells"])
def test_a_state_or_cell_that_is_not_carried_is_caught(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = executed.StepRun._gates

    def forgetful(self: executed.StepRun, step: int, parts: Any) -> None:
        kept = getattr(self, what)[step].copy()
        getattr(self, what)[step] = getattr(self, what)[0]
        right(self, step, parts)
        getattr(self, what)[step] = kept

    monkeypatch.setattr(executed.StepRun, "_gates", forgetful)
    with pytest.raises(VerificationError):
        check(layer("gru" if what == "states" else "lstm", "absent"))
