"""Branches and loops of ONNX graphs that constants decide: their nodes in the order in which they would run.

Names inside a graph are its own; each time that it runs they get another prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from hwsim.errors import CapacityError, SpecError, UnsupportedError
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Graph, Node, small_constant

MOST_ROUNDS = 4_000
_ALWAYS = 2**62

Order = Callable[[Graph], list[Node]]
CONTROL = ("If", "Loop")


def control_nodes(at: Lowering, node: Node, order: Order) -> Iterator[Node]:
    """The nodes that stand for an If or a Loop, one after the other: each must run before the next is asked
    for. `order` sorts a graph's own. Raises UnsupportedError where no constant decides."""
    return _branch(at, node, order) if node.type == "If" else _loop(at, node, order)


def _branch(at: Lowering, node: Node, order: Order) -> Iterator[Node]:
    chosen = "then_branch" if _truth(at, node, 0, "condition") else "else_branch"
    graph = node.graph(chosen)
    if len(graph.outputs) < len(node.outputs):
        raise SpecError(
            f"node {node.name!r} (If) has {len(node.outputs)} outputs and its graph {len(graph.outputs)}"
        )
    computed = {name for one in graph.nodes for name in one.outputs if name}
    ends = {inner: outer for inner, outer in zip(graph.outputs, node.outputs, strict=False)
            if outer and inner in computed}  # fmt: skip
    made = yield from _inlined(at, graph, f"{node.name}/", ends, order(graph))
    for inner, outer in zip(made, node.outputs, strict=False):
        if outer and inner != outer:
            yield _same(outer, inner)


def _loop(at: Lowering, node: Node, order: Order) -> Iterator[Node]:
    body = node.graph("body")
    limit = at.constant(node, 0, "trip count")
    rounds = int(limit.number("trip count")) if limit is not None else _ALWAYS
    carried = list(node.inputs[2:])
    if len(body.inputs) != 2 + len(carried) or len(body.outputs) < 1 + len(carried):
        raise SpecError(f"node {node.name!r} (Loop) and its body do not go together")
    scanned: list[list[str]] = [[] for _ in body.outputs[1 + len(carried) :]]
    going = _truth(at, node, 1, "condition") if node.input(1) else True
    counter, flag = (given.name for given in body.inputs[:2])
    number, nodes = 0, order(body)
    while going and number < rounds:
        if number == MOST_ROUNDS:
            raise CapacityError(f"node {node.name!r} (Loop) goes round more than {MOST_ROUNDS:,} times")
        prefix = f"{node.name}/{number}/"
        at.constants[prefix + counter] = small_constant(prefix + counter, np.array(number, dtype=np.int64))
        at.constants[prefix + flag] = small_constant(prefix + flag, np.array(True))
        bound = {
            counter: prefix + counter, flag: prefix + flag,
            **{given.name: now for given, now in zip(body.inputs[2:], carried, strict=True)},
        }  # fmt: skip
        made = yield from _inlined(at, body, prefix, bound, nodes)
        if made[0] not in at.constants:
            raise UnsupportedError(
                f"node {node.name!r} (Loop) goes on for as long as what it computes says, so it cannot be "
                "unrolled: export the network with a fixed number of rounds"
            )
        going = bool(np.all(at.constants[made[0]].array("condition")))
        carried = made[1 : 1 + len(carried)]
        for held, name in zip(scanned, made[1 + len(carried) :], strict=True):
            held.append(name)
        number += 1
    for inner, outer in zip(carried, node.outputs, strict=False):
        if outer:
            yield _same(outer, inner)
    yield from _stacked(at, node, scanned, node.outputs[len(carried) :])


def _stacked(at: Lowering, node: Node, scanned: list[list[str]], outputs: tuple[str, ...]) -> Iterator[Node]:
    """What each round made, one behind the other along a new first axis."""
    for held, outer in zip(scanned, outputs, strict=False):
        if not outer or (not held and not at.readers[outer]):
            continue
        if not held:
            raise UnsupportedError(f"node {node.name!r} (Loop) never goes round, so {outer!r} is empty")
        rows = [f"{name}/row" for name in dict.fromkeys(held)]
        for name, row in zip(dict.fromkeys(held), rows, strict=True):
            yield Node(row, "Unsqueeze", (name,), (row,), {"axes": (0,)})
        yield Node(outer, "Concat", tuple(f"{name}/row" for name in held), (outer,), {"axis": 0})


def _truth(at: Lowering, node: Node, index: int, what: str) -> bool:
    found = node.input(index)
    if found not in at.constants:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) computes its {what}, so which nodes run is not known before "
            "it does: export the network with that decided (constant sizes, a fixed number of rounds)"
        )
    return bool(np.all(at.constants[found].array(what)))


def _inlined(
    at: Lowering, graph: Graph, prefix: str, bound: Mapping[str, str], nodes: Sequence[Node]
) -> Generator[Node, None, list[str]]:
    """The nodes of a graph, sorted, its own names behind `prefix` and others as `bound`. Returns the names of
    its outputs."""
    own = {*graph.constants, *(name for node in graph.nodes for name in node.outputs if name)}
    names = {name: prefix + name for name in own} | dict(bound)
    for name, constant in graph.constants.items():
        at.constants[names[name]] = replace(constant, name=names[name])
    for node in nodes:
        yield replace(_renamed(node, names), name=prefix + node.name)
    return [names.get(name, name) for name in graph.outputs]


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    attributes = {
        key: _renamed_graph(value, names) if isinstance(value, Graph) else value
        for key, value in node.attributes.items()
    }
    inputs, outputs = (
        tuple(names.get(name, name) for name in given) for given in (node.inputs, node.outputs)
    )
    return replace(node, inputs=inputs, outputs=outputs, attributes=attributes)


def _renamed_graph(graph: Graph, names: Mapping[str, str]) -> Graph:
    """A graph within, with what it reads of those around it renamed."""
    outer = {name: names[name] for name in graph.reads if name in names}
    nodes = tuple(_renamed(node, outer) for node in graph.nodes)
    return replace(graph, nodes=nodes, outputs=tuple(outer.get(name, name) for name in graph.outputs))


def _same(outer: str, inner: str) -> Node:
    return Node(outer, "Identity", (inner,), (outer,))
