"""The number scheme of a run: how each tensor is stored, and how sums become results.

The simplest sound scheme, stated in full. Integers: one symmetric scale a tensor, from the largest size that
its numbers reach in the float64 flow of the same network on the same input; weights from their own largest.
Where sums could pass half of an int32 (int16 operands), the scale of the weights grows until those of the
float64 flow do not. Views, moves of one tensor and max pools keep their input's scale. Fixed point: 2**-n
everywhere. Ternary and binary: as `tensor.encoding` says. A tensor with a grid of its own lies on that grid.

A bias is rounded to whole units of the sums. A sum becomes a result by an integer multiplier of at most 30
bits and a shift (one of each for every output channel, where weights have scales by channel), rounded, moved
by the zero point and saturated; relu and clip are limits on the result. Any other function, and any result in
ternary or binary, is computed from the rounded sum in double precision and rounded once more; a float result
is the sum times its scale. Where an operator's attribute `requantise` is "single", the sum becomes an fp32
number and is multiplied by an fp32 ratio instead, and that product is rounded to nearest even: the arithmetic
of onnxruntime's QLinearConv and QLinearMatMul (MlasRequantizeOutput), for networks with grids of their own.
Floats: sums in fp32, everything behind them in double precision, rounded once.
Weights of integers beside float activations are dequantised to the format of the activations on their way in;
only a grid or a codebook says what they stand for, so only those are taken. `recurrent_numbers` says what is
different in recurrent operators.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Float64Array, Int64Array
from hwsim.errors import UnsupportedError
from hwsim.functional.winograd_numbers import sums_encoding, transformed_encoding
from hwsim.tensor.encoding import Encoding, FixedPoint, chosen_encoding, largest_size, scaled_encoding
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.operators import Conv2d, Operator, Pool, Recurrent, Resize, Step, WinogradTransform
from hwsim.workload.winograd import keeps_sums

MULTIPLIER_BITS = 30
MOST_SHIFT = 62
BIAS_LIMIT = 2**31 - 1
SUM_LIMIT = 2**30  # half of what an int32 holds: what the sums of the float64 flow may reach
CLAMPS = ("relu", "clip")


@dataclass(frozen=True)
class Stored:
    """The elements of one tensor as the machine holds them."""

    values: Array
    encoding: Encoding

    @property
    def reals(self) -> Float64Array:
        return self.encoding.reals(self.values)


@dataclass(frozen=True, eq=False)
class Drain:
    """What happens to integer sums on their way out. Of the columns of a product, or of all of them together
    ([1]): `sum_scales` is what one unit of a sum stands for, and multipliers / 2**shifts takes it to one unit
    of `before`, the encoding that sums are rounded to (None where results are floats, which are the sum times
    its scale). `steps` are computed from it in double precision, or with `approximate` as integer machines
    do. `singles` are fp32 ratios in place of the multipliers."""

    sum_scales: Float64Array
    multipliers: Int64Array
    shifts: Int64Array
    low: int
    high: int
    before: Encoding | None
    steps: tuple[Step, ...]
    singles: NDArray[np.float32] | None = None
    approximate: bool = False


@dataclass(frozen=True)
class Numbers:
    """The scheme of a run; `fixed_point` is None for scaled integers and for floats. With `approximate`
    functions between integers are those of `approximation`."""

    fixed_point: FixedPoint | None = None
    approximate: bool = False

    def encode(self, tensor: Tensor, reals: Array) -> Encoding:
        """How a tensor is stored whose numbers in the float64 flow are `reals`. Raises UnsupportedError for
        scales by channel, which only the second operands of products may have."""
        if tensor.quantisation is not None:
            if tensor.quantisation.axis is not None:
                raise UnsupportedError(
                    f"tensor {tensor.name!r} has scales by channel, and only weights of conv2d and matmul "
                    "can have those: give it one scale"
                )
            return chosen_encoding(tensor)
        if tensor.index_range:
            return Encoding(find_format(tensor.dtype))  # whole numbers as they are
        return self.own(tensor.dtype, reals)

    def own(self, dtype: str, reals: Array) -> Encoding:
        """How numbers in that format are stored where nobody chose a grid."""
        if self.fixed_point is None:
            return scaled_encoding(dtype, reals)
        q = self.fixed_point
        return Encoding(find_format(dtype), 2.0**-q.fraction, q.rounding, symmetric=False)

    def store_weights(
        self, op: Operator, tensor: Tensor, weights: Array, x: Encoding, sums: Float64Array
    ) -> Stored:
        """The second operand of a product; `sums` are the product in the float64 flow. Raises
        UnsupportedError for a pair of formats without arithmetic."""
        given = find_format(tensor.dtype)
        grid = tensor.quantisation
        if x.is_float and given.kind != "float" and (grid is not None or tensor.codebook):
            wide = Encoding(x.format)
            if grid is not None:
                chosen = chosen_encoding(tensor)
                weights = chosen.reals(chosen.store(weights))
            return Stored(wide.store(weights), wide)
        check_pair(x, tensor)
        if grid is not None and not x.is_float:
            if grid.axis not in (None, channel_axis(op, len(tensor.shape))):
                raise UnsupportedError(
                    f"weights {tensor.name!r} have scales along axis {grid.axis}: a sum has one scale only "
                    f"if they lie along the output channels, axis {channel_axis(op, len(tensor.shape))}"
                )
            chosen = chosen_encoding(tensor)
            return Stored(chosen.store(weights), chosen)
        found = self.encode(tensor, weights)
        if found.format.kind == "int" and self.fixed_point is None:
            over = largest_size(sums) / (x.scale * found.scale) / SUM_LIMIT
            found = Encoding(found.format, found.scale * over) if over > 1 else found
        return Stored(found.store(weights), found)

    def encode_result(self, op: Operator, tensor: Tensor, reals: Array, inputs: Sequence[Stored]) -> Encoding:
        """How an operator's result is stored. Raises UnsupportedError for a view that would have to be stored
        anew."""
        source = inputs[0].encoding
        keeps = op.kind == "view" or (op.kind == "move" and len(inputs) == 1)
        keeps = keeps or (isinstance(op.problem, Pool) and op.problem.function == "max")
        keeps = keeps or op.kind == "gather"
        keeps = keeps or (isinstance(op.problem, Resize) and op.problem.function == "nearest")
        if keeps and tensor.quantisation is None and tensor.dtype == source.format.name:
            return source
        if keeps_sums(op) and not source.is_float:
            return sums_encoding(op, source, inputs[1].encoding)
        found = self.encode(tensor, reals)
        if isinstance(op.problem, WinogradTransform) and op.problem.direction == "input":
            return transformed_encoding(op.problem, source, found)
        if op.kind == "view" and found != source:
            raise UnsupportedError(
                f"tensor {tensor.name!r} is a view of {op.inputs[0]!r}, which is stored otherwise: give both "
                "one format and one grid"
            )
        return found

    def drain(
        self, op: Operator, x: Encoding, weights: Encoding, out: Encoding, linear: Float64Array
    ) -> Drain:
        """The way out for integer sums of `op`; `linear` is the float64 flow up to the first function."""
        factor, _, functions = split_steps(op.epilogue)
        scales = x.scale * weights.scales * factor
        if not scales.all():
            raise UnsupportedError(f"operator {op.name} multiplies its product by 0, so it has no scale")
        if keeps_sums(op):
            whole = np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
            return Drain(scales, *whole, -BIAS_LIMIT - 1, BIAS_LIMIT, out, ())
        if out.is_float:
            nothing = np.zeros(0, dtype=np.int64)
            return Drain(scales, nothing, nothing, 0, 0, None, functions)
        if out.format.kind == "int" and all(step.function in CLAMPS for step in functions):
            low, high = out.limits
            for step in functions:
                least, most = (_units(limit, out) for limit in _clamp(step))
                low, high = (int(min(max(end, least), most)) for end in (low, high))
            singles = None
            if dict(op.attributes).get("requantise") == "single":
                singles = scales.astype(np.float32) / np.float32(out.scale)
            return Drain(scales, *_multipliers(scales / out.scale), low, high, out, (), singles)
        # Between the sum and a function of it: the result's own format, but 16 bits before a few levels.
        own = out.format.kind == "int"
        before = self.own(out.format.name, linear) if own else scaled_encoding("int16", linear)
        return Drain(
            scales, *_multipliers(scales / before.scale), *before.limits, before, functions,
            approximate=self.approximate and own,
        )  # fmt: skip

    def bias(self, op: Operator, biases: Mapping[str, Array], scales: Float64Array) -> Array:
        """The bias in whole units of the sums, [channels] or [1]; zeros where there is none."""
        _, step, _ = split_steps(op.epilogue)
        if step is None:
            return np.zeros(1, dtype=np.int64)
        units = np.rint(biases[step.tensor].astype(np.float64).reshape(-1) * bias_factor(step) / scales)
        return np.clip(units, -BIAS_LIMIT, BIAS_LIMIT).astype(np.int64)


def float_bias(op: Operator, biases: Mapping[str, Array]) -> Array:
    """The bias of floating sums, in fp32 as it is kept."""
    _, step, _ = split_steps(op.epilogue)
    if step is None:
        return np.zeros(1)
    return biases[step.tensor].astype(np.float32).astype(np.float64).reshape(-1) * bias_factor(step)


def split_steps(steps: Sequence[Step]) -> tuple[float, Step | None, tuple[Step, ...]]:
    """The factor before the bias, the bias, and the functions behind. Raises UnsupportedError for steps in
    another order, which no front end makes."""
    factor, bias = 1.0, None
    functions: list[Step] = []
    for step in steps:
        if step.function == "scale" and bias is None and not functions:
            factor *= float(attribute(step.attributes, "factor", 1.0))
        elif step.function == "bias" and bias is None and not functions:
            bias = step
        elif step.tensor or step.function in ("bias", "scale"):
            raise UnsupportedError(f"a fused {step.function} cannot be verified behind another step")
        else:
            functions.append(step)
    return factor, bias, tuple(functions)


def bias_factor(step: Step) -> float:
    """What a bias is multiplied by before it is added."""
    return float(attribute(step.attributes, "factor", 1.0))


def attribute(attributes: Sequence[tuple[str, object]], name: str, default: float) -> float:
    """A number among an operator's attributes."""
    return float(str(dict(attributes).get(name, default)))


def channel_axis(op: Operator, rank: int) -> int:
    """The axis of a product's second operand, of that rank, that its output channels lie along."""
    if isinstance(op.problem, Conv2d | Recurrent):
        return 0
    return max(rank - 2, 0) if dict(op.attributes).get("trans_b") else rank - 1


def check_pair(x: Encoding, tensor: Tensor) -> None:
    """Refuse floats times integers. Raises UnsupportedError."""
    if x.is_float != (find_format(tensor.dtype).kind == "float"):
        raise UnsupportedError(
            f"there is no arithmetic for {x.format.name} times {tensor.dtype}: take integers on both sides, "
            "floats on both, or floats times weights with a grid or a codebook of their own"
        )


def _clamp(step: Step) -> tuple[float, float]:
    if step.function == "relu":
        return 0.0, math.inf
    return attribute(step.attributes, "min", -math.inf), attribute(step.attributes, "max", math.inf)


def _units(limit: float, encoding: Encoding) -> float:
    """A limit in the units of a result."""
    return float(encoding.store(np.array([limit]))[0]) if math.isfinite(limit) else limit


def _multipliers(ratios: Float64Array) -> tuple[Int64Array, Int64Array]:
    """Multipliers and shifts for each of `ratios`."""
    pairs = [_multiplier(float(ratio)) for ratio in ratios]
    return np.array([m for m, _ in pairs], dtype=np.int64), np.array([s for _, s in pairs], dtype=np.int64)


def _multiplier(ratio: float) -> tuple[int, int]:
    """`ratio` as multiplier / 2**shift to 30 bits, the multiplier odd or 1: powers of two are shifts alone.
    Below 2**-62 every sum becomes 0, as it should."""
    fraction, exponent = math.frexp(abs(ratio))
    shift = min(MULTIPLIER_BITS - exponent, MOST_SHIFT)
    whole = round(math.ldexp(abs(ratio), shift)) if shift >= 0 else round(fraction * 2**MULTIPLIER_BITS)
    shift = max(shift, 0)
    while whole and whole % 2 == 0 and shift > 0:
        whole, shift = whole // 2, shift - 1
    return int(math.copysign(max(whole, 1), ratio)), shift
