"""A graph in the making: its tensors and operators, their names, and whose fault a fault is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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
from hwsim.workload.operators import (
    Attributes,
    Fold,
    Lrn,
    Operator,
    OperatorProblem,
    Pool,
    Reduce,
    Step,
)

# A count above this could not be kept in the int64 columns of plans and results.
MAX_WORK = 2**62
# More than a network of hundreds of experts in each of its layers has. A small file may ask for any number.
MAX_TENSORS = 400_000
INDEX_FORMAT = "int32"
Weigh = Callable[[str, Shape, Distribution, int], str]  # part, shape, distribution, fan-in -> tensor


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

    @property
    def owner(self) -> str:
        """The layer that the operator belongs to: itself, unless it is one of several."""
        return self.layer or self.name

    def part(self, name: str) -> Label:
        """One of several operators that the layer comes to."""
        return Label(f"{self.name}.{name}", "", self.owner)


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
        self.held: set[str] = set()  # weights that no operator reads, and memory holds all the same
        self._names: set[str] = set()

    # -- tensors ---------------------------------------------------------------------------------------

    def input(self, name: str, shape: Shape, *, density: float = 1.0) -> str:
        """A tensor that the network receives; what is drawn for it has that density."""
        self._take(Tensor(name, shape, self.dtype, "input", density))
        self.inputs.append(name)
        return name

    def indices(self, name: str, shape: Shape, below: int, *, values: Values | None = None) -> str:
        """Whole numbers from 0 up to below `below`: an input that the network receives, or with `values` a
        constant."""
        if below < 1:
            raise SpecError(f"indices {name!r} are below {below}: a table has at least one row")
        role: Role = "input" if values is None else "constant"
        self._take(Tensor(name, shape, INDEX_FORMAT, role, index_range=below, values=values))
        if values is None:
            self.inputs.append(name)
        return name

    def cache(self, name: str, shape: Shape) -> str:
        """What earlier runs left in the device's memory, drawn from the seed as activations are."""
        values = Seeded(self.name, name, shape, self.seed, "weight", fan_in=2)
        self._take(Tensor(name, shape, self.dtype, "cache", values=values))
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

    def hold(self, name: str) -> None:
        """Keep a weight that no operator reads: an expert that nothing is sent to takes memory too."""
        self.held.add(name)

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
        if len(self.tensors) >= MAX_TENSORS:
            raise CapacityError(
                f"the network comes to more than the {MAX_TENSORS:,} tensors hwsim takes: use fewer layers "
                "or experts"
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
        self.operators.append(
            Operator(label.name, problem, tuple(inputs), label.tensor, label.owner, epilogue, attributes)
        )
        return label.tensor

    def forget(self, op: Operator) -> None:
        """Free the name of an operator that was taken out, and that of the tensor that it made."""
        self._names.discard(op.name)
        self.tensors.pop(op.output, None)


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
    if isinstance(problem, Reduce):
        return problem.rows * problem.cols
    if isinstance(problem, Fold):
        return problem.additions
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
        raise type(error)(f"layer {label.owner!r} ({kind}): {text}") from None
