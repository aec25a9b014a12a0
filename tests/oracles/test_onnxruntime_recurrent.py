"""Recurrent layers in fp32 beside onnxruntime's LSTM, GRU and RNN on the same weights and inputs; and what
ONNX does not have, projections, beside loops over single numbers and beside PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hwsim.functional import activations, execute
from hwsim.workload import Workload
from tests.oracles.recurrent_loops import lstm_projected
from tests.recurrent_layers import layer

STEPS, BATCH, HIDDEN, FEATURES = 6, 3, 5, 4
SIZES = {"steps": STEPS, "batch": BATCH, "hidden": HIDDEN, "features": FEATURES}
KINDS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}
Arrays = dict[str, np.ndarray]


def given(net: Workload) -> Arrays:
    draw = np.random.default_rng(11)
    return {n: draw.standard_normal(net.tensors[n].shape).astype(np.float32) for n in net.inputs}


def of_onnxruntime(
    net: Workload | OneLayer, cell: str, x: Arrays, directions: int = 1, **attributes: Any
) -> Arrays:
    """The same layer as one ONNX node: its weights have a first axis of directions. Y as [steps, batch,
    directions x units], Y_h and Y_c."""
    prefixes = ("", "reverse.")[:directions]

    def stacked(*names: str) -> np.ndarray:
        parts = [[net.values(prefix + name) for name in names] for prefix in prefixes]
        return np.array([np.concatenate(of) for of in parts], dtype=np.float32)

    constants = {
        "W": stacked("input_weight"),
        "R": stacked("state_weight"),
        "B": stacked("input_bias", "state_bias"),
    }
    names = ["X", *constants, "", *("h0" if "h0" in x else "",), *("c0" if "c0" in x else "",)]
    if any("peepholes" in name for name in net.tensors):
        constants["P"] = stacked("peepholes")
        names.append("P")
    while not names[-1]:
        names.pop()
    results = ["Y", "Y_h", "Y_c"][: 3 if cell == "lstm" else 2]
    node = helper.make_node(KINDS[cell], names, results, hidden_size=HIDDEN, **attributes)
    received = {"X": x["x"], **{name: x[name] for name in ("h0", "c0") if name in x}}
    graph = helper.make_graph(
        [node],
        "cells",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, v.shape) for n, v in received.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in results],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = dict(zip(results, (np.asarray(one) for one in session.run(None, received)), strict=True))
    found["Y"] = np.moveaxis(found["Y"], 1, 2).reshape(STEPS, BATCH, -1)
    return found


def agrees(net: Workload, x: Arrays, wanted: Arrays) -> None:
    outputs = {"Y": "cells", "Y_h": "cells.state", "Y_c": "cells.cell"}
    flow, run = activations(net, x), execute(net, x)
    compared = 0
    for name, values in wanted.items():
        if outputs[name] in net.outputs:
            compared += 1
            assert np.abs(values).max() > 0.1
            assert flow[outputs[name]].shape == values.shape
            assert np.abs(flow[outputs[name]] - values).max() < 1e-5
            assert np.abs(run[outputs[name]] - values).max() < 1e-5
    assert compared == len(net.outputs)


@pytest.mark.parametrize(
    ("cell", "function"), [("lstm", "tanh"), ("gru", "tanh"), ("rnn", "tanh"), ("rnn", "relu")]
)
@pytest.mark.parametrize("form", ["batched", "stepwise"])
def test_layers_compute_what_onnxruntime_computes(cell: str, form: Any, function: str) -> None:
    net = layer(cell, form, function=function, dtype="fp32", **SIZES)  # type: ignore[arg-type]
    attributes: dict[str, Any] = {"linear_before_reset": 1} if cell == "gru" else {}
    if function == "relu":
        attributes["activations"] = ["Relu"]
    x = given(net)
    agrees(net, x, of_onnxruntime(net, cell, x, **attributes))


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("begins", ["", "state", "state, cell"])
@pytest.mark.parametrize(
    ("cell", "more", "attributes"),
    [
        ("lstm", {}, {}),
        ("lstm", {"peepholes": True}, {}),
        ("gru", {"reset_after": False}, {"linear_before_reset": 0}),
        ("gru", {}, {"linear_before_reset": 1}),
        ("rnn", {}, {}),
    ],
)
def test_options_compute_what_onnxruntime_computes(
    cell: str, more: dict[str, Any], attributes: dict[str, Any], begins: str, direction: str
) -> None:
    begins = begins if cell == "lstm" else begins.removesuffix(", cell")
    ends = ("state", "cell") if cell == "lstm" else ("state",)
    ways = {"reverse": direction == "reverse", "bidirectional": direction == "bidirectional"}
    net = layer(cell, "stepwise", dtype="fp32", begins=begins, ends=ends, **more, **ways, **SIZES)
    x, directions = given(net), 2 if ways["bidirectional"] else 1
    if direction == "bidirectional" and cell == "rnn":
        attributes = {**attributes, "activations": ["Tanh", "Tanh"]}
    agrees(net, x, of_onnxruntime(net, cell, x, directions, direction=direction, **attributes))


@pytest.mark.parametrize("peepholes", [False, True])
@pytest.mark.parametrize("size", [3, 7])
@pytest.mark.parametrize("form", ["batched", "stepwise"])
def test_a_projection_computes_what_loops_compute(form: Any, size: int, peepholes: bool) -> None:
    net = layer(
        "lstm", form, dtype="fp32", projection=size, peepholes=peepholes, begins="state, cell",
        ends=("state",), **SIZES,
    )  # fmt: skip
    x = given(net)
    bias = net.values("input_bias") + net.values("state_bias")
    p = net.values("peepholes") if peepholes else np.zeros(3 * HIDDEN)
    states, _ = lstm_projected(
        x["x"], net.values("input_weight"), net.values("state_weight"), bias, net.values("projection"), p,
        x["h0"][0], x["c0"][0],
    )  # fmt: skip
    assert states.shape == (STEPS, BATCH, size)
    agrees(net, x, {"Y": states, "Y_h": states[-1:]})


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_projection_computes_what_pytorch_computes(bidirectional: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    net = layer(
        "lstm", "stepwise", dtype="fp32", projection=3, layers=2, bidirectional=bidirectional,
        begins="state, cell", ends=("state",), **SIZES,
    )  # fmt: skip
    module = torch.nn.LSTM(FEATURES, HIDDEN, 2, bidirectional=bidirectional, proj_size=3)
    order = [0, 2, 3, 1]  # gates i f c o of PyTorch among i o f c
    with torch.no_grad():
        for number in range(2):
            for prefix, suffix in (("", ""), ("reverse.", "_reverse"))[: 1 + bidirectional]:
                for ours, theirs in (
                    ("input_weight", "weight_ih"), ("state_weight", "weight_hh"), ("input_bias", "bias_ih"),
                    ("state_bias", "bias_hh"), ("projection", "weight_hr"),
                ):  # fmt: skip
                    values = net.values(f"{number + 1}.{prefix}{ours}")
                    if ours != "projection":
                        values = np.concatenate([np.split(values, 4)[i] for i in order])
                    getattr(module, f"{theirs}_l{number}{suffix}").copy_(torch.tensor(np.array(values)))
        x = given(net)
        begin = torch.tensor(x["h0"]), torch.tensor(x["c0"])
        states, (last, _) = module(torch.tensor(x["x"]), begin)
    agrees(net, x, {"Y": states.numpy(), "Y_h": last.numpy()})


def test_stacked_layers_are_one_above_the_other() -> None:
    """Against two ONNX nodes, the second of which takes the states of the first."""
    net = layer("gru", "batched", dtype="fp32", layers=2, ends=("state",), **SIZES)
    x = given(net)
    below = layer("gru", "batched", dtype="fp32", **SIZES)
    values = {f"1.{name}": name for name in ("input_weight", "state_weight", "input_bias", "state_bias")}
    assert all(net.tensors[name].shape == below.tensors[other].shape for name, other in values.items())
    first = OneLayer(net, "1.")
    lower = of_onnxruntime(first, "gru", x, linear_before_reset=1)
    upper = of_onnxruntime(OneLayer(net, "2."), "gru", {"x": lower["Y"]}, linear_before_reset=1)
    agrees(net, x, {"Y": upper["Y"], "Y_h": np.concatenate([lower["Y_h"], upper["Y_h"]])})


class OneLayer:
    """The weights of one layer of a stack under the names of a single one."""

    def __init__(self, net: Workload, prefix: str) -> None:
        self.net, self.prefix = net, prefix
        self.tensors = {name.removeprefix(prefix): t for name, t in net.tensors.items()}

    def values(self, name: str) -> np.ndarray:
        return self.net.values(self.prefix + name)
