"""`sweep` and `export` on the command line: what they say, their exit status, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hwsim.cli import sweep as command_module
from hwsim.cli.main import main
from hwsim.cli.sweep import SweepProgress
from hwsim.explore import sweep as sweep_module
from hwsim.explore.sweep import Standing
from tests.sweeps import Quick, write_space

# A space small enough to be run by the real evaluator.
REAL = """
name: real
workloads: [lenet5]
designs: [tpu_v1]
axes:
  array.rows: [16, 32]
  weight_memory.bandwidth: [17 GB/s, 34 GB/s]
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A space whose points cost nothing, in a folder of its own."""
    monkeypatch.setattr(sweep_module, "Evaluator", Quick)
    monkeypatch.chdir(tmp_path)
    return write_space(tmp_path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_a_sweep_says_what_it_found_and_where(quick: Path) -> None:
    done = call("sweep", str(quick), "-o", "s.db", "--workers", "0", "--check", "0")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tiny_space: ")
    assert lines[1] == "720 points evaluated"
    assert any(line.startswith("720 points tried: ") for line in lines)
    assert any(line.startswith("array.rows") and "latency_s" in line for line in lines)
    assert lines[-2] == "Points in s.db"
    again = call("sweep", str(quick), "-o", "s.db", "--workers", "0", "--check", "0")
    assert again.stdout.splitlines()[1] == "0 points evaluated; 720 stored before"
    assert again.stdout.splitlines()[2:] == lines[2:]


def test_json_and_quiet_print_that_alone(quick: Path) -> None:
    options = ("sweep", str(quick), "-o", "s.db", "--workers", "0", "--check", "0")
    found = json.loads(call(*options, "--json").stdout)
    assert found["points"] == found["asked"] == found["evaluated"] == 720
    assert found["failed"] == found["status"]["unsupported"]
    assert {choice["why"] for choice in found["choices"]} == {"balanced", "latency_s", "energy_j", "area_mm2"}
    assert Path(found["store"]).name == "s.db"
    assert call(*options, "--quiet").stdout == f"{Path.cwd() / 's.db'}\n"


def test_points_of_a_real_sweep_equal_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(REAL)
    done = call("sweep", "space.yaml", "-o", "s.db", "--workers", "0", "--check", "2", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["checked"] == 2
    assert call("export", "s.db", "-o", "points.csv").stdout == f"4 points in {tmp_path / 'points.csv'}\n"
    header, *rows = Path("points.csv").read_text().splitlines()
    assert header.startswith("array.rows,weight_memory.bandwidth,latency_s,energy_j,area_mm2,")
    assert [row.split(",")[:2] for row in rows] == [
        ["16", "17000000000"], ["16", "34000000000"], ["32", "17000000000"], ["32", "34000000000"],
    ]  # fmt: skip
    alone = call(
        "run", "lenet5", "-d", "tpu_v1", "--set", "array.rows=32", "--set", "weight_memory.bandwidth=17 GB/s",
        "--no-verify", "--json",
    )  # fmt: skip
    assert float(rows[2].split(",")[2]) == json.loads(alone.stdout)["latency_s"]
    assert float(rows[2].split(",")[3]) == json.loads(alone.stdout)["energy_j"]


def test_export_writes_the_frontier_alone(quick: Path) -> None:
    call("sweep", str(quick), "-o", "s.db", "--workers", "0", "--check", "0")
    assert call("export", "s.db", "-o", "all.csv").exit_code == 0
    assert call("export", "s.db", "-o", "best.csv", "--frontier").exit_code == 0
    every, best = (Path(name).read_text().splitlines() for name in ("all.csv", "best.csv"))
    assert best == [every[0], *(line for line in every if line.endswith("True,True"))]
    assert 1 < len(best) < len(every) == 721


def test_export_to_parquet_holds_the_same(quick: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: `make cluster` installs it")
    call("sweep", str(quick), "-o", "s.db", "--workers", "0", "--check", "0")
    assert call("export", "s.db", "-o", "all.parquet").exit_code == 0
    from hwsim.explore.stored import load_sweep

    pandas.testing.assert_frame_equal(
        pandas.read_parquet("all.parquet"), load_sweep("s.db"), check_dtype=False
    )


def test_parquet_without_pyarrow_says_what_to_install(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("sweep", str(quick), "-o", "s.db", "--workers", "0", "--check", "0")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    done = call("export", "s.db", "-o", "all.parquet")
    assert done.exit_code == 2
    assert "pip install 'hwsim[parquet]'" in done.stderr
    assert not Path("all.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("sweep", "absent.yaml", "-o", "s.db"), 2, "absent.yaml: there is no such file"),
        (("sweep", "space.yaml"), 2, "Missing option '--out'"),
        (("sweep", "space.yaml", "-o", "s.db", "--resume"), 2, "no such store to go on with"),
        (("sweep", "space.yaml", "-o", "."), 2, "is a folder; name a file"),
        (("sweep", "space.yaml", "-o", "/proc/s.db"), 1, "cannot write /proc/s.db"),
        (("sweep", "space.yaml", "-o", "space.yaml"), 2, "space.yaml: is no store of hwsim sweep"),
        (("sweep", "space.yaml", "-o", "s.db", "--set", "sed=3"), 2, "did you mean seed?"),
        (("sweep", "space.yaml", "-o", "s.db", "--workers", "-3"), 2, "workers=-3"),
        (("export", "absent.db", "-o", "x.csv"), 2, "absent.db: there is no such store"),
        (("export", "space.yaml", "-o", "x.csv"), 2, "space.yaml: is no store of hwsim sweep"),
        (("export", "s.db", "-o", "x.txt"), 2, "its ending says how, and is .csv or .parquet"),
        (("export", "s.db", "-o", "no/folder/x.csv"), 1, "cannot write no/folder/x.csv"),
    ],
)
def test_bad_input_is_told_once(quick: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    if arguments[1] == "s.db":
        call("sweep", str(quick), "-o", "s.db", "--workers", "0", "--check", "0")
    done = call(*arguments)
    assert done.exit_code == status, done.output
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.output


def test_progress_tells_rate_time_left_frontier_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(command_module.time, "monotonic", lambda: now[0])
    progress = SweepProgress(quiet=True)
    assert progress.line().startswith("working")
    progress.watch(Standing(done=600, total=2000))
    assert progress.line() == "600 of 2,000 points (30 %), 0 on the frontier"
    progress.watch(Standing(done=700, total=2000, evaluated=100, frontier=3))
    now[0] += 2.0
    progress.watch(Standing(done=1100, total=2000, evaluated=500, failed=7, frontier=12))
    assert progress.line() == (
        "1,100 of 2,000 points (55 %), 200/s, 4 s left, 12 on the frontier, 7 without figures"
    )


@pytest.mark.parametrize(
    ("command", "words"), [("report", "`hwsim sweep -o STORE` wrote"), ("export", "makes one")]
)
def test_a_store_that_is_not_there_says_what_makes_one(command: str, words: str, tmp_path: Path) -> None:
    more = ["-o", str(tmp_path / "points.csv")] if command == "export" else []
    done = CliRunner().invoke(main, [command, str(tmp_path / "missing.db"), *more])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "missing.db: there is no such" in done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
