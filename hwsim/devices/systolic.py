"""The systolic kind: a TPU-like array behind a weight FIFO, with a unified buffer and an activation unit.

Pipeline of a tile: weights arrive from memory into the FIFO, shift into the array, activations stream
through (compute), sums settle and leave through the activation unit (drain), and perhaps go on to memory
(store) or to the host (send). Weights run ahead of everything else as far as FIFO slots allow; compute
waits for the operands of its operator. Pointwise and pooling operators run on the activation unit alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from hwsim.design.kinds.systolic import SystolicSpec
from hwsim.devices.columns import lay_out
from hwsim.devices.families import shape, shared_options
from hwsim.devices.systolic_gemm import ArrayShape, Gemm, GemmTiles, lower, mappings, tiles_of
from hwsim.devices.systolic_parts import ideal_parts, native_bits, systolic_components
from hwsim.devices.systolic_pipeline import CAUSES, asked, make_pipeline, wait_name
from hwsim.devices.systolic_recurrent import all_steps, step_moves, step_products
from hwsim.devices.vector_tiles import vector_tiles
from hwsim.devices.vector_work import UNIT_KINDS, result_operations, vector_operations
from hwsim.errors import UnsupportedError
from hwsim.plan import Component, Options, Pipeline, Plan, Resource
from hwsim.plan.mapping import GemmMapping, StepMapping
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import Contents, Residency, WeightStorage
from hwsim.tensor.formats import accumulator_format
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Operator, Recurrent, Transfer

SUM_OF_FLOATS_BITS = 32
STEP_PLANS = 4  # kept of a recurrent operator: rates seldom pick more


def format_pair(activation: str, weight: str) -> str:
    """The key of `cycles_per_row` for activations x weights: "int8", or "int16xint8" where they differ."""
    return activation if activation == weight else f"{activation}x{weight}"


class SystolicDevice:
    """Behaviour of a systolic spec; see `hwsim.devices.base.Device` for the contract."""

    focus = "compute"
    reads_contents = False
    unmodelled = (
        "clock trees, control and idle logic, standby and refresh of the memory: real parts draw more",
        "both directions of the host link at once: they take turns",
        "bytes in the FIFO under os and is, or of wide formats: it counts tiles, however large",
        "instruction fetch and issue (the host's instructions arrive in time)",
        "refresh and bank conflicts of the weight memory: it delivers its bandwidth",
        "unified buffer port conflicts: reads for the array and writes of results do not collide",
        "voltage and clock changes with load",
        "which functions the activation unit has: softmax, normalisation and the like are taken to run on it",
    )

    def __init__(self, spec: SystolicSpec) -> None:
        self.spec = spec
        self.clock_hz = spec.clock_hz
        self.pipeline: Pipeline = make_pipeline(spec)
        self.ideal = ideal_parts(spec)
        self._components = systolic_components(spec)
        pools = {pool.name for pool in self.pipeline.pools}
        self.causes = tuple(c for c in CAUSES if c.kind != "pool" or c.what in pools)
        self.accumulator_bits = spec.accumulators.width_bits
        self.chip_bytes = spec.unified_buffer.size_bytes
        self.memory_bytes = spec.weight_memory.size_bytes
        self.host_link = spec.host_link is not None
        self.background_share = spec.calibration.host_overlap if spec.calibration and self.host_link else 0.0
        fastest = min(spec.array.cycles_per_row.values())
        self.macs_per_cycle = spec.array.rows * spec.array.cols / fastest
        self._plans: dict[object, Plan] = {}
        resources = tuple((r.name, r.servers, r.rate is None) for r in self.pipeline.resources)
        self.family = shape(
            spec.array, spec.accumulators, spec.activation_unit.lanes, native_bits(spec), self.ideal,
            self.pipeline.stages, self.pipeline.pools, self.pipeline.waits, resources,
        )  # fmt: skip

    # -- what the device can do ------------------------------------------------------------------------

    def supports(self, operator: Operator, formats: Sequence[str]) -> str:
        if operator.kind in ("conv2d", "matmul"):
            return self._multiplies(((formats[0], formats[1]),))
        if isinstance(operator.problem, Recurrent):
            return self._multiplies(tuple((formats[0], b) for b in formats[1 : 1 + operator.problem.weights]))
        if operator.kind in (*UNIT_KINDS, "view", "transfer"):
            return ""
        if operator.kind == "attention":
            return "an array has no fused attention: lower it to two products and a softmax"
        return f"the systolic kind has no way to run a {operator.kind}"

    def _multiplies(self, pairs: Sequence[tuple[str, str]]) -> str:
        """Why the array cannot multiply such pairs of formats, or an empty string."""
        known, bits = self.spec.array.cycles_per_row, self.spec.accumulators.width_bits
        for a, b in pairs:
            pair = format_pair(a, b)
            if pair not in known:
                return f"the array multiplies {', '.join(known)}, not {pair}; choose one with --dtype"
            if accumulator_format(a) == "fp32" and bits < SUM_OF_FLOATS_BITS:
                return (
                    f"accumulators of {bits} bits cannot hold sums of {pair} in fp32: set "
                    "accumulators.width_bits to 32 or more, or choose integers with --dtype"
                )
        return ""

    def weight_storage(self, workload: Workload, contents: Mapping[str, Contents]) -> WeightStorage:
        """Dense, in the memory outside."""
        del workload, contents
        return WeightStorage()

    def plan(self, operator: Operator, residency: Residency | None) -> Plan:
        key = _key(operator, residency)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self.options(operator, residency).at(self.pipeline)
        return found

    def options(self, operator: Operator, residency: Residency | None) -> Options:
        """Plans among which the rates choose; see `hwsim.devices.base.ChoosesByRates`."""
        key = _key(operator, residency)
        return shared_options(self.family, key, lambda: self._make_options(operator, residency))

    def _make_options(self, operator: Operator, residency: Residency | None) -> Options:
        if isinstance(operator.problem, Transfer):
            return Options.only(self._plan_transfer(operator.problem))
        if residency is None:
            return Options.only(self._columns(np.zeros(0, dtype=np.int32), 0, {}, {}, {}, {}))
        if reason := self.supports(operator, [o.dtype for o in residency.operands]):
            raise UnsupportedError(f"operator {operator.name} ({operator.kind}): {reason}")
        if operator.kind in UNIT_KINDS:
            return Options.only(self._plan_vector(operator, residency))
        if isinstance(operator.problem, Recurrent):
            return self._recurrent_options(operator, operator.problem, residency)
        return self._products(operator, lower(operator, residency), residency)

    # -- plans -----------------------------------------------------------------------------------------

    def _products(self, operator: Operator, gemm: Gemm, residency: Residency) -> Options:
        """Mappings of a product. The constants of fused steps come with the first tile."""
        extra = sum(o.size_bytes for o in residency.operands[2:] if o.place != "chip")
        plans = []
        for mapping in mappings(gemm, self._array_shape, residency.stream_bytes):
            side = f"on a {self.spec.array.rows} x {self.spec.array.cols} array"
            check_tiles(mapping.tiles, f"operator {operator.name} needs", side, "use a larger array")
            plans.append(self._gemm_columns(gemm, mapping, extra))
        in_turns = not self.spec.array.double_buffer
        return Options.among(plans, [asked(plan, in_turns) for plan in plans])

    def _recurrent_options(self, operator: Operator, problem: Recurrent, residency: Residency) -> Options:
        """Steps one after the other; see `systolic_recurrent`."""
        products = step_products(problem, residency)
        if reason := self._multiplies([(gemm.a.dtype, gemm.b.dtype) for gemm in products]):
            raise UnsupportedError(f"operator {operator.name} ({problem.cell}): {reason}")
        found = [self._products(operator, gemm, residency) for gemm in products]
        moves = step_moves(problem, residency, self.spec.activation_unit.lanes, operator.name)

        @lru_cache(maxsize=STEP_PLANS)
        def plan(picks: tuple[int, ...]) -> Plan:
            picked = [options.make((i,)).mapping for options, i in zip(found, picks, strict=True)]
            mapping = StepMapping(problem.T, tuple(m for m in picked if isinstance(m, GemmMapping)))
            what = f"operator {operator.name} ({problem.T:,} steps) needs"
            check_tiles(mapping.tiles, what, "", "use a larger array or fewer steps")
            return all_steps(problem, residency, mapping, moves, self.spec.array.dataflow, self._gemm_columns)

        size_bytes = STEP_PLANS * problem.T * sum(options.size_bytes for options in found)
        return Options(tuple(amounts for options in found for amounts in options.choices), plan, size_bytes)

    def _gemm_columns(
        self, gemm: Gemm, mapping: GemmMapping, extra_bytes: int, comes: bool = True, goes: bool = True
    ) -> Plan:
        """Columns of a product. Its block of weights is in the array before it unless it `comes`, and stays
        there unless it `goes`: those are for the steps of an operator that all use one block."""
        spec = self.spec
        tiles = tiles_of(gemm, mapping, spec.array.dataflow)
        if not comes or not goes:
            came = tiles.weight_bytes * comes
            tiles = replace(tiles, fresh=tiles.fresh & comes, spent=tiles.spent & goes, weight_bytes=came)
        t = tiles.kinds
        pair = format_pair(gemm.a.dtype, gemm.b.dtype)
        cycles, settle = self._array_cycles(tiles, spec.array.cycles_per_row[pair])
        weights = tiles.weight_bytes if gemm.b.place != "chip" else np.zeros_like(tiles.weight_bytes)
        # Biases and other constants of fused steps come along with the first block of weights.
        first = t.first_m & t.first_n & t.first_k
        weights = weights + np.where(first, -(-extra_bytes // mapping.batch), 0)
        results = t.m * t.n
        demands = {
            "weights": weights,
            "load": tiles.load_bytes,
            "shift": np.where(tiles.fresh, self._shift_cycles(gemm), 0),
            "compute": cycles,
            "settle": np.where(t.last_k, settle, 0),
            "drain": np.where(t.last_k, self._drain_cycles(results * gemm.operations), 0),
            "store": tiles.store_bytes,
        }
        streams = tiles.load_bytes > 0
        stream_end = t.last_k & (t.last_n if mapping.order == "mn" or mapping.tile_m >= mapping.m else True)
        takes = {
            "fifo": weights > 0,
            "planes": tiles.fresh,
            "accumulators": t.first_k,
            "stream": streams,
            "outbound": tiles.store_bytes > 0,
        }
        frees = {
            "fifo": weights > 0,
            "planes": tiles.spent,
            "accumulators": t.last_k,
            "stream": stream_end & bool(streams.any()),
            "outbound": tiles.store_bytes > 0,
        }
        actions = self._gemm_actions(gemm, tiles, pair)
        return self._columns(t.kind_of_tile, len(t.m), demands, takes, frees, actions, mapping)

    def _array_cycles(self, tiles: GemmTiles, per_row: int) -> tuple[NDArray[np.int64], int]:
        """Cycles that a tile occupies the array, and the skew left to settle behind it.

        Data enter and leave the array as a diagonal, so a tile alone takes its rows plus R + C - 2 cycles
        (Kung's systolic skew). With fold overlap the next tile follows at once and the skew only delays
        results. Sums that drain behind the next tile need their way out for as long, so a shorter tile waits
        for it.
        """
        array, t = self.spec.array, tiles.kinds
        rows = {"ws": t.m, "is": t.n, "os": t.k}[array.dataflow] * per_row
        skew = array.rows + array.cols - 2
        natural = array.rows if array.dataflow == "os" else 0
        leaving = (natural if array.drain_cycles is None else array.drain_cycles) * t.last_k
        if array.drain == "serial":
            rows = rows + leaving
        cycles, settle = (rows, skew) if array.fold_overlap else (rows + skew, 0)
        return np.maximum(cycles, leaving), settle

    def _gemm_actions(
        self, gemm: Gemm, tiles: GemmTiles, pair: str
    ) -> dict[tuple[str, str], NDArray[np.int64]]:
        """On-chip counts. Each tile reads its activations once from the unified buffer and updates its sums
        once; sums are read back for every later block of the reduction and once when they leave."""
        t = tiles.kinds
        sums = t.m * t.n * (self.spec.accumulators.width_bits // 8)
        results = -(-t.m * t.n * gemm.output_bits // 8) * t.last_k
        reads = -(-t.m * t.k * gemm.a_bits // 8)
        if self.spec.array.dataflow == "is":
            reads = reads * tiles.fresh
        if gemm.b.place == "chip":
            reads = reads + tiles.weight_bytes
        return {
            ("array", f"mac_{pair}"): tiles.multiplications,
            ("pe_registers", "write"): self._latched_bytes(gemm, tiles),
            ("unified_buffer", "read"): reads,
            ("unified_buffer", "write"): results,
            ("accumulators", "write"): sums,
            ("accumulators", "read"): sums,
            ("activation_unit", f"op_{gemm.output.dtype}"): t.m * t.n * t.last_k * gemm.operations,
        }

    def _latched_bytes(self, gemm: Gemm, tiles: GemmTiles) -> NDArray[np.int64]:
        """Bytes written into PE registers. Every multiplication latches a partial sum and what streams past;
        a byte of the stationary operand passes through (R + 1) / 2 rows as it is shifted in."""
        t, dataflow = tiles.kinds, self.spec.array.dataflow
        streamed = {"ws": gemm.a_bits, "is": gemm.b_bits, "os": gemm.a_bits + gemm.b_bits}[dataflow]
        latched = -(-tiles.multiplications * (self.spec.accumulators.width_bits + streamed) // 8)
        if dataflow == "os":
            return latched
        bits = t.n * gemm.b_bits if dataflow == "ws" else t.m * gemm.a_bits
        held = -(-t.k * bits // 8)
        return latched + (self.spec.array.rows + 1) * held // 2 * tiles.fresh

    def _plan_vector(self, operator: Operator, residency: Residency) -> Plan:
        tiles = vector_tiles(operator, residency)
        work = tiles.operations(operator)
        read = {place: tiles.share(residency.operands, place) for place in ("chip", "memory", "weights")}
        written = tiles.share([residency.output], residency.output.place)
        to_memory = residency.output.place == "memory"
        loads = read["memory"] + read["weights"]
        nothing = np.zeros_like(written)
        demands = {
            "load": loads,
            "drain": self._drain_cycles(work),
            "store": written if to_memory else nothing,
        }
        streams = {"stream": loads > 0, "outbound": demands["store"] > 0}
        actions = {
            ("activation_unit", f"op_{residency.output.dtype}"): work,
            ("unified_buffer", "read"): tiles.buffer_reads(operator, residency, read["chip"] + loads),
            ("unified_buffer", "write"): written,
        }
        return self._columns(tiles.kind_of_tile, len(written), demands, streams, streams, actions)

    def _plan_transfer(self, problem: Transfer) -> Plan:
        size = np.array([problem.size_bytes], dtype=np.int64)
        if problem.direction in ("send", "receive") and not self.host_link:
            raise UnsupportedError("an array meets other devices at its host_link, and this one has none")
        if problem.direction == "background":
            demands = {"receive": size, "send": np.array([problem.out_bytes], dtype=np.int64)}
        elif problem.direction in ("in", "receive"):
            demands = {"receive": size} if self.host_link else {} if problem.to_memory else {"load": size}
            if problem.to_memory and self.host_link:
                demands["store"] = size
        else:
            demands = {"send": size} if self.host_link else {} if problem.to_memory else {"store": size}
            if problem.to_memory and self.host_link:
                demands["load"] = size
        return self._columns(np.zeros(1, dtype=np.int32), 1, demands, {}, {}, {})

    def _columns(
        self,
        kind_of_tile: NDArray[np.int32],
        kinds: int,
        demands: Mapping[str, NDArray[np.int64]],
        takes: Mapping[str, NDArray[np.bool_]],
        frees: Mapping[str, NDArray[np.bool_]],
        actions: Mapping[tuple[str, str], NDArray[np.int64]],
        mapping: GemmMapping | None = None,
    ) -> Plan:
        return lay_out(
            self.pipeline,
            kind_of_tile,
            kinds,
            demands,
            takes,
            frees,
            actions,
            mapping=mapping,
            ideal=self.ideal,
        )

    # -- figures ---------------------------------------------------------------------------------------

    def bound_ps(self, operator: Operator, residency: Residency | None) -> dict[str, int]:
        resources = {r.name: r for r in self.pipeline.resources}
        if isinstance(operator.problem, Transfer):
            problem = operator.problem
            port = "host_link" if self.host_link else "weight_memory"
            moved = 0 if problem.to_memory and not self.host_link else problem.size_bytes + problem.out_bytes
            return {port: resources[port].duration_ps(moved)}
        if residency is None:
            return {}
        operands = (*residency.operands, residency.output)
        memory = sum(o.size_bytes for o in operands if o.place != "chip")
        if operator.kind == "conv2d" and residency.operands[0].place != "chip":
            gemm = lower(operator, residency)
            memory -= gemm.a.size_bytes - min(gemm.a.size_bytes, gemm.compulsory_input_bytes)
        found = {"weight_memory": resources["weight_memory"].duration_ps(memory)}
        if self.spec.activation_unit.lanes is not None:
            results = residency.output.elements
            work = vector_operations(operator, results, results)
            lanes = self.spec.activation_unit.lanes
            found["activation_unit"] = _floor(resources["activation_unit"], work, lanes)
        if operator.macs:
            weights = operator.problem.weights if isinstance(operator.problem, Recurrent) else 1
            first, *others = (o.dtype for o in residency.operands[: 1 + weights])
            cycles = min(self.spec.array.cycles_per_row[format_pair(first, other)] for other in others)
            pes = self.spec.array.rows * self.spec.array.cols
            work = operator.problem.macs * cycles
            found["array"] = _floor(resources["array"], work, pes)
        return found

    def wait_name(self, consumer: Operator, operand: int, producer: Operator, place: str) -> str:
        return wait_name(consumer, operand, producer, place, self.spec.array.dataflow)

    def _drain_cycles(self, operations: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cycles of the activation unit for so many element operations."""
        lanes = self.spec.activation_unit.lanes
        return np.zeros_like(operations) if lanes is None else -(-operations // lanes)

    def _shift_cycles(self, gemm: Gemm) -> int:
        """Cycles to shift a stationary block in: a row a cycle at the array's own width, longer for wider
        numbers, which take the same wires several times."""
        array = self.spec.array
        if array.dataflow == "os":
            return 0
        cycles = array.rows if array.shift_in_cycles is None else array.shift_in_cycles
        bits = gemm.b_bits if array.dataflow == "ws" else gemm.a_bits
        return cycles * -(-bits // native_bits(self.spec))

    @cached_property
    def _array_shape(self) -> ArrayShape:
        array, accumulators = self.spec.array, self.spec.accumulators
        bank_rows = None if accumulators.rows is None else max(1, accumulators.rows // accumulators.banks)
        return ArrayShape(array.rows, array.cols, array.dataflow, bank_rows, array.group_packing)

    def components(self) -> tuple[Component, ...]:
        return self._components


def _key(operator: Operator, residency: Residency | None) -> Hashable:
    """What decides an operator's plans."""
    return operator.problem, residency, result_operations(operator)


def _floor(resource: Resource, work: int, per_cycle: int) -> int:
    """Picoseconds, rounded down, that `work` units take at `per_cycle` units a cycle of `resource`."""
    if resource.rate is None:
        return 0
    return int(Fraction(work * 10**12, per_cycle) / resource.rate)
