"""How integer machines approximate functions: the scheme, which both sides take as given.

Smooth functions of one stored integer come from a table of SEGMENTS segments over all numbers that it can
be, with ends of ENTRY_BITS bits and straight lines between them, as activation units have it (NVDLA's has
tables of 65 and 257 entries; NVIDIA, "NVDLA hardware manual", 2017, recalled). Softmax is I-BERT's: powers
by a polynomial of degree two and a shift, on numbers of EXP_FRACTION bits behind the point; normalisation
takes the integer square root (Kim et al., "I-BERT: Integer-only BERT Quantization", ICML 2021, sections 3.4
to 3.6), with `mean_fraction` bits behind the point for means. Results are rounded once more, to their own
format. All else, and all of it between floats, is computed in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwsim.functional.numbers import Stored
from hwsim.tensor.encoding import Encoding
from hwsim.workload.operators import Elementwise, Norm, Operator, Softmax, Step

SEGMENTS = 256
ENTRY_BITS = 16
TABLED = ("sigmoid", "tanh", "gelu", "gelu_tanh", "silu", "mish", "erf", "softplus")

EXP_FRACTION = 12
SHARE_FRACTION = 16  # of the shares that a softmax makes
NORM_FRACTION = 14  # of normalised numbers
MEAN_FRACTION = 8  # at most
SUM_BITS = 62  # that sums of squares may take


def mean_fraction(encoding: Encoding, columns: int) -> int:
    """Bits behind the point of means over so many numbers: as many as leave room for the sum of squares."""
    low, high = encoding.limits
    bits = (high - low).bit_length()
    return max(0, min(MEAN_FRACTION, (SUM_BITS - columns.bit_length() - 2 * bits) // 2))


def approximates(op: Operator, inputs: Sequence[Stored], out: Encoding) -> bool:
    """Whether integer machines approximate an operator that is no product."""
    if inputs[0].encoding.format.kind != "int" or out.format.kind != "int":
        return False
    if isinstance(op.problem, Elementwise):
        return op.problem.function in TABLED
    return isinstance(op.problem, Softmax | Norm)


def tabled(steps: Sequence[Step]) -> bool:
    """Whether what follows a rounded sum is one function that a table holds."""
    return len(steps) == 1 and steps[0].function in TABLED
