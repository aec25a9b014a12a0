"""Recurrent layers: their operators, sizes, weights and refusals, from code and from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwsim.errors import SpecError
from hwsim.workload import Workload, load_workload, recurrent
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Matmul, Move, Recurrent, View
from hwsim.workload.recurrent import RecurrentParts, recurrent_parts
from hwsim.workload.recurrent_layer import Beginning, RecurrentLayer, add_recurrent_layer
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


@pytest.mark.parametrize("form", ["absent", "stepwise"])
def test_macs_and_parameters_of_a_projection(form: Any) -> None:
    """As Sak et al. 2014 count them: n_i n_c 4 + n_r n_c 4 + n_c n_r, and n_c 3 with peepholes."""
    net = layer("lstm", form, projection=3, peepholes=True, bias=False)
    inputs = 7 * 4 * 4 if form == "stepwise" else 0
    assert net.parameter_count == inputs + 3 * 4 * 4 + 4 * 3 + 3 * 4
    assert net.macs == 5 * 2 * (inputs + 3 * 4 * 4 + 4 * 3)
    [cells] = net.operators
    assert isinstance(cells.problem, Recurrent)
    assert net.tensors["cells"].shape == (5, 2, 3)
    assert cells.problem.states == 2 * (3 + 4 + 4)  # the state, the cell, and what is projected
    assert cells.problem.sums == 2 * (4 * 4 * (2 if inputs else 1) + 3)


def test_a_gru_that_resets_its_state_has_two_products_of_it() -> None:
    [before] = layer("gru", "stepwise", reset_after=False).operators
    [after] = layer("gru", "stepwise").operators
    assert isinstance(before.problem, Recurrent)
    assert before.problem.products == (("input", 12, 7), ("state", 8, 4), ("hidden", 4, 4))
    assert before.macs == after.macs


def test_operands_are_found_by_what_they_are() -> None:
    net = layer("lstm", "stepwise", projection=3, peepholes=True, begins="state, cell")
    [cells] = net.operators
    assert isinstance(cells.problem, Recurrent)
    assert recurrent_parts(cells.problem, cells.inputs) == RecurrentParts(
        "x", "state_weight", "input_weight", "projection", "state_bias", "input_bias", "peepholes", "h0", "c0"
    )
    [plain] = layer("rnn", "absent", bias=False, begins="state").operators
    assert isinstance(plain.problem, Recurrent)
    assert recurrent_parts(plain.problem, plain.inputs) == RecurrentParts(
        "x", "state_weight", initial_state="h0"
    )


def test_peepholes_and_beginnings_are_not_multiplied() -> None:
    net = layer("lstm", "absent", peepholes=True, begins="constant state, cell").astype("int8")
    wide = {net.tensors[name].dtype for name in ("peepholes", "h0", "c0", "state_bias")}
    assert wide == {"int32"}


def test_what_steps_leave_is_seen_and_not_copied() -> None:
    net = layer("lstm", "absent", ends=("state", "cell"))
    assert [type(op.problem) for op in net.operators] == [Recurrent, View, View, View, View, View]
    assert [net.tensors[name].shape for name in net.outputs] == [(5, 2, 4), (1, 2, 4), (1, 2, 4)]
    rows = {op.output: dict(op.attributes).get("rows") for op in net.operators}
    assert rows["cells"] == (0, 5)
    assert (rows["cells.last_cell"], rows["cells.last_state"]) == ((5, 6), (4, 5))
    back = layer("lstm", "absent", ends=("state",), reverse=True)
    assert {op.output: dict(op.attributes).get("rows") for op in back.operators}["cells.last_state"] == (0, 1)


def test_a_stack_that_goes_both_ways() -> None:
    net = layer(
        "lstm", "stepwise", layers=2, bidirectional=True, begins="state, cell", ends=("state", "cell")
    )
    cells = [op.problem for op in net.operators if isinstance(op.problem, Recurrent)]
    assert [(one.I, one.reverse) for one in cells] == [(7, False), (7, True), (8, False), (8, True)]
    assert all(one.initial_state and one.initial_cell and one.keeps_cell for one in cells)
    assert net.tensors["cells"].shape == (5, 2, 8)
    assert net.tensors["cells.state"].shape == net.tensors["cells.cell"].shape == (4, 2, 4)
    assert "2.reverse.input_weight" in net.tensors
    begun = {op.output: dict(op.attributes)["rows"] for op in net.operators if "initial" in op.name}
    assert begun["cells.2.reverse.initial_state"] == (3, 4)


@pytest.mark.parametrize(
    ("cell", "more", "told"),
    [
        ("gru", {"peepholes": True}, "a gru has no cell state, so peepholes cannot be given"),
        ("rnn", {"projection": 3}, "a rnn has no cell state, so a projection cannot be given"),
        ("gru", {"begins": "state, cell"}, "so an initial cell cannot be given"),
        ("gru", {"ends": ("cell",)}, "so a cell to keep cannot be given"),
        ("lstm", {"ends": ("cell",), "projection": 3}, "keeps its last cell as a row of the states"),
        ("lstm", {"reset_after": False}, "a lstm resets nothing: reset_after is for a gru"),
        ("lstm", {"bidirectional": True, "reverse": True}, "goes both ways if it is bidirectional"),
        ("lstm", {"layers": 0}, "layers is 0: there must be 1 to 1,000"),
        ("lstm", {"projection": 0}, "projection is 0: it must be at least 1"),
        ("rnn", {"bidirectional": True, "layers": 2}, "has 8 features where its inputs are not multiplied"),
    ],
)
def test_options_that_do_not_fit_are_refused(cell: str, more: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        layer(cell, "absent", **more)


@pytest.mark.parametrize(
    ("state", "cells", "told"),
    [
        ((2, 2, 4), 1, r"an initial state of shape \[2, 2, 4\] does not fit 2 sequences of 4"),
        ((2, 5), 1, r"an initial state of shape \[2, 5\] does not fit 2 sequences of 4"),
        (
            (2, 4),
            2,
            r"an initial state of shape \[2, 4\] does not fit 2 cells: it must be \[2, batch, size\]",
        ),
    ],
)
def test_beginnings_that_do_not_fit_are_refused(state: tuple[int, ...], cells: int, told: str) -> None:
    g = GraphBuilder("refused")
    x, h = g.input("x", (5, 2, 4)), g.input("h", state)
    made = RecurrentLayer("rnn", 4, "absent", layers=cells)
    with pytest.raises(SpecError, match=told):
        add_recurrent_layer(g, Label("cells"), x, made, lambda part, *a: g.weight(part, a[0]), Beginning(h))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"projection": "v"}, r"do not fit a projection of shape \[3, 5\]"),
        ({"peepholes": "v"}, r"peepholes of shape \[3, 5\] does not fit 3 gates of 4"),
    ],
)
def test_small_operands_that_do_not_fit_are_refused(given: dict[str, str], told: str) -> None:
    g, x, r = operands()
    g.weight("v", (3, 5))
    with pytest.raises(SpecError, match=f"layer 'cells' .lstm.: .*{told}"):
        g.recurrent(Label("cells"), x, r, cell="lstm", **given)


@pytest.mark.parametrize(("start", "end"), [(2, 2), (-1, 1), (0, 6)])
def test_rows_that_are_not_there_are_refused(start: int, end: int) -> None:
    g = GraphBuilder("refused")
    with pytest.raises(SpecError, match=f"rows {start} to {end} are not in"):
        g.rows(Label("rows"), g.input("x", (5, 2)), start, end)


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
        ("{kind: gru, hidden: 4, peepholes: true}", "is for kind lstm"),
        ("{kind: gru, hidden: 4, projection: 2}", "is for kind lstm"),
        ("{kind: lstm, hidden: 4, reset_after: false}", "is for kind gru"),
        ("{kind: lstm, hidden: 4, projection: 0}", "projection is 0"),
        ("{kind: lstm, hidden: 4, layers: 0}", "layers is 0"),
        ("{kind: lstm, hidden: 4, bidirectional: true, reverse: true}", "is half of a bidirectional layer"),
        ("{kind: gru, hidden: 4, inputs: [input, input, input]}", "takes at most a sequence and a state"),
        ("{kind: gru, hidden: 4, inputs: [input, input]}", "an initial state of shape"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_place(tmp_path: Path, written: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        load(tmp_path, written)
    assert "net.yaml:5" in str(caught.value)


def test_an_image_is_no_sequence(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"takes \[steps, batch, features\] and got \[1, 3, 8, 8\]: add a"):
        load(tmp_path, "{kind: gru, hidden: 4}", head="name: net\ninput: {shape: [1, 3, 8, 8]}\nlayers:\n")


TRANSLATION = """
name: translation
inputs: {source: {shape: [6, 2, 8]}, target: {shape: [4, 2, 8]}}
layers:
  - {name: encoder, kind: lstm, hidden: 5, layers: 2, inputs: [source]}
  - {name: decoder, kind: lstm, hidden: 5, layers: 2, inputs: [target, encoder.state, encoder.cell]}
"""


def test_a_decoder_begins_with_what_the_encoder_leaves(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(TRANSLATION)
    net = load_workload(path)
    cells = {op.name: op.problem for op in net.operators if isinstance(op.problem, Recurrent)}
    assert [one.keeps_cell for one in cells.values()] == [True, True, False, False]
    assert [one.initial_state and one.initial_cell for one in cells.values()] == [False, False, True, True]
    assert net.outputs == ("decoder",)
    assert net.tensors["encoder.state"].shape == net.tensors["encoder.cell"].shape == (2, 2, 5)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("kind: lstm, hidden: 5, layers: 2, inputs: [source]", "kind: gru, hidden: 5, inputs: [source]",
         "a gru has no cell: take its last state"),
        ("encoder.state", "encoder.stat", "'encoder.stat'"),
        ("kind: lstm, hidden: 5, layers: 2, inputs: [source]", "kind: relu, inputs: [source]",
         "only lstm, gru, rnn layers leave a last state, and it is a relu"),
        ("layers: 2, inputs: [target", "inputs: [target", r"an initial state of shape \[2, 2, 5\]"),
    ],
)  # fmt: skip
def test_ends_that_are_not_there_are_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(TRANSLATION.replace(old, new))
    with pytest.raises(SpecError, match=told) as caught:
        load_workload(path)
    assert "net.yaml:" in str(caught.value)


def test_options_of_a_file(tmp_path: Path) -> None:
    net = load(
        tmp_path,
        "{name: a, kind: lstm, hidden: 2 * batch, peepholes: true, projection: 3, bidirectional: true}",
        "{name: b, kind: gru, hidden: 3, reset_after: false, reverse: true, batch_first: true}",
    )
    cells = [op.problem for op in net.operators if isinstance(op.problem, Recurrent)]
    assert cells == [
        Recurrent("lstm", 2, 5, 4, P=3, peepholes=True),
        Recurrent("lstm", 2, 5, 4, P=3, peepholes=True, reverse=True),
        Recurrent("gru", 5, 2, 3, reset_after=False, reverse=True),
    ]
    assert net.tensors["a.reverse.projection"].shape == (3, 4)
