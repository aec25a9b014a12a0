"""Does hwsim need what Windows lacks? Its commands run where tests/without_posix.py has taken that away, with
standard output in a code page of Windows and another encoding of files than UTF-8.

This is no run on Windows: paths, names and the file system are those of this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.sweeps import DESIGN

CODE_PAGE = "cp1252"
WINDOWS = {
    "PYTHONIOENCODING": CODE_PAGE,
    "PYTHONWARNDEFAULTENCODING": "1",
    # Text files are ASCII unless an encoding is named: less than any code page of Windows.
    "LC_ALL": "C",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONUTF8": "0",
}
SPACE = f"""
name: small
workloads: [lenet5]
designs: [{DESIGN.as_posix()}]
axes:
  unified_buffer.size: [64 KiB, 128 KiB]
  array.rows: [2, 4, 8]
objectives: [latency_s, energy_j, area_mm2]
"""
# In this order; later ones take what earlier ones wrote.
COMMANDS = {
    "run": "run lenet5 --design tpu_v1 --batch 2 --out result",
    "run over an earlier result": "run lenet5 --design tpu_v1 --out result",
    "compare": "compare lenet5 tpu_v1 eie_64pe --out compared",
    "compress": "compress lenet5 --recipe share_4bit --out small",
    "run what was compressed": "run small --design eie_64pe --out small-result --no-verify",
    "report": "report result",
    "sweep": "sweep space.yaml --out points.db --workers 2 --check 1",
    "sweep that finds all": "sweep space.yaml --out points.db --workers 2 --resume",
    "export": "export points.db --out points.csv",
    "report of a sweep": "report points.db",
    "design of the machine": "describe host",
}
Done = dict[str, subprocess.CompletedProcess[bytes]]


def in_python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=os.environ | environment, capture_output=True,
        timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which every Python process lacks what Windows does."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "tests" / "without_posix.py", site / "sitecustomize.py")
    return WINDOWS | {"PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def done(windows: dict[str, str], work: Path) -> Done:
    return {name: in_python(work, "-m", "hwsim", *line.split(), **windows) for name, line in COMMANDS.items()}


GONE = """
import locale, multiprocessing, os, signal
from pathlib import Path
for module in ("fcntl", "pwd", "grp", "resource", "termios"):
    try:
        __import__(module)
    except ModuleNotFoundError:
        continue
    raise AssertionError(module)
for module, name in (
    (os, "fork"), (os, "getuid"), (os, "sched_getaffinity"), (signal, "SIGKILL"), (signal, "pthread_sigmask")
):
    assert not hasattr(module, name), name
assert multiprocessing.get_all_start_methods() == ["spawn"]
for way in ("fork", "forkserver"):
    try:
        multiprocessing.get_context(way)
    except ValueError:
        continue
    raise AssertionError(way)
os.mkdir("folder")
with open("folder/file", "w", encoding="utf-8"):
    for act in (
        lambda: os.open("folder", os.O_RDONLY), lambda: Path("folder").rename("other"),
        Path("folder/file").unlink, lambda: Path("folder/file").replace("other"),
    ):
        try:
            act()
        except PermissionError:
            continue
        raise AssertionError(act)
Path("folder").rename("other")
assert locale.getencoding() not in ("utf-8", "UTF-8")
"""


def test_what_windows_lacks_is_gone(windows: dict[str, str], tmp_path: Path) -> None:
    found = in_python(tmp_path, "-c", GONE, **windows)
    assert found.returncode == 0, found.stderr.decode()


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_need_nothing_that_windows_lacks(done: Done, name: str) -> None:
    found = done[name]
    assert found.returncode == 0, found.stderr.decode()
    assert not found.stderr or found.stderr.startswith(b"hwsim: "), found.stderr.decode()  # progress
    shown = found.stdout.decode(CODE_PAGE)
    assert shown
    assert "\\u" not in shown, "a character of no code page is shown by its number"


def test_results_are_the_same_bytes(done: Done, work: Path, tmp_path: Path) -> None:
    assert done["run over an earlier result"].returncode == 0
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf-8")
    for line in (
        "run lenet5 --design tpu_v1 --out result",
        "sweep space.yaml --out points.db --workers 0 --check 0",
        "export points.db --out points.csv",
    ):
        found = in_python(tmp_path, "-m", "hwsim", *line.split(), PYTHONPATH=str(ROOT))
        assert found.returncode == 0, found.stderr.decode()
    for file in (*(tmp_path / "result").iterdir(), tmp_path / "points.csv"):
        there = work / file.relative_to(tmp_path)
        assert there.read_bytes() == file.read_bytes(), file.name


def test_nothing_is_left_beside_what_was_written(done: Done, work: Path) -> None:
    assert all(found.returncode == 0 for found in done.values())
    assert sorted(path.name for path in work.iterdir()) == [
        "compared", "points-report", "points.csv", "points.db", "result", "small", "small-result",
        "space.yaml",
    ]  # fmt: skip
