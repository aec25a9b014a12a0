"""The arithmetic of interleaved PEs: entries of a column decoded and added to the sums of their rows."""

from __future__ import annotations

import numpy as np

from hwsim.arrays import BoolArray, Int32Array, Int64Array
from hwsim.kernels.compile import compiled_in_place


@compiled_in_place
def add_columns(
    vectors: Int32Array,
    begin: int,
    end: int,
    pointers: Int64Array,
    starts: Int64Array,
    values: Int32Array,
    gaps: Int32Array,
    adds: BoolArray,
    sums: Int64Array,
) -> None:
    """Add columns begin to end of a matrix, times the nonzero elements there of each of `vectors`
    [vectors, inputs] that `adds` names, to `sums` [vectors, outputs].

    PE p holds entries from starts[p] on; `pointers` [pes, inputs + 1] delimit columns, counted from there,
    and a gap is the rows of that PE that an entry skips. An entry that decodes to a row beyond the last
    changes nothing.
    """
    pes = pointers.shape[0]
    outputs = sums.shape[1]
    for vector in range(len(adds)):
        if not adds[vector]:
            continue
        for column in range(begin, end):
            factor = np.int64(vectors[vector, column])
            if factor == 0:
                continue
            for p in range(pes):
                row = p - pes
                first = starts[p]
                for entry in range(first + pointers[p, column], first + pointers[p, column + 1]):
                    row += (np.int64(gaps[entry]) + 1) * pes
                    if row < outputs:
                        sums[vector, row] += np.int64(values[entry]) * factor
