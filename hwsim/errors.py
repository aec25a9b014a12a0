"""Every error that leaves hwsim for bad input. Few classes, each with what a person needs to mend it."""

from __future__ import annotations

from dataclasses import dataclass


class HwsimError(Exception):
    """Base of all errors that hwsim raises on purpose; the command line turns it into one message."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of an input file: where it is, which field, what is wrong and how to mend it."""

    file: str
    line: int
    col: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.col}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class SpecError(HwsimError):
    """A design, workload, override or argument is wrong. Lists every problem found, not only the first."""

    def __init__(self, problems: Problem | list[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = [Problem("", 0, 0, "", problems)]
        elif isinstance(problems, Problem):
            problems = [problems]
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(p.message if not p.file else str(p) for p in self.problems))


class UnsupportedError(HwsimError):
    """An operator, layer or number format that a front end or device cannot take, and the reason."""


class CapacityError(HwsimError):
    """Something does not fit and cannot be tiled or spilled; the message holds the figures."""


class DeadlockError(HwsimError):
    """The simulation cannot go on; the message says who waits for what."""


class CheckError(HwsimError):
    """A result broke an honesty rule: a fault of hwsim, not of its input."""


class VerificationError(HwsimError):
    """The simulated schedule computes other numbers than the reference. Names the operator, the index of its
    first differing element (empty where nothing was computed), what was computed and expected there (as
    stored), the tile (counted over the whole Program; None where none was issued) and the stage of it that
    went wrong."""

    def __init__(
        self,
        operator: str,
        index: tuple[int, ...],
        got: float,
        expected: float,
        tile: int | None,
        stage: str,
        reason: str,
        run: str = "",
    ) -> None:
        self.operator = operator
        self.index = index
        self.got = got
        self.expected = expected
        self.tile = tile
        self.stage = stage
        self.reason = reason
        where = "no tile" if tile is None else f"tile {tile:,}"
        values = f"element {list(index)} is {got:.9g} and should be {expected:.9g}; " if index else ""
        prefix = f"{run}: " if run else ""
        super().__init__(f"{prefix}operator {operator}: {values}{where}, stage {stage}: {reason}")

    def within(self, run: str) -> VerificationError:
        """The same error, naming the run too."""
        return VerificationError(
            self.operator, self.index, self.got, self.expected, self.tile, self.stage, self.reason, run
        )


class OutputError(HwsimError):
    """A result could not be written; nothing was left half-written."""
