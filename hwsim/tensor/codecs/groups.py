"""n:m: at most n nonzeros in each group of m neighbours, as sparse tensor cores take them in 2:4 (Mishra et
al., "Accelerating Sparse Deep Neural Networks", 2021, section 3). Each group keeps n slots, a value and its
place in the group in ceil(log2(m)) bits; where it has fewer nonzeros, its first zeros fill them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hwsim.errors import SpecError
from hwsim.tensor.codecs.codec import checked_axis, option, patterns_of
from hwsim.tensor.codecs.streams import Sink, StoredStreams, unsigned
from hwsim.tensor.codecs.values import ValuedCodec
from hwsim.tensor.tensor import Array, Shape, format_shape


@dataclass(frozen=True, kw_only=True)
class Groups(ValuedCodec):
    """Groups of m along one axis, each row of it from its start. A last group that is shorter than n keeps
    all that it has."""

    name: ClassVar[str] = "n:m"

    n: int = option(2, "Most nonzeros of a group, and its slots.", 1, 256)
    m: int = option(4, "Elements of a group.", 2, 256)
    axis: int | None = option(
        None, "The axis that groups lie along, the inputs; without it 1, or 0 of a vector.", 0, 15
    )

    def check(self) -> Iterator[str]:
        yield from super().check()
        if self.n > self.m:
            yield f"n is {self.n}, and a group of m {self.m} cannot hold so many: give an n up to m"

    @property
    def offset_bits(self) -> int:
        """ceil(log2(m))."""
        return (self.m - 1).bit_length()

    def write(self, sink: Sink, values: Array) -> None:
        rows, axis = self._rows(values.shape)
        matrix = np.ascontiguousarray(np.moveaxis(values.reshape(values.shape or (1,)), axis, -1)).reshape(
            rows
        )
        patterns, mask = patterns_of(matrix)
        kept = np.zeros(self._slots(rows), dtype=patterns.dtype)
        offsets = np.zeros(kept.size, dtype=unsigned(self.offset_bits))
        from hwsim.kernels import sparse_streams

        crowded = sparse_streams.fill_groups(patterns, mask, self.n, self.m, kept, offsets)
        if crowded >= 0:
            raise self._crowded(matrix, values.shape or (1,), axis, crowded)
        self.write_values(sink, kept.view(values.dtype))
        sink.symbols("index", "index", offsets, self.offset_bits)

    def read(self, stored: StoredStreams, shape: Shape, dtype: np.dtype[Any]) -> Array:
        rows, axis = self._rows(shape)
        slots = self._slots(rows)
        kept = self.read_values(stored, slots, dtype)
        offsets = stored.symbols("index", self.offset_bits, slots)
        matrix = np.zeros(rows, dtype=dtype)
        patterns, _ = patterns_of(kept)
        from hwsim.kernels import sparse_streams

        target = matrix.view(patterns.dtype)
        wrong = sparse_streams.scatter_groups(patterns, offsets, self.n, self.m, target)
        if wrong >= 0:
            raise stored.fault(f"slot {wrong:,} does not lie behind the one before, within its group")
        whole = shape or (1,)
        turned = matrix.reshape(*whole[:axis], *whole[axis + 1 :], whole[axis])
        return np.ascontiguousarray(np.moveaxis(turned, -1, axis)).reshape(shape)

    def _rows(self, shape: Shape) -> tuple[tuple[int, int], int]:
        """(rows, their length) once the axis is the last one, and the axis."""
        whole = shape or (1,)
        wanted = min(1, len(whole) - 1) if self.axis is None else self.axis
        axis = checked_axis(wanted, whole, self.name, "axis")
        others = int(np.prod(whole[:axis] + whole[axis + 1 :], dtype=np.int64))
        return (others, whole[axis]), axis

    def _slots(self, rows: tuple[int, int]) -> int:
        groups, rest = divmod(rows[1], self.m)
        return rows[0] * (groups * self.n + min(rest, self.n))

    def _crowded(self, matrix: Array, shape: Shape, axis: int, group: int) -> SpecError:
        row, place = divmod(group, -(-matrix.shape[1] // self.m))
        first = place * self.m
        nonzeros = int(np.count_nonzero(matrix[row, first : first + self.m]))
        others = [str(int(i)) for i in np.unravel_index(row, shape[:axis] + shape[axis + 1 :])]
        end = min(first + self.m, matrix.shape[1])
        where = ", ".join([*others[:axis], f"{first}:{end}", *others[axis:]])
        return SpecError(
            f"codec n:m: the tensor {format_shape(shape)} is not {self.n}:{self.m} along axis {axis}: its "
            f"group [{where}] holds {nonzeros} nonzeros. Prune it to {self.n}:{self.m} along this axis first"
        )
