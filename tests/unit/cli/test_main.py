"""The frame of the command line: help, exit statuses, what errors look like, and what start-up loads."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hwsim.cli import main as module
from hwsim.cli.main import main
from hwsim.cli.output import output_errors, printable
from hwsim.errors import CapacityError, CheckError, DeadlockError, OutputError, SpecError, UnsupportedError

ROOT = Path(__file__).parents[3]
HWSIM = [sys.executable, "-c", "from hwsim.cli.main import main; main()"]


def hwsim(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(
        [*HWSIM, *arguments],
        cwd=ROOT,
        env=os.environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> object:
    """`hwsim list`, made to raise what a test wants."""

    def prepare(error: BaseException) -> None:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(module.import_module("hwsim.cli.list"), "names", fail)

    return prepare


def test_alone_it_says_what_it_is_and_shows_three_examples() -> None:
    result = CliRunner().invoke(main, [])
    assert result.exit_code == 0
    assert "hwsim simulates neural networks" in result.stdout
    assert result.stdout.count("\n    hwsim ") == 3
    for command in module.COMMANDS:
        assert command in result.stdout


def test_every_command_has_help() -> None:
    for command in module.COMMANDS:
        result = CliRunner().invoke(main, [command, "--help"])
        assert result.exit_code == 0, command
        assert "Usage: hwsim" in result.stdout


def test_version() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"hwsim {module.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["list", "cars"], ["run"], ["--frob"], ["schema", "x"]]
)
def test_bad_usage_is_status_2_and_one_message(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("hwsim: error: ")
    assert "--help`)" in result.stderr


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SpecError("bad"), 2),
        (UnsupportedError("bad"), 2),
        (CapacityError("bad"), 2),
        (OutputError("bad"), 1),
        (DeadlockError("bad"), 1),
        (CheckError("bad"), 1),
    ],
)
def test_errors_of_the_library_are_one_message(raising, error: Exception, status: int) -> None:
    raising(error)
    result = CliRunner().invoke(main, ["list"])
    assert (result.exit_code, result.stderr, result.stdout) == (status, "hwsim: error: bad\n", "")


def test_an_unforeseen_error_says_that_it_is_a_fault_and_hides_the_traceback(raising) -> None:
    raising(ZeroDivisionError("oh"))
    result = CliRunner().invoke(main, ["list"])
    assert result.exit_code == 70
    assert "this is a fault of hwsim" in result.stderr
    assert "ZeroDivisionError: oh" in result.stderr
    assert "HWSIM_TRACEBACK=1" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("arguments", "env"), [(["--traceback"], {}), ([], {"HWSIM_TRACEBACK": "1"})])
def test_the_traceback_is_shown_on_demand(raising, arguments: list[str], env: dict[str, str]) -> None:
    raising(ZeroDivisionError("oh"))
    result = CliRunner().invoke(main, [*arguments, "list"], env=env)
    assert result.exit_code == 70
    assert "Traceback (most recent call last)" in result.stderr
    assert "in fail" in result.stderr


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_interruptions(raising, error: BaseException, status: int, words: str) -> None:
    raising(error)
    result = CliRunner().invoke(main, ["list"])
    assert result.exit_code == status
    assert words in result.stderr
    assert bool(words) == bool(result.stderr.strip())
    assert "Traceback" not in result.stderr


def test_control_characters_do_not_reach_the_terminal(raising) -> None:
    raising(SpecError("a\x1b[31mred\x07\u202e\nsecond line \x9b"))
    result = CliRunner().invoke(main, ["list"], color=True)
    assert result.stderr == "hwsim: error: a\\x1b[31mred\\x07\\u202e\nsecond line \\x9b\n"


def test_printable_leaves_words_of_every_script() -> None:
    for text in ("plain [bold] :smile:", "caf\u00e9 \u6f22\u5b57 \u0440\u0443\u0441"):
        assert printable(text) == text
    assert printable("a\tb\r\n\ud800") == "a\\tb\\r\\n\\ud800"


def test_the_reader_may_leave(tmp_path: Path) -> None:
    script = f"{sys.executable} -c '{HWSIM[2]}' schema design | head -c 10; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert found.returncode in (0, 141)  # 0 when all of it went into the pipe before the reader left
    assert found.stderr == ""


def test_a_closed_pipe_is_quiet_whatever_is_still_buffered() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = subprocess.run(
            [*HWSIM, "schema", "design"],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    finally:
        os.close(writer)
    assert (process.returncode, process.stderr) == (141, "")


@pytest.mark.parametrize(
    "arguments", ["list", "--version", "schema design", "run lenet5 -d tpu_v1 --json -q --out {}"]
)
def test_output_that_cannot_be_written_is_one_message(arguments: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            [*HWSIM, *arguments.format(tmp_path / "out").split()],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
    assert (found.returncode, found.stderr) == (
        1,
        "hwsim: error: cannot write the output: No space left on device\n",
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_fault(closed: str) -> None:
    script = f"{sys.executable} -c '{HWSIM[2]}' list {closed}"
    assert subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, timeout=120).returncode == 0


def test_an_ascii_terminal_gets_ascii() -> None:
    found = hwsim("describe", "lenet5", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"})
    assert found.returncode == 0
    assert found.stdout.isascii()


def test_no_color_is_honoured() -> None:
    plain = hwsim("list", env={"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm-256color"})
    assert plain.returncode == 0
    assert "\x1b[3" not in plain.stdout  # attributes such as bold may stay, colours may not


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--version"], "numba pandas onnx rich pydantic numpy simpy matplotlib"),
        (["list"], "numba pandas onnx simpy matplotlib"),
        (["describe", "tpu_v1"], "numba pandas onnx simpy matplotlib"),
    ],
)
def test_start_up_loads_only_what_is_needed(arguments: list[str], absent: str) -> None:
    code = f"""
import sys
from hwsim.cli.main import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert not stop.code, stop.code
loaded = [name for name in {absent!r}.split() if name in sys.modules]
assert not loaded, loaded
"""
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr


def test_windows_has_another_word_for_a_reader_who_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_to_nobody() -> None:
        with output_errors():
            raise OSError(errno.EINVAL, "Invalid argument")

    with pytest.raises(OutputError, match="Invalid argument"):
        write_to_nobody()
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(BrokenPipeError):
        write_to_nobody()
