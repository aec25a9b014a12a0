"""Dense: every element in a word of its own, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.tensor.codecs.codec import Codec, option
from hwsim.tensor.codecs.streams import Sink, StoredStreams
from hwsim.tensor.codecs.words import read_words, write_words
from hwsim.tensor.tensor import Array, Shape


@dataclass(frozen=True, kw_only=True)
class Dense(Codec):
    """All elements in their order, `value_bits` each."""

    name: ClassVar[str] = "dense"

    value_bits: int | None = option(None, "Bits of an element; without it those of its dtype.", 1, 64)

    def write(self, sink: Sink, values: Array) -> None:
        bits = self.value_bits or 8 * values.dtype.itemsize
        write_words(sink, self.name, "values", "values", values.reshape(-1), bits)

    def read(self, stored: StoredStreams, shape: Shape, dtype: np.dtype[Any]) -> Array:
        count = int(np.prod(shape, dtype=np.int64))
        bits = self.value_bits or 8 * dtype.itemsize
        return read_words(stored, "values", count, bits, dtype).reshape(shape)
