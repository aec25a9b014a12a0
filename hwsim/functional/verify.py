"""Verification: the Program that was timed is executed in issue order, and every operator's results
compared.

Two flows run side by side. The machine's carries stored numbers from operator to operator; each operator is
compared with the reference on exactly the operands that it read, so that differences do not pile up. The
float64 flow is the network itself: it sets the scales, and says how much signal the number format has lost.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import SpecError, UnsupportedError, VerificationError
from hwsim.functional.check import (
    Agreement,
    Expected,
    compare,
    expect_flow,
    expect_product,
    expect_vector,
)
from hwsim.functional.locate import Place, locate
from hwsim.functional.numbers import Numbers, Stored
from hwsim.functional.products import ProductRun, float_bias
from hwsim.functional.vectors import execute_vector
from hwsim.functional.walk import ProgramColumns
from hwsim.plan import Program
from hwsim.plan.residency import Schedule
from hwsim.result.verification import Verification
from hwsim.tensor.encoding import Encoding, FixedPoint, Float64Array
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Array, Seeded
from hwsim.workload.graph import Workload, operands
from hwsim.workload.operators import Operator, Transfer

Progress = Callable[[int, int], None]

_MACS_PER_S, _RESULTS_PER_S, _WEIGHTS_PER_S, _TILES_PER_S = 8e9, 2e7, 4e7, 5e4


def verify_program(
    workload: Workload,
    order: Schedule,
    program: Program,
    *,
    accumulator_bits: int,
    design: str = "",
    fixed_point: FixedPoint | None = None,
    inputs: Mapping[str, Array] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Execute `program`, the joined plans of `order`, and compare every operator with the reference.

    Inputs of the network that `inputs` does not hold are drawn from its seed (standard normal); weights are
    its own. `accumulator_bits`
    is the width of one sum of the machine. `fixed_point` reads integers as Qm.n instead of scaling each
    tensor. `progress` is called with (tiles done, tiles in all).
    Raises VerificationError for the first wrong operator, UnsupportedError for a number format without
    arithmetic here.
    """
    _check_formats(workload, fixed_point)
    flow = _Flow(workload, order, ProgramColumns(program), Numbers(fixed_point), accumulator_bits)
    flow.given.update(_checked(workload, inputs or {}))
    for index in range(len(order.operators)):
        flow.step(index)
        if progress is not None:
            progress(int(program.first_tile[index + 1]), program.tiles)
    return flow.table(design)


def estimate_s(workload: Workload, program: Program) -> float:
    """About how long verification takes on two cores, from rates measured with the shipped networks: products
    three times over, results compared, weights made, and a fixed cost for each tile."""
    results = sum(workload.tensors[op.output].elements for op in workload.operators)
    return (
        workload.macs / _MACS_PER_S
        + results / _RESULTS_PER_S
        + workload.parameter_count / _WEIGHTS_PER_S
        + program.tiles / _TILES_PER_S
    )


def _checked(workload: Workload, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    for name, values in inputs.items():
        if name not in workload.inputs or values.shape != workload.tensors[name].shape:
            wanted = {known: list(workload.tensors[known].shape) for known in workload.inputs}
            raise SpecError(f"input {name!r} of shape {list(values.shape)}: {workload.name} takes {wanted}")
    return inputs


def _check_formats(workload: Workload, fixed_point: FixedPoint | None) -> None:
    for name in (workload.dtype, workload.weight_dtype):
        found = find_format(name)
        if found.kind == "uint":
            raise UnsupportedError(f"{name} cannot be verified: scales are symmetric, so use int8 or a float")
        if fixed_point is not None and (found.kind != "int" or found.bits != fixed_point.bits):
            raise UnsupportedError(
                f"{fixed_point.name} has {fixed_point.bits} bits and the run uses {name}: choose "
                f"--dtype int{fixed_point.bits}"
            )


@dataclass(eq=False)
class _Rows:
    operators: list[Operator] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    sqnr_db: list[float] = field(default_factory=list)


class _Flow:
    """Both flows, up to the operator that comes next."""

    def __init__(
        self,
        workload: Workload,
        order: Schedule,
        columns: ProgramColumns,
        numbers: Numbers,
        accumulator_bits: int,
    ) -> None:
        self.workload = workload
        self.order = order
        self.columns = columns
        self.numbers = numbers
        self.accumulator_bits = accumulator_bits
        self.stored: dict[str, Stored] = {}
        self.reals: dict[str, Float64Array] = {}
        self.uses = Counter(name for op in order.operators for name in operands(op))
        self.rows = _Rows()
        self.given: dict[str, Array] = {}
        self.outputs: dict[str, Float64Array] = {}
        self.output_sqnr_db: dict[str, float] = {}

    def step(self, index: int) -> None:
        """Execute and check one operator of the schedule."""
        op = self.order.operators[index]
        self._check_issued(index, op)
        if isinstance(op.problem, Transfer):
            self._transfer(op, op.problem)
        elif op.kind == "view":
            shape = self.workload.tensors[op.output].shape
            constants = self._constants(op)
            source = self._operand(op.inputs[0], constants)
            reals = self._reals_of(op, constants)[0]
            self.stored[op.output] = Stored(source.values.reshape(shape), source.encoding)
            self.reals[op.output] = reals.astype(np.float64, copy=False).reshape(shape)
        elif op.kind in ("conv2d", "matmul"):
            self._product(index, op)
        else:
            self._vector(index, op)
        self._forget(op)

    def _check_issued(self, index: int, op: Operator) -> None:
        """Every operator has tiles, and no product has more of them than it has boxes."""
        first, end = self.columns.program.first_tile[index : index + 2].tolist()
        mapping = self.columns.program.plans[index].mapping
        nowhere = (op.name, (), math.nan, math.nan)
        if op.kind != "view" and first == end:
            raise VerificationError(*nowhere, None, "issue", "no tile of it is issued")
        if mapping is not None and end - first > mapping.tiles:
            tile = first + mapping.tiles
            raise VerificationError(*nowhere, tile, "issue", "it belongs to no box of the problem")

    def _transfer(self, op: Operator, problem: Transfer) -> None:
        if problem.direction == "in":
            tensor = self.workload.tensors[op.output]
            seed = self.workload.parameters.get("seed", 0)
            drawn = self.given.get(tensor.name)
            if drawn is None:
                drawn = Seeded(self.workload.name, tensor.name, tensor.shape, seed, "weight", fan_in=2)()
            encoding = self.numbers.encode(tensor.dtype, drawn)
            self.stored[op.output] = Stored(encoding.store(drawn), encoding)
            self.reals[op.output] = drawn.astype(np.float64)
        elif problem.direction == "out":
            name = op.inputs[0]
            self.outputs[name] = self.stored[name].reals
            self.output_sqnr_db[name] = _sqnr_db(self.reals[name], self.outputs[name])

    def _product(self, index: int, op: Operator) -> None:
        plan, residency = self.columns.program.plans[index], self.order.residencies[index]
        if plan.mapping is None or residency is None:
            raise UnsupportedError(f"operator {op.name}: its plan does not say which box each tile is")
        tensor = self.workload.tensors[op.output]
        constants = self._constants(op)
        linear, result = expect_flow(op, self._reals_of(op, constants), constants, tensor.shape)
        a = self._operand(op.inputs[0], constants)
        b = self._second(op, a.encoding, constants, linear)
        out = self.numbers.encode_result(op, tensor.dtype, result, (a, b))
        drain = None if out.is_float else self.numbers.drain(op, a.encoding, b.encoding, out, linear)
        bias = (
            float_bias(op, constants) if drain is None else self.numbers.bias(op, constants, drain.sum_scale)
        )
        walk = self.columns.walk(index, residency)
        arrived = bias if walk.constants_arrive else np.zeros_like(bias)
        run = ProductRun(op, plan.mapping, a, b, out, arrived, drain, self.accumulator_bits)
        found = run.run(walk, tensor.shape)
        deep = -(-plan.mapping.k // plan.mapping.tile_k)
        expected = expect_product(op, a, b, out, bias, drain, deep)

        def place(where: tuple[int, ...]) -> Place:
            at = locate(run, walk, where, tensor.shape)
            if at.stage == "drain" and not walk.constants_arrive:
                return Place(at.tile, "weights", "its bias is never fetched")
            return at

        self._check(index, op, found.values, found.written, expected, out, place)
        self._keep(index, op, Stored(found.values, out), result)

    def _vector(self, index: int, op: Operator) -> None:
        tensor = self.workload.tensors[op.output]
        constants = self._constants(op)
        inputs = [self._operand(name, constants) for name in op.inputs]
        reals = [x.astype(np.float64, copy=False) for x in self._reals_of(op, constants)]
        _, result = expect_flow(op, reals, constants, tensor.shape)
        out = self.numbers.encode_result(op, tensor.dtype, result, inputs)
        found = execute_vector(op, inputs, out, tensor.shape)
        expected = expect_vector(op, inputs, out, tensor.shape)
        tiles = len(self.columns.kinds(index))

        def place(_: tuple[int, ...]) -> Place:
            return Place(tiles - 1, "drain", f"the activation unit's {op.kind} computes something else")

        self._check(index, op, found, None, expected, out, place)
        self._keep(index, op, Stored(found, out), result)

    def _check(
        self,
        index: int,
        op: Operator,
        got: Array,
        written: NDArray[np.uint8] | None,
        expected: Expected,
        out: Encoding,
        place: Callable[[tuple[int, ...]], Place],
    ) -> None:
        agreement = compare(got, written, expected, out)
        if agreement.first_wrong is not None:
            where = tuple(int(i) for i in np.unravel_index(agreement.first_wrong, got.shape))
            at = place(where)
            times = 1 if written is None else int(written[where])
            reason = f"{at.reason} (written {times} times)" if times > 1 else at.reason
            tile = None if at.tile is None else at.tile + int(self.columns.program.first_tile[index])
            raise VerificationError(
                op.name,
                where,
                float(got[where]) if times else math.nan,
                float(expected.values.reshape(got.shape)[where]),
                tile,
                at.stage,
                reason,
            )
        self.rows.agreements.append(agreement)

    def _keep(self, index: int, op: Operator, stored: Stored, reals: Float64Array) -> None:
        self.stored[op.output], self.reals[op.output] = stored, reals
        self.rows.operators.append(op)
        self.rows.tiles.append(len(self.columns.kinds(index)))
        self.rows.elements.append(int(stored.values.size))
        self.rows.sqnr_db.append(_sqnr_db(reals, stored.reals))

    # -- operands --------------------------------------------------------------------------------------

    def _constants(self, op: Operator) -> Mapping[str, Array]:
        return {
            name: self.workload.values(name)
            for name in dict.fromkeys(operands(op))
            if self.workload.tensors[name].role in ("weight", "constant")
        }

    def _reals_of(self, op: Operator, constants: Mapping[str, Array]) -> list[Array]:
        """The float64 flow's operands; constants as they are given."""
        return [self.reals[name] if name in self.reals else constants[name] for name in op.inputs]

    def _operand(self, name: str, constants: Mapping[str, Array]) -> Stored:
        if name in self.stored:
            return self.stored[name]
        tensor, values = self.workload.tensors[name], constants[name]
        encoding = self.numbers.encode(tensor.dtype, values)
        return Stored(encoding.store(values), encoding)

    def _second(
        self, op: Operator, a: Encoding, constants: Mapping[str, Array], linear: Float64Array
    ) -> Stored:
        name = op.inputs[1]
        if name in self.stored:
            return self.stored[name]
        weights = constants[name]
        encoding = self.numbers.encode_weights(self.workload.tensors[name].dtype, weights, a, linear)
        return Stored(encoding.store(weights), encoding)

    def _forget(self, op: Operator) -> None:
        """Free what nobody reads any more."""
        for name in operands(op):
            self.uses[name] -= 1
            if not self.uses[name]:
                self.stored.pop(name, None)
                self.reals.pop(name, None)

    # -- the end ---------------------------------------------------------------------------------------

    def table(self, design: str) -> Verification:
        """What was found."""
        rows, workload = self.rows, self.workload
        formats = (workload.dtype, workload.weight_dtype)
        found = rows.agreements
        return Verification(
            workload=workload.name,
            design=design,
            dtype=formats[0] if formats[0] == formats[1] else "x".join(formats),
            scheme=_scheme(workload, self.numbers, self.accumulator_bits),
            seed=workload.parameters.get("seed", 0),
            names=tuple(op.name for op in rows.operators),
            kinds=tuple(op.kind for op in rows.operators),
            layers=tuple(op.layer for op in rows.operators),
            tiles=np.array(rows.tiles, dtype=np.int64),
            elements=np.array(rows.elements, dtype=np.int64),
            exact=np.array([a.exact for a in found], dtype=np.bool_),
            max_error=np.array([a.max_error for a in found], dtype=np.float64),
            bound=np.array([a.bound for a in found], dtype=np.float64),
            used=np.array([a.used for a in found], dtype=np.float64),
            sqnr_db=np.array(rows.sqnr_db, dtype=np.float64),
            output_sqnr_db=dict(self.output_sqnr_db),
            outputs=dict(self.outputs),
        )


def _scheme(workload: Workload, numbers: Numbers, accumulator_bits: int) -> str:
    """How numbers were stored, in a sentence."""
    if numbers.fixed_point is not None:
        q = numbers.fixed_point
        return (
            f"fixed point {q.name}, saturating, rounding {q.rounding.replace('_', ' ')}, sums of "
            f"{accumulator_bits} bits"
        )
    if find_format(workload.dtype).kind == "float":
        width = "fp32" if accumulator_bits >= 32 else "fp16"
        return f"{workload.dtype} operands, sums in {width}, results rounded to nearest even"
    return (
        "one symmetric scale a tensor from the largest number of the float64 flow, sums of "
        f"{accumulator_bits} bits, results requantised to nearest even"
    )


def _sqnr_db(wanted: Float64Array, got: Float64Array) -> float:
    """10 log10 of signal over noise; infinite without noise, minus infinite without signal."""
    with np.errstate(invalid="ignore", over="ignore"):
        noise = float(np.sum((got - wanted) ** 2))
        signal = float(np.sum(wanted**2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 and math.isfinite(noise) else -math.inf
