"""Numbers on machines with caches: the right plan passes, and a plan that leaves something out is caught,
with the tile and the stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import hwsim.functional.cached_products as cached_products
from hwsim.errors import VerificationError
from hwsim.functional import cached_walk
from hwsim.plan import Plan
from hwsim.plan.mapping import (
    DirectMapping,
    GemmMapping,
    RowMapping,
    SplitMapping,
    TileMapping,
    WinogradMapping,
)
from hwsim.preparation import Prepared
from hwsim.workload import Workload
from tests.cached_products import (
    check,
    convolution,
    plan_of,
    prepared,
    product,
    tile_again,
    with_demand,
    without_tile,
)
from tests.changed_plans import each

# Name -> network, design, and how it is cut there.
CASES: dict[str, tuple[Callable[[], Workload], str, type[TileMapping]]] = {
    "blocks on cores": (lambda: product(64, 96, 128), "generic_x86", GemmMapping),
    "sums handed on": (lambda: product(8, 24, 1600), "generic_x86", GemmMapping),
    "rows on cores": (lambda: product(1, 200, 64), "generic_x86", RowMapping),
    "batch of rows": (lambda: product(7, 1, 30, batch=5), "generic_x86", RowMapping),
    "sparse on cores": (lambda: product(3, 90, 40, density=0.2), "generic_x86", RowMapping),
    "direct": (lambda: convolution(1, 6, 9, 9, 20, 3, pad=1), "generic_x86", DirectMapping),
    "depthwise": (lambda: convolution(2, 24, 8, 8, 24, 3, stride=2, groups=24), "generic_x86", DirectMapping),
    "blocks on multiprocessors": (lambda: product(300, 200, 24), "v100", GemmMapping),
    "blocks of halves": (lambda: product(300, 200, 64, dtype="fp16"), "v100", GemmMapping),
    "blocks of bytes": (lambda: product(300, 200, 64, dtype="int8"), "t4", GemmMapping),
    "blocks in clusters": (lambda: product(600, 520, 64, dtype="bf16"), "h100", GemmMapping),
    "batch of blocks": (lambda: product(40, 33, 20, batch=6), "v100", GemmMapping),
    "split sums": (lambda: product(64, 48, 1024), "v100", SplitMapping),
    "split sums of bytes": (lambda: product(64, 48, 2048, dtype="int8"), "t4", SplitMapping),
    "narrow": (lambda: product(200, 9, 48), "p100", RowMapping),
    "vectors": (lambda: product(1, 300, 48), "v100", RowMapping),
    "sparse on multiprocessors": (lambda: product(5, 300, 80, density=0.2), "v100", RowMapping),
    "implicit": (lambda: convolution(2, 6, 9, 9, 20, 3, stride=2, dtype="fp16"), "v100", GemmMapping),
    "implicit of groups": (lambda: convolution(1, 12, 9, 9, 24, 3, groups=3), "v100", GemmMapping),
    "winograd in one kernel": (lambda: convolution(1, 16, 9, 11, 24, 3, pad=1), "v100", WinogradMapping),
    "winograd in three": (lambda: convolution(1, 128, 32, 32, 256, 3, pad=1), "v100", WinogradMapping),
}  # fmt: skip
FULL = sorted(CASES)
SLOW = ("winograd in three",)  # which libraries take for large convolutions alone


def case(name: str) -> tuple[Workload, Prepared]:
    build, design, _ = CASES[name]
    workload = build()
    return workload, prepared(workload, design)


def caught(name: str, change: Callable[[Plan], Plan]) -> VerificationError:
    workload, right = case(name)
    with pytest.raises(VerificationError) as told:
        check(workload, right, change)
    assert told.value.operator == "y"
    return told.value


def demand(plan: Plan, stage: str) -> np.ndarray:
    return plan.demands[plan.pipeline.stage_index(stage), plan.kind_of_tile]


@pytest.mark.parametrize("name", FULL)
def test_the_right_plan_passes(name: str) -> None:
    workload, right = case(name)
    plan = plan_of(right)
    assert isinstance(plan.mapping, CASES[name][2])
    assert plan.mapping.tiles == plan.tiles
    found = check(workload, right, each)
    assert not found.unexecuted
    assert found.elements[0] == workload.tensors["y"].elements
    assert found.bit_exact or workload.dtype != "int8"


@pytest.mark.parametrize("name", FULL)
def test_a_tile_that_is_left_out_or_issued_twice_is_caught(name: str) -> None:
    tiles = plan_of(case(name)[1]).tiles
    for tile in (tiles // 2,) if name in SLOW else (0, tiles // 2, tiles - 1):
        assert caught(name, without_tile(tile)).stage
    again = caught(name, tile_again(tiles // 2))
    assert again.stage == "issue"


@pytest.mark.parametrize("name", FULL)
@pytest.mark.parametrize("stage", ["load", "weights", "compute", "store"])
def test_a_tile_that_does_not_do_its_part_is_caught(name: str, stage: str) -> None:
    _, right = case(name)
    plan = plan_of(right)
    asking = np.flatnonzero(demand(plan, stage))
    tile = int(asking[len(asking) // 2])
    if stage == "compute" and name.startswith("sparse"):
        return  # the tile may have nothing to multiply
    error = caught(name, with_demand(stage, tile, 0))
    assert error.stage == stage
    assert error.tile == int(right.program.first_tile[1]) + tile


@pytest.mark.parametrize("name", [n for n in FULL if CASES[n][2] is GemmMapping])
@pytest.mark.parametrize("stage", ["load", "weights"])
def test_a_block_that_comes_in_part_is_caught(name: str, stage: str) -> None:
    plan = plan_of(case(name)[1])
    tile = plan.tiles - 1
    whole = int(demand(plan, stage)[tile])
    assert caught(name, with_demand(stage, tile, whole // 2)).stage == stage


def test_results_that_stay_in_the_cache_are_caught_where_memory_is_read_next() -> None:
    workload, right = case("blocks on multiprocessors")
    spilled = tuple(
        r and replace(r, output=replace(r.output, place="memory")) for r in right.schedule.residencies
    )
    right = replace(right, schedule=replace(right.schedule, residencies=spilled))
    with pytest.raises(VerificationError, match="is never written"):
        check(workload, right)


@pytest.mark.parametrize("name", [n for n in FULL if "batch" not in n and not n.startswith("sparse")])
def test_a_bias_that_is_not_fetched_is_caught(name: str) -> None:
    workload = case(name)[0]
    size = workload.tensors["bias"].size_bytes
    error = caught(name, with_demand("weights", 0, less=size))
    assert (error.stage, error.reason) == ("weights", "its bias is never fetched")


# -- sums in parts -----------------------------------------------------------------------------------------


def test_sums_that_are_not_taken_over_are_caught() -> None:
    mapping = plan_of(case("sums handed on")[1]).mapping
    assert isinstance(mapping, GemmMapping)
    partial = mapping.tile_m * mapping.tile_n * 4
    error = caught("sums handed on", with_demand("load", 1, less=partial))
    assert error.stage == "compute"
    assert "clears sums that are not finished" in error.reason


def test_sums_that_are_not_handed_on_are_caught() -> None:
    error = caught("sums handed on", with_demand("store", 0, 0))
    assert error.stage == "store"
    assert "its part of the sum, is never written" in error.reason


@pytest.mark.parametrize("name", ["split sums", "split sums of bytes"])
def test_a_part_that_nobody_writes_or_adds_is_caught(name: str) -> None:
    plan = plan_of(case(name)[1])
    mapping = plan.mapping
    assert isinstance(mapping, SplitMapping)
    written = caught(name, with_demand("store", 3, 0))
    assert written.stage == "store"
    assert "its part of the sum, is never written" in written.reason
    adder = mapping.products.tiles + 2
    assert caught(name, with_demand("load", adder, 0)).stage == "load"
    assert caught(name, with_demand("store", adder, 0)).stage == "store"


@pytest.mark.parametrize("name", ["split sums", "split sums of bytes"])
def test_a_split_that_is_left_out_is_caught(name: str) -> None:
    """All tiles of one part of the sums."""
    plan = plan_of(case(name)[1])
    mapping = plan.mapping
    assert isinstance(mapping, SplitMapping)
    of_part = np.flatnonzero(mapping.products.boxes()[:, 5] == mapping.products.tile_k)

    def change(plan: Plan) -> Plan:
        found = each(plan)
        demands = found.demands.copy()
        demands[:, of_part] = 0
        return replace(found, demands=demands)

    assert caught(name, change)


# -- Winograd's filtering ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["load", "store"])
def test_a_transform_that_is_left_out_is_caught(stage: str) -> None:
    plan = plan_of(case("winograd in three")[1])
    mapping = plan.mapping
    assert isinstance(mapping, WinogradMapping)
    for tile in (0, mapping.before + mapping.products.tiles):
        error = caught("winograd in three", with_demand(stage, tile, 0))
        assert error.stage == stage


def test_a_wrong_transform_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cached_products.transformed_filters
    monkeypatch.setattr(cached_products, "transformed_filters", lambda tile, g: right(tile, g[:, :, ::-1]))
    error = caught("winograd in one kernel", lambda plan: plan)
    assert "a transform, a product" in error.reason


def test_products_in_halves_are_outside_the_bound_of_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    """No result is far off, and yet too far."""
    right = cached_products.transformed_patches
    monkeypatch.setattr(
        cached_products,
        "transformed_patches",
        lambda problem, x: right(problem, x).astype(np.float16).astype(np.float64),
    )
    assert caught("winograd in one kernel", lambda plan: plan)


# -- others ------------------------------------------------------------------------------------------------


def test_an_entry_in_the_wrong_column_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cached_products._as_rows
    monkeypatch.setattr(
        cached_products, "_as_rows", lambda run, weights, mapping: np.roll(right(run, weights, mapping), 1)
    )
    for name in ("sparse on cores", "sparse on multiprocessors"):
        assert caught(name, lambda plan: plan)


def test_other_shares_of_rows_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row that nobody takes."""
    workload, right = case("rows on cores")
    plan = plan_of(right)
    mapping = plan.mapping
    assert isinstance(mapping, RowMapping)
    ends = (*mapping.ends[:-1], mapping.ends[-1] - 1)
    with pytest.raises(VerificationError):
        check(workload, right, lambda plan: replace(plan, mapping=replace(mapping, ends=ends)))


def test_signs_are_stages_of_both_kinds() -> None:
    for name in ("blocks on cores", "blocks on multiprocessors"):
        assert cached_walk.has_caches(plan_of(case(name)[1]).pipeline)
