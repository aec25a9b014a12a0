"""The door to numba: where nothing can be written, and how often a kernel is compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
import pytest

from hwsim.errors import DeadlockError
from hwsim.kernels import compile as door
from hwsim.kernels import stalls, tile_pipeline, tile_sweep
from hwsim.kernels.compile import compiled, compiled_in_place
from hwsim.plan import Cause
from hwsim.sim import NEVER_PS, attribute_stalls, simulate
from tests.programs import random_programs

ROOT = Path(__file__).resolve().parents[3]


def double(values: Any) -> Any:
    return values * 2


def add_one(values: Any) -> int:
    for index in range(values.size):
        values[index] += 1
    return int(values.size)


def test_compiled_functions_make_and_fill_arrays() -> None:
    values = np.arange(3)
    assert compiled(double)(values).tolist() == [0, 2, 4]
    assert compiled_in_place(add_one)(values) == 3
    assert values.tolist() == [1, 2, 3]


def test_without_a_place_for_the_cache_the_code_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asked = numba.njit, []

    def njit(**options: Any) -> Any:
        asked.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'double': no locator available for file 'x.py'")
        return real(**options)

    monkeypatch.setattr(door.numba, "njit", njit)
    assert compiled(double)(np.arange(2)).tolist() == [0, 2]
    assert asked == [True, False]


def test_other_faults_of_decoration_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(**_: Any) -> Any:
        raise RuntimeError("something else")

    monkeypatch.setattr(door.numba, "njit", njit)
    with pytest.raises(RuntimeError, match="something else"):
        compiled(double)


SCRIPT = """
import numba.core.caching as caching

def refuse(self):
    raise OSError("read-only file system")

for locator in vars(caching).values():
    if isinstance(locator, type) and hasattr(locator, "ensure_cache_path"):
        locator.ensure_cache_path = refuse

from hwsim.kernels.tile_pipeline import schedule
from hwsim.sim import simulate
from tests.programs import random_programs
assert type(schedule._cache).__name__ == "NullCache", schedule._cache
print(simulate(random_programs(1, 1)[0], "fast").path)
"""


def test_a_read_only_install_with_an_unwritable_home_runs() -> None:
    """No folder can be written, as numba sees it: tests may run as a user whom permissions do not stop."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", SCRIPT],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fast\n"


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_kernels_are_compiled_once_whatever_the_flags_of_the_columns() -> None:
    for number, program in enumerate(random_programs(seed=5, count=60)):
        columns = (program.kind_of_tile, program.durations_ps, program.takes, program.frees)
        for column in (*columns, program.first_tile, *program.wait_tiles, *program.wait_upon):
            column.setflags(write=bool(number % 2))
        try:
            trace = simulate(program, "fast")
        except DeadlockError:  # compiled for all the same
            continue
        for stage in program.pipeline.stages:
            causes = [Cause(pool.name, "pool", pool.name) for pool in program.pipeline.pools]
            if stage.in_order:
                attribute_stalls(program, trace, stage.name, causes)
    for kernel in (tile_pipeline.schedule, tile_sweep.sweep, stalls.share_out, stalls.freed_times):
        assert len(cast("Any", kernel).signatures) == 1


def test_never_is_one_number() -> None:
    assert tile_pipeline.NEVER == NEVER_PS


def test_simpy_and_numba_load_only_when_first_needed() -> None:
    script = "import sys, hwsim.sim; print({'numba', 'simpy', 'hwsim.sim.events'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "set()\n", done.stderr
