"""Codecs over anything: what is decoded equals what was encoded, no damage crashes, and ten million weights
take no time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.errors import SpecError
from hwsim.tensor.codecs import CODECS, decode, interleave, make_codec
from hwsim.tensor.codecs.codec import DTYPES

Values = np.ndarray[Any, Any]


@st.composite
def arrays(draw: st.DrawFn) -> Values:
    """Any dtype, shape (an empty one too) and density; up to 40 distinct values, among them the largest."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = tuple(draw(st.lists(st.integers(0, 7), max_size=4)))
    if draw(st.booleans()):
        shape = (draw(st.integers(1, 3000)),)
    seed = np.random.default_rng(draw(st.integers(0, 2**32)))
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    few = seed.integers(-60 if dtype.kind != "u" else 0, 60, 38).astype(dtype)
    if dtype.kind == "f":
        few = few / 8
    few = np.concatenate((few.astype(dtype), np.array([limits.max, limits.min], dtype=dtype)))
    values = few[seed.integers(0, draw(st.integers(1, 40)), shape)]
    keep = seed.random(shape) < draw(st.sampled_from([0.0, 0.001, 0.1, 0.5, 1.0]))
    zero = dtype.type(-0.0 if draw(st.booleans()) else 0)
    return np.where(keep, values, zero).astype(dtype)


@st.composite
def codecs(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(list(CODECS)))
    options: dict[str, Any] = {}
    if name in ("csc", "relative", "run-length"):
        options["index_bits"] = draw(st.integers(1, 16))
    if name == "csc":
        options["pes"] = draw(st.integers(1, 70))
    if name == "n:m":
        options["n"] = options["m"] = draw(st.integers(2, 9))
    if name == "codebook" or (name != "dense" and draw(st.booleans())):
        options["codebook_bits"] = 6
        if name in ("csc", "relative", "codebook"):
            options["huffman"] = draw(st.booleans())
    return name, options


@settings(max_examples=400)
@given(arrays(), codecs())
def test_what_is_decoded_equals_what_was_encoded(values: Values, codec: tuple[str, dict[str, Any]]) -> None:
    name, options = codec
    before = values.copy()
    encoded = make_codec(name, **options).encode(values)
    decoded = decode(encoded.meta, encoded.arrays)
    assert (decoded.shape, decoded.dtype) == (values.shape, values.dtype)
    assert np.array_equal(decoded, values)
    assert np.array_equal(values, before)
    held = 8 * sum(array.nbytes for array in encoded.arrays.values())
    counted = encoded.storage.bits - dict(encoded.storage.parts).get("header", 0)
    assert counted <= held < counted + 8 * len(encoded.arrays) + 1


@settings(max_examples=400)
@given(arrays(), codecs(), st.data())
def test_damage_is_refused_or_gives_a_tensor(
    values: Values, codec: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    """Nothing but SpecError, and no memory touched that is not the streams' own."""
    encoded = make_codec(codec[0], **codec[1]).encode(values)
    meta, stored = dict(encoded.meta), dict(encoded.arrays)
    for _ in range(data.draw(st.integers(1, 3))):
        what = data.draw(st.sampled_from(["bits", "length", "count", "shape", "dtype", "word", "options"]))
        if what == "bits":
            name = data.draw(st.sampled_from(sorted(stored)))
            if stored[name].size:
                changed = stored[name].copy()
                changed[data.draw(st.integers(0, changed.size - 1))] ^= data.draw(st.integers(1, 255))
                stored[name] = changed
        elif what == "length":
            name = data.draw(st.sampled_from(sorted(stored)))
            stored[name] = np.resize(stored[name], data.draw(st.integers(0, stored[name].size + 2)))
        elif what == "count" and meta["counts"]:
            name = data.draw(st.sampled_from(sorted(meta["counts"])))
            meta["counts"] = {**meta["counts"], name: data.draw(st.integers(-1, values.size + 70))}
        elif what == "shape":
            meta["shape"] = data.draw(st.lists(st.integers(0, 60), max_size=3))
        elif what == "dtype":
            meta["dtype"] = data.draw(st.sampled_from(DTYPES))
        elif what == "word":
            meta["word"] = data.draw(st.sampled_from(["int", "uint", "float16", "float32", "bfloat16"]))
        elif what == "options":
            name = data.draw(st.sampled_from(sorted(meta["options"])))
            meta["options"] = {**meta["options"], name: data.draw(st.integers(0, 20))}
    try:
        decoded = decode(meta, stored)
    except SpecError:
        return
    assert list(decoded.shape) == list(meta["shape"])
    assert decoded.dtype == meta["dtype"]


@given(arrays(), st.integers(1, 70), st.integers(1, 8))
def test_entries_of_pes_are_the_matrix(values: Values, pes: int, index_bits: int) -> None:
    """Walking the streams PE by PE, as a machine does, meets every nonzero once, where it stands."""
    matrix = values.reshape(values.shape[0] if values.ndim and values.size else 1, -1)
    found = interleave(matrix, pes, index_bits)
    met: dict[tuple[int, int], Any] = {}
    padding = np.zeros_like(found.padding)
    for pe in range(pes):
        numbers, gaps = found.stream(pe)
        for col in range(matrix.shape[1]):
            local = -1
            for entry in range(found.pointers[pe, col], found.pointers[pe, col + 1]):
                local += int(gaps[entry]) + 1
                if numbers[entry] == 0:
                    assert gaps[entry] == 2**index_bits - 1
                    padding[pe, col] += 1
                else:
                    met[local * pes + pe, col] = numbers[entry]
    expected = {(int(row), int(col)): matrix[row, col] for row, col in np.argwhere(matrix)}
    assert met == expected
    assert np.array_equal(padding, found.padding)
    assert found.counts.sum() == len(met) + padding.sum() == found.entries


@pytest.mark.parametrize(
    ("name", "options", "bits"),
    [
        ("csc", {"pes": 64, "codebook_bits": 4}, None),
        ("relative", {"codebook_bits": 4, "huffman": True}, None),
        ("codebook", {"codebook_bits": 4}, 4 * 10_002_432 + 16 * 32 + 32),
        ("codebook", {"codebook_bits": 4, "huffman": True}, None),
    ],
)
def test_ten_million_weights(name: str, options: dict[str, Any], bits: int | None) -> None:
    draw = np.random.default_rng(1)
    values = draw.integers(1, 16, (2442, 4096), dtype=np.uint8) * (
        draw.random((2442, 4096), np.float32) < 0.1
    )
    weights = values.astype(np.float32) / 16
    codec = make_codec(name, **options)
    began = time.perf_counter()
    encoded = codec.encode(weights)
    assert np.array_equal(codec.decode(encoded), weights)
    assert time.perf_counter() - began < 10  # a second, on a machine that does nothing else
    if bits is not None:
        assert encoded.storage.bits == bits
