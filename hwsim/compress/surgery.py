"""Graph surgery: one operator of a workload replaced by several that compute the same tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hwsim.compress.layers import Patterns, WeightRef, derived, select
from hwsim.errors import SpecError
from hwsim.tensor.encoding import chosen_encoding, scaled_encoding
from hwsim.tensor.formats import find_format
from hwsim.tensor.tensor import Array, Shape, Tensor, Values
from hwsim.workload.graph import Workload, operands
from hwsim.workload.operators import Operator


class UnsuitableError(SpecError):
    """Why a layer cannot be replaced: an error where somebody asked for it, else a reason to leave it."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands in for one operator: operators in order, of which the last makes its tensor, and all the
    tensors that they need and the workload does not have yet."""

    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A weight and the operators that multiply with it as their second operand. `named` when somebody asked
    for this layer by its own name, and not by a pattern or for all."""

    ref: WeightRef
    weight: Tensor
    operators: tuple[Operator, ...]
    named: bool


def sites(workload: Workload, layers: Patterns) -> list[Site]:
    """The weights that `layers` selects (see `select`), each with all operators that read it."""
    patterns = (layers,) if isinstance(layers, str) else tuple(layers or ())
    return [
        Site(
            ref,
            workload.tensors[ref.tensor],
            tuple(op for op in workload.operators if ref.tensor in op.inputs[1:2]),
            bool({ref.layer, ref.operator} & set(patterns)),
        )
        for ref in select(workload, patterns or None)
    ]


def replaced(workload: Workload, replacements: Mapping[str, Replacement], step: str) -> Workload:
    """`workload` with each operator named in `replacements` replaced, and `step` in its history. Tensors that
    nobody reads any more are dropped. Raises SpecError for a name that the workload already has."""
    tensors = dict(workload.tensors)
    new = {tensor.name: tensor for found in replacements.values() for tensor in found.tensors}
    taken = [name for name in new if name in tensors]
    taken += [
        op.name
        for name, found in replacements.items()
        for op in found.operators
        if op.name != name and any(op.name == other.name for other in workload.operators)
    ]
    if taken:
        raise SpecError(
            f"workload {workload.name} already has a {taken[0]!r}, which replacing a layer would make: "
            "rename it"
        )
    operators: list[Operator] = []
    for op in workload.operators:
        found = replacements.get(op.name)
        if found is not None:
            assert found.operators[-1].output == op.output
        operators.extend(found.operators if found is not None else (op,))
    tensors |= new
    used = {name for op in operators for name in (*operands(op), op.output)}
    used |= {*workload.inputs, *workload.outputs}
    kept = {name: tensor for name, tensor in tensors.items() if name in used}
    return derived(workload, step, operators=tuple(operators), tensors=kept)


def between(op: Operator, part: str, shape: Shape, like: Tensor) -> Tensor:
    """The tensor that a part of what was `op` hands on to the next, in the format of `like`."""
    return Tensor(f"{op.output}.{part}", shape, like.dtype, "activation")


def new_weight(like: Tensor, part: str, shape: Shape, values: Values, density: float = 1.0) -> Tensor:
    """A weight made from `like`: stored dense, on no chosen grid."""
    return replace(
        like, name=f"{like.name}.{part}", shape=shape, density=density, storage=None, codebook=(),
        quantisation=None, values=values,
    )  # fmt: skip


def settled(tensor: Tensor, values: Array) -> Array:
    """The numbers that a weight stands for: on its grid, or one of its few levels, where it has such."""
    if tensor.quantisation is not None:
        encoding = chosen_encoding(tensor)
    elif find_format(tensor.dtype).kind == "levels":
        encoding = scaled_encoding(tensor.dtype, values)
    else:
        return values
    return encoding.reals(encoding.store(values))


def refused(what: str, workload: Workload, reasons: Sequence[tuple[str, str]]) -> SpecError:
    """The error for a step that changes nothing: each layer with its reason, the first few of them."""
    shown = "; ".join(f"{layer}: {reason}" for layer, reason in reasons[:5])
    more = f"; and {len(reasons) - 5} more" if len(reasons) > 5 else ""
    return SpecError(f"{what} has nothing to do in {workload.name}: {shown}{more}")
