"""Folding and fusing: batch norms go into the weights before them, pointwise steps behind what they follow.

Values are folded lazily. A chain is merged only while nobody else reads what lies between, so no result
changes but by rounding, and every operand and attribute is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Array, Tensor, Values, read_values
from hwsim.workload.functions import UNARY
from hwsim.workload.graph import WEIGHTED, operands
from hwsim.workload.operators import Elementwise, Operator, Step


@dataclass(frozen=True, slots=True)
class NormScale:
    """scale / sqrt(variance + epsilon), [C]."""

    scale: Tensor
    variance: Tensor
    epsilon: float

    def __call__(self) -> Array:
        variance = read_values(self.variance).astype(np.float64)
        if not (variance + self.epsilon > 0).all():
            raise SpecError(
                f"tensor {self.variance.name!r} holds variances that are not above 0, so the batch norm has "
                "no scale"
            )
        return _single(read_values(self.scale) / np.sqrt(variance + self.epsilon))


@dataclass(frozen=True, slots=True)
class NormShift:
    """shift - mean * s, [C], where s is what a batch norm multiplies by."""

    multiplier: NormScale
    shift: Tensor
    mean: Tensor

    def __call__(self) -> Array:
        return _single(read_values(self.shift) - read_values(self.mean) * self.multiplier())


@dataclass(frozen=True, slots=True)
class ScaledWeight:
    """Weights times one factor for each output channel, which is `axis` of the weights."""

    weight: Tensor
    factor: Tensor
    axis: int

    def __call__(self) -> Array:
        weight = read_values(self.weight)
        shape = [1] * weight.ndim
        shape[self.axis] = -1
        return _single(weight * read_values(self.factor).reshape(shape))


@dataclass(frozen=True, slots=True)
class FoldedBias:
    """bias * factor + shift, [channels]; each part may be absent or a single number."""

    channels: int
    bias: Tensor | None
    factor: Tensor | None
    shift: Tensor | None

    def __call__(self) -> Array:
        total: Array = np.zeros(self.channels)
        if self.bias is not None:
            total = total + read_values(self.bias).reshape(-1)
            if self.factor is not None:
                total = total * read_values(self.factor).reshape(-1)
        if self.shift is not None:
            total = total + read_values(self.shift).reshape(-1)
        return _single(total)


def _single(values: Array) -> Array:
    return np.asarray(values, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Fused:
    """The graph after folding and fusing; `folded_parameters` weights were merged into others."""

    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    folded: int
    folded_parameters: int


def fold_and_fuse(
    operators: Sequence[Operator],
    tensors: Mapping[str, Tensor],
    outputs: Sequence[str],
    held: Collection[str] = (),
) -> Fused:
    """Fold channel-wise scales and shifts, fuse pointwise steps, mark outputs, drop unused tensors but those
    `held`."""
    work = _Fusing(operators, tensors, outputs, held)
    for op in operators:
        if not (work.fold(op) or work.fuse(op)):
            work.keep(op)
    return work.result()


class _Fusing:
    def __init__(
        self,
        operators: Sequence[Operator],
        tensors: Mapping[str, Tensor],
        outputs: Sequence[str],
        held: Collection[str],
    ) -> None:
        self.before = operators
        self.tensors = dict(tensors)
        self.outputs = outputs
        self.held = held
        self.uses = Counter(name for op in operators for name in operands(op))
        self.uses.update(outputs)
        self.done: list[Operator] = []
        self.maker: dict[str, int] = {}  # tensor -> place in `done` of the operator that makes it
        self.folded = 0
        self.parameters = self._parameters(operators)

    def _parameters(self, operators: Sequence[Operator]) -> int:
        used = {name for op in operators for name in operands(op)}
        return sum(self.tensors[name].elements for name in used if self.tensors[name].role == "weight")

    def keep(self, op: Operator) -> None:
        self.maker[op.output] = len(self.done)
        self.done.append(op)

    def _only_reader(self, op: Operator) -> int | None:
        """The place of the operator that makes what `op` reads first, if nobody else reads that."""
        name = op.inputs[0]
        return self.maker.get(name) if self.uses[name] == 1 else None

    def _merge(self, place: int, op: Operator, merged: Operator) -> None:
        del self.maker[op.inputs[0]]
        self.done[place] = replace(merged, output=op.output)
        self.maker[op.output] = place

    # -- folding ---------------------------------------------------------------------------------------

    def fold(self, op: Operator) -> bool:
        """Merge a batch norm, or a product with or sum of one constant for each channel, into the conv2d,
        matmul or batch norm before it."""
        op = self._constant_last(op)
        parts = self._scale_and_shift(op)
        place = self._only_reader(op)
        if parts is None or place is None:
            return False
        target = self.done[place]
        fold = self._fold_into_norm if _is_norm(target) else self._fold_into_product
        merged = fold(op, target, *parts)
        if merged is None:
            return False
        self._merge(place, op, merged)
        self.folded += 1
        return True

    def _fold_into_product(
        self, op: Operator, target: Operator, scale: Tensor | None, shift: Tensor | None
    ) -> Operator | None:
        if target.kind not in WEIGHTED or not self._foldable(target):
            return None
        weight = self.tensors[target.inputs[1]]
        if len(weight.shape) < 2 or not self._fits(op, target, (scale, shift)):
            return None
        if scale is not None and (weight.role != "weight" or self.uses[weight.name] != 1):
            return None
        if scale is not None and weight.quantisation is not None:
            return None  # scaled numbers would lie off the grid that someone chose
        axis, channels = self._channel_axis(target)
        if scale is not None:
            self._replace_values(weight, ScaledWeight(weight, scale, axis))
        return replace(target, epilogue=self._fold_bias(target, scale, shift, channels))

    def _fold_into_norm(
        self, op: Operator, target: Operator, scale: Tensor | None, shift: Tensor | None
    ) -> Operator | None:
        """A batch norm that stays is a scale and a shift of its own, and takes up further ones."""
        if target.epilogue or not self._fits(op, target, (scale, shift)):
            return None
        multiplier, offset = (self.tensors[name] for name in target.inputs[1:])
        if scale is not None:
            self._replace_values(multiplier, ScaledWeight(multiplier, scale, 0))
        self._replace_values(offset, FoldedBias(offset.elements, offset, scale, shift))
        return target

    def _constant_last(self, op: Operator) -> Operator:
        """add and mul with the constant written first, as if it were written second."""
        if (
            isinstance(op.problem, Elementwise)
            and op.problem.function in ("add", "mul")
            and len(op.inputs) == 2
        ):
            first, second = (self.tensors[name].role in ("weight", "constant") for name in op.inputs)
            if first and not second:
                return replace(op, inputs=op.inputs[::-1])
        return op

    def _scale_and_shift(self, op: Operator) -> tuple[Tensor | None, Tensor | None] | None:
        """The constants that `op` multiplies by and then adds, or None when it does something else."""
        if not isinstance(op.problem, Elementwise) or op.epilogue:
            return None
        constants = [self.tensors[name] for name in op.inputs[1:]]
        if any(t.role not in ("weight", "constant") for t in constants):
            return None
        if _is_norm(op):
            return constants[0], constants[1]
        if len(constants) != 1:
            return None
        return {"mul": (constants[0], None), "add": (None, constants[0])}.get(op.problem.function)

    def _foldable(self, target: Operator) -> bool:
        """Nothing but a scale and a plain bias of constants lies behind the product."""
        for step in target.epilogue:
            if step.function == "scale":
                continue
            if step.function != "bias" or step.attributes or self.tensors[step.tensor].role != "weight":
                return False
        return True

    def _fits(self, op: Operator, target: Operator, parts: tuple[Tensor | None, ...]) -> bool:
        """Whether the constants of `op` have one number for each output channel of `target`."""
        shape = self.tensors[target.output].shape
        axis = len(shape) - 1 if target.kind == "matmul" else 1
        if _is_norm(op):
            return axis == 1  # where a batch norm has its channels
        return all(_per_channel(t, shape, axis) for t in parts if t is not None)

    def _channel_axis(self, target: Operator) -> tuple[int, int]:
        """Which axis of the weights is the output channel, and how many channels there are."""
        shape = self.tensors[target.inputs[1]].shape
        if target.kind == "conv2d":
            return 0, shape[0]
        axis = len(shape) - (2 if ("trans_b", True) in target.attributes else 1)
        return axis, shape[axis]

    def _fold_bias(
        self, target: Operator, scale: Tensor | None, shift: Tensor | None, channels: int
    ) -> tuple[Step, ...]:
        step = next((s for s in target.epilogue if s.function == "bias"), None)
        bias = self.tensors[step.tensor] if step else None
        if bias is None and shift is None:
            return target.epilogue
        values = FoldedBias(channels, bias, scale, shift)
        names = [t.name for t in (bias, shift) if t is not None and self.uses[t.name] == 1]
        name = names[0] if names else f"{target.name}.folded_bias"
        like = bias or shift
        assert like is not None
        self.tensors[name] = Tensor(name, (channels,), like.dtype, "weight", values=values)
        self.uses[name] = 1
        rest = tuple(s for s in target.epilogue if s.function != "bias")
        return (*rest, Step("bias", name))

    def _replace_values(self, tensor: Tensor, values: Values) -> None:
        self.tensors[tensor.name] = replace(tensor, values=values)

    # -- fusing ----------------------------------------------------------------------------------------

    def fuse(self, op: Operator) -> bool:
        """Put a pointwise function of one tensor behind the product or combination that makes the tensor."""
        place = self._only_reader(op)
        if not isinstance(op.problem, Elementwise) or op.problem.function not in UNARY or place is None:
            return False
        target = self.done[place]
        combines = isinstance(target.problem, Elementwise) and target.problem.operands > 1
        if target.kind not in WEIGHTED and not combines:
            return False
        step = Step(op.problem.function, attributes=op.attributes)
        self._merge(place, op, replace(target, epilogue=(*target.epilogue, step)))
        return True

    # -- the end ---------------------------------------------------------------------------------------

    def result(self) -> Fused:
        used = {name for op in self.done for name in (*operands(op), op.output)}
        outputs = frozenset(self.outputs)
        tensors = {
            name: replace(t, role="output") if name in outputs and t.role == "activation" else t
            for name, t in self.tensors.items()
            if name in used or name in self.held or t.role == "input"
        }
        return Fused(tuple(self.done), tensors, self.folded, self.parameters - self._parameters(self.done))


def _is_norm(op: Operator) -> bool:
    return isinstance(op.problem, Elementwise) and op.problem.function == "batch_norm"


def _per_channel(constant: Tensor, shape: tuple[int, ...], axis: int) -> bool:
    """Whether broadcasting `constant` over `shape` gives one number for each place along `axis`."""
    if len(constant.shape) > len(shape):
        return False
    aligned = (1,) * (len(shape) - len(constant.shape)) + constant.shape
    return all(size == 1 or (i == axis and size == shape[i]) for i, size in enumerate(aligned))
