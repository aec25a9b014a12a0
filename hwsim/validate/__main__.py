"""`python -m hwsim.validate [FOLDER]`: write the validation report anew."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hwsim.errors import HwsimError
from hwsim.validate.report import write_reports

FOLDER = "reports/validation"


def main(arguments: Sequence[str]) -> int:
    """Write the report to the folder named, or to reports/validation. Returns the exit status."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write("usage: python -m hwsim.validate [FOLDER]\n")
        return 2
    try:
        written = write_reports(arguments[0] if arguments else FOLDER)
    except HwsimError as error:
        sys.stderr.write(f"hwsim: error: {error}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in written)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
