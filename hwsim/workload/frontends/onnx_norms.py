"""Layer norms and RMS norms among the operators of a graph, in the spellings of torch, optimum and tf2onnx:
by powers or products, divided or multiplied by the reciprocal, with scale and shift behind."""

from __future__ import annotations

from hwsim.workload.frontends.onnx_finder import Finder, Match, is_pointwise, near
from hwsim.workload.operators import Operator, Reduce


def find_norm(finder: Finder, op: Operator) -> Match | None:
    """(x - mean) / sqrt(variance + epsilon), and x / sqrt(mean square + epsilon), over the last axes, with
    the scale and the shift behind it."""
    core = _divided(finder, op)
    if core is None:
        return None
    numerator, root = core[0], finder.maker(core[1], "sqrt")
    total = finder.maker(root.inputs[0], "add") if root is not None else None
    if root is None or total is None or len(total.inputs) != 2:
        return None
    for side, other in (total.inputs, total.inputs[::-1]):
        epsilon = finder.number(other)
        mean = finder.makers.get(finder.behind(side))
        if epsilon is None or epsilon < 0 or mean is None or not _is_mean(mean):
            continue
        deviation, within = _square(finder, mean.inputs[0])
        if deviation is None:
            continue
        within += [op, *core[2], root, total, mean]
        return _scaled_norm(finder, op, numerator, deviation, mean, epsilon, within)
    return None


def _divided(finder: Finder, op: Operator) -> tuple[str, str, list[Operator]] | None:
    """(numerator, root, operators) of a division by a root, or of a product with its reciprocal."""
    if is_pointwise(op, "div"):
        return op.inputs[0], op.inputs[1], []
    if is_pointwise(op, "mul") and len(op.inputs) == 2:
        for side, other in (op.inputs, op.inputs[::-1]):
            if (inverse := finder.maker(other, "reciprocal")) is not None:
                return side, inverse.inputs[0], [inverse]
            inverse = finder.maker(other, "div")
            if inverse is not None and near(finder.number(inverse.inputs[0]), 1.0):
                return side, inverse.inputs[1], [inverse]
    return None


def _is_mean(op: Operator) -> bool:
    return isinstance(op.problem, Reduce) and op.problem.function == "mean" and not op.epilogue


def _square(finder: Finder, name: str) -> tuple[str | None, list[Operator]]:
    """What is squared, and by which operators."""
    op = finder.makers.get(finder.behind(name))
    if op is not None and is_pointwise(op, "pow") and finder.number(op.inputs[1]) == 2:
        return op.inputs[0], [op]
    if op is not None and is_pointwise(op, "mul") and len(op.inputs) == 2 and finder.same(*op.inputs):
        return op.inputs[0], [op]
    return None, []


def _scaled_norm(
    finder: Finder, op: Operator, numerator: str, deviation: str, mean: Operator, epsilon: float,
    within: list[Operator],
) -> Match | None:  # fmt: skip
    x, function = numerator, "rms_norm"
    if not finder.same(numerator, deviation) or finder.maker(numerator, "sub") is not None:
        centred = [finder.maker(name, "sub") for name in (numerator, deviation)]
        for one in centred:
            middle = finder.makers.get(finder.behind(one.inputs[1])) if one is not None else None
            if one is None or middle is None or not _is_mean(middle):
                return None
            if not finder.same(middle.inputs[0], one.inputs[0]) or not _same_axes(middle, mean):
                return None
            within += [one, middle]
            x, function = one.inputs[0], "layer_norm"
        sources = [one.inputs[0] for one in centred if one is not None]
        if not finder.same(*sources):
            return None
    shape = finder.builder.shape(x)
    axes = dict(mean.attributes)["axes"]
    assert isinstance(axes, tuple)
    if not dict(mean.attributes)["keepdims"] or axes != tuple(range(len(shape) - len(axes), len(shape))):
        return None
    normed = shape[axes[0] :]
    last, scale = _behind(finder, op, "mul", normed, within)
    last, shift = (
        _behind(finder, last, "add", normed, within) if scale and function == "layer_norm" else (last, "")
    )
    closed = finder.closed(last, within)
    if closed is None:
        return None
    return Match(
        "layer norm" if function == "layer_norm" else "RMS norm", last, closed,
        lambda b, label: b.norm(label, x, function, scale, shift, axis=axes[0], epsilon=epsilon),
    )  # fmt: skip


def _same_axes(first: Operator, second: Operator) -> bool:
    given = [dict(op.attributes) for op in (first, second)]
    return given[0]["axes"] == given[1]["axes"] and bool(given[0]["keepdims"])


def _behind(
    finder: Finder, op: Operator, function: str, shape: tuple[int, ...], within: list[Operator]
) -> tuple[Operator, str]:
    """The operator behind `op` that joins a constant of that shape to it, and the constant; else `op`."""
    after = finder.reader(op.output)
    if after is None or not is_pointwise(after, function) or len(after.inputs) != 2:
        return op, ""
    for name in after.inputs:
        tensor = finder.builder.tensors[name]
        if tensor.role in ("weight", "constant") and tensor.shape == shape:
            within.append(after)
            return after, name
    return op, ""
