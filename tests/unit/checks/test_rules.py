"""Each honesty rule fails when its fact is broken: results and plans of a real run, tampered with one by
one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwsim.checks.rules import check_plans, check_result, compulsory_read_bytes, expected_macs
from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.errors import CheckError
from hwsim.pipeline import Prepared, prepare, run
from hwsim.plan import Plan
from hwsim.plan.residency import Operand, Residency
from hwsim.result import Result
from hwsim.workload import Operator, Workload, conv2d, matmul
from hwsim.workload.operators import Conv2d, Elementwise, Matmul
from tests.hand_worked import CASES, TINY, run_case


@pytest.fixture(scope="module")
def result() -> Result:
    return run_case(CASES[0])


def with_timing(result: Result, **changes: Any) -> Result:
    return replace(result, timing=replace(result.timing, **changes))


def shifted(array: np.ndarray, at: tuple[int, ...], by: int) -> np.ndarray:
    found = array.copy()
    found[at] += by
    return found


def refused(result: Result) -> str:
    with pytest.raises(CheckError) as told:
        check_result(result)
    return str(told.value)


def test_a_right_result_passes(result: Result) -> None:
    check_result(result)


def test_busy_below_the_bound(result: Result) -> None:
    timing = result.timing
    stage = timing.stages.index("compute")
    bound = int(timing.bound_ps[1, timing.resources.index("array")])
    assert bound == 6 * 2_000  # 24 MACs on 4 PEs
    short = replace(result, timing=replace(timing, busy_ps=shifted(timing.busy_ps, (1, stage), -1)))
    assert "array is busy 11999 ps, below its bound of 12000 ps" in refused(short)


def test_run_below_the_bound(result: Result) -> None:
    told = refused(with_timing(result, bound_ps=shifted(result.timing.bound_ps, (1, 0), 10**6)))
    assert "below its bound" in told
    assert "the run takes 38000 ps" in told


def test_operator_complete_before_its_bound(result: Result) -> None:
    early = with_timing(result, completion_ps=np.array([1, 32_000, 38_000]))
    assert "input:a is complete at 1 ps, before its bound allows" in refused(early)


def test_resource_busier_than_the_run_is_long(result: Result) -> None:
    stage = result.timing.stages.index("drain")
    told = refused(with_timing(result, busy_ps=shifted(result.timing.busy_ps, (1, stage), 10**6)))
    assert "activation_unit is busy 1012000 ps in a run of 38000 ps" in told


def test_tile_before_time_zero(result: Result) -> None:
    trace = replace(result.trace, start_ps=result.trace.start_ps - 1)
    assert "starts before time zero" in refused(replace(result, trace=trace))


def test_makespan_that_is_not_the_last_end(result: Result) -> None:
    told = refused(with_timing(result, makespan_ps=38_001))
    assert "the last stage ends at 38000 ps and the run at 38001 ps" in told
    assert "add up to 38000 ps" in told


def test_stalls_that_do_not_add_up(result: Result) -> None:
    assert "add up to 37999 ps" in refused(
        with_timing(result, stalls_ps=shifted(result.timing.stalls_ps, (1, 0), -1))
    )


def test_negative_stall(result: Result) -> None:
    stalls = shifted(shifted(result.timing.stalls_ps, (1, 0), -50_000), (1, 1), 50_000)
    told = refused(with_timing(result, stalls_ps=stalls))
    assert "a stall is negative" in told
    assert "add up" not in told


def test_operators_that_do_not_account_for_the_run(result: Result) -> None:
    told = refused(with_timing(result, completion_ps=np.array([3_000, 32_000, 37_000])))
    assert "operators account for 37000 of 38000 ps" in told


@pytest.mark.parametrize("change", [{"counts": -1}, {"energy_pj_per_count": -0.1}])
def test_negative_count_or_energy(result: Result, change: dict[str, float]) -> None:
    ((name, value),) = change.items()
    array = np.array(getattr(result.usage, name), copy=True)
    array.flat[0] = value
    assert "a count or an energy is negative" in refused(
        replace(result, usage=replace(result.usage, **{name: array}))
    )


def test_macs_that_nothing_multiplied(result: Result) -> None:
    counts = result.usage.counts.copy()
    counts[:, [action.startswith("mac_") for _, action in result.usage.keys]] = 0
    assert "no multiplication was charged" in refused(
        replace(result, usage=replace(result.usage, counts=counts))
    )


def test_all_that_is_broken_is_told(result: Result) -> None:
    counts = result.usage.counts.copy()
    counts[0, 0] = -1
    told = refused(replace(with_timing(result, makespan_ps=1), usage=replace(result.usage, counts=counts)))
    assert "matmul_3x4x2 on tiny" in told
    assert told.count("\n") >= 3


# -- plans ---------------------------------------------------------------------------------------------------


def prepared(workload: Workload, *overrides: str) -> tuple[Prepared, Any]:
    device = make_device(load_design(TINY, overrides).device_spec)
    return prepare(workload.astype("int8"), device), device.pipeline


SPILLED = ("unified_buffer.size=120 B",)  # of matmul(32, 2, 2) the input is spilled


def refused_plan(change: Callable[[Plan], Plan], *overrides: str, workload: Workload | None = None) -> str:
    found, pipeline = prepared(workload or matmul(32, 2, 2), *overrides)
    check_plans(found.schedule, found.plans, pipeline)
    plans = [change(plan) if plan.mapping is not None else plan for plan in found.plans]
    with pytest.raises(CheckError) as told:
        check_plans(found.schedule, plans, pipeline)
    return str(told.value)


def asking(stage: str, factor: float) -> Callable[[Plan], Plan]:
    def change(plan: Plan) -> Plan:
        demands = plan.demands.copy()
        at = plan.pipeline.stage_index(stage)
        demands[at] = (demands[at] * factor).astype(np.int64)
        return replace(plan, demands=demands)

    return change


@pytest.mark.parametrize("count", [127, 129])
def test_multiplications_that_are_not_the_macs(count: int) -> None:
    def change(plan: Plan) -> Plan:
        kinds = plan.demands.shape[1]
        return replace(
            plan,
            kind_of_tile=np.zeros(1, dtype=np.int32),
            actions={("array", "mac_int8"): np.full(kinds, count)},
            takes=plan.takes & False,
            frees=plan.frees & False,
        )

    assert f"{count} multiplications for 128 MACs" in refused_plan(change)


def test_weights_not_fetched() -> None:
    assert "weights fetches 2 bytes of 4" in refused_plan(asking("weights", 0.5))


def test_spilled_input_not_loaded() -> None:
    assert "load fetches 0 bytes of 64" in refused_plan(asking("load", 0), *SPILLED)


def test_weights_fetched_often_do_not_stand_for_a_missing_load() -> None:
    def change(plan: Plan) -> Plan:
        return asking("weights", 1000)(asking("load", 0)(plan))

    assert "load fetches 0 bytes of 64" in refused_plan(change, *SPILLED)


def test_spilled_output_not_stored() -> None:
    workload = matmul(32, 4, 1)  # a 32 bytes, product 128
    told = refused_plan(asking("store", 0.9), "unified_buffer.size=130 B", workload=workload)
    assert "bytes written of 128" in told


def test_slots_taken_and_never_given_back() -> None:
    def change(plan: Plan) -> Plan:
        frees = plan.frees.copy()
        frees[:] = False
        return replace(plan, frees=frees)

    told = refused_plan(change)
    assert "takes 1 slots of fifo and frees 0" in told
    assert "accumulators" in told


# -- what the rules expect -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 2, 5, 5, 3, 3), {}),
        ((2, 4, 6, 7, 6, 3), {"stride": 2, "pad": 1, "groups": 2}),
        ((1, 3, 9, 8, 2, 2), {"dilation": 3, "stride": 2}),
        ((1, 4, 5, 5, 4, 3), {"groups": 4, "pad": 2}),
    ],
)
def test_expected_macs_by_counting(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    """Against a count of every product a convolution makes, zeros of the padding included."""
    op = conv2d(*shape, **options).operators[0]
    p = op.problem
    assert isinstance(p, Conv2d)
    reach_h, reach_w = (p.R - 1) * p.dilation[0], (p.S - 1) * p.dilation[1]
    products = 0
    for top in range(-p.pad[0], p.H + p.pad[2] - reach_h, p.stride[0]):
        for left in range(-p.pad[1], p.W + p.pad[3] - reach_w, p.stride[1]):
            assert top + reach_h < p.H + p.pad[2]
            assert left + reach_w < p.W + p.pad[3]
            products += p.N * p.K * (p.C // p.groups) * p.R * p.S
    assert expected_macs(op) == op.macs == products


def test_rows_that_a_stride_jumps_over_need_not_be_read() -> None:
    def read(height: int, kernel: int, stride: int) -> int:
        rows = (height - kernel) // stride + 1
        problem = Conv2d(1, 1, height, 10, 1, kernel, 1, rows, 10, stride=(stride, 1))
        operands = (
            Operand(height * 10, height * 10, "int8", "memory"),
            Operand(kernel, kernel, "int8", "weights"),
        )
        residency = Residency(operands, Operand(rows * 10, rows * 10, "int8", "chip"))
        return compulsory_read_bytes(Operator("c", problem, ("x", "w"), "y"), residency) - kernel

    assert read(9, 1, 2) == 50  # rows 0 2 4 6 8
    assert read(10, 1, 3) == 40  # rows 0 3 6 9
    assert read(9, 3, 2) == 90  # all
    assert read(10, 3, 2) == 90  # the last is in no window


def test_operands_on_chip_need_no_fetch() -> None:
    chip, memory = Operand(8, 8, "int8", "chip"), Operand(8, 8, "int8", "memory")
    op = Operator("e", Elementwise("add", 8, 2), ("a", "b"), "y")
    assert compulsory_read_bytes(op, Residency((chip, memory), chip)) == 8
    assert expected_macs(op) == 0
    assert expected_macs(Operator("m", Matmul(2, 3, 4, 5), ("a", "b"), "y")) == 120


def test_a_run_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The route asks the rules: a result that lies does not come out of it."""
    import hwsim.pipeline as route

    right = route.completions
    monkeypatch.setattr(route, "completions", lambda timeline: right(timeline) - 1)
    with pytest.raises(CheckError, match="please report it"):
        run(matmul(3, 4, 2), TINY)
