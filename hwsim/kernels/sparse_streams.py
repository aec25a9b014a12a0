"""Sparse storage in machine code: gaps, runs and groups of nonzeros, and the few values that weights share.

Numbers come as bit patterns (unsigned, as wide as the number), so that one loop serves every number format.
A pattern is zero where no bit of `mask` is set: for floats all but the sign, so that -0.0 is zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.arrays import Int32Array, Int64Array, Uint64Array
from hwsim.kernels.compile import compiled_in_place, inlined

Patterns = NDArray[Any]


@inlined
def _pads(local: int, last: int, index_bits: int) -> int:
    """Zeros that are stored on the way from one nonzero of a column in a PE to the next, by local row."""
    return (local - last - 1) >> index_bits


@compiled_in_place
def count_entries(
    patterns: Patterns,
    mask: Any,
    pes: int,
    index_bits: int,
    last: Int64Array,
    counts: Int32Array,
    padding: Int32Array,
) -> None:
    """Add to counts and padding (pes, cols) the entries, and the padding among them, of patterns (rows,
    cols), whose row r is local row r // pes of PE r % pes. `last` (cols,) is scratch."""
    rows, cols = patterns.shape
    for pe in range(pes):
        for col in range(cols):
            last[col] = -1
        for row in range(pe, rows, pes):
            local = row // pes
            for col in range(cols):
                if patterns[row, col] & mask != 0:
                    pads = _pads(local, last[col], index_bits)
                    counts[pe, col] += pads + 1
                    padding[pe, col] += pads
                    last[col] = local


@compiled_in_place
def count_listed(
    rows: Int32Array,
    first: Int64Array,
    index_bits: int,
    word_entries: int,
    last: Int64Array,
    held: Int64Array,
    counts: Int32Array,
    padding: Int64Array,
    words: Int64Array,
) -> None:
    """As `count_entries`, of a matrix whose column c is not zero in rows[first[c]:first[c + 1]], in order.
    Adds to counts (cols, pes), and for all PEs to padding (cols,) and words (cols,), the words of so many
    entries that they read for the column. `last` and `held` (pes,) are scratch."""
    cols, pes = counts.shape
    held[:] = 0
    for col in range(cols):
        last[:] = -1
        for at in range(first[col], first[col + 1]):
            local, pe = rows[at] // pes, rows[at] % pes
            pads = _pads(local, last[pe], index_bits)
            counts[col, pe] += pads + 1
            padding[col] += pads
            last[pe] = local
        for pe in range(pes):
            if counts[col, pe] > 0:
                end = held[pe] + counts[col, pe]
                words[col] += (end - 1) // word_entries - held[pe] // word_entries + 1
                held[pe] = end


@compiled_in_place
def fill_entries(
    patterns: Patterns,
    mask: Any,
    pes: int,
    index_bits: int,
    last: Int64Array,
    places: Int64Array,
    values: Patterns,
    gaps: Patterns,
) -> None:
    """Write the entries that `count_entries` counts. places (pes, cols): where each column of each PE begins;
    the walk moves it on."""
    rows, cols = patterns.shape
    longest = (1 << index_bits) - 1
    for pe in range(pes):
        for col in range(cols):
            last[col] = -1
        for row in range(pe, rows, pes):
            local = row // pes
            for col in range(cols):
                if patterns[row, col] & mask != 0:
                    gap = local - last[col] - 1
                    place = places[pe, col]
                    while gap > longest:
                        values[place] = 0
                        gaps[place] = longest
                        gap -= longest + 1
                        place += 1
                    values[place] = patterns[row, col]
                    gaps[place] = gap
                    places[pe, col] = place + 1
                    last[col] = local


@compiled_in_place
def scatter_entries(
    values: Patterns, gaps: Patterns, starts: Int64Array, pointers: Int64Array, patterns: Patterns
) -> int:
    """Put the entries of every PE and column into patterns (rows, cols), zero before. starts (pes,), pointers
    (pes, cols + 1), checked by the caller. Returns the first entry that lies outside, or -1."""
    rows, cols = patterns.shape
    pes = pointers.shape[0]
    for pe in range(pes):
        for col in range(cols):
            row = np.int64(pe - pes)
            for entry in range(starts[pe] + pointers[pe, col], starts[pe] + pointers[pe, col + 1]):
                row += (np.int64(gaps[entry]) + 1) * pes
                if row >= rows:
                    return entry
                patterns[row, col] = values[entry]
    return -1


@compiled_in_place
def count_runs(patterns: Patterns, mask: Any, longest: int) -> tuple[int, int]:
    """Tokens of a run-length stream, and how many of them stand for zeros (at most `longest` each)."""
    tokens = 0
    zeros = 0
    run = 0
    for i in range(patterns.size):
        if patterns[i] & mask != 0:
            tokens += 1
            run = 0
        else:
            if run == 0:
                tokens += 1
                zeros += 1
            run += 1
            if run == longest:
                run = 0
    return tokens, zeros


@compiled_in_place
def fill_runs(patterns: Patterns, mask: Any, longest: int, tokens: Patterns, runs: Patterns) -> None:
    """Write the tokens that `count_runs` counts, and of each zero token how many further zeros follow."""
    token = 0
    zero = 0
    run = 0
    for i in range(patterns.size):
        if patterns[i] & mask != 0:
            tokens[token] = patterns[i]
            token += 1
            run = 0
            continue
        if run == 0:
            tokens[token] = 0
            token += 1
            zero += 1
        runs[zero - 1] = run
        run += 1
        if run == longest:
            run = 0


@compiled_in_place
def spread_runs(tokens: Patterns, mask: Any, runs: Patterns, patterns: Patterns) -> int:
    """Undo `fill_runs` into `patterns`, zero before. Returns how many elements the tokens stand for, or -1
    for more than there are. `runs` has one number for each zero token, checked by the caller."""
    place = 0
    zero = 0
    for token in range(tokens.size):
        if place >= patterns.size:
            return -1
        if tokens[token] & mask != 0:
            patterns[place] = tokens[token]
            place += 1
        else:
            place += np.int64(runs[zero]) + 1  # type: ignore[assignment]
            zero += 1
    return place if place <= patterns.size else -1


@compiled_in_place
def fill_groups(patterns: Patterns, mask: Any, n: int, m: int, values: Patterns, index: Patterns) -> int:
    """Keep n of each m neighbours in the rows of patterns (rows, length): all nonzeros, then the first zeros,
    in their order. Returns the first group with more nonzeros than n, counted row by row, or -1."""
    rows, length = patterns.shape
    place = 0
    group = 0
    for row in range(rows):
        for first in range(0, length, m):
            end = min(first + m, length)
            spare = min(n, end - first)
            for i in range(first, end):
                if patterns[row, i] & mask != 0:
                    spare -= 1
            if spare < 0:
                return group
            for i in range(first, end):
                if patterns[row, i] & mask != 0:
                    values[place] = patterns[row, i]
                elif spare > 0:
                    values[place] = 0
                    spare -= 1
                else:
                    continue
                index[place] = i - first
                place += 1
            group += 1
    return -1


@compiled_in_place
def scatter_groups(values: Patterns, index: Patterns, n: int, m: int, patterns: Patterns) -> int:
    """Undo `fill_groups` into patterns (rows, length), zero before. Returns the first slot that lies outside
    its group or does not rise within it, or -1."""
    rows, length = patterns.shape
    place = 0
    for row in range(rows):
        for first in range(0, length, m):
            last = np.int64(-1)
            for _ in range(min(n, length - first)):
                offset = np.int64(index[place])
                if offset <= last or first + offset >= length:
                    return place
                patterns[row, first + offset] = values[place]
                last = offset
                place += 1
    return -1


@compiled_in_place
def index_values(
    patterns: Patterns,
    mask: Any,
    slots: Int32Array,
    keys: Uint64Array,
    table: Uint64Array,
    index: NDArray[np.uint16],
) -> int:
    """Write which entry of `table` each pattern is, filling the table in order of first occurrence. Returns
    its entries, or -1 when there are more than it holds. slots (-1 before) and keys are a hash table, a power
    of two of at most 2**32 and at least twice the table's."""
    bits = 0
    while (1 << bits) < slots.size:
        bits += 1
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32 - bits)
    entries = 0
    for i in range(patterns.size):
        key = np.uint64(patterns[i])
        if patterns[i] & mask == 0:
            key = np.uint64(0)
        # Fibonacci hashing of 32 bits (Knuth, volume 3, section 6.4); the product stays below 2**64.
        folded = (key ^ (key >> np.uint64(32))) & low
        slot = np.int64(((folded * np.uint64(0x9E3779B1)) & low) >> shift)
        while slots[slot] >= 0 and keys[slot] != key:
            slot = (slot + 1) & (slots.size - 1)
        if slots[slot] < 0:
            if entries == table.size:
                return -1
            slots[slot] = entries
            keys[slot] = key
            table[entries] = key
            entries += 1
        index[i] = slots[slot]
    return entries
