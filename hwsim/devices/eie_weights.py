"""Which weights stay in the PEs of an eie machine, how many bytes they are there, and the passes that those
need which do not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np

from hwsim.design.kinds.eie import EieSpec
from hwsim.devices.eie_matrix import Matrix
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.plan.mapping import ColumnPart
from hwsim.plan.residency import Contents, WeightStorage
from hwsim.tensor.formats import format_bits
from hwsim.units import format_bytes
from hwsim.workload.graph import Workload
from hwsim.workload.operators import Conv2d, Matmul, Operator


def _bytes(matrix: Matrix, group: int, begin: int, end: int, entry_bits: int, pointer_bits: int) -> int:
    """Bytes of some columns in all PEs: entries, and the pointers to where each column begins and ends."""
    entries = int(matrix.stored[group, begin:end].sum())
    return -(-(entries * entry_bits + matrix.pes * (end - begin + 1) * pointer_bits) // 8)


def stored_bytes(spec: EieSpec, matrix: Matrix) -> int:
    """Bytes of the whole matrix."""
    bits = spec.entry_bits, spec.pointer_sram.pointer_bits
    return sum(_bytes(matrix, group, 0, matrix.columns, *bits) for group in range(matrix.groups))


def store_weights(
    spec: EieSpec,
    workload: Workload,
    contents: Mapping[str, Contents],
    read: Callable[[Operator, Contents], Matrix],
) -> WeightStorage:
    """Sizes of all matrices, and those that stay: the largest first, as long as the rest can still come in
    one after the other where there is room left. Constants stay beside the matrix of their operator, in the
    activation memory, unless all together would take more than half of it. Raises UnsupportedError for a
    product that is none of a matrix with vectors, CapacityError where sums have no room."""
    sizes: dict[str, int] = {}
    needs: dict[str, tuple[int, int]] = {}  # entries of the fullest PE, pointers
    users: dict[str, list[str]] = {"": []}
    tables: list[str] = []
    for op in workload.operators:
        if not isinstance(op.problem, Conv2d | Matmul):
            users[""] += [n for n in op.inputs if workload.tensors[n].role in ("weight", "constant")]
            continue
        name = op.inputs[1]
        users.setdefault(name, []).extend(step.tensor for step in op.epilogue if step.tensor)
        if reason := _unfit(op, workload, contents):
            raise UnsupportedError(f"operator {op.name} {reason}")
        if name in needs:
            continue
        matrix = read(op, contents[name])
        sizes[name] = stored_bytes(spec, matrix)
        needs[name] = matrix.fullest, matrix.pointers
        if matrix.groups > 1:
            tables.append(f"{name} ({matrix.groups})")
    kept = _choose(needs, spec.matrix_entries, spec.pointers)
    beside = {tensor for name, tensors in users.items() if name in kept or not name for tensor in tensors}
    taken = sum(workload.tensors[tensor].size_bytes for tensor in beside)
    if 2 * taken > spec.pes * spec.activations.sram_bytes:
        beside, taken = set(), 0
    taken += max((_sums_bytes(spec, op) for op in workload.operators), default=0)
    return WeightStorage(sizes, frozenset(kept | beside), taken, tuple(_notes(spec, needs, kept, tables)))


def _unfit(op: Operator, workload: Workload, contents: Mapping[str, Contents]) -> str:
    """Why a product is none of a compressed matrix with vectors, or an empty string."""
    first, second = op.inputs[:2]
    if contents[second].nonzero is not None or workload.tensors[second].role == "cache":
        return (
            "multiplies two tensors that the network computes, and the matrix must be compressed beforehand"
        )
    if contents[first].nonzero is None:
        return "has no activations: both of its operands are weights"
    for name in (first, second):
        grid = workload.tensors[name].quantisation
        if grid is not None and any(grid.zero_points):
            return (
                f"reads {name} on a grid with a zero point, and the PEs skip what is stored as 0: quantise "
                "symmetrically"
            )
    return ""


def _sums_bytes(spec: EieSpec, op: Operator) -> int:
    """Bytes of the activation memory that sums take which have no place in the registers, beyond those that
    their results take there later. Raises CapacityError where the memory is smaller."""
    if not isinstance(op.problem, Conv2d | Matmul):
        return 0
    outputs = op.problem.K if isinstance(op.problem, Conv2d) else op.problem.N
    behind = max(0, -(-outputs // spec.pes) - spec.activations.registers) * spec.pes
    needed = max(0, behind * spec.accumulator_bits // 8 - outputs * format_bits(spec.dtype) // 8)
    room = spec.pes * spec.activations.sram_bytes
    if behind * spec.accumulator_bits // 8 > room:
        raise CapacityError(
            f"operator {op.name} has {outputs:,} sums of {spec.accumulator_bits} bits, and the registers and "
            f"{format_bytes(room)} of activations.sram hold "
            f"{spec.pes * spec.activations.registers + room * 8 // spec.accumulator_bits:,}: use more pes "
            "or a larger activations.sram"
        )
    return needed


def _notes(
    spec: EieSpec, needs: Mapping[str, tuple[int, int]], kept: set[str], tables: list[str]
) -> list[str]:
    found = []
    if tables:
        found.append(
            f"weights with more than {spec.table_values} values beside zero run once for each table of "
            f"values: {', '.join(tables)}; sharing fewer values (recipe eie) saves that"
        )
    if away := [name for name in needs if name not in kept]:
        listed = ", ".join(f"{name} ({needs[name][0]:,} and {needs[name][1]:,})" for name in away)
        found.append(
            f"a PE holds {spec.matrix_entries:,} entries and {spec.pointers:,} pointers, so these matrices "
            f"(entries of the fullest PE, and pointers) come in through io: {listed}"
        )
    return found


def _choose(needs: Mapping[str, tuple[int, int]], entries: int, pointers: int) -> set[str]:
    """The matrices that stay."""
    order = sorted(needs, key=lambda name: (-needs[name][0], name))
    kept: set[str] = set()
    used = (0, 0)
    for name in order:
        more = (used[0] + needs[name][0], used[1] + needs[name][1])
        others = [needs[other] for other in order if other not in kept and other != name]
        # What comes and goes needs room for the largest of it, or a pass of that.
        room = (
            min(max((o[0] for o in others), default=0), entries),
            min(max((o[1] for o in others), default=0), pointers),
        )
        if more[0] + room[0] <= entries and more[1] + room[1] <= pointers:
            kept.add(name)
            used = more
    return kept


@lru_cache(maxsize=64)
def column_parts(
    matrix: Matrix, registers: int, entry_bits: int, pointer_bits: int, room: tuple[int, int] | None
) -> tuple[ColumnPart, ...]:
    """How the columns are cut: passes of as many as the PEs have `room` for (entries and pointers in each;
    None for a matrix that stays), and in each pass as many as all source `registers` hold. A matrix that
    comes in has all the room it can use, since what stays was chosen to leave it. Kept, since a machine may
    be asked again with another queue. Raises CapacityError for a column that no PE can hold."""
    if room is None:
        runs = [[(group, 0, matrix.columns) for group in range(matrix.groups)]]
    else:
        runs = _passes(matrix, *room)
    found: list[ColumnPart] = []
    for run in runs:
        size = 0
        if room is not None:
            size = sum(_bytes(matrix, *columns, entry_bits, pointer_bits) for columns in run)
        cuts = [
            (group, cut, min(cut + registers, end))
            for group, begin, end in run
            for cut in range(begin, end, registers)
        ]
        found += [ColumnPart(*cut, i == 0, size if i == 0 else 0) for i, cut in enumerate(cuts)]
    return tuple(found)


def _passes(matrix: Matrix, most_entries: int, most_pointers: int) -> list[list[tuple[int, int, int]]]:
    """(group, begin, end) of the columns of each pass: as many as have room, group after group. A group
    begins in a pass of its own unless all of it has room in the last, so that no more pieces than must need
    pointers."""
    found: list[list[tuple[int, int, int]]] = [[]]
    free = np.full(matrix.pes, most_entries, dtype=np.int64)
    pointers = most_pointers
    for group, entries in enumerate(matrix.entries):
        filled = np.zeros((matrix.columns + 1, matrix.pes), dtype=np.int64)
        np.cumsum(entries, axis=0, out=filled[1:])
        begin = 0
        while begin < matrix.columns:
            over = (filled[begin + 1 :] - filled[begin] > free).any(axis=1)
            fits = min(int(np.argmax(over)) if over.any() else len(over), pointers - 1)
            whole = fits == matrix.columns - begin
            if fits >= 1 and (begin or whole or not found[-1]):
                found[-1].append((group, begin, begin + fits))
                free -= filled[begin + fits] - filled[begin]
                pointers -= fits + 1
                begin += fits
            elif found[-1]:
                found.append([])
                free[:], pointers = most_entries, most_pointers
            else:
                raise CapacityError(
                    f"has a column of {int(entries[begin].max()):,} entries in one PE, and its matrix_sram "
                    f"holds {most_entries:,}: use a larger matrix_sram or more pes"
                )
    return found
