"""A worker whose library is at fault, to see that a campaign notices: `python -m tests.fuzz.planted SEED`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from tests.fuzz import worker
from tests.fuzz.inputs import Input, make_input
from tests.fuzz.judge import Verdict

SEED = 3
HANGS, SWELLS, DIES, ALLOCATES = 1, 3, 4, 6  # numbers of inputs; the others are accepted
MEMORY_BYTES = 256 * 2**20


class Planted:
    """In place of what a worker makes inputs with and judges them by: here each has a number."""

    number = -1

    def make(self, seed: int, number: int) -> Input:
        self.number = number
        # Little for an input that would take it all, and plenty for the others on the slowest machine.
        worker.PROCESSOR_S = 0.2 if number == HANGS else 600.0
        return make_input(seed, number)

    def judge(self, _: Input, __: Path) -> Verdict:
        while self.number == HANGS:
            pass
        if self.number == SWELLS:
            return Verdict("accepted", story=str(len(b"x" * (2 * MEMORY_BYTES))))
        if self.number == DIES:
            os._exit(9)
        if self.number == ALLOCATES:
            try:
                np.empty(2 * worker.ADDRESS_BYTES, np.uint8)  # asks, and touches nothing
            except MemoryError:
                return Verdict("fault", "MemoryError")
        return Verdict("accepted")


def main() -> None:
    planted = Planted()
    worker.make_input, worker.judge = planted.make, planted.judge
    worker.MEMORY_BYTES = MEMORY_BYTES
    worker._warm_up = lambda: None
    worker.main()


if __name__ == "__main__":
    main()
