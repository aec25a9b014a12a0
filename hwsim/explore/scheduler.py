"""A crew of dask workers, on this machine or on many. dask itself tries a batch again whose worker died."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from hwsim.arrays import Int64Array
from hwsim.errors import HwsimError, SpecError
from hwsim.explore.crew import Report
from hwsim.explore.fork_server import ONE_THREAD
from hwsim.explore.outcome import Outcomes
from hwsim.explore.worker import Evaluates, Factory, evaluated

LOCAL = "local"
_CONNECT_S = 10.0
_LOOK_S = 5.0  # between looks at whether the scheduler is still there


class DaskCrew:
    """Workers of a dask scheduler: of one that is started here with `size` processes (address "local"), or
    all that the one at an address has at the time."""

    retries = True

    def __init__(self, factory: Factory, address: str, size: int) -> None:
        """Raises SpecError without dask, for an address that is none, and where nobody answers or works."""
        try:
            import distributed
        except ImportError:
            raise SpecError("a scheduler needs dask: pip install 'hwsim[dask]'") from None
        if address != LOCAL and not urlsplit(address).hostname:
            raise SpecError(f"scheduler {address!r}: write {LOCAL}, or an address as tcp://host:8786")
        self._dask = distributed
        self._address = address
        self._factory = factory
        self._name = secrets.token_hex(8)
        self._out: dict[Any, int] = {}
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._cluster: Any = None
        if address == LOCAL:
            self._cluster = distributed.LocalCluster(
                n_workers=size, threads_per_worker=1, processes=True, dashboard_address=None,
                env=dict(ONE_THREAD), silence_logs="CRITICAL",
            )  # fmt: skip
        try:
            self.client = distributed.Client(
                self._cluster or address, timeout=_CONNECT_S, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise SpecError(f"no dask scheduler answers at {address}: {error}") from None
        if not self.client.nthreads():
            self.close()
            raise SpecError(
                f"the dask scheduler at {address} has no workers: start some, `dask worker {address}`"
            )

    @property
    def size(self) -> int:
        """One batch for each thread that the workers have now."""
        with self._calling():
            threads: dict[str, int] = self.client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, ticket: int, indices: Int64Array) -> None:
        with self._calling():
            future = self.client.submit(_evaluated, self._name, self._factory, indices, pure=False)
        self._out[future] = ticket
        future.add_done_callback(self._done.put)

    def wait(self) -> list[Report]:
        while True:
            try:
                future = self._done.get(timeout=_LOOK_S)
            except queue.Empty:
                self._demand_scheduler()
                continue
            return [self._report(future, self._out.pop(future))]

    def close(self) -> None:
        self._out.clear()
        with suppress(OSError, RuntimeError):
            self.client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _report(self, future: Any, ticket: int) -> Report:
        if future.status == "finished":
            return Report(ticket, future.result())
        if future.status != "error":  # cancelled, which is what a lost scheduler does to it
            raise HwsimError(self._gone())
        error = future.exception()
        if isinstance(error, self._dask.KilledWorker):
            return Report(ticket, None, "its dask worker died")
        raise HwsimError(f"dask workers of {self._address} cannot evaluate: {type(error).__name__}: {error}")

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Asking the scheduler, which may have gone."""
        try:
            yield
        except (OSError, RuntimeError):  # a broken connection; a client that was closed for it
            raise HwsimError(self._gone()) from None

    def _demand_scheduler(self) -> None:
        if self.client.status != "running":
            raise HwsimError(self._gone())

    def _gone(self) -> str:
        return (
            f"the dask scheduler at {self._address} does not answer any more; what was stored is kept, and "
            "the same command goes on from there"
        )


_kept = threading.local()


def _evaluated(name: str, factory: Factory, indices: Int64Array) -> Outcomes:
    """On a worker: what points come to. Each of its threads keeps the evaluator of the sweep it works for."""
    if getattr(_kept, "name", "") != name:
        _kept.name, _kept.evaluator = name, factory()
    evaluator: Evaluates = _kept.evaluator
    return evaluated(evaluator, indices)
