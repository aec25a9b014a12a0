"""Pointwise functions that operators and epilogues name, with the attributes each takes and their defaults.

Definitions and defaults are those of the ONNX operators of the same names (onnx.ai/onnx/operators).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from hwsim.errors import SpecError
from hwsim.workload.operators import Attributes

# One operand. A default of None: the attribute is left out when nobody gives it (no limit).
UNARY: Mapping[str, Mapping[str, float | None]] = {
    "relu": {},
    "leaky_relu": {"alpha": 0.01},
    "sigmoid": {},
    "tanh": {},
    "clip": {"min": None, "max": None},
    "elu": {"alpha": 1.0},
    "celu": {"alpha": 1.0},
    "selu": {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
    "softplus": {},
    "softsign": {},
    "hard_sigmoid": {"alpha": 0.2, "beta": 0.5},
    "hard_swish": {},
    "gelu": {},
    "gelu_tanh": {},  # ONNX Gelu with approximate="tanh"
    "silu": {},
    "mish": {},
    "erf": {},
    "exp": {},
    "log": {},
    "sqrt": {},
    "reciprocal": {},
    "abs": {},
    "neg": {},
}

# Two operands or more; all broadcast as numpy does. prelu(x, slope) is x where x > 0, else slope * x.
NARY = ("add", "mul", "max", "min")
BINARY = (*NARY, "sub", "div", "pow", "prelu")

# Fused steps that are part of a product's sum, or of the conversion of any result: no functions.
LINEAR_STEPS = ("bias", "scale")


def unary_attributes(function: str, given: Mapping[str, float | None]) -> Attributes:
    """The attributes of `function`, defaults filled in, sorted by name. Raises SpecError for one it lacks
    or one that is not a finite number."""
    known = UNARY[function]
    if unknown := sorted(set(given) - set(known)):
        takes = f"takes {', '.join(known)}" if known else "takes no attributes"
        raise SpecError(f"{function} has no attribute {unknown[0]!r}: it {takes}")
    merged = {**known, **{name: value for name, value in given.items() if value is not None}}
    for name, value in merged.items():
        if value is not None and not math.isfinite(value):
            raise SpecError(f"{function} has {name} {value}: it must be a finite number")
    low, high = merged.get("min"), merged.get("max")
    if low is not None and high is not None and low > high:
        raise SpecError(f"{function} has min {low:g} above max {high:g}: exchange them")
    return tuple(sorted((name, float(value)) for name, value in merged.items() if value is not None))
