"""Convolutions on a GPU, by the algorithms of the vendor's library, of which the fastest is taken, as its
autotuning does: an implicit matrix product, and for 3 x 3 windows in fp32 Winograd's minimal filtering in one
kernel, F(2x2, 3x3), or as transforms around a batch of products, F(4x4, 3x3) (Lavin & Gray, CVPR 2016).

The implicit product has rows N P Q, columns K / groups and sums over C / groups R S; it never writes the
windows out, so memory delivers feature maps and not their copies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hwsim.devices.gpu_blocked import Candidates, Job, Side, block_demands, candidates
from hwsim.devices.gpu_demands import Demands, kernels
from hwsim.devices.gpu_machine import Machine, Rates
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
class ConvWay:
    """A way to do a convolution: the kernels around its products, and the products with their tiles."""

    job: Job
    candidates: Candidates
    before_bytes: tuple[int, int] = (0, 0)  # read and written by the transform of the input
    after_bytes: tuple[int, int] = (0, 0)
    operations: tuple[int, int] = (0, 0)
    minimal: int = 0  # side of the tiles of results that Winograd's filtering makes; 0 where it is not taken


def conv_ways(conv: Conv2d, product: Job, machine: Machine) -> tuple[ConvWay, ...]:
    """All ways to do a convolution whose implicit product is `product` (without shares and latency of its
    own)."""
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
    found = [ConvWay(implicit, candidates(implicit, machine))]
    if product.dtype == "fp32" and _minimal(conv):
        one = _one_kernel(conv, implicit)
        found.append(ConvWay(one, candidates(one, machine), minimal=2))
        found.append(_transformed(conv, implicit, machine))
    return tuple(found)


def fastest(ways: tuple[ConvWay, ...], rates: Rates) -> tuple[int, int]:
    """The first way that takes the least time, and which tile it takes."""
    found = []
    for way in ways:
        tile, seconds = way.candidates.best(rates)
        found.append((seconds + sum((*way.before_bytes, *way.after_bytes)) / rates.memory, tile))
    chosen = min(range(len(found)), key=lambda i: found[i][0])
    return chosen, found[chosen][1]


def conv_demands(way: ConvWay, tile: int, conv: Conv2d, machine: Machine) -> Demands:
    """What the kernels of a convolution ask for, whose products take one tile of their candidates."""
    products = block_demands(way.job, way.candidates.choice(tile), machine)
    if _channels(conv, way.job.dtype) != conv.C // conv.groups:
        products = _without_padding(products, way.job, conv, machine)
    if way.minimal:
        assert isinstance(products.mapping, GemmMapping)
        products = replace(products, mapping=WinogradMapping(conv, way.minimal, products.mapping))
    if not any(way.before_bytes):
        return products
    before = moving_demands(*way.before_bytes, way.operations[0], way.job.dtype, machine)
    after = moving_demands(*way.after_bytes, way.operations[1], way.job.dtype, machine)
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


def _one_kernel(conv: Conv2d, implicit: Job) -> Job:
    """F(2x2, 3x3): 16 products a tile of 2 x 2 results, instead of 36."""
    tiles = conv.N * -(-conv.P // 2) * -(-conv.Q // 2)
    share = implicit.share * PRODUCT_SHARE * ONE_KERNEL_SHARE
    return replace(implicit, batch=16, m=tiles, k=conv.C, share=share, output_bits=implicit.output_bits // 4)


def _transformed(conv: Conv2d, implicit: Job, machine: Machine) -> ConvWay:
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
    return ConvWay(job, candidates(job, machine), before, after, work, minimal=4)


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


def least_multiplications(conv: Conv2d, way: ConvWay) -> int:
    """Multiplications that the chosen algorithm cannot do without."""
    job = way.job
    if job.batch == conv.groups:
        return conv.macs
    return int(np.prod([job.batch, job.m, job.n, job.k], dtype=object))
