"""`make kills`: sweeps killed at random moments, at length; python -m tests.kills [KILLS] [SEED]."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import time
from pathlib import Path

from tests.kills.killing import kill_and_go_on
from tests.sweeps import write_space


def main(kills: int = 20, seed: int = 0) -> None:
    """Kill that often with processes of this machine, and a quarter as often with dask."""
    ways: list[tuple[str, int, tuple[str, ...]]] = [("local processes", kills, ())]
    if importlib.util.find_spec("distributed"):
        ways.append(("dask", max(1, kills // 4), ("local",)))
    for name, count, scheduler in ways:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tally = kill_and_go_on(write_space(Path(folder)), Path(folder), count, seed, scheduler)
        for line in tally.lines:
            sys.stdout.write(f"  killed in {line}\n")
        sys.stdout.write(
            f"{name}: {tally.runners} runners and {tally.workers} workers killed, {tally.ends} sweeps ended "
            f"with what an undisturbed one finds, {time.monotonic() - begun:.0f} s\n"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
