"""ONNX files: from bytes to a plain graph. With `onnx_tensors` the only place that imports onnx.

Nothing of a file is run, and no native checker sees it: protobuf parses the bytes, and every size is checked
before anything of that size is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from hwsim.errors import CapacityError, SpecError, UnsupportedError
from hwsim.files import read_file, refusal
from hwsim.units import counted
from hwsim.workload.frontends.apart import workload_name
from hwsim.workload.frontends.onnx_graph import Graph, GraphInput, Node, listed
from hwsim.workload.frontends.onnx_lower import lower_graph
from hwsim.workload.frontends.onnx_tensors import Beside, read_constant, read_text, type_name
from hwsim.workload.graph import Source, Workload

MAX_FILE_BYTES = 2 * 2**30  # protobuf's own limit; larger networks keep their weights beside the file
MAX_NODES = 200_000
MAX_DEPTH = 8  # of graphs inside one another

# What the network may receive. Indices, masks and stored integers have no format of their own: what reads
# them decides what they are.
_FORMATS = {"FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16", "INT16": "int16"}
_WHOLE = ("INT64", "INT32", "BOOL", "INT8", "UINT8")


def read_content(path: Path) -> bytes:
    """The bytes of a file of bounded size. Raises SpecError with the reason when there is nothing to read."""
    return read_file(path, MAX_FILE_BYTES)


def read_onnx(path: Path, content: bytes, parameters: Mapping[str, int], seed: int) -> Workload:
    """The workload of an ONNX file. `parameters` are batch and the file's symbolic sizes.

    Raises SpecError for what is not a sound ONNX file or does not fit together, UnsupportedError naming
    every operator type that hwsim does not know.
    """
    try:
        beside = Beside(path.parent)
        graph = _read_file(content, beside)
        weights = str(next(iter(beside.sizes))) if beside.sizes else ""
        source = Source(str(path), "onnx", beside.hash(content), weights)
        return lower_graph(graph, workload_name(path), source, parameters, seed)
    except SpecError as error:
        if any(problem.file for problem in error.problems):
            raise
        raise refusal(path, str(error)) from None
    except (UnsupportedError, CapacityError) as error:
        raise type(error)(f"{path}: {error}") from None


def _read_file(content: bytes, beside: Beside) -> Graph:
    if not content:
        raise SpecError("not a valid ONNX file: it is empty")
    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise SpecError(
            "not a valid ONNX file: its bytes cannot be parsed; it may be truncated, or of another format"
        ) from None
    if not proto.graph.node or not proto.graph.output:
        raise SpecError("not a valid ONNX file: it holds no graph with nodes and outputs")
    if proto.functions:
        names = [function.name for function in proto.functions]
        raise UnsupportedError(
            f"it defines {counted(len(names), 'function')} of its own ({listed(names)}), which hwsim does "
            "not expand: inline them with onnx.inliner.inline_local_functions and save the file again"
        )
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset < 1:
        raise SpecError("not a valid ONNX file: it does not say which version of the operators it uses")
    return _read_graph(proto.graph, opset, beside, 0)


def _read_graph(graph: Any, opset: int, beside: Beside, depth: int) -> Graph:
    """A graph, or one that an If or a Loop holds."""
    if len(graph.node) > MAX_NODES:
        raise CapacityError(f"{len(graph.node):,} nodes are more than the {MAX_NODES:,} hwsim takes")
    if depth > MAX_DEPTH:
        raise CapacityError(f"graphs lie in one another more than {MAX_DEPTH} deep")
    if graph.sparse_initializer:
        raise UnsupportedError("it stores sparse weights, which hwsim does not read: export them dense")
    named = [(read_text(tensor.name), tensor) for tensor in graph.initializer]
    constants = {name: read_constant(name, tensor, beside) for name, tensor in named}
    given = [value for value in graph.input if value.name not in constants]
    return Graph(
        opset,
        tuple(_node(node, index, opset, beside, depth) for index, node in enumerate(graph.node)),
        constants,
        tuple(_graph_input(value) for value in given)
        if depth == 0
        else tuple(GraphInput(read_text(value.name), None, "") for value in given),
        tuple(read_text(value.name) for value in graph.output),
    )


def _node(proto: Any, index: int, opset: int, beside: Beside, depth: int) -> Node:
    domain = read_text(proto.domain)
    kind = read_text(proto.op_type) if domain in ("", "ai.onnx") else f"{domain}.{read_text(proto.op_type)}"
    inputs, outputs = (tuple(read_text(name) for name in names) for names in (proto.input, proto.output))
    name = read_text(proto.name) or next((output for output in outputs if output), f"node {index}")
    attributes = {
        read_text(attribute.name): _attribute(attribute, opset, beside, depth)
        for attribute in proto.attribute
    }
    return Node(name, kind, inputs, outputs, attributes)


class _Unread:
    """Stands for an attribute of a kind that no known operator has (lists of graphs, say)."""


def _attribute(proto: Any, opset: int, beside: Beside, depth: int) -> Any:
    kinds = onnx.AttributeProto
    if proto.type == kinds.FLOAT:
        return float(proto.f)
    if proto.type == kinds.INT:
        return int(proto.i)
    if proto.type == kinds.STRING:
        return proto.s.decode("utf-8", "replace")
    if proto.type == kinds.TENSOR:
        return read_constant(read_text(proto.t.name or proto.name), proto.t, beside)
    if proto.type == kinds.FLOATS:
        return tuple(float(value) for value in proto.floats)
    if proto.type == kinds.INTS:
        return tuple(int(value) for value in proto.ints)
    if proto.type == kinds.STRINGS:
        return tuple(value.decode("utf-8", "replace") for value in proto.strings)
    if proto.type == kinds.GRAPH:
        return _read_graph(proto.g, opset, beside, depth + 1)
    return _Unread()


def _graph_input(value: Any) -> GraphInput:
    given = read_text(value.name)
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise UnsupportedError(
            f"input {given!r} is a {kind or 'thing without a type'}, and hwsim takes tensors"
        )
    tensor = value.type.tensor_type
    name = type_name(tensor.elem_type)
    if name not in _FORMATS and name not in _WHOLE:
        raise UnsupportedError(
            f"input {given!r} has elements of type {name}; hwsim takes {', '.join((*_FORMATS, *_WHOLE))}: "
            "export the network in one of them"
        )
    sizes = None
    if tensor.HasField("shape"):
        sizes = tuple(
            int(size.dim_value) if size.HasField("dim_value") else (read_text(size.dim_param) or None)
            for size in tensor.shape.dim
        )
    return GraphInput(given, sizes, _FORMATS.get(name, ""), name)
