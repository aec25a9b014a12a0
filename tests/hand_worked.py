"""Runs worked out on paper: every figure here was found from the machine's description, not by running it.

The machine is tests/tiny.yaml: a 2 x 2 weight-stationary array with two weight planes and overlapped folds at
500 MHz (2 ns a cycle), memory at 1 ns a byte, link at 0.5 ns a byte, FIFO of one tile, accumulators of 2 x
2,048 rows, two lanes. Times in the comments are in ns. A weight tile of 2 x 2 int8 takes 4 to arrive and 4
(two cycles) to shift in; sums settle for R + C - 2 = 2 cycles, 4, and leave at two a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hwsim.design import load_design
from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.workload import Workload, conv2d, matmul
from tests.networks import chain, square, with_bias

TINY = Path(__file__).parent / "tiny.yaml"
Counts = Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Case:
    """A run and all that paper says of it. Stalls are those not zero, in ps; counts are whole-run totals."""

    name: str
    workload: Callable[[], Workload]
    makespan_ps: int
    overrides: tuple[str, ...] = ()
    design: str | Path = TINY
    dtype: str | None = None
    weight_dtype: str | None = None
    active_ps: int | None = None
    stalls_ps: Mapping[str, int] = field(default_factory=dict)
    macs: int | None = None
    counts: Counts = field(default_factory=dict)


# 3 x 2 times 2 x 4: one tile of three rows for each half of the columns, 4 bytes of weights each. Link: the 6
# bytes of a arrive 0-3, the 12 of the product leave in 6.
#   depth 1: weights 0-4, shift 4-8. The FIFO's only place is free at 8: weights 8-12, shift 12-16.
#            compute 8-14 and 16-22. Settled 18 and 26; drain (3 cycles, 6) 18-24 and 26-32; send 32-38.
#            Compute stands for input 0-3, weights 3-4, shift 4-8 and 14-16; the result is awaited 22-32.
#   depth 2: weights 4-8, shift 8-12, so compute 14-20, settled 24, drain 24-30, send 30-36.
GEMM_COUNTS: Counts = {
    ("array", "mac_int8"): 24,
    # Each multiplication latches an activation (1 byte) and a sum (4): 24 x 5. Four bytes a tile shift in
    # through 1.5 rows each: 6 x 2.
    ("pe_registers", "write"): 120 + 12,
    ("unified_buffer", "read"): 2 * 6 + 12,  # a once a tile; the product on its way to the link
    ("unified_buffer", "write"): 6 + 12,
    ("accumulators", "write"): 12 * 4,
    ("accumulators", "read"): 12 * 4,
    ("activation_unit", "op_int8"): 12,
    ("weight_memory", "read"): 8,
    ("weight_fifo", "write"): 8,
    ("weight_fifo", "read"): 8,
    ("host_link", "transfer"): 6 + 12,
}

CASES = (
    Case(
        "gemm, FIFO of one tile",
        lambda: matmul(3, 4, 2),
        38_000,
        active_ps=12_000,
        stalls_ps={
            "input": 3_000,
            "weight_stall": 1_000,
            "weight_shift": 6_000,
            "output": 10_000,
            "tail": 6_000,
        },
        macs=24,
        counts=GEMM_COUNTS,
    ),
    Case(
        "gemm, FIFO of two tiles",
        lambda: matmul(3, 4, 2),
        36_000,
        ("depth_tiles=2",),
        active_ps=12_000,
        stalls_ps={
            "input": 3_000,
            "weight_stall": 1_000,
            "weight_shift": 4_000,
            "output": 10_000,
            "tail": 6_000,
        },
        macs=24,
        counts=GEMM_COUNTS,
    ),
    # A clock whose cycle is no whole number of picoseconds: 700 MHz is 1,428.57 ps, and each demand is
    # rounded up once. Two cycles (shift, settle) are 2,858, three (compute, drain) 4,286.
    #   weights 0-4000, shift -6858, weights -10858, shift -13716. compute 6858-11144 and 13716-18002.
    #   Settled 20860, drain -25146, send 6000: 31146.
    Case(
        "gemm at 700 MHz",
        lambda: matmul(3, 4, 2),
        31_146,
        ("clock=700 MHz",),
        active_ps=2 * 4_286,
        macs=24,
        counts=GEMM_COUNTS,
    ),
    # int16 activations with int8 weights go at half rate: six cycles, 12, for three rows. a has 12 bytes (6
    # on the link), the product 24 (12). compute 8-20 and 20-32 (shifted in at 16), settled 36, drain 36-42,
    # send 54. An int16 element takes two passes of the 8-bit multiplier in energy, still one MAC in count.
    Case(
        "gemm at half rate",
        lambda: matmul(3, 4, 2),
        54_000,
        dtype="int16",
        weight_dtype="int8",
        active_ps=24_000,
        macs=24,
        stalls_ps={"input": 6_000, "weight_shift": 2_000, "output": 10_000, "tail": 12_000},
        counts={("array", "mac_int16xint8"): 24, ("weight_memory", "read"): 8, ("host_link", "transfer"): 36},
    ),
    # One weight plane: the second shift waits for the first compute to end at 14: 14-18, compute 18-24,
    # settled 28, drain -34, send -40.
    Case(
        "gemm, one weight plane",
        lambda: matmul(3, 4, 2),
        40_000,
        ("double_buffer=false",),
        active_ps=12_000,
        macs=24,
    ),
    # Folds apart: a tile keeps the array for its rows and the skew, 5 cycles, 10. compute 8-18 and 18-28
    # (shift 12-16), nothing left to settle, drain 28-34, send -40.
    Case(
        "gemm, folds apart",
        lambda: matmul(3, 4, 2),
        40_000,
        ("fold_overlap=false",),
        active_ps=20_000,
        macs=24,
    ),
    # Without a link a is loaded from memory, which also feeds the weights. Both ask at 0; weights go first.
    #   weights 0-4, load a 4-10, shift 4-8, weights 10-14 (the FIFO's place was free at 8), shift 14-18.
    #   compute 10-16 and 18-24, settled 28, drain -34, store 12 bytes -46.
    Case(
        "gemm from memory",
        lambda: matmul(3, 4, 2),
        46_000,
        ("design=no link",),
        active_ps=12_000,
        macs=24,
        stalls_ps={"input": 10_000, "weight_shift": 2_000, "output": 10_000, "tail": 12_000},
        counts={("weight_memory", "read"): 8 + 6, ("weight_memory", "write"): 12},
    ),
    # With two places in the FIFO the second weights ask at 0 as well and go before a: load a 8-14, compute
    # 14-20 and 20-26, settled 30, drain -36, store -48. More FIFO, later end: first come first served.
    Case(
        "gemm from memory, FIFO of two",
        lambda: matmul(3, 4, 2),
        48_000,
        ("design=no link", "depth_tiles=2"),
        macs=24,
    ),
    # 3x3 convolution of 2 x 4 x 4, stride 2, padding 1, to 2 channels: 2 x 2 positions, so 4 rows, 2 columns
    # and a sum over 18: nine tiles of 4 weight bytes, 4 rows (8) each. The 32 bytes of input arrive 0-16.
    #   weights 0-4, shift 4-8; 8-12, 12-16; then the third waits for a plane: weights 16-20, shift 24-28.
    #   From then on compute is never short: nine times 8 from 16 to 88. Settled 92, drain 4 cycles -100,
    #   send 8 bytes -104.
    Case(
        "convolution with stride and padding",
        lambda: conv2d(1, 2, 4, 4, 2, 3, stride=2, pad=1),
        104_000,
        active_ps=72_000,
        macs=144,
        stalls_ps={"input": 16_000, "output": 12_000, "tail": 4_000},
        counts={
            ("array", "mac_int8"): 144,
            ("weight_memory", "read"): 36,
            ("host_link", "transfer"): 32 + 8,
            ("accumulators", "write"): 9 * 8 * 4,
            ("unified_buffer", "write"): 32 + 8,
            ("activation_unit", "op_int8"): 8,
        },
    ),
    # The same window with padding on the top and left alone: (4 + 1 - 3) / 2 + 1 = 2 each way, as before.
    # Without any: (4 - 3) / 2 + 1 = 1, so one row (2) a tile, and the weights are what is waited for: a tile
    # every 8 (4 to arrive in the FIFO's only place, 4 to shift). Shifts end at 8, 16 ... 72; but input comes
    # at 16: compute 16-18, 18-20 (shifted at 16), then planes free: weights 16-20, shift 20-24, compute
    # 24-26; weights 24-28, shift 28-32 ... the ninth, six tiles of 8 after the third, computes 72-74. Settled
    # 78, drain 2 values in 1 cycle -80, send 2 bytes -81.
    Case(
        "convolution with stride alone",
        lambda: conv2d(1, 2, 4, 4, 2, 3, stride=2),
        81_000,
        active_ps=18_000,
        macs=36,
    ),
    # 1x1 convolution of 4 x 2 x 2 to 4 channels in two groups: two products of 4 x 2 by 2 x 2. Input 16
    # bytes, 0-8. weights 0-4, shift 4-8, weights 8-12, shift 12-16; compute 8-16, 16-24; drain 20-28, 28-36;
    # send -44.
    Case(
        "grouped convolution",
        lambda: conv2d(1, 4, 2, 2, 4, 1, groups=2),
        44_000,
        active_ps=16_000,
        macs=32,
        counts={("array", "mac_int8"): 32, ("weight_memory", "read"): 8},
    ),
    # 32 x 2 times 2 x 2 with 120 bytes of buffer: a (64) and the product (64) are 8 too many. 30 bytes are
    # kept for streams, a is spilled, and 7 of its rows fit twice: four tiles of 7 rows and one of 4.
    #   a: link 0-32, store 32-96. weights 0-4, shift 4-8, once for all tiles.
    #   loads of 14 bytes 96-110, 110-124; the third waits for the first tile's drain: compute 110-124,
    #   settled 128, drain 7 cycles 128-142. load 142-156, compute 156-170; second: compute 124-138, drain
    #   142-156, load of the fourth 156-170, compute 170-184; third: drain 174-188, load of the fifth, 8
    #   bytes, 188-196, compute 196-204; drains 188-202 and 208-216. The product leaves by the link: 216-248.
    Case(
        "spilled activations",
        lambda: matmul(32, 2, 2),
        248_000,
        ("unified_buffer.size=120 B", "bank=120 B"),
        active_ps=64_000,
        macs=128,
        stalls_ps={"input": 110_000 + 18_000 + 12_000, "output": 12_000, "tail": 32_000},
        counts={
            ("weight_memory", "read"): 4 + 64,
            ("weight_memory", "write"): 64,
            ("unified_buffer", "write"): 64 + 64 + 64,
            ("unified_buffer", "read"): 64 + 64 + 64,
            ("host_link", "transfer"): 128,
        },
    ),
    # Two products one after the other. x (4 bytes) 0-2; weights 0-4, shift 4-8, weights 8-12, shift 12-16.
    # compute 8-12, settled 16, drain 2 cycles 16-20; the second computes 20-24, settled 28, drain -32, send
    # -34.
    Case(
        "read after write",
        lambda: chain(relu=False),
        34_000,
        active_ps=8_000,
        macs=16,
        stalls_ps={
            "input": 2_000,
            "weight_stall": 2_000,
            "weight_shift": 4_000,
            "raw": 8_000,
            "output": 8_000,
            "tail": 2_000,
        },
    ),
    # With relu between them: it takes the activation unit 20-24, and the second product computes 24-28.
    Case(
        "read after a pointwise operator",
        lambda: chain(relu=True),
        38_000,
        active_ps=8_000,
        macs=16,
        stalls_ps={
            "input": 2_000,
            "weight_stall": 2_000,
            "weight_shift": 4_000,
            "raw": 8_000,
            "vector": 4_000,
            "output": 8_000,
            "tail": 2_000,
        },
        counts={("activation_unit", "op_int8"): 12},
    ),
    # Where the second operand is the first product itself, it is what shifts in: not before 20. shift 20-24,
    # compute 24-28, settled 32, drain -36, send -38. Nothing more is fetched.
    Case(
        "product of activations",
        square,
        38_000,
        active_ps=8_000,
        macs=16,
        stalls_ps={
            "input": 2_000,
            "weight_stall": 2_000,
            "weight_shift": 8_000,
            "raw": 8_000,
            "output": 8_000,
            "tail": 2_000,
        },
        counts={("weight_memory", "read"): 4, ("unified_buffer", "read"): 4 + 4 + 4 + 4},
    ),
    # A bias of two int32, 8 bytes, comes along with the weights: 0-12, shift 12-16, compute 16-20, settled
    # 24, drain -28, send -30. x is there at 2.
    Case(
        "bias from memory",
        with_bias,
        30_000,
        active_ps=4_000,
        macs=8,
        stalls_ps={
            "input": 2_000,
            "weight_stall": 10_000,
            "weight_shift": 4_000,
            "output": 8_000,
            "tail": 2_000,
        },
        counts={("weight_memory", "read"): 12},
    ),
    # Input-stationary: a's two columns of three rows are held in tiles of 2 x 2 and 2 x 1 (k x m), and the
    # four columns of weights stream past in 4 cycles, 8: 8 bytes a tile, which nothing keeps for the next
    # one.
    #   a arrives 0-3, shift 3-7 and 7-11. weights 0-8, compute 8-16, and only then is the FIFO's place free:
    #   weights 16-24, compute 24-32, settled 36, drain of 4 values 2 cycles -40 (the first, of 8: 20-28),
    #   send 12 bytes -46.
    Case(
        "input-stationary",
        lambda: matmul(3, 4, 2),
        46_000,
        ("dataflow=is",),
        active_ps=16_000,
        macs=24,
        stalls_ps={"input": 3_000, "weight_stall": 5_000 + 8_000, "output": 8_000, "tail": 6_000},
        counts={("array", "mac_int8"): 24, ("weight_memory", "read"): 16, ("unified_buffer", "read"): 6 + 12},
    ),
    # Output-stationary: tiles of 2 x 2 sums and 3 steps. 4 x 3 times 3 x 2: two tiles of 6 weight bytes each.
    # a: 12 bytes 0-6. weights 0-6, compute 3 cycles 6-12, weights 12-18, compute 18-24; settled 28; drain 2
    # cycles
    # -32; send 8 bytes -36.
    Case(
        "output-stationary",
        lambda: matmul(4, 2, 3),
        36_000,
        ("dataflow=os",),
        active_ps=12_000,
        macs=24,
        stalls_ps={"input": 6_000, "weight_stall": 6_000, "output": 8_000, "tail": 4_000},
        counts={("array", "mac_int8"): 24, ("weight_memory", "read"): 12},
    ),
    # TPU's accumulators, two halves of 2,048 rows, at 1 GHz without memory or link in the way. In cycles:
    # 2,888 rows take two passes, 2,048 and 840. shift 0-256, compute 256-2304-3144 without a pause, settled
    # (510 later) 2814 and 3654, drain one row a cycle 2814-4862 and 4862-5702.
    Case(
        "accumulators in two halves",
        lambda: matmul(2888, 256, 256),
        5_702_000,
        ("clock=1 GHz", "weight_memory.bandwidth=unlimited", "host_link.bandwidth=unlimited"),
        design="tpu_v1",
        active_ps=2_888_000,
        macs=2888 * 256 * 256,
        stalls_ps={"weight_shift": 256_000, "output": 2_558_000},
    ),
    # 4,936 rows take three, and the third waits until the first half is drained, at 4862: 4862-5702. The
    # second drains 4862-6910, the third 6910-7750.
    Case(
        "accumulators in three passes",
        lambda: matmul(4936, 256, 256),
        7_750_000,
        ("clock=1 GHz", "weight_memory.bandwidth=unlimited", "host_link.bandwidth=unlimited"),
        design="tpu_v1",
        active_ps=4_936_000,
        macs=4936 * 256 * 256,
        stalls_ps={"weight_shift": 256_000, "accumulator": 510_000, "output": 2_048_000},
    ),
)

# Picojoules of "gemm, FIFO of one tile" on the 45 nm table, a count each:
#   int8 MAC 0.2 + 0.1 (32-bit add); register 0.082856 a byte; 8 KiB banks 10 pJ for 8 bytes; DDR3 1300 pJ for
#   8 bytes; PCIe 3.86 pJ a bit; a lane multiplies and adds, 0.3. The FIFO's bank of 4 bytes lies on the line
#   through 8 KiB (10 pJ) and 32 KiB (20 pJ), which grows as the root: 10 x sqrt(4 / 8192) for 8 bytes.
GEMM_ENERGY_PJ = {
    "array": 24 * 0.3,
    "pe_registers": 132 * 0.082856,
    "unified_buffer": (24 + 18) * 1.25,
    "accumulators": (48 + 48) * 1.25,
    "activation_unit": 12 * 0.3,
    "weight_memory": 8 * 162.5,
    "weight_fifo": 16 * 10 * (4 / 8192) ** 0.5 / 8,
    "host_link": 18 * 30.88,
}

# Square micrometres of the same machine: an int8 multiplier is 282 and a 32-bit adder 137; a flip-flop 8.74,
# and each of the four PEs has two planes of 8 bits, an activation of 8 and a sum of 32; a 8 KiB bank
# 26,267.3.
TINY_AREA_UM2 = {
    "array": 4 * (282 + 137),
    "pe_registers": 4 * (2 * 8 + 8 + 32) * 8.74,
    "activation_unit": 2 * (282 + 137),
    "unified_buffer": 26_267.3,
}


def run_case(case: Case, timing: str = "fast") -> Result:
    """The run of a case; "design=no link" among its overrides stands for the same machine without a link."""
    overrides = [text for text in case.overrides if text != "design=no link"]
    design = load_design(case.design, overrides)
    if len(overrides) < len(case.overrides):
        spec = design.device_spec.model_copy(update={"host_link": None})
        design = design.model_copy(update={"devices": {design.device_name: spec}})
    return run(case.workload(), design, dtype=case.dtype, weight_dtype=case.weight_dtype, timing=timing)
