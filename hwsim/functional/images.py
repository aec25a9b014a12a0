"""A network for more inputs at once than its shapes were made for, so that accuracy over many images takes
one pass. Every tensor that depends on the input grows along its first axis; nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.graph import Workload
from hwsim.workload.operators import (
    Append,
    Attention,
    Conv2d,
    Elementwise,
    Fold,
    Gather,
    Lrn,
    Matmul,
    Move,
    Norm,
    Operator,
    OperatorProblem,
    Pool,
    Reduce,
    Resize,
    Softmax,
    View,
    WinogradTransform,
)
from hwsim.workload.winograd import keeps_sums, winograd_formats


def for_inputs(workload: Workload, inputs: Mapping[str, Array]) -> Workload:
    """`workload` with the first axis as long as that of `inputs`: a whole number of times its own, the same
    for all of them. Raises SpecError for other shapes, UnsupportedError for a network whose first axis is not
    that of independent inputs."""
    times = set()
    for name, values in inputs.items():
        shape = workload.tensors[name].shape if name in workload.inputs else ()
        fits = len(values.shape) == len(shape) > 0 and values.shape[1:] == shape[1:]
        if not fits or not values.shape[0] or values.shape[0] % shape[0]:
            wanted = {known: ["images", *workload.tensors[known].shape[1:]] for known in workload.inputs}
            raise SpecError(f"input {name!r} of shape {list(values.shape)}: {workload.name} takes {wanted}")
        times.add(values.shape[0] // shape[0])
    if times <= {1}:
        return workload
    missing = [name for name in workload.inputs if name not in inputs]
    if len(times) > 1 or missing:
        raise SpecError(
            f"{workload.name} needs as many images for each of its inputs ({', '.join(workload.inputs)})"
        )
    return _many(workload, times.pop())


def _many(workload: Workload, times: int) -> Workload:
    grows = {name: _grown(workload.tensors[name], times) for name in workload.inputs}
    operators = []
    between = winograd_formats(workload.operators, workload.dtype)
    for op in workload.operators:
        operators.append(replace(op, problem=_problem(op, workload.tensors, grows, times)))
        # Patches lie behind their places: the tiles of all images are the second axis.
        axis = 1 if op.output in between else 0
        grows[op.output] = _grown(workload.tensors[op.output], times, axis)
    parameters = {**workload.parameters, "batch": workload.batch * times}
    return replace(
        workload, operators=tuple(operators), tensors={**workload.tensors, **grows}, parameters=parameters
    )


def _grown(tensor: Tensor, times: int, axis: int = 0) -> Tensor:
    if not tensor.shape:
        raise UnsupportedError(f"tensor {tensor.name!r} has no axis along which images could lie")
    shape = (*tensor.shape[:axis], tensor.shape[axis] * times, *tensor.shape[axis + 1 :])
    return replace(tensor, shape=shape)


def _problem(
    op: Operator, tensors: Mapping[str, Tensor], grows: Mapping[str, Tensor], times: int
) -> OperatorProblem:
    """The problem of `op` for `times` as many images. Raises UnsupportedError where it would mix them."""
    problem = op.problem
    out = tensors[op.output].shape
    alone = _keeps_apart(op, out, tensors, grows)
    if keeps_sums(op) and isinstance(problem, Matmul):
        return replace(problem, M=problem.M * times)
    if alone and isinstance(problem, Conv2d | Pool | WinogradTransform | Resize | Fold):
        return replace(problem, N=problem.N * times)
    if alone and isinstance(problem, Attention):
        return replace(problem, B=problem.B * times)
    if alone and isinstance(problem, Elementwise | Lrn | Move | View):
        return replace(problem, elements=problem.elements * times)
    if alone and isinstance(problem, Softmax | Norm | Gather | Reduce):
        return replace(problem, rows=problem.rows * times)
    if alone and isinstance(problem, Matmul):
        shared = len(tensors[op.inputs[1]].shape) <= 2 and op.inputs[1] not in grows
        if shared and problem.B == 1:
            return replace(problem, M=problem.M * times)
        return replace(problem, B=problem.B * times)
    does = "works across the first axis"
    if isinstance(problem, Append):
        does = "fills a cache that was made for its own inputs"
    raise UnsupportedError(
        f"operator {op.name} ({op.kind}) {does}, so others cannot be stacked along the first axis: load the "
        "network with batch=... instead"
    )


def _keeps_apart(
    op: Operator, out: tuple[int, ...], tensors: Mapping[str, Tensor], grows: Mapping[str, Tensor]
) -> bool:
    """Whether what an operator makes of one image depends on that image alone."""
    given = dict(op.attributes)
    problem = op.problem
    ranks = {name: len(tensors[name].shape) for name in op.inputs}
    if isinstance(problem, Gather):  # in a table that all share, or along another axis of what grows
        table, places = (name in grows for name in op.inputs)
        return places != table and (given["axis"] == 0) == places
    if op.inputs[0] not in grows:
        return False
    if isinstance(problem, Conv2d | Matmul):
        a, b = op.inputs[:2]
        if b in grows:
            return isinstance(problem, Matmul) and ranks[a] == ranks[b] == len(out) > 2
        first = tensors[b].shape[0] if ranks[b] == ranks[a] > 2 else 1
        return isinstance(problem, Conv2d) or (
            ranks[a] > 1 and first == 1 and not (given.get("trans_a") and ranks[a] == 2)
        )
    if isinstance(problem, Elementwise) and problem.function != "batch_norm":
        leading = [tensors[name].shape[0] if ranks[name] == len(out) else 1 for name in op.inputs]
        return all(
            (ranks[name] == len(out) and first == out[0]) if name in grows else first == 1
            for name, first in zip(op.inputs, leading, strict=True)
        )
    if isinstance(problem, Softmax):
        return int(str(given.get("axis", -1))) % len(out) != 0 and _shared(op.inputs[1:], tensors, grows, out)
    if isinstance(problem, Attention):
        return all(name in grows for name in op.inputs[:3]) and _shared(op.inputs[3:], tensors, grows, out)
    if isinstance(problem, Append):
        return False
    if isinstance(problem, Norm | Reduce):
        axes = given.get("axes", (given.get("axis", 1),))
        return 0 not in np.asarray(axes).tolist()
    if isinstance(problem, View):
        return problem.function != "rows"  # which are places along the first axis
    if isinstance(problem, Move):
        return _moves_apart(problem, given, out, all(name in grows for name in op.inputs))
    return True


def _shared(
    masks: Sequence[str], tensors: Mapping[str, Tensor], grows: Mapping[str, Tensor], out: tuple[int, ...]
) -> bool:
    """Whether what is added to scores, if anything, is the same for all images, or grows with them."""
    for name in masks:
        shape = tensors[name].shape
        first = shape[0] if len(shape) == len(out) else 1
        if first != (out[0] if name in grows else 1) or (name in grows and len(shape) != len(out)):
            return False
    return True


def _moves_apart(problem: Move, given: Mapping[str, object], out: tuple[int, ...], all_grow: bool) -> bool:
    match problem.function:
        case "convert" | "im2col":
            return True
        case "concat":
            return all_grow and int(str(given["axis"])) % len(out) != 0
        case "transpose":
            return int(np.asarray(given["perm"])[0]) == 0
        case "pad":
            return not np.asarray(given["before"])[0] and not np.asarray(given["after"])[0]
        case "slice":
            return all(int(cut[0]) != 0 for cut in given["ranges"])  # type: ignore[attr-defined]
    return False
