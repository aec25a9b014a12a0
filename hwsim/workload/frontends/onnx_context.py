"""What turning ONNX nodes into layers needs: the builder, the constants known so far, and names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Distribution, Shape
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.frontends.onnx_graph import Constant, Node

# Names that exporters make up; the weights' names say more.
_COUNTER = re.compile(r"\w?\d*|node \d+")
_WEIGHT_END = re.compile(r"(_w_\d+|[._/]w|[._/]weights?|[._/]kernel)$")


@dataclass(slots=True)
class Lowering:
    """Grows as nodes are taken in order. `old_batch` is the file's batch, `batch` the one asked for."""

    builder: GraphBuilder
    opset: int
    constants: dict[str, Constant]
    old_batch: int
    batch: int
    names: set[str] = field(default_factory=set)

    def shape(self, name: str) -> Shape:
        found = self.constants.get(name)
        return found.shape if found is not None else self.builder.shape(self._computed(name))

    def _computed(self, name: str) -> str:
        if name not in self.builder.tensors:
            raise UnsupportedError(
                f"tensor {name!r} is read, which its node makes beside what hwsim computes of it"
            )
        return name

    def constant(self, node: Node, index: int, what: str) -> Constant | None:
        """A constant input, or None when it is left out."""
        name = node.input(index)
        if not name:
            return None
        if name not in self.constants:
            raise UnsupportedError(
                f"node {node.name!r} ({node.type}) computes its {what}; hwsim needs it constant"
            )
        return self.constants[name]

    def weight(self, name: str, distribution: Distribution, fan_in: int = 1) -> str:
        """An operand as a tensor of the builder: what the network computes, or a weight. Placeholders of
        ConstantOfShape are drawn from the seed, so that no channel equals another."""
        found = self.constants.get(name)
        if found is None:
            return self._computed(name)
        single = found.elements == 1 and distribution in ("scale", "shift")
        values = None if found.fill and not single else found.values
        return self.builder.weight(
            name,
            found.shape,
            distribution,
            fan_in=fan_in,
            values=values,
            role="constant" if single else "weight",
        )

    def activation(self, node: Node, index: int = 0) -> str:
        name = node.input(index)
        if not name:
            raise SpecError(f"node {node.name!r} ({node.type}) lacks input {index}")
        return self.weight(name, "shift")

    def label(self, node: Node, weight: str = "") -> Label:
        """What to call the operator: the node's name, or its weights' if that is a mere counter."""
        name = node.name
        stem = _WEIGHT_END.sub("", weight)
        if stem and stem != weight and _COUNTER.fullmatch(name):
            name = stem
        unique, number = name, 2
        while unique in self.names:
            unique, number = f"{name}#{number}", number + 1
        self.names.add(unique)
        return Label(unique, node.outputs[0], node.name)

    def refuse_extra_outputs(self, node: Node) -> None:
        if any(node.outputs[1:]):
            raise UnsupportedError(
                f"node {node.name!r} ({node.type}) has {len(node.outputs)} outputs; hwsim makes the first "
                "alone: export the network for inference"
            )
