"""Reading files: what is there comes back, and everything else is one error with the file's name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwsim.errors import SpecError
from hwsim.files import read_file

MIB = 2**20


def refusal(path: str | Path, most_bytes: int = MIB) -> str:
    with pytest.raises(SpecError) as caught:
        read_file(path, most_bytes)
    return str(caught.value)


def test_a_file_up_to_the_limit_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * MIB)
    assert read_file(path, MIB) == b"x" * MIB
    assert read_file(str(path), MIB) == b"x" * MIB
    (tmp_path / "empty").touch()
    assert read_file(tmp_path / "empty", MIB) == b""


def test_a_file_beyond_the_limit_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    os.truncate(path, 2**40)  # sparse: it takes no room
    assert refusal(path) == f"{path}: holds 1,048,576.0 MiB; at most 1 MiB are read"


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    assert refusal("/dev/zero") == "/dev/zero: is not a regular file"
    assert refusal(tmp_path) == f"{tmp_path}: is a folder; name a file"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening it would wait for a writer for ever
    assert refusal(pipe) == f"{pipe}: is not a regular file"


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert refusal(path) == f"{path}: there is no such file"
    path.symlink_to(tmp_path / "nowhere")
    assert refusal(path) == f"{path}: there is no such file"
    assert "cannot be read" in refusal("a\0b")
    assert "cannot be read" in refusal(tmp_path / ("n" * 300))
    (tmp_path / "g").touch()
    assert "cannot be read" in refusal(tmp_path / "g" / "below a file")
