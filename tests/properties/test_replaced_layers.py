"""Low rank and Winograd on convolutions of any shape: outputs and MACs hold."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwsim.compress.lowrank import low_rank
from hwsim.compress.winograd import winograd
from hwsim.functional import activations
from hwsim.pipeline import verify
from hwsim.workload import Workload, conv2d
from hwsim.workload.operators import Conv2d

SEARCH = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def convolutions(draw: st.DrawFn, *, winograd_only: bool = False) -> Workload:
    """A convolution; 3x3 without stride and dilation if Winograd is to take it."""
    few = st.integers(1, 3)
    groups = draw(few)
    inputs, outputs = groups * draw(st.integers(2, 4)), groups * draw(st.integers(2, 4))
    kernel = (3, 3) if winograd_only else (draw(st.integers(2, 3)), draw(st.integers(2, 3)))
    stride, dilation = (1, 1), (1, 1)
    if not winograd_only:
        stride, dilation = (draw(few), draw(few)), (draw(few), draw(few))
    pad = tuple(draw(st.integers(0, 2)) for _ in range(4))
    size = [
        (side - 1) * gap + 1 + draw(st.integers(0, 7)) for side, gap in zip(kernel, dilation, strict=True)
    ]
    return conv2d(
        draw(few), inputs, *size, outputs, kernel, stride=stride, pad=pad, dilation=dilation, groups=groups
    )  # type: ignore[misc]


def same(changed: Workload, original: Workload, tolerance: float) -> None:
    x = np.random.default_rng(0).standard_normal(original.tensors["x"].shape)
    found, right = (activations(w, {"x": x})[w.outputs[0]] for w in (changed, original))
    assert np.abs(found - right).max() <= tolerance * max(1.0, np.abs(right).max())


@SEARCH
@given(convolutions(), st.sampled_from(["tucker", "cp", "separable"]))
def test_full_rank_factors_compute_the_convolution(work: Workload, method: str) -> None:
    (op,) = work.operators
    c = op.problem
    assert isinstance(c, Conv2d)
    k, per_group = c.K // c.groups, c.C // c.groups
    dims = (k, per_group, c.R, c.S)
    full: dict[str, int | tuple[int, int]] = {
        "tucker": (min(per_group, k * c.R * c.S), min(k, per_group * c.R * c.S)),
        "cp": math.prod(dims) // max(dims),
        "separable": min(per_group * c.R, k * c.S),
    }
    changed = low_rank(work, method, rank=full[method], layers="conv2d")
    same(changed, work, 1e-5)
    assert changed.tensors[changed.outputs[0]].shape == work.tensors[work.outputs[0]].shape


@SEARCH
@given(convolutions(winograd_only=True), st.sampled_from([2, 4]))
def test_winograd_computes_the_convolution_in_whole_tiles(work: Workload, tile: int) -> None:
    (op,) = work.operators
    c = op.problem
    assert isinstance(c, Conv2d)
    changed = winograd(work, tile)
    same(changed, work, 1e-5)
    tiles = c.N * math.ceil(c.P / tile) * math.ceil(c.Q / tile)
    multiplied = sum(each.problem.macs for each in changed.operators)
    assert multiplied == (tile + 2) ** 2 * tiles * c.C * c.K // c.groups
    assert changed.macs == work.macs


@settings(SEARCH, max_examples=8)
@given(convolutions(winograd_only=True), st.sampled_from([2, 4]))
def test_winograd_is_right_bit_for_bit(work: Workload, tile: int) -> None:
    assert verify(winograd(work, tile), "systolic_32", dtype="int8").exact.all()
