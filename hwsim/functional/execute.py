"""Networks executed without a machine: in their own number formats by the reference's arithmetic, and in
float64. For accuracy over many images and for calibration; verification executes what a Program does."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.errors import SpecError
from hwsim.functional import reference
from hwsim.functional.check import drained, exact_sums, expect_flow, vector_result
from hwsim.functional.check_recurrent import alone
from hwsim.functional.flow import (
    Flow,
    check_formats,
    check_inputs,
    constants_of,
    given_or_drawn,
    viewed,
)
from hwsim.functional.images import for_inputs
from hwsim.functional.numbers import Numbers, Stored
from hwsim.tensor.encoding import Encoding, FixedPoint
from hwsim.tensor.tensor import Array
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Operator, Recurrent

MOST_SUM_BITS = 62  # wider accumulators never wrap: exact sums stay below 2**53


def execute(
    workload: Workload,
    inputs: Mapping[str, Array],
    *,
    fixed_point: FixedPoint | None = None,
    accumulator_bits: int = 32,
) -> dict[str, Float64Array]:
    """The outputs of `workload` in the number formats that it states, as reals.

    `inputs` may stack more images along the first axis than the network was loaded for; outputs then do too.
    Inputs that it does not hold are drawn from the network's seed. Scales that nobody chose follow from the
    float64 flow of these inputs, all images together (`functional.numbers` states the scheme; a grid on a
    tensor fixes it). Integers are what a machine with accumulators of that many bits computes, wrapping
    included. Floats are summed in float64, where machines sum in fp32, and rounded once.
    Raises SpecError for inputs that do not fit, UnsupportedError for formats without arithmetic.
    """
    found = execute_stored(
        workload, inputs, fixed_point=fixed_point, accumulator_bits=accumulator_bits, keep=workload.outputs
    )
    return {name: found[name].reals for name in workload.outputs}


def execute_stored(
    workload: Workload,
    inputs: Mapping[str, Array],
    *,
    fixed_point: FixedPoint | None = None,
    accumulator_bits: int = 32,
    keep: Collection[str] | None = None,
) -> dict[str, Stored]:
    """As `execute`, but what the machine holds of the tensors named in `keep`: stored elements with their
    encoding. Without `keep`, of every input, activation and output of the network."""
    check_formats(workload, fixed_point, accumulator_bits)
    inputs = {name: np.asarray(values) for name, values in inputs.items()}
    stacked = for_inputs(workload, inputs)
    given = check_inputs(stacked, inputs)
    computed = (*stacked.inputs, *(op.output for op in stacked.operators))
    wanted = tuple(dict.fromkeys(computed if keep is None else keep))
    unknown = [name for name in wanted if name not in computed]
    if unknown:
        raise SpecError(f"{workload.name} neither receives nor computes a tensor {unknown[0]!r}")
    flow = Flow(stacked, stacked.operators, Numbers(fixed_point), given, wanted)
    for name in stacked.inputs:
        flow.receive(name)
    for op in stacked.operators:
        if all(name in flow.stored for name in wanted):
            break
        compute_operator(flow, op, accumulator_bits)
        flow.forget(op)
    return {name: flow.stored[name] for name in wanted}


def activations(workload: Workload, inputs: Mapping[str, Array]) -> dict[str, Float64Array]:
    """The float64 flow: the reals of every input, activation and output of `workload`, whatever formats it
    states. `inputs` are as for `execute`, and all results stay in memory together. Raises SpecError for
    inputs that do not fit."""
    inputs = {name: np.asarray(values) for name, values in inputs.items()}
    stacked = for_inputs(workload, inputs)
    given = check_inputs(stacked, inputs)
    found: dict[str, Float64Array] = {
        name: given_or_drawn(stacked, name, given).astype(np.float64) for name in stacked.inputs
    }
    for op in stacked.operators:
        constants = constants_of(stacked, op)
        shape = stacked.tensors[op.output].shape
        reals: list[Array] = [found[name] if name in found else constants[name] for name in op.inputs]
        if op.kind == "view":
            found[op.output] = viewed(op, reals[0].astype(np.float64, copy=False), shape)
        else:
            found[op.output] = expect_flow(op, reals, constants, shape)[1]
    return found


def compute_operator(flow: Flow, op: Operator, accumulator_bits: int) -> None:
    """One operator by the reference's arithmetic, in both flows."""
    sum_bits = min(accumulator_bits, MOST_SUM_BITS)
    if op.kind == "view":
        flow.view(op)
        return
    shape = flow.workload.tensors[op.output].shape
    if op.kind in ("conv2d", "matmul"):
        p = flow.product(op)
        sums = exact_sums(op, p.a, p.b)
        if p.drain is not None:
            sums = reference.wrapped(sums, sum_bits)
        found = drained(op, sums, p.bias, p.drain, p.out)
        flow.keep(op.output, _stored(found.reshape(shape), p.out), p.result)
        return
    if isinstance(op.problem, Recurrent):
        s = flow.recurrent(op, op.problem)
        flow.keep(op.output, Stored(_typed(alone(s, sum_bits), s.out), s.out), s.result)
        return
    q = flow.pointwise(op)
    found = vector_result(op, q.inputs, q.out, shape)
    flow.keep(op.output, _stored(found.reshape(shape), q.out), q.result)


def _stored(found: Float64Array, out: Encoding) -> Stored:
    """Reals before their rounding to a float format, or stored integers."""
    return Stored(out.store(found) if out.is_float else _typed(found, out), out)


def _typed(found: Float64Array, out: Encoding) -> Array:
    """Numbers that `out` holds, in the type that they are kept in."""
    return found.astype(np.float32 if out.is_float else out.integer_type)
