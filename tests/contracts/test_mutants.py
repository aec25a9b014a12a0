"""Deliberate faults, put into hwsim one by one: each must be caught by what this test house checks.

The judges are the same checks that other tests make at length: hand-worked runs, the register-stepped array,
agreement of the two timing paths, and the honesty rules that run inside every run. A fault that all of them
let pass would be one that the tests cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hwsim.devices.systolic as systolic
import hwsim.devices.systolic_gemm as systolic_gemm
import hwsim.devices.systolic_pipeline as systolic_pipeline
import hwsim.pipeline as route
import hwsim.plan.residency as residency
from hwsim import preparation
from hwsim.arrays import Int64Array
from hwsim.errors import HwsimError
from hwsim.plan import Plan, Resource
from hwsim.workload import conv2d, matmul
from hwsim.workload.operators import Conv2d
from tests.hand_worked import CASES, GEMM_ENERGY_PJ, TINY, TINY_AREA_UM2, run_case
from tests.kept import forget
from tests.oracles.systolic_array import run_output_stationary, run_stationary

placed = import_module("hwsim.placement.price")  # whose package has a function of that name

Patch = pytest.MonkeyPatch

# -- judges --------------------------------------------------------------------------------------------------


def hand_worked_time() -> None:
    for case in CASES:
        found = run_case(case)
        assert found.timing.makespan_ps == case.makespan_ps, case.name
        if case.active_ps is not None:
            assert int(found.timing.active_ps.sum()) == case.active_ps, case.name
        totals = zip(found.timing.causes, found.timing.stalls_ps.sum(axis=0).tolist(), strict=True)
        named = {cause: ps for cause, ps in totals if ps}
        assert not case.stalls_ps or named == dict(case.stalls_ps), case.name
        assert "other" not in named, case.name


def hand_worked_counts() -> None:
    for case in CASES:
        found = run_case(case)
        assert case.macs in (None, found.macs), case.name
        for key, count in case.counts.items():
            assert found.usage.total(*key) == count, (case.name, key)


def hand_worked_energy_and_area() -> None:
    found = run_case(CASES[0])
    assert found.usage.by_component() == pytest.approx(GEMM_ENERGY_PJ, rel=1e-9)
    area = dict(zip(found.area.components, found.area.area_mm2, strict=True))
    assert {name: area[name] * 1e6 for name in TINY_AREA_UM2} == pytest.approx(TINY_AREA_UM2, rel=1e-9)
    assert found.energy_j == pytest.approx(
        sum(GEMM_ENERGY_PJ.values()) * 1e-12 + sum(found.area.leakage_w) * 38e-9
    )


def stepped_array() -> None:
    draw = np.random.default_rng(7)
    for rows, cols, m, n, k in ((2, 3, 4, 5, 6), (3, 2, 1, 4, 7), (1, 1, 2, 2, 2)):
        a, b = draw.integers(-9, 9, (m, k)), draw.integers(-9, 9, (k, n))
        wanted = {
            "ws": run_stationary(a, b, rows, cols).cycles,
            "is": run_stationary(b.T, a.T, rows, cols).cycles,
            "os": run_output_stationary(a, b, rows, cols).cycles,
        }
        for dataflow, cycles in wanted.items():
            overrides = (f"array.rows={rows}", f"array.cols={cols}", f"dataflow={dataflow}")
            assert route.run(matmul(m, n, k), "systolic_plain", overrides=overrides).cycles == cycles


def both_timing_paths() -> None:
    for case in CASES[:3]:
        fast, events = run_case(case).trace, run_case(case, "events").trace
        assert (fast.start_ps == events.start_ps).all(), case.name


def honesty_rules() -> None:
    """They run inside every run, so it is enough that runs of many sorts go through."""
    for workload in (
        matmul(40, 9, 30), matmul(3, 5, 7, batch=2), conv2d(2, 6, 9, 9, 4, 3, stride=2, pad=1, groups=2),
        conv2d(1, 4, 8, 7, 4, 3, dilation=2), conv2d(1, 2, 9, 9, 3, 1, stride=3),
    ):  # fmt: skip
        route.run(workload, TINY)
        route.run(workload, TINY, overrides=("unified_buffer.size=700 B", "accumulators.rows=8"))


JUDGES: tuple[Callable[[], None], ...] = (
    honesty_rules,
    hand_worked_time,
    hand_worked_counts,
    hand_worked_energy_and_area,
    stepped_array,
    both_timing_paths,
)


def caught_by() -> list[str]:
    found = []
    for judge in JUDGES:
        try:
            judge()
        except (AssertionError, HwsimError):
            found.append(judge.__name__)
    return found


# -- faults --------------------------------------------------------------------------------------------------


def durations(change: Callable[[int], int]) -> Callable[[Patch], None]:
    right = Resource.duration_ps
    return lambda patch: lasting(patch, lambda self, amount: change(right(self, amount)))


def rounding_down(patch: Patch) -> None:
    lasting(patch, lambda self, amount: 0 if self.rate is None else int(amount * 10**12 / self.rate))


def lasting(patch: Patch, one: Callable[[Resource, int], int]) -> None:
    """Durations of single amounts and of many."""

    def many(self: Resource, amounts: Int64Array) -> Int64Array:
        each = [one(self, amount) for amount in amounts.ravel().tolist()]
        return np.array(each, dtype=np.int64).reshape(amounts.shape)

    patch.setattr(Resource, "duration_ps", one)
    patch.setattr(Resource, "durations_ps", many)


def doubled_energy(patch: Patch) -> None:
    right = placed.price_actions

    def doubled(*given: Any) -> Any:
        found = right(*given)
        return SimpleNamespace(pj_per_count=2 * found.pj_per_count, sources=found.sources)

    patch.setattr(placed, "price_actions", doubled)


def halved_area(patch: Patch) -> None:
    right = placed.area_table
    patch.setattr(
        placed,
        "area_table",
        lambda *given: (lambda found: replace(found, area_mm2=tuple(a / 2 for a in found.area_mm2)))(
            right(*given)
        ),
    )


def no_leakage(patch: Patch) -> None:
    from hwsim.result import Result

    patch.setattr(Result, "energy_j", property(lambda self: self.dynamic_energy_j))


def one_price_for_all_formats(patch: Patch) -> None:
    right = systolic.SystolicDevice._gemm_actions
    patch.setattr(
        systolic.SystolicDevice,
        "_gemm_actions",
        lambda self, gemm, tiles, _: right(self, gemm, tiles, "int8"),
    )


def traffic_counted_twice(patch: Patch) -> None:
    right = Plan.action_totals.func

    def twice(self: Plan) -> dict[tuple[str, str], int]:
        charged = {key for stage in self.pipeline.stages for key in stage.charges}
        return {key: count * (2 if key in charged else 1) for key, count in right(self).items()}

    found = cached_property(twice)
    found.__set_name__(Plan, "action_totals")
    patch.setattr(Plan, "action_totals", found)


def tiles(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Another list of tiles for every mapping."""
    right = systolic_gemm.tile_kinds

    def changed(mapping: Any) -> Any:
        found = right(mapping)
        return replace(found, kind_of_tile=change(found.kind_of_tile))

    return lambda patch: patch.setattr(systolic_gemm, "tile_kinds", changed)


def array_cycles(change: Callable[[Any, Any, int], Any]) -> Callable[[Patch], None]:
    """`change` gets the device, (cycles, settle) and cycles a row, and gives another (cycles, settle)."""
    right = systolic.SystolicDevice._array_cycles

    def changed(self: Any, tiles: Any, per_row: int) -> Any:
        return change(self, right(self, tiles, per_row), per_row)

    return lambda patch: patch.setattr(systolic.SystolicDevice, "_array_cycles", changed)


def skew(device: Any) -> int:
    return int(device.spec.array.rows + device.spec.array.cols - 2)


def missing_fill(device: Any, found: Any, _: int) -> Any:
    return (found[0], 0) if device.spec.array.fold_overlap else (found[0] - skew(device), 0)


def fill_one_short(device: Any, found: Any, _: int) -> Any:
    return (found[0], max(found[1] - 1, 0)) if device.spec.array.fold_overlap else (found[0] - 1, 0)


def rate_ignored(_: Any, found: Any, per_row: int) -> Any:
    return found[0] // per_row, found[1]


def lowering(change: Callable[[Conv2d], Conv2d]) -> Callable[[Patch], None]:
    """Convolutions lowered as if they were others."""
    right = systolic.lower

    def changed(operator: Any, where: Any) -> Any:
        if isinstance(operator.problem, Conv2d):
            operator = replace(operator, problem=change(operator.problem))
        return right(operator, where)

    return lambda patch: patch.setattr(systolic, "lower", changed)


def without_stride(c: Conv2d) -> Conv2d:
    return replace(
        c, stride=(1, 1), P=c.H + c.pad[0] + c.pad[2] - c.R + 1, Q=c.W + c.pad[1] + c.pad[3] - c.S + 1
    )


def without_pad(c: Conv2d) -> Conv2d:
    return replace(c, pad=(0, 0, 0, 0), P=(c.H - c.R) // c.stride[0] + 1, Q=(c.W - c.S) // c.stride[1] + 1)


def constructed(**ignored: Any) -> Callable[[Patch], None]:
    """The front end forgets an argument of convolutions; the operator it makes is right in itself."""
    from hwsim.workload.builder import GraphBuilder

    right = GraphBuilder.conv2d
    return lambda patch: patch.setattr(
        GraphBuilder, "conv2d", lambda self, *given, **named: right(self, *given, **{**named, **ignored})
    )


def pipeline_with(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    right = systolic_pipeline.make_pipeline
    return lambda patch: patch.setattr(systolic, "make_pipeline", lambda spec: change(right(spec)))


def stage(name: str, **changes: Any) -> Callable[[Any], Any]:
    return lambda p: replace(
        p, stages=tuple(replace(s, **changes) if s.name == name else s for s in p.stages)
    )


def slots(name: str, count: int) -> Callable[[Any], Any]:
    return lambda p: replace(
        p, pools=tuple(replace(q, slots=count) if q.name == name else q for q in p.pools)
    )


def demand(name: str, change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """What the tiles of matrix products ask of one stage, changed before it is laid out."""
    right = systolic.SystolicDevice._columns

    def changed(self: Any, kinds: Any, count: int, demands: Any, *rest: Any) -> Any:
        if "compute" in demands:
            demands = {**demands, name: change(demands[name].copy())}
        return right(self, kinds, count, demands, *rest)

    return lambda patch: patch.setattr(systolic.SystolicDevice, "_columns", changed)


def first_to_zero(column: Any) -> Any:
    column[:1] = 0
    return column


def fetched_once_too_few(patch: Patch) -> None:
    right = systolic.tiles_of

    def fewer(*given: Any) -> Any:
        found = right(*given)
        bytes_ = found.weight_bytes.copy()
        bytes_[-1] = 0
        return replace(found, weight_bytes=bytes_)

    patch.setattr(systolic, "tiles_of", fewer)


def unnamed_stall(patch: Patch) -> None:
    patch.setattr(systolic, "CAUSES", tuple(c for c in systolic.CAUSES if c.name != "weight_shift"))


def stall_of_wrong_name(patch: Patch) -> None:
    swap = {"raw": "vector", "vector": "raw"}
    patch.setattr(
        systolic, "CAUSES", tuple(replace(c, name=swap.get(c.name, c.name)) for c in systolic.CAUSES)
    )


def waits_forgotten(patch: Patch) -> None:
    right = preparation.join_plans
    patch.setattr(
        preparation, "join_plans", lambda pipeline, plans, waits: right(pipeline, plans, [{} for _ in waits])
    )


def spilled_for_nothing(patch: Patch) -> None:
    """What does not fit is taken to fit."""
    patch.setattr(residency, "_choose_spilled", lambda *_: set())


def one_accumulator_half(patch: Patch) -> None:
    right = systolic.SystolicDevice._array_shape.func

    def undivided(self: Any) -> Any:
        return replace(right(self), bank_rows=self.spec.accumulators.rows)

    found = cached_property(undivided)
    found.__set_name__(systolic.SystolicDevice, "_array_shape")
    patch.setattr(systolic.SystolicDevice, "_array_shape", found)


FAULTS: dict[str, Callable[[Patch], None]] = {
    "doubled energy": doubled_energy,
    "halved area": halved_area,
    "no leakage": no_leakage,
    "one price for all formats": one_price_for_all_formats,
    "durations x 2": durations(lambda ps: 2 * ps),
    "durations x 0.999": durations(lambda ps: ps * 999 // 1000),
    "durations a picosecond longer": durations(lambda ps: ps + (ps > 0)),
    "rounding down": rounding_down,
    "traffic counted twice": traffic_counted_twice,
    "dropped tile": tiles(lambda kinds: kinds[:-1]),
    "doubled tile": tiles(lambda kinds: np.append(kinds, kinds[-1:])),
    "missing fill": array_cycles(missing_fill),
    "fill a cycle short": array_cycles(fill_one_short),
    "rate of the number format ignored": array_cycles(rate_ignored),
    "stride ignored": lowering(without_stride),
    "padding ignored": lowering(without_pad),
    "groups ignored": lowering(lambda c: replace(c, groups=1)),
    "stride ignored by the front end": constructed(stride=(1, 1)),
    "padding ignored by the front end": constructed(pad=(0, 0, 0, 0)),
    "early drain": pipeline_with(stage("drain", after=("shift",))),
    "drain without settling": pipeline_with(stage("drain", after=("compute",))),
    "compute before weights": pipeline_with(stage("compute", after=("load",))),
    "FIFO depth ignored": pipeline_with(slots("fifo", 10**6)),
    "a second weight plane too many": pipeline_with(slots("planes", 2)),
    "accumulator banks ignored": pipeline_with(slots("accumulators", 10**6)),
    "streaming buffers ignored": pipeline_with(slots("stream", 10**6)),
    "one accumulator half of all rows": one_accumulator_half,
    "weights not charged to the FIFO": pipeline_with(stage("weights", charges=(("weight_memory", "read"),))),
    "weights fetched once too few": fetched_once_too_few,
    "first weights free": demand("weights", first_to_zero),
    "first shift free": demand("shift", first_to_zero),
    "spilled loads free": demand("load", lambda column: column * 0),
    "results leave for nothing": demand("drain", lambda column: column * 0),
    "stall unnamed": unnamed_stall,
    "stall of a wrong name": stall_of_wrong_name,
    "waits between operators forgotten": waits_forgotten,
    "nothing ever spilled": spilled_for_nothing,
}


@pytest.fixture(autouse=True)
def _no_memory_of_other_faults() -> Iterator[None]:
    """What is kept between runs would hide a fault, or outlive it."""
    forget()
    yield
    forget()


def test_without_a_fault_all_judges_are_content() -> None:
    for judge in JUDGES:
        judge()


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault: str, monkeypatch: Patch) -> None:
    FAULTS[fault](monkeypatch)
    assert caught_by(), f"no judge saw: {fault}"
