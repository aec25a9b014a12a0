"""The ways to factor a layer: which chain of operators it becomes at which ranks, and their weights.

Shapes of weights are [outputs, inputs, height, width] of one group of channels (a linear layer's is 1 x 1),
and ranks are of one group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from hwsim.arrays import Float64Array
from hwsim.compress import factors
from hwsim.workload.operators import Conv2d, Matmul

Ranks = tuple[int, ...]
Problem = Conv2d | Matmul
Shape = tuple[int, ...]


class Scheme(Protocol):
    """A way to factor layers."""

    def fault(self, shape: Shape) -> str:
        """Why a weight of that shape does not factor, or nothing."""

    def limits(self, shape: Shape) -> Ranks:
        """The largest ranks, with which the factors are exact."""

    def spectra(self, weight: Float64Array) -> tuple[Float64Array, ...]:
        """Squared singular values behind each rank; none where a decomposition has none."""

    def problems(self, problem: Problem, ranks: Ranks) -> tuple[Problem, ...]:
        """The operators that the layer becomes."""

    def factors(self, weight: Float64Array, ranks: Ranks, seed: Sequence[int]) -> tuple[Float64Array, ...]:
        """Their weights, in the same order, from a seed where a start is drawn."""

    def product(self, parts: Sequence[Float64Array]) -> Float64Array:
        """The weight that those amount to."""


class _Svd:
    """Linear layers and 1x1 convolutions: through `rank` channels."""

    def fault(self, shape: Shape) -> str:
        if shape[2:] != (1, 1):
            return f"svd factors linear layers and 1x1 convolutions, and this is {shape[2]}x{shape[3]}"
        return _thin(shape)

    def limits(self, shape: Shape) -> Ranks:
        return (min(shape[:2]),)

    def spectra(self, weight: Float64Array) -> tuple[Float64Array, ...]:
        return (factors.spectrum(weight[:, :, 0, 0]),)

    def problems(self, problem: Problem, ranks: Ranks) -> tuple[Problem, ...]:
        (rank,) = ranks
        if isinstance(problem, Matmul):
            return replace(problem, N=rank), replace(problem, K=rank)
        middle = problem.groups * rank
        return replace(problem, K=middle), _pointwise(problem, middle, problem.K, (problem.P, problem.Q))

    def factors(self, weight: Float64Array, ranks: Ranks, _: Sequence[int]) -> tuple[Float64Array, ...]:
        left, right = factors.factor_matrix(weight[:, :, 0, 0], *ranks)
        return right[:, :, None, None], left[:, :, None, None]

    def product(self, parts: Sequence[Float64Array]) -> Float64Array:
        right, left = (part[:, :, 0, 0] for part in parts)
        return (left @ right)[:, :, None, None]


class _Tucker:
    """Convolutions: fewer input channels, the window over those, and back to all output channels."""

    def fault(self, shape: Shape) -> str:
        return _pointwise_fault("tucker", shape) or _thin(shape)

    def limits(self, shape: Shape) -> Ranks:
        outputs, inputs, height, width = shape
        window = height * width
        return min(inputs, outputs * window), min(outputs, inputs * window)

    def spectra(self, weight: Float64Array) -> tuple[Float64Array, ...]:
        return factors.channel_spectra(weight)

    def problems(self, problem: Problem, ranks: Ranks) -> tuple[Problem, ...]:
        c = _conv(problem)
        few_in, few_out = (c.groups * rank for rank in ranks)
        return (
            _pointwise(c, c.C, few_in, (c.H, c.W)),
            replace(c, C=few_in, K=few_out),
            _pointwise(c, few_out, c.K, (c.P, c.Q)),
        )

    def factors(self, weight: Float64Array, ranks: Ranks, _: Sequence[int]) -> tuple[Float64Array, ...]:
        return factors.factor_tucker(weight, *ranks)

    def product(self, parts: Sequence[Float64Array]) -> Float64Array:
        before, core, after = parts
        return _multiplied("ko,oirs,ic->kcrs", after[:, :, 0, 0], core, before[:, :, 0, 0])


class _Cp:
    """Convolutions: `rank` channels, each with a column filter and a row filter of its own."""

    def fault(self, shape: Shape) -> str:
        return _pointwise_fault("cp", shape) or _thin(shape)

    def limits(self, shape: Shape) -> Ranks:
        return (factors.cp_limit(shape),)

    def spectra(self, _: Float64Array) -> tuple[Float64Array, ...]:
        return ()

    def problems(self, problem: Problem, ranks: Ranks) -> tuple[Problem, ...]:
        c = _conv(problem)
        middle = c.groups * ranks[0]
        vertical, horizontal = _spatial(replace(c, C=middle, K=middle, groups=middle), middle)
        return (
            _pointwise(c, c.C, middle, (c.H, c.W)),
            vertical,
            horizontal,
            _pointwise(c, middle, c.K, (c.P, c.Q)),
        )

    def factors(self, weight: Float64Array, ranks: Ranks, seed: Sequence[int]) -> tuple[Float64Array, ...]:
        return factors.factor_cp(weight, ranks[0], seed)

    def product(self, parts: Sequence[Float64Array]) -> Float64Array:
        before, high, wide, after = parts
        columns = high[:, 0, :, 0], wide[:, 0, 0, :]
        return _multiplied("kf,fr,fs,fc->kcrs", after[:, :, 0, 0], *columns, before[:, :, 0, 0])


class _Separable:
    """Convolutions: column filters to `rank` channels, then row filters to all output channels."""

    def fault(self, shape: Shape) -> str:
        if 1 in shape[2:]:
            return (
                f"its {shape[2]}x{shape[3]} window has one direction alone, so there is nothing to separate"
            )
        return ""

    def limits(self, shape: Shape) -> Ranks:
        outputs, inputs, height, width = shape
        return (min(inputs * height, outputs * width),)

    def spectra(self, weight: Float64Array) -> tuple[Float64Array, ...]:
        return (factors.spectrum(factors.unfold_space(weight)),)

    def problems(self, problem: Problem, ranks: Ranks) -> tuple[Problem, ...]:
        c = _conv(problem)
        return _spatial(c, c.groups * ranks[0])

    def factors(self, weight: Float64Array, ranks: Ranks, _: Sequence[int]) -> tuple[Float64Array, ...]:
        return factors.separate(weight, *ranks)

    def product(self, parts: Sequence[Float64Array]) -> Float64Array:
        vertical, horizontal = parts
        return _multiplied("kms,mcr->kcrs", horizontal[:, :, 0], vertical[..., 0])


SCHEMES: Mapping[str, Scheme] = {
    "svd": _Svd(),
    "tucker": _Tucker(),
    "cp": _Cp(),
    "separable": _Separable(),
}


def _multiplied(subscripts: str, *parts: Float64Array) -> Float64Array:
    found: Float64Array = np.einsum(subscripts, *parts, optimize=True)
    return found


def _conv(problem: Problem) -> Conv2d:
    assert isinstance(problem, Conv2d)
    return problem


def _pointwise(c: Conv2d, channels: int, outputs: int, size: tuple[int, int]) -> Conv2d:
    """A 1x1 convolution, in the groups of `c`, of a map of that size."""
    return Conv2d(c.N, channels, *size, outputs, 1, 1, *size, c.groups)


def _spatial(c: Conv2d, middle: int) -> tuple[Conv2d, Conv2d]:
    """A column filter to `middle` channels and a row filter: each direction keeps its own stride, padding and
    dilation."""
    top, left, bottom, right = c.pad
    return (
        Conv2d(
            c.N, c.C, c.H, c.W, middle, c.R, 1, c.P, c.W, c.groups, (c.stride[0], 1), (top, 0, bottom, 0),
            (c.dilation[0], 1),
        ),
        Conv2d(
            c.N, middle, c.P, c.W, c.K, 1, c.S, c.P, c.Q, c.groups, (1, c.stride[1]), (0, left, 0, right),
            (1, c.dilation[1]),
        ),
    )  # fmt: skip


def _thin(shape: tuple[int, ...]) -> str:
    outputs, inputs = shape[:2]
    if min(outputs, inputs) == 1:
        side = "input" if inputs == 1 else "output"
        return f"it has one {side} channel a group (depthwise, if any), so its channels do not factor"
    return ""


def _pointwise_fault(method: str, shape: tuple[int, ...]) -> str:
    if shape[2:] == (1, 1):
        return f"{method} factors convolutions with a window, and this is linear or 1x1: use svd"
    return ""
