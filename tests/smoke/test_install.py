"""hwsim as people install it: from a wheel, editable, and read-only with a home that cannot be written.

Each install has an environment of its own outside the checkout. To need no network and few seconds, it
borrows the third-party packages of the environment that runs the tests, by a .pth file; hwsim itself is never
borrowed, which each test asserts. `.ci/run` also installs the wheel with the dependencies that it declares.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
# How the read-only test makes permissions bind: root may write anywhere until this capability is taken away.
if hasattr(os, "geteuid") and os.geteuid() == 0:
    MEANS = ("root without CAP_DAC_OVERRIDE", ("setpriv", "--bounding-set", "-dac_override"))
else:
    MEANS = ("rights of an ordinary user", ())


def call(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed, with a bare environment, and return what it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment without pip, with the third-party packages of this one in reach."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        return self.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"

    @classmethod
    def make(cls, folder: Path) -> Environment:
        call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
        made = cls(folder)
        # Only the folder goes on the path: .pth files inside it, such as an editable hwsim, are not followed.
        made.packages.joinpath("borrowed.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
        return made

    def install(self, *what: str | Path) -> None:
        offline = ("--no-deps", "--no-index", "--no-build-isolation", "--no-compile", "--quiet")
        # pip sees a borrowed hwsim (of an install that is not editable) as present already.
        target = (*PIP, "--python", self.python, "install", *offline, "--ignore-installed")
        call(*target, *what, cwd=self.folder.parent, HOME=str(self.folder.parent))

    def home_of_hwsim(self, cwd: Path, *, wrapped: Sequence[str] = ()) -> Path:
        program = "import hwsim; print(hwsim.__file__)"
        return Path(call(*wrapped, self.python, "-c", program, cwd=cwd).strip()).parent

    def run_lenet5(self, cwd: Path, *, wrapped: Sequence[str] = (), home: Path) -> dict[str, object]:
        """`hwsim run lenet5 --design tpu_v1` away from the checkout; what it prints on standard output."""
        command = (
            *wrapped,
            self.python,
            self.folder / "bin" / "hwsim",
            "run",
            "lenet5",
            "--design",
            "tpu_v1",
        )
        out = cwd / "result"
        printed = call(*command, "--json", "--out", out, cwd=cwd, HOME=str(home))
        summary = json.loads(printed)
        assert out.joinpath("result.json").is_file()
        assert isinstance(summary, dict)
        return summary


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, ROOT, cwd=dist)
    return next(dist.glob("hwsim-*.whl"))


def check_summary(summary: dict[str, object]) -> None:
    # LeNet-5 of Caffe: 288,000 + 1,600,000 + 400,000 + 5,000 multiply-accumulates for one digit.
    assert (summary["workload"], summary["design"]) == ("lenet5", "tpu_v1")
    assert summary["batch"] == 1
    assert summary["macs"] == 2_293_000
    assert isinstance(summary["latency_s"], float)
    assert 1e-6 < summary["latency_s"] < 1e-2


def test_wheel_holds_what_it_must(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for shelf in ("workloads", "designs", "recipes", "spaces"):
        files = [path for path in (ROOT / shelf).rglob("*") if path.is_file()]
        assert files
        assert {f"hwsim/_shipped/{path.relative_to(ROOT).as_posix()}" for path in files} <= names
    assert "hwsim/py.typed" in names
    ours = (
        path for path in (ROOT / "hwsim").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    inside = {name for name in names if name.startswith("hwsim/") and not name.startswith("hwsim/_shipped/")}
    assert {path.relative_to(ROOT).as_posix() for path in ours} == inside
    dist_info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
    assert {f"{dist_info}/licenses/LICENSE", f"{dist_info}/licenses/NOTICE"} <= names
    strays = [
        n for n in names if n.endswith((".pyc", ".nbi", ".nbc")) or not n.startswith(("hwsim/", dist_info))
    ]
    assert not strays


def test_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    environment = Environment.make(tmp_path / "env")
    environment.install(wheel)
    assert environment.home_of_hwsim(tmp_path) == environment.packages / "hwsim"
    check_summary(environment.run_lenet5(tmp_path, home=tmp_path))


def test_editable_install_runs(tmp_path: Path) -> None:
    environment = Environment.make(tmp_path / "env")
    environment.install("--editable", ROOT)
    assert environment.home_of_hwsim(tmp_path) == ROOT / "hwsim"
    check_summary(environment.run_lenet5(tmp_path, home=tmp_path))


def refused(folder: Path, wrapped: Sequence[str]) -> bool:
    """Whether a process that is started in this way may not write into a folder."""
    attempt = (*wrapped, sys.executable, "-c", f"open({str(folder / 'written')!r}, 'w')")
    try:
        done = subprocess.run(attempt, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        return False
    return "PermissionError" in done.stderr


@pytest.fixture
def read_only() -> Iterator[list[Path]]:
    """Folders named here lose all write permissions below them, and get them back in the end."""
    folders: list[Path] = []
    yield folders
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IWUSR)


def forbid_writing(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)


@pytest.mark.parametrize("wrapped", [pytest.param(MEANS[1], id=MEANS[0])])
def test_read_only_install_with_an_unwritable_home_runs(
    wheel: Path, tmp_path: Path, read_only: list[Path], wrapped: Sequence[str]
) -> None:
    environment = Environment.make(tmp_path / "env")
    environment.install(wheel)
    home = tmp_path / "home"
    home.mkdir()
    for folder in (environment.folder, home):
        read_only.append(folder)
        forbid_writing(folder)
    if not all(refused(folder, wrapped) for folder in (environment.packages / "hwsim" / "kernels", home)):
        pytest.skip(f"permissions do not bind here: tried {MEANS[0]}")
    before = sorted(environment.folder.rglob("*"))
    assert environment.home_of_hwsim(tmp_path, wrapped=wrapped) == environment.packages / "hwsim"
    work = tmp_path / "work"
    work.mkdir()
    check_summary(environment.run_lenet5(work, wrapped=wrapped, home=home))
    assert sorted(environment.folder.rglob("*")) == before, "something was written into the install"
    assert not list(home.iterdir())
