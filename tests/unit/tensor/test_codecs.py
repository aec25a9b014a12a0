"""Codecs: sizes and streams worked by hand, the papers' examples, and what is refused."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest

from hwsim.errors import CapacityError, SpecError
from hwsim.tensor.codecs import CODECS, decode, interleave, make_codec
from hwsim.tensor.codecs.huffman import PrefixCode, code_lengths

Values = np.ndarray[Any, Any]


def floats(*numbers: float) -> Values:
    return np.array(numbers, dtype=np.float32)


def parts(values: Values, name: str, **options: Any) -> dict[str, int]:
    encoded = make_codec(name, **options).encode(values)
    assert np.array_equal(decode(encoded.meta, encoded.arrays), values)
    return dict(encoded.storage.parts)


# Sizes by hand.

SIXTEEN = np.zeros((2, 8), dtype=np.float32)
SIXTEEN[0, 1], SIXTEEN[0, 4], SIXTEEN[1, 7] = 3.5, 1.0, 1.5  # at 1, 4 and 15 of the flattened tensor


def test_dense() -> None:
    assert parts(SIXTEEN, "dense") == {"values": 16 * 32}
    assert parts(SIXTEEN, "dense", value_bits=16) == {"values": 16 * 16}


def test_relative_pads_the_long_gap_as_figure_2_of_deep_compression_does() -> None:
    """Ten zeros lie between 4 and 15, and 3 bits reach 7: a zero is stored at 12."""
    encoded = make_codec("relative", index_bits=3).encode(SIXTEEN)
    assert dict(encoded.storage.parts) == {"values": 4 * 32, "index": 4 * 3, "header": 32}
    assert encoded.meta["counts"] == {"entries": 4}
    assert encoded.arrays["index"].tolist() == [0b001_010_11, 0b1_010_0000]  # gaps 1, 2, 7, 2
    assert encoded.arrays["values"].view(">f4").tolist() == [3.5, 1.0, 0.0, 1.5]


def test_relative_without_padding() -> None:
    assert parts(SIXTEEN, "relative", index_bits=4) == {"values": 3 * 32, "index": 3 * 4, "header": 32}


def test_bitmask() -> None:
    assert parts(SIXTEEN, "bitmask") == {"values": 3 * 32, "index": 16}


def test_run_length() -> None:
    """Zeros of 0-0, 2-3, 5-8, 9-12, 13-14: five zero tokens with runs of 2 bits, three values."""
    assert parts(SIXTEEN, "run-length", index_bits=2) == {"values": 8 * 32, "index": 5 * 2, "header": 32}
    assert parts(floats(1, 2, 3), "run-length") == {"values": 3 * 32, "index": 0, "header": 32}


def test_two_of_four() -> None:
    assert parts(SIXTEEN, "n:m") == {"values": 8 * 32, "index": 8 * 2}
    assert parts(SIXTEEN, "n:m", n=1, m=3) == {"values": 6 * 32, "index": 6 * 2}  # groups of 3, 3 and 2


def test_codebook_counts_zero_as_an_entry() -> None:
    assert parts(SIXTEEN, "codebook", codebook_bits=2) == {"values": 16 * 2, "codebook": 4 * 32, "header": 32}
    shared = parts(SIXTEEN, "codebook", codebook_bits=2, entry_bits=16)
    assert shared == {"values": 16 * 2, "codebook": 4 * 16, "header": 32}


def test_csc() -> None:
    """Two rows over two PEs: 9 pointers each, and entries without padding."""
    assert parts(SIXTEEN, "csc", pes=2) == {"values": 3 * 32, "index": 3 * 4, "pointers": 2 * 9 * 16}
    assert parts(SIXTEEN, "csc") == {"values": 3 * 32, "index": 3 * 4, "pointers": 9 * 16}
    assert parts(SIXTEEN, "csc", out_axis=1) == {"values": 3 * 32, "index": 3 * 4, "pointers": 3 * 16}


def test_shared_values_of_sparse_codecs_hold_zero_only_where_it_is_stored() -> None:
    padded = parts(SIXTEEN, "relative", index_bits=3, codebook_bits=2)
    assert padded == {"values": 4 * 2, "index": 4 * 3, "codebook": 4 * 32, "header": 64}
    unpadded = parts(SIXTEEN, "relative", index_bits=4, codebook_bits=2)
    assert unpadded == {"values": 3 * 2, "index": 3 * 4, "codebook": 3 * 32, "header": 64}


def test_huffman_by_hand() -> None:
    """Counts 4, 2, 1, 1: codes 0, 10, 110, 111, lengths in 2 bits each."""
    encoded = make_codec("codebook", codebook_bits=2, huffman=True).encode(floats(1, 1, 1, 1, 2, 2, 3, 4))
    assert encoded.arrays["values"].tolist() == [0b0000_10_10, 0b110_111_00]
    assert encoded.arrays["values_table"].tolist() == [0b010_01_10_1, 0b1_11_00000]
    assert dict(encoded.storage.parts) == {
        "values": 14, "codebook": 4 * 32, "code tables": 3 + 4 * 2, "header": 32
    }  # fmt: skip
    assert encoded.storage.codec == "codebook+huffman"


def test_a_symbol_alone_takes_a_bit() -> None:
    found = parts(np.full(10, 3, dtype=np.float32), "codebook", codebook_bits=1, huffman=True)
    assert found == {"values": 10, "codebook": 32, "code tables": 3 + 1, "header": 32}


def test_huffman_codes_values_and_gaps_apart() -> None:
    """Values 0 (pad), 1, 1.5, 3.5, each once: 2 bits each. Gaps 1, 2, 7, 2: 2, 1, 2, 1 bits."""
    found = parts(SIXTEEN, "relative", index_bits=3, codebook_bits=2, huffman=True)
    tables = (3 + 4 * 2) + (3 + 8 * 2)
    assert found == {"values": 8, "index": 6, "codebook": 128, "code tables": tables, "header": 64}


# The papers' examples.


def test_the_column_of_eie_section_3b() -> None:
    """[0,0,1,2, eighteen zeros, 3] is stored as v = [1,2,0,3], z = [2,0,15,2]."""
    found = interleave(floats(0, 0, 1, 2, *[0] * 18, 3).reshape(-1, 1), pes=1, index_bits=4)
    assert found.values.tolist() == [1, 2, 0, 3]
    assert found.gaps.tolist() == [2, 0, 15, 2]
    assert (found.counts.tolist(), found.padding.tolist()) == ([[4]], [[1]])


def test_the_matrix_of_eie_figures_2_and_3() -> None:
    """16x8 over four PEs. Figure 3 prints the memory of PE 0."""
    weights = np.zeros((16, 8), dtype=np.float32)
    of_pe_0 = [(0, 0), (8, 0), (12, 0), (4, 1), (0, 2), (12, 2), (0, 4), (4, 4), (0, 5), (12, 5), (0, 6),
               (8, 7), (12, 7)]  # fmt: skip
    for number, (row, col) in enumerate(of_pe_0, start=1):
        weights[row, col] = number
    weights[5, 3] = -1  # of PE 1
    found = interleave(weights, pes=4, index_bits=4)
    values, gaps = found.stream(0)
    assert values.tolist() == list(range(1, 14))
    assert gaps.tolist() == [0, 1, 0, 1, 0, 2, 0, 0, 0, 2, 0, 2, 0]
    assert found.pointers[0].tolist() == [0, 3, 4, 6, 6, 8, 10, 11, 13]
    assert [array.tolist() for array in found.stream(1)] == [[-1], [1]]
    assert found.starts.tolist() == [0, 13, 14, 14, 14]
    assert found.counts[0].tolist() == [3, 1, 2, 0, 2, 2, 1, 2]
    assert (found.shape, found.pes, found.entries, found.padding.sum()) == ((16, 8), 4, 14, 0)


def test_interleaved_arrays_are_small_and_read_only() -> None:
    found = interleave(SIXTEEN, pes=2, index_bits=4)
    assert (found.counts.dtype, found.padding.dtype, found.gaps.dtype) == (np.int32, np.int32, np.uint16)
    for array in (found.counts, found.padding, found.pointers, found.starts, found.values, found.gaps):
        assert not array.flags.writeable


def test_padding_is_counted_by_column_and_pe() -> None:
    weights = np.zeros((40, 3), dtype=np.float32)
    weights[38, 1] = 1  # local row 19 of PE 0: 19 zeros before it, of which a padding entry covers 16
    found = interleave(weights, pes=2, index_bits=4)
    assert found.padding.tolist() == [[0, 1, 0], [0, 0, 0]]
    assert found.counts.tolist() == [[0, 2, 0], [0, 0, 0]]
    assert found.gaps.tolist() == [15, 3]


@pytest.mark.parametrize("gap", [0, 15, 16, 31, 32, 1_000_000])
def test_padding_of_huge_gaps(gap: int) -> None:
    values = np.zeros(gap + 1, dtype=np.float32)
    values[-1] = 1
    assert parts(values, "relative", index_bits=4)["index"] == 4 * (gap // 16 + 1)


# Files.


def test_npz_and_json_keep_everything() -> None:
    values = np.random.default_rng(5).integers(-3, 4, (3, 4, 2, 2)).astype(np.float32)
    for name in CODECS:
        encoded = make_codec(name, **({"n": 4} if name == "n:m" else {})).encode(values)
        file = io.BytesIO()
        np.savez(file, **encoded.arrays)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            again = decode(json.loads(json.dumps(encoded.meta)), dict(arrays))
        assert np.array_equal(again, values)


def test_arrays_hold_the_stored_bits_and_no_more() -> None:
    values = np.random.default_rng(6).integers(-1, 2, (50, 70)).astype(np.float32)
    for name in CODECS:
        encoded = make_codec(name, **({"n": 4} if name == "n:m" else {})).encode(values)
        held = 8 * sum(array.nbytes for array in encoded.arrays.values())
        counted = encoded.storage.bits - dict(encoded.storage.parts).get("header", 0)
        assert counted <= held < counted + 8 * len(encoded.arrays)
        assert not any(array.flags.writeable for array in encoded.arrays.values())


# Refusals.


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cssc", {}, "unknown codec 'cssc': did you mean 'csc'?"),
        ("huffman", {}, "unknown codec 'huffman': huffman is an option of csc, relative, codebook"),
        ("csc", {"index_bit": 4}, "codec csc has no option 'index_bit': did you mean 'index_bits' or"),
        ("csc", {"index_bits": 0}, "codec csc: index_bits must be a whole number from 1 to 16, not 0"),
        ("csc", {"pes": True}, "codec csc: pes must be a whole number from 1 to 65,536, not True"),
        ("csc", {"pes": None}, "codec csc: pes must be a whole number from 1 to 65,536, not None"),
        (
            "csc",
            {"pointer_bits": 4.0},
            "codec csc: pointer_bits must be a whole number from 1 to 32, not 4.0",
        ),
        ("relative", {"huffman": 1}, "codec relative: huffman must be true or false, not 1"),
        ("bitmask", {"entry_bits": 16}, "entry_bits needs codebook_bits"),
        ("bitmask", {"value_bits": 16, "codebook_bits": 4}, "give value_bits or codebook_bits"),
        ("codebook", {"codebook_bits": 0}, "codebook_bits must be a whole number from 1 to 16, not 0"),
        ("n:m", {"n": 5, "m": 4}, "n is 5, and a group of m 4 cannot hold so many"),
    ],
)
def test_refused_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_codec(name, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "name", "options", "message"),
    [
        (floats(1, math.nan), "dense", {}, "element [1] is nan; only finite numbers are stored"),
        (floats(1, -math.inf).reshape(2, 1), "csc", {}, "element [1, 0] is -inf"),
        (np.array([True]), "dense", {}, "cannot encode an array of bool"),
        (np.array([1j]), "dense", {}, "cannot encode an array of complex128"),
        ([1.0], "dense", {}, "cannot encode list"),
        (floats(0.1), "dense", {"value_bits": 16}, "does not fit in 16 bits exactly: give value_bits 32"),
        (floats(1, 2, 300), "dense", {"value_bits": 8}, "codec dense: 300.0 does not fit in 8 bits"),
        (
            np.array([2.0**64]),
            "dense",
            {"value_bits": 63},
            "does not fit in 63 bits exactly: give value_bits 64",
        ),
        (floats(0.1), "codebook", {"entry_bits": 16}, "give entry_bits 32"),
        (
            floats(1, 2, 3),
            "codebook",
            {"codebook_bits": 1},
            "have more than 2 distinct ones, and indices of 1",
        ),
        (floats(1, 2, 0), "codebook", {"codebook_bits": 1}, "more than 2 distinct ones, of which 0 is one"),
        (floats(1, 2), "relative", {"huffman": True}, "huffman needs values of at most 16 bits"),
        (floats(1, 2), "csc", {"out_axis": 1}, "out_axis is 1, and the tensor [2] has axes 0 to 0"),
        (
            np.ones((256, 1), dtype=np.float32),
            "csc",
            {"pointer_bits": 8},
            "PE 0 stores 256 entries, and pointers of 8 bits reach 255: give pointer_bits 9, or more PEs",
        ),
    ],
)
def test_refused_values(values: Any, name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_codec(name, **options).encode(values)
    assert message in str(caught.value)


def test_pointers_may_just_fit() -> None:
    weights = np.ones((300, 1), dtype=np.float32)
    assert parts(weights[:255], "csc", pointer_bits=8)["pointers"] == 2 * 8
    assert parts(weights, "csc", pes=2, pointer_bits=8)["pointers"] == 4 * 8


def test_padding_needs_an_entry_of_the_table() -> None:
    """Sixteen values fill a table of 4 bits; the zero of a padding entry is one too many."""
    values = floats(*range(1, 16), *[0] * 16, 16)
    assert parts(values[values != 0], "relative", codebook_bits=4)["codebook"] == 16 * 32
    with pytest.raises(SpecError, match="of which 0 is one"):
        make_codec("relative", codebook_bits=4).encode(values)
    assert parts(values[1:], "relative", codebook_bits=4)["codebook"] == 16 * 32


@pytest.mark.parametrize(
    ("axis", "place", "group"),
    [(None, (2, 5), "[2, 4:8]"), (0, (5, 2), "[4:8, 2]")],
)
def test_a_group_that_is_too_full_is_named(axis: int | None, place: tuple[int, int], group: str) -> None:
    values = np.zeros((9, 9), dtype=np.float32)
    values[place] = 1
    along = 1 if axis is None else axis
    for step in (-1, 1):
        values[tuple(at + step * (i == along) for i, at in enumerate(place))] = step
    with pytest.raises(SpecError) as caught:
        make_codec("n:m", axis=axis).encode(values)
    assert f"is not 2:4 along axis {along}: its group {group} holds 3 nonzeros" in str(caught.value)


def test_only_matrices_are_interleaved() -> None:
    for values, pes, bits, message in (
        (floats(1), 1, 4, "only a matrix"),
        (SIXTEEN, 0, 4, "pes must be from 1"),
        (SIXTEEN, 1, 17, "index_bits must be from 1 to 16"),
    ):
        with pytest.raises(SpecError, match=message):
            interleave(values, pes, bits)


def test_a_codec_refuses_what_another_encoded() -> None:
    encoded = make_codec("csc", pes=2).encode(SIXTEEN)
    assert np.array_equal(make_codec("csc", pes=2).decode(encoded), SIXTEEN)
    for other in (make_codec("csc"), make_codec("relative")):
        with pytest.raises(SpecError, match="was encoded by csc"):
            other.decode(encoded)


# Huffman codes that no tensor needs.


def test_codes_of_48_bits_work_and_longer_ones_are_refused() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 49:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = code_lengths(np.array(fibonacci))
    assert lengths.max() == 48
    symbols = np.arange(49, dtype=np.uint8).repeat(3)
    packed, bits = PrefixCode(lengths).write(symbols)
    read = PrefixCode(lengths).read(packed, symbols.size)
    assert read is not None
    assert np.array_equal(read[0], symbols)
    assert read[1] == bits == 3 * int(lengths.sum())
    with pytest.raises(CapacityError, match="needs 49 bits"):
        code_lengths(np.array([*fibonacci, fibonacci[-1] + fibonacci[-2]]))
