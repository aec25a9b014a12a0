"""ONNX operators that only move elements, or see them under another shape: what each becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Array, check_shape, format_shape
from hwsim.units import counted
from hwsim.workload import shapes
from hwsim.workload.builder import Label
from hwsim.workload.frontends.onnx_arithmetic import broadcast
from hwsim.workload.frontends.onnx_constants import FLOAT_TYPES, gathered_places, slice_ranges
from hwsim.workload.frontends.onnx_context import Lowering, Whole
from hwsim.workload.frontends.onnx_graph import Node, small_constant, worked_constant

# Operators that leave whole numbers as they are, or see them under another shape.
_SEEN = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze")


def keeps_whole(at: Lowering, node: Node) -> bool:
    """Whether `node` only sees inputs of whole numbers in another shape: then nothing runs for it, and what
    reads its result decides what the numbers are."""
    found = at.whole.get(node.input(0))
    if found is None or node.type not in _SEEN:
        return False
    if node.type == "Cast" and node.integer("to", 1) in FLOAT_TYPES:
        return False
    at.whole[node.outputs[0]] = Whole(found.name, _seen_shape(at, node, found.shape), found.kind)
    return True


def _seen_shape(at: Lowering, node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    if node.type in ("Identity", "Cast"):
        return shape
    if node.type == "Flatten":
        return shapes.flattened(shape, node.integer("axis", 1))
    given = at.constant(node, 1, "shape")
    if node.type == "Reshape":
        target = given.integers("target shape") if given else node.integers("shape") or ()
        copies = not node.flag("allowzero")
        return shapes.reshaped(shape, rebatched(at, shape, target, copies=copies), zero_copies=copies)
    axes = given.integers("axes") if given else node.integers("axes")
    return shapes.squeezed(shape, axes) if node.type == "Squeeze" else shapes.unsqueezed(shape, axes or ())


def _concat(at: Lowering, node: Node) -> None:
    operands = [at.activation(node, index) for index in range(len(node.inputs))]
    at.builder.concat(at.label(node), operands, node.integer("axis", 1))


def _reshape(at: Lowering, node: Node) -> None:
    x = at.activation(node)
    given = at.constant(node, 1, "target shape")
    target = given.integers("target shape") if given else node.integers("shape") or ()
    copies = not node.integer("allowzero", 0)
    label = at.label(node)
    try:
        shape = shapes.reshaped(
            at.builder.shape(x), rebatched(at, at.builder.shape(x), target, copies=copies), zero_copies=copies
        )
    except SpecError as error:
        raise SpecError(f"layer {label.layer!r} (reshape): {error}") from None
    at.builder.view(label, x, "reshape", shape)


def rebatched(
    at: Lowering, before: tuple[int, ...], target: tuple[int, ...], *, copies: bool
) -> tuple[int, ...]:
    """Some exporters write the batch into the target shape. A leading size equal to the file's own batch is
    taken for it and follows the batch asked for, if the elements then fit."""
    if at.batch == at.old_batch or not target or target[0] != at.old_batch or before[:1] != (at.batch,):
        return target
    scaled = (at.batch, *target[1:])
    try:
        shapes.reshaped(before, scaled, zero_copies=copies)
    except SpecError:
        return target
    return scaled


def _flatten(at: Lowering, node: Node) -> None:
    x = at.activation(node)
    at.builder.view(
        at.label(node), x, "flatten", shapes.flattened(at.builder.shape(x), node.integer("axis", 1))
    )


def _transpose(at: Lowering, node: Node) -> None:
    x = at.activation(node)
    perm = node.integers("perm") or tuple(reversed(range(len(at.builder.shape(x)))))
    at.builder.transpose(at.label(node), x, perm)


def _squeeze(at: Lowering, node: Node) -> None:
    x, given = at.activation(node), at.constant(node, 1, "axes")
    axes = given.integers("axes") if given else node.integers("axes")
    at.builder.view(at.label(node), x, "squeeze", shapes.squeezed(at.builder.shape(x), axes))


def _unsqueeze(at: Lowering, node: Node) -> None:
    x, given = at.activation(node), at.constant(node, 1, "axes")
    axes = given.integers("axes") if given else node.integers("axes") or ()
    at.builder.view(at.label(node), x, "unsqueeze", shapes.unsqueezed(at.builder.shape(x), axes))


def _same(function: str) -> Callable[[Lowering, Node], None]:
    """Dropout does nothing at inference, an identity nothing at all."""

    def lower(at: Lowering, node: Node) -> None:
        at.builder.view(at.label(node), at.activation(node), function)

    return lower


def _cast(at: Lowering, node: Node) -> None:
    """Between floating types nothing happens: formats are chosen for the whole workload."""
    if node.input(0) in at.truths:  # 0 and 1 are the same in every type
        at.truths.add(node.outputs[0])
    elif node.integer("to", 1) not in FLOAT_TYPES:
        raise UnsupportedError(f"node {node.name!r} (Cast) turns activations into another kind of number")
    at.builder.view(at.label(node), at.activation(node), "cast")


def _pad(at: Lowering, node: Node) -> None:
    x = at.activation(node)
    rank = len(at.builder.shape(x))
    given, fill, axes = (at.constant(node, i, what) for i, what in ((1, "pads"), (2, "fill"), (3, "axes")))
    amounts = given.integers("pads") if given else node.integers("pads") or node.integers("paddings") or ()
    places = axes.integers("axes") if axes else tuple(range(rank))
    if len(amounts) != 2 * len(places):
        raise SpecError(f"node {node.name!r} (Pad) has {len(amounts)} pads for {len(places)} axes")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(places):
        place = shapes.axis_of(axis, rank)
        before[place], after[place] = amounts[i], amounts[i + len(places)]
    number = fill.number("fill") if fill else node.number("value", 0.0)
    at.builder.pad(at.label(node), x, before, after, mode=node.text("mode", "constant"), fill=number)


def _slice(at: Lowering, node: Node) -> None:
    x = at.activation(node)
    given = [c for i in range(1, len(node.inputs)) if (c := at.constant(node, i, "range")) is not None]
    at.builder.slice(at.label(node), x, slice_ranges(node, given, len(at.builder.shape(x))))


def _split(at: Lowering, node: Node) -> None:
    x, given = at.activation(node), at.constant(node, 1, "sizes")
    shape = at.builder.shape(x)
    axis = shapes.axis_of(node.integer("axis", 0), len(shape))
    sizes = given.integers("sizes") if given else node.integers("split")
    if sizes is None:  # equal parts; the last is smaller when they do not divide the axis
        part = -(-shape[axis] // len(node.outputs))
        sizes = (*(part,) * (len(node.outputs) - 1), shape[axis] - part * (len(node.outputs) - 1))
    if len(sizes) != len(node.outputs) or sum(sizes) != shape[axis]:
        raise SpecError(f"node {node.name!r} (Split) cuts an axis of {shape[axis]} into {list(sizes)} for "
                        f"{counted(len(node.outputs), 'output')}")  # fmt: skip
    label, start = at.label(node), 0
    for index, (output, size) in enumerate(zip(node.outputs, sizes, strict=True)):
        if output:
            part_label = Label(f"{label.name}.{index}", output, label.layer)
            at.builder.slice(part_label, x, {axis: (start, start + size, 1)})
        start += size


def _gather(at: Lowering, node: Node) -> None:
    """An embedding's lookup; or, with constant indices, a slice of what is there."""
    index = node.input(1)
    axis = node.integer("axis", 0)
    if index in at.constants:
        _pick(at, node, at.activation(node), axis)
        return
    if index not in at.whole:
        raise UnsupportedError(
            f"node {node.name!r} (Gather) looks up at indices that the network computes; hwsim takes those "
            "that it receives, or constant ones"
        )
    table = at.shape(node.input(0))
    axis = shapes.axis_of(axis, len(table))
    found = at.whole[index]
    label = at.label(node, node.input(0))
    at.weight(node.input(0), "weight", table[-1] if table else 1)
    places = at.indices(index, table[axis])
    seen = (*table[:axis], *found.shape, *table[axis + 1 :])
    if seen == (*table[:axis], *at.builder.shape(places), *table[axis + 1 :]):
        at.builder.gather(label, node.input(0), places, axis)
        return
    rows = at.builder.gather(at.part(label, "rows"), node.input(0), places, axis)
    at.builder.view(label, rows, "reshape", seen)


def _pick(at: Lowering, node: Node, x: str, axis: int) -> None:
    shape = at.builder.shape(x)
    axis = shapes.axis_of(axis, len(shape))
    places = gathered_places(at.constants[node.input(1)], shape[axis])
    result = (*shape[:axis], *places.shape, *shape[axis + 1 :])
    flat, label = places.reshape(-1), at.label(node)
    if not flat.size:
        raise SpecError("it looks up nothing")
    step = int(flat[1] - flat[0]) if flat.size > 1 else 1
    if step > 0 and np.array_equal(flat, flat[0] + step * np.arange(flat.size)):
        cut = {axis: (int(flat[0]), int(flat[-1]) + 1, step)}
        if result == (*shape[:axis], flat.size, *shape[axis + 1 :]):
            at.builder.slice(label, x, cut)
            return
        at.builder.view(label, at.builder.slice(at.part(label, "slice"), x, cut), "reshape", result)
        return
    taken = _taken(at, at.part(label, "places"), x, flat, axis)
    at.builder.view(label, taken, "reshape", result)


def _taken(at: Lowering, label: Label, x: str, places: Array, axis: int) -> str:
    """The slices of x along `axis` that stand at constant places."""
    below = at.builder.shape(x)[axis]
    held = small_constant(f"{label.name}.indices", places.astype(np.int32))
    indices = at.builder.indices(held.name, held.shape, below, values=held.values)
    return at.builder.gather(label, x, indices, axis)


def _repeated(at: Lowering, label: Label, x: str, counts: tuple[int, ...]) -> None:
    """x with each axis repeated so often, as Tile does."""
    axes = [axis for axis, count in enumerate(counts) if count > 1]
    if not axes:
        at.builder.view(label, x, "identity")
        return
    for axis in axes:
        size = at.builder.shape(x)[axis]
        check_shape((size * counts[axis],), "the result")
        made = label if axis == axes[-1] else at.part(label, f"axis{axis}")
        places = np.tile(np.arange(size), counts[axis])
        x = _taken(at, made, x, places, axis)


def _expand(at: Lowering, node: Node) -> None:
    given = at.constant(node, 1, "shape")
    if given is None:
        raise SpecError("it lacks its shape")
    x = at.activation(node)
    shape = at.builder.shape(x)
    wanted = broadcast([shape, given.integers("shape")])
    label = at.label(node)
    if len(wanted) > len(shape):
        shape = (1,) * (len(wanted) - len(shape)) + shape
        x = at.builder.view(at.part(label, "lead"), x, "unsqueeze", shape)
    _repeated(at, label, x, tuple(new // old for new, old in zip(wanted, shape, strict=True)))


def _tile(at: Lowering, node: Node) -> None:
    given, x = at.constant(node, 1, "repeats"), at.activation(node)
    counts = given.integers("repeats") if given else ()
    if len(counts) != len(at.builder.shape(x)) or min(counts, default=1) < 1:
        raise SpecError(f"repeats {list(counts)} do not fit {format_shape(at.builder.shape(x))}")
    _repeated(at, at.label(node), x, counts)


def _trilu(at: Lowering, node: Node) -> None:
    """Multiplied by a constant triangle of ones."""
    x, offset = at.activation(node), at.constant(node, 1, "diagonal")
    rows, cols = at.builder.shape(x)[-2:]
    cut = np.triu if node.flag("upper", default=True) else np.tril
    k = offset.integers("k")[0] if offset else 0
    label = at.label(node)
    triangle = f"{label.name}.triangle"
    made = worked_constant(
        triangle, (rows, cols), (), lambda: cut(np.ones((rows, cols), np.float32), k), floating=True
    )
    at.builder.weight(triangle, (rows, cols), "scale", role="constant", values=made.values)
    at.builder.combine(label, "mul", [x, triangle])


def _shuffle(depth_first: bool) -> Callable[[Lowering, Node], None]:
    """DepthToSpace, and SpaceToDepth the other way round."""

    def lower(at: Lowering, node: Node) -> None:
        x, b = at.activation(node), node.integer("blocksize", 0)
        n, c, h, w = shapes.feature_map(at.builder.shape(x))
        label = at.label(node)
        if b < 1 or (depth_first and c % (b * b)) or (not depth_first and (h % b or w % b)):
            raise SpecError(f"blocks of {b} do not divide {format_shape(at.builder.shape(x))}")
        if depth_first:
            columns = node.text("mode", "DCR") == "CRD"
            split = (n, c // (b * b), b, b, h, w) if columns else (n, b, b, c // (b * b), h, w)
            perm = (0, 1, 4, 2, 5, 3) if columns else (0, 3, 4, 1, 5, 2)
            result = (n, c // (b * b), h * b, w * b)
        else:
            split, perm = (n, c, h // b, b, w // b, b), (0, 3, 5, 1, 2, 4)
            result = (n, c * b * b, h // b, w // b)
        seen = at.builder.view(at.part(label, "blocks"), x, "reshape", split)
        moved = at.builder.transpose(at.part(label, "moved"), seen, perm)
        at.builder.view(label, moved, "reshape", result)

    return lower


MOVES: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Concat": _concat,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Dropout": _same("dropout"),
    "Identity": _same("identity"),
    "Cast": _cast,
    "CastLike": _same("cast"),
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Expand": _expand,
    "Tile": _tile,
    "Trilu": _trilu,
    "DepthToSpace": _shuffle(True),
    "SpaceToDepth": _shuffle(False),
}
