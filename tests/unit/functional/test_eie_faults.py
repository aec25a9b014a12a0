"""Wrong schedules and wrong arithmetic of an engine on compressed matrices: verification must catch each, and
name element, tile and stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import hwsim.functional.streams as streams
import hwsim.kernels.eie_numbers as eie_numbers
from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.errors import VerificationError
from hwsim.functional import verify_program
from hwsim.pipeline import Prepared, prepare
from hwsim.plan import Plan, join_plans
from hwsim.plan.mapping import StreamMapping
from hwsim.result import Verification
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label

VECTORS, INPUTS, OUTPUTS = 6, 40, 80
PRODUCT = "y"
# 15 shared values; two PEs, so that a PE holds many rows and gaps need padding.
SMALL = ("pes=2",)
IN_PARTS = (*SMALL, "activations.registers=10")  # two parts of 20 columns, all in the PEs
BY_PASS = (*SMALL, "matrix_sram.size=256 B")  # several passes, all vectors through each
PASSES = (*SMALL, "matrix_sram.size=256 B", "accumulator_bits=64")  # the same, sums too wide to wait outside
TABLES = (*SMALL, "weight_bits=3")  # of seven values: three tables
SPILLED = (*SMALL, "activations.sram=40 B", "activations.registers=40")  # vectors come in, results leave


def network(vectors: int = VECTORS) -> Workload:
    """One product with a bias, between its input and its output."""
    g = GraphBuilder("faulty", dtype="int16")
    x = g.input("x", (vectors, INPUTS), density=0.7)
    w = g.weight("w", (OUTPUTS, INPUTS), fan_in=INPUTS, density=0.2, shared_bits=4)
    y = g.matmul(Label(PRODUCT), x, w, g.weight("b", (OUTPUTS,), "bias"), transpose_b=True)
    return g.build([y], Source("builtin", "constructor", ""))


def prepared(*overrides: str) -> tuple[Workload, Prepared]:
    workload = network()
    return workload, prepare(workload, make_device(load_design("eie_64pe", overrides).device_spec))


def place_of(right: Prepared) -> int:
    return [op.name for op in right.schedule.operators].index(PRODUCT)


def plan_of(*overrides: str) -> tuple[Plan, StreamMapping]:
    plan = (right := prepared(*overrides)[1]).plans[place_of(right)]
    assert isinstance(plan.mapping, StreamMapping)
    return plan, plan.mapping


def check(change: Callable[[Plan], Plan], *overrides: str, bits: int = 0) -> Verification:
    """Verify the network with one plan changed; waits do not matter to numbers."""
    workload, right = prepared(*overrides)
    plans = [change(plan) if i == place_of(right) else plan for i, plan in enumerate(right.plans)]
    program = join_plans(right.program.pipeline, plans, [{} for _ in plans])
    width = bits or load_design("eie_64pe", overrides).device_spec.accumulator_bits
    return verify_program(workload, right.schedule, program, accumulator_bits=width)


def caught(
    change: Callable[[Plan], Plan], *overrides: str, bits: int = 0
) -> tuple[VerificationError, int | None]:
    """The error, and its tile counted within the product."""
    with pytest.raises(VerificationError) as told:
        check(change, *overrides, bits=bits)
    right = prepared(*overrides)[1]
    first = int(right.program.first_tile[place_of(right)])
    assert told.value.operator == PRODUCT
    return told.value, None if told.value.tile is None else told.value.tile - first


def with_demand(stage: str, tile: int, less: int | None = None) -> Callable[[Plan], Plan]:
    """One tile asks nothing of a stage, or so much less."""

    def change(plan: Plan) -> Plan:
        demands = plan.demands.copy()
        at = plan.pipeline.stage_index(stage)
        assert demands[at, tile] > 0
        demands[at, tile] = 0 if less is None else demands[at, tile] - less
        return replace(plan, demands=demands, actions={}, parts={})

    return change


def with_slot(
    pool: str, tile: int, *, takes: bool | None = None, frees: bool | None = None
) -> Callable[[Plan], Plan]:
    """One tile takes, or gives back, room or does not."""

    def change(plan: Plan) -> Plan:
        at = [p.name for p in plan.pipeline.pools].index(pool)
        taken, freed = plan.takes.copy(), plan.frees.copy()
        if takes is not None:
            assert taken[at, tile] != takes
            taken[at, tile] = takes
        if frees is not None:
            assert freed[at, tile] != frees
            freed[at, tile] = frees
        return replace(plan, takes=taken, frees=freed)

    return change


def right_plan(plan: Plan) -> Plan:
    return plan


@pytest.mark.parametrize("overrides", [SMALL, IN_PARTS, BY_PASS, PASSES, TABLES, SPILLED])
def test_the_right_schedule_passes(overrides: tuple[str, ...]) -> None:
    found = check(right_plan, *overrides)
    assert found.bit_exact
    plan, mapping = plan_of(*overrides)
    assert found.tiles.tolist() == [plan.tiles] == [VECTORS * len(mapping.parts)]


def test_the_machines_are_what_their_names_say() -> None:
    found = {name: plan_of(*overrides) for name, overrides in (
        ("parts", IN_PARTS), ("by pass", BY_PASS), ("passes", PASSES), ("tables", TABLES),
        ("spilled", SPILLED),
    )}  # fmt: skip
    passes = {name: sum(part.opens_pass for part in mapping.parts) for name, (_, mapping) in found.items()}
    assert len(found["parts"][1].parts) == 2
    assert passes["parts"] == passes["tables"] == passes["spilled"] == 1
    assert passes["by pass"] == passes["passes"] > 1
    assert found["by pass"][1].by_pass
    assert not found["passes"][1].by_pass
    assert found["tables"][1].parts[-1].group == 2
    assert found["by pass"][1].parts[0].pass_bytes > 0
    assert found["spilled"][1].vector_bytes > 0


# -- tiles and sums --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [0, 3, 11])
def test_a_dropped_tile_is_caught(tile: int) -> None:
    error, found = caught(
        lambda plan: replace(plan, kind_of_tile=np.delete(plan.kind_of_tile, tile)), *IN_PARTS
    )
    assert error.stage in ("compute", "drain")
    assert found is None or 0 <= found < 12


def test_the_last_tile_dropped_is_named() -> None:
    error, found = caught(lambda plan: replace(plan, kind_of_tile=plan.kind_of_tile[:-1]), *IN_PARTS)
    assert (error.stage, found) == ("compute", None)
    assert "tile 11 of the operator is not issued" in error.reason


def test_another_order_of_tiles_is_caught() -> None:
    swapped = np.arange(12, dtype=np.int32)
    swapped[[4, 5]] = [5, 4]
    error, found = caught(lambda plan: replace(plan, kind_of_tile=swapped), *IN_PARTS)
    assert (error.stage, found) == ("compute", 4)
    assert error.index == (2, 0)


def test_an_early_drain_is_caught() -> None:
    """The sums of vector 3 leave with the first of its two parts, and not with the second."""
    early = with_slot("results", 6, frees=True)
    error, found = caught(lambda plan: with_slot("results", 7, frees=False)(early(plan)), *IN_PARTS)
    assert (error.stage, found, error.index) == ("drain", 6, (3, 0))
    assert "before all columns are added" in error.reason


def test_sums_that_never_leave_are_caught() -> None:
    error, found = caught(with_slot("results", 7, frees=False), *IN_PARTS)
    assert (error.stage, found) == ("drain", 7)


def test_sums_of_the_vector_before_are_caught() -> None:
    error, found = caught(with_slot("results", 4, takes=False), *IN_PARTS)
    assert (error.stage, found) == ("compute", 4)
    assert "begins in the wrong tile" in error.reason


def test_sums_cleared_half_way_are_caught() -> None:
    error, found = caught(with_slot("results", 5, takes=True), *IN_PARTS)
    assert (error.stage, found) == ("compute", 5)


def test_sums_that_do_not_come_back_are_caught() -> None:
    """Tile VECTORS + 2 is vector 2 in the second pass; what it loads is its sums alone."""
    error, found = caught(with_demand("load", VECTORS + 2), *BY_PASS)
    assert (error.stage, found, error.index) == ("load", VECTORS + 2, (2, 0))
    assert "does not come back" in error.reason


def test_sums_that_come_back_in_part_are_caught() -> None:
    assert caught(with_demand("load", VECTORS + 2, less=1), *BY_PASS)[0].stage == "load"


def test_sums_that_do_not_leave_between_passes_are_caught() -> None:
    error, found = caught(with_demand("store", 2), *BY_PASS)
    assert (error.stage, found) == ("store", 2)
    assert "never written outside" in error.reason


# -- what comes in ---------------------------------------------------------------------------------------


def test_weights_that_are_not_fetched_are_caught() -> None:
    error, found = caught(with_demand("weights", 0), *BY_PASS)
    assert (error.stage, found) == ("weights", 0)


@pytest.mark.parametrize("less", [None, 1])
def test_a_pass_that_is_not_fetched_is_caught(less: int | None) -> None:
    """The second pass multiplies with what the first left behind."""
    error, found = caught(with_demand("weights", VECTORS, less), *BY_PASS)
    assert (error.stage, found) == ("weights", VECTORS)
    assert "columns" in error.reason


def test_a_pass_that_is_not_fetched_for_one_vector_is_caught() -> None:
    mapping = plan_of(*PASSES)[1]
    error, found = caught(with_demand("weights", 2 * len(mapping.parts)), *PASSES)
    assert (error.stage, found, error.index) == ("weights", 2 * len(mapping.parts), (2, 0))


def test_a_pass_without_room_is_caught() -> None:
    error, found = caught(with_slot("matrix", VECTORS, takes=False), *BY_PASS)
    assert (error.stage, found) == ("weights", VECTORS)


def test_a_table_that_is_not_fetched_is_caught() -> None:
    """Tile 4 is the second vector's second table."""
    error, found = caught(with_demand("weights", 4), *TABLES)
    assert (error.stage, found, error.index) == ("weights", 4, (1, 0))
    assert "table of values" in error.reason


def test_a_vector_that_is_not_loaded_is_caught() -> None:
    error, found = caught(with_demand("load", 3), *SPILLED)
    assert (error.stage, found, error.index) == ("load", 3, (3, 0))
    assert "vector" in error.reason


def test_a_result_that_is_not_stored_is_caught() -> None:
    error, found = caught(with_demand("store", 3), *SPILLED)
    assert (error.stage, found, error.index) == ("store", 3, (3, 0))


@pytest.mark.parametrize("overrides", [BY_PASS, PASSES])
def test_a_bias_that_is_not_fetched_is_caught(overrides: tuple[str, ...]) -> None:
    bias_bytes = network().tensors["b"].size_bytes
    error, found = caught(with_demand("weights", 0, less=bias_bytes), *overrides)
    assert (error.stage, found, error.reason) == ("weights", 0, "its bias is never fetched")


# -- arithmetic ------------------------------------------------------------------------------------------


def test_a_narrow_accumulator_is_caught() -> None:
    error, _ = caught(right_plan, *SMALL, bits=24)
    assert error.stage == "compute"
    assert "overflows an accumulator of 24 bits" in error.reason


def test_a_bias_that_is_not_added_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = streams.ProductRun._by_column

    def without(self: streams.ProductRun, numbers: np.ndarray, *of: object, **more: object) -> np.ndarray:
        return right(self, np.zeros(1) if numbers is self.bias else numbers, *of, **more)

    monkeypatch.setattr(streams.ProductRun, "_by_column", without)
    error, _ = caught(right_plan, *SMALL)
    assert error.stage == "drain"
    assert "its sum is right, but not its bias" in error.reason


def decoded(change: Callable[..., tuple[np.ndarray, ...]]) -> Callable[[pytest.MonkeyPatch], None]:
    """The kernel gets other pointers, values or gaps."""
    right = eie_numbers.add_columns

    def changed(vectors, begin, end, pointers, starts, values, gaps, adds, sums) -> None:
        pointers, values, gaps = change(pointers, values, gaps)
        right(vectors, begin, end, pointers, starts, values, gaps, adds, sums)

    return lambda patch: patch.setattr(eie_numbers, "add_columns", changed)


@pytest.mark.parametrize(
    "fault",
    [
        decoded(lambda pointers, values, gaps: (pointers, values, np.maximum(gaps - 1, 0))),
        decoded(lambda pointers, values, gaps: (pointers, values, np.where(values == 0, 0, gaps))),
        decoded(lambda pointers, values, gaps: (np.maximum(pointers - 1, 0), values, gaps)),
        decoded(lambda pointers, values, gaps: (pointers, np.roll(values, 1), gaps)),
    ],
    ids=[
        "gaps one short",
        "padding skips nothing",
        "columns begin an entry early",
        "values of the next entry",
    ],
)
def test_a_wrong_decoding_is_caught(
    fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    error, found = caught(right_plan, *SMALL)
    assert error.stage == "compute"
    assert found is not None
    assert "decoded to another value or row" in error.reason


def test_rows_over_other_pes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = streams.interleave
    monkeypatch.setattr(streams, "interleave", lambda rows, *of: right(np.roll(rows, 1, axis=0), *of))
    assert "decoded" in caught(right_plan, *SMALL)[0].reason
