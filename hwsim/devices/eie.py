"""The eie kind: PEs that hold a compressed matrix, row by row in turn, and multiply it with the nonzero
elements of a vector, broadcast one a cycle.

A tile is one vector and as many of its elements as the register files hold, and as the matrix has columns in
the PEs at a time. Cycles come from the matrix's and the vector's own zeros. Weights lie in the PEs before a
run begins, as do the network's inputs; those that have no room come in through `io` while PEs stand idle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.design.kinds.eie import EieSpec
from hwsim.devices.columns import lay_out
from hwsim.devices.eie_matrix import Matrix, read_broadcast, read_matrix, transposed
from hwsim.devices.eie_pipeline import ACTIVATION_BITS, CAUSES, COLUMN_BITS, eie_components, make_pipeline
from hwsim.devices.eie_tiles import ArrayWork, TileMoves, array_work, tile_moves
from hwsim.devices.eie_weights import column_parts, store_weights
from hwsim.devices.vector_tiles import vector_tiles
from hwsim.devices.vector_work import VECTOR_KINDS, result_operations, vector_operations
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.plan import Cause, Component, Pipeline, Plan
from hwsim.plan.mapping import StreamMapping
from hwsim.plan.matvec import vector_bytes, vector_count
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import Contents, Residency, WeightStorage
from hwsim.units import PS_PER_S
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Conv2d, Matmul, Operator, Transfer

PLANS_KEPT = 256  # of one device, each with what its tensors hold


def _unmodelled(spec: EieSpec) -> tuple[str, ...]:
    left_out = [
        "the loading of resident weights and inputs, and the reading of outputs: one-time costs in the paper",
        "the nodes that find nonzero activations (0.023 mW, 189 um2 each in the paper) and central control",
        "pipeline registers and, unless calibrated, the clock network: real parts draw more",
        "the gathering of windows of a convolution from the activation memory: they come to the PEs in order",
    ]
    reach = 2**spec.pointer_sram.pointer_bits
    if reach < spec.matrix_entries:
        left_out.append(
            f"how pointers of {spec.pointer_sram.pointer_bits} bits reach beyond {reach:,} entries: they "
            f"reach all {spec.matrix_entries:,} that a PE holds"
        )
    if spec.pointwise_lanes is not None:
        left_out.append(
            "how PEs pool, normalise and add: the EIE paper has ReLU alone, and this design lets each handle "
            f"{spec.pointwise_lanes} element{'s' if spec.pointwise_lanes > 1 else ''} a cycle"
        )
    return tuple(left_out)


class EieDevice:
    """Behaviour of an eie spec; see `hwsim.devices.base.Device` for the contract."""

    focus = "compute"
    causes: tuple[Cause, ...] = CAUSES
    reads_contents = True
    host_link = True  # inputs and outputs come and go outside of a run
    background_share = 0.0

    def __init__(self, spec: EieSpec) -> None:
        self.spec = spec
        self.clock_hz = spec.clock_hz
        self.pipeline: Pipeline = make_pipeline(spec)
        self._components = eie_components(spec)
        self.accumulator_bits = spec.accumulator_bits
        self.chip_bytes: int | None = spec.pes * spec.activations.sram_bytes
        self.memory_bytes: int | None = 0 if spec.io is None else None
        self.macs_per_cycle = float(spec.pes)
        outside = spec.io is not None and spec.io.technology == "none"
        self.ideal: tuple[str, ...] = ("io",) if outside else ()
        self.unmodelled = _unmodelled(spec)
        self._plans: dict[object, Plan] = {}
        self._work: dict[object, ArrayWork] = {}

    # -- what the device can do ------------------------------------------------------------------------

    def supports(self, operator: Operator, formats: Sequence[str]) -> str:
        if operator.kind in ("conv2d", "matmul"):
            if any(name != self.spec.dtype for name in formats[:2]):
                given = "x".join(dict.fromkeys(formats[:2]))
                return f"the PEs multiply {self.spec.dtype}, not {given}; leave --dtype out"
            if dict(operator.attributes).get("trans_a", False):
                return "the first operand of a product cannot be transposed on the way in"
            if isinstance(operator.problem, Matmul) and operator.problem.B > 1:
                several = f"it has a matrix for each of {operator.problem.B} products"
                return f"{several}, and the PEs hold one for all: split the operator"
            return ""
        if operator.kind in ("view", "transfer"):
            return ""
        if operator.kind in VECTOR_KINDS:
            if self.spec.pointwise_lanes is None:
                return f"a PE has nothing that can run a {operator.kind}; set pointwise_lanes"
            return ""
        if operator.kind == "attention":
            return (
                "the PEs multiply a matrix that was compressed beforehand, and attention multiplies what the "
                "network computes"
            )
        if operator.kind == "recurrent":
            return (
                "the PEs have no gates and feed no state back from step to step; as the EIE paper does, "
                "write the matrix of a step as a linear layer"
            )
        return f"the eie kind has no way to run a {operator.kind}"

    def weight_storage(self, workload: Workload, contents: Mapping[str, Contents]) -> WeightStorage:
        return store_weights(self.spec, workload, contents, self._matrix)

    def _matrix(self, operator: Operator, weights: Contents) -> Matrix:
        spec, problem = self.spec, operator.problem
        assert isinstance(problem, Conv2d | Matmul)
        word = spec.matrix_sram.width_bits // spec.entry_bits
        try:
            found = read_matrix(
                problem, transposed(operator), weights, spec.pes, spec.index_bits, spec.table_values, word
            )
        except UnsupportedError as error:
            raise UnsupportedError(f"operator {operator.name}: {error}") from None
        if found.groups > 1 and spec.io is None:
            raise UnsupportedError(
                f"operator {operator.name}: its weights need {found.groups} tables of {spec.table_values} "
                "values each, and without io no other table comes in: share fewer values, or give the "
                "design an io"
            )
        return found

    def plan(self, operator: Operator, residency: Residency | None) -> Plan:
        key = (operator.problem, operator.attributes, residency, result_operations(operator))
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self._make_plan(operator, residency)
            if len(self._plans) > PLANS_KEPT:
                del self._plans[next(iter(self._plans))]
        return found

    def _make_plan(self, operator: Operator, residency: Residency | None) -> Plan:
        if isinstance(operator.problem, Transfer):
            return self._plan_transfer(operator.problem)
        if residency is None:
            return self._columns(np.zeros(0, dtype=np.int32), 0, {}, {}, {}, {})
        if isinstance(operator.problem, Conv2d | Matmul):
            return self._plan_product(operator, operator.problem, residency)
        return self._plan_vector(operator, residency)

    # -- plans -----------------------------------------------------------------------------------------

    def _plan_transfer(self, problem: Transfer) -> Plan:
        """The network's inputs lie here before the run and its outputs after it, or outside. What goes to
        other devices or comes from them passes the activation memory."""
        demands: dict[str, Int64Array] = {}
        actions: dict[tuple[str, str], Int64Array] = {}
        size = np.array([problem.size_bytes], dtype=np.int64)
        wide = self.spec.pes * self.spec.activations.sram_width_bits // 8
        if problem.direction == "send":
            demands = {"load": size * problem.to_memory, "fetch": -(-size // wide)}
            actions = {("activation_sram", "read"): size}
        elif problem.direction == "receive":
            demands = {"drain": -(-size // wide), "store": size * problem.to_memory}
            actions = {("activation_sram", "write"): size}
        return self._columns(np.zeros(1, dtype=np.int32), 1, demands, {}, {}, actions)

    def _plan_product(self, operator: Operator, problem: Conv2d | Matmul, residency: Residency) -> Plan:
        spec = self.spec
        a, b = residency.operands[:2]
        assert a.contents is not None
        assert b.contents is not None
        assert a.contents.nonzero is not None
        matrix = self._matrix(operator, b.contents)
        mapping = self._mapping(operator, problem, residency, matrix)
        check_tiles(mapping.tiles, f"operator {operator.name} needs", "", "run fewer vectors at a time")
        # The same for every share of the buffer that streaming may take.
        key = (problem, operator.attributes, a.contents, b.contents, mapping.parts)
        work = self._work.get(key)
        if work is None:
            work = array_work(spec, matrix, mapping, read_broadcast(problem, a.contents.nonzero))
            self._work[key] = work
        moves = tile_moves(spec, matrix, mapping, residency)
        demands = {**moves.demands, "compute": work.cycles}
        split = {
            "multiply": work.stored - work.padding,
            "padding": work.padding,
            "empty_column": work.empty,
            "starved": work.present - work.stored - work.empty,
            "finished_early": work.cycles * spec.pes - work.present,
        }
        actions = self._product_actions(mapping, work, moves)
        return self._columns(
            np.arange(mapping.tiles, dtype=np.int32), mapping.tiles, demands, moves.takes, moves.frees,
            actions, mapping, split,
        )  # fmt: skip

    def _mapping(
        self, operator: Operator, problem: Conv2d | Matmul, residency: Residency, matrix: Matrix
    ) -> StreamMapping:
        """Vector after vector, or, where the matrix comes in by parts for many vectors, pass after pass if
        that moves less: then sums leave and come back, and otherwise the matrix comes in for every vector."""
        spec, vectors = self.spec, vector_count(problem)
        registers = spec.pes * spec.activations.registers
        room = None if residency.operands[1].place == "chip" else (spec.matrix_entries, spec.pointers)
        try:
            parts = column_parts(matrix, registers, spec.entry_bits, spec.pointer_sram.pointer_bits, room)
        except CapacityError as error:
            raise CapacityError(f"operator {operator.name} {error}") from None
        a, coming = residency.operands[0], 0
        if a.place == "memory":
            coming = vector_bytes(problem, a.size_bytes, residency.stream_bytes)
        passes = sum(part.opens_pass for part in parts)
        waiting = 2 * (matrix.outputs * spec.accumulator_bits // 8) + coming
        again = (vectors - 1) * sum(part.pass_bytes for part in parts)
        by_pass = passes > 1 and (passes - 1) * vectors * waiting < again
        return StreamMapping(
            vectors, matrix.outputs, matrix.columns, parts, by_pass, spec.pes, spec.index_bits,
            spec.table_values, coming,
        )  # fmt: skip

    def _product_actions(
        self, mapping: StreamMapping, work: ArrayWork, moves: TileMoves
    ) -> dict[tuple[str, str], Int64Array]:
        """On-chip counts. Every broadcast enters each PE's queue and reads a column's two pointers there;
        every entry reads the table of values, its sum, and writes it back."""
        spec = self.spec
        queue_bytes = (ACTIVATION_BITS + COLUMN_BITS) // 8
        sum_bytes = spec.accumulator_bits // 8
        in_registers = mapping.outputs <= spec.pes * spec.activations.registers
        sums = "activation_registers" if in_registers else "activation_sram"
        wide = spec.activations.sram_width_bits // 8 * spec.pes
        everywhere = work.broadcasts * spec.pes
        found = {
            ("act_queue", "write"): everywhere * queue_bytes,
            ("act_queue", "read"): everywhere * queue_bytes,
            ("pointer_sram", "read"): everywhere * 2 * (spec.pointer_sram.pointer_bits // 8),
            ("matrix_sram", "read"): work.words * (spec.matrix_sram.width_bits // 8),
            ("codebook", "read"): work.stored * (ACTIVATION_BITS // 8),
            ("arithmetic", f"mac_{spec.dtype}"): work.stored,
            (sums, "read"): work.stored * sum_bytes,
            (sums, "write"): work.stored * sum_bytes,
        }
        for key, count in (
            (("activation_registers", "read"), work.broadcasts * (ACTIVATION_BITS // 8)),
            (("activation_sram", "read"), moves.demands["fetch"] * wide),
            (("activation_sram", "write"), moves.demands["drain"] * wide),
        ):
            found[key] = found[key] + count if key in found else count
        return found

    def _plan_vector(self, operator: Operator, residency: Residency) -> Plan:
        lanes = self.spec.pes * (self.spec.pointwise_lanes or 1)
        tiles = vector_tiles(operator, residency, "activations.sram")
        work = tiles.operations(operator)
        outside = tiles.share(residency.operands, "memory") + tiles.share(residency.operands, "weights")
        inside = tiles.share(residency.operands, "chip")
        written = tiles.share([residency.output], residency.output.place)
        stores = residency.output.place == "memory"
        demands = {
            "load": outside,
            "compute": -(-work // lanes),
            "store": written if stores else np.zeros_like(written),
        }
        streams = {"stream": outside > 0}
        actions = {
            ("pointwise", f"op_{residency.output.dtype}"): work,
            ("activation_sram", "read"): tiles.buffer_reads(operator, residency, inside + outside),
            ("activation_sram", "write"): written,
        }
        return self._columns(tiles.kind_of_tile, len(written), demands, streams, streams, actions)

    def _columns(
        self,
        kind_of_tile: Int32Array,
        kinds: int,
        demands: Mapping[str, Int64Array],
        takes: Mapping[str, BoolArray],
        frees: Mapping[str, BoolArray],
        actions: Mapping[tuple[str, str], Int64Array],
        mapping: StreamMapping | None = None,
        parts: Mapping[str, Int64Array] | None = None,
    ) -> Plan:
        return lay_out(
            self.pipeline, kind_of_tile, kinds, demands, takes, frees, actions,
            mapping=mapping, parts=parts, ideal=self.ideal,
        )  # fmt: skip

    # -- figures ---------------------------------------------------------------------------------------

    def bound_ps(self, operator: Operator, residency: Residency | None) -> dict[str, int]:
        if residency is None or isinstance(operator.problem, Transfer):
            return {}
        resources = {r.name: r for r in self.pipeline.resources}
        operands = (*residency.operands, residency.output)
        moved = sum(o.size_bytes for o in operands if o.place != "chip")
        found = {"io": resources["io"].duration_ps(moved)}
        if isinstance(operator.problem, Conv2d | Matmul):
            # Only what is stored of the columns that are broadcast is worked on.
            plan = self.plan(operator, residency)
            work, width = plan.action_totals["arithmetic", f"mac_{self.spec.dtype}"], self.spec.pes
        else:
            results = residency.output.elements
            work = vector_operations(operator, results, results)
            width = self.spec.pes * (self.spec.pointwise_lanes or 1)
        found["pes"] = int(Fraction(work * PS_PER_S, width * self.clock_hz))
        return found

    def wait_name(
        self,
        consumer: Operator,  # noqa: ARG002 - all operators fetch through one stage
        operand: int,  # noqa: ARG002
        producer: Operator,  # noqa: ARG002
        place: str,
    ) -> str:
        return "reload" if place == "memory" else "raw"

    def components(self) -> tuple[Component, ...]:
        return self._components
