"""Accuracy and retrained weights: answers that are known, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.compress import calibrate as calibration
from hwsim.compress.accuracy import Accuracy, Labelled, accuracy, load_labelled
from hwsim.compress.binarise import binarise
from hwsim.compress.encode import encode
from hwsim.compress.prune import prune
from hwsim.compress.retrained import with_retrained
from hwsim.errors import SpecError
from hwsim.workload import load_workload
from tests.weighted import linear_layers, weighted

# Scores are the image itself, so the largest pixel is the answer.
MIRROR = linear_layers(np.eye(3))
IMAGES = np.array([[0.1, 0.9, 0.0], [0.5, 0.2, 0.3], [0.0, 0.0, 1.0], [0.4, 0.4, 0.1]])


def test_right_answers_are_counted() -> None:
    found = accuracy(MIRROR, Labelled("four", IMAGES, np.array([1, 0, 1, 0])))
    assert found == Accuracy(3, 4)  # the third is wrong; equal scores are the first class's
    assert found.share == 0.75
    assert accuracy(MIRROR, Labelled("four", IMAGES, np.array([1, 0, 2, 1]))).correct == 3


def test_images_are_executed_in_the_network_s_own_format() -> None:
    """In int4 the scores 0.52 and 0.48 of a largest 1 are 4 and 3 steps; 0.51 and 0.49 are 4 and 3 too, and
    0.505 and 0.5 are both 4."""
    images = np.array([[0.5, 0.505, 1.0e-9], [0.0, 0.0, 1.0]])
    on = Labelled("two", images, np.array([1, 2]))
    assert accuracy(MIRROR, on).correct == 2
    assert accuracy(MIRROR.astype("int4"), on).correct == 1


def test_a_last_batch_is_filled_up_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = accuracy(load_workload("digits_mlp"))
    for batch in (100, 7):
        assert accuracy(load_workload("digits_mlp", batch=batch)) == wanted
    monkeypatch.setattr(calibration, "HELD_ELEMENTS", 100 * 410)
    assert accuracy(load_workload("digits_mlp")) == wanted


def test_shipped_digits() -> None:
    test, train = load_labelled("digits", "test"), load_labelled("digits", "train")
    assert test.images.shape == (597, 8, 8)
    assert train.images.shape == (1200, 8, 8)
    for split in (test, train):
        assert split.images.min() == 0.0
        assert split.images.max() == 1.0
        shares = np.bincount(split.labels, minlength=10) / len(split.labels)
        assert np.all(np.abs(shares - 0.1) < 0.005)  # stratified
    seen = {image.tobytes() for image in train.images}
    assert not any(image.tobytes() in seen for image in test.images)  # no test image was trained on


def test_networks_and_data_that_do_not_fit() -> None:
    with pytest.raises(SpecError, match=r"images of four have 3 elements, and the network takes \[1, 64\]"):
        accuracy(load_workload("digits_mlp"), Labelled("four", IMAGES, np.zeros(4)))
    both = weighted(
        {"x": (1, 3)},
        {"w1": np.eye(3), "w2": np.eye(3)},
        [(op, (1, 3)) for op in linear_layers(np.eye(3), np.eye(3)).operators],
        ["fc1", "fc2"],
    )
    with pytest.raises(SpecError, match="one input and one output"):
        accuracy(both, Labelled("four", IMAGES, np.zeros(4)))
    with pytest.raises(SpecError, match="there is no data set called 'digit'; did you mean digits"):
        load_labelled("digit")


def test_files_that_hold_no_data_set(tmp_path: Path) -> None:
    whole = {
        "largest": np.uint8(16),
        "test_images": np.zeros((2, 4), dtype=np.uint8),
        "test_labels": np.zeros(2, dtype=np.uint8),
    }
    path = tmp_path / "set.npz"
    np.savez(path, **whole)
    assert load_labelled(path).images.shape == (2, 4)
    for name, wrong in (
        ("test_images", np.zeros((2, 4))),
        ("test_labels", np.zeros(3, dtype=np.uint8)),
        ("largest", np.uint8(0)),
    ):
        np.savez(path, **{**whole, name: wrong})
        with pytest.raises(SpecError, match=r"set\.npz"):
            load_labelled(path)
    np.savez(path, test_images=whole["test_images"], test_labels=whole["test_labels"])
    with pytest.raises(SpecError, match="largest: is not an array of whole numbers"):
        load_labelled(path)


# -- retrained weights -----------------------------------------------------------------------------------

NET = linear_layers([[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0]])


def _file(folder: Path, **arrays: object) -> Path:
    path = folder / "again.npz"
    np.savez(path, **{name: np.array(values, dtype=np.float16) for name, values in arrays.items()})
    return path


def test_retrained_weights_take_the_place_of_the_others(tmp_path: Path) -> None:
    path = _file(tmp_path, w1=[[0.5, 0.0], [0.0, 0.0]], w2=[[1.0, 2.0]])
    found = with_retrained(encode(prune(NET, 0.5), "bitmask"), path)
    assert found.values("w1").tolist() == [[0.5, 0.0], [0.0, 0.0]]
    assert found.tensors["w1"].density == 0.25
    assert found.tensors["w1"].storage is None  # the stored bits were those of other weights
    assert found.tensors["w1"].codebook == ()
    assert "retrained: weights of again.npz" in found.history[-1]
    shared = with_retrained(NET, path, shared=True)
    assert shared.tensors["w1"].codebook == (0.5,)
    assert shared.tensors["w2"].codebook == (1.0, 2.0)


def test_other_weights_make_another_network(tmp_path: Path) -> None:
    first = with_retrained(NET, _file(tmp_path, w1=np.eye(2), w2=[[1.0, 2.0]]))
    second = with_retrained(NET, _file(tmp_path, w1=np.eye(2), w2=[[1.0, 3.0]]))
    assert first.content_hash != second.content_hash


def test_a_grid_of_an_earlier_step_does_not_outlive_its_weights(tmp_path: Path) -> None:
    net = linear_layers(np.eye(2), np.eye(2), np.eye(2))
    path = _file(tmp_path, w1=np.eye(2), w2=[[4.0, -2.0], [1.0, 1.0]], w3=np.eye(2))
    found = with_retrained(binarise(net), path)
    assert found.tensors["w2"].quantisation is None
    assert binarise(found).values("w2").tolist() == [[3.0, -3.0], [1.0, 1.0]]


def test_retrained_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"w1: has shape \[3\], and the network needs \[2, 2\]"):
        with_retrained(NET, _file(tmp_path, w1=[1.0, 2.0, 3.0], w2=[[1.0, 2.0]]))
    with pytest.raises(SpecError, match="there is no weights file called 'digits_mlp_deeper'; did you mean"):
        with_retrained(NET, "digits_mlp_deeper")
