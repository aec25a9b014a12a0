"""A small GPU with round figures, and the way from a workload to a simulated time on any GPU spec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hwsim.compress.encode import encode
from hwsim.compress.prune import prune_n_of_m
from hwsim.design.kinds.gpu import GpuSpec
from hwsim.devices.gpu import GpuDevice
from hwsim.plan import Plan, Program, join_plans
from hwsim.plan.residency import Schedule, schedule
from hwsim.result import Trace
from hwsim.sim import simulate
from hwsim.workload import Workload


def small_gpu(**changed: Any) -> GpuSpec:
    """One multiprocessor at 1 GHz with 64 multiply-adds a cycle, 100 GB/s of memory (10 ps a byte), a large
    cache of 1,000 bytes a cycle (1 ps a byte), no latencies and no launch cost. Sections are merged."""
    values: dict[str, Any] = {
        "kind": "gpu",
        "clock": {"base_hz": 500_000_000, "boost_hz": 1_000_000_000},
        "multiprocessors": {
            "count": 1, "lanes": 64, "registers": 65_536, "threads": 2048, "blocks": 32,
            "shared_memory_bytes": 98_304,
        },
        "units": {
            "fp32": {"unit": "plain", "macs_per_cycle": 64},
            "fp16": {"unit": "tensor", "macs_per_cycle": 512},
        },
        "l2": {"size_bytes": 2**30, "bytes_per_cycle": 1000},
        "memory": {"technology": "hbm2", "size_bytes": 2**36, "bandwidth_bytes_per_s": 10**11},
        "library": "cublas_10",
        "launch_s": 0.0,
        "calibration": {
            "memory_share": 1.0,
            "products": {name: {"slab_latency_s": 0.0} for name in ("fp32", "fp16")},
        },
    }  # fmt: skip
    for name, value in changed.items():
        known = values.get(name)
        values[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return GpuSpec.model_validate(values)


@dataclass(frozen=True)
class Run:
    """What became of a workload."""

    schedule: Schedule
    plans: tuple[Plan, ...]
    program: Program
    trace: Trace

    @property
    def plan(self) -> Plan:
        """Of the one operator that is no transfer."""
        found = [
            plan
            for op, plan in zip(self.schedule.operators, self.plans, strict=True)
            if op.kind != "transfer"
        ]
        assert len(found) == 1
        return found[0]


def run_on(spec: GpuSpec, workload: Workload, timing: str = "fast") -> Run:
    """Schedule, plan and simulate, as the pipeline does."""
    device = GpuDevice(spec)
    order = schedule(
        workload,
        chip_bytes=device.chip_bytes,
        memory_bytes=device.memory_bytes,
        host_link=device.host_link,
        storage=device.weight_storage(workload, {}),
    )
    plans = tuple(
        device.plan(op, residency) for op, residency in zip(order.operators, order.residencies, strict=True)
    )
    waits: list[dict[str, set[int]]] = [{} for _ in plans]
    for edge in order.edges:
        waits[edge.consumer].setdefault("ready", set()).add(edge.producer)
    program = join_plans(device.pipeline, plans, waits)
    return Run(order, plans, program, simulate(program, timing))


def only_plan(spec: GpuSpec, workload: Workload) -> Plan:
    return run_on(spec, workload).plan


def mac_count(plan: Plan) -> int:
    return sum(count for (_, action), count in plan.action_totals.items() if action.startswith("mac_"))


def with_layout(workload: Workload, layout: str) -> Workload:
    """The same products with operands that lie as BLAS's `layout` says."""
    operators = tuple(
        replace(op, attributes=(*op.attributes, ("layout", layout))) if op.kind == "matmul" else op
        for op in workload.operators
    )
    return replace(workload, operators=operators)


def two_of_four(workload: Workload) -> Workload:
    """The same product with weights [K, N], of which two in four neighbours along the sum are kept."""
    return encode(prune_n_of_m(workload, 2, 4), "n:m", n=2, m=4, axis=0)
