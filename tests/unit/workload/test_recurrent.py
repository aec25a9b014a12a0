"""Recurrent layers: their operators, sizes, weights and refusals, from code and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import SpecError
from hwsim.workload import Workload, load_workload, recurrent
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Matmul, Move, Recurrent
from tests.recurrent_layers import layer


def test_inputs_for_all_steps_are_one_product() -> None:
    net = layer("lstm", "batched")
    product, cells = net.operators
    assert product.problem == Matmul(1, 10, 16, 7)
    assert cells.problem == Recurrent("lstm", 2, 5, 4)
    assert [net.tensors[name].shape for name in cells.inputs] == [(5, 2, 16), (16, 4), (16,)]
    assert net.tensors[net.outputs[0]].shape == (5, 2, 4)
    assert {product.layer, cells.layer} == {"cells"}


@pytest.mark.parametrize(
    ("cell", "gates"),
    [("lstm", 4), ("gru", 3), ("rnn", 1)],
)
def test_macs_are_those_of_all_gates_and_steps(cell: str, gates: int) -> None:
    assert layer(cell, "absent").macs == 5 * 2 * gates * 4 * 4
    assert layer(cell, "stepwise").macs == 5 * 2 * gates * 4 * (4 + 7)
    assert layer(cell, "batched").macs == layer(cell, "stepwise").macs


def test_forms_have_the_same_weights() -> None:
    batched, stepwise = layer("gru", "batched"), layer("gru", "stepwise")
    for name in ("state_weight", "state_bias", "input_weight", "input_bias"):
        assert batched.tensors[name].shape == stepwise.tensors[name].shape
    assert batched.parameter_count == stepwise.parameter_count == 12 * 4 + 12 * 7 + 2 * 12
    assert stepwise.operators[0].inputs == ("x", "state_weight", "input_weight", "state_bias", "input_bias")


def test_weights_are_multiplied_and_biases_are_not() -> None:
    found = layer("lstm", "stepwise").astype("int16", "int8").tensors
    assert [found[n].dtype for n in ("x", "state_weight", "input_weight")] == ["int16", "int8", "int8"]
    assert [found[n].dtype for n in ("state_bias", "input_bias")] == ["int32", "int32"]


def test_the_batch_may_come_first() -> None:
    net = layer("rnn", "absent", batch_first=True)
    assert [type(op.problem) for op in net.operators] == [Move, Recurrent, Move]
    assert net.tensors[net.outputs[0]].shape == (2, 5, 4)


@pytest.mark.parametrize(
    ("cell", "form", "macs"),
    [("lstm", "absent", 4 * 64), ("gru", "batched", 3 * 64 * 2), ("rnn", "stepwise", 64 * 2)],
)
def test_a_workload_of_one_layer(cell: str, form: Any, macs: int) -> None:
    net = recurrent(cell, 8, 3, 6, form=form)
    assert net.macs == 3 * 6 * macs
    assert net.parameters["batch"] == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"cell": "elman"}, "cell is 'elman': it must be one of lstm, gru, rnn"),
        ({"form": "lazy"}, "form is 'lazy': it must be one of batched, stepwise, absent"),
        ({"hidden": 0}, "hidden is 0"),
        ({"steps": -1}, "steps is -1"),
        ({"features": 3}, "has 3 features where its inputs are not multiplied, and what is added .* needs 4"),
        ({"function": "relu"}, "a lstm has its own functions, not 'relu'"),
        ({"cell": "rnn", "function": "gelu"}, "a rnn takes the function tanh or relu, not 'gelu'"),
    ],
)
def test_a_workload_of_one_layer_refuses(given: dict[str, Any], told: str) -> None:
    sizes = {"cell": "lstm", "hidden": 4, "batch": 2, "steps": 3} | given
    with pytest.raises(SpecError, match=told):
        recurrent(**sizes)


def operands(x: tuple[int, ...] = (5, 2, 16), r: tuple[int, ...] = (16, 4)) -> tuple[GraphBuilder, str, str]:
    g = GraphBuilder("refused")
    return g, g.input("x", x), g.weight("r", r)


@pytest.mark.parametrize(
    ("shapes", "more", "told"),
    [
        ({"x": (5, 16)}, {}, r"takes \[steps, batch, features\] and got \[5, 16\]"),
        ({"r": (12, 4)}, {}, r"do not fit: a lstm takes \[4 x hidden, hidden\]"),
        ({"x": (5, 2, 7)}, {}, "has 7 features where its inputs are not multiplied"),
        ({}, {"skip": True}, "needs 4: the hidden size, for every gate"),
        ({}, {"input_weight": "r"}, r"must be \[16, 16\]"),
        ({}, {"state_bias": "r"}, "a bias of shape"),
        ({"x": (5, 2, 4)}, {"input_weight": "r", "state_bias": "b"}, "both or none"),
        ({"x": (5, 2, 4)}, {"input_weight": "r", "skip": True}, "skips the products of its inputs"),
    ],
)
def test_operands_that_do_not_fit_are_refused(shapes: Any, more: dict[str, Any], told: str) -> None:
    g, x, r = operands(**shapes)
    g.weight("b", (16,), "bias")
    with pytest.raises(SpecError, match=f"layer 'cells' .lstm.: .*{told}"):
        g.recurrent(Label("cells"), x, r, cell="lstm", **more)


def test_weights_that_the_network_computes_are_refused() -> None:
    g, x, r = operands()
    computed = g.unary(Label("computed"), r, "tanh")
    with pytest.raises(SpecError, match="must be constants"):
        g.recurrent(Label("cells"), x, computed, cell="lstm")


# -- in files --------------------------------------------------------------------------------------------

HEAD = "name: net\nparameters: {batch: 2}\ninput: {shape: [5, batch, 7]}\nlayers:\n"


def load(folder: Path, *layers: str, head: str = HEAD) -> Workload:
    path = folder / "net.yaml"
    path.write_text(head + "".join(f"  - {line}\n" for line in layers))
    return load_workload(path)


def test_layers_of_a_file(tmp_path: Path) -> None:
    net = load(
        tmp_path,
        "{kind: lstm, hidden: 2 * batch}",
        "{name: g, kind: gru, hidden: 3, input: stepwise, bias: false}",
        "{kind: rnn, hidden: 3, input: absent, function: relu}",
        "{kind: slice, axis: 0, start: 4, end: 5}",
    )
    cells = [op.problem for op in net.operators if isinstance(op.problem, Recurrent)]
    assert cells == [
        Recurrent("lstm", 2, 5, 4),
        Recurrent("gru", 2, 5, 3, I=4),
        Recurrent("rnn", 2, 5, 3, skip=True, function="relu"),
    ]
    assert net.tensors["g.input_weight"].shape == (9, 4)
    assert "g.state_bias" not in net.tensors
    assert net.tensors[net.outputs[0]].shape == (1, 2, 3)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{kind: lstm, hidden: 4, function: relu}", "is for kind rnn"),
        ("{kind: lstm}", "hidden"),
        ("{kind: gru, hidden: 0}", "at least 1"),
        ("{kind: gru, hidden: 4, input: absent}", "has 7 features"),
        ("{kind: gru, hidden: 4, input: eager}", "input"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_place(tmp_path: Path, written: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        load(tmp_path, written)
    assert "net.yaml:5" in str(caught.value)


def test_an_image_is_no_sequence(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"takes \[steps, batch, features\] and got \[1, 3, 8, 8\]: add a"):
        load(tmp_path, "{kind: gru, hidden: 4}", head="name: net\ninput: {shape: [1, 3, 8, 8]}\nlayers:\n")
