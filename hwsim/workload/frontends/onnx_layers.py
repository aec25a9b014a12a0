"""What each ONNX operator becomes, as onnx.ai/onnx/operators defines it. LOWER lists what is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Distribution, Shape, format_shape
from hwsim.workload import shapes
from hwsim.workload.builder import Label
from hwsim.workload.frontends.onnx_constants import FLOAT_TYPES, slice_ranges
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Node, plural
from hwsim.workload.operators import Pair


def _pads(node: Node, size: Pair, window: Pair, stride: Pair, dilation: Pair) -> shapes.Pads:
    auto = node.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        return shapes.same_padding(size, window, stride, dilation, upper=auto == "SAME_UPPER")
    if auto not in ("NOTSET", "VALID", ""):
        raise SpecError(f"node {node.name!r} ({node.type}) has auto_pad {auto!r}, which ONNX does not define")
    given = node.integers("pads") if auto != "VALID" else None
    top, left, bottom, right = given or (0, 0, 0, 0)
    return top, left, bottom, right


def _two(node: Node, name: str, default: Pair = (1, 1)) -> Pair:
    height, width = node.integers(name) or default
    return height, width


def _flat_only(node: Node, shape: Shape) -> None:
    if len(shape) != 4:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) works on {len(shape)} dimensions {format_shape(shape)}; hwsim "
            "knows images of 4: [batch, channels, height, width]"
        )


def _conv(at: Lowering, node: Node) -> None:
    x, weight, bias = at.activation(node), node.input(1), node.input(2)
    image, kernel = at.builder.shape(x), at.shape(weight)
    _flat_only(node, image)
    _flat_only(node, kernel)
    window = (kernel[2], kernel[3])
    if (said := node.integers("kernel_shape")) and said != window:
        raise SpecError(
            f"node {node.name!r} (Conv) says kernel_shape {list(said)} and its weights are {list(kernel)}"
        )
    stride, dilation = _two(node, "strides"), _two(node, "dilations")
    shapes.check_window(window, stride, (0, 0, 0, 0), dilation)
    at.builder.conv2d(
        at.label(node, weight), x, at.weight(weight, "weight", kernel[1] * kernel[2] * kernel[3]),
        at.weight(bias, "bias") if bias else "", stride=stride, dilation=dilation,
        pad=_pads(node, (image[2], image[3]), window, stride, dilation), groups=node.integer("group", 1),
    )  # fmt: skip


def _gemm(at: Lowering, node: Node) -> None:
    a, b, c = at.activation(node), node.input(1), node.input(2)
    transpose_a, transpose_b = bool(node.integer("transA", 0)), bool(node.integer("transB", 0))
    right = at.shape(b)
    if len(at.builder.shape(a)) != 2 or len(right) != 2:
        raise SpecError(f"node {node.name!r} (Gemm) multiplies {format_shape(at.shape(a))} by "
                        f"{format_shape(right)}: both must have two dimensions")  # fmt: skip
    k, n = right[::-1] if transpose_b else right
    label = at.label(node, b)
    weight = at.weight(b, "weight", k)
    beta = node.number("beta", 1.0)
    multiply = partial(
        at.builder.matmul, transpose_a=transpose_a, transpose_b=transpose_b, alpha=node.number("alpha", 1.0)
    )
    if not c or at.shape(c) in ((n,), (1, n), (1,), (1, 1), ()):
        multiply(label, a, weight, at.weight(c, "bias") if c else "", beta=beta)
        return
    if beta != 1.0:
        raise UnsupportedError(
            f"node {node.name!r} (Gemm) scales a whole matrix by beta {beta:g} before adding it"
        )
    inner = Label(f"{label.name}.product", f"{label.tensor}.product", label.layer)
    product = multiply(inner, a, weight)
    at.builder.combine(label, "add", [product, at.weight(c, "shift")])


def _matmul(at: Lowering, node: Node) -> None:
    right = at.shape(node.input(1))
    weight = at.weight(node.input(1), "weight", right[-2] if len(right) > 1 else right[0])
    at.builder.matmul(at.label(node, node.input(1)), at.activation(node), weight)


def _pool(function: str) -> Callable[[Lowering, Node], None]:
    def lower(at: Lowering, node: Node) -> None:
        at.refuse_extra_outputs(node)
        x = at.activation(node)
        image = at.builder.shape(x)
        _flat_only(node, image)
        if node.integers("kernel_shape") is None:
            raise SpecError(f"node {node.name!r} ({node.type}) lacks its kernel_shape")
        window, stride, dilation = _two(node, "kernel_shape"), _two(node, "strides"), _two(node, "dilations")
        shapes.check_window(window, stride, (0, 0, 0, 0), dilation)
        at.builder.pool(
            at.label(node), x, function, window, stride=stride, dilation=dilation,
            pad=_pads(node, (image[2], image[3]), window, stride, dilation),
            ceil_mode=bool(node.integer("ceil_mode", 0)),
            count_include_pad=bool(node.integer("count_include_pad", 0)),
        )  # fmt: skip

    return lower


def _global_pool(function: str) -> Callable[[Lowering, Node], None]:
    def lower(at: Lowering, node: Node) -> None:
        x = at.activation(node)
        _flat_only(node, at.builder.shape(x))
        at.builder.global_pool(at.label(node), x, function)

    return lower


def _reduce_mean(at: Lowering, node: Node) -> None:
    """Global average pooling, as some exporters write it."""
    x = at.activation(node)
    shape = at.builder.shape(x)
    given = at.constant(node, 1, "axes")
    axes = given.integers("axes") if given else node.integers("axes") or ()
    if len(shape) != 4 or {shapes.axis_of(axis, 4) for axis in axes} != {2, 3}:
        raise UnsupportedError(f"node {node.name!r} (ReduceMean) averages axes {list(axes)} of "
                               f"{format_shape(shape)}; hwsim knows height and width of images")  # fmt: skip
    label = at.label(node)
    if node.integer("keepdims", 1):
        at.builder.global_pool(label, x, "average")
        return
    pooled = at.builder.global_pool(
        Label(f"{label.name}.pool", f"{label.tensor}.pool", label.layer), x, "average"
    )
    at.builder.view(label, pooled, "squeeze", shape[:2])


def _unary(function: str, **names: str) -> Callable[[Lowering, Node], None]:
    """`names`: our attribute -> ONNX's."""

    def lower(at: Lowering, node: Node) -> None:
        if node.type == "Gelu" and node.text("approximate", "none") != "none":
            raise UnsupportedError(
                f"node {node.name!r} (Gelu) is approximated by tanh; hwsim knows the exact one"
            )
        given: dict[str, float | None] = {
            ours: node.number(theirs, 0.0) for ours, theirs in names.items() if theirs in node.attributes
        }
        at.builder.unary(at.label(node), at.activation(node), function, given)

    return lower


def _clip(at: Lowering, node: Node) -> None:
    """Limits are attributes before opset 11 and inputs since."""
    given: dict[str, float | None] = {}
    for index, name in ((1, "min"), (2, "max")):
        found = at.constant(node, index, name)
        if found is not None:
            given[name] = found.number(name)
        elif name in node.attributes:
            given[name] = node.number(name, 0.0)
    # Exporters write the largest float for "no limit".
    given = {name: value for name, value in given.items() if value is not None and abs(value) < 3.4e38}
    at.builder.unary(at.label(node), at.activation(node), "clip", given)


def _combine(function: str, distribution: Distribution) -> Callable[[Lowering, Node], None]:
    def lower(at: Lowering, node: Node) -> None:
        if len(node.inputs) == 1:
            at.builder.view(at.label(node), at.activation(node), "identity")
            return
        operands = [at.weight(name, distribution) for name in node.inputs]
        at.builder.combine(at.label(node), function, operands)

    return lower


def _batch_norm(at: Lowering, node: Node) -> None:
    if node.integer("training_mode", 0) or any(node.outputs[1:]):
        raise UnsupportedError(
            f"node {node.name!r} (BatchNormalization) trains: export the network for inference"
        )
    if not node.integer("spatial", 1):
        raise UnsupportedError(
            f"node {node.name!r} (BatchNormalization) has statistics for each pixel (spatial=0)"
        )
    parts: tuple[Distribution, ...] = ("scale", "shift", "mean", "variance")
    for index, part in enumerate(parts, 1):
        if at.constant(node, index, part) is None:
            raise SpecError(f"node {node.name!r} (BatchNormalization) lacks its {part}")
    scale, shift, mean, variance = (at.weight(node.input(i), part) for i, part in enumerate(parts, 1))
    epsilon = node.number("epsilon", 1e-5)
    at.builder.batch_norm(at.label(node), at.activation(node), scale, shift, mean, variance, epsilon=epsilon)


def _lrn(at: Lowering, node: Node) -> None:
    at.builder.lrn(
        at.label(node), at.activation(node), node.integer("size", 0),
        alpha=node.number("alpha", 1e-4), beta=node.number("beta", 0.75), k=node.number("bias", 1.0),
    )  # fmt: skip


def _softmax(at: Lowering, node: Node) -> None:
    before = at.opset < 13
    axis = node.integer("axis", 1 if before else -1)
    at.builder.softmax(at.label(node), at.activation(node), axis, flattened=before)


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
            at.builder.shape(x), _rebatched(at, x, target, copies=copies), zero_copies=copies
        )
    except SpecError as error:
        raise SpecError(f"layer {label.layer!r} (reshape): {error}") from None
    at.builder.view(label, x, "reshape", shape)


def _rebatched(at: Lowering, x: str, target: tuple[int, ...], *, copies: bool) -> tuple[int, ...]:
    """Some exporters write the batch into the target shape. A leading size equal to the file's own batch is
    taken for it and follows the batch asked for, if the elements then fit."""
    before = at.builder.shape(x)
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
    if node.integer("to", 1) not in FLOAT_TYPES:
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
                        f"{plural(len(node.outputs), 'output')}")  # fmt: skip
    label, start = at.label(node), 0
    for index, (output, size) in enumerate(zip(node.outputs, sizes, strict=True)):
        if output:
            part_label = Label(f"{label.name}.{index}", output, label.layer)
            at.builder.slice(part_label, x, {axis: (start, start + size, 1)})
        start += size


LOWER: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MaxPool": _pool("max"),
    "AveragePool": _pool("average"),
    "GlobalMaxPool": _global_pool("max"),
    "GlobalAveragePool": _global_pool("average"),
    "ReduceMean": _reduce_mean,
    "Add": _combine("add", "shift"),
    "Sum": _combine("add", "shift"),
    "Sub": _combine("sub", "shift"),
    "Mul": _combine("mul", "scale"),
    "Div": _combine("div", "scale"),
    "Max": _combine("max", "shift"),
    "Min": _combine("min", "shift"),
    "Pow": _combine("pow", "scale"),
    "PRelu": _combine("prelu", "scale"),
    "Relu": _unary("relu"),
    "LeakyRelu": _unary("leaky_relu", alpha="alpha"),
    "Sigmoid": _unary("sigmoid"),
    "Tanh": _unary("tanh"),
    "Clip": _clip,
    "Elu": _unary("elu", alpha="alpha"),
    "Celu": _unary("celu", alpha="alpha"),
    "Selu": _unary("selu", alpha="alpha", gamma="gamma"),
    "Softplus": _unary("softplus"),
    "Softsign": _unary("softsign"),
    "HardSigmoid": _unary("hard_sigmoid", alpha="alpha", beta="beta"),
    "HardSwish": _unary("hard_swish"),
    "Gelu": _unary("gelu"),
    "Mish": _unary("mish"),
    "Erf": _unary("erf"),
    "Exp": _unary("exp"),
    "Log": _unary("log"),
    "Sqrt": _unary("sqrt"),
    "Reciprocal": _unary("reciprocal"),
    "Abs": _unary("abs"),
    "Neg": _unary("neg"),
    "BatchNormalization": _batch_norm,
    "LRN": _lrn,
    "Softmax": _softmax,
    "Concat": _concat,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Dropout": _same("dropout"),
    "Identity": _same("identity"),
    "Cast": _cast,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
}
