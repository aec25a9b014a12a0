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
from hwsim.workload import load_workload
from hwsim.workload.folder import save_workload
from tests.recurrent_layers import OPTIONS, layer

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


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_quantised_and_saved_and_runs_on_its_grids(option: str, tmp_path: Path) -> None:
    cell, more = OPTIONS[option]
    net = quantise(layer(cell, "batched", dtype="fp32", **more), "int8", per="channel")
    save_workload(net, tmp_path / "saved")
    found = load_workload(tmp_path / "saved")
    assert [op.problem for op in found.operators] == [op.problem for op in net.operators]
    assert all(ref.tensor in net.tensors for ref in select(net))
    if "projection" in more:
        assert "projection" in {ref.tensor for ref in select(net)}
    assert verify(found, FORMATS).bit_exact


def test_low_rank_says_why_not() -> None:
    with pytest.raises(SpecError, match="it is a recurrent layer, whose weights stay whole"):
        low_rank(layer("rnn", "absent", dtype="fp32"), "svd", energy=0.9)
