"""A network whose layers low rank and Winograd replace: strides, padding, dilation, groups, bias and relu."""

from __future__ import annotations

import numpy as np

from hwsim.functional import activations
from hwsim.tensor.tensor import Array
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label

INPUT = (2, 8, 11, 9)


def layered() -> Workload:
    """c1: 3x3 with stride, uneven padding, dilation, bias and relu; c2: 3x3 in 4 groups; near: 3x3, 2 groups,
    stride 1, bias and relu; c3: 1x1 with stride; deep: depthwise 3x3; fc: linear with bias. Two images."""
    made = GraphBuilder("layered", dtype="fp32")

    def conv(name: str, x: str, outputs: int, window: tuple[int, int], bias: bool, **given: object) -> str:
        channels = made.shape(x)[1] // int(str(given.get("groups", 1)))
        shape = (outputs, channels, *window)
        weight = made.weight(f"{name}.weight", shape, "weight", fan_in=channels * window[0] * window[1])
        added = made.weight(f"{name}.bias", (outputs,), "bias") if bias else ""
        return made.conv2d(Label(name), x, weight, added, **given)  # type: ignore[arg-type]

    x = made.input("x", INPUT)
    x = conv("c1", x, 12, (3, 3), bias=True, stride=(2, 1), pad=(1, 0, 2, 1), dilation=(1, 2))
    x = made.unary(Label("relu1"), x, "relu")
    x = conv("c2", x, 8, (3, 3), bias=False, groups=4, pad=(1, 1, 1, 1))
    x = conv("near", x, 6, (3, 3), bias=True, groups=2, pad=(0, 1, 1, 1))
    x = made.unary(Label("relu2"), x, "relu")
    x = conv("c3", x, 10, (1, 1), bias=False, stride=(1, 2))
    x = conv("deep", x, 10, (3, 3), bias=False, groups=10, pad=(1, 1, 1, 1))
    size = int(np.prod(made.shape(x)[1:]))
    x = made.view(Label("flat"), x, "flatten", (INPUT[0], size))
    weight = made.weight("fc.weight", (7, size), "weight", fan_in=size)
    x = made.matmul(Label("fc"), x, weight, made.weight("fc.bias", (7,), "bias"), transpose_b=True)
    return made.build([x], Source("builtin", "constructor", ""), parameters={"batch": INPUT[0]})


def outputs(workload: Workload) -> Array:
    """The float64 flow's result on one fixed input."""
    x = np.random.default_rng(5).standard_normal(workload.tensors["x"].shape)
    return activations(workload, {"x": x})[workload.outputs[0]]


def difference(changed: Workload, original: Workload) -> float:
    """The largest difference of two networks' outputs, as a share of the largest output."""
    right = outputs(original)
    return float(np.abs(outputs(changed) - right).max() / np.abs(right).max())
