"""Compression: pure functions from a Workload to a smaller one, recipes that compose them, and the table of
what became of each layer. The functions are in files of their own (`prune`, `share`, `quantise`, ...)."""

from hwsim.compress.recipe import Recipe, apply_recipe, load_recipe
from hwsim.compress.run import Compressed, compress
from hwsim.compress.table import CompressionTable, measure

__all__ = ["Compressed", "CompressionTable", "Recipe", "apply_recipe", "compress", "load_recipe", "measure"]
