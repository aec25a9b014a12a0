"""ONNX files: from bytes to a plain graph. The only place that imports onnx.

Nothing of a file is run, and no native checker sees it: protobuf parses the bytes, and every size is checked
before anything of that size is made.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper

from hwsim.errors import CapacityError, Problem, SpecError, UnsupportedError
from hwsim.files import read_file
from hwsim.tensor.tensor import Array, check_shape
from hwsim.workload.frontends.onnx_graph import Constant, Graph, GraphInput, Node, listed, plural
from hwsim.workload.frontends.onnx_lower import lower_graph
from hwsim.workload.graph import Source, Workload

MAX_FILE_BYTES = 2 * 2**30  # protobuf's own limit; larger networks keep their weights beside the file
MAX_NODES = 200_000

_FORMATS = {
    "FLOAT": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16", "INT32": "int32", "INT16": "int16",
    "INT8": "int8", "UINT8": "uint8",
}  # fmt: skip
# Bytes of an element in `raw_data`, for the types a constant may have.
_RAW_BYTES = {
    "FLOAT": 4, "DOUBLE": 8, "FLOAT16": 2, "BFLOAT16": 2, "INT64": 8, "INT32": 4, "INT16": 2, "INT8": 1,
    "UINT64": 8, "UINT32": 4, "UINT16": 2, "UINT8": 1, "BOOL": 1,
}  # fmt: skip
_TYPED_FIELD = {
    "FLOAT": "float_data", "DOUBLE": "double_data", "INT64": "int64_data", "UINT64": "uint64_data",
    "UINT32": "uint64_data",
}  # fmt: skip
_FLOATING = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")


def read_content(path: Path) -> bytes:
    """The bytes of a file of bounded size. Raises SpecError with the reason when there is nothing to read."""
    return read_file(path, MAX_FILE_BYTES)


def read_onnx(path: Path, content: bytes, parameters: Mapping[str, int], seed: int) -> Workload:
    """The workload of an ONNX file. `parameters` are batch and the file's symbolic sizes.

    Raises SpecError for what is not a sound ONNX file or does not fit together, UnsupportedError naming
    every operator type that hwsim does not know.
    """
    try:
        graph = _read_graph(content)
        source = Source(str(path), "onnx", hashlib.sha256(content).hexdigest())
        return lower_graph(graph, _workload_name(path), source, parameters, seed)
    except SpecError as error:
        if any(problem.file for problem in error.problems):
            raise
        raise _fault(path, str(error)) from None
    except (UnsupportedError, CapacityError) as error:
        raise type(error)(f"{path}: {error}") from None


def _fault(path: Path, message: str) -> SpecError:
    return SpecError(Problem(str(path), 0, 0, "", message))


def _workload_name(path: Path) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in path.stem)
    return kept.lstrip("_.-")[:100] or "workload"


def _read_graph(content: bytes) -> Graph:
    if not content:
        raise SpecError("not a valid ONNX file: it is empty")
    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError:
        raise SpecError(
            "not a valid ONNX file: its bytes cannot be parsed; it may be truncated, or of another format"
        ) from None
    graph = proto.graph
    if not graph.node or not graph.output:
        raise SpecError("not a valid ONNX file: it holds no graph with nodes and outputs")
    if len(graph.node) > MAX_NODES:
        raise CapacityError(f"{len(graph.node):,} nodes are more than the {MAX_NODES:,} hwsim takes")
    if proto.functions:
        names = [function.name for function in proto.functions]
        raise UnsupportedError(
            f"it defines {plural(len(names), 'function')} of its own ({listed(names)}), which hwsim does not "
            "expand: inline them with onnx.inliner.inline_local_functions and save the file again"
        )
    if graph.sparse_initializer:
        raise UnsupportedError("it stores sparse weights, which hwsim does not read: export them dense")
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset < 1:
        raise SpecError("not a valid ONNX file: it does not say which version of the operators it uses")
    constants = {_text(tensor.name): _constant(_text(tensor.name), tensor) for tensor in graph.initializer}
    return Graph(
        opset,
        tuple(_node(node, index) for index, node in enumerate(graph.node)),
        constants,
        tuple(_graph_input(value) for value in graph.input if value.name not in constants),
        tuple(_text(value.name) for value in graph.output),
    )


def _text(value: str | bytes) -> str:
    """protobuf hands over text that is not UTF-8 as bytes."""
    if isinstance(value, bytes):
        raise SpecError("not a valid ONNX file: a name in it is not UTF-8 text; it may be damaged")
    return value


def _node(proto: Any, index: int) -> Node:
    domain = _text(proto.domain)
    kind = _text(proto.op_type) if domain in ("", "ai.onnx") else f"{domain}.{_text(proto.op_type)}"
    inputs, outputs = (tuple(_text(name) for name in names) for names in (proto.input, proto.output))
    name = _text(proto.name) or next((output for output in outputs if output), f"node {index}")
    attributes = {_text(attribute.name): _attribute(attribute) for attribute in proto.attribute}
    return Node(name, kind, inputs, outputs, attributes)


class _Unread:
    """Stands for an attribute of a kind that no known operator has (a subgraph, say)."""


def _attribute(proto: Any) -> Any:
    kinds = onnx.AttributeProto
    if proto.type == kinds.FLOAT:
        return float(proto.f)
    if proto.type == kinds.INT:
        return int(proto.i)
    if proto.type == kinds.STRING:
        return proto.s.decode("utf-8", "replace")
    if proto.type == kinds.TENSOR:
        return _constant(_text(proto.t.name or proto.name), proto.t)
    if proto.type == kinds.FLOATS:
        return tuple(float(value) for value in proto.floats)
    if proto.type == kinds.INTS:
        return tuple(int(value) for value in proto.ints)
    return _Unread()


# -- tensors ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Stored:
    """The values of a tensor of the file, decoded when asked for."""

    proto: Any

    def __call__(self) -> Array:
        found = np.asarray(numpy_helper.to_array(self.proto))
        return found.astype(np.float32) if found.dtype.name == "bfloat16" else found.copy()


def _constant(name: str, proto: Any) -> Constant:
    """A tensor of the file, its sizes checked against the bytes that are there."""
    kind = _type_name(proto.data_type)
    if proto.data_location == onnx.TensorProto.EXTERNAL or proto.external_data:
        raise UnsupportedError(
            f"tensor {name!r} keeps its values in another file, which hwsim does not read: load the file "
            "with onnx.load and save it again with save_as_external_data=False"
        )
    if kind not in _RAW_BYTES:
        raise UnsupportedError(f"tensor {name!r} has elements of type {kind}, which hwsim does not read")
    if proto.HasField("segment"):
        raise UnsupportedError(f"tensor {name!r} is stored in segments, which hwsim does not read")
    shape = tuple(int(size) for size in proto.dims)
    elements = math.prod(shape)
    if 0 not in shape:
        check_shape(shape, f"tensor {name!r}")
    elif elements or any(size < 0 for size in shape):
        raise SpecError(f"tensor {name!r} has shape {list(shape)}: sizes must not be negative")
    if proto.HasField("raw_data"):
        held, unit = len(proto.raw_data), _RAW_BYTES[kind]
        right = held == elements * unit
        said = f"{held:,} bytes"
    else:
        count = len(getattr(proto, _TYPED_FIELD.get(kind, "int32_data")))
        right, said = count == elements, plural(count, "value")
    if not right:
        raise SpecError(
            f"tensor {name!r} of shape {list(shape)} and type {kind} must hold {elements:,} elements and "
            f"holds {said}: the file is damaged"
        )
    return Constant(name, shape, _Stored(proto), kind in _FLOATING)


def _type_name(number: int) -> str:
    try:
        return str(onnx.TensorProto.DataType.Name(number))
    except ValueError:
        return f"number {number}"


def _graph_input(value: Any) -> GraphInput:
    given = _text(value.name)
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise UnsupportedError(
            f"input {given!r} is a {kind or 'thing without a type'}, and hwsim takes tensors"
        )
    tensor = value.type.tensor_type
    name = _type_name(tensor.elem_type)
    if name not in _FORMATS:
        raise UnsupportedError(
            f"input {given!r} has elements of type {name}; hwsim takes {', '.join(_FORMATS)}: export "
            "the network in one of them"
        )
    sizes = None
    if tensor.HasField("shape"):
        sizes = tuple(
            int(size.dim_value) if size.HasField("dim_value") else (_text(size.dim_param) or None)
            for size in tensor.shape.dim
        )
    return GraphInput(given, sizes, _FORMATS[name])
