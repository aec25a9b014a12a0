"""A worker whose library is at fault, to see that a campaign notices: `python -m tests.fuzz.planted SEED`."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

from tests.fuzz import worker
from tests.fuzz.inputs import Input, make_input
from tests.fuzz.judge import Verdict

SEED = 3
HANGS, SWELLS, DIES, ALLOCATES = 1, 3, 4, 6  # numbers of inputs; the others are accepted


def _faulty(given: Input, _: Path) -> Verdict:
    number = next(n for n in count() if make_input(SEED, n) == given)
    if number == HANGS:
        while True:
            pass
    if number == SWELLS:
        return Verdict("accepted", story=str(len(b"x" * (worker.MEMORY_BYTES + 2**20))))
    if number == DIES:
        os._exit(9)
    if number == ALLOCATES:
        try:
            bytearray(2**45)
        except MemoryError as error:
            return Verdict("fault", type(error).__name__)
    return Verdict("accepted")


def main() -> None:
    worker.judge = _faulty
    worker.PROCESSOR_S = 1.5
    worker._warm_up = lambda: None
    worker.main()


if __name__ == "__main__":
    main()
