"""The totals of a run without its Result: time, energy, area, limit and utilization, by the same sums."""

from __future__ import annotations

import math
from functools import lru_cache
from numbers import Real

import numpy as np

from hwsim.bounded import Bounded
from hwsim.cost import Technology, load_technology
from hwsim.design import Design
from hwsim.explore.family import Families
from hwsim.explore.outcome import Found
from hwsim.explore.timed import Timed, counted, limit_of
from hwsim.placement import Machine, SharedMachine, make_machine, prepare, price
from hwsim.plan import Program
from hwsim.preparation import make_program, plan_workload, read_contents, refuse_unsupported
from hwsim.sim import simulate
from hwsim.units import PS_PER_S
from hwsim.workload import Workload
from hwsim.workload.graph import multiplied

TIMES = 256  # kept by one evaluator: points that differ only in what they cost


def figures(graph: Workload, design: Design) -> Found:
    """The totals of one network on one design; see `Totals`."""
    return Totals().figures(graph, design, make_machine(design))


class Totals:
    """Finds totals, and keeps what many points share."""

    def __init__(self) -> None:
        self._families = Families()
        self._times = Bounded[Timed](TIMES)
        self._technologies = Bounded[Technology](16)

    def figures(self, graph: Workload, design: Design, machine: Machine) -> Found:
        """What `hwsim.run` finds for a network in its formats on a design, which `machine` is made of. Raises
        HwsimError as that does."""
        timed = self._times.once((graph, machine), lambda: self._timed(graph, machine))
        found = timed.counted
        prices = price(design, machine, found.keys, self._technology)
        latency_s = timed.makespan_ps / PS_PER_S
        dynamic_j = float((found.counts * prices.pj_per_count).sum()) * 1e-12
        peak = latency_s * machine.clock_hz * machine.macs_per_cycle
        return Found(
            limit=timed.limit,
            latency_s=latency_s,
            energy_j=dynamic_j + math.fsum(prices.area.leakage_w) * latency_s,
            area_mm2=math.fsum(prices.area.area_mm2),
            batch=graph.batch,
            utilization=found.useful_macs / peak if peak else 0.0,
            weight_bytes=_weight_bytes(graph),
        )

    def _technology(self, table: str, node_nm: Real | float) -> Technology:
        """Looked up once: a sweep does not mix tables that change while it runs."""
        return self._technologies.once((table, node_nm), lambda: load_technology(table, node_nm))

    def _timed(self, graph: Workload, machine: Machine) -> Timed:
        if isinstance(machine, SharedMachine):
            whole = prepare(graph, machine)
            return Timed(counted(whole.schedule, whole.plans), *_simulated(whole.program))
        if timed := self._families.timed(graph, machine):
            return timed
        refuse_unsupported(graph, machine)
        contents = read_contents(graph) if machine.reads_contents else {}
        planned = plan_workload(graph, machine, contents, checked=False)
        program = make_program(machine, planned.order, planned.plans)
        return Timed(counted(planned.order, planned.plans), *_simulated(program))


def _simulated(program: Program) -> tuple[int, str]:
    """The makespan in picoseconds, and what limits it."""
    makespan_ps = simulate(program, "fast").makespan_ps
    tiles_of_kind = np.bincount(program.kind_of_tile, minlength=program.durations_ps.shape[1])
    return makespan_ps, limit_of(program.pipeline, program.durations_ps @ tiles_of_kind, makespan_ps)


@lru_cache(maxsize=256)
def _weight_bytes(graph: Workload) -> float:
    """Bytes of all weights that are multiplied, as they are stored."""
    names = dict.fromkeys(name for op in graph.operators for name in multiplied(op))
    weights = [graph.tensors[name] for name in names if graph.tensors[name].role in ("weight", "constant")]
    return float(sum(-(-t.stored_bits // 8) for t in weights))
