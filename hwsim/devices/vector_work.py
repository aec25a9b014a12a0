"""Operators that are no products: how many element operations they take on any kind of device. A lane, of an
activation unit, a SIMD register or a multiprocessor, does one simple operation on one element a cycle.

The counts are hwsim's own reading of the definitions. A pass over the elements is one operation for each; a
function of one number (an exponential, a GELU) is one too, as a unit with a table of it has it. What is done
once for a row, such as a root or a reciprocal, is left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from hwsim.devices.recurrent_work import recurrent_operations
from hwsim.plan.residency import Residency
from hwsim.tensor.formats import format_bits
from hwsim.workload.functions import LINEAR_STEPS
from hwsim.workload.operators import (
    Elementwise,
    Fold,
    Lrn,
    Move,
    Norm,
    Operator,
    OperatorProblem,
    Pool,
    Recurrent,
    Reduce,
    Resize,
    Softmax,
    WinogradTransform,
)

VECTOR_KINDS = (
    "pool", "elementwise", "softmax", "lrn", "move", "norm", "gather", "append", "reduce", "resize", "fold",
)  # fmt: skip
# What the activation unit of the systolic kind runs: the work of a Winograd transform is that of its tiles,
# which only `vector_operations` counts.
UNIT_KINDS = (*VECTOR_KINDS, "winograd")

# Softmax passes four times over its row: maximum, exponential of the difference, sum, division; what is added
# to it first is one more pass. LRN squares and adds `size` neighbours, then scales, raises to a power and
# multiplies.
SOFTMAX_PASSES = 4
LRN_EXTRA_PASSES = 3
# Sum, difference from the mean, square and sum, multiplication by the reciprocal of the root; of a root mean
# square only the last two. A scale and a shift are one operation each, as in an elementwise batch norm.
NORM_PASSES: Mapping[str, int] = {"layer_norm": 4, "group_norm": 4, "rms_norm": 2}


def result_operations(operator: Operator) -> int:
    """Element operations for one result of any operator, fused steps included. A pass converts a result,
    scales and shifts it and applies one function; each further function is one more. Those that belong to the
    whole of an operator (transforms, windows laid over one another, steps of a recurrence) come on top: see
    `vector_operations`."""
    functions = sum(step.function not in LINEAR_STEPS for step in operator.epilogue)
    return _element_operations(operator.problem) + max(0, functions - 1)


def vector_operations(operator: Operator, results: int, total: int) -> int:
    """Element operations for `results` of the `total` results of an operator."""
    work = results * result_operations(operator)
    whole = _whole_operations(operator.problem)
    # Rounded up for each slice: edge tiles are transformed whole.
    return work + math.ceil(Fraction(whole * results, total)) if whole else work


def _element_operations(problem: OperatorProblem) -> int:
    """Of one result. Moves, lookups, and what a fold does beside its additions take one."""
    if isinstance(problem, Elementwise):
        # A rotary result is of three operands too: x cos, its partner's sine, and their sum.
        return max(1, problem.operands)
    if isinstance(problem, Softmax):
        return SOFTMAX_PASSES + problem.masked
    if isinstance(problem, Norm):
        return NORM_PASSES[problem.function] + problem.scaled + problem.shifted
    if isinstance(problem, Pool):
        return problem.R * problem.S
    if isinstance(problem, Reduce):
        return problem.cols
    if isinstance(problem, Resize):
        return problem.taps
    if isinstance(problem, Lrn):
        return problem.size + LRN_EXTRA_PASSES
    if isinstance(problem, Recurrent):
        return 0  # all of its work belongs to steps, of which there may be one more result
    return 1


def _whole_operations(problem: OperatorProblem) -> int:
    """Of all results together, beside those of each."""
    if isinstance(problem, Recurrent):
        return recurrent_operations(problem)
    if isinstance(problem, WinogradTransform):
        return problem.operations
    return problem.additions if isinstance(problem, Fold) else 0


def repeated_bytes(operator: Operator, residency: Residency) -> int:
    """Bytes that lanes read more than once, from a buffer or a cache: those of windows that overlap where a
    convolution's patches are copied. Memory delivers each element once."""
    if not isinstance(operator.problem, Move) or operator.problem.function != "im2col":
        return 0
    x = residency.operands[0]
    return max(0, -(-residency.output.elements * format_bits(x.dtype) // 8) - x.size_bytes)
