"""The cpu kind: cores with SIMD units that share the tiles of one operator at a time, behind a last cache and
a memory, as a matrix library drives them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from hwsim.arrays import Int32Array, Int64Array
from hwsim.design.kinds.cpu import CpuSpec
from hwsim.devices.cpu_attention import attention_demands
from hwsim.devices.cpu_gemm import (
    Block,
    Demands,
    Product,
    as_stated,
    block_demands,
    candidates,
    macs_per_cycle,
)
from hwsim.devices.cpu_parts import CAUSES, cpu_components, make_pipeline, native_format
from hwsim.devices.cpu_recurrent import kept_cell, one_after_another, step_demands
from hwsim.devices.cpu_stream import (
    conv_demands,
    csr_demands,
    gemv_demands,
    store_sparse,
    vector_demands,
)
from hwsim.devices.families import shape, shared_options
from hwsim.devices.vector_work import (
    VECTOR_KINDS,
    repeated_bytes,
    result_operations,
    vector_operations,
)
from hwsim.devices.windows import touched_bytes
from hwsim.errors import UnsupportedError
from hwsim.plan import Cause, Component, Options, Pipeline, Plan
from hwsim.plan.attention import unseen_bytes
from hwsim.plan.program import check_tiles
from hwsim.plan.residency import Contents, Residency, WeightStorage
from hwsim.tensor.formats import accumulator_format, format_bits
from hwsim.units import PS_PER_S
from hwsim.workload.graph import Workload, multiplied
from hwsim.workload.operators import Attention, Conv2d, Matmul, Operator, Recurrent, Transfer


class CpuDevice:
    """Behaviour of a cpu spec; see `hwsim.devices.base.Device` for the contract."""

    focus = "compute"
    reads_contents = False
    causes: tuple[Cause, ...] = CAUSES
    host_link = False
    background_share = 0.0
    ideal: tuple[str, ...] = ()
    unmodelled: tuple[str, ...] = (
        "front ends, register files and inner caches: they take time only through the fitted shares",
        "area of front ends, register files and inner caches",
        "power of cores that wait for memory: they draw as little as idle ones",
        "padding of register tiles takes time and is not charged energy",
        "other programs, interrupts, memory pages and distances between sockets",
        "several operators at a time: each has all cores to itself",
        "refresh and bank conflicts of the memory: a stream reaches the fitted share of its bandwidth",
    )

    def __init__(self, spec: CpuSpec) -> None:
        self.spec = spec
        self.clock_hz = spec.cores.vector_clock_hz
        self.pipeline: Pipeline = make_pipeline(spec)
        self.accumulator_bits = format_bits(accumulator_format(native_format(spec)))
        self.chip_bytes: int | None = spec.caches * spec.cache.size_bytes
        self.memory_bytes: int | None = spec.memory.size_bytes
        fastest = max(spec.vector.products_per_lane, key=lambda name: macs_per_cycle(spec, name))
        self.macs_per_cycle = spec.cores.count * float(macs_per_cycle(spec, fastest))
        self._plans: dict[object, Plan] = {}
        self._shape = shape(
            spec.cores.count, spec.cores.vector_clock_hz, spec.vector, spec.library, spec.cache,
            spec.cache_state, spec.calibration, spec.paid_launch_s, spec.dtype, spec.power is None,
        )  # fmt: skip
        self.family: Hashable = (self._shape, spec.cores.clock_hz)
        if spec.power is None:
            self.unmodelled = (*CpuDevice.unmodelled, "energy of front ends, register files and inner caches")

    # -- what the device can do ------------------------------------------------------------------------

    def supports(self, operator: Operator, formats: Sequence[str]) -> str:
        if operator.kind in ("conv2d", "matmul", "recurrent", "attention"):
            known = self.spec.vector.products_per_lane
            for other in formats[1 : len(multiplied(operator))]:
                if formats[0] != other:
                    return f"the cores multiply operands of one format, not {formats[0]} by {other}"
            if formats[0] not in known:
                return f"the cores multiply {', '.join(known)}, not {formats[0]}; choose one with --dtype"
            return ""
        if operator.kind in (*VECTOR_KINDS, "view", "transfer"):
            return ""
        return f"the cpu kind has no way to run a {operator.kind}"

    def weight_storage(self, workload: Workload, contents: Mapping[str, Contents]) -> WeightStorage:
        """Weights of matrix products that are sparse enough, in CSR; the rest dense."""
        del contents  # never read: time follows from how many weights are zero, not from which
        return store_sparse(workload, self.spec.library.sparse_below)

    def plan(self, operator: Operator, residency: Residency | None) -> Plan:
        key = _key(operator, residency)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self.options(operator, residency).at(self.pipeline)
        return found

    def options(self, operator: Operator, residency: Residency | None) -> Options:
        """Plans among which the memory's rate chooses; see `hwsim.devices.base.ChoosesByRates`."""
        stored_sparse = residency and any(o.nonzeros is not None for o in residency.operands)
        scalar = self.spec.cores.clock_hz if stored_sparse else 0  # nothing else knows of that clock
        return shared_options(
            self._shape, (_key(operator, residency), scalar), lambda: self._make_options(operator, residency)
        )

    def _make_options(self, operator: Operator, residency: Residency | None) -> Options:
        if isinstance(operator.problem, Transfer):
            return Options.only(self._plan_transfer(operator.problem))
        if residency is None:
            return Options.only(self._columns(_idle(0, {}, self.spec.dtype), launches=False))
        if reason := self.supports(operator, [o.dtype for o in residency.operands]):
            raise UnsupportedError(f"operator {operator.name} ({operator.kind}): {reason}")
        if operator.kind in VECTOR_KINDS:
            results = residency.output.elements
            work = vector_operations(operator, results, max(1, results))
            again = repeated_bytes(operator, residency)
            demands = vector_demands(residency.operands, residency.output, work, again, self.spec)
            return Options.only(self._columns(demands))
        layer = operator.problem
        if isinstance(layer, Recurrent):
            return Options.ruled(
                self._bandwidth,
                lambda rate: self._plan_recurrent(operator, layer, residency, rate),
                self.pipeline,
            )
        if isinstance(operator.problem, Attention):
            return Options.only(self._columns(attention_demands(operator.problem, residency, self.spec)))
        return self._product_options(operator, residency)

    def _bandwidth(self, pipeline: Pipeline) -> int:
        """Bytes a second of a machine's memory, of which streams reach the fitted share."""
        rate = next(r.rate for r in pipeline.resources if r.name == "memory")
        assert rate is not None
        return int(rate / as_stated(self.spec.calibration.memory_share))

    def _product_options(self, operator: Operator, residency: Residency) -> Options:
        product, spec = lower(operator, residency), self.spec
        constants = sum(o.size_bytes for o in residency.operands[2:])
        if isinstance(operator.problem, Conv2d):
            return Options.only(self._columns(conv_demands(operator.problem, product, spec), constants))
        if product.b.nonzeros is not None:
            return Options.only(self._columns(csr_demands(product, product.b.nonzeros, spec), constants))
        if min(product.m, product.n) == 1:
            return Options.only(self._columns(gemv_demands(product, spec), constants))
        tiles = product.batch * spec.cores.count
        check_tiles(tiles, f"operator {operator.name} needs", "", "use a smaller batch")
        found = candidates(product, spec)

        def plan(block: Block) -> Plan:
            return self._columns(block_demands(product, block, spec), constants)

        return Options.ruled(lambda p: found.best(self._bandwidth(p), spec), plan, self.pipeline)

    def _plan_recurrent(
        self, operator: Operator, layer: Recurrent, residency: Residency, memory_bytes_per_s: int
    ) -> Plan:
        """The loops of a first step, which fetches the biases, and of all others, which are alike."""
        constants = sum(o.size_bytes for o in residency.operands[1 + layer.weights :])
        begin, again = (
            [
                self._columns(loop, constants if first and i == 0 else 0)
                for i, loop in enumerate(
                    step_demands(layer, residency, memory_bytes_per_s, self.spec, first=first)
                )
            ]
            for first in (True, False)
        )
        tiles = sum(loop.tiles for loop in again) * layer.T
        check_tiles(tiles, f"operator {operator.name} ({layer.T:,} steps) needs", "", "use fewer steps")
        last = [self._columns(kept_cell(layer, residency, self.spec))] if layer.keeps_cell else []
        return one_after_another(begin, again, layer.T - 1, last)

    def _plan_transfer(self, problem: Transfer) -> Plan:
        """The network's inputs lie in memory, and are brought into an empty cache; its results
        stay. What goes to other devices or comes from them passes the last cache, as Intel's direct
        cache access has it."""
        size = np.array([problem.size_bytes], dtype=np.int64)
        ways = {"send": ("load", "fetch"), "receive": ("store", "write_back")}
        if problem.direction in ways:
            near, far = ways[problem.direction]
            moved = {near: size, far: size * problem.to_memory}
            return self._columns(_idle(1, moved, self.spec.dtype), launches=False)
        cold = problem.direction == "in" and not problem.to_memory and self.spec.cache_state == "cold"
        return self._columns(_idle(1, {"fetch": size * cold}, self.spec.dtype), launches=False)

    def _columns(self, demands: Demands, constant_bytes: int = 0, *, launches: bool = True) -> Plan:
        """Lay demands out in the pipeline's order. The first tile launches the operator and fetches the
        constants of its fused steps, the last ends it; each is of a kind of its own."""
        of_tile, pick = _ends_apart(demands.kind_of_tile, len(demands.macs))
        kinds = np.arange(len(pick))
        ends = of_tile[[0, -1]] if len(of_tile) else [-1, -1]
        first, last = kinds == ends[0], kinds == ends[1]
        zero = np.zeros(len(pick), dtype=np.int64)
        columns = {name: column[pick] for name, column in demands.columns.items()}
        launch = as_stated(self.spec.paid_launch_s) * self.clock_hz if launches else 0
        columns["launch"] = np.where(first, -int(-launch // 1), 0)
        for name in ("fetch", "weights"):
            columns[name] = columns.get(name, zero) + np.where(first, constant_bytes, 0)
        works = columns.get("compute", zero) > 0
        takes = {"machine": first, "ahead": works}
        frees = {"machine": last, "ahead": works}
        pools, dtype = self.pipeline.pools, demands.dtype
        return Plan(
            self.pipeline,
            of_tile,
            np.array([columns.get(s.name, zero) for s in self.pipeline.stages], dtype=np.int64),
            np.array([takes[pool.name] for pool in pools], dtype=np.bool_),
            np.array([frees[pool.name] for pool in pools], dtype=np.bool_),
            {
                ("cores", f"mac_{dtype}"): demands.macs[pick],
                ("lanes", f"op_{dtype}"): demands.operations[pick],
            },
            demands.mapping,
        )

    # -- figures ---------------------------------------------------------------------------------------

    def bound_ps(self, operator: Operator, residency: Residency | None) -> dict[str, int]:
        if residency is None:
            return {}
        spec = self.spec
        operands = (*residency.operands, residency.output)
        total = sum(o.size_bytes for o in operands)
        cached = spec.cache_state == "hot" and total <= spec.caches * spec.cache.size_bytes
        # Step by step, weights may stay in a cache that inputs and results of all steps would overflow.
        cached = cached or (spec.cache_state == "hot" and operator.kind == "recurrent")
        sizes = [o.size_bytes for o in operands]
        unseen = 0
        if isinstance(operator.problem, Attention):
            unseen = unseen_bytes(operator.problem, residency.operands)
        if isinstance(operator.problem, Conv2d):
            sizes[0] = touched_bytes(operator.problem, sizes[0])
        outside = sum(size for o, size in zip(operands, sizes, strict=True) if o.place != "chip") - unseen
        rate = next(r for r in self.pipeline.resources if r.name == "memory").rate
        assert rate is not None
        found = {"memory": 0 if cached else int(outside * PS_PER_S / rate)}
        if operator.macs:
            per_core = macs_per_cycle(spec, residency.operands[0].dtype)
            macs = self._least_macs(operator, residency)
            found["cores"] = int(macs * PS_PER_S / (per_core * spec.cores.boost_clock_hz))
        return found

    def _least_macs(self, operator: Operator, residency: Residency) -> int:
        """Multiplications of the chosen algorithm: with stored weights only, those that are stored."""
        if isinstance(operator.problem, Recurrent | Attention):
            return operator.problem.macs
        product = lower(operator, residency)
        return product.macs if product.b.nonzeros is None else product.b.nonzeros * product.m

    def wait_name(self, consumer: Operator, operand: int, producer: Operator, place: str) -> str:
        """One operator runs after the other, so all operands are waited for at once."""
        del consumer, operand, producer, place
        return "ready"

    def components(self) -> tuple[Component, ...]:
        return cpu_components(self.spec)


def _key(operator: Operator, residency: Residency | None) -> Hashable:
    """What decides an operator's plans. Caches stream by themselves, so the room that a run keeps for
    streaming changes nothing."""
    met = residency and (residency.operands, residency.output)
    return operator.problem, met, pointwise_steps(operator), result_operations(operator)


def lower(operator: Operator, residency: Residency) -> Product:
    """The matrix products behind an operator: M = N P Q, N = K / groups, K = C / groups R S for conv2d."""
    a, b = residency.operands[:2]
    problem = operator.problem
    if isinstance(problem, Conv2d):
        sizes = (
            problem.groups,
            problem.N * problem.P * problem.Q,
            problem.K // problem.groups,
            problem.C // problem.groups * problem.R * problem.S,
        )
    else:
        assert isinstance(problem, Matmul)
        sizes = (problem.B, problem.M, problem.N, problem.K)
    return Product(*sizes, a, b, residency.output, pointwise_steps(operator))


def pointwise_steps(operator: Operator) -> int:
    """Pointwise operations behind each result of a product: one a fused step."""
    return len(operator.epilogue)


def _ends_apart(kind_of_tile: Int32Array, kinds: int) -> tuple[Int32Array, Int64Array]:
    """The kind of each tile with the first and the last tile as kinds of their own, and for each kind the one
    whose demands it has."""
    of_tile, pick = kind_of_tile.copy(), [*range(kinds)]
    for tile in sorted({0, len(of_tile) - 1}) if len(of_tile) else ():
        pick.append(int(kind_of_tile[tile]))
        of_tile[tile] = len(pick) - 1
    return of_tile, np.array(pick, dtype=np.int64)


def _idle(tiles: int, columns: dict[str, Int64Array], dtype: str) -> Demands:
    """Tiles of one kind that compute nothing."""
    nothing = np.zeros(min(tiles, 1), dtype=np.int64)
    return Demands(np.zeros(tiles, dtype=np.int32), columns, nothing, nothing, dtype)
