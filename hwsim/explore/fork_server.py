"""The server of this machine that the processes which evaluate points are forked from.

It loads once what all of them need. That takes as long as this process takes to find out what to do, so who
knows that a sweep will come starts it first; nothing may be imported here that takes time itself.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from types import ModuleType

# One process takes one processor: what would start threads of its own reads these when it is loaded.
ONE_THREAD: Mapping[str, str] = {
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
_LOADED_AHEAD = "hwsim.explore.load_ahead"
# Else each process loads for itself: Windows cannot fork, and on macOS what libraries of the system have
# started does not survive it.
_FORKS = sys.platform != "darwin" and "forkserver" in multiprocessing.get_all_start_methods()


def start_server() -> None:
    """Start the server unless it runs. Returns at once: it loads by itself, and processes wait for it."""
    if _FORKS:
        from multiprocessing import forkserver

        forkserver.set_forkserver_preload([_LOADED_AHEAD])
        with _as_library(), _interrupts_held():
            forkserver.ensure_running()


def start_process(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process that calls `target`, and ends with this one."""
    start_server()
    process: BaseProcess
    if sys.platform != "win32" and _FORKS:
        process = multiprocessing.get_context("forkserver").Process(
            target=target, args=arguments, daemon=True
        )
    else:
        process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
    with _as_library(), _interrupts_held():
        process.start()
    return process


@contextmanager
def _as_library() -> Iterator[None]:
    """Start processes as from a library: they do not run the caller's script again, which need not expect it,
    and read ONE_THREAD before they load anything."""
    main, before = sys.modules["__main__"], {name: os.environ.get(name) for name in ONE_THREAD}
    sys.modules["__main__"] = ModuleType("__main__")
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C reaches the whole group. This process hears it when it is done here, and what is started here
    not before it lets it in itself. Windows holds nothing."""
    if sys.platform != "win32" and hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # whoever starts it lets interrupts through afterwards
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    else:
        yield
