"""Retrained weights: what training left of a compressed network, read from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hwsim.compress.layers import derived, held, weights_of
from hwsim.library import find
from hwsim.tensor.tensor import Array, Tensor
from hwsim.workload.graph import Workload
from hwsim.workload.weights import read_weights, widened

LARGEST_CODEBOOK = 256


def with_retrained(workload: Workload, name: str | Path, *, shared: bool = False) -> Workload:
    """`workload` with every weight and bias from a weights file (the name of a shipped one, or a path), by
    tensor name. Densities are those of the new numbers; with `shared`, weights of at most 256 different
    numbers get them as their codebook. Nothing of an earlier step is kept (storage, grid, codebook): a step
    that chooses them again must follow. Raises SpecError for a file that does not fit the network."""
    path = find("weights", name)
    file = read_weights(path)
    multiplied = set(weights_of(workload).values())
    weights = {name: tensor for name, tensor in workload.tensors.items() if tensor.role == "weight"}
    file.check_used(weights)
    tensors: dict[str, Tensor] = dict(workload.tensors)
    for key, tensor in weights.items():
        values = widened(file.take(key, tensor.shape))
        book = _codebook(values) if shared and key in multiplied else ()
        tensors[key] = replace(
            tensor,
            values=held(values),
            density=float(np.count_nonzero(values)) / values.size,
            codebook=book,
            storage=None,
            quantisation=None,
        )
    step = f"retrained: weights of {path.name} (sha256 {file.sha256[:16]})"
    return derived(workload, step, tensors=tensors)


def _codebook(values: Array) -> tuple[float, ...]:
    found = np.unique(values)
    return tuple(float(v) for v in found if v) if found.size <= LARGEST_CODEBOOK else ()
