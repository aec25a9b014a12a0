"""From a plain ONNX graph to a Workload: which nodes run, in which order, and with which sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hwsim.errors import CapacityError, SpecError, UnsupportedError
from hwsim.units import counted
from hwsim.workload.builder import GraphBuilder
from hwsim.workload.frontends.onnx_constants import FOLDS, fold, shape_of
from hwsim.workload.frontends.onnx_context import Lowering, Whole
from hwsim.workload.frontends.onnx_control import CONTROL, control_nodes
from hwsim.workload.frontends.onnx_graph import Graph, Node
from hwsim.workload.frontends.onnx_inputs import activation_format, receive
from hwsim.workload.frontends.onnx_integer_sums import scales_sums
from hwsim.workload.frontends.onnx_patterns import fuse_patterns
from hwsim.workload.frontends.onnx_quantised import QUANTISED, lower_passed
from hwsim.workload.frontends.onnx_table import LOWER, REFUSED, keeps_whole
from hwsim.workload.graph import Source, Workload
from hwsim.workload.order import topological_order

MOST_RUN = 200_000  # nodes, those of unrolled loops counted each time
HEADS = ("ArgMax", "ArgMin")  # at the very end they pick a number of what the network computes


def lower_graph(
    graph: Graph, name: str, source: Source, parameters: Mapping[str, int], seed: int
) -> Workload:
    """The workload of a graph. Raises UnsupportedError listing every operator type that is not known."""
    graph, notes = _without_heads(graph)
    order = _needed_nodes(graph)
    skipped = len(graph.nodes) - len(order)
    _refuse_unknown(order)
    received = receive(graph, parameters)
    builder = GraphBuilder(name, dtype=activation_format(graph), seed=seed)
    at = Lowering(builder, graph.opset, dict(graph.constants), received)
    at.readers.update(name for node in order for name in node.reads)
    at.readers.update(graph.outputs)
    for given in graph.inputs:
        if given.dtype:
            builder.input(given.name, received.shapes[given.name])
        else:
            at.whole[given.name] = Whole(given.name, received.shapes[given.name], given.kind)
    for node in order:
        _run(at, node)
    _check_outputs(at, graph)
    given_names = [given.name for given in graph.inputs]
    builder.inputs.sort(key=given_names.index)
    notes += fuse_patterns(builder, graph.outputs)
    notes += at.notes
    if skipped:
        notes.append(f"{counted(skipped, 'node')} that no output needs are left out")
    if received.old_batch > 1:
        notes.append(f"a dimension of its inputs, {received.old_batch} in the file, is taken as the batch")
    return builder.build(graph.outputs, source, parameters=received.parameters, notes=notes)


def _without_heads(graph: Graph) -> tuple[Graph, list[str]]:
    """The graph without what only picks the largest number at the very end: what it picks from is the output
    instead."""
    makers = {output: node for node in graph.nodes for output in node.outputs if output}
    outputs, notes = [], []
    for output in graph.outputs:
        node = makers.get(output)
        passed = set()  # a damaged file may go round in a circle, which is refused further on
        while (
            node is not None
            and node.type in ("Cast", "Identity")
            and node.input(0) in makers
            and node.input(0) not in passed
        ):
            passed.add(node.input(0))
            node = makers[node.input(0)]
        if node is not None and node.type in HEADS and node.input(0):
            notes.append(
                f"{node.type} at the end ({node.name!r}) is left to the host: the output is what it picks "
                f"from, {node.input(0)!r}"
            )
            outputs.append(node.input(0))
        else:
            outputs.append(output)
    return replace(graph, outputs=tuple(dict.fromkeys(outputs))), notes


def _run(at: Lowering, node: Node) -> None:
    """Turn one node into a constant or an operator."""
    at.nodes_run += 1
    if at.nodes_run > MOST_RUN:
        raise CapacityError(f"more than {MOST_RUN:,} nodes run, those of loops counted each time")
    if node.type in CONTROL:
        for inner in control_nodes(at, node, _inner_nodes):
            _run(at, inner)
        return
    if not node.outputs:
        raise SpecError(f"node {node.name!r} ({node.type}) needs outputs")
    read = [name for name in node.inputs if name]
    if node.type == "Shape":
        if not read:
            raise SpecError(f"node {node.name!r} (Shape) lacks its input")
        at.constants[node.outputs[0]] = shape_of(node, at.shape(read[0]))
    elif node.type in FOLDS and all(name in at.constants for name in read):
        at.constants[node.outputs[0]] = fold(node, [at.constants[name] for name in read])
    elif not (keeps_whole(at, node) or scales_sums(at, node)):
        _lower(at, node)


def _lower(at: Lowering, node: Node) -> None:
    if node.type not in LOWER:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) works on a tensor that the network computes; hwsim knows "
            f"{node.type} only for constants and shapes"
        )
    if not node.inputs:
        raise SpecError(f"node {node.name!r} ({node.type}) needs inputs and outputs")
    try:
        if node.type not in QUANTISED and any(name in at.stored for name in node.inputs):
            lower_passed(at, node, LOWER[node.type])
        else:
            LOWER[node.type](at, node)
    except SpecError as error:
        if str(error).startswith(("layer ", "node ")):
            raise
        raise SpecError(f"node {node.name!r} ({node.type}): {error}") from None
    except (IndexError, ValueError) as error:  # lists of attributes that do not fit together
        raise SpecError(f"node {node.name!r} ({node.type}) is malformed: {error}") from None


def _check_outputs(at: Lowering, graph: Graph) -> None:
    builder = at.builder
    for output in graph.outputs:
        made = builder.tensors.get(output)
        if made is None or output in builder.inputs or made.role in ("weight", "constant"):
            raise SpecError(
                f"output {output!r} is not computed from the inputs: there is nothing to run for it"
            )


# -- which nodes run -------------------------------------------------------------------------------------


def _needed_nodes(graph: Graph) -> list[Node]:
    """The nodes that outputs need, in an order that can run. Raises SpecError for a cycle, a tensor made
    twice, or one that nothing makes."""
    given = {i.name for i in graph.inputs} | set(graph.constants)
    return _sorted_nodes(graph, given)


def _inner_nodes(graph: Graph) -> list[Node]:
    """The same for a graph within another, from which it may read anything."""
    given = {i.name for i in graph.inputs} | set(graph.constants) | graph.reads
    order = _sorted_nodes(graph, given)
    _refuse_unknown(order)
    return order


def _sorted_nodes(graph: Graph, given: set[str]) -> list[Node]:
    maker: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for output in filter(None, node.outputs):
            if output in maker or output in given:
                raise SpecError(f"tensor {output!r} is made twice, the second time by node {node.name!r}")
            maker[output] = index
    needed: set[int] = set()
    waiting = [(output, "the graph's outputs") for output in graph.outputs]
    while waiting:
        name, reader = waiting.pop()
        if name in given or maker.get(name) in needed:
            continue
        if name not in maker:
            raise SpecError(f"{reader} read {name!r}, which no node makes and the file does not hold")
        index = maker[name]
        needed.add(index)
        node = graph.nodes[index]
        waiting += [(i, f"node {node.name!r} ({node.type}) cannot") for i in node.reads]
    kept = {_key(graph, index): graph.nodes[index] for index in sorted(needed)}
    order = topological_order(
        {
            key: [_key(graph, maker[name]) for name in node.reads if name in maker]
            for key, node in kept.items()
        },
        "node",
    )  # fmt: skip
    return [kept[key] for key in order]


def _key(graph: Graph, index: int) -> str:
    """What a message calls a node: its name is not always unique, its first output is."""
    node = graph.nodes[index]
    return next((output for output in node.outputs if output), node.name)


def _refuse_unknown(nodes: Sequence[Node]) -> None:
    """Refuse all operator types that are not known, in one message."""
    unknown = [n for n in nodes if not (n.type in LOWER or n.type in FOLDS or n.type in (*CONTROL, "Shape"))]
    if not unknown:
        return
    counts = Counter(node.type for node in unknown)
    first = {node.type: node.name for node in reversed(unknown)}
    told = ", ".join(
        f"{kind} ({counted(count, 'node')}, first {first[kind]!r}{_because(kind)})"
        for kind, count in counts.items()
    )
    raise UnsupportedError(
        f"hwsim does not know {counted(len(counts), 'operator type')} of this graph: {told}. Export the "
        "network without them (a simplifier may fold them away, a head can run elsewhere), or add them to "
        "LOWER in hwsim/workload/frontends/onnx_table.py"
    )


def _because(kind: str) -> str:
    return f": {REFUSED[kind]}" if kind in REFUSED else ""
