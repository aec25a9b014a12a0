"""How what lies between Winograd's transforms is stored: transformed inputs, and sums of products."""

from __future__ import annotations

from dataclasses import replace

from hwsim.errors import UnsupportedError
from hwsim.tensor.encoding import Encoding
from hwsim.tensor.formats import find_format
from hwsim.workload.operators import Operator, WinogradTransform
from hwsim.workload.winograd import INPUT, growth

SUMS = "int32"


def transformed_encoding(problem: WinogradTransform, source: Encoding, own: Encoding) -> Encoding:
    """How a transformed input is stored: in whole units of the input where the format holds the largest that
    they can become, so that nothing is rounded; else in the `own` scale of its numbers."""
    if source.is_float or own.is_float or own.format.kind != "int":
        return own
    farthest = max(abs(limit - source.zero_point) for limit in source.limits)
    exact = replace(own, scale=source.scale)
    return exact if growth(INPUT[problem.tile]) * farthest <= exact.limits[1] else own


def sums_encoding(op: Operator, a: Encoding, b: Encoding) -> Encoding:
    """How the sums of a product are kept that nobody requantises: whole, each one product of two units.
    Raises UnsupportedError for scales by channel, of which an output transform could take only one."""
    if b.by_channel is not None:
        raise UnsupportedError(
            f"operator {op.name}: weights transformed for Winograd cannot have scales by channel"
        )
    return Encoding(find_format(SUMS), a.scale * b.scale)
