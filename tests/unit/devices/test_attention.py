"""Attention in one operator on GPUs and CPUs: times worked by hand on machines with round figures, what is
moved and multiplied, and how blocks are chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hwsim.design import load_design
from hwsim.design.kinds.gpu import GpuSpec
from hwsim.devices.gpu_attention import MENUS
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.pipeline import run
from hwsim.plan.attention import AttentionMapping
from hwsim.result import Result
from hwsim.workload.lowering import plain_attention
from hwsim.workload.operators import Attention
from tests.gpu_samples import Run, run_on, small_gpu
from tests.sequences import attended

SQUARE = Attention(1, 1, 1, 64, 128, 64, 64)


def on_small_gpu(problem: Attention, dtype: str = "fp32", timing: str = "fast", **changed: object) -> Run:
    return run_on(small_gpu(**changed), attended(problem, dtype=dtype, cached=True), timing)


def mapping_of(found: Run) -> AttentionMapping:
    mapping = found.plan.mapping
    assert isinstance(mapping, AttentionMapping)
    return mapping


def total(found: Run, stage: str) -> int:
    return int(found.plan.stage_totals[found.plan.pipeline.stage_index(stage)])


# -- worked by hand ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("timing", ["fast", "events"])
def test_a_block_of_queries_and_two_of_keys(timing: str) -> None:
    """One thread block: 64 queries, 128 keys in two blocks of 64. Products of a block are 64 * 64 * 128 at
    64 a cycle, 8,192 cycles, and 8 % more for sides of 64: 8,847.36. Its softmax is 64 * 64 * 7 operations
    (three and an exponential of four) and 64 * 64 for the results so far, on 64 lanes: 512. Twice 9,359.36
    are 18,719 begun cycles, and the division at the end 64 more: 18,783 ns.

    The queries, 16,384 bytes, come first at 10 ps each: 163,840 ps. Then the first half of the keys and
    values, 32,768 bytes: 327,680 ps. 16,384 bytes of results go to the cache at 1 ps each, and stay there."""
    found = on_small_gpu(SQUARE, timing=timing)
    assert found.plan.durations_ps[found.plan.pipeline.stage_index("compute")].max() == 18_783_000
    assert found.trace.makespan_ps == 163_840 + 327_680 + 18_783_000 + 16_384
    # Queries pass the cache for each block of keys.
    assert (total(found, "load"), total(found, "weights")) == (2 * 16_384, 65_536)
    assert total(found, "fetch") + total(found, "stream") == 65_536
    assert found.plan.action_totals["plain_fp32", "mac_fp32"] == 64 * 128 * 128
    # Three passes and an exponential over the scores, results scaled for each block of keys, and divided.
    assert found.plan.action_totals["lanes", "op_fp32"] == 64 * 128 * 4 + 64 * 64 * 3


def test_latency_and_values_narrower_than_keys() -> None:
    """As above with values of 32 numbers: products are 64 * 64 * 96 * 1.08 / 64 cycles, 6,635.52, and the
    softmax 64 * 64 * 7 + 64 * 32 on 64 lanes, 480; twice 7,115.52 are 14,231.04. A slab's latency of 3 us is
    waited for before the loop and behind it, 6,000 cycles, and is shorter than a block. Division takes 32."""
    fitted = {"memory_share": 1.0, "products": {"fp32": {"slab_latency_s": 3e-6}}}
    found = on_small_gpu(Attention(1, 1, 1, 64, 128, 64, 32), calibration=fitted)
    compute = found.plan.durations_ps[found.plan.pipeline.stage_index("compute")]
    assert compute.max() == (14_232 + 6_000 + 32) * 1000
    assert found.plan.action_totals["plain_fp32", "mac_fp32"] == 64 * 128 * (64 + 32)


@pytest.mark.parametrize("timing", ["fast", "events"])
def test_tasks_of_a_cpu(timing: str) -> None:
    """One task: 32 queries of 16 numbers over 32 keys, in whole register tiles, then three passes over the
    scores and two over the results."""
    spec = load_design("generic_x86").device_spec
    lanes, ports = spec.vector.lanes, spec.vector.fma_ports
    wide, narrow = spec.library.vector_extent, spec.library.broadcast_extent
    problem = Attention(1, 1, 1, 32, 32, 16, 16)
    overrides = ("calibration.gemm_share=1",)
    found = run(
        attended(problem, dtype="fp32", cached=True), "generic_x86", overrides=overrides, timing=timing
    )
    at = found.timing.kinds.index("attention")
    high = -(-32 // narrow) * narrow
    products = high * (-(-32 // wide) * wide * 16 + 32 * (-(-16 // wide) * wide))
    cycles = -(-products // (lanes * ports)) + -(-(32 * 32 * 3 + 32 * 16 * 2) // (lanes * ports))
    busy_ps = found.timing.busy_ps[at, found.timing.stages.index("compute")]
    assert busy_ps == -(-cycles * 10**12 // spec.cores.vector_clock_hz)
    assert found.usage.total("cores", "mac_fp32") == 32 * 32 * 32


# -- what is moved and multiplied --------------------------------------------------------------------------


def test_keys_are_fetched_once_and_pass_the_cache_for_each_block_of_queries() -> None:
    problem = Attention(1, 2, 2, 256, 256, 64, 64)
    found = on_small_gpu(problem)
    assert (mapping_of(found).tile_q, mapping_of(found).blocks) == (64, 4)
    once = 2 * 2 * 256 * 64 * 4
    assert total(found, "weights") == 4 * once
    assert total(found, "fetch") + total(found, "stream") == once
    # A cache without room for the keys of a head delivers them anew to blocks that do not run together.
    resident = 2
    small = on_small_gpu(problem, l2={"size_bytes": 2048, "bytes_per_cycle": 1000})
    memory = total(small, "fetch") + total(small, "stream")
    assert memory == 4 // resident * once + 2 * 256 * 64 * 4


def test_tasks_of_a_cpu_share_the_keys_that_its_caches_hold() -> None:
    """Two heads of 256 places in 64 numbers, keys and values in fp32: 128 KiB each. Four blocks of 32 queries
    of each head share them, or each fetches its own; queries come once, 64 KiB in all."""
    net = attended(Attention(1, 2, 2, 128, 256, 64, 64), dtype="fp32", cached=True)
    moved = [
        run(net, "generic_x86", overrides=(f"cache.size={size}",)).usage.total("memory", "read")
        for size in ("1 MiB", "100 KiB")
    ]
    assert moved == [2 * 2**17 + 2**16, 4 * 2 * 2**17 + 2**16]


def test_heads_that_share_keys_fetch_them_once() -> None:
    alone, shared = (on_small_gpu(Attention(1, 8, groups, 64, 64, 32, 32)) for groups in (8, 2))
    assert total(alone, "weights") == total(shared, "weights")
    assert total(alone, "fetch") + total(alone, "stream") == 4 * (
        total(shared, "fetch") + total(shared, "stream")
    )


@pytest.mark.parametrize("design", ["v100", "a100", "h100", "xeon_e5_2699v3"])
def test_a_causal_mask_leaves_out_whole_blocks_alone(design: str) -> None:
    problem = Attention(1, 2, 2, 600, 600, 64, 64, causal=True)
    found = run(attended(problem), design, dtype="fp32" if design.startswith("xeon") else "fp16")
    seen, every = 2 * 600 * 601 // 2 * 128, 2 * 600 * 600 * 128
    assert found.macs == seen
    assert seen < found.multiplications < every


def test_a_window_reads_no_key_before_it() -> None:
    """One query of 4,096 places that sees the last 512."""
    whole, part = (on_small_gpu(Attention(1, 4, 1, 1, 4096, 64, 64, True, window)) for window in (0, 512))
    assert total(whole, "weights") == 8 * total(part, "weights")
    assert total(part, "weights") == 2 * 512 * 64 * 4


def test_scores_never_leave_the_chip() -> None:
    """Beside plain products and a softmax, what is spared is what scores take."""
    net = attended(Attention(1, 16, 16, 512, 512, 64, 64), cached=True)
    fused, plain = (
        run(one, "a100", dtype="fp16", overrides=("l2.size=1 MiB",)) for one in (net, plain_attention(net))
    )
    scores = 16 * 512 * 512 * 2
    moved = [one.usage.total("memory", "read") + one.usage.total("memory", "write") for one in (fused, plain)]
    assert moved[1] - moved[0] >= 3 * scores
    assert fused.macs == plain.macs
    assert fused.timing.makespan_ps < plain.timing.makespan_ps


# -- decoding ----------------------------------------------------------------------------------------------


def decoding(design: str, heads: int, groups: int, places: int, batch: int = 1) -> Result:
    net = attended(Attention(batch, heads, groups, 1, places, 128, 128), cached=True)
    return run(net, design, dtype="fp16", overrides=("launch=0 us",))


@pytest.mark.parametrize("design", ["v100", "a100", "h100"])
def test_one_query_streams_its_cache_at_the_rate_of_the_memory(design: str) -> None:
    """Eight heads of keys would leave most multiprocessors idle: their places are cut into parts."""
    found = decoding(design, 64, 8, 16_384)
    spec = load_design(design).device_spec
    assert isinstance(spec, GpuSpec)
    at = len(found.timing.names) - 2
    cache_bytes = 2 * 8 * 16_384 * 128 * 2
    floor_ps = cache_bytes / (spec.memory.bandwidth_bytes_per_s * spec.calibration.memory_share) * 1e12
    assert found.timing.tiles[at] > spec.multiprocessors.count
    assert floor_ps <= found.timing.elapsed_ps[at] < 1.25 * floor_ps


def test_parts_hand_on_sums_and_are_joined() -> None:
    problem = Attention(1, 1, 1, 1, 1024, 64, 64)
    found = on_small_gpu(problem, multiprocessors={"count": 4})
    mapping = mapping_of(found)
    # Eight blocks of 128 keys, and room for two thread blocks in each of four multiprocessors.
    assert (mapping.tile_k, mapping.parts, mapping.adding) == (128, 8, 1)
    assert mapping.tiles == found.plan.tiles == 9
    partial = 8 * (64 + 2) * 4  # each a sum for each number, a maximum and a sum of exponentials, in floats
    assert total(found, "store") == partial + 64 * 4
    assert total(found, "load") == 8 * 64 * 4 + partial
    assert found.plan.action_totals["plain_fp32", "mac_fp32"] == 1024 * 128
    # Each part of 128 scores and its results so far; then parts are scaled and added.
    operations = 8 * (128 * 4 + 64) + 8 * 64 * 2
    assert found.plan.action_totals["lanes", "op_fp32"] == operations


def test_many_sequences_are_not_cut() -> None:
    assert decoding("a100", 32, 32, 1024, batch=64).timing.tiles[-2] == 64 * 32


# -- kernels -----------------------------------------------------------------------------------------------


def test_every_generation_has_kernels_for_all_sizes() -> None:
    for name in ("titan_x_maxwell", "p100", "v100", "t4", "a100", "h100"):
        spec = load_design(name).device_spec
        assert isinstance(spec, GpuSpec)
        assert spec.library in MENUS
        for size in (16, 64, 80, 128, 256, 512):
            problem = Attention(2, 4, 4, 300, 300, size, size)
            found = run(attended(problem, dtype=spec.dtype), name)
            assert found.multiplications == problem.macs


def test_the_block_is_the_largest_that_fits() -> None:
    sizes = {"shared_memory_bytes": 24_576}
    assert mapping_of(on_small_gpu(SQUARE)).tile_k == 64
    # 64 x 64 scores and 2 x (64 + 64) slices of 32 numbers in fp32 take 48 KiB; with half the keys 32, and
    # with a quarter 24.
    assert mapping_of(on_small_gpu(SQUARE, multiprocessors=sizes)).tile_k == 16
    with pytest.raises(CapacityError, match="no block of the attention kernels of cublas_10 for heads of 64"):
        on_small_gpu(SQUARE, multiprocessors={"shared_memory_bytes": 1024})


def test_more_room_is_never_slower() -> None:
    times = [
        on_small_gpu(SQUARE, multiprocessors={"shared_memory_bytes": size}).trace.makespan_ps
        for size in (12_288, 24_576, 49_152, 98_304)
    ]
    assert times == sorted(times, reverse=True)


def test_formats_that_differ_are_refused() -> None:
    net = attended(SQUARE, dtype="fp16")
    tensors = dict(net.tensors)
    tensors["v"] = replace(tensors["v"], dtype="fp32")
    mixed = replace(net, tensors=tensors, formats_chosen=True)
    for design, word in (("v100", "a GPU multiplies"), ("generic_x86", "the cores multiply")):
        with pytest.raises(UnsupportedError, match=f"{word} operands of one format, not fp16 by fp32"):
            run(mixed, design)


@pytest.mark.parametrize(
    "more",
    [
        ("v100", [f"memory.bandwidth={rate} GB/s" for rate in (300, 900, 3000)]),
        ("v100", [f"l2.size={size} MiB" for size in (1, 6, 50)]),
        ("v100", [f"multiprocessors.count={count}" for count in (10, 80, 200)]),
        ("generic_x86", [f"memory.bandwidth={rate} GB/s" for rate in (10, 60)]),
        ("generic_x86", [f"cache.size={size} KiB" for size in (64, 4096)]),
        ("generic_x86", [f"cores.count={count}" for count in (8, 32)]),
    ],
    ids=lambda more: f"{more[0]}-{more[1][0].partition('=')[0]}",
)
def test_bounds_and_bytes_fall(more: tuple[str, list[str]]) -> None:
    """More multiprocessors may cut keys into more parts, whose sums take bytes; all else only falls."""
    design, overrides = more
    before: tuple[int, int] | None = None
    for override in overrides:
        net = attended(Attention(2, 8, 4, 300, 900, 64, 64, causal=True), cached=True)
        found = run(net, design, dtype="fp32", overrides=(override,))
        of_memory = [i for i, (part, _) in enumerate(found.usage.keys) if part == "memory"]
        moved = int(found.usage.counts[found.timing.kinds.index("attention"), of_memory].sum())
        bound = int((found.timing.bound_ps / found.timing.servers).max())
        if before is not None:
            assert bound <= before[0]
            assert moved <= before[1] or "multiprocessors" in override
        before = bound, moved
