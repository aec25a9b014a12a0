"""Runs of an engine on compressed matrices, worked out on paper: every figure here was found from the
machine's description, not by running it.

The machine is the shipped eie_64pe with two PEs, 1 GHz (1 ns a cycle), queues of three places (two usable)
and nothing fitted. Rows go to the PEs in turn: PE 0 holds rows 0, 2 ..., PE 1 rows 1, 3 ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.workload import Workload
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.graph import Source

SMALL = (
    "clock=1 GHz", "pes=2", "fifo_depth=3", "calibration.sram_energy=1", "calibration.sram_area=1",
    "calibration.clock_energy_pj=0",
)  # fmt: skip
Rows = Sequence[Sequence[float]]


def product(matrix: Rows, pattern: Sequence[float], vectors: int = 1) -> Workload:
    """`matrix` [outputs, inputs] times so many vectors that are zero where `pattern` is. A vector comes out
    of a product of one number with the pattern, named "first"; the product in question is named "second"."""
    weights, given = np.array(matrix, dtype=np.float32), np.array([pattern], dtype=np.float32)
    builder = GraphBuilder("small", dtype="int16")
    x = builder.input("x", (vectors, 1))
    hidden = builder.matmul(Label("first", "h"), x, builder.weight("p", given.shape, values=lambda: given))
    w = builder.weight("w", weights.shape, values=lambda: weights)
    out = builder.matmul(Label("second", "y"), hidden, w, transpose_b=True)
    return builder.build([out], Source("builtin", "constructor", ""))


def dense_vectors(matrix: Rows, vectors: int) -> Workload:
    """`matrix` times so many vectors without a zero; its product is named "second" too, and stands alone."""
    weights = np.array(matrix, dtype=np.float32)
    builder = GraphBuilder("small", dtype="int16")
    x = builder.input("x", (vectors, weights.shape[1]))
    w = builder.weight("w", weights.shape, values=lambda: weights)
    out = builder.matmul(Label("second", "y"), x, w, transpose_b=True)
    return builder.build([out], Source("builtin", "constructor", ""))


@dataclass(frozen=True)
class EieCase:
    """A run, and all that paper says of its product: cycles of stages that are busy, what the PEs' cycles go
    to, and counts, those not zero. `makespan_ps` is of the run."""

    name: str
    workload: Workload
    busy: Mapping[str, int]
    split: Mapping[str, int]
    overrides: tuple[str, ...] = ()
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    makespan_ps: int | None = None


# PE 0: column 0 holds 1 and 4, column 2 holds 2. PE 1: column 2 holds 3 and 5.
MATRIX = [[1, 0, 2], [0, 0, 3], [4, 0, 0], [0, 0, 5]]
# PE 0 holds 5 and 1 in two columns, PE 1 holds 1 and 5.
TURNS = [[1, 1], [1, 1], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [0, 1]]

CASES = (
    # Columns 0 and 2 are broadcast, at 0 and 1. PE 0 works 2 cycles and 1; PE 1 looks one up in vain, then
    # works 2.
    EieCase(
        "two broadcasts",
        product(MATRIX, [1, 0, 1]),
        {"compute": 3},
        {"multiply": 5, "empty_column": 1},
        counts={
            ("act_queue", "write"): 2 * 2 * 4,  # two broadcasts into two queues, a number and its column
            ("act_queue", "read"): 2 * 2 * 4,
            ("pointer_sram", "read"): 2 * 2 * 2 * 2,  # begin and end of two columns in two PEs, 2 bytes each
            ("matrix_sram", "read"): 3 * 8,  # a word of 8 bytes for each column that a PE holds something of
            ("codebook", "read"): 5 * 2,
            ("arithmetic", "mac_int16"): 5,
            ("activation_registers", "read"): 5 * 4 + 2 * 2,  # sums, and the two activations
            ("activation_registers", "write"): 5 * 4,
        },
    ),
    # One PE, 40 rows, entries in rows 0 and 34: 33 zeros between them, two padding zeros of 15 + 1 each. Four
    # entries lie in one word.
    EieCase(
        "a long gap",
        product([[1.0] if row in (0, 34) else [0.0] for row in range(40)], [1]),
        {"compute": 4},
        {"multiply": 2, "padding": 2},
        ("pes=1",),
        {
            ("act_queue", "write"): 4,
            ("act_queue", "read"): 4,
            ("pointer_sram", "read"): 4,
            ("matrix_sram", "read"): 8,
            ("codebook", "read"): 8,
            ("arithmetic", "mac_int16"): 4,
            ("activation_registers", "read"): 4 * 4 + 2,
            ("activation_registers", "write"): 4 * 4,
        },
    ),
    # Nine entries of 6 + 4 bits, six in a word: a column of five in the first word, then four in two words.
    EieCase(
        "entries of ten bits",
        product([[1, 1]] * 4 + [[1, 0]], [1, 1]),
        {"compute": 9},
        {"multiply": 9},
        ("pes=1", "weight_bits=6"),
        {
            ("act_queue", "write"): 8,
            ("act_queue", "read"): 8,
            ("pointer_sram", "read"): 8,
            ("matrix_sram", "read"): 3 * 8,
            ("codebook", "read"): 18,
            ("arithmetic", "mac_int16"): 9,
            ("activation_registers", "read"): 9 * 4 + 4,
            ("activation_registers", "write"): 9 * 4,
        },
    ),
    # One place: the second broadcast comes 4 cycles after the first was taken. PE 0 takes it at 5 and is done
    # at 6, PE 1 waits from 1 to 4 and is done at 9.
    EieCase(
        "a queue of one",
        product(TURNS, [1, 1]),
        {"compute": 9},
        {"multiply": 12, "starved": 3, "finished_early": 3},
        ("usable_slots=1", "credit_cycles=4"),
    ),
    # The same with a place more: both broadcasts come at once, and both PEs work 6 cycles.
    EieCase("a queue of two", product(TURNS, [1, 1]), {"compute": 6}, {"multiply": 12}, ("credit_cycles=4",)),
    # Looking up in vain takes 3 cycles: PE 1 begins with column 2 at 3 and is done at 5.
    EieCase(
        "empty columns of three cycles",
        product(MATRIX, [1, 0, 1]),
        {"compute": 5},
        {"multiply": 5, "empty_column": 3, "finished_early": 2},
        ("empty_column_cycles=3",),
    ),
    # Three columns and two registers for sources: columns 0 and 1, then 2. Four sums and two registers: sums
    # lie in the memory. Tile 0: PE 0 2 cycles, PE 1 one in vain. Tile 1: PE 0 one, PE 1 2. A port of 8 bytes
    # in each PE takes a cycle for a PE's share of 2, of 1 and then of 4 numbers of 2 bytes.
    EieCase(
        "hardly any registers",
        product(MATRIX, [1, 0, 1]),
        {"fetch": 2, "compute": 4, "drain": 1},
        {"multiply": 5, "empty_column": 1, "finished_early": 2},
        ("activations.registers=1",),
        {
            ("act_queue", "write"): 16,
            ("act_queue", "read"): 16,
            ("pointer_sram", "read"): 16,
            ("matrix_sram", "read"): 24,
            ("codebook", "read"): 10,
            ("arithmetic", "mac_int16"): 5,
            ("activation_registers", "read"): 2 * 2,
            ("activation_sram", "read"): 2 * 2 * 8 + 5 * 4,
            ("activation_sram", "write"): 2 * 8 + 5 * 4,
        },
    ),
    # Two bits tell three values apart: 1, 2, 3, then 4 and 5. A table is 2 bytes for each of four values.
    # First PE 0 works a cycle on each column and PE 1 looks one up, then works one; then PE 0 works one on
    # column 0 and looks column 2 up, PE 1 the other way round. Two tiles, two broadcasts each.
    EieCase(
        "two tables of values",
        product(MATRIX, [1, 0, 1]),
        {"weights": 2 * 8, "compute": 2 + 2},
        {"multiply": 5, "empty_column": 1 + 2},
        ("weight_bits=2", "index_bits=6", "io.bandwidth=1 GB/s"),
        {
            ("act_queue", "write"): 32,
            ("act_queue", "read"): 32,
            ("pointer_sram", "read"): 32,
            ("matrix_sram", "read"): 5 * 8,
            ("matrix_sram", "write"): 16,
            ("outside", "read"): 16,
            ("codebook", "read"): 10,
            ("arithmetic", "mac_int16"): 5,
            ("activation_registers", "read"): 5 * 4 + 4 * 2,
            ("activation_registers", "write"): 5 * 4,
        },
    ),
    # Eight outputs of one input, four in each PE, and three vectors. A port of 2 bytes takes a cycle to fetch
    # and 4 to empty the registers of results. Fetch 0-1, compute 1-5. Fetches come before drains: fetch 5-6,
    # drain 6-10, and only then are there registers for the next sums: compute 10-14. Fetch 14-15, drain
    # 15-19, compute 19-23, drain 23-27.
    EieCase(
        "three vectors",
        dense_vectors([[1]] * 8, 3),
        {"fetch": 3, "compute": 12, "drain": 12},
        {"multiply": 24},
        ("activations.sram_width_bits=16",),
        {
            ("act_queue", "write"): 3 * 2 * 4,
            ("act_queue", "read"): 3 * 2 * 4,
            ("pointer_sram", "read"): 3 * 2 * 2 * 2,
            ("matrix_sram", "read"): 3 * 2 * 8,
            ("codebook", "read"): 24 * 2,
            ("arithmetic", "mac_int16"): 24,
            ("activation_registers", "read"): 24 * 4 + 3 * 2,
            ("activation_registers", "write"): 24 * 4,
            ("activation_sram", "read"): 3 * 2 * 2,
            ("activation_sram", "write"): 12 * 2 * 2,
        },
        makespan_ps=27_000,
    ),
    # Two pointers of 4 bytes in each PE: a column at a time comes in, an entry of a byte and 2 x 2 pointers,
    # 17 bytes or ns. Four vectors: bringing the matrix in for each would move three times 26 bytes more, and
    # sums 2 x 16 bytes; so all vectors go through the first column, their sums wait outside, and then through
    # the second. A fetch takes a cycle, and one more for a sum that comes back; so do a broadcast and a
    # drain.
    #
    # Weights 0-17. Vector 0: fetch 17-18, compute 18-19. Fetches come before drains: fetch 1 19-20, drain 0
    # 20-21; compute 1 21-22, as the registers of sums are free at 21. Fetch 2 22-23, drain 1 23-24, compute 2
    # 24-25, fetch 3 25-26, drain 2 26-27, compute 3 27-28, drain 3 28-29. Stores of 4 ns at 21, 25 and 29. At
    # 29 the first column is given up. The second asks for the port before store 3, which asks at 29 too:
    # 33-50, store 3 50-54. Sums come back 54-58 and 58-62. Fetch 0 58-60, compute 60-61, drain 61-62. There
    # is room for the third vector's at 61: 62-66. Fetch 1 62-64, compute 64-65, drain 65-66. The fourth's:
    # 66-70. Fetch 2 66-68, compute 68-69, drain 69-70. Fetch 3 70-72, compute 72-73, drain 73-74.
    EieCase(
        "sums that wait outside",
        dense_vectors([[1, 1]], 4),
        {"weights": 34, "load": 16, "fetch": 4 + 8, "compute": 8, "drain": 8, "store": 16},
        {"multiply": 8, "empty_column": 8},
        ("pointer_sram.size=8 B", "pointer_sram.pointer_bits=32", "io.bandwidth=1 GB/s"),
        {
            ("act_queue", "write"): 8 * 2 * 4,
            ("act_queue", "read"): 8 * 2 * 4,
            ("pointer_sram", "read"): 8 * 2 * 2 * 4,
            ("matrix_sram", "read"): 8 * 8,
            ("matrix_sram", "write"): 34,
            ("codebook", "read"): 8 * 2,
            ("arithmetic", "mac_int16"): 8,
            ("outside", "read"): 34 + 16,
            ("outside", "write"): 16,
            ("activation_registers", "read"): 8 * 4 + 8 * 2,
            ("activation_registers", "write"): 8 * 4,
            ("activation_sram", "read"): 12 * 16 + 16,
            ("activation_sram", "write"): 8 * 16 + 16,
        },
        makespan_ps=74_000,
    ),
)


def run_case(case: EieCase, timing: str = "auto") -> Result:
    return run(case.workload, "eie_64pe", overrides=(*SMALL, *case.overrides), timing=timing)


def busy(found: Result) -> dict[str, float]:
    """Cycles of 1 ns of the stages that are busy with the product."""
    ps = found.timing.busy_ps[found.timing.names.index("second")].tolist()
    return {stage: amount / 1000 for stage, amount in zip(found.timing.stages, ps, strict=True) if amount}


def split(found: Result) -> dict[str, int]:
    """What the PEs' cycles go to, of the product."""
    cycles = found.timing.part_cycles[found.timing.names.index("second")].tolist()
    return {part: count for part, count in zip(found.timing.parts, cycles, strict=True) if count}


def counts(found: Result) -> dict[tuple[str, str], int]:
    """What is charged for the product."""
    charged = found.usage.counts[found.timing.names.index("second")].tolist()
    return {key: count for key, count in zip(found.usage.keys, charged, strict=True) if count}
