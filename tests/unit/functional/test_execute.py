"""Networks without a machine: by hand, as verification computes them, and many images at once."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwsim.errors import SpecError, UnsupportedError
from hwsim.functional import activations, execute, execute_stored
from hwsim.functional.images import for_inputs
from hwsim.pipeline import verify
from hwsim.tensor.encoding import find_fixed_point
from hwsim.workload import Source, Workload, load_workload
from hwsim.workload.builder import GraphBuilder, Label

SOURCE = Source("builtin", "constructor", "")


def images(workload: Workload, count: int, seed: int = 3) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        name: draw.standard_normal((count, *workload.tensors[name].shape[1:])) for name in workload.inputs
    }


def with_values(workload: Workload, **values: Any) -> Workload:
    tensors = dict(workload.tensors)
    for name, numbers in values.items():
        array = np.array(numbers, dtype=np.float64)
        tensors[name] = replace(tensors[name], values=lambda array=array: array)
    return replace(workload, tensors=tensors)


def tiny(dtype: str = "fp32") -> Workload:
    """y = relu(a [[1, -2], [0.5, 4]] + [0.25, -1])"""
    g = GraphBuilder("tiny", dtype=dtype)
    y = g.matmul(
        Label("m"), g.input("a", (1, 2)), g.weight("w", (2, 2), fan_in=2), g.weight("b", (2,), "bias")
    )
    built = g.build([g.unary(Label("r"), y, "relu")], SOURCE)
    return with_values(built, w=[[1, -2], [0.5, 4]], b=[0.25, -1])


def test_floats_by_hand() -> None:
    network = tiny()
    (y,) = network.outputs
    given = {"a": np.array([[2.0, 1.0], [-1.0, 0.0], [0.0, 3.0]])}
    wanted = [[2.75, 0.0], [0.0, 1.0], [1.75, 11.0]]
    assert execute(network, given)[y].tolist() == wanted
    flow = activations(network, given)
    assert set(flow) == {"a", y}
    assert flow[y].tolist() == wanted


def test_integers_by_hand() -> None:
    """Inputs reach 4, so a scale is 4/7: 4 and 1 are stored as 7 and round(1.75) = 2. Weights reach 4 too:
    2, -4 (from 1.75 and -3.5) and 1, 7. Sums: 16 and -14; biases of 0.25 and -1 in units of 16/49 are 1 and
    -3. The result reaches 4 + 0.5 + 0.25 = 4.75 in float64, so its scale is 4.75/7, and 17 units of 16/49 are
    8.18 of those, which saturate at 7."""
    network = tiny("int4")
    (y,) = network.outputs
    stored = execute_stored(network, {"a": np.array([[4.0, 1.0]])})
    assert stored["a"].values.tolist() == [[7, 2]]
    assert stored[y].values.tolist() == [[7, 0]]
    assert stored[y].encoding.scale == 4.75 / 7


def test_fixed_point_by_hand() -> None:
    """q3.4: sixteenths. 1.03125 ties to the even 16 (1.0); 1.0 * 1 + 0.25 is 20 sixteenths."""
    network = tiny("int8")
    (y,) = network.outputs
    stored = execute_stored(
        network, {"a": np.array([[1.03125, 0.0], [9.0, 9.0]])}, fixed_point=find_fixed_point("q3.4")
    )
    assert stored["a"].values.tolist() == [[16, 0], [127, 127]]
    assert stored[y].values.tolist() == [[20, 0], [127, 127]]


@pytest.mark.parametrize("bits", [8, 10, 16, 32])
def test_narrow_accumulators_wrap(bits: int) -> None:
    """127 * 127 * 2 is 32258: in 16 bits it stays, in 10 it is 514 less than 63 * 512, and so on."""
    g = GraphBuilder("wraps", dtype="int8")
    y = g.matmul(Label("m"), g.input("a", (1, 2)), g.weight("w", (2, 1), fan_in=2))
    network = with_values(g.build([y], SOURCE), w=[[1], [1]])
    half = 2 ** (bits - 1)
    held = (32258 + half) % (2 * half) - half
    found = execute_stored(network, {"a": np.array([[1.0, 1.0]])}, accumulator_bits=bits)
    # The result's scale is 2/127, so a unit of the sums is 1/254 of one of the results.
    assert found[y].values[0, 0] == round(held / 254)


@pytest.mark.parametrize("name", ["lenet300", "lenet5"])
@pytest.mark.parametrize("dtype", ["int8", "int4", "ternary", "binary"])
def test_it_computes_what_verification_does(name: str, dtype: str, tmp_path: Any) -> None:
    network = load_workload(name).astype(dtype)
    design = tmp_path / "wide.yaml"
    design.write_text(
        "name: wide\ndescription: Takes every format\ntechnology: {table: horowitz, node: 45 nm}\n"
        "kind: systolic\nclock: 1 GHz\narray:\n  rows: 64\n  cols: 64\n"
        "  cycles_per_row: {int8: 1, int4: 1, ternary: 1, binary: 1}\n"
        "activation_unit: {lanes: 64}\nweight_memory: {technology: ddr3, bandwidth: 8 GB/s}\n"
    )
    checked = verify(network, design)
    for output, reals in execute(network, {}).items():
        assert (checked.outputs[output] == reals).all()


@pytest.mark.parametrize("dtype", ["fp32", "fp8_e4m3", "int8", "ternary"])
def test_many_images_are_what_a_network_of_their_batch_computes(dtype: str) -> None:
    one, many = load_workload("lenet5").astype(dtype), load_workload("lenet5", batch=6).astype(dtype)
    given = images(one, 6)
    (y,) = one.outputs
    assert (execute(one, given)[y] == execute(many, given)[y]).all()
    assert for_inputs(one, given).operators == many.operators
    two = load_workload("lenet5", batch=2).astype(dtype)
    assert (execute(two, given)[y] == execute(many, given)[y]).all()


def test_every_image_keeps_to_itself() -> None:
    network = load_workload("lenet5")
    given = images(network, 4)
    together = activations(network, given)
    for i in range(4):
        alone = activations(network, {name: values[i : i + 1] for name, values in given.items()})
        for name, reals in alone.items():
            np.testing.assert_allclose(together[name][i : i + 1], reals, rtol=1e-12, atol=1e-12)


def every_operator() -> Workload:
    g = GraphBuilder("all", dtype="fp32")
    x = g.input("x", (2, 4, 6, 6))
    norm = [g.weight(n, (4,), n) for n in ("scale", "shift", "mean", "variance")]
    y = g.unary(Label("t"), g.batch_norm(Label("n"), g.lrn(Label("l"), x, 3), *norm), "tanh")
    y = g.concat(
        Label("c"), [y, g.pool(Label("p"), x, "max", (3, 3), stride=(1, 1), pad=(1, 1, 1, 1))], axis=1
    )
    y = g.slice(Label("s"), g.pad(Label("d"), y, (0, 0, 1, 0), (0, 0, 0, 1)), {2: (1, 7, 1)})
    y = g.combine(Label("add"), "add", [y, g.weight("offset", (8, 1, 1), "shift")])
    q = g.view(Label("q"), g.transpose(Label("tr"), y, (0, 2, 3, 1)), "reshape", (2, 42, 8))
    k = g.view(Label("k"), y, "reshape", (2, 8, 42))
    scores = g.softmax(Label("soft"), g.matmul(Label("qk"), q, k))
    mixed = g.matmul(Label("mix"), scores, q)
    flat = g.view(Label("f"), mixed, "flatten", (2, 336))
    return g.build([g.matmul(Label("out"), flat, g.weight("w", (336, 5), fan_in=336))], SOURCE)


def test_images_stack_through_every_operator() -> None:
    network = every_operator()
    given = images(network, 6)
    together = activations(network, given)
    for i in range(0, 6, 2):
        alone = activations(network, {name: values[i : i + 2] for name, values in given.items()})
        for name, reals in alone.items():
            first = i // 2 * reals.shape[0]
            np.testing.assert_allclose(
                together[name][first : first + reals.shape[0]], reals, rtol=1e-10, atol=1e-12
            )


def mixing(how: str) -> Workload:
    g = GraphBuilder("mixing", dtype="fp32")
    x = g.input("x", (2, 3))
    match how:
        case "softmax":
            y = g.softmax(Label("y"), x, axis=0)
        case "transpose":
            y = g.transpose(Label("y"), x, (1, 0))
        case "product":
            y = g.matmul(Label("y"), x, x, transpose_b=True)
        case "turned":
            y = g.matmul(Label("y"), x, g.weight("w", (2, 3), fan_in=2), transpose_a=True)
        case "concat":
            y = g.concat(Label("y"), [x, x], axis=0)
        case "slice":
            y = g.slice(Label("y"), x, {0: (0, 1, 1)})
        case "pad":
            y = g.pad(Label("y"), x, (1, 0), (0, 0))
        case _:
            y = g.combine(Label("y"), "add", [x, g.weight("w", (2, 3), "shift")])
    return g.build([y], SOURCE)


@pytest.mark.parametrize(
    "how", ["softmax", "transpose", "product", "turned", "concat", "slice", "pad", "constant"]
)
def test_images_that_would_mix_are_refused(how: str) -> None:
    network = mixing(how)
    assert execute(network, images(network, 2))
    with pytest.raises(UnsupportedError, match=r"operator .*y.* works across the first axis.*batch="):
        execute(network, images(network, 4))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"b": np.zeros((1, 2))}, "takes"),
        ({"a": np.zeros((1, 3))}, r"input 'a' of shape \[1, 3\]"),
        ({"a": np.zeros((0, 2))}, r"shape \[0, 2\]"),
        ({"a": np.zeros(2)}, r"shape \[2\]"),
        ({"a": np.array([[1.0, np.nan]])}, "not a finite number"),
        ({"a": np.array([["1", "2"]])}, "not a finite number"),
    ],
)
@pytest.mark.parametrize("go", [execute, activations])
def test_inputs_that_do_not_fit_are_refused(go: Any, given: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        go(tiny(), given)


def test_as_many_images_for_every_input() -> None:
    g = GraphBuilder("two", dtype="fp32")
    y = g.combine(Label("y"), "add", [g.input("a", (1, 2)), g.input("b", (1, 2))])
    network = g.build([y], SOURCE)
    for given in ({"a": np.zeros((3, 2))}, {"a": np.zeros((3, 2)), "b": np.zeros((2, 2))}):
        with pytest.raises(SpecError, match="as many images for each of its inputs"):
            execute(network, given)


def test_a_tensor_that_nothing_computes_cannot_be_kept() -> None:
    with pytest.raises(SpecError, match="neither receives nor computes a tensor 'w'"):
        execute_stored(tiny(), {}, keep=["w"])


def test_floats_need_wide_accumulators() -> None:
    with pytest.raises(UnsupportedError, match=r"accumulators\.width_bits to 32"):
        execute(tiny(), {}, accumulator_bits=24)


def test_hundreds_of_images_take_seconds() -> None:
    network = load_workload("digits_cnn").astype("int8")
    given = images(network, 360)
    before = time.perf_counter()
    execute(network, given)
    assert time.perf_counter() - before < 10  # half a second on two idle cores
