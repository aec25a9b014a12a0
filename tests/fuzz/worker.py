"""The process that inputs are fed to, under limits: `python -m tests.fuzz.worker SEED`.

Reads input numbers, one a line, and answers each with one line of JSON. Past its processor time the system
ends it; the campaign notices. An endless allocation meets the limit of addresses and becomes a MemoryError.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from hwsim import pipeline
from hwsim.plan import program
from tests.fuzz.inputs import Input, make_input, result_folders
from tests.fuzz.judge import Verdict, judge

PROCESSOR_S = 10.0  # of one input
MEMORY_BYTES = 2**30  # resident, of the whole process: interpreter, packages, and all that hwsim keeps
ADDRESS_BYTES = 2 * 2**30  # beyond what is mapped when work begins; far above MEMORY_BYTES, and still a limit
# By its own limits a run may take gigabytes: 20 million tiles, and a check of numbers that it expects to last
# some seconds. Here the limits are lower, so that what is seen beyond them passed no limit.
MOST_TILES = 200_000
VERIFIES_WITHIN_S = 0.3


def serve(seed: int, numbers: TextIO, answers: TextIO) -> None:
    """Answer until there are no more numbers, or memory is spent: what was taken is not given back."""
    program.MAX_TILES = MOST_TILES
    pipeline.VERIFIES_WITHIN_S = VERIFIES_WITHIN_S
    _warm_up()
    _limit_addresses()
    answers.write(json.dumps({"ready": True}) + "\n")
    answers.flush()
    with TemporaryDirectory(prefix="hwsim-fuzz-") as made:
        folder = Path(made) / "given"
        for line in numbers:
            given = make_input(seed, int(line))
            verdict = within_limits(given, folder)
            peak = peak_bytes()
            spent = peak > MEMORY_BYTES
            if spent and verdict.answer != "fault":
                signature = f"more than {MEMORY_BYTES >> 20:,} MiB resident"
                verdict = Verdict("fault", signature, f"{peak:,} bytes")
            said = {"kind": given.kind, "sha256": given.sha256, "peak": peak, "last": spent}
            answers.write(json.dumps(said | asdict(verdict)) + "\n")
            answers.flush()
            if spent:
                return


def within_limits(given: Input, folder: Path) -> Verdict:
    """Write an input's files into a fresh `folder` and judge it within its processor time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    given.write(folder)
    # The default answer to this signal ends the process, compiled code or not.
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR_S)
    try:
        return judge(given, folder)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def peak_bytes() -> int:
    """The most that this process ever held in memory."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started this process
        held = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(held.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _warm_up() -> None:
    """Compile what must be compiled before time counts."""
    result_folders()
    for timing in ("fast", "events"):
        pipeline.run("lenet300", "systolic_32", timing=timing, verify=True)


def _limit_addresses() -> None:
    status = Path("/proc/self/statm")
    if status.exists():  # Linux; elsewhere the peak alone is watched
        mapped = int(status.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (mapped + ADDRESS_BYTES, resource.RLIM_INFINITY))


def main() -> None:
    # What the library might print must not reach the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(int(sys.argv[1]), sys.stdin, answers)


if __name__ == "__main__":
    main()
