"""Bitmask: one bit for each element, set where it is not zero, and the nonzeros in their order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.tensor.codecs.streams import Sink, StoredStreams
from hwsim.tensor.codecs.values import ValuedCodec
from hwsim.tensor.tensor import Array, Shape


@dataclass(frozen=True, kw_only=True)
class Bitmask(ValuedCodec):
    """A mask of the flattened tensor, and its nonzeros."""

    name: ClassVar[str] = "bitmask"

    def write(self, sink: Sink, values: Array) -> None:
        flat = values.reshape(-1)
        chosen = flat != 0
        self.write_values(sink, flat[chosen])
        sink.mask("index", "index", chosen)

    def read(self, stored: StoredStreams, shape: Shape, dtype: np.dtype[Any]) -> Array:
        chosen = stored.mask("index", int(np.prod(shape, dtype=np.int64)))
        nonzeros = self.read_values(stored, int(np.count_nonzero(chosen)), dtype)
        flat = np.zeros(chosen.size, dtype=dtype)
        flat[chosen] = nonzeros
        return flat.reshape(shape)
