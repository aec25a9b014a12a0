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

from hwsim.arrays import Float64Array, Uint8Array
from hwsim.errors import UnsupportedError, VerificationError
from hwsim.functional.attention_tiles import attend_tiles, attention_deeds, locate_attention
from hwsim.functional.check import Agreement, Expected, compare, expect_vector
from hwsim.functional.check_recurrent import expect_steps
from hwsim.functional.execute import compute_operator
from hwsim.functional.flow import Flow, SumBits, check_formats, check_inputs, scheme, sum_bits
from hwsim.functional.functions import apply_steps
from hwsim.functional.locate import Place
from hwsim.functional.numbers import Numbers, Stored
from hwsim.functional.product_routes import Issued, executable, execute_product
from hwsim.functional.recurrent import StepRun
from hwsim.functional.step_walk import step_walk
from hwsim.functional.vectors import execute_vector
from hwsim.functional.walk import ProgramColumns, is_array
from hwsim.plan import Program
from hwsim.plan.mapping import AttentionMapping, StepMapping
from hwsim.plan.residency import Schedule
from hwsim.progress import Progress
from hwsim.result.verification import Verification
from hwsim.tensor.encoding import Encoding, FixedPoint
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Array
from hwsim.workload.graph import Workload, multiplied
from hwsim.workload.operators import Operator, Recurrent, Transfer

_MACS_PER_S, _RESULTS_PER_S, _WEIGHTS_PER_S, _TILES_PER_S = 8e9, 2e7, 4e7, 5e4
_FLOAT_TIMES = 2.5  # as long as integers: measured with resnet18 and alexnet on v100 and xeon_e5_2699v3
_OPERATORS_PER_S = 9e3
_GATES_PER_S, _STREAMED_PER_S = 1e7, 5e8  # of recurrent operators: gates, and weights read in every step

NOT_ELEMENTS = (
    "tiles of it on this kind of machine say how much they fetch and multiply, and not which elements, so "
    "that its numbers cannot be executed"
)


def verify_program(
    workload: Workload,
    order: Schedule,
    program: Program,
    *,
    accumulator_bits: SumBits,
    design: str = "",
    fixed_point: FixedPoint | None = None,
    approximate: bool = False,
    inputs: Mapping[str, Array] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Execute `program`, the joined plans of `order`, and compare every operator with the reference.

    Inputs of the network that `inputs` does not hold are drawn from its seed (standard normal); weights are
    its own. `accumulator_bits` is the width of one sum of the machine, or of each operator's by its name.
    `fixed_point` reads integers as Qm.n instead of scaling each tensor. With `approximate` functions between
    integers are those of integer machines (`functional.approximation`), each within its own bound. `progress`
    is called with (tiles done, tiles in all).
    Raises VerificationError for the first wrong operator, UnsupportedError for a number format without
    arithmetic here.
    """
    check_formats(workload, fixed_point, accumulator_bits)
    if approximate and not any(
        find_format(workload.tensors[op.output].dtype).kind == "int" for op in workload.operators
    ):
        raise UnsupportedError(
            f"{workload.name} computes no integers, and only functions between integers are approximated: "
            "choose --dtype int8, or leave --approximate out"
        )
    given = check_inputs(workload, inputs or {})
    flow = Flow(workload, order.operators, Numbers(fixed_point, approximate), given)
    run = _Verifying(flow, order, ProgramColumns(program), accumulator_bits)
    for index in range(len(order.operators)):
        run.step(index)
        if progress is not None:
            progress(int(program.first_tile[index + 1]), program.tiles)
    return run.table(design)


def estimate_s(workload: Workload, program: Program) -> float:
    """About how long verification takes on two cores, from rates measured with the shipped networks: products
    three times over, and those of floats once more for their bounds and in double precision throughout,
    inputs drawn, results compared, weights made, and a fixed cost for each operator and tile."""
    floats = sum(op.macs for op in workload.operators if _multiplies_floats(workload, op))
    made = [*workload.inputs, *(op.output for op in workload.operators)]
    results = sum(workload.tensors[name].elements for name in made)
    recurrent = [op.problem for op in workload.operators if isinstance(op.problem, Recurrent)]
    return (
        (workload.macs + (_FLOAT_TIMES - 1) * floats) / _MACS_PER_S
        + len(workload.operators) / _OPERATORS_PER_S
        + results / _RESULTS_PER_S
        + workload.parameter_count / _WEIGHTS_PER_S
        + program.tiles / _TILES_PER_S
        + sum(layer.T * layer.sums for layer in recurrent) / _GATES_PER_S
        + sum(layer.macs // layer.N for layer in recurrent) / _STREAMED_PER_S
    )


def _multiplies_floats(workload: Workload, op: Operator) -> bool:
    names = multiplied(op)
    return bool(names) and find_format(workload.tensors[names[0]].dtype).kind == "float"


@dataclass(eq=False)
class _Rows:
    operators: list[Operator] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    sqnr_db: list[float] = field(default_factory=list)


class _Verifying:
    """The Program's execution, up to the operator that comes next."""

    def __init__(
        self, flow: Flow, order: Schedule, columns: ProgramColumns, accumulator_bits: SumBits
    ) -> None:
        self.flow = flow
        self.order = order
        self.columns = columns
        self.accumulator_bits = accumulator_bits
        self.rows = _Rows()
        self.outputs: dict[str, Float64Array] = {}
        self.output_sqnr_db: dict[str, float] = {}
        self.unexecuted: list[str] = []

    def _bits(self, op: Operator) -> int:
        return sum_bits(self.accumulator_bits, op)

    def step(self, index: int) -> None:
        """Execute and check one operator of the schedule."""
        op = self.order.operators[index]
        self._check_issued(index, op)
        if isinstance(op.problem, Transfer):
            self._transfer(op, op.problem)
        elif op.kind == "view":
            self.flow.view(op)
        elif multiplied(op) and not executable(self.columns.program.plans[index]):
            self._by_reference(op)
        elif op.kind in ("conv2d", "matmul"):
            self._product(index, op)
        elif isinstance(op.problem, Recurrent):
            self._recurrent(index, op, op.problem)
        elif isinstance(mapping := self.columns.program.plans[index].mapping, AttentionMapping):
            self._attention(index, op, mapping)
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

    def _by_reference(self, op: Operator) -> None:
        """A product whose tiles cannot be executed: among others that can, what those read of it is computed
        without the machine, and nothing is said of it."""
        if not any(executable(plan) for plan in self.columns.program.plans):
            raise UnsupportedError(f"operator {op.name}: {NOT_ELEMENTS}")
        compute_operator(self.flow, op, self._bits(op))
        self.unexecuted.append(op.name)

    def _product(self, index: int, op: Operator) -> None:
        residency, workload = self.order.residencies[index], self.flow.workload
        assert residency is not None
        p = self.flow.product(op)
        shape = workload.tensors[op.output].shape
        issued = Issued(
            p, index, self.columns, residency, lambda: workload.values(op.inputs[1]), shape, self._bits(op)
        )
        outcome = execute_product(issued)
        found = outcome.found
        agreement = self._compare(
            index, op, found.values, found.written, outcome.expected, p.out, outcome.place
        )
        self._keep(index, op, Stored(found.values, p.out), p.result, agreement)

    def _recurrent(self, index: int, op: Operator, problem: Recurrent) -> None:
        plan, residency = self.columns.program.plans[index], self.order.residencies[index]
        assert residency is not None
        assert isinstance(plan.mapping, StepMapping)
        p = self.flow.recurrent(op, problem)
        walk = step_walk(problem, plan.mapping, self.columns.columns(index), residency)
        run = StepRun(p, plan.mapping, walk, self._bits(op))
        found = run.run()
        deep = tuple(-(-one.k // one.tile_k) for one in plan.mapping.products)
        expected, result = expect_steps(p, found.left, deep), found.result
        for got, wanted, of in (  # which nothing but the operator itself reads
            (found.left.cells, expected.cells, p.cell),
            (found.left.hidden, expected.hidden, p.hidden),
        ):
            if wanted is not None:
                self._compare(index, op, got, None, wanted, of, run.locate_step)
        agreement = self._compare(
            index, op, result.values, result.written, expected.result, p.out, run.locate
        )
        self._keep(index, op, Stored(result.values, p.out), p.result, agreement)

    def _vector(self, index: int, op: Operator) -> None:
        shape = self.flow.workload.tensors[op.output].shape
        p = self.flow.pointwise(op)
        rough = self.flow.numbers.approximate
        found = execute_vector(op, p.inputs, p.out, shape, approximate=rough)
        expected = expect_vector(op, p.inputs, p.out, shape, approximate=rough)
        tiles = len(self.columns.kinds(index))
        array = is_array(self.columns.program.plans[index].own_pipeline)
        stage, unit = ("drain", "activation unit") if array else ("compute", "machine")

        def place(_: tuple[int, ...]) -> Place:
            return Place(tiles - 1, stage, f"the {unit}'s {op.kind} computes something else")

        agreement = self._compare(index, op, found, None, expected, p.out, place)
        self._keep(index, op, Stored(found, p.out), p.result, agreement)

    def _attention(self, index: int, op: Operator, mapping: AttentionMapping) -> None:
        residency, shape = self.order.residencies[index], self.flow.workload.tensors[op.output].shape
        assert residency is not None
        p = self.flow.pointwise(op)
        deeds = attention_deeds(mapping, self.columns.columns(index), residency)
        reals, written = attend_tiles(op, mapping, p.inputs, deeds.complete)
        found = p.out.store(apply_steps(op.epilogue, reals).reshape(shape))
        times = np.ascontiguousarray(np.broadcast_to(written[..., None], reals.shape)).reshape(shape)
        expected = expect_vector(op, p.inputs, p.out, shape)
        agreement = self._compare(
            index, op, found, times, expected, p.out, lambda where: locate_attention(mapping, deeds, where)
        )
        self._keep(index, op, Stored(found, p.out), p.result, agreement)

    def _compare(
        self,
        index: int,
        op: Operator,
        got: Array,
        written: Uint8Array | None,
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

    def _keep(
        self, index: int, op: Operator, stored: Stored, reals: Float64Array, agreement: Agreement
    ) -> None:
        self.flow.keep(op.output, stored, reals)
        self.rows.agreements.append(agreement)
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
            max_units=np.array([a.units for a in found], dtype=np.float64),
            bound=np.array([a.bound for a in found], dtype=np.float64),
            used=np.array([a.used for a in found], dtype=np.float64),
            sqnr_db=np.array(rows.sqnr_db, dtype=np.float64),
            output_sqnr_db=dict(self.output_sqnr_db),
            outputs=dict(self.outputs),
            unexecuted=tuple(self.unexecuted),
        )


def _sqnr_db(wanted: Float64Array, got: Float64Array) -> float:
    """10 log10 of signal over noise; infinite without noise, minus infinite without signal."""
    with np.errstate(invalid="ignore", over="ignore"):
        noise = float(np.sum((got - wanted) ** 2))
        signal = float(np.sum(wanted**2))
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 and math.isfinite(noise) else -math.inf
