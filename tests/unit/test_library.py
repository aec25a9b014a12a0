"""Finding shipped and own files by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwsim import library
from hwsim.errors import SpecError
from hwsim.library import find, names


def test_shipped_designs_are_listed():
    shelf = Path(__file__).parents[2] / "designs"
    assert names("designs") == sorted(path.stem for path in shelf.glob("*.yaml"))
    assert {"eie_64pe", "gemmini_16", "tpu_v1"} <= set(names("designs"))


def test_the_order_of_places(tmp_path, monkeypatch):
    here, first, second = (tmp_path / name for name in ("here", "first", "second"))
    for folder in (here, first, second):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HWSIM_PATH", f"{first}{os.pathsep}{os.pathsep}{second}")
    shipped = find("designs", "tpu_v1")
    assert shipped.is_absolute()
    (second / "tpu_v1.yaml").touch()
    assert find("designs", "tpu_v1") == second / "tpu_v1.yaml"
    (first / "designs").mkdir()
    (first / "designs" / "tpu_v1.yaml").touch()
    assert find("designs", "tpu_v1") == first / "designs" / "tpu_v1.yaml"
    (here / "tpu_v1.yaml").touch()
    assert find("designs", "tpu_v1").resolve() == here / "tpu_v1.yaml"


def test_the_package_goes_before_the_checkout(tmp_path, monkeypatch):
    package = tmp_path / "site" / "hwsim"
    (package / "_shipped" / "designs").mkdir(parents=True)
    (package.parent / "designs").mkdir()
    (package.parent / "designs" / "stranger.yaml").touch()
    (package / "_shipped" / "designs" / "own.yaml").touch()
    monkeypatch.setattr(library, "_PACKAGE", package)
    monkeypatch.chdir(tmp_path)
    assert names("designs") == ["own"]
    with pytest.raises(SpecError, match="stranger"):
        find("designs", "stranger")


def test_extensions_are_tried_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").touch()
    assert find("workloads", "net").name == "net.onnx"
    (tmp_path / "net.yaml").touch()
    assert find("workloads", "net").name == "net.yaml"


@pytest.mark.parametrize("path", ["absent.yaml", "./tpu_v1", "sub/x", "A.YAML"])
def test_paths_are_taken_as_they_are(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    assert str(find("designs", path)) == path.removeprefix("./")


def test_a_folder_of_the_same_name_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tpu_v1.yaml").mkdir()
    assert find("designs", "tpu_v1").is_file()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tpu_v2", r"there is no design called 'tpu_v2'; did you mean tpu_v1\?"),
        ("TPU-V1", r"did you mean tpu_v1\?"),
        ("qqqqqq", "shipped are .*gemmini_16, "),
        ("", "there is no design called ''"),
        ("..", "there is no design called"),
        ("a\0b", "there is no design called"),
        ("x" * 5000, "there is no design called"),
    ],
)
def test_unknown_names(tmp_path, monkeypatch, name, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=told) as caught:
        find("designs", name)
    assert "(looked in ., " in str(caught.value)
    assert len(str(caught.value)) < 600
