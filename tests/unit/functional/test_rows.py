"""Rows of a tensor that are seen where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import UnsupportedError
from hwsim.functional import activations, execute
from hwsim.pipeline import run, verify
from hwsim.workload import Source, Workload
from hwsim.workload.builder import GraphBuilder, Label

FORMATS = Path(__file__).parents[2] / "formats.yaml"


def some_rows() -> Workload:
    g = GraphBuilder("rows")
    seen = g.rows(Label("rows"), g.unary(Label("all"), g.input("x", (6, 3)), "relu"), 2, 5)
    return g.build([g.unary(Label("out"), seen, "tanh")], Source("builtin", "constructor", ""))


def test_they_are_what_lies_there_and_cost_nothing() -> None:
    net, x = some_rows(), np.random.default_rng(0).standard_normal((6, 3))
    wanted = np.tanh(np.maximum(x, 0))[2:5]
    assert np.abs(activations(net, {"x": x})["out"] - wanted).max() < 1e-12
    assert np.abs(execute(net.astype("fp32"), {"x": x})["out"] - wanted).max() < 1e-6
    assert verify(net, FORMATS, dtype="int8").bit_exact
    timing = run(net, FORMATS).timing
    assert timing.elapsed_ps[list(timing.names).index("rows")] == 0


def test_images_cannot_be_stacked_along_them() -> None:
    with pytest.raises(UnsupportedError, match="works across the first axis"):
        execute(some_rows(), {"x": np.zeros((12, 3), dtype=np.float32)})
