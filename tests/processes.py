"""Other Python processes, for what must be the same in all of them."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT


def printed(code: str, *arguments: str, hash_seed: int) -> bytes:
    """What `code` writes to standard output in a process of its own, at the root of the checkout. Sets and
    dicts keyed by text come in another order for each `hash_seed`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed)}, check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    return done.stdout
