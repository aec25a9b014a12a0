"""Recurrent layers in one kernel for all steps, where the weights fit the registers of all multiprocessors
together (Diamos et al., "Persistent RNNs", ICML 2016; cuDNN's persistent algorithm).

Each multiprocessor keeps its rows of the weights in registers. In each step it reads the whole state from the
second-level cache, multiplies, does the pointwise work of its rows, writes its part of the new state, and
waits for all others. Only the first step fetches weights, and only the first is launched. No measurement of
such a kernel ships with hwsim: nothing here is fitted."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np

from hwsim.design.kinds.gpu import LOAD_LATENCY_S
from hwsim.devices.gpu_blocked import HIT_LATENCY
from hwsim.devices.gpu_demands import Demands, kernels, part_of, pointwise_cycles, split_evenly
from hwsim.devices.gpu_machine import Machine
from hwsim.devices.gpu_recurrent import Recurrence, step_products
from hwsim.tensor.formats import format_bits

# Share of all registers that weights may take: the largest layer of Persistent RNNs, 1,152 x 1,152 in fp32,
# takes 0.84 of the registers of a Titan X of 2015 (recalled).
WEIGHT_SHARE = 0.85
# Loads from the cache that follow one another in a step: the count of those that have arrived is raised and
# read again, then the state is read.
STEP_LOADS = 3
FRAGMENT = 8  # sequences that one instruction of tensor units takes at least


def persists(shape: Recurrence, machine: Machine) -> bool:
    """Whether the library can keep a layer's weights in registers. It does so for one product a step and no
    peepholes."""
    plain = len(step_products(shape.layer)) == 1 and not shape.layer.peepholes
    return plain and shape.weight_bytes <= WEIGHT_SHARE * machine.register_bytes


def persistent_demands(shape: Recurrence, machine: Machine) -> Demands:
    """All steps, one thread block a multiprocessor, each step behind the one before."""
    first = kernels(_step(shape, shape.weight_bytes, machine))
    one = kernels(first, kernels(_step(shape, 0, machine)))
    blocks = len(first.kind_of_tile)
    rest = np.tile(one.kind_of_tile[blocks:], shape.layer.T - 1)
    return replace(one, kind_of_tile=np.concatenate([one.kind_of_tile[:blocks], rest]))


def _step(shape: Recurrence, weight_bytes: int, machine: Machine) -> Demands:
    """One step, in which so many bytes of weights go to registers. Each block is a kind of its own."""
    layer, dtype, count = shape.layer, shape.dtype, machine.count
    ((rows, depth),) = step_products(layer)
    done, bits = split_evenly(rows, count), format_bits(dtype)
    tensor = machine.units[dtype].startswith("tensor")
    batch = -(-layer.N // FRAGMENT) * FRAGMENT if tensor else layer.N
    rate = machine.macs_per_cycle[dtype] * machine.products[dtype].gemm_share
    wait = STEP_LOADS * HIT_LATENCY * LOAD_LATENCY_S * machine.clock_hz
    gates, weights = layer.N * done, split_evenly(weight_bytes, count)
    inputs, written = (split_evenly(size, count) for size in (shape.input_bytes, shape.output_bytes))
    columns = {
        "stream": part_of(inputs, shape.input_miss) + part_of(weights, shape.first_miss),
        "load": inputs + -(-layer.N * depth * bits // 8),
        "weights": weights,
        "compute": np.array(
            [ceil(wait + batch * one * depth / rate) for one in done.tolist()], dtype=np.int64
        )
        + pointwise_cycles(gates, machine),
        "store": written,
        "write_back": part_of(written, shape.output_miss),
    }
    actions = {
        (machine.units[dtype], f"mac_{dtype}"): gates * depth,
        ("lanes", f"op_{dtype}"): gates,
    }
    one = np.ones(count, dtype=np.int64)
    return Demands(np.arange(count, dtype=np.int32), columns, one, actions)
