"""Recurrent layers on a GPU: step after step, a product of the layer's state by its recurrent weights, then
pointwise work on its gates.

Each step waits for the one before. The weights are the same in each and stay in the cache as far as they fit
there beside the state. Where inputs are multiplied step by step, their weights lie beside the recurrent ones
in one product, as cuDNN's kernels have them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from hwsim.devices.gpu_blocked import Job, Side, best_choice, block_demands
from hwsim.devices.gpu_demands import Demands, kernels, part_of
from hwsim.devices.gpu_machine import Machine
from hwsim.devices.gpu_stream import narrow_demands
from hwsim.tensor.formats import format_bits
from hwsim.workload.operators import Recurrent

NARROW_BATCH = 4  # sequences up to which weights stream past the state, as in a matrix-vector product


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A recurrent layer as its kernels meet it: bytes of its weights, the share of them that the cache does
    not hold in the first step and in those behind it, and bytes of its inputs and results in each step with
    the shares of them that pass the memory."""

    layer: Recurrent
    dtype: str
    weight_bytes: int
    first_miss: float
    miss: float
    input_bytes: int
    input_miss: float
    output_bytes: int
    output_miss: float


def recurrent_demands(shape: Recurrence, machine: Machine) -> Demands:
    """All steps. Each kernel has the machine to itself, so that the next begins behind it."""
    layer, pointwise = shape.layer, _pointwise(shape, machine)
    first = kernels(_product(shape, shape.first_miss, machine), pointwise)
    if layer.T == 1:
        return first
    rest = kernels(_product(shape, shape.miss, machine), pointwise)
    one = kernels(first, rest)
    steps = one.kind_of_tile[len(first.kind_of_tile) :]
    tiles = [one.kind_of_tile[: len(first.kind_of_tile)], np.tile(steps, layer.T - 1)]
    return replace(one, kind_of_tile=np.concatenate(tiles))


def _product(shape: Recurrence, miss: float, machine: Machine) -> Demands:
    """The product of one step: the state, and inputs beside it, by the weights of all gates."""
    layer, dtype = shape.layer, shape.dtype
    fitted = machine.products[dtype]
    latency_s = fitted.recurrent_slab_latency_s
    depth = layer.H + layer.I
    job = Job(
        1, layer.N, layer.gates * layer.H, depth, dtype, format_bits(dtype),
        Side(-(-layer.N * depth * format_bits(dtype) // 8), 0.0, packed=True),
        Side(shape.weight_bytes, miss, packed=True),
        0.0, fitted.gemm_share,
        fitted.slab_latency_s if latency_s is None else latency_s,
        splits=False,
    )  # fmt: skip
    if layer.N <= NARROW_BATCH:
        return narrow_demands(job, machine)
    return block_demands(job, best_choice(job, machine), machine)


def _pointwise(shape: Recurrence, machine: Machine) -> Demands:
    """What follows the product of a step, in the fitted time of a step: its gates and inputs are read, and
    the state written."""
    layer = shape.layer
    gates = layer.N * layer.gates * layer.H
    read = np.array([shape.input_bytes], dtype=np.int64)
    written = np.array([shape.output_bytes], dtype=np.int64)
    columns = {
        "stream": part_of(read, shape.input_miss),
        "load": read + -(-gates * format_bits(shape.dtype) // 8),
        "compute": np.array([ceil(machine.products[shape.dtype].recurrent_step_s * machine.clock_hz)]),
        "store": written,
        "write_back": part_of(written, shape.output_miss),
    }
    actions = {("lanes", f"op_{shape.dtype}"): np.array([gates], dtype=np.int64)}
    return Demands(np.zeros(1, dtype=np.int32), columns, np.ones(1, dtype=np.int64), actions)
