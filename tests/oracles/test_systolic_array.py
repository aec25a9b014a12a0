"""The systolic kind against an array stepped register by register: same product, same cycles.

The stepped array pads edge folds with zeros to its full size, as the machine does: the diagonal runs through
all rows and columns whether or not they hold anything. Cycles of the simulated run are those until the last
result leaves the array; buffers, memory and activation unit are unlimited.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwsim.pipeline import run
from hwsim.workload import matmul
from tests.oracles.systolic_array import Collision, Outcome, run_output_stationary, run_stationary

Shape = tuple[int, int, int, int, int]  # rows, cols, m, n, k


def shapes(count: int, seed: int) -> list[Shape]:
    """Small arrays and products: corners first, then drawn at random."""
    corners = [
        (1, 1, 1, 1, 1),
        (1, 1, 3, 2, 4),
        (6, 1, 2, 3, 13),
        (1, 6, 2, 13, 3),
        (6, 6, 1, 13, 13),
        (5, 4, 13, 4, 5),
    ]
    draw = np.random.default_rng(seed)
    rest = [
        (*draw.integers(1, 7, 2).tolist(), *draw.integers(1, 14, 3).tolist())
        for _ in range(count - len(corners))
    ]
    return [*corners, *rest]


def operands(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(sum(shape))
    _, _, m, n, k = shape
    return draw.integers(-99, 100, (m, k)), draw.integers(-99, 100, (k, n))


def stepped(shape: Shape, dataflow: str, **options: Any) -> Outcome:
    """What the oracle says; its product is checked on the way."""
    a, b = operands(shape)
    rows, cols = shape[:2]
    if dataflow == "ws":
        found = run_stationary(a, b, rows, cols, **options)
    elif dataflow == "is":  # activations stay, weights stream: the transposed product
        found = run_stationary(b.T, a.T, rows, cols, **options)
        found = Outcome(found.product.T, found.cycles)
    else:
        found = run_output_stationary(a, b, rows, cols, **options)
    assert (found.product == a @ b).all()
    return found


def simulated(shape: Shape, dataflow: str, **array: Any) -> int:
    """Cycles of the run on systolic_plain with this array."""
    rows, cols, m, n, k = shape
    fields = {"rows": rows, "cols": cols, "dataflow": dataflow, **array}
    overrides = {f"array.{name}": str(value).lower() for name, value in fields.items()}
    return run(matmul(m, n, k), "systolic_plain", overrides=overrides).cycles


@pytest.mark.parametrize("dataflow", ["ws", "is", "os"])
def test_folds_one_after_another(dataflow: str) -> None:
    """systolic_plain as it is: each fold shifts in, streams through and leaves before the next begins."""
    for shape in shapes(60, seed=1):
        assert simulated(shape, dataflow) == stepped(shape, dataflow).cycles, shape


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_second_plane_hides_the_shift_of_separate_folds(dataflow: str) -> None:
    for shape in shapes(25, seed=2):
        assert simulated(shape, dataflow, double_buffer=True) == stepped(shape, dataflow, planes=2).cycles, (
            shape
        )


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_overlapped_folds_with_a_second_plane(dataflow: str) -> None:
    """A fold every T cycles, or every R where shifting in takes longer; skew only at the end."""
    for shape in shapes(40, seed=3):
        found = simulated(shape, dataflow, double_buffer=True, fold_overlap=True)
        assert found == stepped(shape, dataflow, planes=2, overlap=True).cycles, shape
        # Flip-flops that hand over at the edge gain nothing here: the loader or the data are what is full.
        assert found == stepped(shape, dataflow, planes=2, overlap=True, handover=True).cycles, shape


@pytest.mark.parametrize("dataflow", ["ws", "is"])
def test_overlapped_folds_with_one_plane(dataflow: str) -> None:
    """New stationary operands follow the old data diagonally: R + T cycles a fold."""
    for shape in shapes(40, seed=4):
        found = simulated(shape, dataflow, fold_overlap=True)
        assert found == stepped(shape, dataflow, overlap=True).cycles, shape


def test_one_plane_could_gain_a_cycle_a_fold_by_handing_over_at_the_edge() -> None:
    """The model counts shifting in and computing as separate phases. Registers written in the very cycle of
    their last use would save exactly one cycle between two folds: the price of the simple count."""
    shape = (4, 3, 7, 3, 12)  # three folds
    assert (
        simulated(shape, "ws", fold_overlap=True) - stepped(shape, "ws", overlap=True, handover=True).cycles
        == 2
    )


@pytest.mark.parametrize("overlap", [False, True])
def test_sums_that_shift_out_in_place(overlap: bool) -> None:
    """Output-stationary with a serial drain of one row a cycle."""
    for shape in shapes(40, seed=5):
        found = simulated(shape, "os", fold_overlap=overlap, drain="serial")
        assert found == stepped(shape, "os", overlap=overlap, drain="serial").cycles, shape


def test_sums_that_leave_by_a_second_register() -> None:
    """A hidden drain needs the second registers for R cycles a fold, so folds of fewer steps wait for them.
    The model keeps the array for those cycles behind the last fold too, where nothing follows."""
    for shape in shapes(40, seed=6):
        rows, depth = shape[0], shape[4]
        behind_last = max(rows - depth, 0)
        found = simulated(shape, "os", fold_overlap=True)
        assert (
            found - behind_last == stepped(shape, "os", overlap=True, drain="hidden", handover=True).cycles
        ), shape


def test_hidden_drain_of_separate_folds_costs_nothing() -> None:
    for shape in shapes(25, seed=7):
        assert simulated(shape, "os") == stepped(shape, "os", drain="hidden", handover=True).cycles, shape


def test_the_oracle_notices_a_fold_that_comes_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that its products and collisions prove something: without the controller they go wrong."""
    from tests.oracles import systolic_array

    a, b = operands((3, 3, 5, 3, 9))
    with pytest.raises(Collision):
        systolic_array._step_output_stationary([(a[:3], b)] * 2, 9, 3, 3, "serial", False)
    real = systolic_array._StationaryArray.control

    def hasty(array: Any, overlap: bool, handover: bool) -> None:
        loading = len(array.load_begun)
        if loading < len(array.folds) and array.cycle == 4 * loading:
            array.load_begun.append(array.cycle)
        real(array, overlap, handover)

    monkeypatch.setattr(systolic_array._StationaryArray, "control", hasty)
    assert (run_stationary(a, b, 3, 3, overlap=True).product != a @ b).any()


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (1, 4), (2, 3), (5, 4)])
def test_shift_in_of_another_length(rows: int, cols: int) -> None:
    """shift_in_cycles replaces the R cycles of the shift and nothing else; here in each of four folds."""
    shape = (rows, cols, 4, cols + 1, 2 * rows)
    assert simulated(shape, "ws", shift_in_cycles=rows + 3) == stepped(shape, "ws").cycles + 3 * 4
