"""Run-length: the flattened tensor as tokens. A nonzero is a token alone; a token of value 0 is followed by a
run: how many further zeros it stands for, in `index_bits` bits, so at most 2**index_bits in all.

Without zeros this adds nothing but the header, which counts the tokens; the relative index adds a gap to
every value instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.tensor.codecs.codec import option, patterns_of
from hwsim.tensor.codecs.csc import MOST_INDEX_BITS
from hwsim.tensor.codecs.streams import Sink, StoredStreams, unsigned
from hwsim.tensor.codecs.values import ValuedCodec
from hwsim.tensor.tensor import Array, Shape


@dataclass(frozen=True, kw_only=True)
class RunLength(ValuedCodec):
    """Tokens in one stream, the runs of the zeros among them in another."""

    name: ClassVar[str] = "run-length"

    index_bits: int = option(4, "Bits of a run.", 1, MOST_INDEX_BITS)

    def write(self, sink: Sink, values: Array) -> None:
        from hwsim.kernels import sparse_streams

        patterns, mask = patterns_of(values.reshape(-1))
        longest = 2**self.index_bits
        count, zeros = sparse_streams.count_runs(patterns, mask, longest)
        tokens = np.empty(count, dtype=patterns.dtype)
        runs = np.empty(zeros, dtype=unsigned(self.index_bits))
        sparse_streams.fill_runs(patterns, mask, longest, tokens, runs)
        sink.count("tokens", count)
        self.write_values(sink, tokens.view(values.dtype))
        sink.symbols("index", "index", runs, self.index_bits)

    def read(self, stored: StoredStreams, shape: Shape, dtype: np.dtype[Any]) -> Array:
        size = int(np.prod(shape, dtype=np.int64))
        tokens = self.read_values(stored, stored.count("tokens", size), dtype)
        runs = stored.symbols("index", self.index_bits, int(np.count_nonzero(tokens == 0)))
        flat = np.zeros(size, dtype=dtype)
        patterns, mask = patterns_of(tokens)
        from hwsim.kernels import sparse_streams

        if sparse_streams.spread_runs(patterns, mask, runs, flat.view(patterns.dtype)) != size:
            raise stored.fault(f"its tokens do not stand for {size:,} elements")
        return flat.reshape(shape)
