"""The gpu kind: multiprocessors behind a cache and a memory, driven by its vendor's libraries, which choose a
tile and an algorithm for each operator."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from hwsim.design.kinds.gpu import GpuSpec
from hwsim.devices.columns import lay_out
from hwsim.devices.cpu_stream import store_sparse
from hwsim.devices.families import shape, shared_options
from hwsim.devices.gpu_attention import attention_demands, attention_job
from hwsim.devices.gpu_blocked import Job, Side, block_demands, candidates
from hwsim.devices.gpu_conv import conv_demands, conv_ways, fastest, least_multiplications
from hwsim.devices.gpu_demands import Demands, ends_apart
from hwsim.devices.gpu_machine import Machine, Rates, machine_of, rates_of
from hwsim.devices.gpu_persistent import persistent_demands, persists
from hwsim.devices.gpu_pipeline import causes, gpu_components, make_pipeline, pools_held
from hwsim.devices.gpu_recurrent import Recurrence, recurrent_demands
from hwsim.devices.gpu_stream import csr_demands, narrow_demands, vector_demands
from hwsim.devices.gpu_structured import keep_structured
from hwsim.devices.vector_work import UNIT_KINDS, repeated_bytes, result_operations, vector_operations
from hwsim.devices.windows import touched_bytes
from hwsim.errors import UnsupportedError
from hwsim.plan import Component, Options, Pipeline, Plan
from hwsim.plan.attention import unseen_bytes
from hwsim.plan.residency import Contents, Operand, Residency, WeightStorage
from hwsim.tensor.formats import accumulator_format, format_bits
from hwsim.units import PS_PER_S
from hwsim.workload.graph import Workload, multiplied
from hwsim.workload.operators import Attention, Conv2d, Matmul, Operator, Recurrent, Transfer

PRODUCT_KINDS = ("conv2d", "matmul", "recurrent", "attention")

UNMODELLED = (
    "first-level caches and texture units: operands come from the second-level cache for each thread block",
    "operators side by side: each has the whole machine to itself",
    "clocks below the power limit's in time: warming up, and bursts above it",
    "refresh and bank conflicts of the memory: a stream reaches the fitted share of its bandwidth",
    "energy and area of instruction fetch, schedulers, first-level caches and the network on the chip",
    "padding of tiles takes time and is not charged energy",
)


@dataclass(frozen=True, slots=True)
class _Figures:
    """The shares of an operator's operands, and of its results, that pass the memory."""

    operands: tuple[float, ...]
    output: float


class GpuDevice:
    """Behaviour of a gpu spec; see `hwsim.devices.base.Device` for the contract."""

    focus = "compute"
    reads_contents = False
    host_link = False
    background_share = 0.0
    ideal: tuple[str, ...] = ()
    unmodelled = UNMODELLED

    def __init__(self, spec: GpuSpec) -> None:
        self.spec = spec
        self.machine: Machine = machine_of(spec)
        self.causes = causes()
        self.clock_hz = spec.clock.boost_hz
        self.pipeline: Pipeline = make_pipeline(spec)
        self.chip_bytes: int | None = spec.l2.size_bytes
        self.memory_bytes: int | None = spec.memory.size_bytes
        widest = max(unit.macs_per_cycle for unit in spec.units.values())
        self.macs_per_cycle = float(spec.multiprocessors.count * widest)
        self.accumulator_bits = format_bits(accumulator_format(spec.dtype))
        self._plans: dict[object, Plan] = {}
        self._shape = shape(
            spec.multiprocessors, spec.library, spec.l2.size_bytes, spec.clock.boost_hz, spec.sparse_below,
            spec.recurrent, spec.cache_state, spec.calibration, self._launch_cycles(),
            tuple((name, unit.unit, unit.structured_rate) for name, unit in spec.units.items()),
            tuple(self.machine.macs_per_cycle.values()),
        )  # fmt: skip
        self.family: Hashable = self._shape

    # -- what the device can do ------------------------------------------------------------------------

    def supports(self, operator: Operator, formats: Sequence[str]) -> str:
        if operator.kind in PRODUCT_KINDS:
            known = self.spec.units
            for other in formats[1 : len(multiplied(operator))]:
                if formats[0] != other:
                    return f"a GPU multiplies operands of one format, not {formats[0]} by {other}"
            if formats[0] not in known:
                return (
                    f"the multiprocessors multiply {', '.join(known)}, not {formats[0]}; choose one with "
                    "--dtype"
                )
            return ""
        if operator.kind in (*UNIT_KINDS, "view", "transfer"):
            return ""
        return f"the gpu kind has no way to run a {operator.kind}"

    def weight_storage(self, workload: Workload, contents: Mapping[str, Contents]) -> WeightStorage:
        """Weights of matrix products that are stored 2:4 as they are, where units skip their zeros; others
        that are sparse enough in CSR; the rest dense."""
        del contents  # never read: time follows from how many weights are zero, not from which
        return keep_structured(workload, store_sparse(workload, self.spec.sparse_below), self.spec.units)

    # -- plans -----------------------------------------------------------------------------------------

    def plan(self, operator: Operator, residency: Residency | None) -> Plan:
        key = _key(operator, residency)
        found = self._plans.get(key)
        if found is None:
            found = self._plans[key] = self.options(operator, residency).at(self.pipeline)
        return found

    def options(self, operator: Operator, residency: Residency | None) -> Options:
        """Plans among which the rates choose; see `hwsim.devices.base.ChoosesByRates`."""
        return shared_options(
            self._shape, _key(operator, residency), lambda: self._make_options(operator, residency)
        )

    def _make_options(self, operator: Operator, residency: Residency | None) -> Options:
        if isinstance(operator.problem, Transfer):
            return Options.only(self._columns(self._transferred(operator.problem)))
        if residency is None:
            nothing = np.zeros(0, dtype=np.int64)
            return Options.only(self._columns(Demands(nothing.astype(np.int32), {}, nothing)))
        if reason := self.supports(operator, [o.dtype for o in residency.operands]):
            raise UnsupportedError(f"operator {operator.name} ({operator.kind}): {reason}")
        if operator.kind in UNIT_KINDS:
            return Options.only(self._columns(self._vector(operator, residency), launched=True))
        if isinstance(operator.problem, Recurrent):
            return self._recurrent_options(operator.problem, residency)
        if isinstance(operator.problem, Attention):
            miss, spec = self._misses(residency), self.spec
            job = attention_job(
                operator.problem, residency, (miss.operands, miss.output), spec.multiprocessors,
                spec.l2.size_bytes, self.machine,
            )  # fmt: skip
            return Options.only(self._columns(attention_demands(job, self.machine), launched=True))
        return self._product_options(operator, residency)

    def _rates(self, pipeline: Pipeline) -> Rates:
        return rates_of(pipeline, self.machine.fitted)

    def _recurrent_options(self, layer: Recurrent, residency: Residency) -> Options:
        """Kernels of steps follow the rates themselves: each tile may wait for memory."""
        machine, steps = self.machine, self._recurrence(layer, residency)
        constants = sum(o.size_bytes for o in residency.operands[1 + layer.weights :])
        if self.spec.recurrent == "persistent" and persists(steps, machine):
            return Options.only(self._columns(persistent_demands(steps, machine), constants, launched=True))

        def plan(rates: Rates) -> Plan:
            return self._columns(recurrent_demands(steps, machine, rates), constants, launched=True)

        return Options.ruled(self._rates, plan, self.pipeline)

    def _product_options(self, operator: Operator, residency: Residency) -> Options:
        """Of a product that blocks are chosen for, at the rates of memory and cache."""
        machine, job, conv = self.machine, self._lowered(operator, residency), operator.problem
        constants = sum(o.size_bytes for o in residency.operands[2:])
        if isinstance(conv, Conv2d):
            ways = conv_ways(conv, job, machine)

            def convolution(picked: tuple[int, int]) -> Plan:
                demands = conv_demands(ways[picked[0]], picked[1], conv, machine)
                return self._columns(demands, constants, launched=True)

            return Options.ruled(lambda p: fastest(ways, self._rates(p)), convolution, self.pipeline)
        nonzeros = residency.operands[1].nonzeros
        if nonzeros is not None and not job.structured:
            return Options.only(self._columns(csr_demands(job, nonzeros, machine), constants, launched=True))
        if not job.structured and min(job.m, job.n) <= (
            machine.narrow[job.dtype] if _lies_narrow(operator, job) else 1
        ):
            return Options.only(self._columns(narrow_demands(job, machine), constants, launched=True))
        found = candidates(job, machine)

        def product(picked: int) -> Plan:
            return self._columns(block_demands(job, found.choice(picked), machine), constants, launched=True)

        return Options.ruled(lambda p: found.best(self._rates(p))[0], product, self.pipeline)

    def _recurrence(self, layer: Recurrent, residency: Residency) -> Recurrence:
        """Weights are fetched in the first step of a cold run, and in every step as far as the cache has no
        room for them beside the state."""
        miss, x, out = self._misses(residency), residency.operands[0], residency.output
        weight_bytes = sum(o.size_bytes for o in residency.operands[1 : 1 + layer.weights])
        # A state, the one before, and the gates.
        kept = layer.N * (layer.H * layer.gates + 2 * layer.S) * format_bits(x.dtype) // 8
        grown = self._grown(weight_bytes + kept)
        first = 1.0 if self.spec.cache_state == "cold" else grown
        return Recurrence(
            layer, x.dtype, weight_bytes, first, grown,
            -(-x.size_bytes // layer.T), miss.operands[0], -(-out.size_bytes // layer.T), miss.output,
        )  # fmt: skip

    def _lowered(self, operator: Operator, residency: Residency) -> Job:
        """The matrix products behind an operator: M = N P Q, N = K / groups, K = C / groups R S for
        conv2d."""
        p = operator.problem
        if isinstance(p, Conv2d):
            sizes = (p.groups, p.N * p.P * p.Q, p.K // p.groups, p.C // p.groups * p.R * p.S)
        else:
            assert isinstance(p, Matmul)
            sizes = (p.B, p.M, p.N, p.K)
        return self._job(*sizes, residency, layout_of(operator), len(operator.epilogue))

    def _job(
        self, batch: int, m: int, n: int, k: int, residency: Residency, layout: str, pointwise: int
    ) -> Job:
        a, b = residency.operands[:2]
        miss, fitted = self._misses(residency), self.machine.products[a.dtype]
        return Job(
            batch, m, n, k, a.dtype, format_bits(residency.output.dtype),
            Side(a.size_bytes, miss.operands[0], strided=layout[0] == "t"),
            Side(b.size_bytes, miss.operands[1], strided=layout[1] == "n"),
            miss.output, fitted.gemm_share, fitted.slab_latency_s, pointwise, structured=b.structured,
        )  # fmt: skip

    def _vector(self, operator: Operator, residency: Residency) -> Demands:
        miss = self._misses(residency)
        elements = residency.output.elements
        operations = vector_operations(operator, elements, max(1, elements))
        operands = tuple(zip(residency.operands, miss.operands, strict=True))
        again = repeated_bytes(operator, residency)
        return vector_demands(operands, residency.output, miss.output, operations, again, self.machine)

    def _transferred(self, problem: Transfer) -> Demands:
        """The network's inputs lie in memory, and are brought into an empty cache; its results stay. What
        goes to other devices or comes from them passes the second-level cache."""
        size, one = np.array([problem.size_bytes], dtype=np.int64), np.ones(1, dtype=np.int64)
        ways = {"send": ("load", "fetch"), "receive": ("store", "write_back")}
        if problem.direction in ways:
            near, far = ways[problem.direction]
            return Demands(np.zeros(1, dtype=np.int32), {near: size, far: size * problem.to_memory}, one)
        cold = problem.direction == "in" and not problem.to_memory and self.spec.cache_state == "cold"
        return Demands(np.zeros(1, dtype=np.int32), {"fetch": size * cold}, one)

    def _misses(self, residency: Residency) -> _Figures:
        """What the cache holds of an operator's tensors goes down from all to nothing as they grow from half
        its size to the whole: what is used only once also takes room. Weights are there only in the hot
        state, activations where the run left them on chip."""
        operands = (*residency.operands, residency.output)
        grown = self._grown(sum(o.size_bytes for o in operands))
        hot = self.spec.cache_state == "hot"

        def miss(operand: Operand) -> float:
            return grown if hot or operand.place == "chip" else 1.0

        out = 1.0 if residency.output.place == "memory" else grown
        return _Figures(tuple(miss(o) for o in residency.operands), out)

    def _grown(self, size_bytes: int) -> float:
        """The share that the cache does not hold of so many bytes in turn."""
        return min(1.0, max(0.0, 2 * size_bytes / self.spec.l2.size_bytes - 1))

    def _columns(self, demands: Demands, constant_bytes: int = 0, *, launched: bool = False) -> Plan:
        """Lay demands out in the pipeline's order. The first tile launches the operator, where anything is
        launched, and fetches the constants of its fused steps."""
        demands = ends_apart(demands)
        kinds = len(demands.resident)
        first = np.zeros(kinds, dtype=np.bool_)
        first[demands.kind_of_tile[:1]] = True
        zero = np.zeros(kinds, dtype=np.int64)
        columns = dict(demands.columns)
        columns["launch"] = np.where(first, self._launch_cycles() if launched else 0, 0)
        for name in ("fetch", "weights"):
            columns[name] = columns.get(name, zero) + np.where(first, constant_bytes, 0)
        assert demands.begins is not None
        assert demands.ends is not None
        held = pools_held(demands.resident, columns.get("compute", zero) > 0)
        return lay_out(
            self.pipeline, demands.kind_of_tile, kinds, columns,
            {"machine": demands.begins, **held}, {"machine": demands.ends, **held},
            demands.actions, mapping=demands.mapping,
        )  # fmt: skip

    def _launch_cycles(self) -> int:
        """Of the harness that the design names, else of one launch after another."""
        spec = self.spec
        found = spec.calibration.launch_us.get(spec.harness)
        return ceil((spec.launch_s if found is None else found * 1e-6) * spec.clock.boost_hz)

    # -- figures ---------------------------------------------------------------------------------------

    def bound_ps(self, operator: Operator, residency: Residency | None) -> dict[str, int]:
        """At the boost clock and the memory's whole bandwidth, with the multiplications of the algorithm that
        the library takes; bytes that a hot or earlier used cache may hold are left out."""
        if residency is None:
            return {}
        spec = self.spec
        operands = (*residency.operands, residency.output)
        hot = spec.cache_state == "hot" and sum(o.size_bytes for o in operands) <= spec.l2.size_bytes
        outside = sum(o.size_bytes for o in operands if o.place != "chip")
        if isinstance(operator.problem, Conv2d) and residency.operands[0].place != "chip":
            size = residency.operands[0].size_bytes
            outside -= size - touched_bytes(operator.problem, size)
        if isinstance(operator.problem, Recurrent) and spec.cache_state == "hot":
            # Weights may stay in a cache that inputs and results of all steps would overflow.
            weights = residency.operands[1 : 1 + operator.problem.weights]
            outside -= sum(o.size_bytes for o in weights if o.place != "chip")
        if isinstance(operator.problem, Attention):
            outside -= unseen_bytes(operator.problem, residency.operands)
        found = {"memory": 0 if hot else outside * PS_PER_S // spec.memory.bandwidth_bytes_per_s}
        if operator.kind in PRODUCT_KINDS:
            rate = spec.units[residency.operands[0].dtype].macs_per_cycle * spec.clock.boost_hz
            found["multiprocessors"] = self._least_macs(operator, residency) * PS_PER_S // rate
        return found

    def _least_macs(self, operator: Operator, residency: Residency) -> int:
        """Multiplications of the chosen algorithm: with stored weights only, those that are stored."""
        if isinstance(operator.problem, Recurrent | Attention):
            return operator.problem.macs
        job = self._lowered(operator, residency)
        if isinstance(operator.problem, Conv2d):
            ways = conv_ways(operator.problem, job, self.machine)
            return least_multiplications(operator.problem, ways[fastest(ways, self._rates(self.pipeline))[0]])
        nonzeros = residency.operands[1].nonzeros
        return job.macs if nonzeros is None else nonzeros * job.m

    def wait_name(self, consumer: Operator, operand: int, producer: Operator, place: str) -> str:
        """One operator runs after the other, so all operands are waited for at once."""
        del consumer, operand, producer, place
        return "ready"

    def components(self) -> tuple[Component, ...]:
        return gpu_components(self.spec)


def _key(operator: Operator, residency: Residency | None) -> Hashable:
    """What decides an operator's plans. Caches stream by themselves, so the room that a run keeps for
    streaming changes nothing."""
    met = residency and (residency.operands, residency.output)
    steps, passes = len(operator.epilogue), result_operations(operator)
    return operator.problem, met, steps, passes, dict(operator.attributes).get("layout")


def _lies_narrow(operator: Operator, job: Job) -> bool:
    """Whether the narrow operand lies as kernels for narrow matrices want it, along the sums (of gemmSN there
    is _NN and _TN, and no _NT), or as nobody said."""
    return "layout" not in dict(operator.attributes) or (job.a if job.m < job.n else job.b).strided


def layout_of(operator: Operator) -> str:
    """How the operands of a product lie, as BLAS says it of matrices stored by columns: "n" or "t" for the
    first and for the second. One that is read along its sums ("t" first, "n" second) is strided. Without the
    attribute `layout` neither is, as where a library may lay operands out for itself."""
    found = dict(operator.attributes).get("layout", "nt")
    assert isinstance(found, str)
    return found
