"""Wrong schedules and wrong arithmetic: verification must catch each, and name element, tile and stage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwsim.functional.products as products
import hwsim.functional.vectors as vectors
import hwsim.functional.verify as route
from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.errors import UnsupportedError, VerificationError
from hwsim.pipeline import Prepared, prepare, run, verify
from hwsim.plan import Plan
from hwsim.result import Verification
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label
from tests.changed_plans import Change, each, verify_changed

FORMATS = Path(__file__).parents[2] / "formats.yaml"
PRODUCT = "y"
SPILLED = ("unified_buffer.size=250 B",)


def network(size: int) -> Workload:
    """One padded convolution with a bias, between its input and its output. On a feature map of 4 it takes 27
    tiles: three times seven or two rows, each nine tiles deep."""
    g = GraphBuilder("faulty", dtype="int8")
    x = g.input("x", (1, 3, size, size))
    w, b = g.weight("w", (2, 3, 3, 3), fan_in=27), g.weight("b", (2,), "bias")
    y = g.conv2d(Label(PRODUCT), x, w, b, pad=(1, 1, 1, 1))
    return g.build([y], Source("builtin", "constructor", ""))


def prepared(*overrides: str) -> tuple[Workload, Prepared]:
    device = make_device(load_design(FORMATS, overrides).device_spec)
    workload = network(8 if overrides == SPILLED else 4)
    return workload, prepare(workload, device)


def check(change: Change, *overrides: str, bits: int = 32) -> Verification:
    """Verify the network with one plan changed."""
    workload, right = prepared(*overrides)
    place = [op.name for op in right.schedule.operators].index(PRODUCT)
    return verify_changed(workload, right, place, change, accumulator_bits=bits)


def caught(change: Change, *overrides: str) -> VerificationError:
    with pytest.raises(VerificationError) as told:
        check(change, *overrides)
    return told.value


def with_demand(stage: str, tile: int, amount: int | None = None, of: int | None = None) -> Change:
    """One tile asks `amount` of a stage, or as much as tile `of` does."""

    def change(plan: Plan) -> Plan:
        found = each(plan)
        row = found.demands[plan.pipeline.stage_index(stage)].copy()
        row[tile] = amount if amount is not None else row[of]
        demands = found.demands.copy()
        demands[plan.pipeline.stage_index(stage)] = row
        return replace(found, demands=demands)

    return change


def with_slot(pool: str, tile: int, taken: bool) -> Change:
    def change(plan: Plan) -> Plan:
        found = each(plan)
        takes = found.takes.copy()
        takes[[p.name for p in plan.pipeline.pools].index(pool), tile] = taken
        return replace(found, takes=takes)

    return change


def test_the_right_schedule_passes() -> None:
    found = check(lambda plan: plan)
    assert found.bit_exact
    assert found.tiles.tolist() == [27]
    assert check(each).bit_exact


# -- the six faults that verification is there for -------------------------------------------------------


def test_an_early_drain_is_caught() -> None:
    error = caught(with_demand("drain", 3, amount=5))
    assert (error.operator, error.stage, error.tile) == (PRODUCT, "drain", 1 + 3)
    assert "before all terms" in error.reason


def test_sums_that_leave_early_and_not_at_the_end_are_caught() -> None:
    plan_of = lambda plan: with_demand("drain", 8, amount=0)(with_demand("drain", 7, of=8)(plan))  # noqa: E731
    error = caught(plan_of)
    assert (error.stage, error.tile) == ("drain", 1 + 7)
    assert error.got != error.expected


@pytest.mark.parametrize("tile", [0, 4, 26])
def test_a_dropped_tile_is_caught(tile: int) -> None:
    error = caught(lambda plan: replace(plan, kind_of_tile=np.delete(plan.kind_of_tile, tile)))
    assert error.operator == PRODUCT
    assert error.tile is not None
    assert 1 <= error.tile <= 27


def test_a_narrow_accumulator_is_caught() -> None:
    with pytest.raises(VerificationError, match="overflows an accumulator of 16 bits") as told:
        verify("lenet5", "tpu_v1", overrides=["accumulators.width_bits=16"])
    assert told.value.stage == "compute"


@pytest.mark.parametrize("go", [verify, run])
def test_a_narrow_accumulator_of_floats_is_refused(go: Callable[..., object]) -> None:
    with pytest.raises(UnsupportedError, match=r"accumulators of 24 bits .* accumulators\.width_bits"):
        go("lenet300", FORMATS, dtype="fp32", overrides=["accumulators.width_bits=24", "array.rows=64"])


def test_a_bias_that_is_not_fetched_is_caught() -> None:
    workload, right = prepared()
    plan = next(p for p in right.plans if p.mapping is not None)
    bias_bytes = 2 * 4
    first = int(plan.demands[plan.pipeline.stage_index("weights"), plan.kind_of_tile[0]])
    error = caught(with_demand("weights", 0, amount=first - bias_bytes))
    assert (error.stage, error.reason) == ("weights", "its bias is never fetched")
    assert workload.tensors["b"].size_bytes == bias_bytes


def test_a_bias_that_is_not_added_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = products.ProductRun._by_column

    def without(self: products.ProductRun, numbers: np.ndarray, *of: object, **more: object) -> np.ndarray:
        return right(self, np.zeros(1) if numbers is self.bias else numbers, *of, **more)

    monkeypatch.setattr(products.ProductRun, "_by_column", without)
    error = caught(lambda plan: plan)
    assert error.stage == "drain"
    assert "bias" in error.reason


def test_a_wrong_padding_value_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "padding_value", lambda _: 1.0)
    error = caught(lambda plan: plan)
    assert (error.index, error.stage) == ((0, 0, 0, 0), "load")
    assert "term 0 of its sum reads 1 where 0 belongs" in error.reason


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_a_stale_block_in_the_array_is_caught(dataflow: str) -> None:
    error = caught(with_slot("planes", 2, taken=False), f"dataflow={dataflow}")
    assert (error.stage, error.tile) == ("shift", 1 + 2)
    assert "stale" in error.reason


def test_weights_that_are_not_fetched_again_are_caught() -> None:
    error = caught(with_demand("weights", 5, amount=0))
    assert (error.stage, error.tile) == ("weights", 1 + 5)
    assert "stale block of tile 4" in error.reason


def test_weights_that_are_fetched_in_part_are_caught() -> None:
    assert caught(with_demand("weights", 5, amount=5)).stage == "weights"


# -- others ----------------------------------------------------------------------------------------------


def test_no_weights_at_all_are_caught() -> None:
    error = caught(with_demand("weights", 0, amount=0))
    assert error.reason == "no block of the second operand has arrived"


def test_sums_of_an_earlier_tile_are_caught() -> None:
    error = caught(with_slot("accumulators", 9, taken=False))
    assert (error.stage, error.tile) == ("compute", 1 + 9)


def test_sums_cleared_half_way_are_caught() -> None:
    error = caught(with_slot("accumulators", 4, taken=True))
    assert (error.stage, error.tile) == ("compute", 1 + 4)


def test_accumulators_given_up_early_are_caught() -> None:
    def change(plan: Plan) -> Plan:
        found = each(plan)
        frees = found.frees.copy()
        frees[[p.name for p in plan.pipeline.pools].index("accumulators"), 4] = True
        return replace(found, frees=frees)

    assert (caught(change).stage, caught(change).tile) == ("drain", 1 + 4)


def test_results_that_never_leave_are_caught() -> None:
    error = caught(with_demand("drain", 8, amount=0))
    assert (error.stage, error.tile) == ("drain", 1 + 8)
    assert math.isnan(error.got)


def test_the_spilled_network_passes() -> None:
    assert check(each, *SPILLED).bit_exact


def test_stale_rows_of_a_spilled_input_are_caught() -> None:
    workload, right = prepared(*SPILLED)
    plan = next(p for p in right.plans if p.mapping is not None)
    loads = plan.demands[plan.pipeline.stage_index("load"), plan.kind_of_tile]
    second = int(np.flatnonzero(loads)[1])
    first = int(right.program.first_tile[[op.name for op in right.schedule.operators].index(PRODUCT)])
    error = caught(with_demand("load", second, amount=0), *SPILLED)
    assert (error.stage, error.tile) == ("load", first + second)
    assert workload.name == "faulty"


def test_a_spilled_result_that_is_not_written_is_caught() -> None:
    _, right = prepared(*SPILLED)
    assert right.schedule.spilled
    plan = next(p for p in right.plans if p.mapping is not None)
    stores = plan.demands[plan.pipeline.stage_index("store"), plan.kind_of_tile]
    error = caught(with_demand("store", int(np.flatnonzero(stores)[0]), amount=0), *SPILLED)
    assert error.stage == "store"


def test_an_operator_without_tiles_is_caught() -> None:
    nothing = np.zeros(0, dtype=np.int32)
    error = caught(lambda plan: replace(plan, kind_of_tile=nothing))
    assert error.tile is None
    assert "no tile of it is issued" in str(error)


def test_a_tile_too_many_is_caught() -> None:
    error = caught(lambda plan: replace(plan, kind_of_tile=np.append(plan.kind_of_tile, 0).astype(np.int32)))
    assert (error.stage, error.tile) == ("issue", 1 + 27)


def test_another_order_of_tiles_is_caught() -> None:
    assert caught(lambda plan: replace(plan, kind_of_tile=plan.kind_of_tile[::-1].copy()))


def test_wrong_rounding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "ROUNDINGS", ("truncate", "half_up", "nearest_even"))
    assert caught(lambda plan: plan).stage == "drain"


def test_a_wrong_vector_operator_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = vectors._pooled
    monkeypatch.setattr(vectors, "_pooled", lambda problem, x: right(problem, np.roll(x, 1, axis=3)))
    with pytest.raises(
        VerificationError, match=r"lenet5 on tpu_v1: operator pool1: .* the activation unit's pool"
    ):
        verify("lenet5", "tpu_v1")


def test_a_float_outside_its_bound_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product computed in half the precision: no sum is far off, and yet too far."""
    right = products.ProductRun.rows

    def coarse(self: products.ProductRun, *box: int) -> np.ndarray:
        return right(self, *box).astype(np.float16).astype(np.float32)

    monkeypatch.setattr(products.ProductRun, "rows", coarse)
    with pytest.raises(VerificationError):
        verify("lenet300", FORMATS, dtype="fp32", overrides=["array.rows=64", "array.cols=64"])


def test_the_first_wrong_operator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = route.execute_vector
    monkeypatch.setattr(
        route,
        "execute_vector",
        lambda op, *given, **more: right(op, *given, **more) + (op.name == "softmax1"),
    )
    with pytest.raises(VerificationError) as told:
        verify("lenet5", "tpu_v1")
    assert told.value.operator == "softmax1"
    assert told.value.got == told.value.expected + 1
