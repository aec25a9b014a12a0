"""How long a broadcast of columns keeps an array of interleaved processing elements busy."""

from __future__ import annotations

import numpy as np

from hwsim.arrays import Int32Array, Int64Array
from hwsim.kernels.compile import compiled


@compiled
def broadcast_cycles(
    entries: Int32Array,
    active: Int32Array,
    first_active: Int64Array,
    slots: int,
    credit_cycles: int,
    empty_cycles: int,
) -> tuple[Int64Array, Int64Array]:
    """Cycles of each tile, and the cycles in which its PEs are not yet done, summed over the PEs.

    `entries` [columns, pes] counts what each PE stores of each column. Tile t broadcasts the columns
    active[first_active[t]:first_active[t + 1]], at most one a cycle. A PE takes a column out of its queue
    when it is done with the one before, and is busy with it a cycle an entry, or `empty_cycles` where it
    holds none. A broadcast needs a place in the queue of every PE: each holds `slots`, and a place can be
    filled again `credit_cycles` after its column was taken out. So, with b the cycle of a broadcast and s
    that at which PE p takes the column:

        s[p, j] = max(b[j], s[p, j-1] + busy[p, j-1])
        b[j]    = max(b[j-1] + 1, max over p of s[p, j-slots] + credit_cycles)
    """
    tiles = len(first_active) - 1
    pes = entries.shape[1]
    cycles = np.zeros(tiles, dtype=np.int64)
    present = np.zeros(tiles, dtype=np.int64)
    free = np.zeros(pes, dtype=np.int64)
    taken = np.zeros(slots, dtype=np.int64)  # when the last PE took each of the columns in the queues
    for tile in range(tiles):
        free[:] = 0
        broadcast = -1
        place = 0
        begin = first_active[tile]
        for j in range(begin, first_active[tile + 1]):
            broadcast += 1
            if j - begin >= slots:
                broadcast = max(broadcast, taken[place] + credit_cycles)
            column = entries[active[j]]
            last = broadcast
            for p in range(pes):
                start = max(broadcast, free[p])
                last = max(last, start)
                stored = column[p]
                free[p] = start + (stored if stored > 0 else empty_cycles)
            taken[place] = last
            place += 1
            if place == slots:
                place = 0
        longest = np.int64(0)
        total = np.int64(0)
        for p in range(pes):
            longest = max(longest, free[p])
            total += free[p]
        cycles[tile] = longest
        present[tile] = total
    return cycles, present


@compiled
def column_sums(table: Int64Array, active: Int32Array, first_active: Int64Array) -> Int64Array:
    """[rows of `table`, tiles]: what `table` [rows, columns] says of the columns that each tile broadcasts,
    added up."""
    rows, tiles = table.shape[0], len(first_active) - 1
    found = np.zeros((rows, tiles), dtype=np.int64)
    for tile in range(tiles):
        for j in range(first_active[tile], first_active[tile + 1]):
            column = active[j]
            for row in range(rows):
                found[row, tile] += table[row, column]
    return found
