"""A network's numbers, operator by operator: stored ones and those of the float64 flow side by side, and for
each operator how its operands are stored and what becomes of its results. Executes nothing itself.

The float64 flow is the network itself on the same input. It sets the scales that nobody chose.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.errors import SpecError, UnsupportedError
from hwsim.functional import reference_recurrent
from hwsim.functional.check import expect_flow
from hwsim.functional.numbers import Drain, Numbers, Stored, check_pair, float_bias
from hwsim.functional.recurrent_numbers import Steps, steps_of
from hwsim.tensor.encoding import Encoding, FixedPoint
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Array, Shape, Tensor, draw_input
from hwsim.workload.graph import WEIGHTED, Workload, multiplied, operands
from hwsim.workload.operators import Operator, Recurrent
from hwsim.workload.winograd import winograd_formats

SUM_OF_FLOATS_BITS = 32

SumBits = int | Mapping[str, int]  # the width of one sum: of all operators, or by the name of each


def sum_bits(accumulator_bits: SumBits, op: Operator) -> int:
    """The width of one sum of an operator."""
    return accumulator_bits if isinstance(accumulator_bits, int) else accumulator_bits[op.name]


@dataclass(frozen=True, eq=False)
class Product:
    """All that decides the numbers of one conv2d or matmul. `bias` is in whole units of the sums where
    `drain` takes integers out, and in reals where it is None; `result` is the float64 flow's."""

    op: Operator
    a: Stored
    b: Stored
    out: Encoding
    drain: Drain | None
    bias: Array
    result: Float64Array


@dataclass(frozen=True, eq=False)
class Pointwise:
    """The same for any other operator."""

    op: Operator
    inputs: tuple[Stored, ...]
    out: Encoding
    result: Float64Array


class Flow:
    """Both flows, up to the operator that comes next. Tensors that nobody reads any more are forgotten,
    except those named in `keep`."""

    def __init__(
        self,
        workload: Workload,
        operators: Sequence[Operator],
        numbers: Numbers,
        given: Mapping[str, Array],
        keep: Iterable[str] = (),
    ) -> None:
        self.workload = workload
        self.numbers = numbers
        self.given = given
        self.stored: dict[str, Stored] = {}
        self.reals: dict[str, Float64Array] = {}
        self._uses = Counter(name for op in operators for name in operands(op))
        self._uses.update(keep)

    def receive(self, name: str) -> None:
        """Store an input of the network, as given or drawn from its seed."""
        tensor = self.workload.tensors[name]
        drawn = given_or_drawn(self.workload, name, self.given)
        encoding = self.numbers.encode(tensor, drawn)
        self.keep(name, Stored(encoding.store(drawn), encoding), drawn.astype(np.float64))

    def view(self, op: Operator) -> None:
        """The same elements in another shape, or some of them."""
        tensor = self.workload.tensors[op.output]
        constants = self._constants(op)
        source = self._operand(op.inputs[0], constants)
        reals = viewed(op, self._reals_of(op, constants)[0].astype(np.float64, copy=False), tensor.shape)
        encoding = self.numbers.encode_result(op, tensor, reals, (source,))
        self.keep(op.output, Stored(viewed(op, source.values, tensor.shape), encoding), reals)

    def product(self, op: Operator) -> Product:
        """What a conv2d or matmul works on. Raises UnsupportedError for formats without arithmetic."""
        tensor = self.workload.tensors[op.output]
        constants = self._constants(op)
        linear, result = expect_flow(op, self._reals_of(op, constants), constants, tensor.shape)
        a = self._operand(op.inputs[0], constants)
        b = self._second(op, a.encoding, constants, linear)
        out = self.numbers.encode_result(op, tensor, result, (a, b))
        if a.encoding.is_float:
            return Product(op, a, b, out, None, float_bias(op, constants), result)
        drain = self.numbers.drain(op, a.encoding, b.encoding, out, linear)
        return Product(op, a, b, out, drain, self.numbers.bias(op, constants, drain.sum_scales), result)

    def pointwise(self, op: Operator) -> Pointwise:
        """What any other operator works on."""
        tensor = self.workload.tensors[op.output]
        constants = self._constants(op)
        inputs = tuple(self._operand(name, constants) for name in op.inputs)
        reals = [x.astype(np.float64, copy=False) for x in self._reals_of(op, constants)]
        _, result = expect_flow(op, reals, constants, tensor.shape)
        return Pointwise(op, inputs, self.numbers.encode_result(op, tensor, result, inputs), result)

    def recurrent(self, op: Operator, problem: Recurrent) -> Steps:
        """What a recurrent operator works on. Raises UnsupportedError for formats without arithmetic."""
        constants = self._constants(op)
        flowed = reference_recurrent.flow(problem, self._reals_of(op, constants))
        return steps_of(
            op, problem, lambda name: self._operand(name, constants), self.numbers, self.workload.tensors,
            constants, flowed,
        )  # fmt: skip

    def keep(self, name: str, stored: Stored, reals: Float64Array) -> None:
        """What tensor `name` holds from now on, in both flows."""
        self.stored[name], self.reals[name] = stored, reals

    def forget(self, op: Operator) -> None:
        """Free what nobody reads any more."""
        for name in operands(op):
            self._uses[name] -= 1
            if not self._uses[name]:
                self.stored.pop(name, None)
                self.reals.pop(name, None)

    # -- operands --------------------------------------------------------------------------------------

    def _constants(self, op: Operator) -> Mapping[str, Array]:
        return constants_of(self.workload, op)

    def _reals_of(self, op: Operator, constants: Mapping[str, Array]) -> list[Array]:
        """The float64 flow's operands; constants as they are given."""
        return [self.reals[name] if name in self.reals else constants[name] for name in op.inputs]

    def _operand(self, name: str, constants: Mapping[str, Array]) -> Stored:
        if name in self.stored:
            return self.stored[name]
        values = constants[name]
        encoding = self.numbers.encode(self.workload.tensors[name], values)
        return Stored(encoding.store(values), encoding)

    def _second(
        self, op: Operator, a: Encoding, constants: Mapping[str, Array], linear: Float64Array
    ) -> Stored:
        tensor = self.workload.tensors[op.inputs[1]]
        found = self.stored.get(tensor.name)
        if found is None:
            return self.numbers.store_weights(op, tensor, constants[tensor.name], a, linear)
        check_pair(a, tensor)
        return found


def viewed(op: Operator, values: Array, shape: Shape) -> Array:
    """What a view shows of an operand: all of it, or some rows, in `shape`."""
    rows = dict(op.attributes).get("rows")
    cut = slice(None) if rows is None else slice(*np.asarray(rows).tolist())
    return values[cut].reshape(shape)


def constants_of(workload: Workload, op: Operator) -> dict[str, Array]:
    """The weights and constants that an operator reads, as they are given."""
    return {
        name: workload.values(name)
        for name in dict.fromkeys(operands(op))
        if workload.tensors[name].role in ("weight", "constant", "cache")
    }


def given_or_drawn(workload: Workload, name: str, given: Mapping[str, Array]) -> Array:
    """The numbers of an input: as given, or drawn from the network's seed."""
    if name in given:
        return given[name]
    return draw_input(workload.name, workload.tensors[name], workload.parameters.get("seed", 0))


def check_inputs(workload: Workload, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """Refuse numbers for what is no input, of another shape, or not finite. Raises SpecError."""
    for name, values in inputs.items():
        if name not in workload.inputs or values.shape != workload.tensors[name].shape:
            wanted = {known: list(workload.tensors[known].shape) for known in workload.inputs}
            raise SpecError(f"input {name!r} of shape {list(values.shape)}: {workload.name} takes {wanted}")
        if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
            raise SpecError(f"input {name!r} of {workload.name} holds what is not a finite number")
    return inputs


def check_formats(workload: Workload, fixed_point: FixedPoint | None, accumulator_bits: SumBits) -> None:
    """Refuse formats that cannot be executed, before anything is. Raises UnsupportedError."""
    between = winograd_formats(workload.operators, workload.dtype)
    for op in workload.operators:
        # Biases and other constants are as wide as sums, and are rounded to their units.
        names = [n for n in op.inputs if n in multiplied(op) or workload.tensors[n].role not in _WIDE_ROLES]
        executed = [t for name in (*names, op.output) if not (t := workload.tensors[name]).index_range]
        for tensor in executed:
            # What lies between Winograd's transforms is as wide as it needs, in fixed point too.
            _check_format(tensor, None if tensor.name in between else fixed_point)
        if multiplied(op) and sum_bits(accumulator_bits, op) < SUM_OF_FLOATS_BITS:
            _check_sums(op, workload.tensors[op.inputs[0]], sum_bits(accumulator_bits, op))


_WIDE_ROLES = ("weight", "constant")


def _check_format(tensor: Tensor, fixed_point: FixedPoint | None) -> None:
    found = find_format(tensor.dtype)
    if found.kind == "uint":
        raise UnsupportedError(
            f"tensor {tensor.name!r}: {tensor.dtype} cannot be executed: use int8, with a zero point where "
            "numbers have no sign, or a float"
        )
    if fixed_point is None or tensor.quantisation is not None:
        return
    if found.kind != "int" or found.bits != fixed_point.bits:
        raise UnsupportedError(
            f"{fixed_point.name} has {fixed_point.bits} bits and the run uses {tensor.dtype}: choose "
            f"--dtype int{fixed_point.bits}"
        )


def _check_sums(op: Operator, a: Tensor, accumulator_bits: int) -> None:
    if find_format(a.dtype).kind == "float":
        raise UnsupportedError(
            f"operator {op.name} multiplies {a.dtype}, and accumulators of {accumulator_bits} bits cannot "
            "hold sums in fp32: set accumulators.width_bits to 32 or more, or run integers with --dtype int8"
        )


def scheme(workload: Workload, numbers: Numbers, accumulator_bits: SumBits) -> str:
    """How numbers were stored, in a sentence or two."""
    tensors = workload.tensors
    if isinstance(accumulator_bits, int):
        said = [_own_scheme(workload.dtype, workload.weight_dtype, numbers, accumulator_bits)]
    else:
        said = []
        for op in (op for op in workload.operators if multiplied(op)):
            a, b = (tensors[name].dtype for name in multiplied(op)[:2])
            said.append(_own_scheme(a, b, numbers, sum_bits(accumulator_bits, op)))
        said = list(dict.fromkeys(said))
    grids = [t for t in tensors.values() if t.quantisation is not None]
    if grids:
        channels = sum(t.quantisation is not None and t.quantisation.axis is not None for t in grids)
        some = f", {channels} of them with scales by channel" if channels else ""
        said.append(f"{len(grids)} tensors on grids that were chosen{some}")
    wide = [op for op in workload.operators if op.kind in WEIGHTED and _dequantises(op, tensors)]
    if wide:
        dtypes = ", ".join(dict.fromkeys(tensors[op.inputs[0]].dtype for op in wide))
        said.append(f"weights of {len(wide)} operators dequantised to {dtypes} on their way in")
    if numbers.approximate:
        said.append("functions between integers by tables, softmax and norms in whole numbers")
    return "; ".join(said)


def _dequantises(op: Operator, tensors: Mapping[str, Tensor]) -> bool:
    kinds = [find_format(tensors[name].dtype).kind for name in op.inputs[:2]]
    return kinds[0] == "float" and kinds[1] != "float"


def _own_scheme(dtype: str, weight_dtype: str, numbers: Numbers, accumulator_bits: int) -> str:
    if numbers.fixed_point is not None:
        q = numbers.fixed_point
        return (
            f"fixed point {q.name}, saturating, rounding {q.rounding.replace('_', ' ')}, sums of "
            f"{accumulator_bits} bits"
        )
    if find_format(dtype).kind == "float":
        return f"{dtype} operands, sums in fp32, results rounded to nearest even"
    kinds = {find_format(name).name: find_format(name).kind for name in (dtype, weight_dtype)}
    levels = ", ".join(name for name, kind in kinds.items() if kind == "levels")
    scales = [f"{levels} by one scale a tensor from the mean size"] if levels else []
    if "int" in kinds.values():
        scales.append("one symmetric scale a tensor from the largest number of the float64 flow")
    return f"{', '.join(scales)}, sums of {accumulator_bits} bits, results requantised to nearest even"
