"""Small networks with weights that a test chooses, for what changes weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hwsim.tensor.tensor import Array
from hwsim.workload import Workload, load_workload, matmul
from hwsim.workload.weights import Given


def linear(weights: ArrayLike, dtype: str = "fp32") -> Workload:
    """One product of a row with `weights` [inputs, outputs]: its only layer is "matmul", its tensor "b"."""
    values = np.asarray(weights, dtype=np.float32)
    made = matmul(1, values.shape[1], values.shape[0], dtype=dtype)
    return with_values(made, {"b": values})


def lenet(values: Mapping[str, Array]) -> Workload:
    """LeNet-5 with `values` in place of what its seed draws."""
    return with_values(load_workload("lenet5"), values)


def with_values(workload: Workload, values: Mapping[str, Array]) -> Workload:
    tensors = {
        name: replace(tensor, values=Given(values[name])) if name in values else tensor
        for name, tensor in workload.tensors.items()
    }
    return replace(workload, tensors=tensors)


def of(workload: Workload, tensor: str) -> Array:
    """A tensor's numbers."""
    return workload.values(tensor)
