"""Compression: pure functions from a Workload to a smaller one, recipes that compose them, and the table of
what became of each layer. The functions are in files of their own (`prune`, `share`, `quantise`, ...).

The names below are loaded when they are first used: every run imports `hwsim.compress.lowering`, and few
compress anything.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwsim.compress.recipe import Recipe, apply_recipe, load_recipe
    from hwsim.compress.run import Compressed, compress
    from hwsim.compress.table import CompressionTable, measure

__all__ = ["Compressed", "CompressionTable", "Recipe", "apply_recipe", "compress", "load_recipe", "measure"]

_HOMES = {
    "Compressed": "run",
    "CompressionTable": "table",
    "Recipe": "recipe",
    "apply_recipe": "recipe",
    "compress": "run",
    "load_recipe": "recipe",
    "measure": "table",
}


def __getattr__(name: str) -> object:
    """Load a name on first use and keep it (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
