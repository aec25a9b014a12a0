"""The long run: `make fuzz`, or `python -m tests.fuzz --inputs 100000 --seed 0`.

Feeds inputs to a worker process, counts answers by kind, keeps failing inputs in a folder, and ends with
status 1 where there are any.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import IO, Any

from tests import conftest  # says where compiled kernels are kept, here and in workers
from tests.fuzz.inputs import KINDS, make_input

WORKER = "tests.fuzz.worker"
KEPT = 5  # inputs of one signature
WALL_S = 60.0  # for what waits without computing, on a busy machine
SAID_EVERY = 5000  # inputs between two lines of progress
START_S = 300.0  # packages and kernels
LOST = "ended its worker"  # in place of a kind: nobody was left to say which
FOLDER = conftest.ROOT / ".cache" / "fuzz"


class Worker:
    """A worker process and what it answers."""

    def __init__(self, seed: int, module: str = WORKER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(seed)],
            cwd=conftest.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.lines: SimpleQueue[str] = SimpleQueue()
        self.listener = Thread(target=self._listen, args=(self.process.stdout,), daemon=True)
        self.listener.start()
        if not self._answer(START_S):
            raise SystemExit("the worker did not start; its own message stands above")

    def _listen(self, answers: IO[str]) -> None:
        with answers:
            for line in answers:
                self.lines.put(line)
        self.lines.put("")

    def _answer(self, seconds: float) -> str:
        """The next line; none where the worker has ended or is silent for so long."""
        try:
            return self.lines.get(timeout=seconds)
        except Empty:
            self.process.kill()
            return ""

    def ask(self, number: int) -> dict[str, Any]:
        """The verdict on an input, and the peak of memory. A worker that dies of it has given one."""
        assert self.process.stdin is not None
        began = time.monotonic()
        with suppress(BrokenPipeError):  # a worker that has ended answers nothing
            self.process.stdin.write(f"{number}\n")
            self.process.stdin.flush()
        line = self._answer(WALL_S)
        if line:
            return dict(json.loads(line))
        status = self.process.wait()
        waited = f"{time.monotonic() - began:.0f} s"
        if status == -signal.SIGPROF:
            signature = "its processor time ran out"
        elif status == -signal.SIGKILL:
            signature = f"no answer in {WALL_S:g} s, or killed by the system"
        else:
            signature = f"the process ended with status {status}"
        said = {"answer": "fault", "signature": signature, "story": f"after {waited}"}
        return {"peak": 0, "last": True, **said}

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.listener.join()


@dataclass
class Tally:
    """What was found so far."""

    seed: int
    folder: Path
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    signatures: Counter[str] = field(default_factory=Counter)
    firsts: dict[str, int] = field(default_factory=dict)
    peak: int = 0

    @property
    def inputs(self) -> int:
        return self.answers.total()

    def take(self, number: int, verdict: dict[str, Any]) -> None:
        self.peak = max(self.peak, verdict["peak"])
        self.answers[verdict.get("kind", LOST), verdict["answer"]] += 1
        if verdict["answer"] != "fault":
            return
        signature = verdict["signature"]
        self.signatures[signature] += 1
        self.firsts.setdefault(signature, number)
        if self.signatures[signature] > KEPT:
            return
        given = make_input(self.seed, number)
        if verdict.get("sha256", given.sha256) != given.sha256:
            raise SystemExit(f"input {number} of seed {self.seed} was another one in the worker")
        kept = self.folder / re.sub(r"[^A-Za-z0-9.]+", "-", signature)[:80] / str(number)
        kept.mkdir(parents=True, exist_ok=True)
        given.write(kept)
        said = {"seed": self.seed, "number": number, "kind": given.kind, "arguments": dict(given.arguments)}
        (kept / "input.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        (kept / "story.txt").write_text(verdict["story"], encoding="utf-8", errors="backslashreplace")

    def lines(self) -> Iterator[str]:
        yield f"{'kind':<18}{'inputs':>9}{'accepted':>10}{'refused':>9}{'faults':>8}"
        for kind in (*KINDS, LOST, "all"):
            counts = [
                sum(n for (k, a), n in self.answers.items() if kind in (k, "all") and a == answer)
                for answer in ("accepted", "refused", "fault")
            ]
            yield f"{kind:<18}{sum(counts):>9,}{counts[0]:>10,}{counts[1]:>9,}{counts[2]:>8,}"
        yield f"most memory of a worker: {self.peak / 2**20:,.0f} MiB"
        for signature, count in self.signatures.most_common():
            yield f"{count:>6,} x {signature} (first: input {self.firsts[signature]})"
        if self.signatures:
            yield f"failing inputs are in {self.folder}"


def campaign(seed: int, inputs: int, seconds: float, folder: Path, worker: str = WORKER) -> Tally:
    """Feed inputs 0 to `inputs`, or as many as `seconds` allow; a new worker wherever one ends."""
    shutil.rmtree(folder, ignore_errors=True)
    tally = Tally(seed, folder)
    ends = time.monotonic() + seconds
    number = 0
    while number < inputs and time.monotonic() < ends:
        with Worker(seed, worker) as asked:
            while number < inputs and time.monotonic() < ends:
                verdict = asked.ask(number)
                tally.take(number, verdict)
                number += 1
                if number % SAID_EVERY == 0:
                    faults = tally.signatures.total()
                    sys.stderr.write(f"{number:,} of {inputs:,} inputs, {faults:,} faults\n")
                if verdict["last"]:
                    break
    return tally


def main() -> None:
    reader = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    reader.add_argument("--inputs", type=int, default=100_000, help="how many inputs")
    reader.add_argument("--seed", type=int, default=0, help="the series of inputs")
    reader.add_argument("--minutes", type=float, default=120.0, help="end after these, finished or not")
    reader.add_argument("--folder", type=Path, default=FOLDER, help="where failing inputs go; emptied first")
    asked = reader.parse_args()
    tally = campaign(asked.seed, asked.inputs, asked.minutes * 60, asked.folder)
    sys.stdout.write("\n".join(tally.lines()) + "\n")
    sys.stdout.write(f"{tally.inputs:,} of {asked.inputs:,} inputs tried\n")
    sys.exit(1 if tally.signatures else 0)


if __name__ == "__main__":
    main()
