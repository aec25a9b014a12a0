"""What every test stands on: where compiled kernels are kept, and how Hypothesis searches."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import hypothesis

ROOT = Path(__file__).resolve().parent.parent


def _kernels_key() -> str:
    """A hash over hwsim/kernels. numba notices a change of the file that holds a compiled function, but not
    of another file whose functions it has taken in: a cache per state of the folder is never stale."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "hwsim" / "kernels").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _numba_cache() -> Path:
    """Inside the checkout; beside other temporary files where the checkout cannot be written."""
    kept = ROOT / ".cache" / "numba" / _kernels_key()
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:
        owner = os.getuid() if hasattr(os, "getuid") else "ours"  # on Windows the folder is each user's own
        return Path(tempfile.gettempdir()) / f"hwsim-numba-{owner}" / _kernels_key()
    return kept


# numba reads this when it is imported, so it stands here and not in a fixture. Child processes inherit it.
os.environ["NUMBA_CACHE_DIR"] = str(_numba_cache())

# "steady" gives the same verdict each time; `pytest --hypothesis-profile=search` looks for new examples.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=2000, print_blob=True)
hypothesis.settings.load_profile("steady")
