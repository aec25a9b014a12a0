"""An ONNX graph in plain Python: nodes with attributes, constants with lazy values. Knows no protobuf."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Array, Filled, Shape, Values, check_shape

# Constants up to this size are worked with eagerly (shapes, axes, limits); larger ones stay lazy.
SMALL = 1024


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor known before the network runs. `fill` marks one made by ConstantOfShape, a placeholder for
    weights that the file leaves out; `floating` whether its elements are floating numbers."""

    name: str
    shape: Shape
    values: Values
    floating: bool
    fill: bool = False

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    def array(self, what: str) -> Array:
        """The values of a small constant; `what` names its use in the SpecError for a large one."""
        if self.elements > SMALL:
            raise SpecError(
                f"{what} {self.name!r} has {self.elements:,} elements; at most {SMALL:,} make sense"
            )
        return np.asarray(self.values()).reshape(self.shape)

    def integers(self, what: str) -> tuple[int, ...]:
        found = self.array(what)
        if found.dtype.kind not in "iu":
            raise SpecError(f"{what} {self.name!r} must hold integers")
        return tuple(int(value) for value in found.reshape(-1))

    def number(self, what: str) -> float:
        found = self.array(what)
        if found.size != 1:
            raise SpecError(f"{what} {self.name!r} must hold one number and has shape {list(self.shape)}")
        return float(found.reshape(-1)[0])

    def reshaped(self, name: str, shape: Shape) -> Constant:
        return replace(self, name=name, shape=shape, values=Rearranged(self.values, self.shape, None, shape))

    def transposed(self, name: str, perm: tuple[int, ...], shape: Shape) -> Constant:
        return replace(self, name=name, shape=shape, values=Rearranged(self.values, self.shape, perm, shape))


@dataclass(frozen=True, slots=True)
class Rearranged:
    """The values of a constant in another order of axes (`perm`) and then under another shape."""

    values: Values
    before: Shape
    perm: tuple[int, ...] | None
    shape: Shape

    def __call__(self) -> Array:
        found = np.asarray(self.values()).reshape(self.before)
        if self.perm is not None:
            found = found.transpose(self.perm)
        return np.array(found.reshape(self.shape))


@dataclass(frozen=True, eq=False, slots=True)
class Given:
    """Values that are already there."""

    held: Array

    def __call__(self) -> Array:
        return self.held.copy()


def small_constant(name: str, array: Array) -> Constant:
    """A constant of values already worked out."""
    return Constant(name, tuple(array.shape), Given(array), array.dtype.kind == "f")


def filled_constant(name: str, shape: Shape, value: Array) -> Constant:
    """What ConstantOfShape makes. Integers are kept as integers, since shapes are worked out with them."""
    if shape == (0,):  # an empty list, as in the shape of a scalar
        return small_constant(name, np.full(shape, value.reshape(-1)[0]))
    check_shape(shape, f"constant {name!r}")
    number = value.reshape(-1)[0]
    if value.dtype.kind == "f":
        return Constant(name, shape, Filled(shape, float(number)), True, fill=True)
    if math.prod(shape) > SMALL:
        raise SpecError(
            f"constant {name!r} fills {math.prod(shape):,} elements with integers; hwsim has no use for it"
        )
    return small_constant(name, np.full(shape, number))


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `type` has its domain in front unless it is ONNX's own."""

    name: str
    type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def _typed(self, name: str, default: Any, kinds: Any, what: str) -> Any:
        value = self.attributes.get(name, default)
        if value is not default and not isinstance(value, kinds):
            raise SpecError(f"attribute {name!r} of node {self.name!r} ({self.type}) must be {what}")
        return value

    def integer(self, name: str, default: int) -> int:
        return int(self._typed(name, default, int, "an integer"))

    def number(self, name: str, default: float) -> float:
        value = float(self._typed(name, default, (float, int), "a number"))
        if not math.isfinite(value):
            raise SpecError(f"attribute {name!r} of node {self.name!r} ({self.type}) is {value}")
        return value

    def text(self, name: str, default: str) -> str:
        return str(self._typed(name, default, str, "text"))

    def integers(self, name: str) -> tuple[int, ...] | None:
        found = self._typed(name, None, tuple, "a list of integers")
        if found is not None and not all(isinstance(value, int) for value in found):
            raise SpecError(
                f"attribute {name!r} of node {self.name!r} ({self.type}) must be a list of integers"
            )
        return None if found is None else tuple(found)

    def input(self, index: int) -> str:
        """The name of an input, "" when it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass(frozen=True, slots=True)
class GraphInput:
    """A network input: a size is a number, the name of a symbolic one, or None when the file is silent."""

    name: str
    sizes: tuple[int | str | None, ...] | None
    dtype: str


@dataclass(frozen=True, slots=True)
class Graph:
    """What the front end needs of an ONNX file."""

    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit:,} more" if len(names) > limit else "")
