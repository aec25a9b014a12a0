"""The tiles of a product on an eie machine: how long the array works on each, and what moves for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hwsim.arrays import BoolArray, Int64Array
from hwsim.design.kinds.eie import EieSpec
from hwsim.devices.eie_matrix import Broadcast, Matrix
from hwsim.devices.eie_pipeline import ACTIVATION_BITS
from hwsim.plan.mapping import StreamMapping
from hwsim.plan.residency import Residency


@dataclass(frozen=True, eq=False)
class ArrayWork:
    """(tiles,) each. `present` is cycles in which PEs are not yet done, over all PEs, `stored` entries that
    they work on, with `padding` among them, `empty` cycles for columns they hold nothing of, `words` memory
    words that are read, `broadcasts` columns."""

    cycles: Int64Array
    present: Int64Array
    stored: Int64Array
    padding: Int64Array
    empty: Int64Array
    words: Int64Array
    broadcasts: Int64Array


def array_work(spec: EieSpec, matrix: Matrix, mapping: StreamMapping, broadcast: Broadcast) -> ArrayWork:
    """What the array does for each tile; queues are empty when one begins."""
    from hwsim.kernels.eie_array import broadcast_cycles, column_sums  # numba

    found = np.zeros((7, len(mapping.parts), mapping.vectors), dtype=np.int64)
    ranges: dict[tuple[int, int], Broadcast] = {}
    for index, part in enumerate(mapping.parts):
        within = ranges.get((part.begin, part.end))
        if within is None:
            within = ranges[part.begin, part.end] = broadcast.within(part.begin, part.end)
        columns = slice(part.begin, part.end)
        entries = matrix.entries[part.group, columns]
        cycles, present = broadcast_cycles(
            entries,
            within.active,
            within.first_active,
            spec.slots,
            spec.credit_cycles,
            spec.empty_column_cycles,
        )
        table = np.stack(
            [
                matrix.stored[part.group, columns],
                matrix.padding[part.group, columns],
                matrix.empty[part.group, columns] * spec.empty_column_cycles,
                matrix.words[part.group, columns],
            ]
        )
        sums = column_sums(table, within.active, within.first_active)
        found[:, index] = (cycles, present, *sums, np.diff(within.first_active))
    vectors, parts = mapping.order()
    return ArrayWork(*(table[parts, vectors] for table in found))


@dataclass(frozen=True, eq=False)
class TileMoves:
    """Demands on ports, and the room that tiles take and give back; (tiles,) each."""

    demands: Mapping[str, Int64Array]
    takes: Mapping[str, BoolArray]
    frees: Mapping[str, BoolArray]


def tile_moves(spec: EieSpec, matrix: Matrix, mapping: StreamMapping, residency: Residency) -> TileMoves:
    """What comes in and goes out for each tile."""
    b, out = residency.operands[1], residency.output
    vectors, parts = mapping.order()
    first, last = mapping.runs()
    opens = np.array([part.opens_pass for part in mapping.parts])
    final = parts == len(mapping.parts) - 1
    zero = np.zeros(mapping.tiles, dtype=np.int64)
    takes, frees = {"results": first}, {"results": last}
    weights, loads, stores = zero.copy(), zero.copy(), zero.copy()
    if b.place != "chip":
        comes, goes = _matrix_stays(mapping, opens, vectors, parts)
        weights += np.where(comes, np.array([part.pass_bytes for part in mapping.parts])[parts], 0)
        takes["matrix"], frees["matrix"] = comes, goes
    weights += _table_bytes(spec, matrix, mapping, parts)
    weights[0] += sum(o.size_bytes for o in residency.operands[2:] if o.place != "chip")
    loads += np.where(first, mapping.vector_bytes, 0)
    if mapping.by_pass:
        sums = mapping.outputs * spec.accumulator_bits // 8
        loads += np.where(first & (parts > 0), sums, 0)
        stores += np.where(last & ~final, sums, 0)
    if out.place == "memory":
        stores += np.where(last & final, -(-out.size_bytes // mapping.vectors), 0)
    if loads.any():
        takes["stream"], frees["stream"] = first, last
    demands = {"weights": weights, "load": loads, "store": stores}
    registers = spec.pes * spec.activations.registers
    several = mapping.vectors > 1 or mapping.by_pass
    outputs = np.full(mapping.tiles, mapping.outputs)
    if mapping.inputs > registers or several:
        widths = np.array([part.end - part.begin for part in mapping.parts])[parts]
        demands["fetch"] = _port_cycles(spec, widths, ACTIVATION_BITS)
        if mapping.by_pass:  # sums that waited outside go back to their registers
            again = _port_cycles(spec, outputs, spec.accumulator_bits)
            demands["fetch"] += np.where(first & (parts > 0), again, 0)
        every = np.ones(mapping.tiles, dtype=np.bool_)
        takes["sources"], frees["sources"] = every, every
    else:
        demands["fetch"] = zero
    demands["drain"] = zero
    if mapping.outputs > registers or several:
        leaving = np.where(final, *(_port_cycles(spec, outputs, bits) for bits in
                                    (ACTIVATION_BITS, spec.accumulator_bits)))  # fmt: skip
        demands["drain"] = np.where(last, leaving, 0)
    return TileMoves(demands, takes, frees)


def _matrix_stays(
    mapping: StreamMapping, opens: BoolArray, vectors: Int64Array, parts: Int64Array
) -> tuple[BoolArray, BoolArray]:
    """The tiles before which a pass of the matrix comes in, and those behind which it is given up."""
    comes = opens[parts]
    if mapping.by_pass or opens.sum() == 1:  # once for all vectors
        comes = comes & (vectors == 0)
    return comes, np.append(comes[1:], True)


def _table_bytes(spec: EieSpec, matrix: Matrix, mapping: StreamMapping, parts: Int64Array) -> Int64Array:
    """(tiles,) bytes of the table of values that comes in where another group begins; one alone is there."""
    if matrix.groups == 1:
        return np.zeros(mapping.tiles, dtype=np.int64)
    groups = np.array([part.group for part in mapping.parts])[parts]
    return np.where(np.diff(groups, prepend=-1) != 0, 2**spec.weight_bits * ACTIVATION_BITS // 8, 0)


def _port_cycles(spec: EieSpec, numbers: Int64Array, bits: int) -> Int64Array:
    """Cycles in which each PE moves its share of so many numbers between registers and memory."""
    return -(-(-(-numbers // spec.pes) * bits) // spec.activations.sram_width_bits)
