"""Each field of a gpu spec changes what becomes of some workload, or the parts that take energy and area."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest

from hwsim.design.kinds.gpu import GpuSpec
from hwsim.devices.gpu import GpuDevice
from hwsim.errors import CapacityError
from hwsim.schema import Spec
from hwsim.workload import Workload, conv2d, matmul, matvec, recurrent
from tests.gpu_samples import run_on, small_gpu, two_of_four, with_layout

PRODUCT = matmul(300, 200, 3000, dtype="fp32")
FEW_BLOCKS = matmul(64, 64, 3000, dtype="fp32")
NARROW = matmul(16, 300, 1000, dtype="fp32")
STRIDED = with_layout(matmul(512, 256, 256, dtype="fp32"), "tt")
CONV = conv2d(1, 16, 20, 20, 32, 5, dtype="fp32")
SPARSE = matvec(160, 400, density=0.1, batch=4).astype("fp32")
RECURRENT = recurrent("gru", 64, 8, 3, dtype="fp32")
TWO_OF_FOUR = two_of_four(matmul(64, 64, 3000, dtype="fp16"))
SMALL_CACHE = {"l2": {"size_bytes": 2**17}}
LIMITED = {"power": {"limit_w": 50.0, "idle_w": 8.0, "multiply_pj": {"fp32": 1000.0}}}


@dataclass(frozen=True)
class Witness:
    """A workload that notices when `changed` is merged into `beside`."""

    workload: Workload
    changed: Mapping[str, Any]
    beside: Mapping[str, Any] = field(default_factory=dict)


def products(**changed: Any) -> dict[str, Any]:
    return {"calibration": {"memory_share": 1.0, "products": {"fp32": {"slab_latency_s": 1e-6, **changed}}}}


def calibration(**changed: Any) -> dict[str, Any]:
    return {"calibration": changed}


OVERFETCHED = {
    "cache_state": "hot",
    **SMALL_CACHE,
    **calibration(overfetch=3.0, overfetch_beyond_bytes=2**10),
}
WITNESSES = {
    "clock.base_hz": Witness(
        PRODUCT, {"clock": {"base_hz": 900_000_000}}, {"power": {**LIMITED["power"], "limit_w": 9.0}}
    ),
    "clock.boost_hz": Witness(PRODUCT, {"clock": {"boost_hz": 2_000_000_000}}),
    "multiprocessors.count": Witness(PRODUCT, {"multiprocessors": {"count": 3}}),
    "multiprocessors.lanes": Witness(PRODUCT, {"multiprocessors": {"lanes": 8}}),
    "multiprocessors.registers": Witness(PRODUCT, {"multiprocessors": {"registers": 8192}}),
    "multiprocessors.threads": Witness(PRODUCT, {"multiprocessors": {"threads": 64}}),
    "multiprocessors.blocks": Witness(FEW_BLOCKS, {"multiprocessors": {"blocks": 1}}, products()),
    "multiprocessors.shared_memory_bytes": Witness(
        PRODUCT, {"multiprocessors": {"shared_memory_bytes": 16_384}}
    ),
    "units.unit": Witness(PRODUCT, {"units": {"fp32": {"unit": "tensor", "macs_per_cycle": 64}}}),
    "units.structured_rate": Witness(
        TWO_OF_FOUR, {"units": {"fp16": {"unit": "tensor", "macs_per_cycle": 512, "structured_rate": 2}}}
    ),
    "units.macs_per_cycle": Witness(PRODUCT, {"units": {"fp32": {"unit": "plain", "macs_per_cycle": 32}}}),
    "l2.size_bytes": Witness(PRODUCT, {"l2": {"size_bytes": 2**18}}),
    "l2.bytes_per_cycle": Witness(PRODUCT, {"l2": {"bytes_per_cycle": 10}}),
    "memory.technology": Witness(PRODUCT, {"memory": {"technology": "gddr5"}}),
    "memory.bandwidth_bytes_per_s": Witness(PRODUCT, {"memory": {"bandwidth_bytes_per_s": 10**9}}),
    "memory.channels": Witness(PRODUCT, {"memory": {"channels": 7}}),
    "power.limit_w": Witness(PRODUCT, {"power": {**LIMITED["power"], "limit_w": 30.0}}, LIMITED),
    "power.idle_w": Witness(PRODUCT, {"power": {**LIMITED["power"], "idle_w": 20.0}}, LIMITED),
    "power.multiply_pj": Witness(
        PRODUCT, {"power": {**LIMITED["power"], "multiply_pj": {"fp32": 2000.0}}}, LIMITED
    ),
    "library": Witness(NARROW, {"library": "cublas_8"}),
    "sparse_below": Witness(SPARSE, {"sparse_below": 0.05}),
    "recurrent": Witness(RECURRENT, {"recurrent": "persistent"}),
    "cache_state": Witness(PRODUCT, {"cache_state": "hot"}),
    "harness": Witness(PRODUCT, {"harness": "bench"}, calibration(launch_us={"bench": 9.0})),
    "launch_s": Witness(PRODUCT, {"launch_s": 1e-6}),
    "calibration.memory_share": Witness(PRODUCT, calibration(memory_share=0.5)),
    "calibration.l2_share": Witness(PRODUCT, calibration(l2_share=0.5)),
    "calibration.overfetch": Witness(
        STRIDED, calibration(overfetch=2.0, overfetch_beyond_bytes=2**10), OVERFETCHED
    ),
    "calibration.overfetch_of": Witness(
        matmul(512, 256, 256, dtype="fp32"),
        calibration(overfetch=3.0, overfetch_beyond_bytes=2**10, overfetch_of="all"),
        OVERFETCHED,
    ),
    "calibration.overfetch_beyond_bytes": Witness(
        STRIDED, calibration(overfetch=3.0, overfetch_beyond_bytes=2**30), OVERFETCHED
    ),
    "calibration.csr_cycles_per_nonzero": Witness(SPARSE, calibration(csr_cycles_per_nonzero=90.0)),
    "calibration.csr_cycles_per_product": Witness(SPARSE, calibration(csr_cycles_per_product=90.0)),
    "calibration.launch_us": Witness(
        PRODUCT,
        {"harness": "bench", **calibration(launch_us={"bench": 8.0})},
        {"harness": "bench", **calibration(launch_us={"bench": 9.0})},
    ),
    "calibration.products.gemm_share": Witness(PRODUCT, products(gemm_share=0.5), products()),
    "calibration.products.slab_latency_s": Witness(FEW_BLOCKS, products(slab_latency_s=3e-6), products()),
    "calibration.products.conv_share": Witness(CONV, products(conv_share=0.5), products()),
    "calibration.products.conv_slab_latency_s": Witness(CONV, products(conv_slab_latency_s=9e-6), products()),
    "calibration.products.recurrent_step_s": Witness(RECURRENT, products(recurrent_step_s=1e-6), products()),
    "calibration.products.recurrent_slab_latency_s": Witness(
        RECURRENT, products(recurrent_slab_latency_s=9e-6), products()
    ),
}
# Their witnesses are elsewhere: `kind` has one word, `dtype` is what a run takes when it names none, and too
# little memory is refused, as the last test has it.
ELSEWHERE = {"kind", "dtype", "memory.size_bytes"}


def declared(owner: type[Spec], path: tuple[str, ...] = ()) -> Iterator[str]:
    """The paths of all fields that are not descriptive."""
    for name, said in owner.declared.items():
        section = next(iter(sections(owner.model_fields[name].annotation)), None)
        if said.descriptive:
            continue
        if section is not None:
            yield from declared(section, (*path, name))
        else:
            yield ".".join((*path, name))


def sections(annotation: Any) -> Iterator[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for part in get_args(annotation):
        yield from sections(part)


def outcome(spec: GpuSpec, workload: Workload) -> tuple[Any, ...]:
    found = run_on(spec, workload)
    busy = [plan.busy_ps.tolist() for plan in found.plans]
    return found.trace.makespan_ps, busy, found.plan.action_totals, GpuDevice(spec).components()


def test_the_table_holds_every_field() -> None:
    assert set(declared(GpuSpec)) == set(WITNESSES) | ELSEWHERE


@pytest.mark.parametrize("name", WITNESSES)
def test_a_field_has_a_witness(name: str) -> None:
    found = WITNESSES[name]
    changed = outcome(small_gpu(**{**found.beside, **found.changed}), found.workload)
    assert changed != outcome(small_gpu(**found.beside), found.workload)


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(CapacityError, match="device memory"):
        run_on(small_gpu(memory={"size_bytes": 1000}), PRODUCT)


def test_power_stretches_all_formats_that_it_names() -> None:
    named = small_gpu(**LIMITED)
    assert outcome(named, PRODUCT)[0] > outcome(small_gpu(), PRODUCT)[0]
    half = matmul(300, 200, 3000, dtype="fp16")
    assert outcome(named, half)[0] == outcome(small_gpu(), half)[0]
