"""Tensors of an ONNX file: sizes checked against the bytes that are there, values read when somebody asks.

A tensor may lie in another file beside the graph's. That file is named relative to the graph's folder, and
may not lie outside it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from hwsim.errors import SpecError, UnsupportedError
from hwsim.tensor.tensor import Array, Shape, check_shape
from hwsim.units import counted
from hwsim.workload.frontends.onnx_graph import Constant

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
_HASHED = 2**22  # bytes at a time


@dataclass(slots=True)
class Beside:
    """The files that hold tensors beside a graph's own: where they may lie, and which were named so far, with
    their sizes."""

    folder: Path
    sizes: dict[Path, int] = field(default_factory=dict)

    def find(self, tensor: str, location: str) -> tuple[Path, int]:
        """The file at `location` and its size. Raises SpecError for one outside the folder, or not there."""
        foreign = PureWindowsPath(location)
        if not location or "\0" in location or foreign.is_absolute() or foreign.drive or foreign.root:
            raise SpecError(
                f"tensor {tensor!r} keeps its values in {location!r}: only a path relative to the ONNX file "
                "is taken"
            )
        folder = self.folder.resolve()
        path = (folder / location).resolve()
        if ".." in foreign.parts or not path.is_relative_to(folder):
            raise SpecError(
                f"tensor {tensor!r} keeps its values in {location!r}, outside the folder of the ONNX file: "
                "save the network with its data beside it"
            )
        if path not in self.sizes:
            if not path.is_file():
                raise SpecError(
                    f"tensor {tensor!r} keeps its values in {location!r}, and there is no such file in "
                    f"{str(self.folder)!r}: put the data file that was saved with the network there"
                )
            self.sizes[path] = path.stat().st_size
        return path, self.sizes[path]

    def hash(self, content: bytes) -> str:
        """What a network is known by: its file, and all files that hold its tensors."""
        digest = hashlib.sha256(content)
        if not self.sizes:
            return digest.hexdigest()
        digest = hashlib.sha256(digest.digest())
        for path in sorted(self.sizes):
            digest.update(path.relative_to(self.folder.resolve()).as_posix().encode() + b"\0")
            with path.open("rb") as file:
                while part := file.read(_HASHED):
                    digest.update(part)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False, slots=True)
class _Stored:
    """The values of a tensor of the file, decoded when asked for."""

    proto: Any

    def __call__(self) -> Array:
        found = np.asarray(numpy_helper.to_array(self.proto))
        return found.astype(np.float32) if found.dtype.name == "bfloat16" else found.copy()


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """The values of a tensor in another file, little-endian as ONNX has them."""

    path: Path
    offset: int
    size_bytes: int
    kind: int  # TensorProto.DataType
    shape: Shape

    def __call__(self) -> Array:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size_bytes)
        except OSError as error:
            raise SpecError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        if len(content) != self.size_bytes:
            raise SpecError(f"{self.path}: has become shorter since the network was loaded")
        proto = onnx.TensorProto(data_type=self.kind, dims=self.shape, raw_data=content)
        found = np.asarray(numpy_helper.to_array(proto))
        return found.astype(np.float32) if found.dtype.name == "bfloat16" else found.copy()


def read_text(value: str | bytes) -> str:
    """protobuf hands over text that is not UTF-8 as bytes."""
    if isinstance(value, bytes):
        raise SpecError("not a valid ONNX file: a name in it is not UTF-8 text; it may be damaged")
    return value


def read_constant(name: str, proto: Any, beside: Beside) -> Constant:
    """A tensor of the file. Raises SpecError where its sizes and its bytes do not go together."""
    kind = type_name(proto.data_type)
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
    floating = kind in _FLOATING
    if proto.data_location == onnx.TensorProto.EXTERNAL or proto.external_data:
        return Constant(name, shape, _elsewhere(name, proto, shape, beside), floating, kind=kind)
    if proto.HasField("raw_data"):
        held, unit = len(proto.raw_data), _RAW_BYTES[kind]
        right = held == elements * unit
        said = f"{held:,} bytes"
    else:
        count = len(getattr(proto, _TYPED_FIELD.get(kind, "int32_data")))
        right, said = count == elements, counted(count, "value")
    if not right:
        raise SpecError(
            f"tensor {name!r} of shape {list(shape)} and type {kind} must hold {elements:,} elements and "
            f"holds {said}: the file is damaged"
        )
    return Constant(name, shape, _Stored(proto), floating, kind=kind)


def _elsewhere(name: str, proto: Any, shape: Shape, beside: Beside) -> _Elsewhere:
    given = {read_text(entry.key): read_text(entry.value) for entry in proto.external_data}
    path, there = beside.find(name, given.get("location", ""))
    size = math.prod(shape) * _RAW_BYTES[type_name(proto.data_type)]
    numbers = []
    for key, default in (("offset", 0), ("length", size)):
        text = given.get(key, str(default))
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise SpecError(
                f"tensor {name!r} has the {key} {text!r} in its data file: a whole number is meant"
            )
        numbers.append(int(text))
    offset, length = numbers
    if length != size:
        raise SpecError(
            f"tensor {name!r} of shape {list(shape)} needs {size:,} bytes and its data file is said to hold "
            f"{length:,}: the file is damaged"
        )
    if offset + size > there:
        raise SpecError(
            f"tensor {name!r} lies at bytes {offset:,} to {offset + size:,} of {path.name!r}, which has "
            f"{there:,}: the data file is cut short, or belongs to another network"
        )
    return _Elsewhere(path, offset, size, proto.data_type, shape)


def type_name(number: int) -> str:
    """FLOAT, INT64 and so on, as TensorProto.DataType calls them."""
    try:
        return str(onnx.TensorProto.DataType.Name(number))
    except ValueError:
        return f"number {number}"
