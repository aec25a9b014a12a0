"""The eie kind: passes, whole networks, capacity, and what is refused. tests/hand_worked_eie.py has the
cycles."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwsim.design import load_design
from hwsim.devices import make_device
from hwsim.devices.eie_matrix import read_matrix, transposed
from hwsim.errors import CapacityError, UnsupportedError
from hwsim.library import find
from hwsim.pipeline import prepare, run, verify
from hwsim.plan.mapping import StreamMapping
from hwsim.plan.residency import Contents
from hwsim.tensor.codecs import interleave
from hwsim.tensor.storage import Quantisation
from hwsim.workload import Workload, conv2d, load_workload, matmul, matvec
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.graph import Source
from tests.hand_worked_eie import MATRIX, SMALL, busy, product
from tests.sparse import SPARSE

PATHS = ("events", "fast")


@pytest.mark.parametrize("timing", PATHS)
def test_a_matrix_without_room_comes_in(timing: str) -> None:
    """Room for two pointers is room for a column at a time: its entries of a byte, and four pointers of two
    bytes, through 1 GB/s, before each of three columns."""
    overrides = (*SMALL, "pointer_sram.size=8 B", "pointer_sram.pointer_bits=32", "io.bandwidth=1 GB/s")
    result = run(product(MATRIX, [1, 0, 1]), "eie_64pe", overrides=overrides, timing=timing)
    # Entries 2, 0 and 3; pointers 2 PEs x 2 x 4 bytes each time.
    assert busy(result)["weights"] == 2 + 0 + 3 + 3 * 16
    assert any("come in through io" in note for note in result.provenance.notes)
    assert verify(product(MATRIX, [1, 0, 1]), "eie_64pe", overrides=overrides).exact.all()


def without(folder: Path, section: str) -> Path:
    """The shipped design without one of its top-level fields."""
    text = find("designs", "eie_64pe").read_text()
    changed = re.sub(rf"^{section}:.*\n(  .*\n)*", "", text, flags=re.MULTILINE)
    assert changed != text
    path = folder / "machine.yaml"
    path.write_text(changed)
    return path


def test_nothing_comes_in_without_io(tmp_path: Path) -> None:
    design = without(tmp_path, "io")
    assert run(matvec(4, 60), design).latency_s > 0
    with pytest.raises(CapacityError, match="device memory"):
        run(matvec(4, 60), design, overrides=("pointer_sram.size=64 B",))


def test_both_timing_paths_and_the_numbers_agree_on_whole_networks() -> None:
    """Convolutions, groups, strides, pooling, several images; whole, and with hardly any room."""
    net = load_workload(SPARSE)
    for overrides in (
        (),
        ("activations.sram=64 B",),
        ("matrix_sram.size=64 B",),
        ("activations.registers=1",),
        ("weight_bits=2", "pointer_sram.size=512 B", "matrix_sram.size=64 B"),
    ):
        fast, events = (run(net, "eie_64pe", overrides=overrides, timing=path) for path in PATHS)
        assert (fast.trace.start_ps == events.trace.start_ps).all()
        assert verify(net, "eie_64pe", overrides=overrides).exact.all()


def test_weights_of_more_values_are_told() -> None:
    result = run(product(MATRIX, [1, 0, 1]), "eie_64pe", overrides=(*SMALL, "weight_bits=2"))
    assert any(
        "more than 3 values beside zero run once for each table of values: w (2)" in n
        for n in result.provenance.notes
    )


def test_weights_that_are_not_shared_are_refused() -> None:
    with pytest.raises(
        UnsupportedError, match=r"more than 480 different values besides zero.*share them first"
    ):
        run("lenet300", "eie_64pe")


def test_pooling_needs_lanes(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="pointwise_lanes"):
        run(load_workload(SPARSE), without(tmp_path, "pointwise_lanes"))


def test_a_dense_format_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="multiply int16, not int8"):
        run(matvec(4, 60), "eie_64pe", dtype="int8")


def test_a_column_that_no_pe_can_hold_is_refused() -> None:
    with pytest.raises(CapacityError, match="a column of 100 entries in one PE"):
        run(matvec(100, 3), "eie_64pe", overrides=("pes=1", "matrix_sram.size=8 B"))


# -- room ------------------------------------------------------------------------------------------------


def mapping_of(workload: Workload, *overrides: str) -> StreamMapping:
    device = make_device(load_design("eie_64pe", overrides).device_spec)
    found = [plan.mapping for plan in prepare(workload.astype("int16"), device).plans]
    streams = [mapping for mapping in found if isinstance(mapping, StreamMapping)]
    return streams[0]


def test_sums_need_room() -> None:
    """A PE has 64 registers and 2 KiB for 512 sums of 32 bits more: 64 PEs hold 36,864."""
    assert run(matvec(36_864, 8, density=0.1), "eie_64pe").latency_s > 0
    with pytest.raises(CapacityError, match=r"operator matvec has 36,865 sums of 32 bits.*hold 36,864"):
        run(matvec(36_865, 8, density=0.1), "eie_64pe")
    assert run(matvec(36_865, 8, density=0.1), "eie_64pe", overrides=("accumulator_bits=24",)).latency_s > 0


def test_sums_and_constants_take_room_from_activations() -> None:
    """52 vectors of 1,024 in and 232 out are 130,624 of 131,072 bytes, and 232 biases of 4 bytes 928."""

    def net(outputs: int, inputs: int, vectors: int) -> Workload:
        g = GraphBuilder("net", dtype="int16")
        x = g.input("x", (vectors, inputs))
        w = g.weight("w", (outputs, inputs), fan_in=9, density=0.1, shared_bits=4)
        y = g.matmul(Label("y"), x, w, g.weight("b", (outputs,), "bias"), transpose_b=True)
        return g.build([y], Source("builtin", "constructor", ""))

    assert not run(net(112, 1024, 52), "eie_64pe").spilled
    assert run(net(232, 1024, 52), "eie_64pe").spilled
    assert not run(net(232, 1024, 52), "eie_64pe", overrides=("activations.sram=2064 B",)).spilled


def test_a_feature_map_outside_comes_in_as_room_allows() -> None:
    """A map of 16 channels of 20 x 20, 2 bytes each, through windows of 3 x 3: a line is 640 bytes. With room
    for three lines each byte comes once, 12,800 / 324 windows; with less, three lines for each of 18 lines of
    the output; with room for less than a window of 288 bytes, all of it for each."""
    g = GraphBuilder("net", dtype="int16")
    x = g.input("x", (1, 16, 20, 20))
    w = g.weight("w", (4, 16, 3, 3), fan_in=9, density=0.5, shared_bits=4)
    net = g.build([g.conv2d(Label("y"), x, w)], Source("builtin", "constructor", ""))
    for sram, pes, each in (("200 B", 64, 40), ("24 B", 64, 107), ("8 B", 16, 288)):
        overrides = (f"activations.sram={sram}", "activations.sram_width_bits=16", f"pes={pes}")
        assert mapping_of(net, *overrides).vector_bytes == each
        assert verify(net, "eie_64pe", overrides=overrides).exact.all()


# -- what is refused, and nothing to do ------------------------------------------------------------------


def test_products_with_matrices_of_their_own_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="a matrix for each of 3 products"):
        run(matmul(4, 5, 6, batch=3), "eie_64pe")


def test_products_without_activations_or_weights_are_refused() -> None:
    def net(left: str, right: str) -> Workload:
        g = GraphBuilder("net", dtype="int16")
        x = g.input("x", (4, 4))
        w = g.weight("w", (4, 4), values=lambda: np.eye(4, dtype=np.float32))
        made = {"x": x, "w": w}
        y = g.matmul(Label("odd", "y"), made[left], made[right])
        z = g.matmul(Label("z"), x, w)
        return g.build([y, z], Source("builtin", "constructor", ""))

    with pytest.raises(
        UnsupportedError, match="operator odd multiplies two tensors that the network computes"
    ):
        run(net("x", "x"), "eie_64pe")
    with pytest.raises(
        UnsupportedError, match="operator odd multiplies two tensors that the network computes"
    ):
        run(net("w", "x"), "eie_64pe")
    with pytest.raises(UnsupportedError, match="operator odd has no activations"):
        run(net("w", "w"), "eie_64pe")


@pytest.mark.parametrize("tensor", ["a", "w"])
def test_a_zero_point_is_refused(tensor: str) -> None:
    """What is 0 would not be stored as 0, and so not skipped."""
    workload = matvec(8, 12, density=0.5).astype("int16")
    grid = replace(workload.tensors[tensor], quantisation=Quantisation((0.01,), (3,)))
    changed = replace(workload, tensors={**workload.tensors, tensor: grid})
    with pytest.raises(UnsupportedError, match=f"reads {tensor} on a grid with a zero point"):
        run(changed, "eie_64pe")


def test_nothing_to_multiply_takes_no_energy_to_multiply() -> None:
    """No nonzero weight lies in the one column that is broadcast."""
    result = run(product([[0, 1], [0, 1]], [1, 0]), "eie_64pe", overrides=SMALL)
    at = result.timing.names.index("second")
    assert busy(result) == {"compute": 1}
    assert result.usage.counts[at, result.usage.keys.index(("arithmetic", "mac_int16"))] == 0
    assert run(matvec(4, 3, density=0.05, act_density=0.3), "eie_64pe").latency_s > 0


def test_groups_with_more_values_than_tables_allow_are_refused() -> None:
    assert run(conv2d(1, 4, 6, 6, 4, 3), "eie_64pe").latency_s > 0  # 144 values: ten tables
    with pytest.raises(UnsupportedError, match="more than 32 different values"):
        run(conv2d(1, 4, 6, 6, 4, 3), "eie_64pe", overrides=("weight_bits=1",))


def test_pointers_that_do_not_reach_are_told() -> None:
    """16 bits reach 65,536 of the 131,072 entries in the paper's own PEs."""
    told = [line for line in run(matvec(4, 60), "eie_64pe").provenance.unmodelled if "pointers of" in line]
    assert told == [
        "how pointers of 16 bits reach beyond 65,536 entries: they reach all 131,072 that a PE holds"
    ]
    wide = run(matvec(4, 60), "eie_64pe", overrides=("pointer_sram.pointer_bits=24",))
    assert not any("pointers of" in line for line in wide.provenance.unmodelled)


def test_plans_are_not_kept_for_ever() -> None:
    """Each holds what its tensors are, and a process may compress a network a thousand times."""
    device = make_device(load_design("eie_64pe", ("clock=801 MHz",)).device_spec)
    for seed in range(140):
        prepare(matvec(4, 6, density=0.5, seed=seed).astype("int16"), device)
    assert len(device._plans) <= 256


@pytest.mark.parametrize(("pes", "bits", "word"), [(1, 4, 8), (3, 2, 8), (4, 1, 3), (64, 4, 16)])
def test_a_matrix_is_counted_as_the_codec_stores_it(pes: int, bits: int, word: int) -> None:
    workload = matvec(150, 40, density=0.06)
    (op,) = (op for op in workload.operators if op.kind == "matmul")
    weights = Contents(workload.tensors[op.inputs[1]])
    found = read_matrix(op.problem, transposed(op), weights, pes, bits, 15, word)  # type: ignore[arg-type]
    stored = interleave(workload.values(op.inputs[1]), pes, bits)
    np.testing.assert_array_equal(found.entries[0], stored.counts.T)
    np.testing.assert_array_equal(found.padding[0], stored.padding.sum(axis=0))
    assert pes > 3 or found.padding.sum() > 0
    words = np.zeros(40, dtype=np.int64)
    for column in range(40):
        for begin, end in stored.pointers[:, column : column + 2].tolist():
            words[column] += len({entry // word for entry in range(begin, end)})
    np.testing.assert_array_equal(found.words[0], words)
