"""Convolutions on a GPU, by the algorithms of the vendor's library, of which the fastest is taken, as its
autotuning does: an implicit matrix product, and for 3 x 3 windows in fp32 Winograd's minimal filtering in one
kernel, F(2x2, 3x3), or as transforms around a batch of products, F(4x4, 3x3) (Lavin & Gray, CVPR 2016).

The implicit product has rows N P Q, columns K / groups and sums over C / groups R S; it never writes the
windows out, so memory delivers feature maps and not their copies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwsim.devices.gpu_blocked import Choice, Job, Side, best_choice, block_demands
from hwsim.devices.gpu_demands import Demands, kernels
from hwsim.devices.gpu_machine import Machine
from hwsim.devices.gpu_stream import moving_demands
from hwsim.plan.mapping import GemmMapping, WinogradMapping
from hwsim.tensor.formats import format_bits
from hwsim.workload.operators import WINOGRAD_OPERATIONS, Conv2d

# Kernels for halves and bytes take slabs of 32 channels of one tap of the window, so that fewer channels take
# the time of 32: the depth of their tiles.
CHANNELS = {"fp16": 32, "bf16": 32, "int8": 32}

# Winograd's products work on numbers that transforms have laid out badly; the one kernel of F(2x2) also
# shares its registers with the transforms. Shares of the implicit product's rate, of all parts, fitted
# together on the convolutions of DeepBench that hwsim ships.
PRODUCT_SHARE = 0.9
ONE_KERNEL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class ConvPlan:
    """A way to do a convolution: the kernels around its products, and the products."""

    job: Job
    choice: Choice
    seconds: float
    before_bytes: tuple[int, int] = (0, 0)  # read and written by the transform of the input
    after_bytes: tuple[int, int] = (0, 0)
    operations: tuple[int, int] = (0, 0)
    minimal: int = 0  # side of the tiles of results that Winograd's filtering makes; 0 where it is not taken


def conv_plan(conv: Conv2d, product: Job, machine: Machine) -> ConvPlan:
    """The fastest way to do a convolution whose implicit product is `product` (without shares and latency of
    its own)."""
    fitted = machine.products[product.dtype]
    latency_s = fitted.slab_latency_s if fitted.conv_slab_latency_s is None else fitted.conv_slab_latency_s
    share = fitted.gemm_share * fitted.conv_share
    padded = _channels(conv, product.dtype)
    implicit = replace(
        product,
        k=padded * conv.R * conv.S,
        a=replace(product.a, rereads="maps", packed=True),
        b=replace(product.b, rereads="once", packed=True),
        share=share,
        slab_latency_s=latency_s,
        splits=False,
    )
    found = [_chosen(implicit, machine)]
    if product.dtype == "fp32" and _minimal(conv):
        found.append(replace(_chosen(_one_kernel(conv, implicit), machine), minimal=2))
        found.append(_transformed(conv, implicit, machine))
    return min(found, key=lambda plan: plan.seconds)


def conv_demands(plan: ConvPlan, conv: Conv2d, machine: Machine) -> Demands:
    """What the kernels of a convolution ask for."""
    products = block_demands(plan.job, plan.choice, machine)
    if _channels(conv, plan.job.dtype) != conv.C // conv.groups:
        products = _without_padding(products, plan.job, conv, machine)
    if plan.minimal:
        assert isinstance(products.mapping, GemmMapping)
        products = replace(products, mapping=WinogradMapping(conv, plan.minimal, products.mapping))
    if not any(plan.before_bytes):
        return products
    before = moving_demands(*plan.before_bytes, plan.operations[0], plan.job.dtype, machine)
    after = moving_demands(*plan.after_bytes, plan.operations[1], plan.job.dtype, machine)
    around = len(before.kind_of_tile), len(after.kind_of_tile)
    assert isinstance(products.mapping, WinogradMapping)
    mapping = replace(products.mapping, before=around[0], after=around[1])
    return replace(kernels(before, products, after), mapping=mapping)


def _channels(conv: Conv2d, dtype: str) -> int:
    """Channels of one group with their padding."""
    step = CHANNELS.get(dtype, 1)
    return -(-(conv.C // conv.groups) // step) * step


def _minimal(conv: Conv2d) -> bool:
    """Whether Winograd's filtering does it."""
    windows = (conv.R, conv.S, *conv.stride, *conv.dilation)
    return windows == (3, 3, 1, 1, 1, 1) and conv.groups == 1


def _chosen(job: Job, machine: Machine) -> ConvPlan:
    choice = best_choice(job, machine)
    return ConvPlan(job, choice, choice.seconds)


def _one_kernel(conv: Conv2d, implicit: Job) -> Job:
    """F(2x2, 3x3): 16 products a tile of 2 x 2 results, instead of 36."""
    tiles = conv.N * -(-conv.P // 2) * -(-conv.Q // 2)
    share = implicit.share * PRODUCT_SHARE * ONE_KERNEL_SHARE
    return replace(implicit, batch=16, m=tiles, k=conv.C, share=share, output_bits=implicit.output_bits // 4)


def _transformed(conv: Conv2d, implicit: Job, machine: Machine) -> ConvPlan:
    """F(4x4, 3x3): a transform of the input, 36 products of what it wrote, and a transform of the results."""
    tiles = conv.N * -(-conv.P // 4) * -(-conv.Q // 4)
    number = format_bits(implicit.dtype) // 8
    inside, outside = (36 * tiles * channels * number for channels in (conv.C, conv.K))
    weights = 36 * conv.C * conv.K * number
    job = replace(
        implicit,
        batch=36, m=tiles, k=conv.C,
        a=Side(inside, 1.0, packed=True), b=Side(weights, 1.0, packed=True),
        write_miss=1.0, output_bits=8 * number,
        share=implicit.share * PRODUCT_SHARE,
        pointwise=0,
    )  # fmt: skip
    before = (implicit.a.size_bytes + implicit.b.size_bytes, inside + weights)
    after = (outside, -(-conv.N * conv.K * conv.P * conv.Q * implicit.output_bits // 8))
    operations = WINOGRAD_OPERATIONS[4]
    work = (
        tiles * conv.C * operations["input"],
        tiles * conv.K * (operations["output"] + 16 * implicit.pointwise),
    )
    reached = machine.memory_bytes_per_s
    choice = best_choice(job, machine)
    seconds = choice.seconds + sum((*before, *after)) / reached
    return ConvPlan(job, choice, seconds, before, after, work, minimal=4)


def _without_padding(demands: Demands, job: Job, conv: Conv2d, machine: Machine) -> Demands:
    """Multiplications by the zeros of padded channels take time and are not counted."""
    key = (machine.units[job.dtype], f"mac_{job.dtype}")
    padded, depth = _channels(conv, job.dtype), conv.C // conv.groups
    assert isinstance(demands.mapping, GemmMapping)
    terms = depth * conv.R * conv.S
    return replace(
        demands,
        actions={**demands.actions, key: demands.actions[key] * depth // padded},
        # Whole sums: convolutions are not split.
        mapping=replace(demands.mapping, k=terms, tile_k=terms, padded_k=demands.mapping.k),
    )


def least_multiplications(conv: Conv2d, plan: ConvPlan) -> int:
    """Multiplications that the chosen algorithm cannot do without."""
    job = plan.job
    if job.batch == conv.groups:
        return conv.macs
    return int(np.prod([job.batch, job.m, job.n, job.k], dtype=object))


def touched_bytes(conv: Conv2d, size_bytes: int) -> int:
    """Of so many bytes of feature maps, those that some window touches."""
    for extent, outputs, window, stride, dilation in (
        (conv.H, conv.P, conv.R, conv.stride[0], conv.dilation[0]),
        (conv.W, conv.Q, conv.S, conv.stride[1], conv.dilation[1]),
    ):
        span = (window - 1) * dilation + 1
        touched = outputs * span if span < stride else (outputs - 1) * stride + span
        size_bytes = size_bytes * min(extent, touched) // extent
    return size_bytes
