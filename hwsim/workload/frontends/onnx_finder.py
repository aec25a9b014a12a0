"""Finding layers among the operators of a graph in the making: who makes a tensor, who reads it, and whether
a group of operators is closed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from hwsim.tensor.tensor import read_values
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.graph import operands
from hwsim.workload.operators import Elementwise, Operator, View

_NEAR = 2e-3  # relative: exporters round factors to a few digits, or to fp16


@dataclass(frozen=True, slots=True)
class Match:
    """Operators `within`, the last of which is `last`, and what makes the layer that they are."""

    what: str
    last: Operator
    within: tuple[Operator, ...]
    build: Callable[[GraphBuilder, Label], object]


@dataclass(eq=False)
class Finder:
    """The operators of a graph in the making, by what they make and who reads it."""

    builder: GraphBuilder
    outputs: Sequence[str]
    makers: dict[str, Operator] = field(default_factory=dict)
    readers: dict[str, list[Operator]] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for op in self.builder.operators:
            self.makers[op.output] = op
            for name in operands(op):
                self.uses[name] += 1
                self.readers.setdefault(name, []).append(op)
        self.uses.update(self.outputs)

    def maker(self, name: str, function: str) -> Operator | None:
        """The pointwise operator of that function that makes a tensor, casts and the like looked through."""
        op = self.makers.get(self.behind(name))
        return op if op is not None and is_pointwise(op, function) else None

    def behind(self, name: str) -> str:
        """What a tensor is under no other shape: casts, identities and dropout looked through."""
        while (op := self.makers.get(name)) is not None and _is_same(self.builder, op):
            name = op.inputs[0]
        return name

    def reader(self, name: str) -> Operator | None:
        """The one operator that reads a tensor, casts and the like looked through."""
        while self.uses[name] == 1 and name in self.readers:
            op = self.readers[name][0]
            if not _is_same(self.builder, op):
                return op
            name = op.output
        return None

    def constant(self, name: str) -> bool:
        return self.builder.tensors[name].role in ("weight", "constant")

    def number(self, name: str) -> float | None:
        """The value of a constant of one number."""
        tensor = self.builder.tensors[name]
        if tensor.role not in ("weight", "constant") or tensor.elements != 1 or tensor.values is None:
            return None
        return float(read_values(tensor).reshape(-1)[0])

    def same(self, first: str, second: str) -> bool:
        return self.behind(first) == self.behind(second)

    def closed(self, last: Operator, within: Iterable[Operator]) -> tuple[Operator, ...] | None:
        """All operators of a pattern, with casts between them, if nothing else reads what they make."""
        inner = {op.name: op for op in within if op.name != last.name}
        for op in [last, *inner.values()]:
            for name in op.inputs:
                while (source := self.makers.get(name)) is not None and _is_same(self.builder, source):
                    if self.makers.get(self.behind(name), last).name in inner:
                        inner[source.name] = source
                    name = source.inputs[0]
        names = {last.name, *inner}
        for op in inner.values():
            if op.output in self.outputs or any(r.name not in names for r in self.readers.get(op.output, ())):
                return None
        return (*inner.values(), last)


def is_pointwise(op: Operator, *functions: str) -> bool:
    return isinstance(op.problem, Elementwise) and op.problem.function in functions and not op.epilogue


def _is_same(builder: GraphBuilder, op: Operator) -> bool:
    return (
        isinstance(op.problem, View)
        and op.problem.function in ("cast", "identity", "dropout")
        and builder.tensors[op.output].quantisation is None
    )


def near(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=_NEAR)
