"""What an operator asks of an array of interleaved PEs: its compressed matrix, and what is broadcast to
it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.bounded import Bounded
from hwsim.errors import UnsupportedError
from hwsim.plan.matvec import matrix_rows, value_groups, vectors
from hwsim.plan.residency import Contents
from hwsim.tensor.tensor import read_values
from hwsim.workload.operators import Conv2d, Matmul, Operator

KEPT_BYTES = 64 << 20  # of where matrices are not zero, of all networks
_CHUNK = 2**24  # elements of a matrix looked at together
MOST_GROUPS = 32  # tables of values that one matrix takes, one after the other


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix as the PEs hold it: the sum of groups that need a table of values each. Read-only arrays."""

    outputs: int
    entries: Int32Array  # (groups, columns, pes) stored of each column, padding zeros included
    padding: Int64Array  # (groups, columns) padding zeros in all PEs
    words: Int64Array  # (groups, columns) memory words that hold the column, in all PEs

    @property
    def groups(self) -> int:
        return len(self.entries)

    @property
    def columns(self) -> int:
        return int(self.entries.shape[1])

    @property
    def pes(self) -> int:
        return int(self.entries.shape[2])

    @cached_property
    def fullest(self) -> int:
        """Entries of the PE that holds most."""
        return int(self.entries.sum(axis=(0, 1), dtype=np.int64).max(initial=0))

    @cached_property
    def stored(self) -> Int64Array:
        """(groups, columns) entries of all PEs."""
        found: Int64Array = self.entries.sum(axis=2, dtype=np.int64)
        return found

    @cached_property
    def empty(self) -> Int64Array:
        """(groups, columns) PEs that hold nothing of the column."""
        found: Int64Array = (self.entries == 0).sum(axis=2, dtype=np.int64)
        return found

    @property
    def pointers(self) -> int:
        """Pointers in each PE: to each column, and behind the last of each group."""
        return self.groups * (self.columns + 1)


@lru_cache(maxsize=64)
def read_matrix(
    problem: Conv2d | Matmul,
    transposed: bool,
    weights: Contents,
    pes: int,
    index_bits: int,
    values: int,
    word_entries: int,
) -> Matrix:
    """The matrix of a product whose second operand is `weights`. Kept, since a machine may be asked again
    with another queue. Raises UnsupportedError for weights that are not shared."""
    asked = (problem, transposed, weights, values)
    groups = NONZEROS.once(asked, lambda: _read_nonzeros(*asked))
    parts = [_interleaved(group, pes, index_bits, word_entries) for group in groups]
    entries, padding, words = zip(*parts, strict=True)
    outputs = problem.K if isinstance(problem, Conv2d) else problem.N
    found = Matrix(outputs, np.stack(entries), np.stack(padding), np.stack(words))
    for array in (found.entries, found.padding, found.words):
        array.setflags(write=False)
    return found


@dataclass(frozen=True, eq=False)
class _Nonzeros:
    """Where a matrix is not zero: column c in rows[first[c]:first[c + 1]], in order."""

    rows: Int32Array
    first: Int64Array


NONZEROS = Bounded[tuple[_Nonzeros, ...]](
    KEPT_BYTES, size=lambda groups: sum(group.rows.nbytes + group.first.nbytes for group in groups)
)


def _read_nonzeros(
    problem: Conv2d | Matmul, transposed: bool, weights: Contents, values: int
) -> tuple[_Nonzeros, ...]:
    """Of each group of weights that share a table of `values`. To be kept, since machines with other PEs hold
    the same, and drawing or decoding millions of weights takes longer than all else. Raises UnsupportedError
    for weights that are not shared."""
    reals = read_values(weights.tensor)
    book = weights.tensor.codebook
    shared = 0 < len(book) <= values
    # Counted before groups are made, which takes minutes for millions of different values.
    if not shared and np.count_nonzero(np.unique(reals)) > MOST_GROUPS * values:
        raise UnsupportedError(
            f"its weights have more than {MOST_GROUPS * values:,} different values besides zero, and a table "
            f"tells {values} apart (one more is the zero of the padding): share them first, as in "
            "hwsim compress NETWORK --recipe eie"
        )
    groups, group_of = (1, None) if shared else value_groups(reals, values)
    if groups == 1 or group_of is None:
        return (_nonzeros(matrix_rows(problem, transposed, reals != 0)),)
    return tuple(
        _nonzeros(matrix_rows(problem, transposed, group_of == group + 1)) for group in range(groups)
    )


def _nonzeros(there: BoolArray) -> _Nonzeros:
    outputs, columns = there.shape
    step = max(1, _CHUNK // outputs)
    rows, counts = [], []
    for begin in range(0, columns, step):
        part = there[:, begin : begin + step]
        column, row = np.nonzero(part.T)
        rows.append(row.astype(np.int32))
        counts.append(np.bincount(column, minlength=part.shape[1]))
    return _Nonzeros(np.concatenate(rows), np.concatenate(([0], np.cumsum(np.concatenate(counts)))))


def _interleaved(
    found: _Nonzeros, pes: int, index_bits: int, word_entries: int
) -> tuple[Int32Array, Int64Array, Int64Array]:
    """Of one group the `entries`, `padding` and `words` of Matrix."""
    from hwsim.kernels.sparse_streams import count_listed  # numba

    columns = len(found.first) - 1
    entries = np.zeros((columns, pes), dtype=np.int32)
    padding, words = np.zeros((2, columns), dtype=np.int64)
    last, held = np.empty((2, pes), dtype=np.int64)
    count_listed(
        found.rows, found.first, index_bits, word_entries, last, held, entries, padding, words
    )  # fmt: skip
    return entries, padding, words


@dataclass(frozen=True, eq=False)
class Broadcast:
    """The columns that each vector broadcasts, vector after vector."""

    active: Int32Array
    first_active: Int64Array  # (vectors + 1,)

    def within(self, begin: int, end: int) -> Broadcast:
        """Of some columns alone, counted from the first of them."""
        if begin == 0 and (not len(self.active) or int(self.active.max()) < end):
            return self
        kept = (self.active >= begin) & (self.active < end)
        before = np.concatenate(([0], np.cumsum(kept)))
        return Broadcast(self.active[kept] - np.int32(begin), before[self.first_active])


def read_broadcast(problem: Conv2d | Matmul, nonzero: BoolArray) -> Broadcast:
    """Which columns each vector broadcasts: its elements that are not zero."""
    active: list[Int32Array] = []
    counts: list[Int64Array] = []
    for part in vectors(problem, nonzero):
        active.append((np.flatnonzero(part) % part.shape[1]).astype(np.int32))
        counts.append(part.sum(axis=1, dtype=np.int64))
    return Broadcast(np.concatenate(active), np.concatenate(([0], np.cumsum(np.concatenate(counts)))))


def transposed(operator: Operator) -> bool:
    """Whether the second operand of a matmul lies as [outputs, inputs]."""
    return bool(dict(operator.attributes).get("trans_b", False))
