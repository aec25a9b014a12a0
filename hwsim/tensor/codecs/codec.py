"""What a codec is: options that are checked, exact bits, and the same numbers back. Each codec has a file."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.errors import CapacityError, SpecError
from hwsim.tensor.codecs.streams import Sink, StoredStreams, damaged
from hwsim.tensor.storage import Storage
from hwsim.tensor.tensor import MAX_RANK, Array, Shape, format_shape

# Of one tensor. Counts in a header have 32 bits, and no prefix code of so few symbols is longer than 45 bits.
MAX_ELEMENTS = 2**31 - 1

# Numbers that can be encoded, by numpy's name.
DTYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """An encoded tensor. `arrays` are the streams, bits packed into read-only bytes; `meta` says in plain
    JSON values what they are, and `decode(meta, arrays)` needs nothing else. `storage` gives their exact
    bits, without those that fill the last byte of a stream."""

    meta: dict[str, Any]
    arrays: dict[str, Array]
    storage: Storage


def option(default: Any, sentence: str, low: int | None = None, high: int | None = None) -> Any:
    """An option of a codec: a whole number from `low` to `high` (or None where that is the default), or, with
    no limits, a switch."""
    return dataclasses.field(default=default, metadata={"doc": sentence, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Codec(ABC):
    """A way to store a tensor. Lossless: what is decoded equals what was encoded, in shape, dtype and every
    number; -0.0 may come back as 0."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            fault = _fault(getattr(self, field.name), field)
            if fault:
                raise SpecError(f"codec {self.name}: {field.name} {fault}")
        for message in self.check():
            raise SpecError(f"codec {self.name}: {message}")

    def check(self) -> Iterator[str]:
        """What one option alone cannot know."""
        yield from ()

    @property
    def stored_name(self) -> str:
        """The codec as storage names it: one that machines must know to read the tensor."""
        return self.name

    def encode(self, values: Array) -> Encoded:
        """Store finite numbers of any shape. Raises SpecError for what this codec cannot hold, with the cure,
        and CapacityError for more than 2**31 - 1 elements."""
        numbers = _checked(values, self.name)
        sink = Sink()
        self.write(sink, numbers)
        meta = {
            "codec": self.name,
            "shape": list(numbers.shape),
            "dtype": numbers.dtype.name,
            "options": dataclasses.asdict(self),
            "word": sink.word,
            "counts": dict(sink.counts),
        }
        return Encoded(meta, dict(sink.arrays), Storage(self.stored_name, sink.parts()))

    def decode(self, encoded: Encoded) -> Array:
        """The numbers again. Raises SpecError where another codec, or other options, encoded them."""
        meta = encoded.meta
        if meta.get("codec") != self.name or meta.get("options") != dataclasses.asdict(self):
            raise SpecError(
                f"codec {self.name}: this was encoded by {meta.get('codec')} with {meta.get('options')}"
            )
        return self.restore(meta, encoded.arrays)

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> Array:
        """As `decode`, of the parts that a file keeps. Raises SpecError for any damage."""
        shape, dtype = _shape(meta, self.name), _dtype(meta, self.name)
        stored = StoredStreams(self.name, meta.get("word"), meta.get("counts"), arrays)
        try:
            found = self.read(stored, shape, dtype)
        except MemoryError:
            raise CapacityError(
                f"codec {self.name}: no memory for a {dtype} tensor of shape {format_shape(shape)}"
            ) from None
        stored.check_all_read()
        return found

    @abstractmethod
    def write(self, sink: Sink, values: Array) -> None:
        """Write the streams of contiguous finite `values`."""

    @abstractmethod
    def read(self, stored: StoredStreams, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """The array of `shape` and `dtype` that the streams hold. Raises SpecError for damage."""


def patterns_of(values: Array) -> tuple[Array, Any]:
    """The numbers' bit patterns (unsigned, as wide), and the bits of which one is set in all but zero."""
    width = values.dtype.itemsize
    unsigned = np.dtype(f"u{width}")
    mask = 2 ** (8 * width - (values.dtype.kind == "f")) - 1
    return np.ascontiguousarray(values).view(unsigned).reshape(values.shape), unsigned.type(mask)


def as_matrix(values: Array, out_axis: int, codec: str) -> Array:
    """Values as [outputs, everything else] in their order: a convolution's [K, C, R, S] as [K, C*R*S]. One
    number alone is a matrix of one. Raises SpecError for an axis that is not there."""
    if values.ndim == 0:
        return values.reshape(1, 1)
    turned = np.moveaxis(values, checked_axis(out_axis, values.shape, codec, "out_axis"), 0)
    return np.ascontiguousarray(turned.reshape(matrix_shape(turned.shape)))


def matrix_shape(shape: Shape) -> tuple[int, int]:
    """[first, product of the others]."""
    return shape[0], math.prod(shape[1:])


def checked_axis(axis: int, shape: Shape, codec: str, name: str) -> int:
    """`axis` where the shape has it. Raises SpecError otherwise."""
    if axis >= len(shape):
        raise SpecError(
            f"codec {codec}: {name} is {axis}, and the tensor {format_shape(shape)} has axes 0 to "
            f"{len(shape) - 1}"
        )
    return axis


def _fault(value: Any, field: dataclasses.Field[Any]) -> str:
    low, high = field.metadata["low"], field.metadata["high"]
    if low is None:
        return "" if isinstance(value, bool) else f"must be true or false, not {value!r}"
    if (value is None and field.default is None) or (type(value) is int and low <= value <= high):
        return ""
    return f"must be a whole number from {low:,} to {high:,}, not {value!r}"


def _checked(values: Any, codec: str) -> Array:
    if not isinstance(values, np.ndarray) or values.dtype.name not in DTYPES:
        what = f"an array of {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise SpecError(f"codec {codec}: cannot encode {what}; give an array of {', '.join(DTYPES)}")
    if values.size > MAX_ELEMENTS:
        raise CapacityError(
            f"codec {codec}: the tensor has {values.size:,} elements, and one codec takes at most "
            f"{MAX_ELEMENTS:,}; encode it in pieces"
        )
    native = values.astype(values.dtype.newbyteorder("="), order="C", copy=False)
    if native.dtype.kind == "f" and not np.isfinite(native).all():
        first = int(np.flatnonzero(~np.isfinite(native.reshape(-1)))[0])
        place = [int(i) for i in np.unravel_index(first, native.shape)]
        raise SpecError(
            f"codec {codec}: element {place} is {native.reshape(-1)[first]}; only finite numbers are stored"
        )
    return native


def _shape(meta: Mapping[str, Any], codec: str) -> Shape:
    shape: Any = meta.get("shape")
    if not isinstance(shape, list | tuple) or len(shape) > MAX_RANK:
        raise damaged(codec, "its shape is not a list of sizes")
    if any(type(size) is not int or not 0 <= size <= MAX_ELEMENTS for size in shape):
        raise damaged(codec, f"its shape holds a size that is not a whole number from 0 to {MAX_ELEMENTS:,}")
    # Sizes beside a zero count too, as in numpy, which can address no such array.
    if math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise damaged(
            codec, f"its shape {format_shape(tuple(shape))} has more than {MAX_ELEMENTS:,} elements"
        )
    return tuple(shape)


def _dtype(meta: Mapping[str, Any], codec: str) -> np.dtype[Any]:
    name: Any = meta.get("dtype")
    if not isinstance(name, str) or name not in DTYPES:
        raise damaged(codec, f"its dtype {name!r} is none of {', '.join(DTYPES)}")
    return np.dtype(name)
