"""The one typed door to numba: three ways to turn a function over arrays into machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core import options as numba_options

P = ParamSpec("P")
R = TypeVar("R")

# numpy's rules for errors: integer division does not look for zero, which costs more than the division.
_COMMON = {"error_model": "numpy"}
# Do not count references to arrays. The option has no public name; where numba has given it up, the functions
# that ask for it still work, only slower.
_UNCOUNTED = {"_nrt": False} if hasattr(numba_options.DefaultOptions, "_nrt") else {}


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first call, and keep the machine code on disk where there is a place to keep it."""
    return _cached(function, _COMMON)


def compiled_in_place(function: Callable[P, R]) -> Callable[P, R]:
    """As `compiled`, for a function that only fills the arrays it is given and makes none.

    numba then need not count references, which in a loop that hands tuples of arrays to its parts takes
    35 times as long as the work (measured with numba 0.68).
    """
    return _cached(function, _COMMON | _UNCOUNTED)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of a compiled function of the same file. A call that passes a dozen arrays costs more than
    most parts, so it is always inlined."""
    return _njit(function, _COMMON | {"forceinline": True})


def _cached(function: Callable[P, R], options: dict[str, Any]) -> Callable[P, R]:
    """numba looks for a cache folder when a function is decorated (beside the module, then under the user's
    home, or NUMBA_CACHE_DIR) and raises RuntimeError where none can be written, as for a read-only install
    with an unwritable home. Then the code is compiled anew in each process."""
    try:
        return _njit(function, options | {"cache": True})
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return _njit(function, options)


def _njit(function: Callable[P, R], options: dict[str, Any]) -> Callable[P, R]:
    return cast("Callable[P, R]", numba.njit(**options)(function))
