"""Winograd as a choice of lowering: 3x3 convolutions become an input transform, products, and an output
transform. Weights are transformed here, once; the transforms of activations are operators."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwsim.compress.layers import Patterns, read_weight, weights_of
from hwsim.compress.surgery import (
    Replacement,
    Site,
    UnsuitableError,
    between,
    new_weight,
    refused,
    replaced,
    settled,
    sites,
)
from hwsim.errors import SpecError
from hwsim.tensor.formats import accumulator_format
from hwsim.tensor.tensor import Array, Tensor, read_values
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Conv2d, Matmul, Operator, WinogradTransform
from hwsim.workload.winograd import FILTER, INTEGERS, KEEPS_SUMS, TILES, WIDE, transformed_format

TRANSFORMED = ("int8", WIDE)  # formats of transformed integers


@dataclass(frozen=True, slots=True)
class TransformedWeight:
    """G g G^T of every filter of a weight [K, C / groups, 3, 3], in fp32: [(tile + 2)^2 groups, C / groups,
    K / groups], places of the patch outermost, as the products take it."""

    weight: Tensor
    tile: int
    groups: int

    def __call__(self) -> Array:
        g = settled(self.weight, read_values(self.weight))
        matrix = FILTER[self.tile]
        outputs, inputs, *_ = g.shape
        each = g.astype(np.float64).reshape(self.groups, outputs // self.groups, inputs, 3, 3)
        found: Array = np.einsum("ia,gkcab,jb->ijgck", matrix, each, matrix, optimize=True)
        places = (self.tile + 2) ** 2
        laid_out = found.reshape(places * self.groups, inputs, outputs // self.groups)
        return laid_out.astype(np.float32)


def winograd(
    workload: Workload,
    tile: int = 2,
    *,
    layers: Patterns = None,
    integers: str = WIDE,
) -> Workload:
    """`workload` with 3x3 convolutions of stride 1 and no dilation, among `layers` (names or patterns; all
    without), computed by F(tile x tile, 3x3), tile 2 or 4 (Lavin & Gray, CVPR 2016; `workload.winograd` holds
    the matrices). Each becomes layer.input, layer.product and layer.output.

    The products are (tile + 2)^2 matrix products a group, of tiles x channels by channels x outputs: per tile
    of a channel (tile + 2)^2 multiplications instead of 9 tile^2, whole tiles at the edges. The layer's own
    MACs stay its MACs in every report. Transformed weights are (tile + 2)^2 / 9 times as many, and counted.

    Numbers: floats stay in their format, and sums in fp32. `integers` is what transformed integers are
    multiplied in. In int16, inputs of up to 8 bits are transformed exactly. In int8, which arrays multiply
    faster, they are rounded anew: F(2x2) then loses a few dB, and F(4x4) leaves no signal. Weights are
    transformed as they are given (on their grid, where somebody chose one) and rounded behind that, since
    only G has fractions. Sums stay int32, the output transform of them is exact, and results are rounded
    once.

    A layer that is named must be such a convolution; of layers that a pattern or nothing selects, others stay
    as they are. Raises SpecError for wrong arguments, and when nothing is left to do.
    """
    if tile not in TILES or isinstance(tile, bool):
        raise SpecError(f"tile is {tile!r}: Winograd convolutions of 3x3 filters come in tiles of 2 or 4")
    if integers not in TRANSFORMED:
        raise SpecError(f"integers is {integers!r}: transformed integers are {' or '.join(TRANSFORMED)}")
    chosen: dict[str, Replacement] = {}
    done: list[str] = []
    left: list[tuple[str, str]] = []
    for site in sites(workload, layers):
        if reason := _unsuitable(site):
            if site.named:
                raise SpecError(f"layer {site.ref.operator!r} (winograd): {reason}")
            left.append((site.ref.operator, reason))
            continue
        read_weight(workload, site.ref)  # refuses what is not finite
        chosen |= _lowered(workload, site, tile, integers)
        done.append(site.ref.operator)
    if not chosen:
        raise refused("winograd", workload, left)
    step = f"winograd F({tile}x{tile},3x3), integers in {integers}: {', '.join(done)}"
    return replaced(workload, chosen, step)


def suits_winograd(workload: Workload) -> bool:
    """Whether `winograd` has something to do: some convolution is one that it computes."""
    return bool(weights_of(workload)) and not all(_unsuitable(site) for site in sites(workload, None))


def _unsuitable(site: Site) -> str:
    """The reason to leave a layer as it is; empty where there is none."""
    try:
        _check(site)
    except UnsuitableError as error:
        return str(error)
    return ""


def _check(site: Site) -> None:
    """Raise UnsuitableError with the reason to leave a layer."""
    if not site.operators:
        raise UnsuitableError("its weight is the first operand of a product, and not the second")
    for op in site.operators:
        c = op.problem
        if not isinstance(c, Conv2d):
            raise UnsuitableError(f"it is a {op.kind}, and Winograd's algorithm is for 3x3 convolutions")
        if (c.R, c.S) != (3, 3):
            raise UnsuitableError(f"its window is {c.R}x{c.S}, and hwsim has Winograd for 3x3")
        if c.stride != (1, 1) or c.dilation != (1, 1):
            raise UnsuitableError(
                "it has a stride or dilation, and Winograd's tiles need neighbouring results"
            )
        if any(step.tensor and (step.function != "bias" or step.attributes) for step in op.epilogue):
            raise UnsuitableError("more than a plain bias is added to its results")
        if any(step.function == "scale" for step in op.epilogue):
            raise UnsuitableError("its results are scaled before the bias")
    if len({_conv(op).groups for op in site.operators}) > 1:
        raise UnsuitableError("its weight is shared by convolutions in different groups")


def _lowered(workload: Workload, site: Site, tile: int, integers: str) -> dict[str, Replacement]:
    """What stands in for each convolution of a weight; they share the transformed weight."""
    groups = _conv(site.operators[0]).groups
    outputs, inputs, *_ = site.weight.shape
    values = TransformedWeight(site.weight, tile, groups)
    shape = ((tile + 2) ** 2 * groups, inputs, outputs // groups)
    density = 1.0
    if site.weight.density < 1:
        # Sums of few weights that are not zero are seldom zero themselves.
        density = float(np.count_nonzero(values())) / (shape[0] * shape[1] * shape[2])
    weight = new_weight(site.weight, f"winograd{tile}", shape, values, density)
    found: dict[str, Replacement] = {}
    for i, op in enumerate(site.operators):
        made = _operators(workload, op, tile, integers, weight)
        found[op.name] = made if i == 0 else replace(made, tensors=made.tensors[1:])
    return found


def _operators(workload: Workload, op: Operator, tile: int, integers: str, weight: Tensor) -> Replacement:
    c = _conv(op)
    x, out = workload.tensors[op.inputs[0]], workload.tensors[op.output]
    before = WinogradTransform("input", tile, c.N, c.C, c.H, c.W, c.P, c.Q, c.groups, c.pad)
    after = replace(before, direction="output", C=c.K)
    batch, per_group = before.places * c.groups, c.C // c.groups
    product = Matmul(batch, before.tiles, c.K // c.groups, per_group)
    wide = transformed_format(x.dtype, integers)
    patches = between(op, "input", (batch, before.tiles, per_group), replace(out, dtype=wide))
    sums = between(
        op, "product", (batch, before.tiles, product.N), replace(out, dtype=accumulator_format(wide))
    )
    bias = tuple(step.tensor for step in op.epilogue if step.tensor)
    steps = tuple(step for step in op.epilogue if not step.tensor)
    layer = op.layer or op.name
    kept = (("problem_macs", c.macs), (KEEPS_SUMS, True))
    return Replacement(
        (
            Operator(
                f"{op.name}.input", before, (x.name,), patches.name, layer, attributes=((INTEGERS, integers),)
            ),
            Operator(
                f"{op.name}.product", product, (patches.name, weight.name), sums.name, layer, attributes=kept
            ),
            Operator(f"{op.name}.output", after, (sums.name, *bias), op.output, layer, steps),
        ),
        (replace(weight, dtype=wide), patches, sums),
    )


def _conv(op: Operator) -> Conv2d:
    assert isinstance(op.problem, Conv2d)
    return op.problem
