"""Pointwise functions as the activation unit computes them: compiled, in double precision."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.functional.numbers import attribute
from hwsim.workload.operators import Attributes, Step

# Function -> the names and defaults of the one or two attributes it takes.
_ATTRIBUTES = {
    "leaky_relu": (("alpha", 0.01),),
    "clip": (("min", -math.inf), ("max", math.inf)),
    "elu": (("alpha", 1.0),),
    "celu": (("alpha", 1.0),),
    "selu": (("alpha", 1.67326319217681884765625), ("gamma", 1.05070102214813232421875)),
    "hard_sigmoid": (("alpha", 0.2), ("beta", 0.5)),
}


def apply_steps(steps: Sequence[Step], reals: Float64Array) -> Float64Array:
    """The fused functions of `steps`, one after the other. A new array unless there are none."""
    for step in steps:
        reals = apply_unary(step.function, step.attributes, reals)
    return reals


def apply_unary(function: str, attributes: Attributes, reals: Float64Array) -> Float64Array:
    """One function of `workload.functions.UNARY`."""
    from hwsim.kernels import activation_unit as kernels

    found = np.array(reals, dtype=np.float64, order="C")
    given = [attribute(attributes, *known) for known in _ATTRIBUTES.get(function, ())]
    a, b = [*given, 0.0, 0.0][:2]
    kernels.apply_unary(found.reshape(-1), kernels.UNARY_CODES[function], a, b)
    return found


def apply_binary(function: str, left: Float64Array, right: Float64Array) -> Float64Array:
    """One function of `workload.functions.BINARY`, broadcast as numpy does."""
    from hwsim.kernels import activation_unit as kernels

    shape = np.broadcast_shapes(left.shape, right.shape)
    found = np.array(np.broadcast_to(left, shape), dtype=np.float64, order="C")
    other = np.ascontiguousarray(np.broadcast_to(right, shape))
    kernels.apply_binary(found.reshape(-1), other.reshape(-1), kernels.BINARY_CODES[function])
    return found
