"""Weights in groups of four neighbours of which two are kept, 2:4, as tensor cores from Ampere on take them
(Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021, section 3): half of the numbers, and for
each its place in the group in two bits. Matrix products alone have such kernels (cuSPARSELt)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hwsim.design.kinds.gpu import GpuUnitSpec
from hwsim.devices.gpu_blocked import INDEX_BITS
from hwsim.plan.residency import WeightStorage
from hwsim.tensor.formats import format_bits
from hwsim.tensor.tensor import Tensor
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Matmul


def keep_structured(
    workload: Workload, storage: WeightStorage, units: Mapping[str, GpuUnitSpec]
) -> WeightStorage:
    """The storage with weights of matrix products that are stored 2:4 kept so, where the units of their
    number format skip their zeros."""
    sizes, kept, names = dict(storage.size_bytes), dict(storage.nonzeros), set(storage.structured)
    for op in workload.operators:
        if not isinstance(op.problem, Matmul) or op.problem.B > 1:
            continue
        weights = workload.tensors[op.inputs[1]]
        unit = units.get(weights.dtype)
        if unit is None or unit.structured_rate == 1 or not is_two_of_four(weights):
            continue
        names.add(weights.name)
        kept[weights.name] = weights.elements // 2
        sizes[weights.name] = -(-kept[weights.name] * (format_bits(weights.dtype) + INDEX_BITS) // 8)
    return replace(storage, size_bytes=sizes, nonzeros=kept, structured=frozenset(names))


def is_two_of_four(weights: Tensor) -> bool:
    """Whether weights are stored by the codec n:m as 2:4 without groups cut short. It is told by their index:
    two bits for each of half the elements. That of 2:2 and of 4:16 is as long, and those keep more than half
    and no more than a quarter."""
    stored = weights.storage
    if weights.role != "weight" or stored is None or stored.codec != "n:m":
        return False
    index_bits = dict(stored.parts).get("index", 0)
    return index_bits == weights.elements and 1 / 4 < weights.density <= 1 / 2
