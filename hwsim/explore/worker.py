"""What happens in a process that evaluates points: whatever goes wrong there comes back as an outcome."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Protocol

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.design import load_design
from hwsim.errors import HwsimError, SpecError
from hwsim.explore.fork_server import ONE_THREAD
from hwsim.explore.outcome import FAULT, METRICS, Found, Outcomes, outcomes
from hwsim.explore.recipes import recipe_hash
from hwsim.explore.space import Space
from hwsim.explore.tables import technology_hash
from hwsim.explore.totals import figures
from hwsim.version import __version__
from hwsim.workload import load_workload, matmul


class Evaluates(Protocol):
    """What turns points into outcomes: an Evaluator."""

    def evaluate(self, indices: Int64Array) -> Outcomes:
        """What points (n, axes) come to."""


_HASH: Mapping[str, Callable[[str], str]] = {
    "workload": lambda name: load_workload(name).content_hash,
    "design": lambda name: load_design(name).content_hash,
    "recipe": recipe_hash,
    "technology": technology_hash,
}
Factory = Callable[[], Evaluates]  # makes the evaluator where it is used; can be pickled


def begin(kind: Callable[[Space], Evaluates], space: Space, version: str) -> Evaluates:
    """An evaluator of a space, where its files and hwsim are those that the sweep began with: another machine
    may have others, and files may change while a sweep runs. Raises SpecError where they are not."""
    if version != __version__:
        raise SpecError(
            f"hwsim is {__version__} where points are evaluated, and {version} where the sweep runs"
        )
    for key, content_hash in space.hashes.items():
        what, _, name = key.partition(":")
        if _HASH[what](name) != content_hash:
            raise SpecError(
                f"{what} {name} is no longer, or not everywhere, what it was when the sweep began"
            )
    return kind(space)


def evaluated(evaluator: Evaluates, indices: Int64Array) -> Outcomes:
    """What points (n, axes) come to. An error that the evaluator lets out is the outcome of the one point
    that it belongs to."""
    try:
        return evaluator.evaluate(indices)
    except Exception as error:  # noqa: BLE001 - one bad point must not end a sweep of thousands
        if len(indices) > 1:
            return joined([evaluated(evaluator, indices[i : i + 1]) for i in range(len(indices))])
        said = str(error) if isinstance(error, HwsimError) else f"{type(error).__name__}: {error}"
        return outcomes([Found(FAULT, said)] * len(indices))


def joined(parts: Sequence[Outcomes]) -> Outcomes:
    """Outcomes one after the other."""
    return Outcomes(
        {name: np.concatenate([part.metrics[name] for part in parts]) for name in METRICS},
        np.concatenate([part.status for part in parts]),
        tuple(limit for part in parts for limit in part.limits),
        tuple(reason for part in parts for reason in part.reasons),
    )


def rehearse() -> None:
    """Load the compiled kernels that nearly every point needs, by one small run."""
    with suppress(Exception):  # it only saves time: what is wrong is told where it matters
        figures(matmul(1, 1, 1), load_design("tpu_v1"))


def serve(connection: Connection, factory: Factory) -> None:
    """Evaluate what comes until the other end is closed, which it is also when its process dies. The first
    word back is None, or why there is no evaluator."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    os.environ.update(ONE_THREAD)
    try:
        try:
            evaluator = factory()
        except HwsimError as error:
            connection.send(error)
            return
        connection.send(None)
        while True:
            ticket, indices = connection.recv()
            connection.send((ticket, evaluated(evaluator, indices)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
