"""Operators of sequence models and of image decoders on devices: worked by hand on tests/tiny.yaml (see
tests/hand_worked.py: a cycle is 2 ns, a byte of memory 1 ns, a byte of the link 0.5 ns, two lanes), cut where
they have no room, and refused where a kind has no way to run them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.devices.vector_tiles import vector_tiles
from hwsim.devices.vector_work import VECTOR_KINDS, result_operations, vector_operations
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.pipeline import run
from hwsim.plan.residency import Operand, Residency
from hwsim.preparation import prepare
from hwsim.tensor.tensor import Shape
from hwsim.workload import Operator, Workload
from hwsim.workload.builder import Label
from hwsim.workload.lowering import plain_attention
from hwsim.workload.operators import (
    Append,
    Attention,
    Elementwise,
    Fold,
    Gather,
    Move,
    Norm,
    OperatorProblem,
    Reduce,
    Resize,
    Softmax,
)
from tests import sequences
from tests.hand_worked import TINY
from tests.networks import operator

KINDS = ("tpu_v1", "eie_64pe", "v100", "xeon_e5_2699v3")

# -- worked by hand ----------------------------------------------------------------------------------------
# norm      x arrives in 3, scale and shift (12 bytes each, int32) from 0 to 24. Six passes over six elements
#           are 36 operations, 18 cycles: 24-60. Six bytes leave in 3.
# gather    Three int32 arrive in 6, and only then three rows of four bytes can be fetched: 6-18. A move of 12
#           elements takes 6 cycles, to 30; they leave in 6.
# append    Four bytes arrive in 2, are copied in 2 cycles, 2-6, and stored, 6-10. The sum reads all twelve
#           bytes of the cache behind that, 10-22, and adds them up in 6 cycles, to 34. Four bytes leave in 2.
# reduce    Ten bytes arrive in 5; ten operations are 5 cycles, to 15; two bytes leave in 1.
# softmax   The mask is six int32: 0-24. Five passes over six elements are 15 cycles, to 54, and 3 to leave.
# linear    Four bytes arrive in 2; 16 results of four taps are 32 cycles, to 66; 16 bytes leave in 8.
# patches   Nine bytes arrive in 4.5; 16 elements are 8 cycles, to 20.5; they leave in 8.
# rotary    x arrives in 2, four angles of int32 (cosine and sine of two) from 0 to 16; eight results of three
#           operations are 12 cycles, to 40; they leave in 4.
WORKED: dict[str, tuple[Callable[[], Workload], int]] = {
    "norm": (lambda: sequences.normed(2, 3), 63_000),
    "gather": (lambda: sequences.gathered(3, 4, 100), 36_000),
    "append": (lambda: sequences.appended(2, 1, 4), 36_000),
    "reduce": (lambda: sequences.reduced((2, 5)), 16_000),
    "masked softmax": (lambda: sequences.masked_softmax(1, 6), 57_000),
    "linear resize": (lambda: sequences.resized((1, 1, 2, 2), (4, 4), "linear"), 74_000),
    "patches": (lambda: sequences.patches(1, 3, 2), 28_500),
    "rotary": (lambda: sequences.rotated(1, 4), 44_000),
}


@pytest.mark.parametrize("timing", ["fast", "events"])
@pytest.mark.parametrize("name", WORKED)
def test_picoseconds(name: str, timing: str) -> None:
    made, makespan_ps = WORKED[name]
    assert run(made(), TINY, timing=timing).timing.makespan_ps == makespan_ps


def test_counts_of_patches_and_of_a_cache() -> None:
    found = run(sequences.patches(1, 3, 2), TINY).usage
    assert found.total("unified_buffer", "read") == 16 + 16  # one for each result, and on the way out
    assert found.total("unified_buffer", "write") == 9 + 16
    found = run(sequences.appended(2, 1, 4), TINY).usage
    assert found.total("weight_memory", "write") == 4  # the new place alone
    assert found.total("weight_memory", "read") == 12


# -- counts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "results", "wanted"),
    [
        (Norm("layer_norm", 2, 8), 16, 6 * 16),
        (Norm("layer_norm", 2, 8, scaled=False, shifted=False), 16, 4 * 16),
        (Norm("rms_norm", 2, 8, shifted=False), 16, 3 * 16),
        (Norm("group_norm", 2, 8, shifted=False), 16, 5 * 16),
        (Softmax(2, 8), 16, 4 * 16),
        (Softmax(2, 8, masked=True), 16, 5 * 16),
        (Reduce("max", 3, 7), 3, 3 * 7),
        (Resize("nearest", 1, 2, 3, 3, 6, 6), 72, 72),
        (Resize("linear", 1, 2, 3, 3, 6, 6), 72, 4 * 72),
        (Gather(5, 4, 9), 20, 20),
        (Append(20), 20, 20),
        (Move("im2col", 20), 20, 20),
        (Elementwise("rotary", 20, 3), 20, 3 * 20),
        (Elementwise("silu", 20), 20, 20),
        # Four windows of 3 x 3 numbers, and one operation more for each of 5 x 5 results.
        (Fold(1, 1, 2, 2, 3, 3, 5, 5, (2, 2)), 25, 36 + 25),
    ],
    ids=str,
)
def test_operations(problem: OperatorProblem, results: int, wanted: int) -> None:
    op = Operator("y", problem, ("x",), "y")
    assert vector_operations(op, results, results) == wanted
    halves = vector_operations(op, results // 2, results), vector_operations(op, -(-results // 2), results)
    assert wanted <= sum(halves) <= wanted + 1
    assert result_operations(op) >= 1


# -- slices ------------------------------------------------------------------------------------------------


def streamed(problem: OperatorProblem, elements: int, room: int, *others: Operand) -> Residency:
    x = Operand(elements, elements, "int8", "memory")
    results = getattr(problem, "elements", elements)
    return Residency((x, *others), Operand(results, results, "int8", "memory"), room)


def test_a_row_that_is_normalised_stays_together_beside_its_constants() -> None:
    """Ten rows of eight bytes, two constants of eight int32 (64 bytes). A row in and out, twice, takes 32."""
    problem, constant = Norm("layer_norm", 10, 8), Operand(8, 32, "int32", "weights")
    op = Operator("y", problem, ("x", "scale", "shift"), "y")
    scant = streamed(problem, 80, 64 + 32, constant, constant)
    assert vector_tiles(op, scant).results.tolist() == [8]
    assert vector_tiles(op, scant).kind_of_tile.size == 10
    with pytest.raises(CapacityError, match="operator y needs 96 B"):
        vector_tiles(op, streamed(problem, 80, 64 + 31, constant, constant))
    twice = vector_tiles(op, streamed(problem, 80, 64 + 64, constant, constant))
    assert twice.results.tolist() == [16]
    assert int((twice.share([constant, constant], "weights") @ [5]).sum()) >= 64


def test_a_row_that_is_reduced_needs_room() -> None:
    problem = Reduce("max", 10, 8)
    op = Operator("y", problem, ("x",), "y")
    assert vector_tiles(op, streamed(problem, 80, 18)).results.tolist() == [1]
    with pytest.raises(CapacityError, match="needs 18 B"):
        vector_tiles(op, streamed(problem, 80, 17))


def test_shares_of_tensors_beyond_int64_are_exact() -> None:
    elements = 2**36
    big = Operand(elements, 2 * elements, "fp16", "memory")
    tiles = vector_tiles(operator(Elementwise("gelu", elements), "x", "y"), Residency((big,), big, 2**34))
    total = sum(int(tiles.share([big], "memory")[kind]) for kind in tiles.kind_of_tile.tolist())
    assert total == 2 * elements


# -- what is supported -------------------------------------------------------------------------------------

OF_KIND: dict[str, OperatorProblem] = {
    "norm": Norm("rms_norm", 2, 4, shifted=False),
    "gather": Gather(2, 4, 9),
    "append": Append(8),
    "reduce": Reduce("sum", 2, 4),
    "resize": Resize("nearest", 1, 1, 2, 2, 4, 4),
    "fold": Fold(1, 1, 2, 2, 2, 2, 4, 4, (2, 2)),
    "softmax": Softmax(2, 4, masked=True),
    "elementwise": Elementwise("rotary", 8, 3),
    "move": Move("im2col", 8),
}


@pytest.mark.parametrize("design", KINDS)
@pytest.mark.parametrize("kind", OF_KIND)
def test_every_kind_of_device_runs_them(design: str, kind: str) -> None:
    assert kind in VECTOR_KINDS
    device = make_device(load_design(design).device_spec)
    assert device.supports(Operator("y", OF_KIND[kind], ("x",), "y"), ["int16"]) == ""


def test_an_engine_without_pointwise_lanes_runs_none() -> None:
    spec = load_design("eie_64pe").device_spec
    device = make_device(spec.model_copy(update={"pointwise_lanes": None}))
    for problem in OF_KIND.values():
        reason = device.supports(Operator("y", problem, ("x",), "y"), ["int16"])
        assert reason == f"a PE has nothing that can run a {problem.kind}; set pointwise_lanes"


def test_arrays_take_attention_apart_and_engines_refuse_it() -> None:
    fused = sequences.attended(Attention(2, 2, 2, 3, 5, 4, 4), dtype="int8")
    with pytest.raises(UnsupportedError, match="no fused attention: lower it"):
        run(fused, "tpu_v1", lower="attention=fused")
    assert run(plain_attention(fused), "tpu_v1").macs == fused.macs
    with pytest.raises(UnsupportedError, match="compressed beforehand, and attention multiplies"):
        run(fused, "eie_64pe", lower="attention=fused")
    with pytest.raises(UnsupportedError, match="a matrix for each of 4 products"):
        run(plain_attention(fused), "eie_64pe")


def test_an_engine_refuses_a_cache_as_its_matrix() -> None:
    step = plain_attention(sequences.attended(Attention(1, 1, 1, 3, 5, 4, 4), dtype="int16", cached=True))
    with pytest.raises(UnsupportedError, match="multiplies two tensors that the network computes"):
        run(step, "eie_64pe")


# -- memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("design", "dtype"),
    [("tpu_v1", "int8"), ("eie_64pe", "int16"), ("v100", "fp16"), ("xeon_e5_2699v3", "fp32")],
)
def test_a_lookup_moves_only_what_it_looks_up(design: str, dtype: str) -> None:
    """However large the table, and however often a row is asked for."""
    found = [
        run(sequences.gathered(4, 8, rows), design, dtype=dtype).timing.makespan_ps
        for rows in (100_000, 1_000_000)
    ]
    assert found[0] == found[1]
    often = run(sequences.gathered(40, 8, 4), design, dtype=dtype)
    assert often.timing.busy_ps[1].sum() > 0


def test_a_cache_takes_room_in_memory() -> None:
    """100 places of two heads of 8 numbers, keys and values, two layers, in two bytes each."""
    net = sequences.decoder(layers=2, past=99, heads=2, groups=2, size=8)
    cached = sum(t.size_bytes for t in net.tensors.values() if t.role == "cache")
    assert cached == 2 * 2 * 2 * 100 * 8 * 2
    weights = sum(t.size_bytes for t in net.tensors.values() if t.role in ("weight", "cache"))
    run(net, "v100", dtype="fp16", overrides=(f"memory.size={weights + 4000} B",))
    with pytest.raises(CapacityError, match=r"device memory \(weights [\d.]+ KiB, caches 12\.5 KiB\)"):
        run(net, "v100", dtype="fp16", overrides=(f"memory.size={weights - 1} B",))


# -- products of two activations ---------------------------------------------------------------------------

SMALL = ((3, 5, 7, 9), (500, 1, 16, 32), (500, 16, 1, 32), (90, 1, 1, 33), (900, 2, 3, 2))


@pytest.mark.parametrize("design", ["tpu_v1", "systolic_32", "v100", "titan_x_pascal", "xeon_e5_2699v3"])
@pytest.mark.parametrize("sizes", SMALL, ids=str)
@pytest.mark.parametrize("cached", ["a", "b", ""])
def test_many_small_products_fetch_all_they_multiply(
    design: str, sizes: tuple[int, ...], cached: str
) -> None:
    """The rules that run inside every run refuse a plan that fetches less than its operands."""
    batch, m, n, k = sizes
    g = sequences.drafted("int8" if design == "tpu_v1" else "fp32")

    def made(name: str, shape: Shape) -> str:
        if name == cached:
            return g.cache(name, shape)
        return g.unary(Label(name), g.input(f"x{name}", shape), "relu")

    y = g.matmul(Label("y"), made("a", (batch, m, k)), made("b", (batch, k, n)))
    assert run(sequences.built(g, y), design).multiplications == batch * m * n * k


@pytest.mark.parametrize("design", ["tpu_v1", "v100", "xeon_e5_2699v3"])
def test_equal_layers_are_planned_once(design: str) -> None:
    """Names of layers and of their caches decide nothing: six layers have no more plans than three."""
    device = make_device(load_design(design).device_spec)
    found = []
    for layers in (3, 6):
        net = sequences.decoder(layers=layers, past=9, dtype="int8" if design == "tpu_v1" else "fp32")
        plans = prepare(plain_attention(net) if design == "tpu_v1" else net, device).plans
        found.append(len({id(plan) for plan in plans if plan.tiles}))
    assert found[0] == found[1]
