"""How long the nine layers of the EIE benchmark take to simulate, once their patterns are drawn: `make
bench`. Timings decide no test; the README holds what was measured.

"array" is the compiled recurrence alone, "same machine" a whole run that was planned before, and "another
queue" a run on a machine that no run has seen, as in a sweep over fifo_depth: planned, timed, priced and
checked anew.
"""

from __future__ import annotations

import itertools

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.design import load_design
from hwsim.devices.eie_matrix import read_broadcast, read_matrix
from hwsim.kernels.eie_array import broadcast_cycles
from hwsim.pipeline import run
from hwsim.preparation import read_contents
from hwsim.workload import Workload, load_workload
from hwsim.workload.operators import Matmul

LAYERS = ("alex6", "alex7", "alex8", "vgg6", "vgg7", "vgg8", "nt_we", "nt_wd", "nt_lstm")


@pytest.fixture(scope="module")
def layers() -> list[Workload]:
    """Loaded, drawn, and run once."""
    found = [load_workload(f"eie_{name}") for name in LAYERS]
    for workload in found:
        run(workload, "eie_64pe")
    return found


def test_array(benchmark: BenchmarkFixture, layers: list[Workload]) -> None:
    given = []
    for workload in layers:
        (op,) = workload.operators
        assert isinstance(op.problem, Matmul)
        contents = read_contents(workload.astype("int16"))
        matrix = read_matrix(op.problem, True, contents[op.inputs[1]], 64, 4, 15, 8)
        nonzero = contents[op.inputs[0]].nonzero
        assert nonzero is not None
        columns = read_broadcast(op.problem, nonzero)
        given.append((matrix.entries[0], columns.active, columns.first_active, 7, 2, 1))

    def go() -> None:
        for arguments in given:
            broadcast_cycles(*arguments)

    benchmark.extra_info["columns"] = sum(len(active) for _, active, *_ in given)
    benchmark(go)


def test_same_machine(benchmark: BenchmarkFixture, layers: list[Workload]) -> None:
    design = load_design("eie_64pe")
    benchmark(lambda: [run(workload, design) for workload in layers])


def test_another_queue(benchmark: BenchmarkFixture, layers: list[Workload]) -> None:
    depths = itertools.count(9)
    benchmark.pedantic(
        lambda design: [run(workload, design) for workload in layers],
        setup=lambda: ((load_design("eie_64pe", (f"fifo_depth={next(depths)}",)),), {}),
        rounds=20,
        warmup_rounds=2,
    )
