"""Where a loaded workload's recurrent operators multiply their inputs, changed and changed back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.functional import activations
from hwsim.pipeline import run
from hwsim.tensor.storage import Quantisation
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.operators import Matmul, Operator, Recurrent
from hwsim.workload.recurrent_form import with_recurrent_form
from tests.recurrent_layers import CELLS, OPTIONS, layer

EVERY = {**OPTIONS, **{cell: (cell, {}) for cell in CELLS}, "no bias": ("lstm", {"bias": False})}


@pytest.mark.parametrize("option", EVERY)
def test_layers_of_one_form_become_those_of_the_other(option: str) -> None:
    cell, more = EVERY[option]
    batched, stepwise = (layer(cell, form, **more) for form in ("batched", "stepwise"))  # type: ignore[arg-type]
    found, back = with_recurrent_form(batched, "stepwise"), with_recurrent_form(stepwise, "batched")
    assert found.operators == stepwise.operators
    assert dict(found.tensors) == dict(stepwise.tensors)
    assert back.operators == batched.operators
    assert dict(back.tensors) == dict(batched.tensors)
    assert with_recurrent_form(found, "batched").content_hash == batched.content_hash
    assert with_recurrent_form(back, "stepwise").content_hash == stepwise.content_hash


@pytest.mark.parametrize("form", ["batched", "stepwise"])
def test_a_workload_of_that_form_is_left_as_it_is(form: Any) -> None:
    net = layer("lstm", form, peepholes=True)
    assert with_recurrent_form(net, form) is net
    skip = layer("gru", "absent")
    assert with_recurrent_form(skip, form) is skip


def test_both_forms_compute_the_same_and_cost_different_time() -> None:
    net = layer("gru", "batched", layers=2, bidirectional=True, dtype="fp32")
    other = with_recurrent_form(net, "stepwise")
    x = {"x": np.random.default_rng(2).standard_normal((5, 2, 7)).astype(np.float32)}
    assert np.abs(activations(net, x)["cells"] - activations(other, x)["cells"]).max() < 1e-12
    assert net.macs == other.macs
    times = [run(one, "generic_x86", dtype="fp32").timing.makespan_ps for one in (net, other)]
    assert times[0] < times[1]  # which launches one product more in every step


def test_operators_are_chosen_one_by_one() -> None:
    net = layer("lstm", "batched", layers=2)
    found = with_recurrent_form(net, "stepwise", lambda op: op.name == "cells")
    assert [type(op.problem) for op in found.operators] == [Matmul, Recurrent, Recurrent]


def product_and_cells(**more: Any) -> Workload:
    """A product with names of its own before a cell, or `more` than that."""
    g = GraphBuilder("net", dtype="fp32")
    w, r = g.weight("w", (16, 7)), g.weight("r", (16, 4))
    b, c = (g.weight(name, (16,), "bias") for name in ("b", "c"))
    made = g.matmul(
        Label("before", "made", "whole"), g.input("x", (5, 2, 7)), w, "" if more.get("plain") else b,
        transpose_b=True, alpha=more.get("alpha", 1.0),
    )  # fmt: skip
    out = g.recurrent(Label("cells", "", "whole"), made, r, state_bias=c, cell="lstm")
    outputs = [out, made] if more.get("seen") else [out]
    return g.build(outputs, Source("builtin", "constructor", ""))


def test_names_of_a_product_come_back() -> None:
    net = product_and_cells()
    found = with_recurrent_form(net, "stepwise")
    assert [op.name for op in found.operators] == ["cells"]
    assert found.operators[0].inputs == ("x", "r", "w", "c", "b")
    assert with_recurrent_form(found, "batched").operators == net.operators


@pytest.mark.parametrize("more", [{"plain": True}, {"alpha": 2.0}, {"seen": True}])
def test_other_products_stay(more: dict[str, Any]) -> None:
    net = product_and_cells(**more)
    assert with_recurrent_form(net, "stepwise") is net


def test_a_grid_between_is_not_lost() -> None:
    net = layer("lstm", "batched")
    between = net.operators[0].output
    grid = replace(net.tensors[between], quantisation=Quantisation((0.1,), (0,)))
    net = replace(net, tensors={**net.tensors, between: grid})
    with pytest.raises(SpecError, match="choose the form of its inputs before quantising"):
        with_recurrent_form(net, "stepwise")


def test_names_that_are_taken_and_other_forms_are_refused() -> None:
    net = layer("lstm", "stepwise")
    taken = Operator("cells.inputs", net.operators[0].problem, net.operators[0].inputs, "other")
    tensors = {**net.tensors, "other": replace(net.tensors["cells"], name="other")}
    both = replace(net, operators=(*net.operators, taken), tensors=tensors)
    with pytest.raises(SpecError, match=r"'cells\.inputs' is there already"):
        with_recurrent_form(both, "batched", lambda op: op.name == "cells")
    with pytest.raises(SpecError, match="the form is 'lazy': it must be one of batched, stepwise"):
        with_recurrent_form(net, "lazy")  # type: ignore[arg-type]
