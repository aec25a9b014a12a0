"""Recurrent layers under compression: their weights are compressed like others, and what runs is verified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.compress.layers import select
from hwsim.compress.lowrank import low_rank
from hwsim.compress.prune import prune
from hwsim.compress.quantise import quantise
from hwsim.errors import SpecError
from hwsim.pipeline import verify
from tests.recurrent_layers import layer

FORMATS = Path(__file__).parents[2] / "formats.yaml"


def test_weights_of_the_input_and_of_the_state_are_found() -> None:
    found = select(layer("lstm", "stepwise"))
    assert [(ref.tensor, ref.out_axis) for ref in found] == [("state_weight", 0), ("input_weight", 0)]


def test_pruned_weights_are_zero() -> None:
    net = prune(layer("gru", "stepwise", dtype="fp32"), density=0.25)
    for name in ("state_weight", "input_weight"):
        assert np.mean(net.values(name) != 0) == pytest.approx(0.25, abs=0.02)
        assert net.tensors[name].density == pytest.approx(0.25, abs=0.02)


def test_quantised_layers_run_on_their_grids() -> None:
    net = quantise(layer("lstm", "batched", dtype="fp32"), "int8", per="channel")
    assert net.tensors["state_weight"].quantisation is not None
    assert verify(net, FORMATS).bit_exact


def test_low_rank_says_why_not() -> None:
    with pytest.raises(SpecError, match="it is a recurrent layer, whose weights stay whole"):
        low_rank(layer("rnn", "absent", dtype="fp32"), "svd", energy=0.9)
