"""Speed of both timing paths and of stall attribution. `make bench` runs it; the normal test run does not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.plan import Cause, Pipeline, Program, Resource, SlotPool, Stage, Wait
from hwsim.sim import attribute_stalls, simulate

TILES = 400_000  # ResNet-50 on an 8x8 array has 398,944
EVENT_TILES = 20_000


def systolic(tiles: int, shared: bool) -> Program:
    """weights, shift, compute, drain; twelve kinds of tile. `shared`: drain on the weights' port."""
    rng = np.random.default_rng(0)
    names = ("memory", "column", "array", "memory" if shared else "output")
    pipeline = Pipeline(
        (
            Stage("weights", names[0], "bytes"),
            Stage("shift", names[1], "cycles", ("weights",)),
            Stage("compute", names[2], "cycles", ("shift",)),
            Stage("drain", names[3], "bytes", ("compute",)),
        ),
        tuple(Resource(name, Fraction(10**9)) for name in dict.fromkeys(names)),
        (
            SlotPool("fifo", "weights", "shift", 4),
            SlotPool("planes", "shift", "compute", 2),
            SlotPool("banks", "compute", "drain", 2),
        ),
        (Wait("raw", "compute", "drain"),),
    )
    kinds = 12
    durations_ps = rng.integers(1, 2000, (4, kinds))
    durations_ps[0, ::3] = 0  # weights that the array holds already
    durations_ps[3, 1::2] = 0  # all but the last tile of a sum
    takes = np.ones((3, kinds), dtype=np.bool_)
    takes[2, 1::2] = False
    waiting = np.arange(1000, tiles, tiles // 50)
    return Program(
        pipeline,
        (),
        np.array([0, *waiting, tiles], dtype=np.int64),
        rng.integers(0, kinds, tiles).astype(np.int32),
        durations_ps,
        takes,
        takes.copy(),
        (waiting,),
        (waiting - 1,),
    )


@pytest.mark.parametrize("shared", [False, True], ids=["own-ports", "shared-port"])
def test_fast_path(benchmark: BenchmarkFixture, shared: bool) -> None:
    program = systolic(TILES, shared)
    simulate(program, "fast")
    benchmark.extra_info["tiles"] = TILES
    benchmark(simulate, program, "fast")


def test_fast_path_of_a_small_program(benchmark: BenchmarkFixture) -> None:
    """As many tiles as ResNet-50 has on a 256x256 array: what is left is the fixed cost."""
    program = systolic(425 * 4, shared=False)
    benchmark.extra_info["tiles"] = program.tiles
    benchmark(simulate, program, "fast")


@pytest.mark.parametrize("shared", [False, True], ids=["own-ports", "shared-port"])
def test_event_path(benchmark: BenchmarkFixture, shared: bool) -> None:
    program = systolic(EVENT_TILES, shared)
    benchmark.extra_info["tiles"] = EVENT_TILES
    benchmark.pedantic(simulate, (program, "events"), rounds=3)


def test_stalls(benchmark: BenchmarkFixture) -> None:
    program = systolic(TILES, shared=False)
    trace = simulate(program, "fast")
    causes = (
        Cause("raw", "wait", "raw"),
        Cause("banks", "pool", "banks"),
        Cause("weight stall", "stage", "weights"),
        Cause("weight shift", "stage", "shift"),
    )
    attribute_stalls(program, trace, "compute", causes)
    benchmark.extra_info["tiles"] = TILES
    benchmark(attribute_stalls, program, trace, "compute", causes)
