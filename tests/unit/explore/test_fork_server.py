"""Where processes come from: what the server has loaded before it is forked, and that it disturbs nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from hwsim.explore import fork_server
from hwsim.explore import sweep as sweep_module
from hwsim.explore.crew import processors
from hwsim.explore.fork_server import ONE_THREAD, start_process, start_server
from hwsim.explore.stored import to_csv
from hwsim.explore.sweep import sweep
from tests.conftest import ROOT
from tests.sweeps import Quick, write_space


def in_fresh_python(program: str) -> str:
    """What a program prints, and nothing else, in an interpreter and a process group of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_starting_the_server_loads_nothing_here() -> None:
    program = "import sys, hwsim.explore.fork_server as f; f.start_server(); print(sorted(sys.modules))"
    loaded = in_fresh_python(program)
    assert "'hwsim.explore.fork_server'" in loaded
    assert "'numpy'" not in loaded


def test_the_command_starts_it_before_it_loads_anything_itself() -> None:
    program = """
import sys
from hwsim.cli.main import main
from hwsim.explore import fork_server
def start_server():
    print("numpy" in sys.modules)
    sys.exit()
fork_server.start_server = start_server
main(["sweep", "no_such_space", "-o", "no_such_folder/points.db"])
"""
    assert in_fresh_python(program) == "False\n"


AHEAD = """
import gc, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
os.kill(os.getpid(), signal.SIGINT)
import hwsim.explore.load_ahead
from hwsim.kernels.tile_sweep import sweep
assert sweep.signatures, "the kernel is not loaded"
assert len(os.listdir("/proc/self/task")) == 1, "a thread would not survive a fork"
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert gc.isenabled() and gc.get_freeze_count() > 10_000
print(sorted(sys.modules))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux shows them")
def test_what_is_loaded_ahead() -> None:
    one_thread = f"import os; os.environ.update({dict(ONE_THREAD)!r})"
    loaded = in_fresh_python(one_thread + AHEAD)
    for needless in ("hwsim.compress.recipe", "hwsim.report", "pandas", "rich"):
        assert f"'{needless}'" not in loaded


INTERRUPTED = """
import os, signal, time
from multiprocessing import Pipe, forkserver
from tests.unit.explore.test_fork_server import tell
from hwsim.explore.fork_server import start_process, start_server
signal.signal(signal.SIGINT, lambda *_: None)
start_server()
begun = forkserver._forkserver._forkserver_pid
for _ in range(40):
    os.killpg(0, signal.SIGINT)
    time.sleep(0.02)
ours, theirs = Pipe()
process = start_process(tell, theirs)
assert ours.recv()["parent"] == begun, "another had to be started"
process.join()
"""


def tell(connection: Connection) -> None:
    """Say what a process finds itself in."""
    connection.send({"parent": os.getppid(), **{name: os.environ.get(name) for name in ONE_THREAD}})


def test_ctrl_c_does_not_end_the_server_while_it_loads() -> None:
    in_fresh_python(INTERRUPTED)


SPAWNED = """
import os, signal, time
from multiprocessing import Pipe
from tests.unit.explore.test_fork_server import tell
from hwsim.explore import fork_server
signal.signal(signal.SIGINT, lambda *_: None)
fork_server._FORKS = False
ours, theirs = Pipe()
process = fork_server.start_process(tell, theirs)
theirs.close()
for _ in range(20):
    os.killpg(0, signal.SIGINT)
    time.sleep(0.02)
assert ours.recv()["parent"] == os.getpid()
process.join()
"""


def test_ctrl_c_does_not_end_a_process_while_it_loads_for_itself() -> None:
    in_fresh_python(SPAWNED)


def test_processes_come_from_one_server_and_take_one_thread() -> None:
    start_server()
    told = []
    for _ in range(2):
        ours, theirs = Pipe()
        process = start_process(tell, theirs)
        told.append(ours.recv())
        process.join()
    assert told[0] == told[1]
    assert told[0]["parent"] != os.getpid()
    assert {name: told[0][name] for name in ONE_THREAD} == ONE_THREAD


def test_without_a_fork_server_each_process_loads_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_module, "Evaluator", Quick)
    space = write_space(tmp_path, rows=2)
    alone = sweep(space, workers=0, check=0)
    monkeypatch.setattr(fork_server, "_FORKS", False)  # as on Windows
    spawned = sweep(space, workers=1, check=0)
    assert to_csv(alone.points.columns()) == to_csv(spawned.points.columns())


def test_processors_where_the_system_does_not_say_which_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processors() >= 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert processors() == 6
