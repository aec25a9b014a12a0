"""An ONNX graph in plain Python: nodes with attributes, constants with lazy values. Knows no protobuf."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.storage import Quantisation
from hwsim.tensor.tensor import Array, Filled, Shape, Values, check_shape

# Constants up to this size are worked with eagerly (shapes, axes, limits); larger ones stay lazy.
SMALL = 1024
MOST_STEPS = 1000  # of working out one large constant, each time that it is read


@dataclass(frozen=True, slots=True)
class Grid:
    """The number format of stored integers and the grid that they lie on."""

    dtype: str
    places: Quantisation


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor known before the network runs. `fill` marks one made by ConstantOfShape, a placeholder for
    weights that the file leaves out; `floating` whether its elements are floating numbers; `kind` is ONNX's
    name for their type where the file holds them. `grid` is the one that stored integers were dequantised
    from, and their format. `steps` counts what is worked out each time that the values are read."""

    name: str
    shape: Shape
    values: Values
    floating: bool
    fill: bool = False
    kind: str = ""
    grid: Grid | None = None
    steps: int = 0

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    def array(self, what: str, most: int = SMALL) -> Array:
        """The values of a small constant; `what` names its use in the SpecError for a large one."""
        if self.elements > most:
            raise SpecError(
                f"{what} {self.name!r} has {self.elements:,} elements; at most {most:,} make sense"
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
        made = Rearranged(self.values, self.shape, None, shape)
        grid = self.grid if self.grid is None or self.grid.places.axis is None else None
        grid = self.grid if shape == self.shape else grid
        return replace(self, name=name, shape=shape, values=made, grid=grid)

    def transposed(self, name: str, perm: tuple[int, ...], shape: Shape) -> Constant:
        made = Rearranged(self.values, self.shape, perm, shape)
        grid = self.grid
        if grid is not None and grid.places.axis is not None:
            grid = Grid(grid.dtype, replace(grid.places, axis=perm.index(grid.places.axis)))
        return replace(self, name=name, shape=shape, values=made, grid=grid)


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


@dataclass(frozen=True, slots=True)
class Worked:
    """What a function makes of the values of constants."""

    sources: tuple[Constant, ...]
    shape: Shape
    function: Callable[..., Array]

    def __call__(self) -> Array:
        given = [np.asarray(source.values()).reshape(source.shape) for source in self.sources]
        try:
            with np.errstate(all="ignore"):
                return np.array(self.function(*given)).reshape(self.shape)
        except (ValueError, TypeError, IndexError, ZeroDivisionError, OverflowError) as error:
            names = " and ".join(source.name for source in self.sources)
            raise SpecError(f"cannot be worked out from {names}: {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Given, (self(),)  # functions do not go to another process, their results do


@dataclass(frozen=True, eq=False, slots=True)
class Given:
    """Values that are already there."""

    held: Array

    def __call__(self) -> Array:
        return self.held.copy()


def small_constant(name: str, array: Array) -> Constant:
    """A constant of values already worked out."""
    return Constant(name, tuple(array.shape), Given(array), array.dtype.kind == "f")


def filled_constant(name: str, shape: Shape, value: Array, *, placeholder: bool) -> Constant:
    """What ConstantOfShape makes: a `placeholder` for weights where it is written for a shape in the file,
    and the numbers themselves where the shape is worked out. Integers are kept as integers."""
    if 0 in shape:  # an empty list, as in the shape of a scalar
        return small_constant(name, np.full(shape, value.reshape(-1)[0]))
    check_shape(shape, f"constant {name!r}")
    number = value.reshape(-1)[0]
    if value.dtype.kind == "f":
        return Constant(name, shape, Filled(shape, float(number)), True, fill=placeholder)
    if math.prod(shape) <= SMALL:
        return small_constant(name, np.full(shape, number))
    one = small_constant(name, np.full((), number))
    return Constant(name, shape, Worked((one,), shape, lambda v: np.broadcast_to(v, shape)), False)


def worked_constant(name: str, shape: Shape, sources: Sequence[Constant], function: Callable[..., Array],
                    *, floating: bool) -> Constant:  # fmt: skip
    """What `function` makes of the values of `sources`: at once where all are small, else when asked for."""
    made = Worked(tuple(sources), shape, function)
    if math.prod(shape) <= SMALL and all(source.elements <= SMALL for source in sources):
        return small_constant(name, made())
    if 0 not in shape:
        check_shape(shape, f"constant {name!r}")
    steps = 1 + sum(source.steps for source in sources)
    if steps > MOST_STEPS:
        raise SpecError(
            f"constant {name!r} takes more than {MOST_STEPS:,} steps to work out: fold constants when "
            "exporting the network"
        )
    return Constant(name, shape, made, floating, steps=steps)


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

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self.integer(name, int(default)))

    def graph(self, name: str) -> Graph:
        """A graph that the node holds. Raises SpecError when it holds none of that name."""
        found = self._typed(name, None, Graph, "a graph")
        if found is None:
            raise SpecError(f"node {self.name!r} ({self.type}) lacks its {name}")
        assert isinstance(found, Graph)
        return found

    @property
    def graphs(self) -> tuple[Graph, ...]:
        return tuple(value for value in self.attributes.values() if isinstance(value, Graph))

    def text(self, name: str, default: str) -> str:
        return str(self._typed(name, default, str, "text"))

    def integers(self, name: str) -> tuple[int, ...] | None:
        found: tuple[int, ...] | None = self._listed(name, int, "integers")
        return found

    @property
    def reads(self) -> tuple[str, ...]:
        """All tensors that it needs, those that its graphs read among them."""
        inner = sorted(name for graph in self.graphs for name in graph.reads)
        return (*(name for name in self.inputs if name), *inner)

    def texts(self, name: str) -> tuple[str, ...] | None:
        found: tuple[str, ...] | None = self._listed(name, str, "texts")
        return found

    def numbers(self, name: str) -> tuple[float, ...] | None:
        found: tuple[float, ...] | None = self._listed(name, float | int, "numbers")
        return found

    def _listed(self, name: str, kinds: Any, what: str) -> Any:
        found = self._typed(name, None, tuple, f"a list of {what}")
        if found is not None and not all(isinstance(value, kinds) for value in found):
            raise SpecError(
                f"attribute {name!r} of node {self.name!r} ({self.type}) must be a list of {what}"
            )
        return found

    def input(self, index: int) -> str:
        """The name of an input, "" when it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass(frozen=True, slots=True)
class GraphInput:
    """A network input: a size is a number, the name of a symbolic one, or None when the file is silent.
    `dtype` is its number format, "" where whatever reads it decides (indices, masks, stored integers); `kind`
    is ONNX's name for the type of its elements."""

    name: str
    sizes: tuple[int | str | None, ...] | None
    dtype: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """What the front end needs of an ONNX file, or of a graph within one."""

    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]

    @property
    def reads(self) -> frozenset[str]:
        """Tensors of the graphs around it that it reads."""
        own = set(self.constants) | {given.name for given in self.inputs}
        own |= {name for node in self.nodes for name in node.outputs}
        wanted = {name for node in self.nodes for name in node.reads} | set(self.outputs)
        return frozenset(name for name in wanted if name and name not in own)


def listed(names: Sequence[str], limit: int = 8) -> str:
    shown = ", ".join(repr(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit:,} more" if len(names) > limit else "")
