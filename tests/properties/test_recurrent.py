"""Any recurrent layer: what runs is exact, both timing paths agree, no time is below a bound, and a decoder
that begins with what an encoder leaves goes on where it stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.functional import activations
from hwsim.pipeline import run, verify
from hwsim.tensor.tensor import Distribution, Shape
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.recurrent_form import with_recurrent_form
from hwsim.workload.recurrent_layer import Beginning, RecurrentLayer, add_recurrent_layer
from tests.recurrent_layers import layer

FORMATS = Path(__file__).parents[1] / "formats.yaml"
SMALL = st.integers(1, 7)


@st.composite
def layers(draw: Any) -> Workload:
    cell = draw(st.sampled_from(["lstm", "gru", "rnn"]))
    begins, ends = draw(st.booleans()), draw(st.booleans())
    projection = draw(st.none() | SMALL) if cell == "lstm" else None
    both = ("state", "cell") if cell == "lstm" and projection is None else ("state",)
    return layer(
        cell, draw(st.sampled_from(["batched", "stepwise"])), steps=draw(SMALL), batch=draw(SMALL),
        hidden=draw(SMALL), features=draw(SMALL), bias=draw(st.booleans()),
        begins=("state, cell" if cell == "lstm" else "state") if begins else "",
        ends=both if ends else (), layers=draw(st.integers(1, 2)), bidirectional=draw(st.booleans()),
        peepholes=cell == "lstm" and draw(st.booleans()), projection=projection,
        reset_after=cell != "gru" or draw(st.booleans()), function=draw(
            st.sampled_from(["tanh", "relu"]) if cell == "rnn" else st.just("tanh")
        ),
    )  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(
    net=layers(), dataflow=st.sampled_from(["ws", "is", "os"]), rows=st.integers(1, 9),
    cols=st.integers(1, 9), dtype=st.sampled_from(["int8", "int16", "int4"]),
)  # fmt: skip
def test_any_layer_runs_exactly_on_any_array(
    net: Workload, dataflow: str, rows: int, cols: int, dtype: str
) -> None:
    overrides = [f"dataflow={dataflow}", f"array.rows={rows}", f"array.cols={cols}"]
    fast, events = (
        run(net, FORMATS, dtype=dtype, overrides=overrides, timing=timing) for timing in ("fast", "events")
    )
    assert (fast.trace.start_ps == events.trace.start_ps).all()
    assert fast.macs == fast.multiplications == net.macs
    assert verify(net, FORMATS, dtype=dtype, overrides=overrides).bit_exact


@settings(max_examples=30, deadline=None)
@given(net=layers(), design=st.sampled_from(["generic_x86", "v100"]))
def test_any_layer_runs_on_a_cpu_and_a_gpu(net: Workload, design: str) -> None:
    found = run(net, design, dtype="fp32")  # which is checked against its bounds
    assert found.macs == found.multiplications == net.macs


@settings(max_examples=40, deadline=None)
@given(net=layers())
def test_any_layer_computes_the_same_in_both_forms(net: Workload) -> None:
    draw = np.random.default_rng(1)
    x = {name: draw.standard_normal(net.tensors[name].shape) for name in net.inputs}
    stepwise = with_recurrent_form(net, "stepwise")
    flows = [activations(one, x) for one in (stepwise, with_recurrent_form(stepwise, "batched"))]
    for name in net.outputs:
        assert np.abs(flows[0][name] - flows[1][name]).max() < 1e-12


@settings(max_examples=25, deadline=None)
@given(cell=st.sampled_from(["lstm", "gru", "rnn"]), cut=st.integers(1, 5), stacked=st.integers(1, 3))
def test_a_layer_goes_on_where_another_stopped(cell: str, cut: int, stacked: int) -> None:
    """A sequence of six steps in one layer, and in two of the same weights, the second of which begins with
    what the first leaves: the same numbers."""
    whole, parts = (_sequence(cell, cuts, stacked) for cuts in ((6,), (cut, 6 - cut)))
    x = np.random.default_rng(4).standard_normal((6, 2, 3))
    wanted = activations(whole, {"x0": x})["cells0"]
    found = activations(parts, {"x0": x[:cut], "x1": x[cut:]})
    assert np.abs(found["cells0"] - wanted[:cut]).max() < 1e-12
    assert np.abs(found["cells1"] - wanted[cut:]).max() < 1e-12
    assert verify(parts, FORMATS, dtype="int8").bit_exact


def _sequence(cell: str, lengths: tuple[int, ...], stacked: int) -> Workload:
    """Layers of one set of weights, each of which begins with what the one before leaves."""
    g = GraphBuilder("sequence")

    def weigh(part: str, shape: Shape, distribution: Distribution, fan_in: int) -> str:
        return g.weight(part, shape, distribution, fan_in=fan_in)

    ends = ("state", "cell") if cell == "lstm" else ("state",)
    begin, outputs = Beginning(), []
    for i, length in enumerate(lengths):
        x, made = g.input(f"x{i}", (length, 2, 3)), RecurrentLayer(cell, 4, layers=stacked)
        outputs.append(add_recurrent_layer(g, Label(f"cells{i}"), x, made, weigh, begin, ends))
        begin = Beginning(*(f"cells{i}.{end}" for end in ends))
    return g.build(outputs, Source("builtin", "constructor", ""))
