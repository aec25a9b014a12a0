"""Workloads of a single operator, by its sizes."""

from __future__ import annotations

from hwsim.errors import SpecError
from hwsim.tensor.tensor import Shape
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.graph import Source, Workload
from hwsim.workload.operators import Pair
from hwsim.workload.shapes import Pads

_BUILTIN = Source("builtin", "constructor", "")
_DEFAULT = "int8"  # until a run takes the design's own


def matmul(m: int, n: int, k: int, *, batch: int = 1, dtype: str | None = None) -> Workload:
    """out[batch, m, n] = a[batch, m, k] b[batch, k, n], where `a` comes in from outside and `b` is a weight
    (a plain [m, k] [k, n] product when batch is 1), in `dtype`, or else in the design's own
    format. Raises SpecError for sizes below one."""
    _check(m=m, n=n, k=k, batch=batch)
    lead: Shape = (batch,) if batch > 1 else ()
    builder = GraphBuilder(f"matmul_{f'{batch}x' if batch > 1 else ''}{m}x{n}x{k}", dtype=dtype or _DEFAULT)
    a = builder.input("a", (*lead, m, k))
    b = builder.weight("b", (*lead, k, n), fan_in=k)
    out = builder.matmul(Label("matmul", "out"), a, b)
    description = f"{f'{batch} products' if batch > 1 else 'product'} of {m} x {k} by {k} x {n}"
    built = builder.build([out], _BUILTIN, description=description, parameters={"batch": batch})
    return built if dtype is None else built.astype(dtype)


def conv2d(
    batch: int,
    in_channels: int,
    height: int,
    width: int,
    out_channels: int,
    kernel: int | Pair,
    *,
    stride: int | Pair = 1,
    pad: int | Pair | Pads = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    dtype: str | None = None,
) -> Workload:
    """A convolution of [batch, in_channels, height, width] without bias. `kernel`, `stride` and `dilation`
    are one number or (height, width), `pad` also (top, left, bottom, right). In `dtype`, or else
    in the design's own format. Raises SpecError for sizes below one and windows that do not fit."""
    _check(
        batch=batch,
        in_channels=in_channels,
        height=height,
        width=width,
        out_channels=out_channels,
        groups=groups,
    )
    r, s = _pair("kernel", kernel)
    pads = _pads(pad)
    builder = GraphBuilder(
        f"conv2d_{batch}x{in_channels}x{height}x{width}_{out_channels}x{r}x{s}", dtype=dtype or _DEFAULT
    )
    x = builder.input("x", (batch, in_channels, height, width))
    per_group = max(1, in_channels // groups)
    weight = builder.weight("weight", (out_channels, per_group, r, s), fan_in=per_group * r * s)
    out = builder.conv2d(
        Label("conv2d", "out"), x, weight, stride=_pair("stride", stride), pad=pads,
        dilation=_pair("dilation", dilation), groups=groups,
    )  # fmt: skip
    built = builder.build([out], _BUILTIN, parameters={"batch": batch})
    return built if dtype is None else built.astype(dtype)


def _check(**sizes: object) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise SpecError(f"{name} is {size!r}: it must be a whole number of at least 1")


def _pair(name: str, given: int | Pair) -> Pair:
    found = (given, given) if isinstance(given, int) else tuple(given)
    if len(found) != 2:
        raise SpecError(f"{name} is {given!r}: it must be one number or (height, width)")
    _check(**{name: found[0]})
    _check(**{name: found[1]})
    return found


def _pads(given: int | Pair | Pads) -> Pads:
    sides = (given,) * 4 if isinstance(given, int) else tuple(given) * (2 if len(given) == 2 else 1)
    if len(sides) != 4 or any(type(side) is not int or side < 0 for side in sides):
        raise SpecError(f"pad is {given!r}: it must be whole numbers of at least 0, one, two or four")
    return sides
