"""What the server of processes loads before any is forked from it. Importing this does it, and only the
server imports this: modules, and by one small run the compiled kernels.

It starts no thread: threads do not survive a fork.
"""

from __future__ import annotations

import gc
import signal
import sys


def _load() -> None:
    """What is loaded stays, so that looking for garbage in it, here and in each process, is time lost."""
    gc.disable()
    try:
        from hwsim.explore import evaluate  # noqa: F401
        from hwsim.explore.worker import rehearse

        rehearse()
        gc.freeze()
    finally:
        gc.enable()


def _let_interrupts_in() -> None:
    """End what `start_server` began, less what came meanwhile: the parent has heard it too."""
    if sys.platform != "win32":  # which has no server
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, handler)


try:
    _load()
finally:
    _let_interrupts_in()
