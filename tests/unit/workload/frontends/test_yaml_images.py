"""Layers of feature maps that came with decoders and mobile networks, against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hwsim.errors import SpecError
from hwsim.functional.execute import activations
from hwsim.workload import Workload, load_workload

HEAD = "name: net\nparameters: {batch: 2, twice: 2}\ninput: {shape: [batch, 6, 4, 5]}\nlayers:\n"


def load(tmp_path: Path, layer: str) -> Workload:
    path = tmp_path / "net.yaml"
    path.write_text(f"{HEAD}  - {layer}\n")
    return load_workload(path)


def result(net: Workload, x: NDArray[np.float64]) -> NDArray[np.float64]:
    return activations(net, {"input": x})[net.outputs[0]]


X = np.random.default_rng(3).standard_normal((2, 6, 4, 5))


def test_squeeze_and_excitation(tmp_path: Path) -> None:
    net = load(tmp_path, "{name: s, kind: squeeze_excite, squeeze: 3}")
    one, two = (net.values(f"s.{part}_weight")[:, :, 0, 0].astype(float) for part in ("squeeze", "excite"))
    middle = np.maximum(X.mean(axis=(2, 3)) @ one.T + net.values("s.squeeze_bias"), 0)
    gate = 1 / (1 + np.exp(-(middle @ two.T + net.values("s.excite_bias"))))
    np.testing.assert_allclose(result(net, X), X * gate[:, :, None, None], rtol=1e-6)
    assert net.parameter_count == 6 * 3 + 3 + 3 * 6 + 6


def test_channels_are_dealt_out(tmp_path: Path) -> None:
    found = result(load(tmp_path, "{kind: channel_shuffle, groups: 3}"), X)
    np.testing.assert_array_equal(found, X[:, [0, 2, 4, 1, 3, 5]])


def test_upsampling_repeats_the_nearest(tmp_path: Path) -> None:
    found = result(load(tmp_path, "{kind: upsample, scale: twice}"), X)
    np.testing.assert_array_equal(found, X.repeat(2, axis=2).repeat(2, axis=3))
    assert load(tmp_path, "{kind: upsample, size: [8, 7], function: linear}").tensors["upsample1"].shape == (
        2, 6, 8, 7,
    )  # fmt: skip


def test_a_transposed_convolution_lays_windows_over_one_another(tmp_path: Path) -> None:
    net = load(
        tmp_path,
        "{name: t, kind: conv_transpose, out_channels: 4, kernel: 3, stride: 2, pad: 1, output_padding: 1}",
    )
    # Operators hold the weights as a 1x1 convolution's; in the file's own layout they are [in, out, 3, 3].
    windows = net.values("t.weight").astype(float).reshape(4, 3, 3, 6)
    wide = np.zeros((2, 4, 10, 12))
    for h, w, r, s in np.ndindex(4, 5, 3, 3):
        wide[:, :, 2 * h + r, 2 * w + s] += np.einsum("nc,kc->nk", X[:, :, h, w], windows[:, r, s])
    expected = wide[:, :, 1 : 1 + 8, 1 : 1 + 10] + net.values("t.bias")[:, None, None]
    np.testing.assert_allclose(result(net, X), expected, rtol=1e-6, atol=1e-6)


def test_reductions(tmp_path: Path) -> None:
    found = result(load(tmp_path, "{kind: reduce, function: mean, axes: [-1, 1]}"), X)
    np.testing.assert_allclose(found, X.mean(axis=(1, 3)))
    kept = load(tmp_path, "{kind: reduce, function: max, axes: [2], keep: true}")
    np.testing.assert_array_equal(result(kept, X), X.max(axis=2, keepdims=True))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("{kind: channel_shuffle, groups: 4}", "4 groups do not divide 6 channels"),
        ("{kind: squeeze_excite, squeeze: 0}", "squeeze is 0"),
        ("{kind: upsample}", "layers[0].scale: or `size` says how large"),
        ("{kind: upsample, scale: 2, size: 4}", "layers[0].scale: or `size` says how large"),
        ("{kind: upsample, size: [4]}", "must be one number or [height, width]"),
        ("{kind: reduce, function: mean, axes: []}", "names no dimension"),
        ("{kind: reduce, function: mean, axes: [4]}", "axis 4 is out of range"),
        ("{kind: conv_transpose, out_channels: 4, kernel: 3, groups: 3}", "3 groups do not divide 4 output"),
        (
            "{kind: conv_transpose, out_channels: 4, kernel: 3, stride: 2, output_padding: 2}",
            "output padding",
        ),
    ],
)
def test_a_fault_is_told(tmp_path: Path, layer: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, layer)
    assert message in str(caught.value)
