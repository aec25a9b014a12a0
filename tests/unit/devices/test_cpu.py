"""The cpu kind: cases worked by hand in picoseconds, both timing paths, floors, what each field changes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.checks import check_plans, check_storage
from hwsim.cost import area_table, load_technology, price_actions
from hwsim.design.kinds.cpu import (
    CpuCacheSpec,
    CpuCalibrationSpec,
    CpuCoresSpec,
    CpuLibrarySpec,
    CpuMemorySpec,
    CpuPowerSpec,
    CpuSpec,
    CpuVectorSpec,
)
from hwsim.devices.cpu import CpuDevice, lower
from hwsim.devices.cpu_gemm import Block, block_demands, grids
from hwsim.devices.cpu_stream import csr_bytes, cut
from hwsim.errors import CheckError
from hwsim.pipeline import prepare, run
from hwsim.plan.residency import Operand, Residency, WeightStorage
from hwsim.sim import simulate
from hwsim.workload import Workload, conv2d, matmul, matvec
from hwsim.workload.operators import Matmul, Operator
from tests.networks import network, operator


def tiny(**sections: Any) -> CpuSpec:
    """Four cores of 1 GHz with one 4-lane port each, 64 KiB of cache at 16 bytes a cycle, memory of one byte
    a nanosecond, and a launch of one microsecond: all times are whole nanoseconds or close."""
    parts: dict[str, Any] = {
        "cores": {"count": 4, "clock_hz": 10**9, "vector_clock_hz": 10**9, "boost_clock_hz": 2 * 10**9},
        "vector": {"width_bits": 128, "fma_ports": 1, "fma_latency_cycles": 4},
        "library": {"vector_extent": 4, "broadcast_extent": 2, "panel_depth": 8},
        "cache": {"size_bytes": 65536, "cores_per_cache": 4, "bytes_per_cycle": 16},
        "memory": {"technology": "ddr3", "size_bytes": 2**30, "bandwidth_bytes_per_s": 10**9},
        "calibration": {},
    }
    sections = {"launch_s": 1e-6} | sections
    flat = {name: value for name, value in sections.items() if not isinstance(value, dict)}
    for name, changed in sections.items():
        if isinstance(changed, dict):
            parts[name] = parts[name] | changed
    return CpuSpec(
        kind="cpu",
        cores=CpuCoresSpec(**parts["cores"]),
        vector=CpuVectorSpec(**parts["vector"]),
        library=CpuLibrarySpec(**parts["library"]),
        cache=CpuCacheSpec(**parts["cache"]),
        memory=CpuMemorySpec(**parts["memory"]),
        calibration=CpuCalibrationSpec(**parts["calibration"]),
        **flat,
    )


def makespan_ps(workload: Workload, spec: CpuSpec, timing: str = "fast") -> int:
    graph = workload if workload.formats_chosen else workload.astype(spec.dtype)
    return simulate(prepare(graph, CpuDevice(spec)).program, timing).makespan_ps


@pytest.mark.parametrize("timing", ["fast", "events"])
def test_a_product_worked_by_hand(timing: str) -> None:
    # 16 x 8 x 8 on a grid of 2 x 2 cores: blocks of 8 rows (four register tiles of 2) by 4 columns.
    # 512 ns: the input comes from memory. 1512: threads are launched. Blocks of weights, 128 bytes each,
    # arrive at 1640 and 1768; the other two cores use them again, so nobody is later than 1768.
    # Then three cores ask for 8 ns of weights and 16 ns of rows each, of four ways into the cache: weights of
    # three and rows of one at 1768, rows of two at 1776, there at 1792.
    # 8 x 4 x 8 products at 4 a cycle are 64 ns: 1856. Results, 128 bytes, 8 ns: 1864.
    assert makespan_ps(matmul(16, 8, 8), tiny(), timing) == 1_864_000


@pytest.mark.parametrize("timing", ["fast", "events"])
def test_a_vector_times_a_matrix_worked_by_hand(timing: str) -> None:
    # 8 rows of 16 weights in 8 tiles, two a core. Input 64 ns, launch: 1064. The last 64 bytes of weights
    # arrive at 1576, pass the cache in 4 ns beside the 64 bytes of the vector, 16 products in 4 ns, and one
    # result of 4 bytes in a quarter.
    assert makespan_ps(matmul(1, 8, 16), tiny(), timing) == 1_584_250


@pytest.mark.parametrize("timing", ["fast", "events"])
def test_a_convolution_worked_by_hand(timing: str) -> None:
    # 1 x 1, 4 channels to 8, on 2 x 2: two rows of two blocks of channels, one task a core. Input 64 ns,
    # launch: 1064; 4 x 32 bytes of weights by 1192. Through the cache, 64 bytes of weights in 4 ns (rows in
    # 2). A row has 2 sums of 4 lanes in flight where latency needs 4, so half the rate: 2 x 4 x 4 products
    # at 2 a cycle are 16 ns. 32 bytes of results, 2 ns: 1192 + 4 + 16 + 2.
    assert makespan_ps(conv2d(1, 4, 2, 2, 8, 1), tiny(), timing) == 1_214_000


def test_nobody_starts_before_what_it_shares_has_come() -> None:
    prepared = prepare(matmul(16, 8, 8).astype("fp32"), CpuDevice(tiny()))
    trace = simulate(prepared.program)
    first = int(trace.first_tile[1])  # behind the input's tile
    load = trace.start_ps[trace.stages.index("load"), first:]
    # The third block uses the first one's weights and the fourth the second's, so they fetch nothing and
    # still wait for 1768 ns, when all weights are there.
    assert load[:4].tolist() == [1_640_000, 1_768_000, 1_776_000, 1_776_000]


def test_hot_caches_leave_the_launch_and_the_cores() -> None:
    # As above, without the input's 512 ns and the weights' 256. All four cores ask at 1000 for weights (8 ns)
    # and rows (16 ns): on four ways, rows come by 1024; 64 ns of products, 8 of results.
    assert makespan_ps(matmul(16, 8, 8), tiny(cache_state="hot")) == 1_096_000


def test_what_does_not_fit_comes_from_memory_in_any_state() -> None:
    small = {"size_bytes": 512, "cores_per_cache": 4, "bytes_per_cycle": 16}
    hot = makespan_ps(matmul(64, 64, 64), tiny(cache=small, cache_state="hot"))
    # Three operands of 16 KiB and a port of a byte a nanosecond.
    assert hot >= 3 * 64 * 64 * 4 * 1000


def test_many_products_fit_only_together() -> None:
    # 40 products of 3 x 8 x 8 floats are 30 KiB. Four of them at a time, one a core, would fit in 4 KiB.
    device = CpuDevice(tiny(cache={"size_bytes": 4096}, cache_state="hot"))
    plan = prepare(matmul(8, 8, 8, batch=40).astype("fp32"), device).plans[1]
    assert plan.stage_totals[plan.pipeline.stage_index("fetch")] >= 40 * 64 * 4
    alone = prepare(matmul(8, 8, 8).astype("fp32"), device).plans[1]
    assert alone.stage_totals[alone.pipeline.stage_index("fetch")] == 0


def test_every_action_has_a_price_and_every_part_an_area() -> None:
    device = CpuDevice(tiny())
    technology = load_technology("horowitz", 22)
    for graph in (matmul(16, 8, 8), conv2d(1, 4, 6, 6, 8, 3)):
        keys = prepare(graph.astype("fp32"), device).keys
        assert (price_actions(device.components(), keys, technology).pj_per_count > 0).all()
    assert all(area > 0 for area in area_table(device.components(), technology).area_mm2)


def test_cores_idle_where_register_tiles_do_not_divide() -> None:
    # 10 rows are 5 register tiles of 2: two cores have two of them, one has one, and one has none. The 3
    # columns take the 4 lanes of a register.
    spec = tiny()
    a, b, out = (Operand(n, 4 * n, "fp32", "chip") for n in (10 * 8, 8 * 3, 10 * 3))
    product = lower(Operator("p", Matmul(1, 10, 3, 8), ("a", "b"), "out"), Residency((a, b), out))
    found = block_demands(product, Block(4, 1, 1, "n"), spec)
    compute = found.columns["compute"][found.kind_of_tile]
    assert compute.tolist() == [4 * 4 * 8 // 4] * 2 + [2 * 4 * 8 // 4]
    assert found.macs[found.kind_of_tile].sum() == 10 * 3 * 8


def test_cores_share_a_sum_only_where_register_tiles_are_few() -> None:
    device = CpuDevice(tiny())
    few = prepare(matmul(2, 4, 64).astype("fp32"), device).plans
    many = prepare(matmul(16, 8, 64).astype("fp32"), device).plans
    depths = [next(p.mapping.tile_k for p in plans if p.mapping is not None) for plans in (few, many)]
    assert depths == [16, 64]


def test_stored_sparse_weights_by_hand() -> None:
    # 8 x 16 weights, a quarter stored: 32 values, 32 indices and 9 pointers of 4 bytes. Two cores take 4 rows
    # each: 16 weights, each 2 cycles and one for each of 2 vectors, at 1 GHz.
    spec = tiny(library={"sparse_cores": 2})
    size = csr_bytes(8, 32, "fp32")
    assert size == 32 * 4 + 32 * 4 + 9 * 4
    a, out = Operand(32, 128, "fp32", "chip"), Operand(16, 64, "fp32", "chip")
    weights = Operand(128, size, "fp32", "weights", nonzeros=32)
    op = Operator("p", Matmul(1, 2, 8, 16), ("a", "b"), "out")
    plan = CpuDevice(spec).plan(op, Residency((a, weights), out))
    compute = plan.demands[plan.pipeline.stage_index("compute")]
    assert compute[plan.kind_of_tile].tolist() == [16 * (2 + 2)] * 2
    assert plan.action_totals["cores", "mac_fp32"] == 32 * 2
    dense = CpuDevice(spec).plan(op, Residency((a, Operand(128, 512, "fp32", "weights")), out))
    assert dense.action_totals["cores", "mac_fp32"] == 128 * 2


def test_weights_are_stored_sparse_where_their_density_says_so() -> None:
    device = CpuDevice(tiny())
    for density, kept in ((0.25, 32), (0.5, None), (1.0, None)):
        graph = matvec(8, 16, density=density, batch=2).astype("fp32")
        prepared = prepare(graph, device)
        at = next(i for i, op in enumerate(prepared.schedule.operators) if op.kind == "matmul")
        residency = prepared.schedule.residencies[at]
        assert residency is not None
        assert residency.operands[1].nonzeros == kept
        assert residency.operands[1].size_bytes == (csr_bytes(8, 32, "fp32") if kept else 512)
        done = prepared.plans[at].action_totals["cores", "mac_fp32"]
        assert done == 2 * (128 if kept is None else kept)


def test_a_plan_that_skips_stored_weights_is_refused() -> None:
    graph = matvec(8, 16, density=0.25, batch=2).astype("fp32")
    device = CpuDevice(tiny())
    prepared = prepare(graph, device)
    plans = list(prepared.plans)
    at = next(i for i, op in enumerate(prepared.schedule.operators) if op.kind == "matmul")
    actions = {key: np.maximum(counts - 1, 0) for key, counts in plans[at].actions.items()}
    plans[at] = replace(plans[at], actions=actions)
    with pytest.raises(CheckError, match="multiplications for 64 MACs"):
        check_plans(prepared.schedule, plans, device.pipeline)
    with pytest.raises(CheckError, match="31 weights are stored"):
        check_storage(graph, WeightStorage(nonzeros={"w": 31}))


def test_a_scalar_clock_walks_the_index() -> None:
    slow = tiny(cores={"clock_hz": 5 * 10**8})
    a, out = Operand(32, 128, "fp32", "chip"), Operand(16, 64, "fp32", "chip")
    weights = Operand(128, csr_bytes(8, 32, "fp32"), "fp32", "weights", nonzeros=32)
    op = Operator("p", Matmul(1, 2, 8, 16), ("a", "b"), "out")
    plan = CpuDevice(slow).plan(op, Residency((a, weights), out))
    compute = plan.demands[plan.pipeline.stage_index("compute")]
    assert compute[plan.kind_of_tile].tolist() == [8 * 4 * 2] * 4


def test_one_operator_after_the_other() -> None:
    graph = network(
        {"x": (8, 8)},
        {"w1": (8, 8), "w2": (8, 8)},
        [
            (operator(Matmul(1, 8, 8, 8), "x w1", "first"), (8, 8)),
            (operator(Matmul(1, 8, 8, 8), "x w2", "second"), (8, 8)),
        ],
        ["first", "second"],
    ).astype("fp32")
    prepared = prepare(graph, CpuDevice(tiny()))
    trace = simulate(prepared.program)
    launch, join = trace.stages.index("launch"), trace.stages.index("join")
    names = [op.name for op in prepared.schedule.operators]
    first, second = (int(trace.first_tile[names.index(name)]) for name in ("first", "second"))
    # Neither needs the other, and the second is launched when the first has joined.
    assert trace.start_ps[launch, second] >= trace.start_ps[join, second - 1]
    assert trace.start_ps[launch, second] - trace.start_ps[launch, first] > 1_000_000


def test_formats_that_the_cores_do_not_multiply() -> None:
    device = CpuDevice(tiny())
    op = Operator("p", Matmul(1, 2, 2, 2), ("a", "b"), "out")
    assert "multiply fp32, not int8" in device.supports(op, ["int8", "int8"])
    assert "one format, not int8 by fp32" in device.supports(op, ["int8", "fp32"])
    assert device.supports(op, ["fp32", "fp32"]) == ""


@given(
    tasks=st.integers(1, 10_000),
    cores=st.integers(1, 80),
    parts=st.integers(1, 6),
    total=st.integers(0, 10**12),
)
@settings(max_examples=200, deadline=None)
def test_slices_cover_the_whole(tasks: int, cores: int, parts: int, total: int) -> None:
    slices = cut(tasks, cores, parts)
    tiles = slices.kind_of_tile
    assert slices.size[tiles].sum() == tasks
    assert slices.exact(total)[tiles].sum() == total
    assert (slices.exact(total) >= 0).all()
    assert slices.share(total)[tiles].sum() >= total
    # The busiest core does no more than its even share, rounded up.
    waves = -(-len(tiles) // cores)
    assert waves * slices.size[0] <= -(-tasks // cores)


@given(cores=st.integers(1, 80))
@settings(max_examples=50, deadline=None)
def test_grids_use_all_cores_or_a_part_that_divides_them(cores: int) -> None:
    assert all(math.prod(grid) == cores for grid in grids(cores, whole=True))
    assert all(cores % math.prod(grid) == 0 for grid in grids(cores, whole=False))


sizes = st.integers(1, 70)


@given(
    m=sizes, n=sizes, k=st.integers(1, 300), batch=st.integers(1, 5), state=st.sampled_from(["cold", "hot"])
)
@settings(max_examples=60, deadline=None)
def test_products_are_whole_and_no_faster_than_their_floor(
    m: int, n: int, k: int, batch: int, state: str
) -> None:
    device = CpuDevice(tiny(cache_state=state, cache={"size_bytes": 4096}))
    prepared = prepare(matmul(m, n, k, batch=batch).astype("fp32"), device)
    check_plans(prepared.schedule, prepared.plans, device.pipeline)
    fast, events = (simulate(prepared.program, timing) for timing in ("fast", "events"))
    assert fast.makespan_ps == events.makespan_ps
    assert np.array_equal(fast.start_ps, events.start_ps)
    busy = np.array([plan.busy_ps for plan in prepared.plans]).sum(axis=0)
    for index, resource in enumerate(device.pipeline.resources):
        mine = sum(
            int(b) for b, s in zip(busy, device.pipeline.stages, strict=True) if s.resource == resource.name
        )
        assert mine >= prepared.bound_ps[:, index].sum()
        assert fast.makespan_ps * resource.servers >= mine


@given(
    c=st.integers(1, 9), k=st.integers(1, 9), side=st.integers(1, 12), window=st.integers(1, 3),
    stride=st.integers(1, 3), groups=st.sampled_from([1, 1, 3]), batch=st.integers(1, 3),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_convolutions_are_whole_and_no_faster_than_their_floor(
    c: int, k: int, side: int, window: int, stride: int, groups: int, batch: int
) -> None:
    device = CpuDevice(tiny())
    graph = conv2d(batch, c * groups, side + 2, side + 2, k * groups, window, stride=stride, groups=groups)
    prepared = prepare(graph.astype("fp32"), device)
    check_plans(prepared.schedule, prepared.plans, device.pipeline)
    fast, events = (simulate(prepared.program, timing) for timing in ("fast", "events"))
    assert np.array_equal(fast.start_ps, events.start_ps)
    busy = np.array([plan.busy_ps for plan in prepared.plans]).sum(axis=0)
    cores = device.pipeline.stage_index("compute")
    assert (
        busy[cores] >= prepared.bound_ps[:, [r.name for r in device.pipeline.resources].index("cores")].sum()
    )


# Field -> another value, and what else must be so for it to mean anything.
FIELDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"cores": {"count": 2}, "cache": {"cores_per_cache": 2}}, {"cache": {"cores_per_cache": 2}}),
    ({"cores": {"vector_clock_hz": 5 * 10**8}}, {}),
    ({"vector": {"width_bits": 64}}, {}),
    ({"vector": {"fma_ports": 2}}, {}),
    ({"vector": {"fma_latency_cycles": 9}}, {}),
    ({"vector": {"products_per_lane": {"fp32": 0.5}}}, {}),
    ({"library": {"vector_extent": 16}}, {}),
    ({"library": {"broadcast_extent": 7}}, {}),
    ({"library": {"panel_depth": 60}}, {}),
    ({"cache": {"size_bytes": 256}}, {}),
    ({"cache": {"cores_per_cache": 1}}, {"cache": {"size_bytes": 2048}, "cache_state": "hot"}),
    ({"cache": {"bytes_per_cycle": 3}}, {}),
    ({"memory": {"bandwidth_bytes_per_s": 5 * 10**8}}, {}),
    ({"cache_state": "hot"}, {}),
    ({"calibration": {"gemm_share": 0.5}}, {}),
    ({"calibration": {"conv_share": 0.5}}, {}),
    ({"calibration": {"memory_share": 0.5}}, {}),
    ({"launch_s": 3e-6}, {}),
    ({"harness": "loop"}, {"calibration": {"launch_us": {"loop": 4.0}}}),
    (
        {"calibration": {"launch_us": {"loop": 9.0}}},
        {"harness": "loop", "calibration": {"launch_us": {"loop": 4.0}}},
    ),
    ({"calibration": {"gemv_bytes_per_cycle": 0.1}}, {}),
]


@pytest.mark.parametrize(("changed", "beside"), FIELDS)
def test_every_field_changes_some_time(changed: dict[str, Any], beside: dict[str, Any]) -> None:
    witnesses = (
        matmul(16, 8, 8),
        matmul(2, 4, 64),
        matmul(1, 8, 16),
        conv2d(1, 4, 6, 6, 8, 3),
        matmul(40, 40, 40),
    )
    merged = {
        name: (beside.get(name, {}) | value if isinstance(value, dict) else value)
        for name, value in changed.items()
    }
    before = [makespan_ps(w, tiny(**beside)) for w in witnesses]
    after = [makespan_ps(w, tiny(**(beside | merged))) for w in witnesses]
    assert before != after


def test_the_boost_clock_decides_the_floor() -> None:
    graph = matmul(16, 8, 8).astype("fp32")
    floors = []
    for boost in (10**9, 2 * 10**9):
        device = CpuDevice(tiny(cores={"boost_clock_hz": boost}))
        floors.append(int(prepare(graph, device).bound_ps.max(axis=0)[3]))
    assert floors == [16 * 8 * 8 // 4 * 1000, 16 * 8 * 8 // 4 * 500]


@pytest.mark.parametrize(
    ("section", "wrong", "message"),
    [
        (
            CpuCoresSpec,
            {"count": 1, "clock_hz": 2, "vector_clock_hz": 1, "boost_clock_hz": 1},
            "above boost_clock",
        ),
        (CpuVectorSpec, {"width_bits": 48, "fma_ports": 1, "fma_latency_cycles": 1}, "32-bit lanes"),
        (
            CpuVectorSpec,
            {"width_bits": 64, "fma_ports": 1, "fma_latency_cycles": 1, "products_per_lane": {"fp33": 1.0}},
            "not a number format",
        ),
        (
            CpuVectorSpec,
            {"width_bits": 64, "fma_ports": 1, "fma_latency_cycles": 1, "products_per_lane": {"fp32": 0.0}},
            "above 0",
        ),
    ],
)
def test_sections_refuse_what_means_nothing(section: type, wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        section(**wrong)


def test_the_spec_refuses_what_does_not_go_together() -> None:
    with pytest.raises(ValueError, match="no rate for int8"):
        tiny(dtype="int8")
    with pytest.raises(ValueError, match="more than the 4 cores"):
        tiny(cache={"cores_per_cache": 5})
    with pytest.raises(ValueError, match="more than the 4 cores"):
        tiny(library={"sparse_cores": 5})
    with pytest.raises(ValueError, match="whole registers of 4 lanes"):
        tiny(library={"vector_extent": 6})


@pytest.mark.parametrize("graph", [matmul(16, 8, 8), conv2d(1, 4, 6, 6, 8, 3), matvec(8, 16, density=0.25)])
def test_its_numbers_are_executed(graph: Workload) -> None:
    found = run(graph, "generic_x86", verify=None)
    assert found.verified
    assert found.verification is not None
    assert not found.verification.unexecuted


def test_the_package_draws_what_the_design_says() -> None:
    # Four cores at 1 GHz: half a watt a core is 500 pJ a busy cycle, and 2 W go on all the time.
    power = CpuPowerSpec(idle_w=2.0, core_w=0.5)
    device = CpuDevice(tiny(power=power))
    prepared = prepare(matmul(16, 8, 8).astype("fp32"), device)
    technology = load_technology("horowitz", 22)
    prices = price_actions(device.components(), prepared.keys, technology)
    at = prepared.keys.index(("package", "busy"))
    assert prices.pj_per_count[at] == pytest.approx(500)
    assert prepared.counts[:, at].sum() == 4 * 64  # as worked by hand above: 64 cycles on each of four cores
    table = area_table(device.components(), technology)
    package = table.components.index("package")
    assert (table.area_mm2[package], table.leakage_w[package]) == (0, 2.0)
    assert not any("energy of front ends" in sentence for sentence in device.unmodelled)
    assert any("energy of front ends" in sentence for sentence in CpuDevice(tiny()).unmodelled)
