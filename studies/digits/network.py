"""A hwsim Workload as a differentiable function in torch, so that what is trained is what hwsim runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch.nn import functional

from hwsim.workload import Workload
from hwsim.workload.operators import Conv2d, Elementwise, Matmul, Operator, Pool, Step

Weights = Mapping[str, torch.Tensor]
Activation = Callable[[str, torch.Tensor], torch.Tensor]


def trained_tensors(workload: Workload) -> dict[str, torch.Tensor]:
    """Every weight and bias by name, as something torch can train."""
    return {
        name: torch.tensor(workload.values(name), dtype=torch.float32).requires_grad_()
        for name, tensor in workload.tensors.items()
        if tensor.role == "weight"
    }


def forward(
    workload: Workload, weights: Weights, images: torch.Tensor, activation: Activation = lambda _, x: x
) -> torch.Tensor:
    """Scores [images, classes] of images [images, ...]. `activation` sees each result by tensor name, the
    network's input included, and may put it on a grid."""
    at: dict[str, torch.Tensor] = {name: activation(name, images) for name in workload.inputs}
    for op in workload.operators:
        operands = [at[name] if name in at else weights[name] for name in op.inputs]
        result = _result(op, operands)
        for step in op.epilogue:
            result = _step(step, result, weights, op)
        at[op.output] = activation(op.output, result)
    return at[workload.outputs[0]]


def _result(op: Operator, operands: list[torch.Tensor]) -> torch.Tensor:
    x = operands[0]
    match op.problem:
        case Conv2d() as c:
            top, left, bottom, right = c.pad
            padded = functional.pad(x, (left, right, top, bottom))
            return functional.conv2d(
                padded, operands[1], stride=c.stride, dilation=c.dilation, groups=c.groups
            )
        case Matmul():
            turned = dict(op.attributes).get("trans_b")
            return x @ (operands[1].T if turned else operands[1])
        case Pool(function="max") as p:
            return functional.max_pool2d(x, (p.R, p.S), p.stride)
    if op.kind == "view":
        return x.flatten(1)
    if isinstance(op.problem, Elementwise) and op.problem.function == "relu":
        return torch.relu(x)
    raise NotImplementedError(f"operator {op.name}: this study's networks have no {op.kind}")


def _step(step: Step, x: torch.Tensor, weights: Weights, op: Operator) -> torch.Tensor:
    if step.function == "relu":
        return torch.relu(x)
    if step.function == "bias":
        shape = (-1, 1, 1) if op.kind == "conv2d" else (-1,)
        return x + weights[step.tensor].reshape(shape)
    raise NotImplementedError(f"operator {op.name}: this study's networks have no {step.function}")
