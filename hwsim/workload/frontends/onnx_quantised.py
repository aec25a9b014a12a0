"""ONNX operators on stored integers: QLinear..., QuantizeLinear and DequantizeLinear around others, and
products of integers (onnx.ai/onnx/operators; those of com.microsoft are onnxruntime's).

A tensor of hwsim is the real numbers, and how they are stored: so a scale and a zero point become the grid of
a tensor, and quantising or dequantising it is no operator. Numbers without a sign are stored with one, 128
less, and so is their zero point: the same bits but for the first of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.storage import Quantisation
from hwsim.tensor.tensor import Array, format_shape
from hwsim.workload import shapes
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Constant, Grid, Node, worked_constant
from hwsim.workload.frontends.onnx_layers import LAYERS, convolve

# ONNX's types of stored integers: our format, and what is taken off a number without a sign.
_STORED = {"INT8": ("int8", 0), "UINT8": ("int8", 128), "INT16": ("int16", 0), "UINT16": ("int16", 2**15)}
# What only moves stored integers, or picks among them: the result lies on the same grid.
PASSED = ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather",
          "Identity", "Concat", "Dropout", "DepthToSpace", "SpaceToDepth", "Expand", "Tile")  # fmt: skip

Lower = Callable[[Lowering, Node], None]


# -- grids -----------------------------------------------------------------------------------------------


def grid_of(at: Lowering, node: Node, scale: int, zero: int, axis: int | None = None, rank: int = 0) -> Grid:
    """The grid that two constant inputs say, along `axis` of a tensor of that rank if of several scales."""
    scales, zeros = at.constant(node, scale, "scale"), at.constant(node, zero, "zero point")
    if scales is None:
        raise SpecError("lacks a scale")
    kind = zeros.kind if zeros is not None and zeros.kind else "UINT8"
    if kind not in _STORED:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) stores {kind}; hwsim takes {', '.join(_STORED)}"
        )
    dtype, less = _STORED[kind]
    with np.errstate(over="ignore"):  # what is infinite then is refused as a scale
        real = scales.array("scale", 2**20).astype(np.float32).reshape(-1)
    whole = np.zeros(real.size, np.int64) if zeros is None else zeros.array("zero point", 2**20).reshape(-1)
    if whole.size != real.size:
        raise SpecError(f"has {real.size} scales and {whole.size} zero points")
    if real.size > 1 and axis is None:
        raise UnsupportedError(f"node {node.name!r} ({node.type}) has {real.size} scales; one is taken here")
    along = None if real.size == 1 else shapes.axis_of(axis or 0, rank)
    points = tuple(int(value) - less for value in whole)
    return Grid(dtype, Quantisation(tuple(float(value) for value in real), points, along))


def stored_constant(at: Lowering, name: str, grid: Grid, made: str) -> str:
    """Stored integers of the file as the real numbers that they are, on their grid, under a new name."""
    found = at.constants[name]
    if found.kind not in _STORED and found.kind:
        raise UnsupportedError(f"tensor {name!r} has elements of type {found.kind}; int8 or uint8 is meant")
    less = _STORED.get(found.kind or "INT8", ("int8", 0))[1]
    places = grid.places
    if places.axis is not None and found.shape[places.axis] != len(places.scales):
        raise SpecError(
            f"{len(places.scales)} scales do not fit axis {places.axis} of {format_shape(found.shape)}"
        )

    def reals(values: Array) -> Array:
        side = [1] * values.ndim
        if places.axis is not None:
            side[places.axis] = -1
        scales, points = (np.reshape(np.array(given), side if places.axis is not None else ())
                          for given in (places.scales, places.zero_points))  # fmt: skip
        return np.asarray((values.astype(np.float64) - less - points) * scales)

    if made not in at.constants:
        constant = worked_constant(made, found.shape, (found,), reals, floating=True)
        at.constants[made] = replace(constant, grid=grid, steps=found.steps)
    return made


def _operand(at: Lowering, node: Node, index: int, grid: Grid, fan_in: int = 1) -> str:
    """A stored operand as a tensor on its grid: a constant, an input, or what was computed so."""
    name = at.operand(node, index)
    if name in at.constants:
        return at.weight(stored_constant(at, name, grid, f"{name}.reals"), "weight", fan_in)
    if name in at.whole:
        return _received(at, name, grid)
    if name not in at.stored:
        raise UnsupportedError(f"tensor {name!r} is no stored integers, and node {node.name!r} takes those")
    tensor = at.builder.tensors[at.stored[name]]
    if tensor.quantisation != grid.places:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) reads {name!r} with another scale or zero point than it was "
            "made with"
        )
    return tensor.name


def _received(at: Lowering, name: str, grid: Grid) -> str:
    """An input of stored integers; what first reads it says what they stand for."""
    found = at.whole.pop(name)
    if found.name != name:
        raise UnsupportedError(f"input {found.name!r} is seen under another shape before its scale is known")
    if _STORED.get(found.kind, ("", 0))[0] != grid.dtype:
        raise UnsupportedError(
            f"input {name!r} has elements of type {found.kind} and is read as {grid.dtype}"
        )
    at.builder.input(name, found.shape)
    _made(at, name, grid)
    return name


def _made(at: Lowering, name: str, grid: Grid, as_name: str = "") -> None:
    """What was computed lies on a grid, and is stored integers from here on."""
    at.on_grid(name, grid)
    at.stored[as_name or name] = name


# -- QuantizeLinear and DequantizeLinear -----------------------------------------------------------------


def _quantise(at: Lowering, node: Node) -> None:
    if node.integer("block_size", 0):
        raise UnsupportedError(f"node {node.name!r} (QuantizeLinear) has a scale for each block of numbers")
    x = at.activation(node)
    grid = grid_of(at, node, 1, 2, node.integer("axis", 1), len(at.builder.shape(x)))
    if grid.places.axis is not None:
        raise UnsupportedError(
            f"node {node.name!r} (QuantizeLinear) has a scale for each channel of what the network computes; "
            "a machine's sums have one scale only if that holds for weights alone"
        )
    tensor = at.builder.tensors[x]
    label = at.label(node)
    alone = at.readers[node.input(0)] == 1 and tensor.quantisation is None
    if alone or tensor.quantisation == grid.places:
        at.on_grid(x, grid)
        at.builder.view(label, x, "quantise")
    else:  # whoever else reads it has it unrounded, so this is a pass of its own
        at.builder.unary(label, x, "clip", {})
    _made(at, node.outputs[0], grid)


def _dequantise(at: Lowering, node: Node) -> None:
    name = at.operand(node, 0)
    if node.integer("block_size", 0):
        raise UnsupportedError(f"node {node.name!r} (DequantizeLinear) has a scale for each block of numbers")
    found = at.constants.get(name)
    axis = node.integer("axis", 1)
    if found is not None:
        at.constants[node.outputs[0]] = _dequantised(at, node, found, axis)
        return
    grid = grid_of(at, node, 1, 2)
    x = _operand(at, node, 0, grid)
    at.builder.view(at.label(node), x, "dequantise")
    at.on_grid(node.outputs[0], grid)


def _dequantised(at: Lowering, node: Node, found: Constant, axis: int) -> Constant:
    """A constant's real numbers. Sums (INT32) have no grid of their own: theirs follows from the product."""
    if found.kind != "INT32":
        typed = node
        if not node.input(2):  # without a zero point the type is the integers' own
            zero = f"{node.name}.zero"
            at.constants[zero] = Constant(zero, at.shape(node.input(1)), Zeros(at.shape(node.input(1))),
                                          False, kind=found.kind)  # fmt: skip
            typed = replace(node, inputs=(*node.inputs[:2], zero))
        grid = grid_of(at, typed, 1, 2, axis, len(found.shape))
        return at.constants[stored_constant(at, found.name, grid, node.outputs[0])]
    scales = at.constant(node, 1, "scale")
    if scales is None:
        raise SpecError("lacks a scale")

    def reals(values: Array, scale: Array) -> Array:
        return np.asarray(values.astype(np.float64) * scale.astype(np.float64))

    made = worked_constant(node.outputs[0], found.shape, (found, scales), reals, floating=True)
    return replace(made, steps=0)


@dataclass(frozen=True, slots=True)
class Zeros:
    shape: tuple[int, ...]

    def __call__(self) -> Array:
        return np.zeros(self.shape, np.int8)


# -- products --------------------------------------------------------------------------------------------


def _single(at: Lowering) -> None:
    """Mark the product added last: its sums are scaled as onnxruntime does, see `functional.numbers`."""
    op = at.builder.operators[-1]
    at.builder.operators[-1] = replace(op, attributes=(*op.attributes, ("requantise", "single")))


def _linear_conv(at: Lowering, node: Node) -> None:
    kernel = at.shape(at.operand(node, 3))
    grids = grid_of(at, node, 1, 2), grid_of(at, node, 4, 5, 0, len(kernel)), grid_of(at, node, 6, 7)
    x = _operand(at, node, 0, grids[0])
    weight = _operand(at, node, 3, grids[1], int(np.prod(kernel[1:])))
    bias = _bias(at, node, 8, grids[0], grids[1])
    convolve(at, node, at.label(node, node.input(3)), x, weight, bias)
    _single(at)
    _made(at, node.outputs[0], grids[2])


def _bias(at: Lowering, node: Node, index: int, x: Grid, weight: Grid) -> str:
    """A bias in units of the sums as real numbers."""
    found = at.constant(node, index, "bias")
    if found is None:
        return ""
    unit = x.places.scales[0] * np.array(weight.places.scales)

    def reals(values: Array) -> Array:
        return np.asarray(values.astype(np.float64) * unit)

    made = worked_constant(f"{found.name}.{node.name}.reals", found.shape, (found,), reals, floating=True)
    at.constants[made.name] = replace(made, steps=0)
    return at.weight(made.name, "bias")


def _linear_matmul(at: Lowering, node: Node) -> None:
    right = at.shape(at.operand(node, 3))
    grids = grid_of(at, node, 1, 2), grid_of(at, node, 4, 5, -1, len(right)), grid_of(at, node, 6, 7)
    a = _operand(at, node, 0, grids[0])
    b = _operand(at, node, 3, grids[1], right[-2] if len(right) > 1 else right[0])
    at.builder.matmul(at.label(node, node.input(3)), a, b)
    _single(at)
    _made(at, node.outputs[0], grids[2])


def _gemm(at: Lowering, node: Node) -> None:
    """com.microsoft.QGemm, whose result may be left as real numbers."""
    right = at.shape(at.operand(node, 3))
    turned = node.flag("transB")
    grids = grid_of(at, node, 1, 2), grid_of(at, node, 4, 5, 0 if turned else 1, len(right))
    a = _operand(at, node, 0, grids[0])
    b = _operand(at, node, 3, grids[1], right[-1] if turned else right[0])
    bias = _bias(at, node, 6, *grids)
    at.builder.matmul(
        at.label(node, node.input(3)), a, b, bias, transpose_a=node.flag("transA"), transpose_b=turned,
        alpha=node.number("alpha", 1.0),
    )  # fmt: skip
    _single(at)
    if node.input(7):
        _made(at, node.outputs[0], grid_of(at, node, 7, 8))


# -- what is not a product -------------------------------------------------------------------------------


def _linear_binary(function: str) -> Lower:
    def lower(at: Lowering, node: Node) -> None:
        names = [_operand(at, node, i, grid_of(at, node, i + 1, i + 2)) for i in (0, 3)]
        at.builder.combine(at.label(node), function, names)
        _made(at, node.outputs[0], grid_of(at, node, 6, 7))

    return lower


def _linear_alone(kind: str) -> Lower:
    """One operand: as the operator `kind` on real numbers."""

    def lower(at: Lowering, node: Node) -> None:
        if node.flag("channels_last"):
            raise UnsupportedError(f"node {node.name!r} ({node.type}) has its channels last")
        x = _operand(at, node, 0, grid_of(at, node, 1, 2))
        LAYERS[kind](at, replace(node, type=kind, inputs=(x,)))
        _made(at, node.outputs[0], grid_of(at, node, 3, 4))

    return lower


def _linear_concat(at: Lowering, node: Node) -> None:
    names = [_operand(at, node, i, grid_of(at, node, i + 1, i + 2)) for i in range(2, len(node.inputs), 3)]
    at.builder.concat(at.label(node), names, node.integer("axis", 0))
    _made(at, node.outputs[0], grid_of(at, node, 0, 1))


def lower_passed(at: Lowering, node: Node, lower: Lower) -> None:
    """An operator that only moves stored integers."""
    names = [name for name in node.inputs if name in at.stored]
    grids = {at.builder.tensors[at.stored[name]].quantisation for name in names}
    tensors = [name for name in node.inputs if name in at.builder.tensors and name not in at.constants]
    if node.type not in PASSED or len(grids) != 1 or len(names) < len(tensors):
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) computes with stored integers as if they were numbers: "
            "dequantise them first"
        )
    tensor = at.builder.tensors[at.stored[names[0]]]
    assert tensor.quantisation is not None
    grid = Grid(tensor.dtype, tensor.quantisation)
    lower(at, node)
    for output in filter(None, node.outputs):
        if output in at.builder.tensors:
            _made(at, output, grid)
    _share(at, node, grid)


def _share(at: Lowering, node: Node, grid: Grid) -> None:
    """What helps to make the result, between stored integers, is stored so too."""
    layer = node.name
    for op in reversed(at.builder.operators):
        if op.layer != layer:
            break
        if at.builder.tensors[op.output].quantisation is None:
            at.on_grid(op.output, grid)


QUANTISED: Mapping[str, Lower] = {
    "QuantizeLinear": _quantise,
    "DequantizeLinear": _dequantise,
    "QLinearConv": _linear_conv,
    "QLinearMatMul": _linear_matmul,
    "com.microsoft.QuantizeLinear": _quantise,
    "com.microsoft.DequantizeLinear": _dequantise,
    "com.microsoft.QGemm": _gemm,
    "com.microsoft.QLinearAdd": _linear_binary("add"),
    "com.microsoft.QLinearMul": _linear_binary("mul"),
    "com.microsoft.QLinearConcat": _linear_concat,
    "com.microsoft.QLinearAveragePool": _linear_alone("AveragePool"),
    "com.microsoft.QLinearGlobalAveragePool": _linear_alone("GlobalAveragePool"),
    "com.microsoft.QLinearLeakyRelu": _linear_alone("LeakyRelu"),
    "com.microsoft.QLinearSigmoid": _linear_alone("Sigmoid"),
}
