"""The compression table: bits counted once, and figures that numpy alone gives too."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.compress import compress, measure
from hwsim.compress.change import float_outputs, outputs_after, relative_change, too_large
from hwsim.compress.encode import encode
from hwsim.compress.lowrank import low_rank
from hwsim.compress.prune import prune
from hwsim.compress.quantise import quantise
from hwsim.compress.share import share
from hwsim.result.folder import strict
from hwsim.workload import load_workload
from tests.weights import linear, of

WEIGHTS = {"conv1": 500, "conv2": 25_000, "ip1": 400_000, "ip2": 5_000}


def test_zeros_without_a_codec_save_nothing_and_the_table_says_so() -> None:
    found = compress("lenet5", "prune_90").table
    assert found.totals.stored_bits == found.totals.dense_bits == 430_500 * 32
    assert found.totals.ratio == found.totals.network_ratio == 1.0
    assert found.totals.kept == 43_050
    assert any("without a codec, which saves no storage: conv1, conv2, ip1, ip2" in n for n in found.notes)
    assert any("drawn from seed 0" in note for note in found.notes)  # synthetic weights, named as such


def test_every_stored_bit_is_in_one_part_of_one_row() -> None:
    found = compress("lenet5", "deep_compression")
    table = found.table
    for row in table.rows:
        tensor = found.workload.tensors[row.tensor]
        assert tensor.storage is not None
        assert row.stored_bits == sum(row.parts.values()) == tensor.storage.bits
        values = tensor.values
        held = sum(8 * array.size for array in values.encoded.arrays.values())  # type: ignore[union-attr]
        header = row.parts["header"]
        assert held <= row.stored_bits - header + 8 * 6  # what fills last bytes is not counted
        assert held >= row.stored_bits - header
    assert table.totals.stored_bits == sum(table.totals.parts.values())
    assert table.totals.stored_bits == sum(row.stored_bits for row in table.rows)
    assert table.other_bits == (20 + 50 + 500 + 10) * 32
    network = (table.dense_bits + table.other_bits) / (table.totals.stored_bits + table.other_bits)
    assert table.totals.network_ratio == network


EMBEDDED = """
name: words
inputs: {tokens: {shape: [batch, 3], indices: 100}}
layers:
  - {kind: embedding, vocab: 100, width: 8}
  - {kind: linear, out_features: 4}
"""


def test_tables_of_embeddings_are_counted_in_their_format_before_and_after(tmp_path: Path) -> None:
    """A table of 800 numbers and a weight of 32, from fp32 to int8 with 4 scales of 32 bits; the bias of
    4 numbers is fp32 and then int32."""
    path = tmp_path / "words.yaml"
    path.write_text(EMBEDDED, encoding="utf-8")
    before = load_workload(path)
    table = measure(before, quantise(before, "int8"))
    assert (table.other_dense_bits, table.other_bits) == (800 * 32 + 4 * 32, 800 * 8 + 4 * 32)
    assert table.totals.stored_bits == 32 * 8 + 4 * 32
    assert table.totals.network_ratio == (32 * 32 + 25_728) / (384 + 6_528)


def test_scales_of_a_grid_are_stored_too() -> None:
    before = load_workload("lenet5")
    table = measure(before, quantise(before, "int8", per="channel"))
    parts = {row.layer: dict(row.parts) for row in table.rows}
    outputs = {"conv1": 20, "conv2": 50, "ip1": 500, "ip2": 10}
    assert parts == {name: {"values": WEIGHTS[name] * 8, "scales": outputs[name] * 32} for name in WEIGHTS}
    asymmetric = quantise(before, "int8", per="tensor", weights_symmetric=False)
    row = next(row for row in measure(before, asymmetric).rows if row.layer == "ip2")
    assert row.parts["scales"] == 32 + 8


def test_sqnr_and_inertia_are_those_of_the_numbers() -> None:
    before = load_workload("lenet5")
    found = compress("lenet5", "deep_compression")
    pruned = prune(before, densities={"conv1": 0.66, "conv2": 0.12, "ip1": 0.08, "ip2": 0.19})
    for row in found.table.rows:
        old = of(before, row.tensor).astype(np.float64)
        new = of(found.workload, row.tensor).astype(np.float64)
        wanted = 10 * math.log10(np.square(old).sum() / np.square(old - new).sum())
        assert row.sqnr_db == pytest.approx(wanted, rel=1e-9)
        assert row.inertia == pytest.approx(np.square(of(pruned, row.tensor) - new).sum(), rel=1e-6)
        assert row.density == np.count_nonzero(new) / new.size


def test_sqnr_of_a_grid_is_that_of_what_it_stores() -> None:
    before = load_workload("lenet5")
    row = measure(before, quantise(before, "int8", per="tensor")).rows[2]
    old = of(before, "ip1.weight").astype(np.float64)
    step = np.abs(old).max() / 127
    noise = np.square(np.rint(old / step) * step - old).sum()
    assert row.sqnr_db == pytest.approx(10 * math.log10(np.square(old).sum() / noise), abs=1e-3)


def test_output_change_is_relative_and_zero_where_nothing_changed() -> None:
    before = load_workload("lenet5")
    assert measure(before, encode(before, "dense")).output_change == 0.0
    assert relative_change({"y": np.array([3.0, 4.0])}, {"y": np.array([3.0, 4.5])}) == pytest.approx(0.1)
    after = prune(before, 0.5)
    wanted = relative_change(float_outputs(before), float_outputs(after))
    assert measure(before, after).output_change == wanted > 0
    rounded = quantise(before, "int4")
    assert outputs_after(before, rounded)["softmax1"].tolist() != float_outputs(rounded)["softmax1"].tolist()


def test_a_large_network_is_not_run_and_says_why() -> None:
    assert "15,470,264,320 MACs, to be run in float64 once" in too_large(load_workload("vgg16"), 1)
    huge = replace(load_workload("lenet5"), folded_parameters=2 * 10**8)
    table = measure(huge, huge)
    assert table.output_change is None
    assert "200,431,080 parameters" in table.not_computed


def test_factors_count_as_new_tensors_against_what_they_stand_for() -> None:
    before = load_workload("lenet300")
    after = low_rank(before, "svd", rank=10, layers="fc1")
    table = measure(before, after)
    new = [row for row in table.rows if not row.dense_bits]
    assert [row.weights for row in new] == [7840, 3000]
    assert all(row.sqnr_db is None and row.ratio is None for row in new)
    assert table.totals.dense_bits == (784 * 300 + 300 * 100 + 100 * 10) * 32
    assert table.macs_after == table.macs_before - 784 * 300 + 10_840


def test_accuracy_is_measured_where_labelled_data_are_given() -> None:
    found = compress("digits_mlp", "share_8bit", data="digits").table
    assert found.accuracy_before is not None
    assert found.accuracy_after is not None
    assert 0.9 < found.accuracy_after <= 1.0
    assert compress("digits_mlp", "share_8bit").table.accuracy_after is None


def test_plain_values_are_json_and_csv() -> None:
    table = compress("lenet5", "ternary").table  # holds infinities: two layers keep their numbers
    found = json.loads(json.dumps(strict(table.to_dict()), allow_nan=False))
    assert found["totals"]["stored_bits"] == table.totals.stored_bits
    assert [row["layer"] for row in found["layers"]] == list(WEIGHTS)
    assert found["layers"][0]["sqnr_db"] is None
    rows = list(csv.DictReader(io.StringIO(table.to_csv().decode())))
    assert [int(row["stored_bits"]) for row in rows] == [row.stored_bits for row in table.rows]


def test_what_is_saved_loads_and_runs_with_the_table_beside_it(tmp_path: Path) -> None:
    found = compress("lenet5", "eie")
    folder = found.save(tmp_path / "w")
    assert sorted(path.name for path in folder.iterdir()) == [
        "compression.csv",
        "report.html",
        "weights.npz",
        "workload.yaml",
    ]
    assert (folder / "compression.csv").read_bytes() == found.table.to_csv()
    loaded = load_workload(folder)
    assert [tensor.stored_bits for tensor in loaded.tensors.values()] == [
        tensor.stored_bits for tensor in found.workload.tensors.values()
    ]


def test_progress_counts_every_step_and_the_table() -> None:
    seen: list[tuple[int, int]] = []
    compress("lenet300", "share_4bit", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_shared_layer_of_one_number_is_nearly_free() -> None:
    stored = encode(share(linear(np.full((8, 8), 2.5)), 1), "codebook", codebook_bits=1)
    assert stored.tensors["b"].stored_bits == 64 + 32 + 32
