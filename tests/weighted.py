"""Small networks whose weights a test writes down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwsim.tensor.tensor import Shape
from hwsim.workload import Operator, Step, Workload
from hwsim.workload.operators import Matmul, OperatorProblem
from hwsim.workload.weights import Given
from tests.networks import network

Numbers = Sequence[object] | np.ndarray


def weighted(
    inputs: Mapping[str, Shape],
    weights: Mapping[str, Numbers],
    operators: Sequence[tuple[Operator, Shape]],
    outputs: Sequence[str],
) -> Workload:
    """A network in fp32 whose weights hold the numbers given."""
    values = {name: np.array(numbers, dtype=np.float32) for name, numbers in weights.items()}
    found = network(inputs, {n: v.shape for n, v in values.items()}, operators, outputs, dtype="fp32")
    tensors = {
        name: replace(tensor, dtype="fp32", values=Given(values[name])) if name in values else tensor
        for name, tensor in found.tensors.items()
    }
    return replace(found, tensors=tensors)


def layer(problem: OperatorProblem, inputs: str, output: str, *functions: str) -> Operator:
    """An operator named after its output, with fused functions behind it; weights of products are
    [outputs, inputs]."""
    attributes = (("trans_b", True),) if isinstance(problem, Matmul) else ()
    steps = tuple(Step(function) for function in functions)
    return Operator(output, problem, tuple(inputs.split()), output, output, steps, attributes)


def linear_layers(*weights: Numbers, relu: bool = True) -> Workload:
    """x -> fc1 -> fc2 ..., weights [outputs, inputs], with a ReLU behind all but the last."""
    sizes = [np.array(numbers).shape for numbers in weights]
    operators: list[tuple[Operator, Shape]] = []
    source = "x"
    for i, (outputs, depth) in enumerate(sizes, 1):
        functions = ("relu",) if relu and i < len(sizes) else ()
        operators.append(
            (layer(Matmul(1, 1, outputs, depth), f"{source} w{i}", f"fc{i}", *functions), (1, outputs))
        )
        source = f"fc{i}"
    named = {f"w{i}": numbers for i, numbers in enumerate(weights, 1)}
    return weighted({"x": (1, sizes[0][1])}, named, operators, [source])
