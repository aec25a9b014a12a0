"""Codecs against encoders that write text of '0' and '1': every stream bit for bit, every part's size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwsim.tensor.codecs import Encoded, decode, make_codec
from tests.oracles import bit_strings as slow

Values = np.ndarray[Any, Any]
FEW = [-2.5, -1.0, 0.5, 1.0, 3.25, 7.0]


@st.composite
def sparse(draw: st.DrawFn, rank: int | None = None, most: int = 90) -> Values:
    """A float32 array of few distinct values: any density, long gaps, both zeros."""
    if rank is None:
        rank = draw(st.integers(0, 4))
    shape = tuple(draw(st.integers(1, 5 if rank > 2 else most if rank == 1 else 9)) for _ in range(rank))
    size = int(np.prod(shape))
    filled = draw(st.lists(st.integers(0, size - 1), max_size=size))
    values = np.zeros(size, dtype=np.float32)
    for place in filled:
        values[place] = draw(st.sampled_from([*FEW, -0.0]))
    return values.reshape(shape)


VALUES = st.sampled_from(
    [
        {},
        {"value_bits": 16},
        {"codebook_bits": 3},
        {"codebook_bits": 4, "entry_bits": 16},
    ]
)


def described(options: dict[str, int]) -> dict[str, Any]:
    """The options in the oracle's words."""
    bits = options.get("entry_bits") or options.get("value_bits") or 32
    return {
        "kind": {32: "float32", 16: "float16"}[bits],
        "bits": bits,
        "codebook_bits": options.get("codebook_bits"),
    }


def assert_equal(encoded: Encoded, values: Values, streams: slow.Streams) -> None:
    assert dict(encoded.storage.parts) == slow.bits_by_part(streams)
    assert encoded.storage.bits == sum(len(text) for text in streams.values())
    for name, text in streams.items():
        if name != "header":
            assert encoded.arrays[name].tolist() == slow.as_bytes(text), name
    assert set(encoded.arrays) == set(streams) - {"header"}
    counts = "".join(f"{count:032b}" for count in encoded.meta["counts"].values())
    assert counts == streams.get("header", "")
    decoded = decode(encoded.meta, encoded.arrays)
    assert decoded.shape == values.shape
    assert decoded.dtype == values.dtype
    assert np.array_equal(decoded, values)


@given(sparse(), st.integers(1, 6), st.integers(1, 5), st.sampled_from([8, 11, 16]), VALUES)
def test_csc(values: Values, index_bits: int, pes: int, pointer_bits: int, options: dict[str, int]) -> None:
    matrix = values.reshape(values.shape[0], -1) if values.ndim else values.reshape(1, 1)
    streams = slow.csc(
        [slow.plain(row) for row in matrix],
        matrix.shape[1],
        index_bits,
        pes,
        pointer_bits,
        huffman_coded=False,
        **described(options),
    )
    codec = make_codec("csc", index_bits=index_bits, pes=pes, pointer_bits=pointer_bits, **options)
    assert_equal(codec.encode(values), values, streams)


@given(sparse(rank=4), st.integers(0, 3))
def test_csc_takes_any_axis_as_outputs(values: Values, out_axis: int) -> None:
    others = [axis for axis in range(4) if axis != out_axis]
    matrix = values.transpose(out_axis, *others).reshape(values.shape[out_axis], -1)
    streams = slow.csc(
        [slow.plain(row) for row in matrix], matrix.shape[1], 4, 2, 16, False, kind="float32", bits=32
    )
    assert_equal(make_codec("csc", pes=2, out_axis=out_axis).encode(values), values, streams)


@given(sparse(), st.integers(1, 6), VALUES)
def test_relative(values: Values, index_bits: int, options: dict[str, int]) -> None:
    streams = slow.relative(slow.plain(values), index_bits, huffman_coded=False, **described(options))
    assert_equal(make_codec("relative", index_bits=index_bits, **options).encode(values), values, streams)


@given(sparse(), VALUES)
def test_bitmask(values: Values, options: dict[str, int]) -> None:
    streams = slow.bitmask(slow.plain(values), **described(options))
    assert_equal(make_codec("bitmask", **options).encode(values), values, streams)


@given(sparse(), st.integers(1, 6), VALUES)
def test_run_length(values: Values, index_bits: int, options: dict[str, int]) -> None:
    streams = slow.run_length(slow.plain(values), index_bits, **described(options))
    assert_equal(make_codec("run-length", index_bits=index_bits, **options).encode(values), values, streams)


@given(sparse(), st.integers(2, 9), VALUES, st.data())
def test_groups(values: Values, m: int, options: dict[str, int], data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, max(values.ndim - 1, 0)))
    turned = np.moveaxis(values, axis, -1) if values.ndim else values.reshape(1)
    rows = [slow.plain(row) for row in turned.reshape(-1, turned.shape[-1])]
    fullest = max(
        sum(number != 0 for number in row[first : first + m])
        for row in rows
        for first in range(0, len(row), m)
    )
    n = data.draw(st.integers(max(fullest, 1), m))
    streams = slow.groups(rows, n, m, **described(options))
    assert_equal(make_codec("n:m", n=n, m=m, axis=axis, **options).encode(values), values, streams)


@given(sparse(), st.integers(3, 10))
def test_codebook(values: Values, bits: int) -> None:
    streams = slow.values_streams(slow.plain(values), "float32", 32, codebook_bits=bits)
    assert_equal(make_codec("codebook", codebook_bits=bits).encode(values), values, streams)


@settings(max_examples=150)
@given(sparse(), st.integers(1, 6), st.sampled_from(["csc", "relative", "codebook"]), st.booleans())
def test_huffman(values: Values, index_bits: int, name: str, shared: bool) -> None:
    numbers = slow.plain(values)
    if name == "codebook":
        codec = make_codec(name, codebook_bits=5, huffman=True)
        streams = slow.values_streams(numbers, "float32", 32, codebook_bits=5, huffman_coded=True)
    else:
        options = {"codebook_bits": 5} if shared else {"value_bits": 6}
        if not shared:  # whole numbers of six bits
            values = np.float32(2) * values
            values = np.where(values == np.rint(values), values, 0).astype(np.float32)
            numbers = slow.plain(values)
        words = {"kind": "float32", "bits": 32, "codebook_bits": 5} if shared else {"kind": "int", "bits": 6}
        codec = make_codec(name, index_bits=index_bits, huffman=True, **options)
        if name == "relative":
            streams = slow.relative(numbers, index_bits, huffman_coded=True, **words)
        else:
            matrix = values.reshape(values.shape[0], -1) if values.ndim else values.reshape(1, 1)
            rows = [slow.plain(row) for row in matrix]
            streams = slow.csc(rows, matrix.shape[1], index_bits, 1, 16, huffman_coded=True, **words)
    assert_equal(codec.encode(values), values, streams)


@pytest.mark.parametrize(
    ("dtype", "bits", "kind"),
    [
        ("float64", 64, "float64"), ("float64", 32, "float32"), ("float32", 16, "float16"),
        ("float16", 16, "float16"), ("float32", 8, "int"), ("float64", 11, "int"), ("int8", 8, "int"),
        ("int8", 5, "int"), ("int16", 16, "int"), ("int32", 7, "int"), ("int64", 64, "int"),
        ("int64", 37, "int"),
    ],
)  # fmt: skip
def test_words(dtype: str, bits: int, kind: str) -> None:
    values = np.array([3, -4, 0, 15, -16, 1], dtype=dtype)
    encoded = make_codec("dense", value_bits=bits).encode(values)
    text = "".join(slow.word(number, kind, bits) for number in slow.plain(values))
    assert_equal(encoded, values, {"values": text})
    assert encoded.meta["word"] == kind


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int32", "float32"])
def test_words_without_a_sign(dtype: str) -> None:
    values = np.array([255, 0, 128], dtype=dtype)
    encoded = make_codec("dense", value_bits=8).encode(values)
    assert_equal(encoded, values, {"values": "11111111" + "00000000" + "10000000"})
    assert encoded.meta["word"] == "uint"


def test_words_of_bfloat16() -> None:
    values = np.array([1.0, -3e38, 2.0**-130, 0.15625], dtype=np.float32)
    values = (values.view(np.uint32) & 0xFFFF0000).view(np.float32)
    encoded = make_codec("dense", value_bits=16).encode(values)
    text = "".join(slow.word(number, "bfloat16", 16) for number in slow.plain(values))
    assert_equal(encoded, values, {"values": text})
