"""Attention along its tiles: the right plan passes whatever the mask, and what is left out is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwsim.functional.attention_tiles as attention_tiles
from hwsim.errors import VerificationError
from hwsim.plan import Plan
from hwsim.plan.mapping import AttentionMapping
from tests.cached_products import (
    attention,
    check,
    plan_of,
    prepared,
    tile_again,
    with_demand,
    without_tile,
)
from tests.changed_plans import each

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "cores": ({"heads": 4, "groups": 2, "queries": 70, "keys": 90, "causal": True}, "generic_x86"),
    "multiprocessors": ({"heads": 4, "groups": 2, "queries": 300, "keys": 300}, "v100"),
    "parts": ({"heads": 2, "groups": 2, "queries": 3, "keys": 900, "window": 500, "causal": True}, "v100"),
    "packed": ({"heads": 8, "groups": 2, "queries": 1, "keys": 700, "dtype": "fp16"}, "a100"),
    "masked": ({"heads": 2, "groups": 1, "queries": 5, "keys": 600, "masked": True}, "t4"),
    "bytes": ({"heads": 2, "groups": 1, "queries": 5, "keys": 600, "dtype": "int8"}, "t4"),
}


def caught(name: str, change: Callable[[Plan], Plan]) -> VerificationError:
    options, design = CASES[name]
    workload = attention(**options)
    with pytest.raises(VerificationError) as told:
        check(workload, prepared(workload, design), change)
    return told.value


def mapping_of(name: str) -> tuple[Plan, AttentionMapping]:
    options, design = CASES[name]
    plan = plan_of(prepared(attention(**options), design))
    assert isinstance(plan.mapping, AttentionMapping)
    return plan, plan.mapping


@pytest.mark.parametrize("name", CASES)
def test_the_right_plan_passes(name: str) -> None:
    options, design = CASES[name]
    workload = attention(**options)
    found = check(workload, prepared(workload, design), each)
    assert found.elements[0] == workload.tensors["y"].elements
    assert found.used[0] <= 1


def test_the_cases_are_cut_as_their_names_say() -> None:
    assert mapping_of("parts")[1].parts > 1
    assert mapping_of("packed")[1].packed
    assert mapping_of("cores")[1].blocks > 1


@pytest.mark.parametrize("name", CASES)
def test_a_tile_that_is_left_out_or_issued_twice_is_caught(name: str) -> None:
    tiles = mapping_of(name)[0].tiles
    for tile in (0, tiles // 2, tiles - 1):
        assert caught(name, without_tile(tile)).operator == "y"
        assert caught(name, tile_again(tile)).stage == "issue"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stage", ["load", "weights", "compute", "store"])
def test_a_tile_that_does_not_do_its_part_is_caught(name: str, stage: str) -> None:
    plan, _ = mapping_of(name)
    row = plan.demands[plan.pipeline.stage_index(stage), plan.kind_of_tile]
    tile = int(np.flatnonzero(row)[len(np.flatnonzero(row)) // 2])
    assert caught(name, with_demand(stage, tile, 0)).stage == stage


@pytest.mark.parametrize("name", ["parts", "packed"])
def test_a_part_that_nobody_joins_is_caught(name: str) -> None:
    plan, mapping = mapping_of(name)
    error = caught(name, with_demand("load", plan.tiles - mapping.adding, 0))
    assert error.stage == "load"
    assert "parts that it joins" in error.reason


def test_another_walk_is_caught() -> None:
    """Blocks of queries that do not reach the last of them, though as many tiles are issued."""
    _, mapping = mapping_of("multiprocessors")

    def change(plan: Plan) -> Plan:
        shorter = replace(mapping, tile_q=mapping.tile_q - 8)
        assert shorter.tiles >= mapping.tiles
        return replace(plan, mapping=shorter)

    assert caught("multiprocessors", change)


@pytest.mark.parametrize("wrong", ["scale", "window"])
def test_wrong_arithmetic_is_caught(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import hwsim.kernels.sequence_unit as kernels

    right = kernels.attend

    def other(*given: Any) -> None:
        changed = [*given]
        if wrong == "scale":
            changed[9] *= 1.02
        else:
            changed[12] -= 1
        right(*changed)

    monkeypatch.setattr(kernels, "attend", other)
    assert caught("parts", lambda plan: plan).stage == "compute"


def test_parts_that_are_added_without_their_maximum_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = attention_tiles._joined
    monkeypatch.setattr(
        attention_tiles, "_joined", lambda most, total, sums: right(np.zeros_like(most), total, sums)
    )
    assert caught("parts", lambda plan: plan)


@settings(max_examples=25)
@given(st.data())
def test_attention_of_any_shape_is_right(data: st.DataObject) -> None:
    groups = data.draw(st.sampled_from((1, 2)))
    heads = groups * data.draw(st.sampled_from((1, 3)))
    queries = data.draw(st.sampled_from((1, 2, 7, 65, 200)))
    keys = data.draw(st.sampled_from((queries, queries + 1, queries + 130, 500)))
    options: dict[str, Any] = {
        "causal": data.draw(st.booleans()),
        "window": data.draw(st.sampled_from((0, 0, 1, 5, 100))),
        "masked": data.draw(st.booleans()),
        "scale": data.draw(st.sampled_from((0.35, 1.0, 40.0))),
    }
    design, dtype = data.draw(
        st.sampled_from(
            (("generic_x86", "fp32"), ("v100", "fp16"), ("a100", "bf16"), ("h100", "fp16"), ("t4", "int8"),
             ("p100", "fp32"))
        )
    )  # fmt: skip
    workload = attention(heads, groups, queries, keys, 8, dtype=dtype, **options)
    right = prepared(workload, design)
    plan = plan_of(right)
    assert plan.mapping is not None
    assert plan.mapping.tiles == plan.tiles
    assert check(workload, right).used[0] <= 1
    with pytest.raises(VerificationError):
        check(workload, right, without_tile(data.draw(st.integers(0, plan.tiles - 1))))
