"""Products by a matrix stored without its zeros (CSR), in machine code."""

from __future__ import annotations

from hwsim.arrays import Int64Array, RealArray
from hwsim.kernels.compile import compiled_in_place


@compiled_in_place
def multiply_rows(
    a: RealArray, pointers: Int64Array, places: Int64Array, values: RealArray, out: RealArray
) -> None:
    """out (m, rows) = a (m, depth) times the stored rows: entries pointers[j] to pointers[j + 1] of row j,
    each a value and its place in the depth. One sum after the other, entry by entry."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
            for entry in range(pointers[j], pointers[j + 1]):
                out[i, j] += a[i, places[entry]] * values[entry]
