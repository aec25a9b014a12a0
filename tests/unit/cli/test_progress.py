"""Progress: silent for short work; a rate and the time left for long work; never on standard output."""

from __future__ import annotations

import io
import sys
import time

import pytest

from hwsim.cli import progress as module
from hwsim.cli.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET_S", 0.02)
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.05)


def work(progress: Progress, steps: int = 4) -> None:
    with progress:
        time.sleep(0.06)
        for done in range(steps):
            progress(done, 1000 * steps)
            time.sleep(0.05)


def test_short_work_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    work(Progress("tiles"))
    assert capsys.readouterr() == ("", "")


def test_long_work_shows_plain_lines_where_no_terminal_is(
    hurried, capsys: pytest.CaptureFixture[str]
) -> None:
    work(Progress("tiles"))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) >= 2
    assert lines[0] == "hwsim: working (the first run also compiles, which takes some seconds)"
    assert all(line.startswith("hwsim: ") for line in lines)
    assert "\x1b" not in err
    assert "\r" not in err
    assert any(" of 4,000 tiles (" in line and "/s, " in line and line.endswith(" left") for line in lines)


def test_work_that_counts_nothing_says_once_what_it_does(hurried, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("tiles") as progress:
        for phase in ("planning", "reading"):
            progress.say(phase)
            time.sleep(0.3)
    said = [line.partition(" (")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == ["hwsim: planning", "hwsim: reading"]


def test_quiet_work_shows_nothing(hurried, capsys: pytest.CaptureFixture[str]) -> None:
    work(Progress("tiles", quiet=True))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_that_goes_away(hurried, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    work(Progress("rows"), steps=12)
    assert " of 12,000 rows (" in screen.getvalue()
    assert "\x1b[2K" in screen.getvalue()  # the line is erased
    assert (
        screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1
    )  # and the cursor back


def test_a_dumb_terminal_gets_lines(hurried, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    work(Progress("rows"))
    assert screen.getvalue().startswith("hwsim: working")
    assert "\x1b" not in screen.getvalue()


def test_an_error_in_the_work_ends_the_drawing(hurried) -> None:
    progress = Progress("tiles")
    with pytest.raises(ZeroDivisionError), progress:
        raise ZeroDivisionError
    assert not progress._thread.is_alive()


def test_the_end_of_counting_is_said() -> None:
    progress = Progress("tiles")
    progress(0, 10)
    progress(10, 10)
    assert progress.line() == "10 tiles done, putting the results together"


def test_durations() -> None:
    found = [duration(seconds) for seconds in (0.1, 8.4, 59.6, 125, 12_000)]
    assert found == ["1 s", "8 s", "1 min 0 s", "2 min 5 s", "3 h 20 min"]
