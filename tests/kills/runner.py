"""A sweep to be killed, in a process of its own: python -m tests.kills.runner SPACE STORE WORKERS [ADDRESS].

After each batch it prints how many points are stored, as was acknowledged to it, and who evaluates them.
"""

from __future__ import annotations

import json
import os
import sys

from hwsim.explore import sweep as sweep_module
from hwsim.explore.crew import Crew, Processes
from hwsim.explore.sweep import Standing
from hwsim.explore.worker import Factory
from tests.sweeps import Slow

_make_crew = sweep_module.make_crew
_crews: list[Crew] = []


def made(factory: Factory, workers: int | None, scheduler: str | None) -> Crew:
    """The crew as the sweep makes it, remembered."""
    _crews.append(_make_crew(factory, workers, scheduler))
    return _crews[-1]


def workers() -> list[int]:
    """Process ids of those who evaluate."""
    (crew,) = _crews
    if isinstance(crew, Processes):
        return crew.pids
    return [worker["pid"] for worker in crew.client.run(_pid, on_error="ignore").values()]


def _pid() -> dict[str, int]:
    return {"pid": os.getpid()}


def say(standing: Standing) -> None:
    """One line; a dask worker that dies meanwhile is left out of it."""
    sys.stdout.write(
        json.dumps({"done": standing.done, "new": standing.evaluated, "workers": workers()}) + "\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    sweep_module.Evaluator = Slow  # type: ignore[misc, assignment]
    sweep_module.make_crew = made
    space, store, count, *scheduler = sys.argv[1:]
    sweep_module.sweep(
        space,
        store=store,
        workers=int(count),
        scheduler=scheduler[0] if scheduler else None,
        check=0,
        watch=say,
    )
