"""The reference against sums written out term by term in exact fractions of Python."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from hwsim.functional.reference import convolve, gamma, multiply, requantised
from hwsim.functional.reference_vector import pool, spread
from hwsim.workload import Step
from hwsim.workload.operators import Conv2d, Matmul, Pool


def whole(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-127, 128, shape)


@pytest.mark.parametrize(
    "c",
    [
        Conv2d(2, 4, 6, 5, 6, 3, 2, 3, 4, 2, (2, 1), (1, 0, 0, 0), (1, 1)),
        Conv2d(1, 3, 7, 7, 2, 3, 3, 4, 4, 1, (1, 1), (1, 0, 0, 1), (2, 2)),
        Conv2d(1, 4, 5, 5, 4, 2, 2, 3, 3, 4, (2, 2), (0, 1, 1, 0), (1, 1)),
    ],
)
def test_a_convolution_is_the_sum_over_its_window(c: Conv2d) -> None:
    x, w = whole(c.N, c.C, c.H, c.W), whole(c.K, c.C // c.groups, c.R, c.S, seed=1)
    found = convolve(c, x, w)
    for n, k, p, q in itertools.product(range(c.N), range(c.K), range(c.P), range(c.Q)):
        first = k // (c.K // c.groups) * (c.C // c.groups)
        total = 0
        for i, r, s in itertools.product(range(c.C // c.groups), range(c.R), range(c.S)):
            y = p * c.stride[0] + r * c.dilation[0] - c.pad[0]
            z = q * c.stride[1] + s * c.dilation[1] - c.pad[1]
            if 0 <= y < c.H and 0 <= z < c.W:
                total += int(x[n, first + i, y, z]) * int(w[k, i, r, s])
        assert found[n, k, p, q] == total


def test_a_matmul_is_chunked_without_change(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = whole(3, 7), whole(5, 7, seed=1)
    monkeypatch.setattr("hwsim.functional.reference.CHUNK", 14)
    found = multiply(Matmul(1, 3, 5, 7), (("trans_b", True),), a, b)
    wanted = [[sum(int(a[i, k]) * int(b[j, k]) for k in range(7)) for j in range(5)] for i in range(3)]
    assert found[0].tolist() == wanted


@pytest.mark.parametrize("count_padding", [True, False])
def test_padding_counts_in_a_mean_only_when_told(count_padding: bool) -> None:
    ones = np.ones((1, 1, 2, 2))
    problem = Pool("average", 1, 1, 2, 2, 2, 2, 2, 2, (2, 2), (1, 1, 1, 1), (1, 1), count_padding)
    assert (
        pool(problem, ones).tolist() == [[[[0.25, 0.25], [0.25, 0.25]]]]
        if count_padding
        else [[[[1.0] * 2] * 2]]
    )


@pytest.mark.parametrize(
    ("rounding", "wanted"),
    [
        ("nearest_even", [-2, -2, -1, 0, 0, 0, 1, 2, 2, 2]),
        ("half_up", [-2, -1, -1, 0, 0, 1, 1, 2, 2, 3]),
        ("truncate", [-2, -2, -1, -1, 0, 0, 1, 1, 2, 2]),
    ],
)
def test_requantising_rounds_as_told(rounding: str, wanted: list[int]) -> None:
    """Quarters: -7/4, -6/4, -4/4, -1/4, 1/4, 2/4, 4/4, 6/4, 8/4, 10/4."""
    sums = np.array([-7, -6, -4, -1, 1, 2, 4, 6, 8, 10], dtype=np.float64)
    assert requantised(sums, 1, 2, rounding).tolist() == wanted


def test_gamma_is_highams() -> None:
    u = 2.0**-24
    assert gamma(1, u) == pytest.approx(u, rel=1e-6)
    assert gamma(1000, u) == 1000 * u / (1 - 1000 * u)
    assert gamma(2**24, u) == math.inf


def test_a_spread_covers_what_a_function_does_to_an_interval() -> None:
    x, error = np.linspace(-4, 4, 161), np.full(161, 0.01)
    for name in ("relu", "sigmoid", "tanh", "gelu", "mish", "hard_swish", "abs", "exp", "softplus"):
        from hwsim.functional.reference_vector import unary

        reach = spread([Step(name)], x, error)
        for offset in (-0.01, -0.004, 0.007, 0.01):
            assert (np.abs(unary(name, (), x + offset) - unary(name, (), x)) <= reach).all(), name
    assert np.isinf(spread([Step("log")], np.array([0.005]), np.array([0.01]))).all()
