"""Products of stored integers whose sums the file scales later (MatMulInteger, ConvInteger), mostly behind
DynamicQuantizeLinear. Here they become the product of real numbers that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from hwsim.errors import UnsupportedError
from hwsim.workload.builder import Label
from hwsim.workload.frontends.onnx_context import Lowering, Sums
from hwsim.workload.frontends.onnx_graph import Constant, Node
from hwsim.workload.frontends.onnx_layers import convolve
from hwsim.workload.frontends.onnx_quantised import Zeros, grid_of, stored_constant


def _dynamic(at: Lowering, node: Node) -> None:
    """A tensor on a scale that follows from its own numbers, as hwsim does where nobody chose a grid."""
    x = at.activation(node)
    at.dynamic[node.outputs[0]] = x
    if len(node.outputs) > 1:
        at.dynamic[node.outputs[1]] = x
    at.notes[
        "where the file quantises by the numbers of each run (DynamicQuantizeLinear), hwsim scales by their "
        "largest size, without a zero point"
    ] = None


def _integer_product(at: Lowering, node: Node) -> None:
    x = node.input(0)
    if x not in at.dynamic or node.input(1) not in at.constants:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) multiplies stored integers whose scale the file does not say; "
            "hwsim takes it between DynamicQuantizeLinear and a product with both scales, or as "
            "QLinearMatMul and QLinearConv"
        )
    at.sums[node.outputs[0]] = Sums(node, at.dynamic[x])


def scales_sums(at: Lowering, node: Node) -> bool:
    """Whether `node` is part of how the file scales sums of integers: then it is lowered here."""
    if node.type == "Cast" and node.input(0) in at.sums:
        at.sums[node.outputs[0]] = at.sums[node.input(0)]
        return True
    if node.type != "Mul" or len(node.inputs) != 2:
        return False
    for first, second in (node.inputs, node.inputs[::-1]):
        if first in at.dynamic and second in at.constants:
            at.scales[node.outputs[0]] = (at.dynamic[first], second)
            return True
        if first in at.sums and second in at.scales:
            _scale_sums(at, node, at.sums[first], at.scales[second])
            return True
    return False


def _scale_sums(at: Lowering, node: Node, sums: Sums, scale: tuple[str, str]) -> None:
    made, (x, factor) = sums.node, scale
    if x != sums.x:
        raise UnsupportedError(f"node {node.name!r} (Mul) scales sums by the scale of another tensor")
    weight = made.input(1)
    kind = at.constants[weight].kind or "UINT8"
    zero = made.input(3)
    if not zero:
        zero = f"{made.name}.zero"
        held = Zeros(at.constants[factor].shape)
        at.constants[zero] = Constant(zero, held.shape, held, False, kind=kind)
    typed = replace(made, inputs=(made.input(0), weight, factor, zero))
    rank = len(at.constants[weight].shape)
    conv = made.type == "ConvInteger"
    scales = at.constants[factor]
    if scales.elements > 1:
        at.constants[factor] = scales.reshaped(factor, (scales.elements,))
    grid = grid_of(at, typed, 2, 3, 0 if conv else -1, rank)
    shape = at.constants[weight].shape
    name = at.weight(stored_constant(at, weight, grid, f"{weight}.reals"), "weight",
                     int(np.prod(shape[1:])) if conv else shape[-2])  # fmt: skip
    label = Label(at.label(made, weight).name, node.outputs[0], made.name)
    if conv:
        convolve(at, made, label, x, name, "")
    else:
        at.builder.matmul(label, x, name)


INTEGER_SUMS: Mapping[str, Callable[[Lowering, Node], None]] = {
    "DynamicQuantizeLinear": _dynamic,
    "MatMulInteger": _integer_product,
    "ConvInteger": _integer_product,
}
