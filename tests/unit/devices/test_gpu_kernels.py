"""Kernels of a GPU's libraries that are not the usual blocked product: persistent recurrent layers, weights
stored 2:4, narrow products, tiles of one stage, and kernels with nothing to do."""

from __future__ import annotations

from math import ceil

import pytest

from hwsim.compress.encode import encode
from hwsim.compress.prune import prune_n_of_m
from hwsim.devices.gpu_structured import is_two_of_four
from hwsim.devices.gpu_tiles import SIDE_LOSS
from hwsim.plan import Plan
from hwsim.workload import elementwise, matmul, recurrent
from tests.gpu_samples import Run, mac_count, only_plan, run_on, small_gpu, two_of_four, with_layout


def work(plan: Plan) -> int:
    """Cycles of all thread blocks."""
    return int(plan.stage_totals[plan.pipeline.stage_index("compute")])


# -- what stays in registers ---------------------------------------------------------------------------


def test_a_persistent_layer_by_hand() -> None:
    """64 x 64 weights for 8 sequences on one multiprocessor; only the first step fetches their 16 KiB. A step
    takes 8 x 64 x 64 / 64 = 512 cycles for products, 8 for 512 sums on 64 lanes, and three loads of 150 ns,
    450; then it stores 2 KiB of state at 1 ps a byte."""

    def found(steps: int, cache_state: str) -> Run:
        spec = small_gpu(recurrent="persistent", cache_state=cache_state)
        return run_on(spec, recurrent("rnn", 64, 8, steps, dtype="fp32"))

    step = (512 + 8 + 450) * 1000 + 2048
    took = [found(steps, "hot").trace.makespan_ps for steps in (1, 2, 4)]
    assert (took[1] - took[0], took[2] - took[1]) == (step, 2 * step)
    plan = found(3, "cold").plan
    assert plan.action_totals["memory", "read"] == 64 * 64 * 4
    assert mac_count(plan) == 3 * 8 * 64 * 64


def test_a_layer_that_does_not_fit_registers_is_streamed() -> None:
    """0.85 of 65,536 registers hold 236 x 236 weights, and not 237 x 237."""

    def took(units: int, form: str) -> int:
        return run_on(
            small_gpu(recurrent=form), recurrent("rnn", units, 8, 2, dtype="fp32")
        ).trace.makespan_ps

    assert took(236, "persistent") < took(236, "streamed")
    assert took(237, "persistent") == took(237, "streamed")


# -- weights that are stored 2:4 -----------------------------------------------------------------------


def test_two_of_four_by_hand() -> None:
    """128 x 128 x 64 in fp16 is one tile: 128 x 128 x 64 / 512 cycles x 1.04 = 2,129.92 dense, half of that
    where two of four weights are skipped. Of 128 x 64 weights half are fetched, with two bits each: 4,096 x
    18 bits are 9,216 bytes. The other operand is in the cache."""
    unit = {"unit": "tensor", "macs_per_cycle": 512}
    spec = small_gpu(units={"fp16": {**unit, "structured_rate": 2}})
    workload = two_of_four(matmul(128, 128, 64, dtype="fp16"))

    plan, dense = only_plan(spec, workload), only_plan(small_gpu(), workload)
    assert (work(plan), work(dense)) == (1065, 2130)
    assert (mac_count(plan), mac_count(dense)) == (128 * 128 * 32, 128 * 128 * 64)
    assert plan.action_totals["memory", "read"] == 9216
    assert dense.action_totals["memory", "read"] == 128 * 64 * 2


@pytest.mark.parametrize("kept", [(4, 16), (2, 2), (1, 4), (4, 8)])
def test_other_groups_are_taken_as_dense(kept: tuple[int, int]) -> None:
    """Some have an index as long as that of 2:4."""
    n, m = kept
    pruned = encode(prune_n_of_m(matmul(64, 64, 64, dtype="fp16"), n, m), "n:m", n=n, m=m, axis=0)
    assert not is_two_of_four(pruned.tensors["b"])
    assert is_two_of_four(two_of_four(matmul(64, 64, 64, dtype="fp16")).tensors["b"])


# -- narrow and small ----------------------------------------------------------------------------------


def test_an_empty_pointwise_kernel_takes_two_loads() -> None:
    """What must come from memory is waited for 500 ns, and the result as long to arrive; from the cache, 0.3
    of that."""
    plan = only_plan(small_gpu(), elementwise(8))
    assert work(plan) in (1001, 301)


def test_narrow_kernels_multiply_in_an_eighth_of_the_lanes() -> None:
    """16 x 512 x 512 on two multiprocessors of 64 lanes, 4,194,304 products at 8 a cycle of each."""
    spec = small_gpu(library="cublas_8", multiprocessors={"count": 2})
    plan = only_plan(spec, matmul(512, 16, 512, dtype="fp32"))
    assert work(plan) == 512 * 16 * 512 // 8
    # An operand that is narrow and lies across the sums has no such kernel.
    across = only_plan(spec, with_layout(matmul(512, 16, 512, dtype="fp32"), "nt"))
    assert work(across) < 512 * 16 * 512 // 8


def test_a_lone_stage_loads_and_multiplies_in_turn() -> None:
    """A slab of 8 of a 32 x 128 tile: 32 x 128 x 8 / 64 = 512 cycles x 1.1 of products, 4,096 bytes of
    weights at 10 ps, 40.96 cycles, and 1,000 cycles of latency, one behind another; 64 slabs, and two waits
    beside."""
    products = {"fp32": {"slab_latency_s": 1e-6}}
    spec = small_gpu(
        library="cublas_8", l2={"size_bytes": 2**16}, cache_state="hot",
        calibration={"memory_share": 1.0, "products": products},
    )  # fmt: skip
    plan = run_on(spec, recurrent("rnn", 512, 32, 1, dtype="fp32")).plan
    loss = 1 + SIDE_LOSS * (64 / 32 + 64 / 128)
    # All four tiles of 128 rows are under way on the one multiprocessor, and share latency and transfer.
    each = max(512 * loss, 1000 / 4 + (512 * loss + 4 * 40.96) / 4)
    kernel = 4 * ceil(64 * each + 2 * 250)
    step = 10_000  # us of pointwise work, unfitted
    assert work(plan) == kernel + step
