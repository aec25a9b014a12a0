"""Workload: operators in topological order, the tensors between them, and where all of it came from."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal

from hwsim.errors import SpecError
from hwsim.tensor.formats import accumulator_format, find_format
from hwsim.tensor.tensor import Array, Tensor, read_values
from hwsim.workload.operators import Operator, Recurrent
from hwsim.workload.order import topological_order
from hwsim.workload.winograd import winograd_formats

WEIGHTED = ("conv2d", "matmul")
ATTENDED = 3  # inputs of an attention operator that are multiplied: queries, keys, values


@dataclass(frozen=True, slots=True)
class Source:
    """Where a workload came from: `path` of its file ("builtin" when there is none) and the file's hash. A
    network whose weights stand in a file of their own is known by both: `weights` is that file's path, and
    the hash is of the two."""

    path: str
    format: Literal["yaml", "onnx", "csv", "json", "torch", "constructor", "compressed"]
    sha256: str
    weights: str = ""


@dataclass(frozen=True, eq=False)
class Workload:
    """A network as a graph of operators. Immutable; `astype` and the front ends make new ones.

    `parameters` are what its shapes were inferred with (batch, and whatever the file names) and the seed of
    its weights. `synthetic` marks networks whose shapes no publication gives. `notes` are sentences about
    what was assumed on the way. `folded_parameters` counts the trained numbers that folding merged away
    (a batch norm's scale goes into the weights before it), so that `parameter_count` stays the network's.
    `formats_chosen` says that someone chose the number formats (`astype`, a constructor's `dtype`); else they
    are the file's, and a run takes the design's own. `history` lists what compression did, step by step.
    `operands_in_memory` says that inputs lie in the device's memory and outputs stay there: none comes from a
    host or goes to one, and none is kept on chip.

    Raises SpecError for a cycle, a name used twice, or an operator whose input nothing gives.
    """

    name: str
    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    source: Source
    description: str = ""
    parameters: Mapping[str, int] = field(default_factory=dict)
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    folded_parameters: int = 0
    formats_chosen: bool = False
    history: tuple[str, ...] = ()
    operands_in_memory: bool = False
    _variants: dict[tuple[str, str], Workload] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        # Loaded workloads are cached and shared, so nobody may change what they hold.
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        check_graph(self.operators, self.tensors, self.inputs, self.outputs)

    def __reduce__(self) -> tuple[Any, ...]:
        return Workload, (
            self.name, self.operators, dict(self.tensors), self.inputs, self.outputs, self.source,
            self.description, dict(self.parameters), self.synthetic, self.notes, self.folded_parameters,
            self.formats_chosen, self.history, self.operands_in_memory,
        )  # fmt: skip

    # -- totals ----------------------------------------------------------------------------------------

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the whole workload at its batch."""
        return sum(op.macs for op in self.operators)

    @cached_property
    def parameter_count(self) -> int:
        """Trained numbers, counted as publications do: weights, biases, and scale and shift of each batch
        norm (not its running mean and variance), whether or not they were folded; shared ones once."""
        held = sum(t.elements for t in self.tensors.values() if t.role == "weight")
        return held + self.folded_parameters

    @property
    def batch(self) -> int:
        return self.parameters.get("batch", 1)

    @cached_property
    def dtype(self) -> str:
        """The number format of the activations: of the first input that is not indices, else of the first
        result."""
        names = (*self.inputs, *(op.output for op in self.operators))
        return next(t.dtype for name in names if not (t := self.tensors[name]).index_range)

    @cached_property
    def weight_dtype(self) -> str:
        """The number format of what activations are multiplied with."""
        weights = _multiplied_weights(self)
        return next((t.dtype for name, t in self.tensors.items() if name in weights), self.dtype)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of everything that decides results: the same in every process, whatever the file's path.
        Values follow from the source's hash, the workload's name and the seed, which are part of it."""
        parts = (
            self.name, self.source.format, self.source.sha256, sorted(self.parameters.items()), self.inputs,
            self.outputs, self.operators, self.history, [self.tensors[name] for name in sorted(self.tensors)],
        )  # fmt: skip
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    # -- the graph -------------------------------------------------------------------------------------

    def tensor(self, name: str) -> Tensor:
        """The tensor called `name`. Raises SpecError with the nearest name when there is none."""
        found = self.tensors.get(name)
        if found is None:
            close = difflib.get_close_matches(name, self.tensors, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise SpecError(f"workload {self.name} has no tensor {name!r}{hint}")
        return found

    def producer(self, tensor: str) -> Operator | None:
        """The operator that computes `tensor`; None for inputs and weights."""
        self.tensor(tensor)
        return self._producers.get(tensor)

    def consumers(self, tensor: str) -> tuple[Operator, ...]:
        """The operators that read `tensor`, fused steps included, in order."""
        self.tensor(tensor)
        return self._consumers.get(tensor, ())

    @cached_property
    def _producers(self) -> dict[str, Operator]:
        return {op.output: op for op in self.operators}

    @cached_property
    def _consumers(self) -> dict[str, tuple[Operator, ...]]:
        found: dict[str, list[Operator]] = {}
        for op in self.operators:
            for name in dict.fromkeys(operands(op)):
                found.setdefault(name, []).append(op)
        return {name: tuple(users) for name, users in found.items()}

    def values(self, tensor: str) -> Array:
        """The numbers of a weight or constant, before quantisation; read-only and made anew at each call.
        Raises SpecError for a tensor that the network computes or receives."""
        return read_values(self.tensor(tensor))

    # -- number formats --------------------------------------------------------------------------------

    def astype(self, dtype: str, weight_dtype: str | None = None) -> Workload:
        """The same workload with activations in `dtype`, multiplied weights in `weight_dtype` (or `dtype`).

        Biases, scales, shifts and other constants are kept as wide as products are summed: int32 beside
        integer activations, fp32 beside floating ones. What lies between the transforms of a Winograd
        convolution is as wide as it needs (`workload.winograd`). A tensor with a chosen grid (`quantisation`)
        keeps it and its format, as no other format holds that grid; so do indices. Raises SpecError for an
        unknown format.
        """
        weights = weight_dtype if weight_dtype is not None else dtype
        find_format(weights)
        wide = accumulator_format(dtype)
        found = self._variants.get((dtype, weights))
        if found is None:
            multiplied = _multiplied_weights(self)
            formats = {"weight": wide, "constant": wide}
            tensors = {
                name: replace(t, dtype=weights if name in multiplied else formats.get(t.role, dtype))
                for name, t in self.tensors.items()
            }
            for name, between in winograd_formats(self.operators, dtype).items():
                tensors[name] = replace(tensors[name], dtype=between)
            kept = (t for t in self.tensors.values() if t.quantisation is not None or t.index_range)
            tensors |= {t.name: t for t in kept}
            same = all(tensors[name].dtype == t.dtype for name, t in self.tensors.items())
            chosen = self.formats_chosen
            found = self if same and chosen else replace(self, tensors=tensors, formats_chosen=True)
            self._variants[dtype, weights] = found
        return found


def operands(op: Operator) -> tuple[str, ...]:
    """Every tensor that an operator reads: its inputs, then those of its fused steps."""
    return (*op.inputs, *(step.tensor for step in op.epilogue if step.tensor))


def multiplied(op: Operator) -> tuple[str, ...]:
    """The operands that an operator multiplies with one another: none where it has no MACs."""
    if isinstance(op.problem, Recurrent):
        return op.inputs[: 1 + op.problem.weights]
    if op.kind == "attention":
        return op.inputs[:ATTENDED]
    return op.inputs if op.kind in WEIGHTED else ()


def _multiplied_weights(workload: Workload) -> frozenset[str]:
    """Weights that enter a product, as opposed to what is added to it; tables that are looked up, whose rows
    become activations; and matrices that are held without being read, such as those of idle experts."""
    tensors = workload.tensors
    read = {name for op in workload.operators for name in operands(op)}
    idle = (n for n, t in tensors.items() if n not in read and len(t.shape) > 1)
    named = (op.inputs[:1] if op.kind == "gather" else multiplied(op) for op in workload.operators)
    return frozenset(
        name for name in (*idle, *chain.from_iterable(named)) if tensors[name].role in ("weight", "constant")
    )


def check_graph(
    operators: tuple[Operator, ...],
    tensors: Mapping[str, Tensor],
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
) -> None:
    """Raise SpecError unless names are unique, every operand exists, and order follows the data."""
    if not inputs:
        raise SpecError("the workload has no input: name at least one tensor that it receives")
    maker: dict[str, str] = {}
    names: set[str] = set()
    for op in operators:
        if op.name in names:
            raise SpecError(f"two operators are called {op.name!r}: give each its own name")
        names.add(op.name)
        if op.output in maker:
            raise SpecError(f"operators {maker[op.output]!r} and {op.name!r} both make tensor {op.output!r}")
        maker[op.output] = op.name
    for name, what in (*((n, "input") for n in inputs), *((n, "output") for n in outputs)):
        if name not in tensors:
            raise SpecError(f"the workload's {what} {name!r} is not one of its tensors")
    for op in operators:
        for name in (*operands(op), op.output):
            if name not in tensors:
                raise SpecError(f"operator {op.name!r} names tensor {name!r}, which does not exist")
        for name in operands(op):
            if name not in maker and tensors[name].role == "activation":
                raise SpecError(f"operator {op.name!r} reads {name!r}, which no operator makes")
    order = topological_order(
        {op.name: [maker[name] for name in operands(op) if name in maker] for op in operators}, "operator"
    )
    for op, name in zip(operators, order, strict=True):
        if op.name != name:
            raise SpecError(
                f"operator {op.name!r} stands before one whose result it needs: put it after that one"
            )
