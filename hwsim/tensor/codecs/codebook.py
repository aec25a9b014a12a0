"""Codebook: every element, zeros too, as an index into a table of the tensor's few distinct values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.tensor.codecs.codec import Codec, option
from hwsim.tensor.codecs.streams import Sink, StoredStreams
from hwsim.tensor.codecs.values import read_shared, write_shared
from hwsim.tensor.tensor import Array, Shape


@dataclass(frozen=True, kw_only=True)
class Codebook(Codec):
    """Indices of `codebook_bits` bits into at most 2**codebook_bits entries. A zero is an entry like others;
    a sparse codec with codebook_bits has none for the zeros that it leaves out."""

    name: ClassVar[str] = "codebook"

    codebook_bits: int = option(8, "Bits of an index.", 1, 16)
    entry_bits: int | None = option(None, "Bits of a table entry; without it those of the dtype.", 1, 64)
    huffman: bool = option(False, "Huffman-code the indices.")

    @property
    def stored_name(self) -> str:
        return "codebook+huffman" if self.huffman else "codebook"

    def write(self, sink: Sink, values: Array) -> None:
        write_shared(sink, self.name, values.reshape(-1), self.codebook_bits, self.entry_bits, self.huffman)

    def read(self, stored: StoredStreams, shape: Shape, dtype: np.dtype[Any]) -> Array:
        count = int(np.prod(shape, dtype=np.int64))
        return read_shared(stored, count, dtype, self.codebook_bits, self.entry_bits, self.huffman).reshape(
            shape
        )
