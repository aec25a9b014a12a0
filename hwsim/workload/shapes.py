"""Shape rules of layers: pure functions of shapes. Errors say what does not fit and the cure.

Nothing here knows layers by name; the builder adds which layer it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Shape, format_shape
from hwsim.workload.operators import Matmul, Pair

Pads = tuple[int, int, int, int]  # top, left, bottom, right


def feature_map(shape: Shape) -> tuple[int, int, int, int]:
    """(N, C, H, W) of an image tensor."""
    if len(shape) != 4:
        raise SpecError(
            f"takes a feature map of shape [batch, channels, height, width] and got {format_shape(shape)}: "
            "reshape it first"
        )
    return shape[0], shape[1], shape[2], shape[3]


def check_window(window: Pair, stride: Pair, pad: Pads, dilation: Pair) -> None:
    """Refuse a window, stride or dilation below one and negative padding."""
    for name, values, least in (
        ("kernel", window, 1), ("stride", stride, 1), ("dilation", dilation, 1), ("pad", pad, 0),
    ):  # fmt: skip
        if any(value < least for value in values):
            raise SpecError(f"{name} is {list(values)}: it must be at least {least}")


def window_positions(
    size: Pair, window: Pair, stride: Pair, pad: Pads, dilation: Pair, *, ceil: bool = False
) -> Pair:
    """(P, Q): how often a window fits along height and width. With `ceil` a last window may hang over the
    end, but one that would start behind the input and its leading padding is dropped."""
    check_window(window, stride, pad, dilation)
    found = []
    for axis, name in enumerate(("height", "width")):
        before, after = pad[axis], pad[axis + 2]
        extent = (window[axis] - 1) * dilation[axis] + 1
        room = size[axis] + before + after - extent
        if room < 0:
            raise SpecError(
                f"a window of {extent} does not fit the {name} of {size[axis]} with padding {before} + "
                f"{after}: use a smaller kernel, more padding or a larger input"
            )
        count = (-(-room // stride[axis]) if ceil else room // stride[axis]) + 1
        if ceil and (count - 1) * stride[axis] >= size[axis] + before:
            count -= 1
        found.append(count)
    return found[0], found[1]


def same_padding(size: Pair, window: Pair, stride: Pair, dilation: Pair, *, upper: bool) -> Pads:
    """ONNX auto_pad SAME_UPPER or SAME_LOWER: ceil(size / stride) positions, the odd one at either end."""
    before, after = [], []
    for axis in (0, 1):
        extent = (window[axis] - 1) * dilation[axis] + 1
        total = max(0, (-(-size[axis] // stride[axis]) - 1) * stride[axis] + extent - size[axis])
        small, large = total // 2, total - total // 2
        before.append(small if upper else large)
        after.append(large if upper else small)
    return before[0], before[1], after[0], after[1]


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The common shape by numpy's rule: aligned at the right, sizes equal or 1."""
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = []
    for sizes in zip(*padded, strict=True):
        wanted = {size for size in sizes if size != 1}
        if len(wanted) > 1:
            names = " and ".join(format_shape(shape) for shape in shapes)
            raise SpecError(
                f"shapes {names} do not go together: aligned at the right, sizes must be equal or 1; "
                "check stride, padding and channels of the layers before"
            )
        result.append(wanted.pop() if wanted else 1)
    return tuple(result)


def reshaped(shape: Shape, target: Sequence[int], *, zero_copies: bool = True) -> Shape:
    """`target` with its -1 worked out, and 0 standing for the input's size there if `zero_copies`."""
    total = math.prod(shape)
    if any(size < -1 for size in target) or sum(size == -1 for size in target) > 1:
        raise SpecError(f"target shape {format_shape(tuple(target))} must hold sizes and at most one -1")
    sizes = []
    for axis, size in enumerate(target):
        if size == 0 and zero_copies:
            if axis >= len(shape):
                raise SpecError(f"target shape {format_shape(tuple(target))} copies dimension {axis}, which "
                                f"{format_shape(shape)} does not have")  # fmt: skip
            size = shape[axis]
        sizes.append(size)
    known = math.prod(size for size in sizes if size != -1)
    if -1 in sizes and known > 0 and total % known == 0:
        sizes[sizes.index(-1)] = total // known
    if math.prod(sizes) != total:
        raise SpecError(
            f"{format_shape(shape)} has {total:,} elements and cannot become {format_shape(tuple(target))}: "
            "write a shape with as many elements, or -1 for one of its sizes"
        )
    return tuple(sizes)


def axis_of(axis: int, rank: int, *, end: bool = False) -> int:
    """`axis` counted from 0; negative ones count from the back. With `end`, `rank` itself is allowed."""
    last = rank if end else rank - 1
    if not -rank <= axis <= last:
        raise SpecError(f"axis {axis} is out of range: the tensor has {rank} dimensions")
    return axis + rank if axis < 0 else axis


def concatenated(shapes: Sequence[Shape], axis: int) -> Shape:
    """The shape of tensors joined along `axis` (not negative); all other sizes must agree."""
    first = shapes[0]
    for shape in shapes[1:]:
        if len(shape) != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(shape, first, strict=True)) if i != axis
        ):
            names = " and ".join(format_shape(s) for s in (first, shape))
            raise SpecError(
                f"shapes {names} cannot be joined along axis {axis}: all other sizes must be equal"
            )
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def transposed(shape: Shape, perm: Sequence[int]) -> Shape:
    if sorted(perm) != list(range(len(shape))):
        raise SpecError(
            f"permutation {list(perm)} does not fit {format_shape(shape)}: name each axis from 0 to "
            f"{len(shape) - 1} once"
        )
    return tuple(shape[axis] for axis in perm)


def squeezed(shape: Shape, axes: Sequence[int] | None) -> Shape:
    """Without the axes of size 1 named, or without all of them."""
    if axes is None:
        return tuple(size for size in shape if size != 1)
    gone = {axis_of(axis, len(shape)) for axis in axes}
    for axis in sorted(gone):
        if shape[axis] != 1:
            raise SpecError(f"axis {axis} of {format_shape(shape)} cannot be squeezed: its size is not 1")
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def unsqueezed(shape: Shape, axes: Sequence[int]) -> Shape:
    """With axes of size 1 put in; `axes` are places in the result."""
    rank = len(shape) + len(axes)
    places = {axis_of(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise SpecError(f"axes {list(axes)} name one place twice")
    rest = iter(shape)
    return tuple(1 if axis in places else next(rest) for axis in range(rank))


def sliced(size: int, start: int, end: int, step: int) -> tuple[int, int, int, int]:
    """(start, end, step, count) of a slice along one axis, clamped as numpy does."""
    if step == 0:
        raise SpecError("the step of a slice is 0: it must be at least 1, or negative to run backwards")
    begin, stop, stride = slice(start, end if end > -(2**62) else None, step).indices(size)
    count = len(range(begin, stop, stride))
    if count == 0:
        raise SpecError(f"the slice {start}:{end}:{step} of an axis of {size} is empty")
    return begin, stop, stride, count


def flattened(shape: Shape, axis: int) -> Shape:
    """Two dimensions: all before `axis`, and `axis` with all behind it."""
    axis = axis_of(axis, len(shape), end=True)
    return math.prod(shape[:axis]), math.prod(shape[axis:])


def matmul_problem(a: Shape, b: Shape, transpose_a: bool, transpose_b: bool) -> tuple[Matmul, Shape]:
    """The problem and the result's shape. One-dimensional operands are a row or a column, as in numpy."""
    row, column = len(a) == 1, len(b) == 1
    left = (1, *a) if row else a
    right = (*b, 1) if column else b
    if transpose_a:
        left = (*left[:-2], left[-1], left[-2])
    if transpose_b:
        right = (*right[:-2], right[-1], right[-2])
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        raise SpecError(
            f"{format_shape(a)} and {format_shape(b)} cannot be multiplied: the inner sizes must be equal; "
            "flatten or reshape the input, or change the size of the layer before"
        )
    m, k, n = left[-2], left[-1], right[-1]
    batch = broadcast([left[:-2], right[:-2]])
    shape = batch + (() if row else (m,)) + (() if column else (n,))
    if math.prod(right[:-2]) == 1 and not transpose_a:  # one b for all: the batch is more rows
        return Matmul(1, math.prod(batch) * m, n, k), shape
    return Matmul(math.prod(batch), m, n, k), shape
