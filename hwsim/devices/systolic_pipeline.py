"""The tile pipeline of the systolic kind: its stages, ports, slots, waits, and the names of its stalls."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from hwsim.design.kinds.systolic import SystolicSpec
from hwsim.plan import Cause, Pipeline, Plan, Resource, SlotPool, Stage, Wait
from hwsim.workload.operators import Operator, Recurrent, Transfer

UNLIMITED_SERVERS = 10**9  # a pure delay: sums of any number of tiles settle side by side

# Highest priority first: what a cycle is blamed on when several things are missing. The names are those of
# the TPU paper's Table 3 where it has them; "vector" is a RAW wait for a pooling or pointwise operator.
CAUSES = (
    Cause("input", "wait", "input"),
    Cause("input", "wait", "input_shift"),
    Cause("input", "wait", "lookup"),
    Cause("input", "wait", "reload"),
    Cause("input", "wait", "reload_weights"),
    Cause("vector", "wait", "vector"),
    Cause("vector", "wait", "vector_shift"),
    Cause("raw", "wait", "raw"),
    Cause("raw", "wait", "raw_shift"),
    Cause("raw", "pool", "state"),
    Cause("output", "wait", "result"),
    Cause("input", "stage", "load"),
    Cause("weight_stall", "stage", "weights"),
    Cause("weight_shift", "stage", "shift"),
    Cause("accumulator", "pool", "accumulators"),
)


def make_pipeline(spec: SystolicSpec) -> Pipeline:
    """Stages in arbitration order. The weight memory's port serves weights, spilled loads and stores; the
    host link serves both directions, at the share of its rate that calibration found."""
    host = spec.host_link is not None
    stages = _stages(
        spec.weight_memory.technology == "none",
        spec.weight_fifo.depth_tiles is not None,
        spec.unified_buffer.size_bytes is not None,
        host,
        spec.array.dataflow,
    )
    return Pipeline(stages, _resources(spec), _pools(spec), _waits("receive" if host else "load"))


@lru_cache(maxsize=64)
def _stages(ideal_memory: bool, fifo: bool, chip: bool, host: bool, dataflow: str) -> tuple[Stage, ...]:
    """What of an ideal memory and of unlimited buffers is charged is nothing."""
    memory = "weight_memory"
    read = ((memory, "read"),) if not ideal_memory else ()
    written = ((memory, "write"),) if not ideal_memory else ()
    queued = (("weight_fifo", "write"), ("weight_fifo", "read")) if fifo else ()
    into_chip = (("unified_buffer", "write"),) if chip else ()
    from_chip = (("unified_buffer", "read"),) if chip else ()
    # What is shifted in must have come before the shift, what streams through before computing.
    held, streamed = ("load", "weights") if dataflow == "is" else ("weights", "load")
    link = (("host_link", "transfer"),)
    leaves = ("drain", "receive") if host else ("drain",)
    stages = [
        Stage("weights", memory, "bytes", charges=(*read, *queued)),
        Stage("load", memory, "bytes", charges=(*read, *into_chip)),
        Stage("shift", "array_loader", "cycles", after=(held,)),
        Stage("compute", "array", "cycles", after=("shift", streamed)),
        Stage("settle", "array_pipeline", "cycles", after=("compute",), in_order=False),
        Stage("drain", "activation_unit", "cycles", after=("settle",)),
        Stage("store", memory, "bytes", after=leaves, in_order=False, charges=(*written, *from_chip)),
    ]
    if host:
        stages.insert(1, Stage("receive", "host_link", "bytes", charges=(*link, *into_chip)))
        sent = (*link, *from_chip)
        stages.append(Stage("send", "host_link", "bytes", after=("drain",), in_order=False, charges=sent))
    return tuple(stages)


def _resources(spec: SystolicSpec) -> tuple[Resource, ...]:
    clock = Fraction(spec.clock_hz)
    bandwidth = spec.weight_memory.bandwidth_bytes_per_s
    found = [
        Resource("weight_memory", None if bandwidth is None else Fraction(bandwidth)),
        Resource("array_loader", clock),
        Resource("array", clock),
        Resource("array_pipeline", clock, UNLIMITED_SERVERS),
        Resource("activation_unit", clock),
    ]
    if spec.host_link is not None:
        rate = spec.host_link.bandwidth_bytes_per_s
        share = Fraction(str(spec.calibration.host_efficiency)) if spec.calibration else Fraction(1)
        found.append(Resource("host_link", None if rate is None else Fraction(rate) * share))
    return tuple(found)


def _pools(spec: SystolicSpec) -> tuple[SlotPool, ...]:
    found = [
        SlotPool("planes", "shift", "compute", 2 if spec.array.double_buffer else 1),
        # Streaming buffers are sized for two tiles' inputs and outputs.
        SlotPool("stream", "load", "drain", 2),
        SlotPool("outbound", "drain", "store", 2),
        # A step of a recurrent operator reads the state that the step before has left.
        SlotPool("state", "shift" if spec.array.dataflow == "is" else "compute", "drain", 1),
    ]
    if spec.weight_fifo.depth_tiles is not None:
        # A tile of weights leaves the FIFO as it shifts in, or while it streams through.
        leaves = "shift" if spec.array.dataflow == "ws" else "compute"
        found.append(SlotPool("fifo", "weights", leaves, spec.weight_fifo.depth_tiles))
    if spec.accumulators.rows is not None:
        found.append(SlotPool("accumulators", "compute", "drain", spec.accumulators.banks))
    return tuple(found)


@lru_cache(maxsize=2)
def _waits(arrival: str) -> tuple[Wait, ...]:
    """Where an operator is held until its operands are there: before compute, or before the shift where
    activations are what is shifted in (the first operand with is, the second with ws); spilled ones before
    they are fetched again, and rows of a table before the places that are looked up have arrived."""
    return (
        Wait("raw", "compute", "drain"),
        Wait("vector", "compute", "drain"),
        Wait("input", "compute", arrival),
        Wait("result", "compute", "drain"),
        Wait("raw_shift", "shift", "drain"),
        Wait("vector_shift", "shift", "drain"),
        Wait("input_shift", "shift", arrival),
        Wait("lookup", "load", arrival),
        Wait("reload", "load", "store"),
        Wait("reload_weights", "weights", "store"),
    )


def wait_name(consumer: Operator, operand: int, producer: Operator, place: str, dataflow: str) -> str:
    """Which of the waits holds an operator back until that operand is there; see `Device.wait_name`."""
    problem, made = consumer.problem, "raw" if producer.macs else "vector"
    if isinstance(problem, Recurrent):
        # What it begins with is multiplied, and comes with the weights: constants, which never wait.
        product, held = problem.I > 0 or operand > 0, dataflow == "is"
    else:
        product, held = consumer.kind in ("conv2d", "matmul"), operand == {"is": 0, "ws": 1}.get(dataflow)
    if place == "memory":
        return "reload_weights" if product and operand > 0 else "reload"
    if isinstance(problem, Transfer):
        return "result"
    if isinstance(producer.problem, Transfer):
        if consumer.kind == "gather" and operand == 1:
            return "lookup"
        made = "input"
    return f"{made}_shift" if product and held else made


def asked(plan: Plan, in_turns: bool) -> list[int]:
    """What a plan asks of each resource of its pipeline; of those with many servers nothing. Where shifting
    in and computing take turns (`in_turns`), the array does both."""
    totals: dict[str, int] = {}
    for stage, total in zip(plan.pipeline.stages, plan.stage_totals.tolist(), strict=True):
        name = "array" if in_turns and stage.name == "shift" else stage.resource
        totals[name] = totals.get(name, 0) + total
    return [totals.get(r.name, 0) if r.servers == 1 else 0 for r in plan.pipeline.resources]
