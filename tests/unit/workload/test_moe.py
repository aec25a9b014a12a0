"""Which experts a place takes, as drawn from the seed."""

from __future__ import annotations

import numpy as np
import pytest

from hwsim.errors import CapacityError
from hwsim.workload.attention_layer import FeedForward
from hwsim.workload.builder import GraphBuilder, Label
from hwsim.workload.moe import Moe, add_moe, draw_experts


def loads(skew: float, seed: int = 0) -> np.ndarray:
    chosen = draw_experts(4000, 8, 2, skew, name="layer", seed=seed)
    return np.bincount(chosen.reshape(-1), minlength=8)


def test_each_place_takes_different_experts() -> None:
    chosen = draw_experts(500, 4, 3, 0.5, name="layer", seed=1)
    assert chosen.shape == (500, 3)
    assert all(len(set(row)) == 3 for row in chosen.tolist())


def test_without_skew_loads_differ_by_chance_alone() -> None:
    """1000 places are expected for each expert; six standard deviations of a binomial are 164."""
    assert loads(0.0).sum() == 8000
    assert abs(loads(0.0) - 1000).max() < 164


def test_skew_makes_loads_uneven() -> None:
    assert loads(2.0).max() > 2 * loads(0.0).max()
    assert loads(0.5).std() > 2 * loads(0.0).std()


def test_the_seed_decides() -> None:
    assert (loads(0.5) == loads(0.5)).all()
    assert (loads(0.5) != loads(0.5, seed=1)).any()
    other = draw_experts(4000, 8, 2, 0.5, name="other", seed=0)
    assert (np.bincount(other.reshape(-1), minlength=8) != loads(0.5)).any()


def test_too_many_scores_are_refused() -> None:
    builder = GraphBuilder("net")
    x = builder.input("x", (2**20, 4))

    def weigh(part: str, shape: tuple[int, ...], kind: str, fan_in: int) -> str:
        return builder.weight(part, shape, fan_in=fan_in)

    with pytest.raises(CapacityError, match="more scores than hwsim draws"):
        add_moe(builder, Label("m"), x, Moe(64, 2, FeedForward(4)), weigh)
