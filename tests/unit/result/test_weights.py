"""The table of weights, and the sentence on what compressed weights buy, on cases written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwsim.result import WeightTable
from tests.samples import sample_result, sample_weights

MIB = 2**20


def table(**changes: Any) -> WeightTable:
    """Two tensors of 1 Mi int8 weights each: one with half its weights zero and stored in half the room, one
    as it was. The machine keeps both dense, moves both once, and multiplies everything."""
    fields: dict[str, Any] = {
        "operators": ("fc1", "fc2"),
        "layers": ("fc1", "fc2"),
        "tensors": ("w1", "w2"),
        "dtypes": ("int8", "int8"),
        "codecs": ("bitmask", "dense"),
        "uses": [1, 1],
        "weights": [MIB, MIB],
        "density": [0.5, 1.0],
        "codebook": [0, 0],
        "quantised": [False, False],
        "stored_bits": [4 * MIB, 8 * MIB],
        "dense_bits": [8 * MIB, 8 * MIB],
        "held_bytes": [MIB, MIB],
        "on_chip": [False, False],
        "moved_bytes": [MIB, MIB],
        "macs": [MIB, MIB],
        "multiplications": [MIB, MIB],
    }
    found = fields | changes
    kinds = {"density": np.float64, "quantised": np.bool_, "on_chip": np.bool_}
    return WeightTable(
        **{
            name: value if isinstance(value, tuple) else np.array(value, dtype=kinds.get(name, np.int64))
            for name, value in found.items()
        }
    )


def test_a_dense_machine_is_said_to_gain_nothing() -> None:
    assert table().remark("chip") == (
        "compressed weights help nothing here: chip keeps weights dense (1 MiB moved for 512 KiB stored) and "
        "multiplies their zeros"
    )


def test_weights_that_are_never_moved_are_held() -> None:
    assert "(1 MiB held for 512 KiB stored)" in table(moved_bytes=[0, 0]).remark("chip")


def test_shared_weights_without_zeros_have_none_to_multiply() -> None:
    said = table(density=[1.0, 1.0], codebook=[15, 0]).remark("chip")
    assert said.endswith("(1 MiB moved for 512 KiB stored)")


HALF = MIB // 2


@pytest.mark.parametrize(
    ("changes", "extent", "room", "work"),
    [
        (
            {"held_bytes": [HALF, MIB], "multiplications": [HALF, MIB]},
            "help here", "512 KiB for 1 MiB dense (512 KiB stored)", "50.0 % of their 1.05 MMAC",
        ),
        (
            {"held_bytes": [HALF, MIB], "multiplications": [MIB // 4, MIB]},
            "help here", "512 KiB for 1 MiB dense (512 KiB stored)",
            "25.0 % of their 1.05 MMAC, zero activations skipped too",
        ),
        (
            {"held_bytes": [HALF, MIB]},
            "save room and no multiplication here", "512 KiB for 1 MiB dense (512 KiB stored)",
            "100.0 % of their 1.05 MMAC",
        ),
        (
            {"held_bytes": [2 * MIB, MIB], "multiplications": [HALF, MIB]},
            "save multiplications and no room here", "2 MiB, more than 1 MiB dense (512 KiB stored)",
            "50.0 % of their 1.05 MMAC",
        ),
        (
            {"density": [0.5, 0.5], "held_bytes": [HALF, MIB], "multiplications": [HALF, MIB]},
            "help with 1 of 2 tensors here", "1.5 MiB for 2 MiB dense (1.5 MiB stored)",
            "75.0 % of their 2.1 MMAC",
        ),
    ],
)  # fmt: skip
def test_what_helps_is_said_in_figures(changes: dict[str, Any], extent: str, room: str, work: str) -> None:
    assert table(**changes).remark("chip") == (
        f"compressed weights {extent}: chip keeps them in {room} and carries out {work}"
    )


def test_a_form_larger_than_dense_is_no_help() -> None:
    said = table(held_bytes=[2 * MIB, MIB]).remark("chip")
    assert "help nothing here: chip keeps 2 MiB of them, more than dense (1 MiB moved" in said


def test_dense_weights_are_not_spoken_of() -> None:
    dense = table(density=[1.0, 1.0], codecs=("dense", "dense"), stored_bits=[8 * MIB, 8 * MIB])
    assert not dense.compressed
    assert dense.remark("chip") == ""
    assert dense.summary("chip") is None
    assert not WeightTable().compressed


def test_a_chosen_grid_alone_is_compressed_and_needs_no_remark() -> None:
    """Its number format is the run's, so every machine that takes it gains what it can."""
    dense = table(density=[1.0, 1.0], codecs=("dense", "dense"), quantised=[True, False])
    assert dense.compressed
    assert dense.remark("chip") == ""


def test_totals_are_sums() -> None:
    assert table().totals() == {
        "tensors": 2, "weights": 2 * MIB, "not_zero": 3 * MIB // 2, "stored_bits": 12 * MIB,
        "dense_bits": 16 * MIB, "held_bytes": 2 * MIB, "moved_bytes": 2 * MIB, "macs": 2 * MIB,
        "multiplications": 2 * MIB,
    }  # fmt: skip


def test_padding_zeros_are_multiplied_and_are_no_useful_work() -> None:
    """Ten MACs, of which six stand in as stored entries, two of them padding: 4 useful of 7 possible."""
    sample = sample_result()
    counts = np.array([[8, 0], [30, 4], [40, 2]], dtype=np.int64)
    parts = np.array([[0, 0], [2, 2], [2, 0]], dtype=np.int64)
    timing = replace(sample.timing, parts=("multiply", "padding"), part_cycles=parts)
    result = sample_result(usage=replace(sample.usage, counts=counts), timing=timing)
    assert result.multiplications == 6
    peak = result.latency_s * result.clock_hz * result.macs_per_cycle
    assert result.utilization * peak == pytest.approx(4)


def test_the_summary_tells_of_compressed_weights_alone() -> None:
    assert sample_result().summary()["compressed_weights"] is None
    told = sample_result(weights=sample_weights()).summary()["compressed_weights"]
    assert isinstance(told, dict)
    assert told == sample_weights().totals() | {"remark": sample_weights().remark("machine")}
