"""Calibration: ranges by three methods, over samples in any number of batches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hwsim.compress import calibrate as calibration
from hwsim.compress.calibrate import Method, Ranges, calibrate, find_range, in_batches, least_divergence
from hwsim.errors import SpecError
from hwsim.workload import load_workload
from tests.weighted import linear_layers

NET = linear_layers([[1.0, 0.0], [0.0, -2.0]], [[1.0, 1.0]])


def test_min_max_over_samples_by_hand() -> None:
    samples = {"x": np.array([[1.0, -1.0], [3.0, 2.0], [-4.0, 0.5]])}
    found = calibrate(NET, samples, Ranges(), 127)
    assert found["x"] == (-4.0, 3.0)
    assert found["fc1"] == (0.0, 3.0)  # relu of [1, 2], [3, -4], [-4, -1]
    assert found["fc2"] == (0.0, 3.0)  # 1 + 2, 3 + 0, 0 + 0


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_ranges_do_not_depend_on_how_samples_are_cut(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = {"x": np.random.default_rng(5).standard_normal((60, 2))}
    whole = calibrate(NET, samples, Ranges(method), 127)
    monkeypatch.setattr(calibration, "HELD_ELEMENTS", 21)  # seven images of three activations
    assert calibrate(NET, samples, Ranges(method), 127) == whole
    assert whole["x"][0] < 0 < whole["x"][1]
    assert whole["fc1"][0] == 0.0


def test_percentiles_leave_out_as_much_on_each_side() -> None:
    values = np.arange(100_001, dtype=np.float64) - 20_000
    low, high = find_range(values, Ranges("percentile", 99.0), 127)
    assert low == pytest.approx(-19_000, abs=4)
    assert high == pytest.approx(79_000, abs=4)
    assert find_range(values, Ranges("percentile", 100.0), 127)[1] == pytest.approx(80_000, abs=2)


def test_zeros_do_not_move_a_divergence() -> None:
    values = np.random.default_rng(2).exponential(size=50_000)
    alone = find_range(values, Ranges("entropy"), 127)
    among = find_range(np.concatenate([values, np.zeros(200_000)]), Ranges("entropy"), 127)
    assert among == (0.0, alone[1])
    assert alone[1] < values.max()  # the tail is clipped


def test_an_outlier_is_clipped_and_a_full_range_is_not() -> None:
    counts = np.zeros(2048, dtype=np.int64)
    counts[:200] = 1000
    counts[2047] = 1
    assert 192 <= least_divergence(counts, 127) <= 216
    assert least_divergence(np.full(2048, 50), 128) == 2048  # flat: every step stands for its bins exactly


def test_divergence_agrees_with_a_slow_count() -> None:
    """The same procedure bin by bin, without arrays, for every end that is tried."""
    draw = np.random.default_rng(11)
    for levels, bins in ((4, 40), (8, 72)):
        counts = draw.poisson(np.linspace(20, 0.2, bins))
        best = min((_slow_divergence(counts.tolist(), end, levels), end) for end in _ends(levels, bins))
        found = least_divergence(counts, levels)
        assert found == (bins if best[1] == bins else best[1] + 0.5)


def _ends(levels: int, bins: int) -> list[int]:
    return [*range(levels, bins, 8), bins]


def _slow_divergence(counts: list[int], end: int, levels: int) -> float:
    total = sum(counts)
    reference = [counts[i] for i in range(end)]
    reference[-1] += sum(counts[end:])
    candidate = [0.0] * end
    for level in range(levels):
        inside = [i for i in range(end) if level * end // levels <= i < (level + 1) * end // levels]
        occupied = [i for i in inside if counts[i]]
        for i in occupied:
            candidate[i] = sum(counts[j] for j in inside) / len(occupied)
    inside_total = sum(candidate)
    distance = 0.0
    for p, q in zip(reference, candidate, strict=True):
        if p:
            distance += p / total * math.log((p / total) / max(q / inside_total, 0.5 / total))
    return distance


def test_samples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecError, match=r"samples for 'x' have shape \[4, 3\]: small takes \[1, 2\]"):
        calibrate(NET, {"x": np.zeros((4, 3))}, Ranges(), 127)
    with pytest.raises(SpecError, match="samples are given for y: small takes x"):
        calibrate(NET, {"y": np.zeros((4, 2))}, Ranges(), 127)
    with pytest.raises(SpecError, match="not a finite number"):
        calibrate(NET, {"x": np.array([[np.nan, 1.0]])}, Ranges(), 127)
    with pytest.raises(SpecError, match="unknown way to find ranges 'max'"):
        Ranges("max")  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="percentile is 101"):
        Ranges("percentile", 101)


def test_without_samples_a_batch_is_drawn_from_the_seed() -> None:
    first, again = (calibrate(NET, None, Ranges(), 127) for _ in range(2))
    assert first == again
    assert first["x"][0] < first["x"][1]


def test_batches_hold_all_samples_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "HELD_ELEMENTS", 9)  # three images of three activations
    two = load_workload("digits_mlp", batch=2)
    images = np.zeros((6, 64))
    assert [len(batch["input"]) for batch in in_batches(two, {"input": images})] == [2, 2, 2]
    values = np.arange(14.0).reshape(7, 2)
    parts = [batch["x"] for batch in in_batches(NET, {"x": values})]
    assert [len(part) for part in parts] == [3, 3, 1]
    assert np.array_equal(np.concatenate(parts), values)
