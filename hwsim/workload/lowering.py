"""Choices of lowering, made on a loaded workload: attention fused or as plain products, convolutions as
products with explicit patches, pointwise functions fused or apart. Each turns a Workload into another that
computes the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from hwsim.tensor.tensor import Shape, Tensor
from hwsim.workload.functions import LINEAR_STEPS
from hwsim.workload.graph import Workload
from hwsim.workload.operators import (
    Attention,
    Attributes,
    Conv2d,
    Elementwise,
    Matmul,
    Move,
    Operator,
    OperatorProblem,
    Softmax,
    Step,
    View,
)


@dataclass(frozen=True, slots=True)
class Part:
    """One operator that stands for part of another, and the shape of what it makes."""

    name: str
    problem: OperatorProblem
    inputs: tuple[str, ...]
    shape: Shape
    attributes: Attributes = ()
    epilogue: tuple[Step, ...] = ()


Parts = Callable[[Operator, Mapping[str, Tensor]], tuple[Part, ...]]


def plain_attention(workload: Workload, where: Callable[[Operator], bool] | None = None) -> Workload:
    """Fused attention, of operators that `where` chooses (all without), as a product of queries and keys, a
    softmax, and a product with the values: the scores become a tensor. The products are whole, whatever a
    mask leaves out; the layer's own MACs stay those of pairs that see one another."""

    def parts(op: Operator, tensors: Mapping[str, Tensor]) -> tuple[Part, ...]:
        del tensors
        if not isinstance(op.problem, Attention) or (where is not None and not where(op)):
            return ()
        return _attention_parts(op, op.problem)

    return _rewritten(workload, parts)


def _attention_parts(op: Operator, problem: Attention) -> tuple[Part, ...]:
    p = problem
    q, k, v, *mask = op.inputs
    group = p.H // p.G
    batch, rows = p.B * p.G, group * p.Q
    found: list[Part] = []

    def add(part: str, made: OperatorProblem, inputs: tuple[str, ...], shape: Shape,
            attributes: Attributes = ()) -> str:  # fmt: skip
        name = f"{op.name}.{part}" if part else op.name
        found.append(Part(name, made, inputs, shape, attributes))
        return name

    def seen_as(part: str, x: str, shape: Shape) -> str:
        """Heads that share keys are more rows of one product; with none that do, nothing changes."""
        return add(part, View("reshape", math.prod(shape)), (x,), shape) if group > 1 else x

    def own_macs(size: int) -> Attributes:
        whole = p.pairs == p.Q * p.S
        return () if whole else (("problem_macs", p.B * p.H * p.pairs * size),)

    q = seen_as("queries", q, (p.B, p.G, rows, p.D))
    given: Attributes = (*own_macs(p.D), ("trans_b", True))
    x = add("scores", Matmul(batch, rows, p.S, p.D), (q, k), (p.B, p.G, rows, p.S), given)
    if mask:
        x = seen_as("heads", x, (p.B, p.H, p.Q, p.S))
    shape = (p.B, p.H, p.Q, p.S) if mask else (p.B, p.G, rows, p.S)
    given = (
        ("axis", 3),
        *((("causal", True),) if p.causal else ()),
        ("flattened", False),
        ("queries", p.Q),
        *((name, value) for name, value in op.attributes if name == "scale"),
        *((("window", p.window),) if p.window else ()),
    )
    x = add("softmax", Softmax(p.B * p.H * p.Q, p.S, bool(mask)), (x, *mask), shape, given)
    if mask:
        x = seen_as("groups", x, (p.B, p.G, rows, p.S))
    last = "values" if group > 1 else ""
    x = add(last, Matmul(batch, rows, p.V, p.S), (x, v), (p.B, p.G, rows, p.V), own_macs(p.V))
    seen_as("", x, (p.B, p.H, p.Q, p.V))
    return tuple(found)


def explicit_patches(workload: Workload) -> Workload:
    """Convolutions in one group as a copy of the patches, one row each, a product with the weights, and a
    copy back to channels first (im2col). Grouped ones stay as they are, and so do those whose weights someone
    else reads."""
    chosen = {
        op.name
        for op in workload.operators
        if isinstance(op.problem, Conv2d) and op.problem.groups == 1 and _own_weight(workload, op)
    }
    weights = {
        op.inputs[1]: op.problem
        for op in workload.operators
        if op.name in chosen and isinstance(op.problem, Conv2d)
    }
    tensors = dict(workload.tensors)
    for name, problem in weights.items():
        shape = (problem.K, problem.C * problem.R * problem.S)
        tensors[name] = replace(tensors[name], shape=shape)

    def parts(op: Operator, tensors: Mapping[str, Tensor]) -> tuple[Part, ...]:
        del tensors
        if op.name not in chosen or not isinstance(op.problem, Conv2d):
            return ()
        return _patch_parts(op, op.problem)

    return _rewritten(workload, parts, tensors)


def _own_weight(workload: Workload, op: Operator) -> bool:
    weight = workload.tensors[op.inputs[1]]
    return weight.role == "weight" and len(workload.consumers(weight.name)) == 1


def _patch_parts(op: Operator, p: Conv2d) -> tuple[Part, ...]:
    places, length = p.P * p.Q, p.C * p.R * p.S
    x, weight = op.inputs
    given: Attributes = (
        ("dilation", p.dilation), ("kernel", (p.R, p.S)), ("pad", p.pad), ("stride", p.stride),
    )  # fmt: skip
    patches = Part(
        f"{op.name}.patches", Move("im2col", p.N * places * length), (x,), (p.N, places, length), given
    )
    product = Part(
        f"{op.name}.product",
        Matmul(1, p.N * places, p.K, length),
        (patches.name, weight),
        (p.N, places, p.K),
        (("trans_b", True),),
        op.epilogue,
    )
    channels = Part(
        f"{op.name}.channels",
        Move("transpose", p.N * places * p.K),
        (product.name,),
        (p.N, p.K, places),
        (("perm", (0, 2, 1)),),
    )
    shape = (p.N, p.K, p.P, p.Q)
    seen = Part(op.name, View("reshape", math.prod(shape)), (channels.name,), shape)
    return patches, product, channels, seen


def functions_apart(workload: Workload) -> Workload:
    """Each pointwise function behind a product or combination as an operator of its own, which reads what the
    one before wrote. A bias stays, as part of the sum."""

    def parts(op: Operator, tensors: Mapping[str, Tensor]) -> tuple[Part, ...]:
        linear = [step.function in LINEAR_STEPS for step in op.epilogue]
        if all(linear):
            return ()
        shape = tensors[op.output].shape
        first = linear.index(False)
        kept, functions = op.epilogue[:first], op.epilogue[first:]
        if any(linear[first:]):
            return ()
        found = [Part(f"{op.name}.sum", op.problem, op.inputs, shape, op.attributes, kept)]
        for i, step in enumerate(functions):
            name = op.name if i == len(functions) - 1 else f"{op.name}.{step.function}"
            problem = Elementwise(step.function, math.prod(shape))
            found.append(Part(name, problem, (found[-1].name,), shape, step.attributes))
        return tuple(found)

    return _rewritten(workload, parts)


def fused_traffic_bytes(workload: Workload) -> tuple[int, int]:
    """How many pointwise functions are fused, and the bytes that this keeps from being written and read again
    between operators."""
    steps = moved = 0
    for op in workload.operators:
        functions = sum(step.function not in LINEAR_STEPS for step in op.epilogue)
        steps += functions
        moved += 2 * functions * workload.tensors[op.output].size_bytes
    return steps, moved


def _rewritten(workload: Workload, parts_of: Parts, tensors: Mapping[str, Tensor] | None = None) -> Workload:
    """`workload` with each operator for which there are parts replaced by them. The last part makes what the
    operator made; what lies between has its format, and its grid as well where the last parts only move it.
    The workload itself where there are none."""
    found = dict(workload.tensors if tensors is None else tensors)
    operators: list[Operator] = []
    changed = False
    for op in workload.operators:
        parts = parts_of(op, workload.tensors)
        if not parts:
            operators.append(op)
            continue
        changed = True
        renamed: dict[str, str] = {}
        moved = _only_moved(parts)
        for part in parts:
            output = op.output if part is parts[-1] else f"{op.output}{part.name.removeprefix(op.name)}"
            renamed[part.name] = output
            inputs = tuple(renamed.get(name, name) for name in part.inputs)
            if part is not parts[-1]:
                grid = found[op.output].quantisation if part.name in moved else None
                found[output] = Tensor(
                    output, part.shape, found[op.output].dtype, "activation", quantisation=grid
                )
            operators.append(
                Operator(part.name, part.problem, inputs, output, op.layer or op.name, part.epilogue,
                         part.attributes)
            )  # fmt: skip
    if not changed:
        return workload
    return replace(workload, operators=tuple(operators), tensors=MappingProxyType(found))


def _only_moved(parts: Sequence[Part]) -> set[str]:
    """Parts whose numbers are the result's, seen or laid out otherwise."""
    found = {parts[-1].name}
    for part in reversed(parts):
        if part.name in found and isinstance(part.problem, View | Move) and not part.epilogue:
            found.add(part.inputs[0])
    return found
