"""The number scheme of a run: how each tensor is stored, and how sums become results.

The simplest sound scheme, stated in full. Integers: one symmetric scale a tensor, from the largest size that
its numbers reach in the float64 flow of the same network on the same seeded input; weights from their own
largest. Where sums could pass half of an int32 (int16 operands), the scale of the weights grows until those
of the float64 flow do not. Views, moves of one tensor and max pools keep their input's scale. Fixed point:
2**-n everywhere. A bias is rounded to whole units of the sums. A sum becomes a result by an integer
multiplier of at most 30 bits and a shift, rounded and saturated; relu and clip are limits on the result, any
other function is computed from the rounded sum in double precision and rounded once more. Floats: sums in
fp32 (fp16 where accumulators have fewer than 32 bits), everything behind them in double precision, rounded
once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.errors import UnsupportedError
from hwsim.tensor.encoding import Encoding, FixedPoint, Float64Array, Rounding, scaled_encoding
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Array
from hwsim.workload.operators import Operator, Pool, Step

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


@dataclass(frozen=True)
class Multiplier:
    """multiplier / 2**shift, with the multiplier odd or 1: powers of two are shifts alone."""

    multiplier: int
    shift: int


@dataclass(frozen=True)
class Drain:
    """What happens to integer sums on their way out. `sum_scale` is what one unit of a sum stands for,
    `before` the encoding that they are rounded to, `steps` what is computed from it in double precision."""

    sum_scale: float
    multiplier: Multiplier
    low: int
    high: int
    before: Encoding
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Numbers:
    """The scheme for one pair of formats; `fixed_point` is None for scaled integers and for floats."""

    fixed_point: FixedPoint | None = None

    @property
    def rounding(self) -> Rounding:
        return self.fixed_point.rounding if self.fixed_point else "nearest_even"

    def encode(self, dtype: str, reals: Array) -> Encoding:
        """How a tensor is stored whose numbers in the float64 flow are `reals`."""
        if self.fixed_point is None:
            return scaled_encoding(dtype, largest_size(reals))
        return self._fixed(dtype)

    def _fixed(self, dtype: str) -> Encoding:
        assert self.fixed_point is not None
        return Encoding(
            find_format(dtype), 2.0**-self.fixed_point.fraction, self.fixed_point.rounding, symmetric=False
        )

    def encode_weights(self, dtype: str, weights: Array, x: Encoding, sums: Float64Array) -> Encoding:
        """How the second operand of a product is stored; `sums` are the product in the float64 flow."""
        found = self.encode(dtype, weights)
        if found.is_float != x.is_float:
            raise UnsupportedError(
                f"there is no arithmetic for {x.format.name} times {dtype}: verify with integers on both "
                "sides, or floats on both"
            )
        if found.is_float or self.fixed_point is not None:
            return found
        over = largest_size(sums) / (x.scale * found.scale) / SUM_LIMIT
        return Encoding(found.format, found.scale * over) if over > 1 else found

    def encode_result(self, op: Operator, dtype: str, reals: Array, inputs: Sequence[Stored]) -> Encoding:
        """How an operator's result is stored."""
        keeps = op.kind == "view" or (op.kind == "move" and len(inputs) == 1)
        if keeps or (isinstance(op.problem, Pool) and op.problem.function == "max"):
            return inputs[0].encoding
        return self.encode(dtype, reals)

    def drain(
        self, op: Operator, x: Encoding, weights: Encoding, out: Encoding, linear: Float64Array
    ) -> Drain:
        """The way out for integer sums of `op`; `linear` is the float64 flow up to the first function."""
        factor, _, functions = split_steps(op.epilogue)
        scale = x.scale * weights.scale * factor
        if scale == 0:
            raise UnsupportedError(f"operator {op.name} multiplies its product by 0, so it has no scale")
        if all(step.function in CLAMPS for step in functions):
            low, high = out.limits
            for step in functions:
                least, most = (_units(limit, out) for limit in _clamp(step))
                low, high = (int(min(max(end, least), most)) for end in (low, high))
            return Drain(scale, _multiplier(scale / out.scale), low, high, out, ())
        before = self.encode(out.format.name, linear)
        return Drain(scale, _multiplier(scale / before.scale), *before.limits, before, functions)

    def bias(self, op: Operator, biases: Mapping[str, Array], scale: float) -> Array:
        """The bias in whole units of the sums, [channels] or [1]; zeros where there is none."""
        _, step, _ = split_steps(op.epilogue)
        if step is None:
            return np.zeros(1, dtype=np.int64)
        units = np.rint(biases[step.tensor].astype(np.float64).reshape(-1) * bias_factor(step) / scale)
        return np.clip(units, -BIAS_LIMIT, BIAS_LIMIT).astype(np.int64)


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


def largest_size(values: Array) -> float:
    """The largest finite |value|; 0 when there is none."""
    if not values.size:
        return 0.0
    most = max(abs(float(values.max())), abs(float(values.min())))
    if math.isfinite(most):
        return most
    finite = values[np.isfinite(values)]
    return max(abs(float(finite.max())), abs(float(finite.min()))) if finite.size else 0.0


def _clamp(step: Step) -> tuple[float, float]:
    if step.function == "relu":
        return 0.0, math.inf
    return attribute(step.attributes, "min", -math.inf), attribute(step.attributes, "max", math.inf)


def _units(limit: float, encoding: Encoding) -> float:
    """A limit in the units of a result."""
    return float(encoding.store(np.array([limit]))[0]) if math.isfinite(limit) else limit


def _multiplier(ratio: float) -> Multiplier:
    """`ratio` to 30 bits. Below 2**-62 every sum becomes 0, as it should."""
    fraction, exponent = math.frexp(abs(ratio))
    shift = min(MULTIPLIER_BITS - exponent, MOST_SHIFT)
    whole = round(math.ldexp(abs(ratio), shift)) if shift >= 0 else round(fraction * 2**MULTIPLIER_BITS)
    shift = max(shift, 0)
    while whole and whole % 2 == 0 and shift > 0:
        whole, shift = whole // 2, shift - 1
    return Multiplier(int(math.copysign(max(whole, 1), ratio)), shift)
