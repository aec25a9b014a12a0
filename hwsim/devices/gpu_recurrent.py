"""Recurrent layers on a GPU: step after step, a product of the layer's state by its recurrent weights, then
pointwise work on its gates.

Each step waits for the one before. The weights are the same in each and stay in the cache as far as they fit
there beside the state. Where inputs are multiplied step by step, their weights lie beside the recurrent ones
in one product, as cuDNN's kernels have them. A projection, or the state that a GRU has reset, is one more
product with pointwise work behind it, for which nothing was measured: it takes the time of a step again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from hwsim.devices.gpu_blocked import Choice, Job, Side, best_choice, block_demands
from hwsim.devices.gpu_demands import Demands, kernels, part_of
from hwsim.devices.gpu_machine import Machine, Rates
from hwsim.devices.gpu_stream import narrow_demands
from hwsim.tensor.formats import format_bits
from hwsim.workload.recurrent import PEEPHOLES, Recurrent

# Sequences up to which weights stream past the state, as in a matrix-vector product, where the library has no
# kernel for more of them.
NARROW_BATCH = 4


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


def recurrent_demands(shape: Recurrence, machine: Machine, rates: Rates) -> Demands:
    """All steps. Each kernel has the machine to itself, so that the next begins behind it."""
    layer = shape.layer
    first = kernels(*_step(shape, shape.first_miss, machine, rates))
    if layer.T == 1:
        return first
    one = kernels(first, kernels(*_step(shape, shape.miss, machine, rates)))
    steps = one.kind_of_tile[len(first.kind_of_tile) :]
    tiles = [one.kind_of_tile[: len(first.kind_of_tile)], np.tile(steps, layer.T - 1)]
    return replace(one, kind_of_tile=np.concatenate(tiles))


def step_products(layer: Recurrent) -> tuple[tuple[int, int], ...]:
    """Rows of weights and depth of each product of a step: the state, and inputs beside it, by the weights of
    gates; and behind those the state that a GRU has reset, inputs beside it, or a projection."""
    gates = (layer.gates * layer.H - (layer.H if layer.resets_before else 0), layer.S + layer.I)
    if layer.resets_before:
        return gates, (layer.H, layer.H + layer.I)
    return (gates, (layer.P, layer.H)) if layer.P else (gates,)


def _step(shape: Recurrence, miss: float, machine: Machine, rates: Rates) -> list[Demands]:
    """The kernels of one step: each product with pointwise work behind it. Only the first pointwise kernel
    reads the step's inputs, and only the last writes its results."""
    products = step_products(shape.layer)
    found = []
    for index, (rows, depth) in enumerate(products):
        found.append(_product(shape, rows, depth, miss, machine, rates))
        last = index == len(products) - 1
        moved = replace(
            shape,
            input_bytes=0 if index else shape.input_bytes,
            output_bytes=shape.output_bytes if last else 0,
        )
        peepholes = 2 * PEEPHOLES * shape.layer.H if shape.layer.peepholes and not index else 0
        found.append(_pointwise(moved, rows + peepholes, machine))
    return found


def _product(
    shape: Recurrence, rows: int, depth: int, miss: float, machine: Machine, rates: Rates
) -> Demands:
    """One product of a step, by so many rows of weights; their bytes are its share of all."""
    layer, dtype = shape.layer, shape.dtype
    fitted = machine.products[dtype]
    latency_s = fitted.recurrent_slab_latency_s
    whole = sum(one * deep for one, deep in step_products(layer))
    job = Job(
        1, layer.N, rows, depth, dtype, format_bits(dtype),
        Side(-(-layer.N * depth * format_bits(dtype) // 8), 0.0, packed=True),
        Side(-(-shape.weight_bytes * rows * depth // whole), miss, packed=True),
        0.0, fitted.gemm_share,
        fitted.slab_latency_s if latency_s is None else latency_s,
        splits=False,
    )  # fmt: skip
    batch = layer.N
    if batch <= max(NARROW_BATCH, machine.narrow[dtype]):
        return narrow_demands(job, machine)
    apart = machine.recurrent[dtype]
    if apart and (batch <= apart[0].block.m or layer.gates > 1):
        held = apart[0] if batch <= apart[0].block.m else apart[-1]
        return block_demands(job, Choice(held, 1, 0.0), machine, rates)
    return block_demands(job, best_choice(job, machine, rates), machine)


def _pointwise(shape: Recurrence, rows: int, machine: Machine) -> Demands:
    """What follows a product of so many rows, in the fitted time of a step: its gates and inputs are read,
    and the state written."""
    gates = shape.layer.N * rows
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
