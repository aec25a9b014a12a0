"""Writing where Windows refuses what others allow: to rename what is open. What else holds of folders is
tested with results, in tests/unit/result/test_folder.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hwsim import folders
from hwsim.errors import OutputError
from hwsim.folders import FolderKind, write_text

KIND = FolderKind("a note", frozenset({"note.txt"}), lambda folder: (folder / "note.txt").is_file())


def note(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "note.txt").write_bytes(text.encode())


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Renaming and replacing fail as on Windows while a file is open: `times` more times, with `winerror`."""
    left = {"times": 0, "winerror": 32, "tries": 0}

    def broken(real: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def rename(path: Path, target: Path) -> Path:
            left["tries"] += 1
            if left["times"]:
                left["times"] -= 1
                error = PermissionError(13, "The process cannot access the file")
                if left["winerror"]:
                    error.winerror = left["winerror"]  # type: ignore[attr-defined]
                raise error
            return real(path, target)

        return rename

    monkeypatch.setattr(folders, "_PAUSES_S", (0.001,) * 3)
    for name in ("rename", "replace"):
        monkeypatch.setattr(Path, name, broken(getattr(Path, name)))
    return left


@pytest.mark.parametrize("winerror", [5, 32])
def test_what_is_open_for_a_moment_is_waited_for(tmp_path: Path, busy: dict[str, int], winerror: int) -> None:
    busy.update(times=2, winerror=winerror)
    KIND.write(tmp_path / "out", note("one"))
    busy.update(times=2)
    KIND.write(tmp_path / "out", note("two"))
    busy.update(times=2)
    write_text(tmp_path / "text", "three")
    assert (tmp_path / "out" / "note.txt").read_text(encoding="utf-8") == "two"
    assert (tmp_path / "text").read_text(encoding="utf-8") == "three"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "text"]


def test_what_stays_open_is_told_and_stays(tmp_path: Path, busy: dict[str, int]) -> None:
    KIND.write(tmp_path / "out", note("one"))
    busy.update(times=4, tries=0)
    with pytest.raises(OutputError, match="permission denied, or a program has it open: name another folder"):
        KIND.write(tmp_path / "out", note("two"))
    assert busy["tries"] == 4
    assert (tmp_path / "out" / "note.txt").read_text(encoding="utf-8") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_elsewhere_a_refusal_is_final(tmp_path: Path, busy: dict[str, int]) -> None:
    busy.update(times=1, winerror=0)
    with pytest.raises(OutputError, match="permission denied: name another folder"):
        KIND.write(tmp_path / "out", note("one"))
    assert busy["tries"] == 1


def test_mount_points_are_known_where_pathlib_does_not_know_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: Path) -> bool:
        raise NotImplementedError  # Python 3.11 on Windows

    monkeypatch.setattr(Path, "is_mount", unknown)
    KIND.write(tmp_path / "out", note("one"))
    KIND.write(tmp_path / "out", note("two"))
    with pytest.raises(OutputError, match="cannot be replaced as a whole"):
        KIND.check(Path(tmp_path.anchor))


def test_asking_makes_nothing(tmp_path: Path) -> None:
    assert KIND.check(tmp_path / "deep" / "down") == tmp_path / "deep" / "down"
    assert not list(tmp_path.iterdir())
