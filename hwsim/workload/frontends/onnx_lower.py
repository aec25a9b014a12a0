"""From a plain ONNX graph to a Workload: which nodes run, in which order, and with which sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Shape
from hwsim.workload.builder import GraphBuilder
from hwsim.workload.frontends.onnx_constants import FOLDS, fold, shape_of
from hwsim.workload.frontends.onnx_context import Lowering
from hwsim.workload.frontends.onnx_graph import Graph, GraphInput, Node, listed, plural
from hwsim.workload.frontends.onnx_layers import LOWER
from hwsim.workload.graph import Source, Workload
from hwsim.workload.order import topological_order
from hwsim.workload.sizes import unknown_parameter


def lower_graph(
    graph: Graph, name: str, source: Source, parameters: Mapping[str, int], seed: int
) -> Workload:
    """The workload of a graph. Raises UnsupportedError listing every operator type that is not known."""
    order, skipped = _needed_nodes(graph)
    _refuse_unknown(order)
    known = _parameters(graph.inputs, parameters)
    formats = sorted({given.dtype for given in graph.inputs})
    if len(formats) != 1:
        raise UnsupportedError(f"its inputs have different number formats ({', '.join(formats)}): export one")
    builder = GraphBuilder(name, dtype=formats[0], seed=seed)
    old_batch = _written_batch(graph.inputs)
    at = Lowering(builder, graph.opset, dict(graph.constants), old_batch, known["batch"])
    for given in graph.inputs:
        builder.input(given.name, _input_shape(given, known, old_batch))
    for node in order:
        _run(at, node)
    for output in graph.outputs:
        made = builder.tensors.get(output)
        if made is None or output in builder.inputs or made.role in ("weight", "constant"):
            raise SpecError(
                f"output {output!r} is not computed from the inputs: there is nothing to run for it"
            )
    notes = [f"{plural(skipped, 'node')} that no output needs are left out"] if skipped else []
    if old_batch > 1:
        notes.append(f"the first dimension of its inputs, {old_batch} in the file, is taken as the batch")
    return builder.build(graph.outputs, source, parameters=known, notes=notes)


def _run(at: Lowering, node: Node) -> None:
    """Turn one node into a constant or an operator."""
    read = [name for name in node.inputs if name]
    if node.type == "Shape":
        at.constants[node.outputs[0]] = shape_of(node, at.shape(read[0]))
    elif node.type in FOLDS and all(name in at.constants for name in read):
        at.constants[node.outputs[0]] = fold(node, [at.constants[name] for name in read])
    elif node.type not in LOWER:
        raise UnsupportedError(
            f"node {node.name!r} ({node.type}) works on a tensor that the network computes; hwsim knows "
            f"{node.type} only for constants and shapes"
        )
    else:
        if not node.inputs or not node.outputs:
            raise SpecError(f"node {node.name!r} ({node.type}) needs inputs and outputs")
        try:
            LOWER[node.type](at, node)
        except SpecError as error:
            if str(error).startswith(("layer ", "node ")):
                raise
            raise SpecError(f"node {node.name!r} ({node.type}): {error}") from None
        except (IndexError, ValueError) as error:  # lists of attributes that do not fit together
            raise SpecError(f"node {node.name!r} ({node.type}) is malformed: {error}") from None


# -- inputs ----------------------------------------------------------------------------------------------


def _written_batch(inputs: tuple[GraphInput, ...]) -> int:
    """The leading size of the first input; 1 where it is symbolic."""
    sizes = inputs[0].sizes if inputs else None
    return sizes[0] if sizes and isinstance(sizes[0], int) else 1


def _parameters(inputs: tuple[GraphInput, ...], given: Mapping[str, int]) -> dict[str, int]:
    """batch, and every symbolic size by its name. Those without a default must be given."""
    if not inputs:
        raise SpecError("the graph has no inputs, so there is nothing to run")
    symbols = [size for i in inputs for size in (i.sizes or ())[1:] if isinstance(size, str)]
    known = ["batch", *dict.fromkeys(symbols)]
    for name in given:
        if name not in known:
            raise SpecError(unknown_parameter(name, dict.fromkeys(known, 1)))
    if missing := [name for name in known[1:] if name not in given]:
        raise SpecError(f"the sizes {listed(missing)} of its inputs are left open: give each as a parameter, "
                        f"such as {missing[0]}=224")  # fmt: skip
    return {"batch": _written_batch(inputs), **given}


def _input_shape(given: GraphInput, known: Mapping[str, int], old_batch: int) -> Shape:
    if given.sizes is None:
        raise SpecError(f"input {given.name!r} has no shape: export the network with one")
    sizes = []
    for axis, size in enumerate(given.sizes):
        if size is None and axis > 0:
            raise SpecError(
                f"input {given.name!r} leaves dimension {axis} open without a name: export it with a size"
            )
        if axis == 0 and (not isinstance(size, int) or size == old_batch):
            size = known["batch"]
        sizes.append(known[size] if isinstance(size, str) else size)
    return tuple(size for size in sizes if size is not None)


# -- which nodes run -------------------------------------------------------------------------------------


def _needed_nodes(graph: Graph) -> tuple[list[Node], int]:
    """The nodes that outputs need, in an order that can run, and how many others there are.
    Raises SpecError for a cycle, a tensor made twice, or one that nothing makes."""
    maker: dict[str, int] = {}
    given = {i.name for i in graph.inputs} | set(graph.constants)
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
        waiting += [(i, f"node {node.name!r} ({node.type}) cannot") for i in node.inputs if i]
    kept = {_key(graph, index): graph.nodes[index] for index in sorted(needed)}
    order = topological_order(
        {
            key: [_key(graph, maker[name]) for name in node.inputs if name in maker]
            for key, node in kept.items()
        },
        "node",
    )  # fmt: skip
    return [kept[key] for key in order], len(graph.nodes) - len(kept)


def _key(graph: Graph, index: int) -> str:
    """What a message calls a node: its name is not always unique, its first output is."""
    node = graph.nodes[index]
    return next((output for output in node.outputs if output), node.name)


def _refuse_unknown(nodes: list[Node]) -> None:
    unknown = [n for n in nodes if n.type not in LOWER and n.type not in FOLDS and n.type != "Shape"]
    if not unknown:
        return
    counts = Counter(node.type for node in unknown)
    first = {node.type: node.name for node in reversed(unknown)}
    told = ", ".join(
        f"{kind} ({plural(count, 'node')}, first {first[kind]!r})" for kind, count in counts.items()
    )
    raise UnsupportedError(
        f"hwsim does not know {plural(len(counts), 'operator type')} of this graph: {told}. Export the "
        "network without them (a simplifier may fold them away, a head can run elsewhere), or add them to "
        "LOWER in hwsim/workload/frontends/onnx_layers.py"
    )
