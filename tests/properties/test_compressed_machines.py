"""Honesty of compressed weights: a machine that keeps weights dense gains nothing, zeros without a codec save
no storage, and each stored bit is counted once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwsim.compress.encode import encode
from hwsim.compress.prune import prune
from hwsim.compress.share import share
from hwsim.design import load_design
from hwsim.design.kinds.systolic import SystolicSpec
from hwsim.library import names
from hwsim.pipeline import run
from hwsim.result import Result
from hwsim.workload import Workload, load_workload
from hwsim.workload.graph import multiplied
from hwsim.workload.operators import Matmul
from tests.weighted import layer, weighted

NETWORK = "lenet5"
DENSE = [
    name for name in names("designs") if isinstance(load_design(name).device_spec, SystolicSpec)
]  # arrays that stream weights as they are


def forms() -> dict[str, Workload]:
    """The same network dense, with zeros, with shared values, and stored by codecs."""
    dense = load_workload(NETWORK)
    pruned = prune(dense, 0.1)
    shared = share(pruned, 4)
    return {
        "pruned": pruned,
        "shared": shared,
        "csc": encode(shared, "csc", index_bits=4),
        "huffman": encode(shared, "relative", index_bits=4, huffman=True),
    }


@pytest.fixture(scope="module")
def compressed() -> dict[str, Workload]:
    return forms()


def bytes_moved(result: Result) -> dict[tuple[str, str], int]:
    totals = result.usage.counts.sum(axis=0).tolist()
    return dict(zip(result.usage.keys, totals, strict=True))


@pytest.mark.parametrize("design", DENSE)
def test_compressing_changes_nothing_on_a_dense_machine(compressed: dict[str, Workload], design: str) -> None:
    dense = run(NETWORK, design)
    for name, workload in compressed.items():
        found = run(workload, design)
        assert bytes_moved(found) == bytes_moved(dense), name
        assert found.timing.makespan_ps == dense.timing.makespan_ps, name
        assert found.peak_chip_bytes == dense.peak_chip_bytes, name
        assert (found.weights.held_bytes * 8 >= found.weights.dense_bits).all()
        assert (found.weights.multiplications >= found.weights.macs).all()
        assert found.weights.remark(design).startswith(
            f"compressed weights help nothing here: {design} keeps weights dense"
        ), name


def test_a_machine_for_sparse_weights_moves_and_multiplies_less(compressed: dict[str, Workload]) -> None:
    full = share(load_workload(NETWORK), 3)  # no zeros, and few values: it takes no others
    found, dense = run(compressed["csc"], "eie_64pe"), run(full, "eie_64pe")
    assert found.weights.held_bytes.sum() < dense.weights.held_bytes.sum()
    assert found.multiplications < dense.multiplications
    assert found.timing.makespan_ps < dense.timing.makespan_ps
    assert found.weights.remark("eie_64pe").startswith("compressed weights help here: eie_64pe keeps them in")


@pytest.mark.parametrize(
    ("name", "design"),
    [("pruned", "tpu_v1"), ("shared", "tpu_v1"), ("pruned", "generic_x86"), ("shared", "eie_64pe")],
)
def test_zeros_and_shared_values_without_a_codec_save_no_storage(
    compressed: dict[str, Workload], name: str, design: str
) -> None:
    weights = run(compressed[name], design).weights
    assert (weights.stored_bits == weights.dense_bits).all()
    assert weights.compressed


def test_a_weight_that_two_operators_share_is_stored_once() -> None:
    matrix = np.arange(-8, 8, dtype=np.float32).reshape(4, 4)
    twice = weighted(
        {"x": (1, 4)},
        {"w": matrix},
        [
            (layer(Matmul(1, 1, 4, 4), "x w", "first"), (1, 4)),
            (layer(Matmul(1, 1, 4, 4), "first w", "second"), (1, 4)),
        ],
        ["second"],
    )
    density = float(np.count_nonzero(matrix)) / matrix.size
    twice = replace(twice, tensors={**twice.tensors, "w": replace(twice.tensors["w"], density=density)})
    stored = encode(twice, "bitmask")
    found = run(stored, "tpu_v1", dtype="int8").weights
    assert found.tensors == ("w",)
    assert (found.operators, found.uses.tolist()) == (("first",), [2])
    assert found.stored_bits.tolist() == [stored.tensors["w"].stored_bits]
    assert (found.macs.tolist(), found.multiplications.tolist()) == ([32], [32])
    assert found.moved_bytes.tolist() == [2 * 16]  # it comes in for each of the two


@pytest.mark.parametrize("design", ["tpu_v1", "systolic_plain", "eie_64pe", "generic_x86"])
def test_the_table_and_the_network_agree(compressed: dict[str, Workload], design: str) -> None:
    workload = compressed["huffman"]
    result = run(workload, design)
    found = result.weights
    names_of = {name for op in workload.operators for name in multiplied(op)} & {
        name for name, tensor in workload.tensors.items() if tensor.role == "weight"
    }
    assert set(found.tensors) == names_of
    assert int(found.stored_bits.sum()) == sum(workload.tensors[name].stored_bits for name in names_of)
    assert int(found.weights.sum()) == sum(workload.tensors[name].elements for name in names_of)
    assert int(found.multiplications.sum()) == result.multiplications
    assert int(found.macs.sum()) == result.macs
