"""From a file's list of layers to connected ones: repeats written out, each layer named, its sizes worked
out, and its inputs known by the names of what makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hwsim.schema import Node
from hwsim.workload.frontends.ends import layer_and_end, no_such_end
from hwsim.workload.frontends.expressions import resolved, worked_out
from hwsim.workload.frontends.layer_base import Expression
from hwsim.workload.frontends.places import child, fault, items, nearest, placed
from hwsim.workload.frontends.workload_file import Repeat, WorkloadSpec
from hwsim.workload.order import topological_order

MAX_LAYERS = 100_000  # after repeats, which count as well: a round of nothing but repeats is not free


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a repeat, and the rounds that it lies in: what names mean there. `local` are names that
    get `suffix`; `entry` is what the round begins with, by the name that it goes by within and by its own."""

    parameters: Mapping[str, int]
    outer: Round | None = None
    suffix: str = ""
    local: frozenset[str] = frozenset()
    entry: tuple[str, str] = ("", "")

    def resolve(self, name: str) -> str:
        """What a name written in this round stands for."""
        if self.entry[0] and name == self.entry[0]:
            return self.entry[1]
        layer, end = layer_and_end(name, self.local)
        if layer in self.local:
            return f"{layer}{self.suffix}.{end}" if end else f"{layer}{self.suffix}"
        return name if self.outer is None else self.outer.resolve(name)


@dataclass(slots=True)
class Listed:
    """One layer after repeats are written out: its name, its spec with numbers for sizes, its place in the
    file, and its inputs by name."""

    name: str
    spec: Any
    node: Node
    inputs: tuple[str, ...]
    round: Round


@dataclass(slots=True)
class Connected:
    """The layers of a file in an order that can run, and the names of its results."""

    layers: list[Listed]
    outputs: list[str]


def connect(written: WorkloadSpec, tree: Node, inputs: list[str], parameters: Mapping[str, int]) -> Connected:
    """Raises SpecError for names that nothing has or two have, cycles, unknown outputs, and results that
    nobody takes."""
    expansion = _Expansion(_names(written, inputs), parameters, inputs)
    expansion.add(written.layers, items(child(tree, "layers")), Round(parameters))
    listed, other_names = expansion.listed, expansion.other_names
    if not listed:
        raise fault(child(tree, "layers"), "come to no layer: each is in a repeat of no rounds")
    _resolve(listed, other_names, inputs, tree)
    by_name = {layer.name: layer for layer in listed}
    outputs = [_through(name, other_names) for name in written.outputs] or [listed[-1].name]
    return Connected(_ordered(by_name, inputs, outputs, tree), outputs)


def _names(written: WorkloadSpec, inputs: Iterable[str]) -> frozenset[str]:
    """Names that people gave, which made-up ones must avoid."""

    def within(layers: Iterable[Any]) -> Iterable[str]:
        for layer in layers:
            if layer.name is not None:
                yield layer.name
            if isinstance(layer, Repeat):
                yield from within(layer.layers)

    return frozenset(within(written.layers)) | frozenset(inputs)


@dataclass(slots=True)
class _Expansion:
    taken: frozenset[str]
    parameters: Mapping[str, int]
    inputs: list[str]
    listed: list[Listed] = field(default_factory=list)
    other_names: dict[str, str] = field(default_factory=dict)  # of a repeat's result: its layer's name
    before: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    steps: int = 0

    def __post_init__(self) -> None:
        self.before = self.inputs[0] if len(self.inputs) == 1 else ""

    def add(self, layers: Iterable[Any], nodes: Iterable[Node], within: Round) -> None:
        for layer, node in zip(layers, nodes, strict=True):
            self._count(node)
            if isinstance(layer, Repeat):
                self._add_repeat(layer, node, within)
                continue
            name = self._name_of(layer, within.suffix)
            found = resolved(layer, node, within.parameters)
            inputs = tuple(map(within.resolve, layer.inputs)) or (self._before(node),)
            self.listed.append(Listed(name, found, node, inputs, within))
            self.before = name

    def _count(self, node: Node) -> None:
        self.steps += 1
        if self.steps > MAX_LAYERS:
            raise fault(node, f"here the network comes to more than the {MAX_LAYERS:,} layers hwsim takes")

    def _before(self, node: Node) -> str:
        if not self.before:
            raise fault(
                node,
                f"the network has several inputs; say which this layer takes: `inputs: [{self.inputs[0]}]`",
            )
        return self.before

    def _name_of(self, layer: Any, suffix: str) -> str:
        if layer.name is not None:
            return str(layer.name) + suffix
        while True:
            self.counts[layer.kind] += 1
            name = f"{layer.kind}{self.counts[layer.kind]}"
            if name not in self.taken:
                return name

    def _add_repeat(self, repeat: Repeat, node: Node, within: Round) -> None:
        if repeat.inputs:
            self.before = within.resolve(repeat.inputs[0])
        local = frozenset(layer.name for layer in repeat.layers if layer.name is not None)
        if repeat.entry is not None and (repeat.entry in local or repeat.entry in self.inputs):
            raise fault(
                child(node, "entry"), f"{repeat.entry!r} is the name of a layer or input: take another"
            )
        nodes = items(child(node, "layers"))
        for turn, parameters in enumerate(self._rounds(repeat, node, within), start=1):
            entry = (repeat.entry, self._before(node)) if repeat.entry is not None else ("", "")
            inner = Round(parameters, within, f"{within.suffix}.{turn}", local, entry)
            self.add(repeat.layers, nodes, inner)
        if repeat.name is not None:
            name = repeat.name + within.suffix
            if name in self.other_names:
                raise fault(child(node, "name"), f"the name {name!r} is given twice: give each its own")
            self.other_names[name] = self._before(node)

    def _rounds(self, repeat: Repeat, node: Node, within: Round) -> Iterable[Mapping[str, int]]:
        """The parameters of each round."""
        if repeat.times is not None:
            times = worked_out(repeat.times, child(node, "times"), within.parameters, Expression(0))
            return (within.parameters for _ in range(times))
        for name in repeat.each[0]:
            if name in within.parameters:
                raise fault(child(node, "each"), f"{name!r} is a parameter already: take another name")
        return [
            {
                **within.parameters,
                **{
                    name: worked_out(size, child(place, name), within.parameters)
                    for name, size in row.items()
                },
            }
            for row, place in zip(repeat.each, items(child(node, "each")), strict=True)
        ]


def _through(name: str, other_names: Mapping[str, str]) -> str:
    """The name of the layer whose result `name` is, where it is that of a repeat."""
    owner, end = layer_and_end(name, other_names)
    if owner not in other_names:
        return name
    return f"{other_names[owner]}.{end}" if end else other_names[owner]


def _resolve(listed: list[Listed], other_names: Mapping[str, str], inputs: list[str], tree: Node) -> None:
    """Refuse names given twice and names that nothing has, and follow those of repeats."""
    places: dict[str, Node] = {}
    for layer in listed:
        if layer.name in places or layer.name in inputs or layer.name in other_names:
            first = places.get(layer.name, tree).place
            raise fault(
                layer.node,
                f"the name {layer.name!r} is given twice, first in line {first.line}: give each layer and "
                "input its own",
            )
        places[layer.name] = layer.node
    if twice := sorted(set(other_names) & set(inputs)):
        raise fault(child(tree, "layers"), f"the name {twice[0]!r} is that of an input and of a repeat")
    known = [*inputs, *places, *other_names]
    kinds = {layer.name: str(layer.spec.kind) for layer in listed}
    for layer in listed:
        layer.inputs = tuple(_through(name, other_names) for name in layer.inputs)
        for name in layer.inputs:
            owner, end = layer_and_end(name, places)
            if end and (told := no_such_end(kinds[owner], end)):
                raise fault(layer.node, f"layer {layer.name!r} takes {name!r}: {told}")
            if owner not in places and name not in inputs:
                raise fault(
                    layer.node,
                    f"layer {layer.name!r} takes {name!r}, which is neither a layer nor an input"
                    f"{nearest(name, known)}",
                )


def _ordered(
    by_name: Mapping[str, Listed], inputs: list[str], outputs: list[str], tree: Node
) -> list[Listed]:
    for name in outputs:
        owner, end = layer_and_end(name, by_name)
        if end and (told := no_such_end(by_name[owner].spec.kind, end)):
            raise fault(child(tree, "outputs"), f"there is no {name!r}: {told}")
        if owner not in by_name:
            raise fault(child(tree, "outputs"), f"there is no layer {name!r}{nearest(name, by_name)}")
    sources = {name: _owners(layer.inputs, by_name) for name, layer in by_name.items()}
    with placed(child(tree, "layers")):
        order = topological_order(
            {name: [taken for taken in sources[name] if taken in by_name] for name in by_name}, "layer"
        )
    used = {name for taken in sources.values() for name in taken} | set(_owners(outputs, by_name))
    for layer in by_name.values():
        if layer.name not in used:
            raise fault(
                layer.node,
                f"nothing takes the result of layer {layer.name!r}: remove it, or list it under `outputs`",
            )
    for name in inputs:
        if name not in used:
            raise fault(child(tree, "inputs"), f"no layer takes the input {name!r}: remove it")
    return [by_name[name] for name in order]


def _owners(names: Iterable[str], layers: Container[str]) -> list[str]:
    return [layer_and_end(name, layers)[0] for name in names]
