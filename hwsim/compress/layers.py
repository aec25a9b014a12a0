"""Which weights a step of compression works on, and how it puts new ones in their place."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Array, Shape, Tensor, Values, read_values
from hwsim.workload.graph import Source, Workload, multiplied
from hwsim.workload.operators import Operator
from hwsim.workload.weights import Given

_MOST_NAMES = 12  # of layers that a message lists

Patterns = Iterable[str] | str | None  # of layers: see `select`


@dataclass(frozen=True, slots=True)
class WeightRef:
    """One weight tensor that is multiplied with activations: the layer it belongs to, the first operator that
    reads it, and the axis along which its outputs lie (0 of a convolution's [K, C, R, S])."""

    layer: str
    tensor: str
    operator: str
    out_axis: int


def select(workload: Workload, patterns: Patterns = None) -> tuple[WeightRef, ...]:
    """The weights of the layers that `patterns` name (all without), each tensor once, in the network's order.

    A pattern is a layer's or operator's name, or a shell pattern such as `conv*`. Raises SpecError for a
    pattern that fits no layer, with the nearest name, and for a network without weights.
    """
    found = _weights(workload)
    if not found:
        raise SpecError(f"workload {workload.name} has no weights to compress: no operator multiplies any")
    if patterns is None:
        return found
    wanted = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    for pattern in wanted:
        if not any(_fits(ref, pattern) for ref in found):
            raise SpecError(unknown_layer(workload, pattern, found))
    return tuple(ref for ref in found if any(_fits(ref, pattern) for pattern in wanted))


def weights_of(workload: Workload) -> dict[str, str]:
    """Weight tensors that are multiplied with activations, by the name of their operator."""
    return {ref.operator: ref.tensor for ref in _weights(workload)}


def pick(workload: Workload, table: Mapping[str, Any], refs: Iterable[WeightRef]) -> dict[str, Any]:
    """What `table` (pattern -> anything) says of each weight tensor; a later pattern wins over an earlier.
    Raises SpecError for a pattern that fits no layer of the network."""
    for pattern in table:
        select(workload, pattern)
    return {
        ref.tensor: chosen[-1]
        for ref in refs
        if (chosen := [value for pattern, value in table.items() if _fits(ref, pattern)])
    }


def read_weight(workload: Workload, ref: WeightRef) -> Array:
    """The weight's numbers, fp32 or wider, read-only. Raises SpecError when one is NaN or infinite."""
    values = read_values(workload.tensors[ref.tensor])
    if values.dtype.kind != "f" or values.dtype.itemsize < 4:
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values.reshape(-1)))[0])
        place = [int(i) for i in np.unravel_index(first, values.shape)]
        raise SpecError(
            f"layer {ref.operator}: its weight {ref.tensor!r} holds {values.reshape(-1)[first]} at {place}: "
            "weights must be finite before they can be compressed"
        )
    return values


def matrix_of(values: Array, ref: WeightRef) -> Array:
    """A weight as [outputs, inputs]: a convolution's [K, C, R, S] as [K, C * R * S]."""
    turned = np.moveaxis(values, ref.out_axis, 0)
    return turned.reshape(turned.shape[0], -1)


def from_matrix(matrix: Array, shape: Shape, ref: WeightRef) -> Array:
    """The inverse of `matrix_of`, for a weight of `shape`."""
    rest = tuple(size for axis, size in enumerate(shape) if axis != ref.out_axis)
    return np.ascontiguousarray(np.moveaxis(matrix.reshape(shape[ref.out_axis], *rest), 0, ref.out_axis))


def density_of(values: Array) -> float:
    """The share of numbers that are not zero."""
    return float(np.count_nonzero(values)) / values.size


def in_axis(ref: WeightRef, rank: int) -> int:
    """The axis along which a weight's inputs lie: channels of a convolution's [K, C, R, S], the other of a
    matrix's two."""
    if rank < 2:
        return 0
    return 1 if rank == 4 and ref.out_axis == 0 else 2 * rank - 3 - ref.out_axis


def held(array: Array) -> Values:
    """Values that a step of compression made: the same read-only array at each call."""
    array.setflags(write=False)
    return Given(array)


def with_weights(workload: Workload, tensors: Mapping[str, Tensor], step: str) -> Workload:
    """`workload` with `tensors` (by name) in place of its own, and `step` in its history. `step` must say
    everything that decided the new values: with the network before, it is what the new one is known by.
    Raises SpecError for a tensor that the workload does not have or that has another shape there."""
    for name, tensor in tensors.items():
        before = workload.tensor(name)
        if tensor.name != name or tensor.shape != before.shape:
            raise SpecError(f"tensor {name!r}: a step of compression may not change its name or shape")
    return derived(workload, step, tensors={**workload.tensors, **tensors})


def derived(workload: Workload, step: str, **changes: Any) -> Workload:
    """A new workload with `changes` of fields, `step` in its history, and a source of its own."""
    digest = hashlib.sha256(f"{workload.content_hash}\0{step}".encode()).hexdigest()
    began = () if workload.history else (_origin(workload),)
    return replace(
        workload,
        source=Source("builtin", "compressed", digest),
        history=(*workload.history, *began, step),
        **changes,
    )


def unknown_layer(workload: Workload, name: str, refs: Iterable[WeightRef]) -> str:
    """The message for a layer that is not there."""
    known = list(dict.fromkeys(ref.operator for ref in refs))
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    shown = ", ".join(known[:_MOST_NAMES])
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return f"workload {workload.name} has no layer {name!r} with weights: {hint}it has {shown}{more}"


def _weights(workload: Workload) -> tuple[WeightRef, ...]:
    found: dict[str, WeightRef] = {}
    for op in workload.operators:
        for position, name in enumerate(multiplied(op)):
            tensor = workload.tensors[name]
            if tensor.role in ("weight", "constant") and tensor.values is not None and name not in found:
                axis = _out_axis(op, position, len(tensor.shape))
                found[name] = WeightRef(op.layer or op.name, name, op.name, axis)
    return tuple(found.values())


def _out_axis(op: Operator, position: int, rank: int) -> int:
    """Where outputs lie in a weight: first of a convolution's and a recurrent layer's, M of a product's left,
    N of its right side."""
    if op.kind != "matmul" or rank < 2:
        return 0
    turned = bool(dict(op.attributes).get("trans_b" if position else "trans_a"))
    last = bool(position) != turned
    return rank - 1 if last else rank - 2


def _fits(ref: WeightRef, pattern: str) -> bool:
    names = (ref.operator, ref.layer)
    return pattern in names or any(fnmatchcase(name, pattern) for name in names)


def _origin(workload: Workload) -> str:
    source = workload.source
    return f"from {workload.name} ({source.format}, content {workload.content_hash[:16]})"
