"""Encoding: the right options for each layer, and the same numbers behind the stored ones."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.compress.encode import encode
from hwsim.compress.prune import prune, prune_n_of_m
from hwsim.compress.quantise import quantise_weights
from hwsim.compress.share import share
from hwsim.errors import SpecError
from hwsim.tensor.codecs import decode
from hwsim.workload import load_workload
from hwsim.workload.folder import Coded
from tests.weights import linear, of


def test_bits_of_a_tiny_layer_are_those_worked_by_hand() -> None:
    # As stored along the flattened [3, 2]: 0 4 0 4 0 -4, three gaps of 2 bits. Zero is an entry beside the
    # two values, so that an index takes 2 bits; the table holds the two that are stored, of 32 bits each.
    shared = share(prune(linear([[0.1, 4.0], [0.0, 4.0], [0.1, -4.0]]), 1 / 2), 2)
    tensor = encode(shared, "relative", index_bits=2).tensors["b"]
    assert tensor.codebook == (-4.0, 4.0)
    assert tensor.storage is not None
    assert dict(tensor.storage.parts) == {"values": 6, "index": 6, "codebook": 64, "header": 64}
    assert tensor.stored_bits == 140


def test_numbers_stay_and_shared_layers_take_indices_of_their_own_width() -> None:
    shared = share(prune(load_workload("lenet5"), 0.4), 4, bits_by_layer={"conv*": 6})
    stored = encode(shared, "relative", index_bits=4, huffman=True)
    for name, bits in (("conv1.weight", 6), ("ip2.weight", 4)):
        values = stored.tensors[name].values
        assert isinstance(values, Coded)
        assert values.encoded.meta["options"]["codebook_bits"] == bits
        assert (decode(values.encoded.meta, values.encoded.arrays) == of(shared, name)).all()
        assert (of(stored, name) == of(shared, name)).all()
        assert stored.tensors[name].codec == "relative+huffman"


def test_columns_are_inputs_and_groups_lie_along_them() -> None:
    weights = np.arange(1.0, 13.0).reshape(4, 3)  # [inputs, outputs]
    stored = encode(linear(weights), "csc", pes=3)
    values = stored.tensors["b"].values
    assert isinstance(values, Coded)
    assert values.encoded.meta["options"]["out_axis"] == 1
    assert dict(values.encoded.storage.parts)["pointers"] == 3 * 5 * 16  # one column an input, and one more
    grouped = encode(prune_n_of_m(linear(weights), 2, 4), "n:m").tensors["b"]
    assert grouped.storage is not None
    assert dict(grouped.storage.parts) == {"values": 6 * 32, "index": 6 * 2}


def test_weights_on_a_grid_are_stored_as_its_whole_numbers() -> None:
    pruned = prune(load_workload("lenet5"), 0.25, layers="ip1")
    grid = quantise_weights(pruned, "int8", layers="ip1")
    stored = encode(grid, "bitmask", layers="ip1").tensors["ip1.weight"]
    assert stored.storage is not None
    parts = dict(stored.storage.parts)
    kept = np.count_nonzero(of(encode(grid, "bitmask", layers="ip1"), "ip1.weight"))
    assert parts["index"] == 400_000
    assert parts["values"] == 8 * kept
    scales = np.array(grid.tensors["ip1.weight"].quantisation.scales)[:, None]  # type: ignore[union-attr]
    apart = np.abs(of(encode(grid, "bitmask", layers="ip1"), "ip1.weight") - of(pruned, "ip1.weight"))
    assert (apart <= scales * 0.5001).all()


def test_narrow_floats_are_stored_as_they_are_rounded() -> None:
    stored = encode(linear([[0.1, 0.0], [1.5, 0.0]], dtype="fp16"), "bitmask").tensors["b"]
    assert stored.storage is not None
    assert dict(stored.storage.parts)["values"] == 2 * 16
    assert stored.values is not None
    assert stored.values()[0, 0] == np.float16(0.1)


@pytest.mark.parametrize(
    ("codec", "options", "message"),
    [
        ("cscc", {}, "unknown codec 'cscc'"),
        ("relative", {"pes": 4}, "codec relative has no option 'pes'"),
        ("relative", {"index_bits": 0}, "index_bits must be a whole number from 1"),
        ("n:m", {}, "layer matmul: codec n:m: .*is not 2:4"),
        ("codebook", {"codebook_bits": 2}, "layer matmul: codec codebook: .*more than 4 distinct"),
    ],
)
def test_what_a_codec_cannot_hold_has_one_clear_message(
    codec: str, options: dict[str, int], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        encode(linear(np.arange(1.0, 9.0).reshape(4, 2)), codec, **options)


def test_formats_without_a_grid_wait_for_one() -> None:
    with pytest.raises(SpecError, match="its format int8 has no grid yet"):
        encode(linear(np.ones((2, 2)), dtype="int8"), "bitmask")
    zeros = quantise_weights(linear([[1.0, 3.0]]), "int8", symmetric=False, per="tensor")
    if any(zeros.tensors["b"].quantisation.zero_points):  # type: ignore[union-attr]
        with pytest.raises(SpecError, match="has zero points"):
            encode(zeros, "bitmask")
