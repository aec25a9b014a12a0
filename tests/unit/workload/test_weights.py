"""Weights files: what a network takes from one, what it refuses, and what it is known by."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hwsim.errors import SpecError
from hwsim.workload import load_workload
from hwsim.workload.weights import read_weights

NETWORK = """
name: two
weights: two.npz
input: {shape: [batch, 3]}
layers:
  - {name: fc, kind: linear, out_features: 2}
"""
TRAINED = {
    "fc.weight": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=np.float32),
    "fc.bias": np.array([0.5, -0.5], dtype=np.float32),
}


def _network(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "two.yaml"
    path.write_text(NETWORK)
    np.savez_compressed(folder / "two.npz", **arrays)
    return path


def test_a_network_takes_its_weights_from_the_file_beside_it(tmp_path: Path) -> None:
    net = load_workload(_network(tmp_path, **TRAINED), batch=4)
    for name, values in TRAINED.items():
        np.testing.assert_array_equal(net.values(name), values)
    assert not net.values("fc.weight").flags.writeable
    assert not any("drawn from seed" in note for note in net.notes)
    assert net.source.weights == str(tmp_path / "two.npz")


def test_half_precision_weights_are_read_as_fp32(tmp_path: Path) -> None:
    halves = {name: values.astype(np.float16) for name, values in TRAINED.items()}
    values = load_workload(_network(tmp_path, **halves)).values("fc.weight")
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, TRAINED["fc.weight"])


def test_other_weights_are_another_network(tmp_path: Path) -> None:
    path = _network(tmp_path, **TRAINED)
    first = load_workload(path)
    assert load_workload(path) is first
    _network(tmp_path, **{**TRAINED, "fc.bias": np.zeros(2, dtype=np.float32)})
    second = load_workload(path)
    assert second.values("fc.bias").tolist() == [0.0, 0.0]
    assert second.content_hash != first.content_hash


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"fc.bias": None, "fc.bais": TRAINED["fc.bias"]},
            "fc.bias: holds no tensor 'fc.bias'; did you mean 'fc.bais'",
        ),
        ({"fc2.bias": TRAINED["fc.bias"]}, "fc2.bias: is in the file, and the network has no such weight"),
        (
            {"fc.weight": TRAINED["fc.weight"].T},
            r"fc.weight: has shape \[3, 2\], and the network needs \[2, 3\]",
        ),
        ({"fc.weight": np.full((2, 3), np.nan)}, "fc.weight: holds NaN or infinity"),
        ({"fc.weight": np.full((2, 3), "x")}, "fc.weight: holds <U1 where real numbers must stand"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, changed: dict[str, np.ndarray | None], message: str
) -> None:
    arrays = {name: values for name, values in {**TRAINED, **changed}.items() if values is not None}
    with pytest.raises(SpecError, match=message):
        load_workload(_network(tmp_path, **arrays))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = _network(tmp_path, **TRAINED)
    (tmp_path / "two.npz").unlink()
    with pytest.raises(SpecError, match=r"two\.npz: there is no such weights file"):
        load_workload(path)


def test_a_kept_network_whose_weights_are_gone_is_not_given_again(tmp_path: Path) -> None:
    path = _network(tmp_path, **TRAINED)
    load_workload(path)
    (tmp_path / "two.npz").unlink()
    with pytest.raises(SpecError, match="there is no such weights file"):
        load_workload(path)


def test_damaged_bytes_are_refused_wherever_they_are(tmp_path: Path) -> None:
    path = _network(tmp_path, **TRAINED)
    whole = (tmp_path / "two.npz").read_bytes()
    before = read_weights(tmp_path / "two.npz")
    refused = 0
    for place in range(len(whole)):
        (tmp_path / "two.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = load_workload(path)
        except SpecError:
            refused += 1
        else:  # bytes that mean nothing, such as dates and attributes
            for name, values in before.arrays.items():
                np.testing.assert_array_equal(found.values(name), values)
    assert refused > len(whole) / 2
    (tmp_path / "two.npz").write_bytes(whole[:-30])
    with pytest.raises(SpecError, match="is damaged"):
        load_workload(path)


def test_a_header_that_asks_for_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (2**20, 2**20)}
    )
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("fc.weight.npy", header.getvalue() + b"\0" * 24)
    with pytest.raises(SpecError, match="does not hold the float32 array that it announces"):
        read_weights(path)


def test_pickled_objects_are_never_read(tmp_path: Path) -> None:
    path = tmp_path / "objects.npz"
    np.savez(path, **{"fc.weight": np.array([os.getcwd], dtype=object)})
    with pytest.raises(SpecError, match="does not hold the object array"):
        read_weights(path)


def test_shipped_networks_hold_trained_weights() -> None:
    for name in ("digits_cnn", "digits_mlp"):
        assert not any("seed" in note for note in load_workload(name).notes)
