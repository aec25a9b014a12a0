"""Networks put together operator by operator, without any front end: what tests of the machine run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwsim.tensor.tensor import Shape, Tensor
from hwsim.workload import Operator, Source, Step, Workload
from hwsim.workload.operators import Conv2d, Elementwise, Matmul, OperatorProblem, Softmax, View


def network(
    inputs: Mapping[str, Shape],
    weights: Mapping[str, Shape],
    operators: Sequence[tuple[Operator, Shape]],
    outputs: Sequence[str],
    *,
    dtype: str = "int8",
    batch: int = 1,
) -> Workload:
    """A workload of `operators`, each with the shape of its output. Biases are weights of one dimension."""
    tensors = {name: Tensor(name, shape, dtype, "input") for name, shape in inputs.items()}
    tensors |= {
        name: Tensor(name, shape, "int32" if len(shape) == 1 else dtype, "weight")
        for name, shape in weights.items()
    }
    for op, shape in operators:
        tensors[op.output] = Tensor(op.output, shape, dtype, "activation")
    return Workload(
        "small", tuple(op for op, _ in operators), tensors, tuple(inputs), tuple(outputs),
        Source("builtin", "constructor", ""), parameters={"batch": batch},
    )  # fmt: skip


def operator(problem: OperatorProblem, inputs: str, output: str) -> Operator:
    """An operator named after its output; `inputs` are separated by spaces."""
    return Operator(output, problem, tuple(inputs.split()), output)


def residual_network() -> Workload:
    """Two 1x1 convolutions with a residual add, a view and a product: x 64 bytes, c1, c2 and s 128, y 10."""
    return network(
        {"x": (1, 4, 4, 4)},
        {"w1": (8, 4, 1, 1), "w2": (8, 8, 1, 1), "w3": (128, 10)},
        [
            (operator(Conv2d(1, 4, 4, 4, 8, 1, 1, 4, 4), "x w1", "c1"), (1, 8, 4, 4)),
            (operator(Conv2d(1, 8, 4, 4, 8, 1, 1, 4, 4), "c1 w2", "c2"), (1, 8, 4, 4)),
            (operator(Elementwise("add", 128, 2), "c1 c2", "s"), (1, 8, 4, 4)),
            (operator(View("flatten", 128), "s", "flat"), (1, 128)),
            (operator(Matmul(1, 1, 10, 128), "flat w3", "y"), (1, 10)),
        ],
        ["y"],
    )


def sandwich() -> Workload:
    """A softmax between two products: x is 24 bytes, h and s 32, y 16."""
    return network(
        {"x": (4, 6)},
        {"w1": (6, 8), "w2": (8, 4)},
        [
            (operator(Matmul(1, 4, 8, 6), "x w1", "h"), (4, 8)),
            (operator(Softmax(4, 8), "h", "s"), (4, 8)),
            (operator(Matmul(1, 4, 4, 8), "s w2", "y"), (4, 4)),
        ],
        ["y"],
    )


def chain(*, relu: bool) -> Workload:
    """y = f(x w1) w2, all 2 x 2, where f is nothing or relu."""
    found = [(operator(Matmul(1, 2, 2, 2), "x w1", "h"), (2, 2))]
    if relu:
        found.append((operator(Elementwise("relu", 4), "h", "r"), (2, 2)))
    found.append((operator(Matmul(1, 2, 2, 2), f"{'r' if relu else 'h'} w2", "y"), (2, 2)))
    return network({"x": (2, 2)}, {"w1": (2, 2), "w2": (2, 2)}, found, ["y"])


def square() -> Workload:
    """y = h h with h = x w, all 2 x 2: the second operand of the second product is an activation."""
    found = [
        (operator(Matmul(1, 2, 2, 2), "x w", "h"), (2, 2)),
        (operator(Matmul(1, 2, 2, 2), "h h", "y"), (2, 2)),
    ]
    return network({"x": (2, 2)}, {"w": (2, 2)}, found, ["y"])


def with_bias() -> Workload:
    """matmul 2 x 2 x 2 whose bias of two int32 is loaded from memory."""
    op = replace(operator(Matmul(1, 2, 2, 2), "x w", "y"), epilogue=(Step("bias", "b"),))
    return network({"x": (2, 2)}, {"w": (2, 2), "b": (2,)}, [(op, (2, 2))], ["y"])
