"""Quantisation: chosen grids of whole numbers for weights and activations, scaled or fixed point.

A grid goes into Tensor.quantisation (real = (stored - zero point) * scale), and what executes the network
keeps to it. Weights take their range from their own numbers, activations from calibration samples. Sources:
Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", arXiv:1806.08342, sections 2
and 3 (affine grids, per tensor and per channel); Gupta et al., "Deep Learning with Limited Numerical
Precision", ICML 2015 (fixed point, stochastic rounding).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace

from hwsim.compress.calibrate import Ranges, Samples, calibrate, largest_sums
from hwsim.compress.grids import Grid, Per, WeightPlan, WeightRounding
from hwsim.compress.layers import Patterns, derived, select
from hwsim.errors import SpecError
from hwsim.tensor.formats import find_format
from hwsim.tensor.storage import Quantisation
from hwsim.tensor.tensor import Tensor
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Operator, Pool

SUM_LIMIT = 2**30  # what the sums over the samples may reach: half of a 32-bit accumulator


def quantise(
    workload: Workload,
    dtype: str = "int8",
    *,
    weight_dtype: str | None = None,
    per: Per = "channel",
    symmetric: bool = True,
    weights_symmetric: bool = True,
    ranges: Ranges | None = None,
    weight_ranges: Ranges | None = None,
    samples: Samples | None = None,
    rounding: WeightRounding = "nearest",
    seed: int = 0,
) -> Workload:
    """Activations in `dtype` and weights in `weight_dtype` (or `dtype`): int4, int8 or int16.

    Each activation has one scale, and a zero point unless `symmetric`; weights have one (`per` "tensor") or
    one for each output channel, and zero points unless `weights_symmetric`. `ranges` says how the range of an
    activation follows from `samples` (input name -> one batch or several joined; drawn from the workload's
    seed if left out), `weight_ranges` that of a weight; min-max if left out. Weights round to the nearest, or
    stochastically from `seed`; binary and ternary ones stay what they are. Where the sums of a layer would
    pass half of an int32 (16-bit operands), its weights get a coarser scale.
    Raises SpecError for other formats, for samples that do not fit, and for a network that is lowered to
    Winograd's algorithm already.
    """
    plan = WeightPlan(
        Grid(weight_dtype or dtype, weights_symmetric), per, weight_ranges or Ranges(), rounding, seed
    )
    return _quantised(workload, "quantise", Grid(dtype, symmetric), ranges or Ranges(), samples, plan)


def fixed_point(
    workload: Workload,
    bits: int = 16,
    *,
    ranges: Ranges | None = None,
    weight_ranges: Ranges | None = None,
    samples: Samples | None = None,
    rounding: WeightRounding = "nearest",
    seed: int = 0,
) -> Workload:
    """Two's complement fixed point of 4, 8 or 16 bits with the radix point chosen for each tensor: as many
    bits before it as the tensor's range needs, the others behind it. The rest is as for `quantise`."""
    if bits not in (4, 8, 16):
        raise SpecError(f"fixed point of {bits} bits: hwsim runs it on 4, 8 and 16 bits")
    grid = Grid(f"int{bits}", power_of_two=True)
    plan = WeightPlan(grid, "tensor", weight_ranges or Ranges(), rounding, seed)
    return _quantised(workload, "fixed_point", grid, ranges or Ranges(), samples, plan)


def quantise_weights(
    workload: Workload,
    dtype: str = "int8",
    *,
    per: Per = "channel",
    symmetric: bool = True,
    ranges: Ranges | None = None,
    rounding: WeightRounding = "nearest",
    seed: int = 0,
    layers: Patterns = None,
) -> Workload:
    """Weights alone, of `layers` (all if left out); activations keep their format."""
    plan = WeightPlan(Grid(dtype, symmetric), per, ranges or Ranges(), rounding, seed)
    refs = select(workload, layers)
    laid = {ref.tensor: plan.lay(workload, ref) for ref in refs}
    step = f"quantise_weights: {', '.join(ref.operator for ref in refs)}: {plan.words}"
    return derived(workload, step, tensors={**workload.tensors, **laid}, formats_chosen=True)


def _quantised(
    workload: Workload, name: str, grid: Grid, ranges: Ranges, samples: Samples | None, plan: WeightPlan
) -> Workload:
    """Activations on `grid`, weights by `plan`."""
    if any(op.kind == "winograd" for op in workload.operators):
        raise SpecError(
            f"{workload.name} is lowered to Winograd's algorithm, whose transforms choose their own formats: "
            "quantise first, and lower then"
        )
    ends = calibrate(workload, samples, ranges, grid.levels)
    laid = activation_grids(workload, {tensor: grid.over(*ends[tensor]) for tensor in ends})
    floors = _scale_floors(workload, grid, plan, laid, samples)
    tensors: dict[str, Tensor] = dict(workload.astype(grid.dtype, plan.grid.dtype).tensors)
    for tensor, chosen in laid.items():
        tensors[tensor] = replace(tensors[tensor], dtype=grid.dtype, quantisation=chosen)
    for ref in select(workload):
        if find_format(workload.tensors[ref.tensor].dtype).kind == "levels":
            tensors[ref.tensor] = workload.tensors[ref.tensor]
        else:
            tensors[ref.tensor] = plan.lay(workload, ref, floors.get(ref.operator, 0.0))
    step = f"{name}: activations {grid.words} ({ranges.words} over {told(samples)}); weights {plan.words}"
    return derived(workload, step, tensors=tensors, formats_chosen=True)


def activation_grids(workload: Workload, chosen: Mapping[str, tuple[float, int]]) -> dict[str, Quantisation]:
    """A grid for each input and result, from (scale, zero point) by tensor. What only moves numbers keeps the
    grid that they are on, and indices, which count, have none."""
    counts = {name for name, tensor in workload.tensors.items() if tensor.index_range}
    laid = {name: _one(*chosen[name]) for name in workload.inputs if name not in counts}
    for op in workload.operators:
        if op.output in counts:
            continue
        source = op.inputs[0]
        kept = keeps_grid(op) and source in laid
        laid[op.output] = laid[source] if kept else _one(*chosen[op.output])
    return laid


def keeps_grid(op: Operator) -> bool:
    """Whether an operator's results are elements of its first input, and need no other grid."""
    if op.epilogue:
        return False
    if isinstance(op.problem, Pool):
        return op.problem.function == "max"
    return op.kind == "view" or (op.kind == "move" and len(op.inputs) == 1)


def told(samples: Samples | None) -> str:
    """Samples in the words of the history: by their content, since what follows depends on it."""
    if samples is None:
        return "one batch drawn from the seed"
    digest = hashlib.sha256()
    for name in sorted(samples):
        digest.update(f"{name} {samples[name].shape} {samples[name].dtype}".encode())
        digest.update(samples[name].tobytes())
    count = max(len(values) for values in samples.values())
    return f"{count:,} samples {digest.hexdigest()[:16]}"


def _one(scale: float, zero_point: int) -> Quantisation:
    return Quantisation((scale,), (zero_point,))


def _scale_floors(
    workload: Workload,
    grid: Grid,
    plan: WeightPlan,
    laid: Mapping[str, Quantisation],
    samples: Samples | None,
) -> dict[str, float]:
    """The least scale of a layer's weights that keeps its sums within half of an int32, by operator. None for
    layers whose sums cannot get there."""
    operators = {op.name: op for op in workload.operators}
    tight = []
    for ref in select(workload):
        shape = workload.tensors[ref.tensor].shape
        depth = math.prod(shape) // shape[ref.out_axis]
        if depth * grid.reach * plan.grid.reach > SUM_LIMIT:
            tight.append(ref.operator)
    sums = largest_sums(workload, samples, tight) if tight else {}
    floors = {}
    for name, largest in sums.items():
        held = [laid[operand].scales[0] for operand in operators[name].inputs[:2] if operand in laid]
        floors[name] = largest / (held[0] * SUM_LIMIT) if held else 0.0
    return floors
