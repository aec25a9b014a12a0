"""What turning ONNX nodes into layers needs: the builder, the constants known so far, and names."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Distribution, Shape
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.frontends.onnx_graph import Constant, Grid, Node
from hwsim.workload.frontends.onnx_inputs import Received

# Names that exporters make up; the weights' names say more.
_COUNTER = re.compile(r"(\w?\d*|node \d+|node_\w+|val_\d+)")
_WEIGHT_END = re.compile(r"(_w_\d+|[._/]w|[._/]weights?|[._/]kernel)$")


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers that the network receives as `name`, perhaps seen under another shape."""

    name: str
    shape: Shape
    kind: str


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of products of integers that the file scales later: the node that makes them, and the tensor of
    real numbers that it multiplies."""

    node: Node
    x: str


@dataclass(slots=True)
class Lowering:
    """Grows as nodes are taken in order. `readers` counts who reads each tensor of the file. `whole` are
    inputs of whole numbers, which become indices or plain numbers where somebody reads them. `stored` says
    which tensors of the file are stored integers, and of which tensor of the builder; `truths` hold 0 or
    1 only; `dynamic`, `scales` and
    `sums` those that a run quantises by its own numbers, scales of them, and sums that await theirs
    (`onnx_quantised`)."""

    builder: GraphBuilder
    opset: int
    constants: dict[str, Constant]
    received: Received
    readers: Counter[str] = field(default_factory=Counter)
    whole: dict[str, Whole] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    truths: set[str] = field(default_factory=set)
    dynamic: dict[str, str] = field(default_factory=dict)
    scales: dict[str, tuple[str, str]] = field(default_factory=dict)
    sums: dict[str, Sums] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    notes: dict[str, None] = field(default_factory=dict)
    nodes_run: int = 0

    @property
    def old_batch(self) -> int:
        """The file's batch."""
        return self.received.old_batch

    @property
    def batch(self) -> int:
        """The batch asked for."""
        return self.received.batch

    def shape(self, name: str) -> Shape:
        if name in self.constants:
            return self.constants[name].shape
        if name in self.whole:
            return self.whole[name].shape
        return self.builder.shape(self._computed(name))

    def _computed(self, name: str) -> str:
        if name in self.whole:
            return self._as_numbers(name)
        if name in self.sums or name in self.dynamic or name in self.scales:
            raise UnsupportedError(
                f"tensor {name!r} of integers, or their scale, is read otherwise than to scale sums: hwsim "
                "takes MatMulInteger and ConvInteger where their sums are multiplied by both scales at once"
            )
        if name not in self.builder.tensors:
            raise UnsupportedError(
                f"tensor {name!r} is read, which its node makes beside what hwsim computes of it"
            )
        return name

    def _as_numbers(self, name: str) -> str:
        """An input of whole numbers that is computed with."""
        found = self.whole.pop(name)
        if found.kind in ("INT8", "UINT8"):
            raise UnsupportedError(
                f"input {found.name!r} holds stored integers and is read without its scale: hwsim takes them "
                "where a quantised operator says what they stand for"
            )
        root = self.whole.pop(found.name, found)
        if found.name not in self.builder.tensors:
            self.builder.input(root.name, root.shape)
            self.notes[
                f"input {root.name!r} holds whole numbers, and is taken as numbers like the others"
            ] = None
        if name != found.name:
            self.builder.view(Label(self.unique(name), name, name), found.name, "reshape", found.shape)
        return name

    def indices(self, name: str, below: int) -> str:
        """The tensor of indices behind an input of whole numbers."""
        found = self.whole.get(name)
        if found is None:
            raise UnsupportedError(f"input {name!r} is used both as indices and as numbers")
        root = self.whole.get(found.name, found)
        tensor = self.builder.tensors.get(root.name)
        if tensor is None:
            return self.builder.indices(root.name, root.shape, below)
        if not tensor.index_range:
            raise UnsupportedError(f"input {root.name!r} is used both as indices and as numbers")
        self.builder.tensors[root.name] = replace(tensor, index_range=min(below, tensor.index_range))
        return root.name

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
        beside = distribution in ("scale", "shift") and (found.elements == 1 or found.steps > 0)
        values = None if found.fill and not beside else found.values
        known = name in self.builder.tensors
        self.builder.weight(
            name,
            found.shape,
            distribution,
            fan_in=fan_in,
            values=values,
            role="constant" if beside else "weight",
        )
        if found.grid is not None and not known:
            self.on_grid(name, found.grid)
        return name

    def on_grid(self, name: str, grid: Grid) -> None:
        """Say how a tensor is stored. Raises UnsupportedError where another grid was said before."""
        tensor = self.builder.tensors[name]
        if tensor.quantisation not in (None, grid.places):
            raise UnsupportedError(
                f"tensor {name!r} is read with two different scales or zero points: requantise one of them"
            )
        self.builder.tensors[name] = replace(tensor, dtype=grid.dtype, quantisation=grid.places)

    def operand(self, node: Node, index: int) -> str:
        """The name of an input that must be there."""
        name = node.input(index)
        if not name:
            raise SpecError(f"node {node.name!r} ({node.type}) lacks input {index}")
        return name

    def activation(self, node: Node, index: int = 0) -> str:
        return self.weight(self.operand(node, index), "shift")

    def label(self, node: Node, weight: str = "") -> Label:
        """What to call the operator: the node's name, or its weights' if that is a mere counter."""
        name = node.name
        stem = _WEIGHT_END.sub("", weight)
        if stem and stem != weight and _COUNTER.fullmatch(name):
            name = stem
        return Label(self.unique(name), node.outputs[0], node.name)

    def part(self, label: Label, part: str) -> Label:
        """An operator that helps to make what `label` names."""
        return Label(self.unique(f"{label.name}.{part}"), "", label.owner)

    def unique(self, name: str) -> str:
        """`name`, or with a number behind it where it is taken."""
        found, number = name, 2
        while found in self.names:
            found, number = f"{name}#{number}", number + 1
        self.names.add(found)
        return found

    def refuse_extra_outputs(self, node: Node) -> None:
        if any(node.outputs[1:]):
            raise UnsupportedError(
                f"node {node.name!r} ({node.type}) has {len(node.outputs)} outputs; hwsim makes the first "
                "alone: export the network for inference"
            )
