"""One input, fed to the library and judged: an answer or an HwsimError, and no warning."""

from __future__ import annotations

import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

from hwsim.errors import CheckError, DeadlockError, HwsimError, VerificationError
from tests.fuzz.inputs import Input, feed

# HwsimErrors that say that hwsim is wrong, not its input.
OWN_FAULTS = (CheckError, DeadlockError, VerificationError)
TOO_NARROW = "overflows an accumulator"  # a true finding about the input: its design computes wrong numbers


@dataclass(frozen=True)
class Verdict:
    """`answer` is "accepted", "refused" or "fault". A fault has a signature, equal for equal causes, and the
    full story."""

    answer: str
    signature: str = ""
    story: str = ""


def judge(given: Input, folder: Path) -> Verdict:
    """Feed an input whose files lie in `folder`."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            feed(given, folder)
            found = Verdict("accepted")
        except OWN_FAULTS as error:
            found = Verdict("refused") if TOO_NARROW in str(error) else _fault(error)
        except HwsimError as error:
            found = Verdict("refused") if str(error).strip() else _fault(error, "an error without words: ")
        except Exception as error:  # noqa: BLE001 (which ones come is the question)
            found = _fault(error)
    if warned and found.answer != "fault":
        first = warned[0]
        where = f"{Path(first.filename).name}:{first.lineno}"
        return Verdict("fault", f"warning {first.category.__name__} at {where}", str(first.message))
    return found


def _fault(error: BaseException, before: str = "") -> Verdict:
    """Named by the type and the innermost place in hwsim that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/hwsim/" in frame.filename.replace("\\", "/")]
    place = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    story = "".join(traceback.format_exception(error))
    return Verdict("fault", f"{before}{type(error).__name__}{place}", story[-8000:])
