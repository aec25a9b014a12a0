"""ONNX products, pools, pointwise functions and norms by channel: what each becomes, as
onnx.ai/onnx/operators defines it. `onnx_table` lists all operators that are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Distribution, Filled, Shape, format_shape
from hwsim.workload import shapes
from hwsim.workload.builder import Label
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Node
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


def two(node: Node, name: str, default: Pair = (1, 1)) -> Pair:
    height, width = node.integers(name) or default
    return height, width


def flat_only(node: Node, shape: Shape) -> None:
    if len(shape) != 4:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) works on {len(shape)} dimensions {format_shape(shape)}; hwsim "
            "knows [batch, channels, length] and [batch, channels, height, width]"
        )


def _conv(at: Lowering, node: Node) -> None:
    weight, bias = node.input(1), node.input(2)
    x, kernel = at.activation(node), at.shape(weight)
    label = at.label(node, weight)
    flat_only(node, at.builder.shape(x))
    flat_only(node, kernel)
    name = at.weight(weight, "weight", kernel[1] * kernel[2] * kernel[3])
    convolve(at, node, label, x, name, at.weight(bias, "bias") if bias else "")


def convolve(at: Lowering, node: Node, label: Label, x: str, weight: str, bias: str) -> None:
    """The convolution that the attributes of `node` describe."""
    image, kernel = at.builder.shape(x), at.builder.shape(weight)
    flat_only(node, image)
    flat_only(node, kernel)
    window = (kernel[2], kernel[3])
    if (said := node.integers("kernel_shape")) and said != window:
        raise SpecError(
            f"node {node.name!r} ({node.type}) says kernel_shape {list(said)} and its weights are "
            f"{list(kernel)}"
        )
    stride, dilation = two(node, "strides"), two(node, "dilations")
    shapes.check_window(window, stride, (0, 0, 0, 0), dilation)
    at.builder.conv2d(
        label, x, weight, bias, stride=stride, dilation=dilation,
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
        flat_only(node, image)
        if node.integers("kernel_shape") is None:
            raise SpecError(f"node {node.name!r} ({node.type}) lacks its kernel_shape")
        window, stride, dilation = two(node, "kernel_shape"), two(node, "strides"), two(node, "dilations")
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
        flat_only(node, at.builder.shape(x))
        at.builder.global_pool(at.label(node), x, function)

    return lower


def _reduce(function: str) -> Callable[[Lowering, Node], None]:
    """Axes are attributes before opset 18 (13 for sums) and inputs since."""

    def lower(at: Lowering, node: Node) -> None:
        x = at.activation(node)
        shape = at.builder.shape(x)
        label, keep = at.label(node), node.flag("keepdims", default=True)
        axes = _axes(at, node, len(shape))
        if not axes:
            at.builder.view(label, x, "identity")
        elif function == "mean" and len(shape) == 4 and set(axes) == {2, 3}:
            _mean_of_images(at, label, x, keep=keep)
        else:
            at.builder.reduce(label, x, function, axes, keepdims=keep)

    return lower


def _axes(at: Lowering, node: Node, rank: int) -> tuple[int, ...]:
    given = at.constant(node, 1, "axes")
    axes = given.integers("axes") if given else node.integers("axes")
    if not axes:
        return () if node.flag("noop_with_empty_axes") else tuple(range(rank))
    return tuple(shapes.axis_of(axis, rank) for axis in axes)


def _mean_of_images(at: Lowering, label: Label, x: str, *, keep: bool) -> None:
    """Global average pooling, as some exporters write it."""
    if keep:
        at.builder.global_pool(label, x, "average")
        return
    pooled = at.builder.global_pool(
        Label(f"{label.name}.pool", f"{label.tensor}.pool", label.layer), x, "average"
    )
    at.builder.view(label, pooled, "squeeze", at.builder.shape(x)[:2])


def _length(squared: bool) -> Callable[[Lowering, Node], None]:
    """ReduceSumSquare, and its root ReduceL2."""

    def lower(at: Lowering, node: Node) -> None:
        x, label = at.activation(node), at.label(node)
        axes = _axes(at, node, len(at.builder.shape(x)))
        squares = at.builder.combine(at.part(label, "squares"), "mul", [x, x])
        last = label if squared else at.part(label, "sum")
        total = at.builder.reduce(last, squares, "sum", axes, keepdims=node.flag("keepdims", default=True))
        if not squared:
            at.builder.unary(label, total, "sqrt")

    return lower


def _unary(function: str, **names: str) -> Callable[[Lowering, Node], None]:
    """`names`: our attribute -> ONNX's."""

    def lower(at: Lowering, node: Node) -> None:
        given: dict[str, float | None] = {
            ours: node.number(theirs, 0.0) for ours, theirs in names.items() if theirs in node.attributes
        }
        at.builder.unary(at.label(node), at.activation(node), function, given)

    return lower


def _gelu(at: Lowering, node: Node) -> None:
    """Exact or by tanh; onnxruntime's own take a bias along."""
    label, x = at.label(node), at.activation(node)
    near = node.type == "com.microsoft.FastGelu" or node.text("approximate", "none") == "tanh"
    if node.input(1):
        x = at.builder.combine(at.part(label, "bias"), "add", [x, at.weight(node.input(1), "shift")])
    at.builder.unary(label, x, "gelu_tanh" if near else "gelu")


def _swish(at: Lowering, node: Node) -> None:
    """x sigmoid(alpha x)."""
    label, x = at.label(node), at.activation(node)
    alpha = node.number("alpha", 1.0 if node.type == "Swish" else 1.702)
    if alpha == 1:
        at.builder.unary(label, x, "silu")
        return
    name = f"{label.name}.alpha"
    factor = at.builder.weight(name, (1,), "scale", values=Filled((1,), alpha), role="constant")
    scaled = at.builder.combine(at.part(label, "scaled"), "mul", [x, factor])
    gate = at.builder.unary(at.part(label, "gate"), scaled, "sigmoid")
    at.builder.combine(label, "mul", [x, gate])


def _fused_matmul(at: Lowering, node: Node) -> None:
    if node.flag("transBatchA") or node.flag("transBatchB"):
        raise UnsupportedError(f"node {node.name!r} (FusedMatMul) turns its batches too")
    right, turned = at.shape(node.input(1)), node.flag("transB")
    fan_in = right[-1] if turned or len(right) == 1 else right[-2]
    at.builder.matmul(
        at.label(node, node.input(1)), at.activation(node), at.weight(node.input(1), "weight", fan_in),
        transpose_a=node.flag("transA"), transpose_b=turned, alpha=node.number("alpha", 1.0),
    )  # fmt: skip


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


def _along_a_line(lower: Callable[[Lowering, Node], None]) -> Callable[[Lowering, Node], None]:
    """The same for [batch, channels, length], as images that are one row high."""

    def run(at: Lowering, node: Node) -> None:
        shape = at.shape(at.operand(node, 0))
        if len(shape) != 3:
            lower(at, node)
            return
        label = Label(at.unique(f"{node.name}.line"), node.outputs[0], node.name)
        row = at.builder.view(
            at.part(label, "image"), at.activation(node), "unsqueeze", (*shape[:2], 1, shape[2])
        )
        inputs = [row, *node.inputs[1:]]
        if node.type == "Conv" and len(at.shape(node.input(1))) == 3:
            kernel = at.constant(node, 1, "weights")
            assert kernel is not None
            inputs[1] = f"{kernel.name}.image"
            k, c, r = kernel.shape
            at.constants[inputs[1]] = kernel.reshaped(inputs[1], (k, c, 1, r))
        made = f"{label.name}.made"
        outputs = (made, *node.outputs[1:])
        lower(at, replace(node, inputs=tuple(inputs), outputs=outputs, attributes=_widened(node)))
        n, c, _, length = at.builder.shape(made)
        at.builder.view(label, made, "squeeze", (n, c, length))

    return run


def _widened(node: Node) -> dict[str, object]:
    """The attributes of a window along a line as those of one along the only row of an image."""
    found = dict(node.attributes)
    for name, other in (("kernel_shape", 1), ("strides", 1), ("dilations", 1)):
        if (given := node.integers(name)) is not None:
            found[name] = (other, *given)
    if (pads := node.integers("pads")) is not None:
        before, after = pads
        found["pads"] = (0, before, 0, after)
    return found


LAYERS: Mapping[str, Callable[[Lowering, Node], None]] = {
    "Conv": _along_a_line(_conv),
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MaxPool": _along_a_line(_pool("max")),
    "AveragePool": _along_a_line(_pool("average")),
    "GlobalMaxPool": _along_a_line(_global_pool("max")),
    "GlobalAveragePool": _along_a_line(_global_pool("average")),
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "ReduceMax": _reduce("max"),
    "ReduceMin": _reduce("min"),
    "ReduceL2": _length(False),
    "ReduceSumSquare": _length(True),
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
    "Gelu": _gelu,
    "com.microsoft.Gelu": _gelu,
    "com.microsoft.FastGelu": _gelu,
    "com.microsoft.BiasGelu": _gelu,
    "com.microsoft.QuickGelu": _swish,
    "com.microsoft.FusedMatMul": _fused_matmul,
    "Swish": _swish,
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
}
