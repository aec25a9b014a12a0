"""Tensors and number formats: what is stored, how large it is, and where its values come from."""

from hwsim.tensor.formats import FORMATS, Format, find_format, format_bits
from hwsim.tensor.tensor import Tensor

__all__ = ["FORMATS", "Format", "Tensor", "find_format", "format_bits"]
