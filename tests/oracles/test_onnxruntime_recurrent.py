"""Recurrent layers in fp32 beside onnxruntime's LSTM, GRU and RNN on the same weights and inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from hwsim.functional import activations, execute
from hwsim.workload import Workload
from tests.recurrent_layers import layer

STEPS, BATCH, HIDDEN, FEATURES = 6, 3, 5, 4
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {"linear_before_reset": 1}),
    "rnn": ("RNN", {}),
}


def of_onnxruntime(net: Workload, cell: str, x: np.ndarray) -> np.ndarray:
    """The same layer as one ONNX node: its weights have a first axis of one direction."""
    kind, attributes = KINDS[cell]
    w, r, input_bias, state_bias = (
        np.asarray(net.values(name), dtype=np.float32)
        for name in ("input_weight", "state_weight", "input_bias", "state_bias")
    )
    constants = {"W": w[None], "R": r[None], "B": np.concatenate([input_bias, state_bias])[None]}
    node = helper.make_node(kind, ["X", *constants], ["Y"], hidden_size=HIDDEN, **attributes)
    graph = helper.make_graph(
        [node],
        "cells",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"X": x})
    return np.asarray(found)[:, 0]


@pytest.mark.parametrize(("cell", "function"), [*((cell, "tanh") for cell in KINDS), ("rnn", "relu")])
@pytest.mark.parametrize("form", ["batched", "stepwise"])
def test_layers_compute_what_onnxruntime_computes(
    cell: str, form: Any, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if function == "relu":
        monkeypatch.setitem(KINDS, "rnn", ("RNN", {"activations": ["Relu"]}))
    sizes = {"steps": STEPS, "batch": BATCH, "hidden": HIDDEN, "features": FEATURES}
    net = layer(cell, form, function=function, dtype="fp32", **sizes)  # type: ignore[arg-type]
    x = np.random.default_rng(11).standard_normal((STEPS, BATCH, FEATURES)).astype(np.float32)
    wanted = of_onnxruntime(net, cell, x)
    assert np.abs(wanted).max() > 0.1
    assert np.abs(activations(net, {"x": x})["cells"] - wanted).max() < 1e-5
    assert np.abs(execute(net, {"x": x})["cells"] - wanted).max() < 1e-5
