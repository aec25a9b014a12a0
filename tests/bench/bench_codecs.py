"""How fast ten million weights are stored and read again, a tenth of them not zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hwsim.tensor.codecs import decode, interleave, make_codec

Values = np.ndarray[Any, Any]

CASES = [
    ("dense", {"value_bits": 16}),
    ("csc", {"pes": 64, "codebook_bits": 4}),
    ("csc", {"pes": 64, "codebook_bits": 4, "huffman": True}),
    ("relative", {"codebook_bits": 4, "huffman": True}),
    ("bitmask", {}),
    ("run-length", {"value_bits": 16}),
    ("n:m", {"n": 4}),
    ("codebook", {"codebook_bits": 4}),
    ("codebook", {"codebook_bits": 4, "huffman": True}),
]


@pytest.fixture(scope="module")
def weights() -> Values:
    draw = np.random.default_rng(1)
    kept = draw.random((2442, 4096), np.float32) < 0.1
    return (draw.integers(1, 16, kept.shape, dtype=np.uint8) * kept).astype(np.float32) / 16


def named(case: tuple[str, dict[str, Any]]) -> str:
    return " ".join([case[0], *(f"{name}={value}" for name, value in case[1].items())])


@pytest.mark.parametrize("case", CASES, ids=named)
def test_encode(benchmark: BenchmarkFixture, weights: Values, case: tuple[str, dict[str, Any]]) -> None:
    codec = make_codec(case[0], **case[1])
    encoded = benchmark(codec.encode, weights)
    benchmark.extra_info["bits a weight"] = encoded.storage.bits / weights.size


@pytest.mark.parametrize("case", CASES, ids=named)
def test_decode(benchmark: BenchmarkFixture, weights: Values, case: tuple[str, dict[str, Any]]) -> None:
    encoded = make_codec(case[0], **case[1]).encode(weights)
    assert np.array_equal(benchmark(decode, encoded.meta, encoded.arrays), weights)


def test_interleave(benchmark: BenchmarkFixture, weights: Values) -> None:
    assert benchmark(interleave, weights, 64, 4).padding.sum() > 0
