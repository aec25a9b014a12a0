"""A graph in the making: its tensors and operators, their names, and whose fault a fault is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hwsim.errors import CapacityError, SpecError
from hwsim.tensor.formats import accumulator_format, find_format
from hwsim.tensor.tensor import (
    Distribution,
    Role,
    Seeded,
    SeededSparse,
    Shape,
    Tensor,
    Values,
    check_shape,
    shared_values,
)
from hwsim.workload.operators import Attributes, Lrn, Operator, OperatorProblem, Pool, Step

# A count above this could not be kept in the int64 columns of plans and results.
MAX_WORK = 2**62


@dataclass(frozen=True, slots=True)
class Label:
    """What to call an operator: its name, the tensor it makes (the same unless given), and the layer as
    the person wrote or imported it."""

    name: str
    output: str = ""
    layer: str = ""

    @property
    def tensor(self) -> str:
        return self.output or self.name


class Draft:
    """Tensors and operators collected so far, in the order they were added."""

    def __init__(self, name: str, *, dtype: str = "fp32", seed: int = 0) -> None:
        find_format(dtype)
        self.name = name
        self.dtype = dtype
        self.seed = seed
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []
        self.inputs: list[str] = []
        self.seeded_weights = 0
        self.drawn: dict[str, None] = {}  # how weights are drawn, in words
        self._names: set[str] = set()

    # -- tensors ---------------------------------------------------------------------------------------

    def input(self, name: str, shape: Shape, *, density: float = 1.0) -> str:
        """A tensor that the network receives; what is drawn for it has that density."""
        self._take(Tensor(name, shape, self.dtype, "input", density))
        self.inputs.append(name)
        return name

    def weight(
        self,
        name: str,
        shape: Shape,
        distribution: Distribution = "weight",
        *,
        fan_in: int = 1,
        values: Values | None = None,
        role: Role = "weight",
        density: float = 1.0,
        shared_bits: int = 0,
    ) -> str:
        """A weight or constant; without `values` it is drawn from the seed, so many of its elements not zero,
        and sharing 2**`shared_bits` - 1 values if any. A second call with the same name and shape is the same
        tensor."""
        check_shape(shape, f"tensor {name!r}")
        codebook: tuple[float, ...] = ()
        seeded = values is None
        if values is None and (density < 1 or shared_bits):
            elements = math.prod(shape)
            kept = max(1, round(density * elements))
            scale = math.sqrt(2.0 / (fan_in * density))
            codebook = shared_values(shared_bits, scale) if shared_bits else ()
            values = SeededSparse(self.name, name, shape, self.seed, kept, scale, codebook)
            density = kept / elements
        elif values is None:
            values = Seeded(self.name, name, shape, self.seed, distribution, fan_in)
        found = self.tensors.get(name)
        if found is not None and found.role == role and found.shape == shape:
            return name
        self.seeded_weights += seeded
        if seeded and distribution == "weight":
            self.drawn |= {_said(density, shared_bits): None}
        dtype = self.dtype if distribution == "weight" else accumulator_format(self.dtype)
        self._take(Tensor(name, shape, dtype, role, density, codebook=codebook, values=values))
        return name

    def shape(self, name: str) -> Shape:
        """Raises SpecError when no tensor has that name yet."""
        if name not in self.tensors:
            raise SpecError(f"there is no tensor {name!r}")
        return self.tensors[name].shape

    def _take(self, tensor: Tensor) -> None:
        if tensor.name in self.tensors:
            raise SpecError(
                f"the name {tensor.name!r} is given twice: give each layer and tensor its own name"
            )
        self.tensors[tensor.name] = tensor

    def add(
        self,
        label: Label,
        problem: OperatorProblem,
        inputs: Sequence[str],
        shape: Shape,
        attributes: Attributes = (),
        epilogue: tuple[Step, ...] = (),
    ) -> str:
        """Take one operator and the tensor it makes, whose name is returned."""
        if label.name in self._names:
            raise SpecError(f"the name {label.name!r} is given twice: give each layer its own name")
        self._take(Tensor(label.tensor, shape, self.dtype, "activation"))
        if _work(problem) > MAX_WORK:
            raise CapacityError(
                f"{_work(problem):.3g} operations are more than hwsim counts ({MAX_WORK:.3g})"
            )
        self._names.add(label.name)
        layer = label.layer or label.name
        self.operators.append(
            Operator(label.name, problem, tuple(inputs), label.tensor, layer, epilogue, attributes)
        )
        return label.tensor


def _said(density: float, shared_bits: int) -> str:
    """How weights were drawn."""
    if density == 1 and not shared_bits:
        return "weights He-normal"
    zeros = f"{density:.3g} of them not zero, evenly spread" if density < 1 else "none of them zero"
    values = f"one of {2**shared_bits - 1} shared values each" if shared_bits else "normal"
    return f"weights {values}, {zeros}"


def _work(problem: OperatorProblem) -> int:
    """Multiply-accumulates, or what a window reads."""
    if isinstance(problem, Pool):
        return problem.N * problem.C * problem.P * problem.Q * problem.R * problem.S
    if isinstance(problem, Lrn):
        return problem.elements * problem.size
    return problem.macs


@contextmanager
def naming(label: Label, kind: str) -> Iterator[None]:
    """Say which layer a fault is in."""
    try:
        yield
    except (SpecError, CapacityError) as error:
        text = str(error)
        if text.startswith("layer "):  # a builder method that calls another has said it
            raise
        raise type(error)(f"layer {label.layer or label.name!r} ({kind}): {text}") from None
