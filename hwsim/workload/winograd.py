"""Winograd's minimal filtering F(m x m, 3x3): its matrices, and the number formats that its parts need.

A tile of m x m results is A^T [(G g G^T) * (B^T d B)] A, with the 3x3 filter g and the (m + 2) x (m + 2)
patch d of the input (Lavin & Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, eq. 8 to
11 and sec. 4.3). B and A hold whole numbers alone; only G, which is applied when the network is compiled, has
fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.tensor.formats import accumulator_format, find_format, format_bits
from hwsim.workload.operators import Matmul, Operator, WinogradTransform

TILES = (2, 4)
WIDE = "int16"  # integers of which hold every transformed input of up to 8 bits exactly
KEEPS_SUMS = "keeps_sums"  # attribute of a product whose sums leave as they are added up
INTEGERS = "integers"  # attribute of an input transform: the format of what it makes of integers


def _matrix(rows: Sequence[Sequence[float]]) -> Float64Array:
    found = np.array(rows, dtype=np.float64)
    found.setflags(write=False)
    return found


# G, [m + 2, 3]: for what filters become.
FILTER: Mapping[int, Float64Array] = MappingProxyType(
    {
        2: _matrix([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
        4: _matrix(
            [
                [1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
                [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1],
            ]
        ),
    }
)  # fmt: skip

# B^T, [m + 2, m + 2]: for what patches of the input become.
INPUT: Mapping[int, Float64Array] = MappingProxyType(
    {
        2: _matrix([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
        4: _matrix(
            [
                [4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0],
                [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0], [0, 4, 0, -5, 0, 1],
            ]
        ),
    }
)  # fmt: skip

# A^T, [m, m + 2]: for what products become.
OUTPUT: Mapping[int, Float64Array] = MappingProxyType(
    {
        2: _matrix([[1, 1, 1, 0], [0, 1, -1, -1]]),
        4: _matrix([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]),
    }
)


def growth(matrix: Float64Array) -> int:
    """How many times larger than its operand M d M^T can be: the largest row sum of |M|, squared."""
    return int(np.abs(matrix).sum(axis=1).max()) ** 2


def transformed_format(activation: str, integers: str = WIDE) -> str:
    """The format in which transformed inputs and weights are multiplied, for activations in `activation`.
    Floats stay as they are, but those of 8 bits, which could not tell the sums apart, become as wide as
    holds their range."""
    if find_format(activation).kind != "float":
        return activation if format_bits(activation) > format_bits(WIDE) else integers
    return {"fp8_e4m3": "fp16", "fp8_e5m2": "bf16"}.get(activation, activation)


def winograd_formats(operators: Sequence[Operator], activation: str) -> dict[str, str]:
    """Tensor -> format for all that lies between the transforms of a network with activations in
    `activation`: what is multiplied, and sums, which stay as wide as they are added up."""
    found: dict[str, str] = {}
    transformed: set[str] = set()
    for op in operators:
        if isinstance(op.problem, WinogradTransform) and op.problem.direction == "input":
            integers = str(dict(op.attributes).get(INTEGERS, WIDE))
            found[op.output] = transformed_format(activation, integers)
            transformed.add(op.output)
        elif isinstance(op.problem, Matmul) and op.inputs[0] in transformed:
            found[op.inputs[1]] = found[op.inputs[0]]
            found[op.output] = accumulator_format(found[op.inputs[0]])
    return found


def keeps_sums(op: Operator) -> bool:
    """Whether the sums of a product leave the accumulators as they are, unrounded."""
    return (KEEPS_SUMS, True) in op.attributes
