"""Verification: the Program that was timed is executed in issue order, and every operator's results
compared.

The machine's flow carries stored numbers from operator to operator; each operator is compared with the
reference on exactly the operands that it read, so that differences do not pile up. The float64 flow beside it
says how much signal the number format has lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import UnsupportedError, VerificationError
from hwsim.functional.check import Agreement, Expected, compare, expect_product, expect_vector
from hwsim.functional.check_recurrent import expect_steps
from hwsim.functional.flow import Flow, check_formats, check_inputs, scheme
from hwsim.functional.locate import Place, locate
from hwsim.functional.numbers import Numbers, Stored
from hwsim.functional.products import ProductRun
from hwsim.functional.recurrent import StepRun
from hwsim.functional.step_walk import step_walk
from hwsim.functional.streams import locate_stream, read_flags, run_streams, whole_product
from hwsim.functional.vectors import execute_vector
from hwsim.functional.walk import ProgramColumns, walkable
from hwsim.plan import Program
from hwsim.plan.mapping import GemmMapping, StepMapping, StreamMapping
from hwsim.plan.residency import Residency, Schedule
from hwsim.result.verification import Verification
from hwsim.tensor.encoding import Encoding, FixedPoint, Float64Array
from hwsim.tensor.tensor import Array
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Operator, Recurrent, Transfer

Progress = Callable[[int, int], None]

_MACS_PER_S, _RESULTS_PER_S, _WEIGHTS_PER_S, _TILES_PER_S = 8e9, 2e7, 4e7, 5e4
_OPERATORS_PER_S = 9e3
_GATES_PER_S, _STREAMED_PER_S = 1e7, 5e8  # of recurrent operators: gates, and weights read in every step

NOT_ELEMENTS = (
    "tiles of this kind of machine say how much they fetch and multiply, and not which elements, so that its "
    "numbers cannot be executed"
)


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
    check_formats(workload, fixed_point, accumulator_bits)
    given = check_inputs(workload, inputs or {})
    flow = Flow(workload, order.operators, Numbers(fixed_point), given)
    run = _Verifying(flow, order, ProgramColumns(program), accumulator_bits)
    for index in range(len(order.operators)):
        run.step(index)
        if progress is not None:
            progress(int(program.first_tile[index + 1]), program.tiles)
    return run.table(design)


def estimate_s(workload: Workload, program: Program) -> float:
    """About how long verification takes on two cores, from rates measured with the shipped networks: products
    three times over, inputs drawn, results compared, weights made, and a fixed cost for each operator and
    tile."""
    made = [*workload.inputs, *(op.output for op in workload.operators)]
    results = sum(workload.tensors[name].elements for name in made)
    recurrent = [op.problem for op in workload.operators if isinstance(op.problem, Recurrent)]
    return (
        workload.macs / _MACS_PER_S
        + len(workload.operators) / _OPERATORS_PER_S
        + results / _RESULTS_PER_S
        + workload.parameter_count / _WEIGHTS_PER_S
        + program.tiles / _TILES_PER_S
        + sum(layer.T * layer.sums for layer in recurrent) / _GATES_PER_S
        + sum(layer.macs // layer.N for layer in recurrent) / _STREAMED_PER_S
    )


@dataclass(eq=False)
class _Rows:
    operators: list[Operator] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    sqnr_db: list[float] = field(default_factory=list)


class _Verifying:
    """The Program's execution, up to the operator that comes next."""

    def __init__(self, flow: Flow, order: Schedule, columns: ProgramColumns, accumulator_bits: int) -> None:
        self.flow = flow
        self.order = order
        self.columns = columns
        self.accumulator_bits = accumulator_bits
        self.rows = _Rows()
        self.outputs: dict[str, Float64Array] = {}
        self.output_sqnr_db: dict[str, float] = {}

    def step(self, index: int) -> None:
        """Execute and check one operator of the schedule."""
        op = self.order.operators[index]
        self._check_issued(index, op)
        if isinstance(op.problem, Transfer):
            self._transfer(op, op.problem)
        elif op.kind == "view":
            self.flow.view(op)
        elif op.kind in ("conv2d", "matmul"):
            self._product(index, op)
        elif isinstance(op.problem, Recurrent):
            self._recurrent(index, op, op.problem)
        else:
            self._vector(index, op)
        self.flow.forget(op)

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
            self.flow.receive(op.output)
        elif problem.direction == "out":
            name = op.inputs[0]
            self.outputs[name] = self.flow.stored[name].reals
            self.output_sqnr_db[name] = _sqnr_db(self.flow.reals[name], self.outputs[name])

    def _product(self, index: int, op: Operator) -> None:
        plan, residency = self.columns.program.plans[index], self.order.residencies[index]
        if isinstance(plan.mapping, StreamMapping) and residency is not None:
            self._streams(index, op, plan.mapping, residency)
            return
        if not isinstance(plan.mapping, GemmMapping) or residency is None or not walkable(plan.pipeline):
            raise UnsupportedError(f"operator {op.name}: {NOT_ELEMENTS}")
        shape = self.flow.workload.tensors[op.output].shape
        p = self.flow.product(op)
        walk = self.columns.walk(index, residency)
        arrived = p.bias if walk.constants_arrive else np.zeros_like(p.bias)
        run = ProductRun(op, plan.mapping, p.a, p.b, p.out, arrived, p.drain, self.accumulator_bits)
        found = run.run(walk, shape)
        deep = -(-plan.mapping.k // plan.mapping.tile_k)
        expected = expect_product(op, p.a, p.b, p.out, p.bias, p.drain, deep)

        def place(where: tuple[int, ...]) -> Place:
            at = locate(run, walk, where, shape)
            if at.stage == "drain" and not walk.constants_arrive:
                return Place(at.tile, "weights", "its bias is never fetched")
            return at

        self._check(index, op, found.values, found.written, expected, p.out, place)
        self._keep(index, op, Stored(found.values, p.out), p.result)

    def _streams(self, index: int, op: Operator, mapping: StreamMapping, residency: Residency) -> None:
        """A product whose second operand is in compressed streams."""
        shape = self.flow.workload.tensors[op.output].shape
        p = self.flow.product(op)
        if p.drain is None:
            raise UnsupportedError(f"operator {op.name}: compressed streams hold integers, not floats")
        flags = read_flags(mapping, self.columns.columns(index), residency, self.accumulator_bits)
        arrived = p.bias if flags.constants_arrive else np.zeros_like(p.bias)
        run = ProductRun(op, whole_product(op), p.a, p.b, p.out, arrived, p.drain, self.accumulator_bits)
        found, sums = run_streams(run, mapping, flags, self.flow.workload.values(op.inputs[1]), shape)
        expected = expect_product(op, p.a, p.b, p.out, p.bias, p.drain, 1)
        self._check(
            index, op, found.values, found.written, expected, p.out,
            lambda where: locate_stream(run, mapping, flags, sums, where, shape),
        )  # fmt: skip
        self._keep(index, op, Stored(found.values, p.out), p.result)

    def _recurrent(self, index: int, op: Operator, problem: Recurrent) -> None:
        plan, residency = self.columns.program.plans[index], self.order.residencies[index]
        if not isinstance(plan.mapping, StepMapping) or residency is None or not walkable(plan.pipeline):
            raise UnsupportedError(f"operator {op.name}: {NOT_ELEMENTS}")
        p = self.flow.recurrent(op, problem)
        walk = step_walk(plan.mapping, self.columns.columns(index), residency)
        run = StepRun(p, plan.mapping, walk, self.accumulator_bits)
        found = run.run()
        deep = tuple(-(-one.k // one.tile_k) for one in plan.mapping.products)
        states, cells = expect_steps(p, found.states.values, found.cells, deep)
        if problem.cell == "lstm":  # of which nothing but the next step reads the cell
            self._compare(index, op, found.cells, None, cells, p.cell, run.locate)
        self._check(index, op, found.states.values, found.states.written, states, p.out, run.locate)
        self._keep(index, op, Stored(found.states.values, p.out), p.result)

    def _vector(self, index: int, op: Operator) -> None:
        shape = self.flow.workload.tensors[op.output].shape
        p = self.flow.pointwise(op)
        found = execute_vector(op, p.inputs, p.out, shape)
        expected = expect_vector(op, p.inputs, p.out, shape)
        tiles = len(self.columns.kinds(index))

        def place(_: tuple[int, ...]) -> Place:
            return Place(tiles - 1, "drain", f"the activation unit's {op.kind} computes something else")

        self._check(index, op, found, None, expected, p.out, place)
        self._keep(index, op, Stored(found, p.out), p.result)

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
        self.rows.agreements.append(self._compare(index, op, got, written, expected, out, place))

    def _compare(
        self,
        index: int,
        op: Operator,
        got: Array,
        written: NDArray[np.uint8] | None,
        expected: Expected,
        out: Encoding,
        place: Callable[[tuple[int, ...]], Place],
    ) -> Agreement:
        """How results agree. Raises VerificationError for the first that is wrong."""
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
        return agreement

    def _keep(self, index: int, op: Operator, stored: Stored, reals: Float64Array) -> None:
        self.flow.keep(op.output, stored, reals)
        self.rows.operators.append(op)
        self.rows.tiles.append(len(self.columns.kinds(index)))
        self.rows.elements.append(int(stored.values.size))
        self.rows.sqnr_db.append(_sqnr_db(reals, stored.reals))

    # -- the end ---------------------------------------------------------------------------------------

    def table(self, design: str) -> Verification:
        """What was found."""
        rows, workload = self.rows, self.flow.workload
        formats = (workload.dtype, workload.weight_dtype)
        found = rows.agreements
        return Verification(
            workload=workload.name,
            design=design,
            dtype=formats[0] if formats[0] == formats[1] else "x".join(formats),
            scheme=scheme(workload, self.flow.numbers, self.accumulator_bits),
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


def _sqnr_db(wanted: Float64Array, got: Float64Array) -> float:
    """10 log10 of signal over noise; infinite without noise, minus infinite without signal."""
    with np.errstate(invalid="ignore", over="ignore"):
        noise = float(np.sum((got - wanted) ** 2))
        signal = float(np.sum(wanted**2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 and math.isfinite(noise) else -math.inf
