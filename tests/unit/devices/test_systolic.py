"""The systolic kind apart from its clockwork: what it refuses, what waits for what, packing, parts."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.devices.systolic import SystolicDevice
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.workload import Workload, conv2d, matmul
from hwsim.workload.operators import Elementwise, Lrn, Matmul, Move, Operator, Pool, Softmax, Step, Transfer
from tests.hand_worked import TINY
from tests.networks import network, operator


def tiny(*overrides: str) -> SystolicDevice:
    device = make_device(load_design(TINY, overrides).device_spec)
    assert isinstance(device, SystolicDevice)
    return device


def test_equal_specs_share_a_device_and_equal_operators_a_plan() -> None:
    assert tiny() is tiny()
    assert tiny() is not tiny("lanes=3")
    workload = network(
        {"x": (4, 4)},
        {"w1": (4, 4), "w2": (4, 4)},
        [
            (operator(Matmul(1, 4, 4, 4), "x w1", "h"), (4, 4)),
            (operator(Matmul(1, 4, 4, 4), "h w2", "y"), (4, 4)),
        ],
        ["y"],
    )
    from hwsim.pipeline import prepare

    plans = prepare(workload, tiny()).plans
    assert plans[1] is plans[2]


def test_a_format_without_a_rate_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedError, match=r"multiplies int8, int16xint8, int16, not fp32"):
        run(matmul(2, 2, 2), TINY, dtype="fp32")


def test_too_many_tiles_are_refused_with_their_number() -> None:
    with pytest.raises(CapacityError, match=r"needs 25,000,000 tiles on a 2 x 2 array"):
        run(
            matmul(1, 10_000, 10_000),
            TINY,
            overrides=("weight_memory.size=unlimited", "unified_buffer.size=unlimited"),
        )


def test_too_many_slices_of_a_vector_operator_are_refused_with_their_number() -> None:
    large = network(
        {"x": (2**20, 2**17)},
        {},
        [(operator(Elementwise("relu", 2**37), "x", "y"), (2**20, 2**17))],
        ["y"],
    )
    with pytest.raises(CapacityError, match=r"operator y needs [\d,]{10,} tiles, more than the 20,000,000"):
        run(large, TINY, overrides=("weight_memory.size=unlimited", "unified_buffer.size=1 KiB"))


def test_a_run_of_too_many_tiles_is_refused_before_its_arrays_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hwsim.plan.program.MAX_TILES", 8)
    with pytest.raises(CapacityError, match=r"the run needs 9 tiles up to operator .*, more than the 8 "):
        run(matmul(4, 8, 4), TINY)


def test_a_row_that_cannot_be_streamed_is_refused_with_the_figures() -> None:
    with pytest.raises(
        CapacityError, match=r"needs 1.96 KiB of streaming buffer .* 500 B of the unified buffer"
    ):
        run(matmul(2, 2, 1000), TINY, overrides=("unified_buffer.size=500 B",))


@pytest.mark.parametrize(
    ("dataflow", "operand", "place", "wait"),
    [
        ("ws", 0, "chip", "raw"), ("ws", 1, "chip", "raw_shift"), ("ws", 2, "chip", "raw"),
        ("is", 0, "chip", "raw_shift"), ("is", 1, "chip", "raw"),
        ("os", 0, "chip", "raw"), ("os", 1, "chip", "raw"),
        ("ws", 0, "memory", "reload"), ("ws", 1, "memory", "reload_weights"), ("is", 0, "memory", "reload"),
    ],
)  # fmt: skip
def test_an_operand_is_waited_for_where_it_is_used_first(
    dataflow: str, operand: int, place: str, wait: str
) -> None:
    product = operator(Matmul(1, 2, 2, 2), "a b", "c")
    assert tiny(f"dataflow={dataflow}").wait_name(product, operand, product, place) == wait


def test_waits_are_named_after_who_is_waited_for() -> None:
    device, product = tiny(), operator(Matmul(1, 2, 2, 2), "a b", "c")
    relu = operator(Elementwise("relu", 4), "c", "r")
    arrival, leaving = operator(Transfer("in", 4), "", "a"), operator(Transfer("out", 4), "c", "")
    assert device.wait_name(product, 0, relu, "chip") == "vector"
    assert device.wait_name(relu, 0, product, "chip") == "raw"
    assert device.wait_name(product, 0, arrival, "chip") == "input"
    assert device.wait_name(leaving, 0, product, "chip") == "result"


def ends(found: Result, stage: str, name: str) -> np.ndarray:
    at, trace = found.timing.names.index(name), found.trace
    tiles = slice(int(trace.first_tile[at]), int(trace.first_tile[at + 1]))
    return trace.ends(trace.stages.index(stage))[tiles]


def starts(found: Result, stage: str, name: str) -> np.ndarray:
    at, trace = found.timing.names.index(name), found.trace
    busy = trace.durations_ps[trace.stages.index(stage)][trace.kind_of_tile] > 0
    tiles = np.arange(int(trace.first_tile[at]), int(trace.first_tile[at + 1]))
    return trace.start_ps[trace.stages.index(stage), tiles[busy[tiles]]]


@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
@pytest.mark.parametrize("inputs", ["x z", "z x"])
def test_nothing_spilled_is_fetched_before_it_was_stored(dataflow: str, inputs: str) -> None:
    """x (4 x 64) times h (64 x 4), both spilled; h is made by a product of z. Over a slow link h is stored
    long before x when z comes first, though x is of an earlier operator."""
    shapes = {"x": (4, 64), "z": (64, 4)}
    workload = network(
        {name: shapes[name] for name in inputs.split()},
        {"w": (4, 4)},
        [
            (operator(Matmul(1, 64, 4, 4), "z w", "h"), (64, 4)),
            (operator(Matmul(1, 4, 4, 64), "x h", "y"), (4, 4)),
        ],
        ["y"],
    )
    overrides = ("unified_buffer.size=530 B", f"dataflow={dataflow}", "host_link.bandwidth=10 MB/s")
    found = run(workload, TINY, overrides=overrides)
    assert {"h", "x"} <= set(found.spilled)
    stored = ends(found, "store", "h").max()
    assert starts(found, "weights", "y").min() >= stored
    assert starts(found, "load", "y").min() >= ends(found, "store", "input:x").max()


@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
def test_stationary_activations_shift_in_after_they_are_loaded(dataflow: str) -> None:
    found = run(matmul(32, 4, 4), TINY, overrides=("unified_buffer.size=200 B", f"dataflow={dataflow}"))
    assert found.spilled
    held = "load" if dataflow == "is" else "weights"
    if dataflow != "os":
        assert starts(found, "shift", "matmul").min() >= ends(found, held, "matmul")[0]
    assert starts(found, "compute", "matmul").min() >= ends(found, "load", "matmul")[0]


def test_output_stationary_tiles_fit_a_half_of_the_accumulators() -> None:
    plan = tiny("array.rows=8", "accumulators.rows=6", "dataflow=os").plan
    from hwsim.plan.residency import Operand, Residency

    op = matmul(8, 2, 2).operators[0]
    residency = Residency(
        (Operand(16, 16, "int8", "chip"), Operand(4, 4, "int8", "weights")), Operand(16, 16, "int8", "chip")
    )
    mapping = plan(op, residency).mapping
    assert mapping is not None
    assert mapping.tile_m == 3


def test_packed_groups_share_the_array() -> None:
    """Eight 1x1 groups of 1 channel to 1: apart, eight tiles of one PE each; packed, two PEs on the diagonal
    of 2 x 2 at a time, whose other two multiply zeros."""
    workload = conv2d(1, 8, 3, 3, 8, 1, groups=8)
    apart, packed = run(workload, TINY), run(workload, TINY, overrides=("group_packing=true",))
    assert (apart.macs, apart.multiplications) == (72, 72)
    assert (packed.macs, packed.multiplications) == (72, 144)
    assert int(apart.timing.tiles[1]) == 8
    assert int(packed.timing.tiles[1]) == 4
    assert packed.timing.makespan_ps < apart.timing.makespan_ps


@pytest.mark.parametrize(
    ("problem", "operations"),
    [
        (Pool("max", 1, 2, 4, 4, 2, 2, 2, 2, (2, 2)), 8 * 4),
        (Elementwise("relu", 8), 8),
        (Elementwise("add", 8, 2), 8 * 2),
        (Softmax(2, 4), 8 * 4),
        (Lrn(8, 5), 8 * (5 + 3)),
        (Move("concat", 8), 8),
    ],
)
def test_operations_of_the_activation_unit(
    problem: Pool | Elementwise | Softmax | Lrn | Move, operations: int
) -> None:
    """Eight results each; two lanes at 2 ns."""
    inputs = "a b" if problem == Elementwise("add", 8, 2) else "a"
    shape = (1, 2, 4, 4) if isinstance(problem, Pool) else (8,)
    workload = network(
        dict.fromkeys(inputs.split(), shape), {}, [(operator(problem, inputs, "y"), (8,))], ["y"]
    )
    found = run(workload, TINY)
    assert found.usage.total("activation_unit", "op_int8") == operations
    at = found.timing.names.index("y")
    busy = found.timing.resource_busy_ps[at, found.timing.resources.index("activation_unit")]
    assert busy == -(-operations // 2) * 2000


def test_unlimited_parts_have_no_energy_and_no_area() -> None:
    def parts(workload: Workload) -> tuple[set[str], set[str]]:
        found = run(workload, "systolic_plain")
        return set(found.usage.by_component()), set(found.area.components)

    charged, listed = parts(matmul(5, 6, 7))
    assert charged == {"array", "pe_registers"}
    assert listed == {"array", "pe_registers", "control"}
    device = make_device(load_design("systolic_plain").device_spec)
    assert set(device.ideal) == {
        "unified_buffer",
        "accumulators",
        "weight_fifo",
        "weight_memory",
        "activation_unit",
    }


@pytest.mark.parametrize("inputs", ["x z", "z x"])
def test_what_is_stored_last_may_be_of_an_earlier_operator(inputs: str) -> None:
    """x + h, both spilled: h = z w is stored while x is still on its way over a slow link."""
    workload = network(
        dict.fromkeys(inputs.split(), (64, 4)),
        {"w": (4, 4)},
        [
            (operator(Matmul(1, 64, 4, 4), "z w", "h"), (64, 4)),
            (operator(Elementwise("add", 256, 2), "x h", "y"), (64, 4)),
        ],
        ["y"],
    )
    found = run(workload, TINY, overrides=("unified_buffer.size=530 B", "host_link.bandwidth=10 MB/s"))
    assert {"h", "x"} <= set(found.spilled)
    stored = max(ends(found, "store", "input:x").max(), ends(found, "store", "h").max())
    assert starts(found, "load", "y").min() >= stored


def test_a_chosen_format_is_kept_and_an_unchosen_one_is_the_designs() -> None:
    wide = run(matmul(8, 8, 8, dtype="int16"), "tpu_v1")
    assert (wide.dtype, run(matmul(8, 8, 8), "tpu_v1").dtype) == ("int16", "int8")
    assert run(matmul(8, 8, 8, dtype="int16"), "tpu_v1", dtype="int8").dtype == "int8"
    with pytest.raises(UnsupportedError, match="multiplies int8"):
        run(matmul(8, 8, 8, dtype="fp32"), "tpu_v1")


# 2 x 2 times 2 x 3 in int8 on 4 x 4 PEs: 12 multiplications, each latching a sum of 4 bytes and what streams
# past (a byte; under os two). 6 bytes of weights (ws) or 4 of activations (is) pass 5 / 2 rows as they are
# shifted in.
@pytest.mark.parametrize(("dataflow", "expected"), [("ws", 12 * 5 + 15), ("is", 12 * 5 + 10), ("os", 12 * 6)])
def test_bytes_latched_by_processing_elements(dataflow: str, expected: int) -> None:
    overrides = ("array.rows=4", "array.cols=4", f"dataflow={dataflow}")
    found = run(matmul(2, 3, 2), "systolic_plain", overrides=overrides)
    assert found.usage.total("pe_registers", "write") == expected


@pytest.mark.parametrize(("dtype", "cycles"), [("int8", 256), ("int16", 512)])
def test_wider_numbers_take_longer_to_shift_in(dtype: str, cycles: int) -> None:
    found = run(matmul(8, 8, 8, dtype=dtype), "tpu_v1")
    stage = found.trace.stages.index("shift")
    assert int(found.trace.durations_ps[stage].max()) == -(-cycles * 10**12 // 700_000_000)


@pytest.mark.parametrize("kib", [96, 128, 192, 256, 320, 384, 448, 768])
def test_a_larger_buffer_moves_no_more_bytes(kib: int) -> None:
    def moved(size: int) -> int:
        found = run("vgg16", "tpu_v1", overrides=(f"unified_buffer.size={size} KiB",))
        return sum(found.usage.total("weight_memory", action) for action in ("read", "write"))

    assert moved(kib) >= moved(kib + 64)


def test_fused_functions_take_the_passes_that_they_are_charged_for() -> None:
    """One function rides with the result; each further one takes a pass of its own."""
    base = Elementwise("add", 512, 2)
    work = {}
    for count in (0, 1, 2, 3):
        steps = tuple(Step("sigmoid") for _ in range(count))
        add = Operator("y", base, ("x", "z"), "y", epilogue=steps)
        workload = network({"x": (512,), "z": (512,)}, {}, [(add, (512,))], ["y"])
        found = run(workload, "tpu_v1")
        row = found.timing.names.index("y")
        at = found.timing.stages.index("drain")
        work[count] = (found.usage.total("activation_unit", "op_int8"), int(found.timing.busy_ps[row, at]))
    assert [operations for operations, _ in work.values()] == [1024, 1024, 1536, 2048]
    assert [busy for _, busy in work.values()] == [5715, 5715, 8572, 11429]  # 4, 4, 6, 8 cycles of 700 MHz
