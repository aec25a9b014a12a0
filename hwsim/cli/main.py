"""The `hwsim` command: its sub-commands, loaded when they are called, and what becomes of errors.

Exit status: 0 success; 2 bad usage or bad input; 1 any other failure that hwsim foresees; 70 a fault of
hwsim; 130 interrupted; 141 the reader of the output has gone.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, TextIO

import click

from hwsim.cli.output import printable, write
from hwsim.errors import CheckError, DeadlockError, HwsimError, OutputError, VerificationError
from hwsim.version import __version__

# Command -> (module, what it does): the help text and `--version` load no command.
COMMANDS = {
    "run": ("hwsim.cli.run", "Run a workload on a design: time, energy, area, and what limits it."),
    "compare": ("hwsim.cli.compare", "Run workloads on designs and show them side by side."),
    "sweep": ("hwsim.cli.sweep", "Evaluate a space of designs, workloads and formats, and find the best."),
    "export": ("hwsim.cli.export", "Write the points of a sweep to a CSV or Parquet file."),
    "report": ("hwsim.cli.report", "Draw the page of a sweep, or that of a result folder again."),
    "compress": ("hwsim.cli.compress", "Make a workload smaller by a recipe, and say what became of it."),
    "verify": ("hwsim.cli.verify", "Compute a workload's numbers as a design would, and check them."),
    "list": ("hwsim.cli.list", "List the workloads, designs, recipes and spaces that hwsim finds."),
    "describe": ("hwsim.cli.describe", "Show what a design, workload, recipe or the technology tables say."),
    "schema": ("hwsim.cli.schema", "Print the JSON Schema of the files that hwsim reads, for editors."),
    "validate": ("hwsim.cli.validate", "Compare simulated times with measured ones."),
    "calibrate": ("hwsim.cli.calibrate", "Fit a design's constants to measurements."),
    "measure": ("hwsim.cli.measure", "Time operators on this machine, for calibrate and validate."),
}

INTRODUCTION = """hwsim simulates neural networks on hardware accelerators: how long a network takes, what it
costs in energy and area, and what limits it.

\b
Examples:
  hwsim run resnet50 --design tpu_v1
  hwsim run my_net.onnx --design tpu_v1 --batch 8 --set array.rows=128
  hwsim describe tpu_v1
"""

EXIT_BAD_INPUT, EXIT_FAILED, EXIT_BUG, EXIT_INTERRUPTED, EXIT_PIPE = 2, 1, 70, 130, 141
_FAILED = (OutputError, DeadlockError, CheckError, VerificationError, MemoryError)
_FORESEEN = (
    HwsimError,
    MemoryError,
    BrokenPipeError,
    click.ClickException,
    click.exceptions.Exit,
    click.Abort,
)
_SHOW_TRACEBACK = "HWSIM_TRACEBACK"
_GARBAGE = 100_000  # new objects between looks for garbage: loading makes many that stay (0.1 s with 700)


class Commands(click.Group):
    """A group that imports a command when it is called, and turns every error into one message."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ReaderGoneError from error
        except _FORESEEN:
            raise
        except Exception as error:
            show = ctx.params["traceback"] or bool(os.environ.get(_SHOW_TRACEBACK))
            raise _Bug(error, show) from error

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        parent = super().main

        def go() -> Any:
            return parent(
                args,
                prog_name or "hwsim",
                complete_var,
                False,
                windows_expand_args=windows_expand_args,
                **extra,
            )

        if not standalone_mode:
            return go()
        gc.set_threshold(_GARBAGE)
        atexit.register(gc.freeze)  # a last look for garbage, in all that numba made, takes another 0.2 s
        return sys.exit(_status(go))


class _ReaderGoneError(Exception):
    """Nobody reads the output any more; click would make it exit status 1."""


class _Bug(click.ClickException):
    """An error that hwsim did not foresee."""

    exit_code = EXIT_BUG

    def __init__(self, error: Exception, show: bool) -> None:
        self.trace = "".join(traceback.format_exception(error)) if show else ""
        kind = type(error).__name__
        again = "" if show else f" Run it again with {_SHOW_TRACEBACK}=1 to see where."
        super().__init__(
            f"this is a fault of hwsim {__version__}, not of its input ({kind}: {error}).{again}\n"
            "Please report it with the command line, the input files and the traceback."
        )


def _status(go: Callable[[], Any]) -> int:
    """Run, tell what went wrong on standard error, and return the exit status."""
    _never_fail_to_encode()
    try:
        status = go()
    except click.UsageError as error:
        context = error.ctx
        help_line = f"\n(see `{context.command_path} --help`)" if context else ""
        return _tell(error.format_message() + help_line, EXIT_BAD_INPUT)
    except click.ClickException as error:
        return _tell(error.format_message(), error.exit_code, trace=getattr(error, "trace", ""))
    except (click.Abort, KeyboardInterrupt) as error:
        why = str(error.__cause__ or error)  # click makes the one of the other
        return _tell(f"interrupted{why and '; '}{why}", EXIT_INTERRUPTED, sort="")
    except MemoryError:
        return _tell("out of memory: use a smaller batch or workload, or a larger array", EXIT_FAILED)
    except HwsimError as error:
        if isinstance(error, OutputError):
            _drop_output(sys.stdout)  # what a full disk did not take would fail again at exit
        return _tell(str(error), EXIT_FAILED if isinstance(error, _FAILED) else EXIT_BAD_INPUT)
    except (_ReaderGoneError, BrokenPipeError):
        _drop_output(sys.stdout, sys.stderr)
        return EXIT_PIPE
    except OSError as error:  # of click's own output; those of commands come as one of the above
        _drop_output(sys.stdout)
        return _tell(f"cannot write the output: {error.strerror or error}", EXIT_FAILED)
    return status if isinstance(status, int) else 0


def _tell(message: str, status: int, sort: str = "error: ", trace: str = "") -> int:
    try:
        click.echo(printable(f"{trace}hwsim: {sort}{message}", keep="\n"), err=True)
    except OSError:  # nobody to tell
        _drop_output(sys.stderr)
    return status


def _never_fail_to_encode() -> None:
    """A terminal that cannot show a character gets its code instead of a crash."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _drop_output(*streams: TextIO | None) -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush does not fail once more."""
    for stream in streams:
        with suppress(OSError, ValueError):  # a stream without a file, as in tests
            if stream is not None:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@click.group(
    "hwsim",
    cls=Commands,
    help=INTRODUCTION,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="hwsim %(version)s")
@click.option("--traceback", is_flag=True, help=f"Show where hwsim failed (as {_SHOW_TRACEBACK}=1 does).")
@click.pass_context
def main(ctx: click.Context, /, **_: bool) -> None:  # --traceback is read in Commands.invoke
    if ctx.invoked_subcommand is None:
        write(ctx.get_help())
