"""Chosen grids executed: zero points, scales by channel, few levels, formats mixed in one network; each bit
for bit, tile by tile on a 3 x 5 array, and wrong corrections caught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwsim.functional.products as products
import hwsim.kernels.matrix_tiles as kernels
from hwsim.errors import UnsupportedError, VerificationError
from hwsim.functional import activations, execute, execute_stored
from hwsim.pipeline import verify
from hwsim.result import Verification
from hwsim.tensor.storage import Quantisation
from hwsim.workload import Source, Workload, conv2d, matmul
from hwsim.workload.builder import GraphBuilder, Label

FORMATS = Path(__file__).parents[2] / "formats.yaml"
SOURCE = Source("builtin", "constructor", "")
DATAFLOWS = ("ws", "is", "os")


def on_grids(workload: Workload, grids: Mapping[str, tuple[str, Any, Any, int | None]]) -> Workload:
    """`workload` with tensors on (format, scales, zero points, axis)."""
    tensors = dict(workload.tensors)
    for name, (dtype, scales, zeros, axis) in grids.items():
        grid = Quantisation(tuple(np.atleast_1d(scales).tolist()), tuple(np.atleast_1d(zeros).tolist()), axis)
        tensors[name] = replace(tensors[name], dtype=dtype, quantisation=grid)
    return replace(workload, tensors=tensors, formats_chosen=True)


def check(workload: Workload, *overrides: str, **more: Any) -> Verification:
    found = verify(workload, FORMATS, overrides=overrides, **more)
    for name, reals in execute(workload, {}).items():
        assert (found.outputs[name] == reals).all()  # the same without a machine
    return found


def network(groups: int = 1, padded: bool = True) -> Workload:
    """A padded, strided convolution with a bias and a relu; its tensors are x, w and y."""
    g = GraphBuilder("gridded", dtype="int8")
    x = g.input("x", (2, 4, 7, 6))
    w, b = g.weight("w", (6, 4 // groups, 3, 3), fan_in=36 // groups), g.weight("b", (6,), "bias")
    pad = (1, 0, 1, 2) if padded else (0, 0, 0, 0)
    y = g.conv2d(Label("y"), x, w, b, pad=pad, stride=(2, 1), groups=groups)
    return g.build([g.unary(Label("relu"), y, "relu")], SOURCE)


def result_of(workload: Workload) -> str:
    return workload.outputs[0]


CHANNELS = np.array([0.004, 0.02, 0.011, 0.007, 0.0093, 0.03])
WEIGHT_GRIDS = {
    "per tensor": ("int8", 0.013, 0, None),
    "zero point": ("int8", 0.013, -17, None),
    "per channel": ("int8", CHANNELS, [0] * 6, 0),
    "per channel, zero points": ("int8", CHANNELS, [3, -40, 0, 127, -128, 9], 0),
    "int4 per channel": ("int4", CHANNELS * 10, [0, 1, -2, 3, -8, 7], 0),
    "ternary per channel": ("ternary", CHANNELS * 20, [0] * 6, 0),
    "binary": ("binary", 0.2, 0, None),
}
INPUT_GRIDS = {"symmetric": ("int8", 0.02, 0, None), "asymmetric": ("int8", 0.021, -37, None)}


@pytest.mark.parametrize("dataflow", DATAFLOWS)
@pytest.mark.parametrize("weights", WEIGHT_GRIDS)
@pytest.mark.parametrize("inputs", INPUT_GRIDS)
def test_chosen_grids_are_exact(inputs: str, weights: str, dataflow: str) -> None:
    workload = network()
    y = result_of(workload)
    grids = {"x": INPUT_GRIDS[inputs], "w": WEIGHT_GRIDS[weights], y: ("int8", 0.03, -128, None)}
    found = check(on_grids(workload, grids), f"dataflow={dataflow}")
    assert found.bit_exact
    assert len(np.unique(found.outputs[y])) > 20
    assert "3 tensors on grids that were chosen" in found.scheme
    assert ("1 of them with scales by channel" in found.scheme) == ("channel" in weights)
    if weights in ("per tensor", "zero point", "per channel"):
        assert found.sqnr_db[0] > 20


@pytest.mark.parametrize("packing", ["true", "false"])
@pytest.mark.parametrize(("channels", "groups"), [((4, 6), 2), ((7, 7), 7)])
def test_groups_keep_their_own_corrections(channels: tuple[int, int], groups: int, packing: str) -> None:
    """Groups that share the array must not see each other's sums, nor the last pack what is not there."""
    grids = {
        "x": ("int8", 0.02, 11, None),
        "weight": ("int8", np.linspace(0.01, 0.02, channels[1]), [5, -3, 0, 1, 2, 90, 4][: channels[1]], 0),
    }
    workload = conv2d(1, channels[0], 6, 5, channels[1], 3, groups=groups, pad=1, dtype="int8")
    found = check(
        on_grids(workload, grids), f"array.group_packing={packing}", "array.rows=40", "array.cols=8"
    )
    assert found.bit_exact
    assert found.sqnr_db[0] > 20


@pytest.mark.parametrize("turned", [True, False])
def test_linear_weights_have_scales_along_their_outputs(turned: bool) -> None:
    g = GraphBuilder("linear", dtype="int8")
    a, w = g.input("a", (4, 9)), g.weight("w", (7, 9) if turned else (9, 7), fan_in=9)
    y = g.matmul(Label("y"), a, w, g.weight("b", (7,), "bias"), transpose_b=turned)
    workload = g.build([y], SOURCE)
    grids = {"a": ("int8", 0.02, 5, None), "w": ("int8", np.linspace(0.005, 0.02, 7), range(7), 1 - turned)}
    assert check(on_grids(workload, grids)).bit_exact
    grids["w"] = ("int8", np.linspace(0.005, 0.02, 9), range(9), int(turned))
    with pytest.raises(UnsupportedError, match=f"lie along the output channels, axis {1 - turned}"):
        check(on_grids(workload, grids))


def test_products_of_two_activations_take_zero_points() -> None:
    g = GraphBuilder("scores", dtype="int8")
    y = g.matmul(Label("y"), g.input("a", (2, 5, 4)), g.input("b", (2, 4, 6)))
    grids = {"a": ("int8", 0.03, -9, None), "b": ("int8", 0.02, 21, None), y: ("int8", 0.05, 4, None)}
    assert check(on_grids(g.build([y], SOURCE), grids)).bit_exact


def test_a_product_worked_by_hand() -> None:
    """Stored 3, 7 from zero 2 at 0.5 are 0.5, 2.5. Weights [[4, -1], [0, 5]] from zeros 1, -1 at 0.25, 0.5
    are [[0.75, 0], [-0.25, 3]]. Sums: 0.5 x 0.75 - 2.5 x 0.25 = -0.25, and 7.5. In steps of 0.125 from zero
    10: 8 and 70."""
    g = GraphBuilder("hand", dtype="int8")
    y = g.matmul(Label("y"), g.input("a", (1, 2)), g.weight("w", (2, 2), fan_in=2))
    workload = g.build([y], SOURCE)
    grids = {
        "a": ("int8", 0.5, 2, None),
        "w": ("int8", [0.25, 0.5], [1, -1], 1),
        y: ("int8", 0.125, 10, None),
    }
    found = on_grids(workload, grids)
    held = replace(found.tensors["w"], values=lambda: np.array([[0.75, 0.0], [-0.25, 3.0]]))
    found = replace(found, tensors={**found.tensors, "w": held})
    stored = execute_stored(found, {"a": np.array([[0.5, 2.5]])})
    assert stored["a"].values.tolist() == [[3, 7]]
    assert stored[y].values.tolist() == [[8, 70]]
    assert stored[y].reals.tolist() == [[-0.25, 7.5]]


def test_pools_and_moves_keep_zero_points_apart() -> None:
    g = GraphBuilder("pools", dtype="int8")
    x = g.input("x", (1, 3, 6, 6))
    average = g.pool(Label("average"), x, "average", (3, 3), pad=(1, 1, 1, 1), count_include_pad=True)
    without = g.pool(Label("without"), x, "average", (3, 3), pad=(1, 1, 1, 1))
    best = g.pool(Label("best"), x, "max", (2, 2), stride=(2, 2))
    joined = g.concat(Label("joined"), [average, without], axis=1)
    turned = g.transpose(Label("turned"), best, (0, 2, 3, 1))
    grids = {
        "x": ("int8", 0.02, 40, None), average: ("int8", 0.01, -7, None), without: ("int8", 0.015, 3, None),
        best: ("int8", 0.03, -100, None), joined: ("int8", 0.012, 1, None), turned: ("int4", 0.5, -5, None),
    }  # fmt: skip
    found = check(on_grids(g.build([joined, turned], SOURCE), grids))
    assert found.bit_exact
    assert (found.sqnr_db[:4] > 17).all()


def test_sums_that_fit_after_correction_may_wrap_before() -> None:
    """The raw sum of 3000 products of 16-bit numbers near the ends passes 32 bits; what it stands for does
    not, and two's complement finds its way back."""
    workload = on_grids(
        matmul(2, 3, 3000, dtype="int16"),
        {"a": ("int16", 1e-3, 30000, None), "b": ("int16", 1e-4, -30000, None)},
    )
    assert check(workload).bit_exact


# -- formats side by side --------------------------------------------------------------------------------

PAIRS = [
    ("int8", "ternary"), ("int8", "binary"), ("ternary", "int8"), ("int16", "binary"), ("int8", "int4"),
    ("int16", "int4"), ("ternary", "ternary"), ("binary", "binary"),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_narrow_formats_are_exact(pair: tuple[str, str], dataflow: str) -> None:
    found = check(network().astype(*pair), f"dataflow={dataflow}")
    assert found.bit_exact
    levels = [name for name in dict.fromkeys(pair) if not name.startswith("int")]
    assert (f"{', '.join(levels)} by one scale a tensor from the mean size" in found.scheme) == bool(levels)
    assert ("from the largest number" in found.scheme) == any(name.startswith("int") for name in pair)


@pytest.mark.parametrize("pair", [("fp8_e4m3",) * 2, ("fp8_e5m2",) * 2, ("fp16", "fp8_e4m3")])
@pytest.mark.parametrize("dataflow", DATAFLOWS)
def test_small_floats_stay_within_their_bound(pair: tuple[str, str], dataflow: str) -> None:
    found = verify(network().astype(*pair), FORMATS, overrides=[f"dataflow={dataflow}"])
    assert found.sqnr_db[0] > (10 if pair[0] == "fp8_e5m2" else 20)
    assert 0 < found.used.max() <= 1


@pytest.mark.parametrize(
    ("floats", "grid"),
    [
        ("fp16", WEIGHT_GRIDS["per channel, zero points"]), ("fp32", WEIGHT_GRIDS["int4 per channel"]),
        ("fp32", WEIGHT_GRIDS["binary"]), ("fp16", WEIGHT_GRIDS["ternary per channel"]),
    ],
)  # fmt: skip
def test_weights_alone_on_a_grid_are_dequantised(floats: str, grid: tuple[Any, ...]) -> None:
    """astype leaves the grid alone; the weights are those of the grid in the format of the activations."""
    workload = on_grids(network(), {"w": grid}).astype(floats)
    assert workload.tensors["w"].dtype == grid[0]
    found = verify(workload, FORMATS)
    assert f"weights of 1 operators dequantised to {floats} on their way in" in found.scheme
    held = network().astype(floats)
    scales, zeros = (np.reshape(np.array(x, dtype=float), (-1, 1, 1, 1)) for x in grid[1:3])
    low, high = {"binary": (-1, 1), "ternary": (-1, 1), "int4": (-8, 7), "int8": (-128, 127)}[grid[0]]
    stored = np.clip(np.round(held.values("w").astype(float) / scales) + zeros, low, high)
    if grid[0] == "binary":
        stored = np.where(held.values("w") < 0, -1, 1)
    reals = ((stored - zeros) * scales).astype(np.float32)
    plain = replace(held, tensors={**held.tensors, "w": replace(held.tensors["w"], values=lambda: reals)})
    y = result_of(plain)
    assert (execute(workload, {})[y] == execute(plain, {})[y]).all()


def test_a_codebook_is_looked_up() -> None:
    workload = network().astype("fp16", "int4")
    with pytest.raises(UnsupportedError, match="no arithmetic for fp16 times int4"):
        execute(workload, {})
    book = np.array([-0.3, -0.1, 0.125, 0.4])
    shared = book[np.abs(workload.values("w")[..., None] - book).argmin(-1)]
    w = replace(workload.tensors["w"], values=lambda: shared, codebook=tuple(book.tolist()))
    workload = replace(workload, tensors={**workload.tensors, "w": w})
    plain = replace(workload, tensors={**workload.tensors, "w": replace(w, dtype="fp16")})
    y = result_of(workload)
    assert (execute(workload, {})[y] == execute(plain, {})[y]).all()


@pytest.mark.parametrize("inside", ["int8", "int4", "ternary", "binary"])
def test_floats_and_integers_meet_in_one_network(inside: str) -> None:
    """A float layer, a middle one of integers, and floats again."""
    g = GraphBuilder("mixed", dtype="fp32")
    x = g.input("x", (3, 10))
    names = [g.weight(f"w{i}", (10, 10), fan_in=10) for i in range(3)]
    first = g.unary(Label("r1"), g.matmul(Label("m1"), x, names[0], g.weight("b", (10,), "bias")), "tanh")
    second = g.unary(Label("r2"), g.matmul(Label("m2"), first, names[1]), "sigmoid")
    built = g.build([g.matmul(Label("m3"), second, names[2])], SOURCE)
    first = built.operators[0].output
    grids = {first: (inside, 0.1 if inside == "int8" else 0.5, 0, None), "w1": ("int8", 0.02, 0, None)}
    workload = on_grids(built, grids)
    found = verify(workload, FORMATS)
    assert found.exact.tolist()[0]  # fp32 errors never reached across the middle between two integers
    assert (found.used <= 1).all()
    assert found.sqnr_db[-1] > (15 if inside == "int8" else 0)


@pytest.mark.parametrize("weights", ["per channel, zero points", "binary"])
def test_integers_leave_as_floats(weights: str) -> None:
    """A result that stays fp32 is the sum times its channel's scale."""
    grids = {"x": INPUT_GRIDS["asymmetric"], "w": WEIGHT_GRIDS[weights]}
    workload = on_grids(network().astype("fp32"), grids)
    y = result_of(workload)
    found = verify(workload, FORMATS)
    assert (found.used <= 1).all()
    x, w = (execute_one(workload, name) for name in ("x", "w"))
    plain = replace(network().astype("fp32"), name="plain")
    held = replace(plain.tensors["w"], values=lambda: w)
    plain = replace(plain, tensors={**plain.tensors, "w": held})
    # The bias is rounded to whole units of the sums of its channel.
    unit = np.reshape(grids["x"][1] * np.broadcast_to(grids["w"][1], 6), (1, 6, 1, 1))
    wanted = activations(plain, {"x": x})[y]
    assert (np.abs(found.outputs[y] - wanted) <= unit / 2 + 1e-6 * np.abs(wanted)).all()


def execute_one(workload: Workload, name: str) -> np.ndarray:
    """What tensor x or w of a gridded network stands for, by its grid and rounding alone."""
    tensor = workload.tensors[name]
    grid = tensor.quantisation
    assert grid is not None
    given = activations(workload, {})["x"] if name == "x" else workload.values(name).astype(float)
    scales, zeros = (np.reshape(part, (-1, 1, 1, 1)) for part in (grid.scales, grid.zero_points))
    if tensor.dtype == "binary":
        return np.where(given < 0, -1.0, 1.0) * scales
    return (np.clip(np.round(given / scales) + zeros, -128, 127) - zeros) * scales


# -- what is refused -------------------------------------------------------------------------------------


def test_a_view_cannot_have_another_grid() -> None:
    g = GraphBuilder("flat", dtype="int8")
    y = g.view(Label("y"), g.unary(Label("t"), g.input("x", (2, 3, 4)), "tanh"), "reshape", (2, 12))
    workload = g.build([y], SOURCE)
    t = workload.operators[0].output
    same: Any = dict.fromkeys((t, y), ("int8", 0.01, 3, None))
    assert check(on_grids(workload, same)).bit_exact
    with pytest.raises(UnsupportedError, match="is a view of"):
        execute(on_grids(workload, {**same, y: ("int8", 0.02, 3, None)}), {})


def test_activations_have_one_scale() -> None:
    with pytest.raises(UnsupportedError, match="'x' has scales by channel, and only weights"):
        execute(on_grids(network(), {"x": ("int8", [0.1] * 4, [0] * 4, 1)}), {})


@pytest.mark.parametrize(("ours", "theirs"), [("a", "b"), ("b", "a")])
def test_products_of_a_float_and_an_integer_activation_are_refused(ours: str, theirs: str) -> None:
    g = GraphBuilder("scores", dtype="fp32")
    shapes = {"a": (5, 4), "b": (4, 6)}
    y = g.matmul(Label("y"), *(g.input(name, shape) for name, shape in shapes.items()))
    workload = on_grids(g.build([y], SOURCE), {ours: ("int8", 0.03, 0, None)})
    with pytest.raises(UnsupportedError, match="no arithmetic for"):
        execute(workload, {})
    assert workload.tensors[theirs].dtype == "fp32"


def test_unsigned_numbers_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="uint8 cannot be executed: use int8"):
        execute(network().astype("uint8"), {})


# -- deliberate faults -----------------------------------------------------------------------------------


@pytest.fixture
def workload() -> Workload:
    grids = {
        "x": INPUT_GRIDS["asymmetric"], "w": WEIGHT_GRIDS["per channel, zero points"],
        result_of(network()): ("int8", 0.03, -128, None),
    }  # fmt: skip
    return on_grids(network(), grids)


def caught(workload: Workload) -> VerificationError:
    with pytest.raises(VerificationError) as told:
        verify(workload, FORMATS)
    return told.value


def test_the_right_arithmetic_passes(workload: Workload) -> None:
    assert verify(workload, FORMATS).bit_exact


@pytest.mark.parametrize("factor", [0, 2, -1])
def test_a_wrong_correction_is_caught(
    workload: Workload, factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = products.ProductRun.correction
    monkeypatch.setattr(products.ProductRun, "correction", lambda *given: factor * right(*given))
    assert caught(workload).stage == "drain"


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_forgotten_zero_point_is_caught(
    workload: Workload, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terms of one operand alone left out."""
    right = products.ProductRun.correction

    def forgetful(self: products.ProductRun, *box: Any) -> Any:
        stored = getattr(self, side)
        bare = replace(stored.encoding, zero_point=0, by_channel=None)
        a, b = (replace(s, encoding=bare) if s is stored else s for s in (self.a, self.b))
        other = products.ProductRun(
            self.op, self.mapping, a, b, self.out, self.bias, self.drain, self.accumulator_bits
        )
        return right(other, *box)

    monkeypatch.setattr(products.ProductRun, "correction", forgetful)
    caught(workload)


def test_padding_with_a_stored_zero_is_caught(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "padding_value", lambda _: 0.0)
    error = caught(workload)
    assert error.stage == "load"
    assert "reads 0 where -37 belongs" in error.reason


@pytest.mark.parametrize("which", ["multipliers", "shifts"])
def test_another_channels_scale_is_caught(
    workload: Workload, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = products.ProductRun._by_column

    def rolled(self: products.ProductRun, numbers: Any, *given: Any, **more: Any) -> Any:
        assert self.drain is not None
        return right(
            self, np.roll(numbers, 1) if numbers is getattr(self.drain, which) else numbers, *given, **more
        )

    monkeypatch.setattr(products.ProductRun, "_by_column", rolled)
    assert caught(workload).stage == "drain"


def test_a_forgotten_zero_point_of_the_result_is_caught(
    workload: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = kernels.requantise

    def without(*given: Any) -> None:
        right(*given[:6], 0, *given[7:])

    monkeypatch.setattr(kernels, "requantise", without)
    assert caught(workload).stage == "drain"
