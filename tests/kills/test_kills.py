"""The short form of `make kills`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kills.killing import kill_and_go_on
from tests.sweeps import write_space


def test_what_was_acknowledged_outlives_sigkill(tmp_path: Path) -> None:
    """A worker, the runner, a worker again."""
    tally = kill_and_go_on(write_space(tmp_path), tmp_path, 3, seed=0)
    assert (tally.runners, tally.workers) == (1, 2), tally


def test_dask_workers_that_are_killed_are_replaced(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed: `make cluster` installs it")
    tally = kill_and_go_on(write_space(tmp_path), tmp_path, 1, seed=1, scheduler=("local",), only="worker")
    assert tally.workers == 1, tally
