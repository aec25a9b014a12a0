"""The gpu kind: times worked by hand on a machine with round figures, and what must hold on any."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.design.kinds.gpu import GpuSpec
from hwsim.devices.gpu import GpuDevice
from hwsim.devices.gpu_blocked import Choice, Job, Side, best_choice, block_demands, memory_bytes
from hwsim.devices.gpu_conv import conv_ways, fastest
from hwsim.devices.gpu_machine import HeldBlock, clock_share, machine_of, rates_of, resident_blocks
from hwsim.devices.gpu_pipeline import RESIDENT, pool_name
from hwsim.devices.gpu_tiles import Block
from hwsim.errors import CapacityError
from hwsim.plan import Plan, join_plans
from hwsim.plan.residency import Operand, Residency
from hwsim.result import Trace
from hwsim.sim import simulate
from hwsim.workload import conv2d, matmul, matvec, recurrent
from hwsim.workload.operators import Conv2d
from tests.gpu_samples import Run, mac_count, only_plan, run_on, small_gpu, with_layout

LARGE = Block(128, 128, 8, 256, 120)


def job(m: int, n: int, k: int, *, miss: tuple[float, float] = (0.0, 1.0), **changed: Any) -> Job:
    """A product in fp32 whose results stay in the cache."""
    a, b = Side(m * k * 4, miss[0]), Side(k * n * 4, miss[1])
    given = {"share": 1.0, "slab_latency_s": 0.0, **changed}
    return Job(1, m, n, k, "fp32", 32, a, b, 0.0, **given)


def simulated(spec: GpuSpec, one: Job, parts: int = 1, block: Block = LARGE) -> Trace:
    device = GpuDevice(spec)
    held = HeldBlock(block, resident_blocks(spec, block, "fp32"))
    rates = rates_of(device.pipeline, spec.calibration)
    plan = device._columns(block_demands(one, Choice(held, parts, 0.0), machine_of(spec), rates))
    return simulate(join_plans(device.pipeline, [plan], [{}]), "events")


def simulated_ps(spec: GpuSpec, one: Job, parts: int = 1, block: Block = LARGE) -> int:
    return simulated(spec, one, parts, block).makespan_ps


# -- worked by hand ------------------------------------------------------------------------------------


def test_two_blocks_on_one_multiprocessor() -> None:
    """256 x 128 x 8 is two tiles of one slab. Each takes 128 x 128 x 8 / 64 cycles x 1.04 = 2,129.92, so
    2,130. The 4,096 bytes of the second operand are fetched once, half by each: 20,480 ps until the first
    begins. Both then run one behind the other, and the last stores 65,536 bytes at 1 ps."""
    assert simulated_ps(small_gpu(), job(256, 128, 8)) == 20_480 + 2 * 2_130_000 + 65_536


def test_waves_over_multiprocessors() -> None:
    """Three tiles on two multiprocessors take two rounds, as four do; two take one."""
    spec = small_gpu(multiprocessors={"count": 2})
    hits = {"miss": (0.0, 0.0)}
    rounds = [simulated_ps(spec, job(128 * tiles, 128, 8, **hits)) for tiles in (2, 3, 4)]
    # Stores are of the last round alone: those before drain behind the work.
    assert rounds == [2_130_000 + 2 * 65_536, 2 * 2_130_000 + 65_536, 2 * 2_130_000 + 2 * 65_536]


def test_an_edge_takes_the_time_of_a_whole_tile() -> None:
    whole, edge = (simulated_ps(small_gpu(), job(m, 128, 8, miss=(0.0, 0.0))) for m in (256, 129))
    assert edge == whole - 65_536 + 512  # only the store is shorter: one row of 128 results


def test_a_lone_block_waits_for_slabs() -> None:
    """Four slabs of 2,129.92 cycles. A slab that comes within 1,000 cycles is hidden and waited for twice
    beside the loop; one that takes 3,000 decides. Two blocks of one multiprocessor share the wait."""
    hidden, bare = (job(128, 128, 32, slab_latency_s=s) for s in (1e-6, 3e-6))
    fetched_first = 128 * 8 * 4 * 10  # ps: a quarter of the second operand, before the work
    stored = 65_536
    assert simulated_ps(small_gpu(), hidden) == fetched_first + ceil(4 * 2129.92 + 2000) * 1000 + stored
    assert simulated_ps(small_gpu(), bare) == fetched_first + (4 * 3000 + 6000) * 1000 + stored
    # A cache hit takes 0.3 of the latency, 3,000 cycles, of which each of two blocks waits for half.
    two = job(256, 128, 32, miss=(0.0, 0.0), slab_latency_s=1e-5)
    assert simulated_ps(small_gpu(), two) == 2 * ceil(4 * 2129.92 + 2 * 1500) * 1000 + stored


def test_split_sums_are_written_and_read_again() -> None:
    """128 x 128 x 64 in two parts of four slabs, on two multiprocessors: 8,519.68 cycles at once. Each part
    writes 64 KiB of partial sums to the cache, one behind the other, and then to memory at 10 ps a byte. Two
    blocks then read 128 KiB, each adds 8,192 pairs on 64 lanes in 128 cycles, and both store 32 KiB."""
    spec = small_gpu(multiprocessors={"count": 2})
    part = 128 * 128 * 4
    work = 8_520_000
    written = work + part + 2 * part * 10  # the first store, then memory is busy to the end
    read = written + 2 * part * 10
    assert simulated_ps(spec, job(128, 128, 64, miss=(0.0, 0.0)), 2) == read + part // 2


def test_a_block_finds_room_when_another_leaves() -> None:
    """A multiprocessor has room for two, so waves of two of three blocks fetch the second operand 1.5 times,
    2,048 bytes each. The third block is fetched when the first leaves, and not before."""
    trace = simulated(small_gpu(), job(384, 128, 8))
    at = {stage: index for index, stage in enumerate(trace.stages)}
    fetched, left = trace.start_ps[at["fetch"]], trace.start_ps[at["leave"]]
    assert fetched[1] < left[0]
    assert fetched[2] == left[0] == 20_480 + 2_130_000


def test_kernels_of_one_operator_do_not_overlap() -> None:
    """Three tiles in two parts, six blocks on one multiprocessor: the block that adds up comes when all six
    have written."""
    trace = simulated(small_gpu(), job(384, 128, 64, miss=(0.0, 0.0)), 2)
    at = {stage: index for index, stage in enumerate(trace.stages)}
    written = trace.start_ps[at["write_back"]][:6] + 128 * 128 * 4 * 10
    assert trace.start_ps[at["fetch"]][6] == written.max()


def test_results_without_room_on_chip_are_written_to_memory() -> None:
    """Even where the cache could hold them: the run has put them into memory."""
    device = GpuDevice(small_gpu())
    [op] = matmul(8, 8, 8, dtype="fp32").operators

    def written(place: str) -> int:
        one = Operand(64, 256, "fp32", "weights")
        met = Residency((one, one), Operand(64, 256, "fp32", place))
        return device.plan(op, met).action_totals["memory", "write"]

    assert written("memory") == 256
    assert written("chip") == 0


def test_clock_that_a_power_limit_allows() -> None:
    """64 multiply-adds at 1 GHz of 1,000 pJ are 64 W. With 42 W of 50 for them, the clock is
    (42 / 64)^(1 / 2.5) of the boost clock; with 2 W it is the base clock, a half."""

    def held(limit_w: float) -> float:
        power = {"limit_w": limit_w, "idle_w": 8.0, "multiply_pj": {"fp32": 1000.0}}
        return clock_share(small_gpu(power=power), "fp32")

    assert held(50.0) == pytest.approx((42 / 64) ** 0.4)
    assert held(10.0) == 0.5
    assert held(100.0) == 1.0
    assert clock_share(small_gpu(), "fp32") == 1.0


def test_power_stretches_the_work_and_nothing_else() -> None:
    power = {"limit_w": 10.0, "idle_w": 8.0, "multiply_pj": {"fp32": 1000.0}}
    slow = simulated_ps(small_gpu(power=power), job(128, 128, 8, miss=(0.0, 0.0)))
    assert slow == ceil(2 * 2129.92) * 1000 + 65_536


def test_occupancy() -> None:
    """65,536 registers hold two blocks of 256 threads with 120 each. 8 KiB slabs, twice, fill 32 KiB of
    shared memory after two, and threads of 512 after two."""
    assert resident_blocks(small_gpu(), LARGE, "fp32") == 2
    assert resident_blocks(small_gpu(multiprocessors={"registers": 32_768}), LARGE, "fp32") == 1
    assert resident_blocks(small_gpu(multiprocessors={"shared_memory_bytes": 16_384}), LARGE, "fp32") == 1
    assert resident_blocks(small_gpu(multiprocessors={"threads": 256}), LARGE, "fp32") == 1
    assert resident_blocks(small_gpu(multiprocessors={"blocks": 1}), LARGE, "fp32") == 1


def test_a_machine_without_room_for_any_tile_is_refused() -> None:
    spec = small_gpu(multiprocessors={"shared_memory_bytes": 100})
    with pytest.raises(CapacityError, match="no tile that cublas_10 has for fp32"):
        run_on(spec, matmul(64, 64, 64, dtype="fp32"))


def test_waves_share_what_they_fetch() -> None:
    """32 blocks in rounds of two, each an 8 x 4 grid's part of one row: rectangles of sqrt(2) x sqrt(2) tiles
    at best, so that rows are fetched 4 / sqrt(2) and columns 8 / sqrt(2) times."""
    one = job(1024, 512, 8, miss=(1.0, 1.0))
    a, b = memory_bytes(one, HeldBlock(LARGE, 2), 32, 1, machine_of(small_gpu()))
    assert a == ceil(1024 * 8 * 4 * 4 / 2**0.5)
    assert b == ceil(512 * 8 * 4 * 8 / 2**0.5)


def test_strided_operands_are_overfetched_beyond_a_span() -> None:
    """A wave of two large blocks spans 256 rows of 1 KiB. From 256 KiB on the operand is fetched by each 64
    columns anew, and three bytes for each."""
    fitted = {"memory_share": 1.0, "overfetch": 3.0}

    def fetched(beyond: int, layout: str) -> float:
        spec = small_gpu(
            calibration={**fitted, "overfetch_beyond_bytes": beyond}, cache_state="hot", l2={"size_bytes": 2}
        )
        plan = only_plan(spec, with_layout(matmul(512, 256, 256, dtype="fp32"), layout))
        return plan.action_totals["memory", "read"]

    plain = fetched(2**18 - 1, "nt")
    assert fetched(2**18, "tt") == plain
    one_side = 512 * 1024
    assert fetched(2**18 - 1, "tt") == pytest.approx(plain + 3 * 4 * one_side - one_side * 2**0.5, rel=0.3)
    assert fetched(2**18 - 1, "tt") > 5 * plain / 2
    # The second operand is read along its sums under "n"; a wave spans 128 of its columns, 128 KiB.
    assert fetched(2**17, "nn") == plain
    assert fetched(2**17 - 1, "nn") > 5 * plain / 2


def test_narrow_products_read_the_wide_operand_for_each_four_columns() -> None:
    """Of the CUDA 8 library: 16 columns read a 4 MiB matrix from memory four times, 4 columns once; 17 are a
    blocked product."""
    spec = small_gpu(library="cublas_8")

    def read(columns: int) -> int:
        return only_plan(spec, matmul(columns, 1024, 1024, dtype="fp32")).action_totals["memory", "read"]

    assert read(4) == 2**22
    assert read(5) == 2 * 2**22
    assert read(16) == 4 * 2**22
    assert read(17) < 2 * 2**22


def test_sparse_weights_are_walked() -> None:
    """6,400 of 64,000 weights, 12 cycles each on one multiprocessor, are longer than 8 vectors at 1 cycle a
    product; with 16 vectors the products are longer. Bytes are 8 a weight and 4 a row."""

    def of(vectors: int) -> Plan:
        spec = small_gpu(calibration={"csr_cycles_per_nonzero": 12.0, "csr_cycles_per_product": 1.0})
        return only_plan(spec, matvec(160, 400, density=0.1, batch=vectors).astype("fp32"))

    at = of(8).pipeline.stage_index("compute")
    assert of(8).stage_totals[at] == 6400 * 12 + 1000  # two loads of 500 ns: the first, and the way out
    assert of(16).stage_totals[at] == 6400 * 16 + 1000
    assert mac_count(of(8)) == 6400 * 8
    assert of(8).action_totals["memory", "read"] == 8 * 6400 + 4 * 161


def test_steps_of_a_recurrent_layer_follow_one_another() -> None:
    """A gate of 64 x 64 for 8 sequences is one tile of 32 x 64: 32 x 64 x 64 / 64 cycles x 1.12 = 2,293.76.
    It stores 2 KiB, then come 5 us of pointwise work and 2 KiB of state. Weights stay in a hot cache; a cold
    one fetches their 16 KiB once, at 10 ps a byte, beside the first product."""
    products = {"fp32": {"slab_latency_s": 0.0, "recurrent_step_s": 5e-6}}
    fitted = {"memory_share": 1.0, "products": products}

    def found(steps: int, state: str) -> Run:
        spec = small_gpu(calibration=fitted, cache_state=state, launch_s=1e-5)
        return run_on(spec, recurrent("rnn", 64, 8, steps, dtype="fp32"))

    step = 2_294_000 + 2048 + 5_000_000 + 2048
    assert found(1, "hot").trace.makespan_ps == 10_000_000 + step
    assert found(3, "hot").trace.makespan_ps == 10_000_000 + 3 * step
    assert mac_count(found(3, "hot").plan) == 3 * 8 * 64 * 64
    stepwise = recurrent("lstm", 64, 8, 3, form="stepwise", features=100, dtype="fp32")
    assert mac_count(only_plan(small_gpu(), stepwise)) == 4 * 3 * 8 * 64 * (64 + 100)
    assert found(3, "hot").plan.action_totals["memory", "read"] == 0
    assert found(3, "cold").plan.action_totals["memory", "read"] == 64 * 64 * 4
    events = simulate(found(3, "cold").program, "events")
    assert events.makespan_ps == found(3, "cold").trace.makespan_ps


def test_launches_belong_to_a_harness() -> None:
    fitted = {"memory_share": 1.0, "launch_us": {"bench": 20.0}}

    def launched_ps(harness: str) -> int:
        spec = small_gpu(calibration=fitted, harness=harness, launch_s=3e-6)
        plan = only_plan(spec, matmul(64, 64, 64, dtype="fp32"))
        return int(plan.busy_ps[plan.pipeline.stage_index("launch")])

    assert launched_ps("") == 3_000_000
    assert launched_ps("bench") == 20_000_000


# -- what must hold on any -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_convolutions_count_their_own_multiplications(dtype: str) -> None:
    """Padded channels take time and are no multiplications."""
    workload = conv2d(2, 3, 30, 30, 40, 5, dtype=dtype)
    assert mac_count(only_plan(small_gpu(), workload)) == workload.operators[0].macs


def test_winograd_saves_multiplications() -> None:
    """F(4x4, 3x3) does 36 for 144, F(2x2, 3x3) 16 for 36; cuDNN takes one of them for a large 3 x 3."""
    workload = conv2d(8, 64, 56, 56, 64, 3, pad=1, dtype="fp32")
    macs = workload.operators[0].macs
    done = mac_count(only_plan(small_gpu(), workload))
    assert done in (macs * 36 // 144, macs * 16 // 36)
    # Its products run at 0.9 of an implicit product's rate, and at 0.8 of that in one kernel.
    [op] = workload.operators
    assert isinstance(op.problem, Conv2d)
    direct = job(8 * 56 * 56, 64, 64 * 9)
    ways = conv_ways(op.problem, direct, machine_of(small_gpu()))
    job_of = {way.minimal: way.job for way in ways}
    assert {minimal: (one.batch, one.share) for minimal, one in job_of.items()} == {
        0: (1, 1.0),
        2: (16, pytest.approx(0.9 * 0.8)),
        4: (36, pytest.approx(0.9)),
    }
    assert ways[fastest(ways, rates_of(GpuDevice(small_gpu()).pipeline, small_gpu().calibration))[0]].minimal
    strided = conv2d(8, 64, 56, 56, 64, 3, pad=1, stride=2, dtype="fp32")
    assert mac_count(only_plan(small_gpu(), strided)) == strided.operators[0].macs


def test_hot_caches_save_memory_as_far_as_operands_fit() -> None:
    """128 KiB of operands: fetched in whole from a cache of 64 KiB, half of a cache of 170 KiB (at 3 / 4 of
    its size), none of one of 256 KiB."""

    def read(size_bytes: int, state: str = "hot") -> int:
        spec = small_gpu(l2={"size_bytes": size_bytes}, cache_state=state)
        plan = only_plan(spec, matmul(1, 32_000, 1, dtype="fp32"))
        return plan.action_totals.get(("memory", "read"), 0)

    total = 32_000 * 4
    assert read(total) >= total
    assert read(8 * total) == 0
    assert 0 < read(2_600 * 128) < total
    assert read(8 * total, "cold") >= total


SIZES = st.integers(1, 300)


@settings(max_examples=30)
@given(m=SIZES, n=SIZES, k=st.integers(1, 2000), dtype=st.sampled_from(["fp32", "fp16"]), state=st.booleans())
def test_products_keep_the_rules(m: int, n: int, k: int, dtype: str, state: bool) -> None:
    """Both timing paths agree; all is multiplied; no byte is forgotten; no time is below its bound."""
    spec = small_gpu(
        multiprocessors={"count": 3}, l2={"size_bytes": 65_536}, cache_state="hot" if state else "cold",
        calibration={"memory_share": 0.8},
    )  # fmt: skip
    workload = matmul(m, n, k, dtype=dtype)
    found, again = run_on(spec, workload), run_on(spec, workload, "events")
    assert np.array_equal(found.trace.start_ps, again.trace.start_ps)
    assert found.trace.makespan_ps == again.trace.makespan_ps
    device, pipeline = GpuDevice(spec), found.program.pipeline
    for op, residency, plan in zip(
        found.schedule.operators, found.schedule.residencies, found.plans, strict=True
    ):
        assert (plan.takes @ plan.tiles_of_kind == plan.frees @ plan.tiles_of_kind).all()
        busy: dict[str, int] = {}
        for stage, ps in zip(pipeline.stages, plan.busy_ps.tolist(), strict=True):
            busy[stage.resource] = busy.get(stage.resource, 0) + ps
        for name, floor in device.bound_ps(op, residency).items():
            assert busy[name] >= floor
    plan = found.plan
    assert mac_count(plan) == m * n * k
    at = {stage.name: index for index, stage in enumerate(pipeline.stages)}
    size = 4 if dtype == "fp32" else 2
    assert plan.stage_totals[at["weights"]] >= k * n * size
    assert plan.stage_totals[at["load"]] >= m * k * size
    assert plan.stage_totals[at["store"]] >= m * n * size


def test_the_library_takes_the_tile_that_its_closed_form_says() -> None:
    spec, one = small_gpu(), job(200, 300, 4000)
    device = GpuDevice(spec)
    chosen = best_choice(one, machine_of(spec), rates_of(device.pipeline, spec.calibration))
    assert chosen.held in machine_of(spec).blocks["fp32"]
    plan = device._columns(block_demands(one, chosen, machine_of(spec)))
    simulated_s = simulate(join_plans(device.pipeline, [plan], [{}]), "fast").makespan_ps * 1e-12
    assert chosen.seconds == pytest.approx(simulated_s, rel=0.1)


def test_pools_round_down() -> None:
    assert [pool_name(size) for size in (1, 5, 32, 40)] == ["blocks_1", "blocks_4", "blocks_32", "blocks_32"]
    assert RESIDENT[0] == 1
