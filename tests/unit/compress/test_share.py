"""Weight sharing: k-means against a slow second answer, and what a layer's codebook holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.compress.prune import prune
from hwsim.compress.share import STARTS, Start, k_means, nearest, share
from hwsim.errors import SpecError
from hwsim.workload import load_workload
from tests.weights import linear, of


def best_inertia(numbers: list[float], count: int) -> float:
    """The least sum of squared distances of sorted numbers to `count` centres: all last clusters tried."""
    best: dict[tuple[int, int], float] = {(0, 0): 0.0}
    for clusters in range(1, count + 1):
        for end in range(clusters, len(numbers) + 1):
            tries = []
            for first in range(clusters - 1, end):
                part = numbers[first:end]
                mean = sum(part) / len(part)
                if (first, clusters - 1) in best:
                    tries.append(best[first, clusters - 1] + sum((x - mean) ** 2 for x in part))
            best[end, clusters] = min(tries)
    return best[len(numbers), count]


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=25),
    st.integers(1, 6),
    st.sampled_from(STARTS),
)
def test_centres_are_the_means_of_what_is_nearest_to_them(
    numbers: list[int], count: int, start: Start
) -> None:
    count = min(count, len(numbers))
    ordered = np.sort(np.array(numbers, dtype=np.float32))
    found = k_means(ordered, count, start, 7)
    assert found.centres.size == min(count, len(set(numbers)))  # none stands unused
    moved = nearest(found.centres, ordered)
    for centre in found.centres:
        members = ordered[moved == np.float32(centre)]
        assert members.mean() == pytest.approx(centre, abs=1e-4)
    direct = float(np.square(ordered.astype(np.float64) - moved).sum())
    assert found.inertia == pytest.approx(direct, abs=1e-3)
    assert found.inertia >= best_inertia(sorted(map(float, numbers)), found.centres.size) - 1e-3


def test_separate_heaps_are_found_from_every_start() -> None:
    heaps = np.sort(np.concatenate([np.full(50, x, dtype=np.float32) for x in (-3.0, 0.5, 4.0)]))
    for start in STARTS:
        found = k_means(heaps, 3, start, 1)
        assert found.centres.tolist() == [-3.0, 0.5, 4.0]
        assert found.inertia == 0.0


def test_a_linear_start_leaves_no_centre_in_the_gap_that_pruning_made() -> None:
    pruned = prune(load_workload("lenet5"), 0.1)
    shared = share(pruned, 6, layers="conv2")
    tensor = shared.tensors["conv2.weight"]
    assert len(tensor.codebook) == 63  # and zero is the last of 64 entries
    assert set(np.unique(of(shared, "conv2.weight"))) == {0.0, *map(np.float32, tensor.codebook)}


def test_zeros_of_a_pruned_layer_stay_and_no_other_becomes_one() -> None:
    pruned = prune(load_workload("lenet5"), 0.3)
    shared = share(pruned, 3)
    for name in ("conv1.weight", "ip1.weight"):
        assert ((of(shared, name) == 0) == (of(pruned, name) == 0)).all()
        assert len(shared.tensors[name].codebook) == 7
        assert shared.tensors[name].density == pruned.tensors[name].density
    assert shared.tensors["ip1.weight"].stored_bits == 400_000 * 32  # no codec yet: nothing is saved


def test_each_layer_has_bits_of_its_own_and_weights_go_to_the_nearest() -> None:
    before = load_workload("lenet5")
    shared = share(before, 2, bits_by_layer={"conv*": 4, "conv2": 5})
    sizes = {name: len(t.codebook) for name, t in shared.tensors.items() if t.codebook}
    assert sizes == {"conv1.weight": 16, "conv2.weight": 32, "ip1.weight": 4, "ip2.weight": 4}
    book = np.array(shared.tensors["ip2.weight"].codebook)
    old, new = of(before, "ip2.weight"), of(shared, "ip2.weight")
    apart = np.abs(old[..., None] - book)
    assert np.allclose(np.abs(old - new), apart.min(axis=-1), atol=1e-7)


def test_a_random_start_depends_on_the_seed_alone() -> None:
    workload = load_workload("lenet5")
    one, same, other = (
        share(workload, 6, start="random", seed=seed, layers="conv1").tensors["conv1.weight"].codebook
        for seed in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 0}, "bits 0"),
        ({"bits": 9}, "bits 9"),
        ({"bits": 2.5}, r"bits 2\.5"),
        ({}, "needs `bits`"),
        ({"bits": 3, "start": "guess"}, "unknown start 'guess'"),
        ({"bits": 3}, r"a codebook of 3 bits has 8 entries, more than the 4 weights that would share them"),
        ({"bits_by_layer": {"fc": 1}}, "no layer 'fc'"),
    ],
)
def test_bad_settings_have_one_clear_message(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        share(linear(np.ones((2, 2))), **settings)  # type: ignore[arg-type]


def test_a_pruned_layer_with_too_few_weights_is_refused() -> None:
    with pytest.raises(SpecError, match=r"255 entries beside zero, more than the 50 nonzero weights"):
        share(prune(load_workload("lenet5"), 0.1), 8)
