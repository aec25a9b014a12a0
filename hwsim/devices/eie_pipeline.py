"""The tile pipeline of the eie kind, its parts, and the names of its stalls."""

from __future__ import annotations

from fractions import Fraction

from hwsim.design.kinds.eie import EieSpec
from hwsim.plan import Cause, Component, Pipeline, Resource, SlotPool, Stage, Wait

ACTIVATION_BITS = 16
COLUMN_BITS = 16  # the number of its column that goes with a broadcast activation

CAUSES = (
    Cause("raw", "wait", "raw"),
    Cause("reload", "wait", "reload"),
    Cause("weight_load", "stage", "weights"),
    Cause("input_load", "stage", "load"),
    Cause("fetch", "stage", "fetch"),
    Cause("weight_load", "pool", "matrix"),
    Cause("drain", "pool", "results"),
)


def make_pipeline(spec: EieSpec) -> Pipeline:
    """Stages in arbitration order. Whatever comes from outside comes through one port, and PEs wait for it;
    register files are filled from the activation memory and emptied into it where they do not just change
    roles."""
    outside = spec.io is not None and spec.io.technology != "none"
    read = ((("outside", "read"),)) if outside else ()
    written = ((("outside", "write"),)) if outside else ()
    stages = (
        Stage("weights", "io", "bytes", charges=(*read, ("matrix_sram", "write"))),
        Stage("load", "io", "bytes", after=("weights",), charges=(*read, ("activation_sram", "write"))),
        Stage("fetch", "activation_port", "cycles", after=("load",)),
        Stage("compute", "pes", "cycles", after=("fetch",)),
        Stage("drain", "activation_port", "cycles", after=("compute",)),
        Stage(
            "store",
            "io",
            "bytes",
            after=("drain",),
            in_order=False,
            charges=(*written, ("activation_sram", "read")),
        ),
    )
    clock = Fraction(spec.clock_hz)
    rate = None if spec.io is None else spec.io.bandwidth_bytes_per_s
    resources = (
        Resource("io", None if rate is None else Fraction(rate)),
        Resource("activation_port", clock),
        Resource("pes", clock),
    )
    pools = (
        # Until the last sums of a pass have left: those of the next may read them again.
        SlotPool("matrix", "weights", "drain", 1),
        SlotPool("stream", "load", "compute", 2),
        SlotPool("sources", "fetch", "compute", 1),
        SlotPool("results", "compute", "drain", 1),
    )
    waits = (Wait("raw", "weights", "drain"), Wait("reload", "weights", "store"))
    return Pipeline(stages, resources, pools, waits)


def eie_components(spec: EieSpec) -> tuple[Component, ...]:
    """What each PE is made of, and the memory outside."""
    fitted = spec.calibration
    area = 1.0 if fitted is None else fitted.sram_area
    energy = 1.0 if fitted is None else fitted.sram_energy
    pes, matrix, pointers, held = spec.pes, spec.matrix_sram, spec.pointer_sram, spec.activations
    files = held.registers * (ACTIVATION_BITS + spec.accumulator_bits)
    queue = spec.fifo_depth * (ACTIVATION_BITS + COLUMN_BITS)
    parts = [
        Component("act_queue", "register", pes, width_bits=queue),
        Component(
            "pointer_sram", "sram", 2 * pes, pointers.size_bytes // 2, pointers.pointer_bits,
            energy_scale=energy, area_scale=area,
        ),
        Component(
            "matrix_sram", "sram", pes, matrix.size_bytes, matrix.width_bits,
            energy_scale=energy, area_scale=area,
        ),
        Component("codebook", "register", pes, width_bits=2**spec.weight_bits * ACTIVATION_BITS),
        Component("arithmetic", "mac", pes, dtype=spec.dtype),
        Component("activation_registers", "register", pes, width_bits=files),
        Component(
            "activation_sram", "sram", pes, held.sram_bytes, held.sram_width_bits,
            energy_scale=energy, area_scale=area,
        ),
    ]  # fmt: skip
    if fitted is not None and fitted.clock_energy_pj:
        watts = fitted.clock_energy_pj * 1e-12 * spec.clock_hz * pes
        parts.append(Component("clock_network", "clock", pes, static_w=watts))
    if spec.pointwise_lanes is not None:
        parts.append(Component("pointwise", "vector", pes * spec.pointwise_lanes, dtype=spec.dtype))
    if spec.io is not None and spec.io.technology != "none":
        parts.append(Component("outside", "dram", technology=spec.io.technology))
    return tuple(parts)
