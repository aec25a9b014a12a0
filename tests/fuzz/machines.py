"""Designs that are mostly sound, as files: what a run needs to get far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from random import Random
from typing import Any

from tests.fuzz.mutate import damaged_tree, tuned_tree

# Field of the systolic kind -> values that it may have, at the ends of their ranges too.
FIELDS: Mapping[str, tuple[Any, ...]] = {
    "array.rows": (1, 2, 3, 8, 16, 65536, 4096),
    "array.cols": (1, 2, 5, 8, 16, 65536, 256),
    "array.dataflow": ("ws", "os", "is"),
    "array.fold_overlap": (True, False),
    "array.double_buffer": (True, False),
    "array.drain": ("hidden", "serial"),
    "array.group_packing": (True, False),
    "array.cycles_per_row": ({"int8": 1, "int16": 4}, {"fp32": 1, "int8": 3}, {"int8": 2**24}),
    "weight_fifo.depth_tiles": (1, 2, 4, "unlimited", 65536),
    "accumulators.rows": (1, 2, 16, 4096, "unlimited"),
    "accumulators.banks": (1, 2, 3, 1000),
    "accumulators.width_bits": (8, 16, 24, 32, 64),
    "unified_buffer.size": ("1 B", "64 B", "1 KiB", "24 MiB", "unlimited"),
    "unified_buffer.bank": ("1 B", "16 KiB"),
    "activation_unit.lanes": (1, 3, 256, "unlimited"),
    "weight_memory.size": ("1 B", "1 KiB", "8 GiB", "unlimited"),
    "weight_memory.bandwidth": ("1 B/s", "34 GB/s", "unlimited", "1 MB/s"),
    "weight_memory.channels": (1, 2, 64),
    "weight_memory.technology": ("ddr3", "hbm2", "none"),
    "host_link.bandwidth": ("1 B/s", "16 GB/s"),
    "clock": ("1 Hz", "700 MHz", "333333333 Hz", "1 THz"),
    "dtype": ("int8", "int16", "fp32", "fp16", "bf16"),
    "technology.node": ("45 nm", "7 nm", "130 nm"),
    "calibration": ({"host_efficiency": 0.001, "host_overlap": 0.99}, {"host_overlap": 0.5}),
}


def other_machine(rng: Random, design: Any) -> bytes:
    """`design` with some fields changed, mostly to what they may be; now and then damaged as well."""
    tree = tuned_tree(rng, design)
    fields = sorted(FIELDS) if tree.get("kind") == "systolic" else []
    for path in rng.sample(fields, min(len(fields), rng.choice((0, 1, 2, 3, 6)))):
        *above, last = path.split(".")
        box = tree
        for key in above:
            box = box.setdefault(key, {})
        box[last] = rng.choice(FIELDS[path])
    if rng.random() < 0.1:
        tree = damaged_tree(rng, tree)
    return json.dumps(tree, indent=0).encode()
