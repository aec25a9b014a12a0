"""Winograd as a lowering: multiplications by formula, the same results, numbers in each format."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hwsim.compress.lowrank import low_rank
from hwsim.compress.prune import prune
from hwsim.compress.winograd import winograd
from hwsim.devices.vector_tiles import vector_tiles
from hwsim.errors import CapacityError, SpecError, UnsupportedError, VerificationError
from hwsim.functional import execute, execute_stored, reference
from hwsim.functional import winograd as transforms
from hwsim.pipeline import run, verify
from hwsim.plan.residency import Operand, Residency
from hwsim.tensor.tensor import Array
from hwsim.workload import Workload, conv2d, load_workload
from hwsim.workload.folder import save_workload
from hwsim.workload.operators import WINOGRAD_OPERATIONS, Conv2d, Matmul, WinogradTransform
from hwsim.workload.weights import Given
from hwsim.workload.winograd import FILTER, INPUT, OUTPUT, growth, transformed_format
from tests.replaced import difference, layered

TINY = Path(__file__).parents[2] / "tiny.yaml"


@pytest.fixture(scope="module")
def network() -> Workload:
    return layered()


# -- the algorithm ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [2, 4])
def test_the_matrices_are_a_convolution_in_exact_arithmetic(tile: int) -> None:
    """A^T [(G g) * (B^T d)] is the correlation of g with d, for every pair of unit vectors."""

    def exact(matrix: Array) -> list[list[Fraction]]:
        return [[Fraction(number).limit_denominator(24) for number in row] for row in matrix.tolist()]

    g_matrix, b_matrix, a_matrix = (exact(each[tile]) for each in (FILTER, INPUT, OUTPUT))
    for i in range(3):
        for j in range(tile + 2):
            products = [g[i] * b[j] for g, b in zip(g_matrix, b_matrix, strict=True)]
            found = [sum(a * p for a, p in zip(row, products, strict=True)) for row in a_matrix]
            assert found == [int(j == place + i) for place in range(tile)]


class Counted:
    """A number that counts its additions; a multiplication by a constant is fused with one."""

    additions = 0

    def __add__(self, _: Counted) -> Counted:
        Counted.additions += 1
        return self

    __sub__ = __add__

    def __rmul__(self, _: int) -> Counted:
        return self


@pytest.mark.parametrize("tile", [2, 4])
def test_operations_charged_are_those_of_the_form_that_is_executed(tile: int) -> None:
    size = tile + 2
    for direction, lines, rows in (
        ("input", transforms._INPUT_LINES, size),
        ("output", transforms._OUTPUT_LINES, tile),
    ):
        Counted.additions = 0
        lines[tile]([Counted() for _ in range(size)])  # type: ignore[arg-type]
        assert WINOGRAD_OPERATIONS[tile][direction] == Counted.additions * (size + rows)
    # Lavin & Gray, sec. 4.1, for m = 2.
    assert WINOGRAD_OPERATIONS[2] == {"input": 32, "output": 24}


def test_growth_of_transformed_numbers() -> None:
    assert (growth(INPUT[2]), growth(INPUT[4])) == (4, 100)
    assert growth(INPUT[4]) * 127 <= 2**15 - 1


# -- the graph -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [2, 4])
def test_results_are_those_of_the_network(network: Workload, tile: int) -> None:
    changed = winograd(network, tile)
    names = [op.name for op in changed.operators]
    assert [name for name in names if "." in name] == [
        f"{layer}.{part}" for layer in ("c2", "near", "deep") for part in ("input", "product", "output")
    ]
    assert difference(changed, network) < 2e-6
    assert changed.macs == network.macs
    assert changed.history[-1].startswith(f"winograd F({tile}x{tile},3x3)")


# 2 images; c2 is 4 groups of 3 -> 2 at 6 x 6, near 2 groups of 4 -> 3 at 5 x 6, deep 10 of 1 -> 1 at 5 x 3.
@pytest.mark.parametrize(
    ("tile", "products"),
    [
        (2, {"c2": 16 * 2 * 9 * 4 * 6, "near": 16 * 2 * 9 * 2 * 12, "deep": 16 * 2 * 6 * 10}),
        (4, {"c2": 36 * 2 * 4 * 4 * 6, "near": 36 * 2 * 4 * 2 * 12, "deep": 36 * 2 * 2 * 10}),
    ],
)
def test_multiplications_are_those_of_whole_tiles(
    network: Workload, tile: int, products: dict[str, int]
) -> None:
    changed = winograd(network, tile)
    for op in changed.operators:
        if op.name.endswith(".product"):
            assert op.problem.macs == products[op.layer]
            original = next(o for o in network.operators if o.name == op.layer)
            assert op.macs == original.macs


@pytest.mark.parametrize(("tile", "ratio"), [(2, Fraction(9, 4)), (4, Fraction(4))])
def test_fewer_multiplications_by_the_published_ratio(tile: int, ratio: Fraction) -> None:
    direct = conv2d(3, 16, 8, 12, 24, 3, pad=1, groups=2)
    found, before = run(winograd(direct, tile), "tpu_v1"), run(direct, "tpu_v1")
    assert found.macs == before.macs == direct.macs
    packing = before.multiplications // before.macs
    assert Fraction(before.multiplications, found.multiplications) == ratio * packing
    rate = found.clock_hz * found.macs_per_cycle
    assert found.utilization == pytest.approx(found.multiplications / (found.latency_s * rate))


def test_the_array_is_bound_by_what_is_multiplied(network: Workload) -> None:
    """16 products of 18 x 3 by 3 x 2 in each of 4 groups, on 2 x 2 PEs at 500 MHz, four cycles for int16."""
    found = run(winograd(network, 2, layers="c2"), TINY)
    row, column = found.timing.names.index("c2.product"), found.timing.resources.index("array")
    assert found.timing.bound_ps[row, column] == 16 * 4 * 18 * 3 * 2 * 4 * 2000 // 4


def test_transformed_weights_are_counted(network: Workload) -> None:
    changed = winograd(network, 4, layers="near")
    assert changed.tensors["near.weight.winograd4"].shape == (36 * 2, 4, 3)
    assert changed.parameter_count == network.parameter_count + 6 * 4 * (36 - 9)
    for work, weights in ((changed, 36 * 2 * 4 * 3), (network, 6 * 4 * 9)):
        usage = run(work, "tpu_v1", dtype="int16").usage
        rows = [name.startswith("near") for name in usage.names]
        read = usage.counts[rows, usage.keys.index(("weight_memory", "read"))].sum()
        assert read == 2 * weights + 4 * 6  # and the bias


def test_pruned_weights_grow_denser(network: Workload) -> None:
    pruned = prune(network, density=0.1, layers="c2")
    changed = winograd(pruned, 2, layers="c2")
    tensor = changed.tensors["c2.weight.winograd2"]
    values = changed.values(tensor.name)
    assert tensor.density == np.count_nonzero(values) / values.size > 0.1


def test_convolutions_that_share_a_weight_share_the_transformed_one(network: Workload) -> None:
    deep = next(op for op in network.operators if op.name == "deep")
    twice = replace(
        network,
        operators=(*network.operators, replace(deep, name="again", output="again", layer="again")),
        tensors={**network.tensors, "again": replace(network.tensors["deep"], name="again")},
        outputs=("fc", "again"),
    )
    changed = winograd(twice, 2, layers="deep")
    read = [op.inputs[1] for op in changed.operators if op.name.endswith(".product")]
    assert read == ["deep.weight.winograd2"] * 2


def test_saved_workloads_come_back(network: Workload, tmp_path: Path) -> None:
    changed = low_rank(winograd(network, 4, layers="near"), "separable", rank=2, layers="c1")
    saved = save_workload(changed, tmp_path / "saved")
    found = load_workload(tmp_path / "saved")
    assert (found.operators, found.history) == (changed.operators, changed.history)
    assert dict(found.tensors) == dict(changed.tensors)
    assert difference(found, changed) == 0
    assert found.content_hash == saved.content_hash


REFUSED = {
    "tile is 3": {"tile": 3},
    "tile is True": {"tile": True},
    "integers is 'int4'": {"integers": "int4"},
    "no layer 'nix'": {"layers": "nix"},
    "'c1' .*stride or dilation": {"layers": "c1"},
    "'c3' .*window is 1x1": {"layers": "c3"},
    "'fc' .*it is a matmul": {"layers": "fc"},
    "nothing to do.*c1: it has a stride": {"layers": "c1*"},
}


@pytest.mark.parametrize(("message", "given"), REFUSED.items())
def test_what_cannot_be_is_refused(network: Workload, message: str, given: dict[str, object]) -> None:
    with pytest.raises(SpecError, match=message):
        winograd(network, **given)  # type: ignore[arg-type]


# -- number formats --------------------------------------------------------------------------------------


def test_formats_between_the_transforms(network: Workload) -> None:
    changed = winograd(network, 4, layers="near")
    for dtype, between, sums in (
        ("int8", "int16", "int32"), ("int4", "int16", "int32"), ("int16", "int16", "int32"),
        ("fp16", "fp16", "fp32"), ("bf16", "bf16", "fp32"), ("fp8_e4m3", "fp16", "fp32"),
    ):  # fmt: skip
        tensors = changed.astype(dtype).tensors
        found = [tensors[name].dtype for name in ("relu2.input", "near.weight.winograd4", "relu2.product")]
        assert found == [between, between, sums], dtype
        assert tensors["relu2"].dtype == dtype
    narrow = winograd(network, 2, layers="near", integers="int8").astype("int8")
    assert narrow.tensors["relu2.input"].dtype == "int8"
    assert transformed_format("int32") == "int32"


@pytest.mark.parametrize("tile", [2, 4])
def test_inputs_of_8_bits_are_transformed_exactly(network: Workload, tile: int) -> None:
    changed = winograd(network, tile, layers="near").astype("int8")
    x = np.random.default_rng(1).standard_normal(network.tensors["x"].shape)
    stored = execute_stored(changed, {"x": x}, keep=("c2", "relu2.input"))
    source, patches = stored["c2"], stored["relu2.input"]
    assert patches.encoding.scale == source.encoding.scale
    # The patch of the second tile in row and column of the second image, channel 5: channel 1 of group 1.
    padded = np.pad(source.values[1, 5].astype(np.int64), ((0, 9), (1, 9)))
    patch = padded[tile : 2 * tile + 2, tile : 2 * tile + 2]
    wanted = INPUT[tile] @ patch @ INPUT[tile].T
    tiles = math.ceil(6 / tile)
    at = (2 * math.ceil(5 / tile) - math.ceil(5 / tile)) * tiles + tiles + 1
    assert (patches.values[1::2, at, 1].reshape(tile + 2, tile + 2) == wanted).all()


@pytest.mark.parametrize("design", ["tpu_v1", "systolic_32"])
@pytest.mark.parametrize("tile", [2, 4])
def test_integers_are_right_bit_for_bit_and_lose_nothing_more(
    network: Workload, tile: int, design: str
) -> None:
    found, direct = (verify(w, design, dtype="int8") for w in (winograd(network, tile), network))
    assert found.exact.all()
    assert found.output_sqnr_db["fc"] > direct.output_sqnr_db["fc"] - 1.5


def test_narrow_integers_run_where_only_those_do(network: Workload) -> None:
    found = verify(winograd(network, 2, integers="int8"), "systolic_plain", dtype="int8")
    assert found.exact.all()
    assert found.output_sqnr_db["fc"] > 15
    with pytest.raises(UnsupportedError, match="multiplies int8, not int16"):
        run(winograd(network, 2), "systolic_plain", dtype="int8")


@pytest.mark.parametrize("dtype", ["int16", "fp32", "fp16", "bf16"])
@pytest.mark.parametrize("tile", [2, 4])
def test_numbers_of_other_formats_are_right(network: Workload, tile: int, dtype: str) -> None:
    found = verify(winograd(network, tile), TINY, dtype=dtype, overrides=[f"array.cycles_per_row.{dtype}=1"])
    assert found.exact.all() or dtype != "int16"
    assert found.used.max() <= 1
    assert found.output_sqnr_db["fc"] > {"int16": 40, "fp32": 100, "fp16": 40, "bf16": 20}[dtype]


def test_fixed_point_is_right(network: Workload) -> None:
    found = verify(winograd(network, 2), "tpu_v1", fixed_point="q5.10")
    assert found.exact.all()


@pytest.mark.parametrize("side", ["_INPUT_LINES", "_OUTPUT_LINES"])
def test_a_wrong_transform_is_found(network: Workload, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    changed = winograd(network, 4)
    line = getattr(transforms, side)[4]

    def wrong(values: list[Array]) -> list[Array]:
        found = line(values)
        return [*found[:-1], -found[-1]]

    monkeypatch.setitem(getattr(transforms, side), 4, wrong)
    with pytest.raises(VerificationError, match=r"c2\.(input|output)"):
        verify(changed, "tpu_v1", dtype="int8")


def test_many_images_at_once_are_each_what_they_are_alone(network: Workload) -> None:
    changed = winograd(network, 4).astype("fp32")
    x = np.random.default_rng(2).standard_normal((6, *network.tensors["x"].shape[1:]))
    together = execute(changed, {"x": x})["fc"]
    parts = [execute(changed, {"x": x[i : i + 2]})["fc"] for i in (0, 2, 4)]
    np.testing.assert_allclose(together, np.concatenate(parts), rtol=1e-5, atol=1e-6)


def errors(dtype: str, channels: int = 256, size: int = 14) -> list[float]:
    """The largest errors of direct convolution, F(2x2) and F(4x4) against float64, on a layer shaped like
    VGG's fourth stage with uniform numbers in [-1, 1], as Lavin & Gray measure."""
    draw = np.random.default_rng(1)
    work = conv2d(1, channels, size, size, 16, 3, pad=1).astype(dtype)
    stored = [
        draw.uniform(-1, 1, shape).astype(np.float16).astype(np.float32)
        for shape in ((1, channels, size, size), work.tensors["weight"].shape)
    ]
    weight = replace(work.tensors["weight"], values=Given(stored[1]))
    work = replace(work, tensors={**work.tensors, "weight": weight})
    problem = work.operators[0].problem
    assert isinstance(problem, Conv2d)
    true = reference.convolve(problem, *stored)
    found = []
    for each in (work, winograd(work, 2), winograd(work, 4)):
        seen = machine_outputs(each, stored[0], dtype)
        found.append(float(np.abs(seen.reshape(true.shape) - true).max()))
    return found


def machine_outputs(work: Workload, x: Array, dtype: str) -> Array:
    """What the TPU's schedule computes."""
    from hwsim.design import load_design
    from hwsim.devices import make_device
    from hwsim.functional import verify_program
    from hwsim.pipeline import prepare

    design = load_design("tpu_v1", [f"array.cycles_per_row.{dtype}=1"])
    ready = prepare(work, make_device(design.device_spec))
    checked = verify_program(work, ready.schedule, ready.program, accumulator_bits=32, inputs={"x": x})
    return checked.outputs[work.outputs[0]]


def test_errors_of_fp32_are_of_the_published_order() -> None:
    """Lavin & Gray, sec. 5.2: F(2x2) is as accurate as direct convolution, about 1e-5 to 1e-4; F(4x4) is
    about ten times worse, 1e-4 to 1e-3."""
    direct, small, large = errors("fp32")
    assert 3e-6 < direct < 1e-4
    assert direct / 4 < small < 4 * direct
    assert 1e-4 < large < 2e-3
    assert large > 5 * direct


def test_errors_of_fp16_are_those_of_its_rounding() -> None:
    direct, small, _ = errors("fp16", channels=64)
    assert direct / 3 < small < 4 * direct


# -- machines --------------------------------------------------------------------------------------------


def test_transforms_are_charged_as_worked_out_by_hand() -> None:
    """One channel of 4 x 4, padding 1, to one of 4 x 4, in four tiles of 2 x 2. Input transform: 64 numbers
    from 16, four times 32 additions and 64 conversions, on two lanes 96 cycles of 2 ns; it reads 4 patches of
    16 bytes and writes 64 numbers of 2 bytes. Products: 16 of 4 x 1 by 1 x 1. Output: four times 24 additions
    and 16 conversions, 56 cycles; 64 sums of 4 bytes in, 16 results out."""
    work = winograd(conv2d(1, 1, 4, 4, 1, 3, pad=1), 2)
    found = run(work, TINY)
    at = {name: i for i, name in enumerate(found.timing.names)}
    keys = {key: i for i, key in enumerate(found.usage.keys)}

    def count(part: str, component: str, action: str) -> int:
        return int(found.usage.counts[at[f"conv2d.{part}"], keys[component, action]])

    def busy_ns(part: str) -> float:
        resource = found.timing.resources.index("activation_unit")
        return float(found.timing.resource_busy_ps[at[f"conv2d.{part}"], resource]) / 1000

    assert (count("input", "activation_unit", "op_int16"), busy_ns("input")) == (128 + 64, 192)
    assert count("input", "unified_buffer", "read") == 4 * 16
    assert count("input", "unified_buffer", "write") == 64 * 2
    assert count("product", "array", "mac_int16") == 64
    assert count("product", "unified_buffer", "write") == 64 * 4
    assert count("product", "weight_memory", "read") == 16 * 2
    assert (count("output", "activation_unit", "op_int8"), busy_ns("output")) == (96 + 16, 112)
    assert count("output", "unified_buffer", "read") == 64 * 4
    assert count("output", "unified_buffer", "write") == 16
    assert (found.macs, found.multiplications) == (144, 64)


def test_edge_tiles_are_charged_whole() -> None:
    """3 x 3 results in four tiles of 2 x 2: the transforms cost as much as for 4 x 4."""
    work = winograd(conv2d(1, 1, 5, 5, 1, 3), 2)
    before, product, after = work.operators
    assert isinstance(before.problem, WinogradTransform)
    assert isinstance(after.problem, WinogradTransform)
    assert (before.problem.operations, after.problem.operations) == (4 * 32, 4 * 24)
    assert product.problem == Matmul(16, 4, 1, 1)
    found = run(work, TINY)
    column = found.usage.keys.index(("activation_unit", "op_int8"))
    assert found.usage.counts[found.timing.names.index("conv2d.output"), column] == 96 + 9


def test_slices_hold_whole_patches_and_tiles() -> None:
    for op, whole in zip(
        winograd(conv2d(1, 8, 16, 16, 8, 3, pad=1), 4).operators[::2], (36, 16), strict=True
    ):
        moved = Operand(100_000, 100_000, "int8", "memory")
        tiles = vector_tiles(op, Residency((moved,), moved, stream_bytes=7_001))
        assert len(tiles.kind_of_tile) > 20
        assert not (tiles.results[:1] % whole).any()
        scant = Residency((moved,), moved, stream_bytes=2 * (36 + whole) - 1)
        with pytest.raises(CapacityError, match="streaming buffer"):
            vector_tiles(op, scant)


def test_transforms_that_stream_cost_their_bytes_and_no_fewer_operations() -> None:
    """With no room on chip the transforms run in slices, and everything crosses the memory port."""
    work = winograd(conv2d(1, 8, 16, 16, 8, 3, pad=1), 2)
    ample, tight = (
        run(work, "tpu_v1", overrides=[f"unified_buffer.size={size}"]) for size in ("24 MiB", "8 KiB")
    )
    assert tight.spilled
    assert tight.timing.tiles.sum() > ample.timing.tiles.sum()
    for action in ("op_int16", "op_int8"):
        columns = [found.usage.keys.index(("activation_unit", action)) for found in (ample, tight)]
        whole, sliced = (
            int(found.usage.counts[:, column].sum())
            for found, column in zip((ample, tight), columns, strict=True)
        )
        assert whole <= sliced <= whole + tight.timing.tiles.sum()
    read, written = (
        int(tight.usage.counts[:, tight.usage.keys.index(("weight_memory", action))].sum())
        for action in ("read", "write")
    )
    patches, sums = 16 * 64 * 8 * 2, 16 * 64 * 8 * 4
    assert read >= patches + sums
    assert written >= patches + sums
    assert verify(work, "tpu_v1", overrides=["unified_buffer.size=8 KiB"]).exact.all()
