"""Relative index over the whole tensor, as Deep Compression stores it (Han et al., "Deep Compression", ICLR
2016, section 2 and figure 2): nonzeros with the gap since the one before, in the order of the flattened
tensor, and padding zeros where a gap is too long for its bits. There are no pointers.

The paper's index is the difference of positions, 1 to 2**k in k bits; the gap is that less 1. Zeros after the
last nonzero are not stored, so the header counts the entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.tensor.codecs.codec import option
from hwsim.tensor.codecs.csc import MOST_INDEX_BITS, interleave, read_entries, write_entries
from hwsim.tensor.codecs.streams import Sink, StoredStreams
from hwsim.tensor.codecs.values import CodedCodec
from hwsim.tensor.tensor import Array, Shape


@dataclass(frozen=True, kw_only=True)
class Relative(CodedCodec):
    """Entries (value, gap) along the flattened tensor: one column, in one PE."""

    name: ClassVar[str] = "relative"

    index_bits: int = option(4, "Bits of a gap.", 1, MOST_INDEX_BITS)

    def write(self, sink: Sink, values: Array) -> None:
        found = interleave(values.reshape(-1, 1), 1, self.index_bits)
        sink.count("entries", found.entries)
        write_entries(self, sink, found)

    def read(self, stored: StoredStreams, shape: Shape, dtype: np.dtype[Any]) -> Array:
        flat = np.zeros((int(np.prod(shape, dtype=np.int64)), 1), dtype=dtype)
        entries = stored.count("entries", flat.size)
        read_entries(self, stored, np.array([[0, entries]], dtype=np.int64), flat, self.index_bits)
        return flat.reshape(shape)
