"""`python -m hwsim.validate [FOLDER [BANDS]]`: write the validation report anew, and the bands that ship."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hwsim.errors import HwsimError
from hwsim.validate.report import write_reports

FOLDER = "reports/validation"


def main(arguments: Sequence[str]) -> int:
    """Write the report to the folder named, or to reports/validation, and the error bands to the file named,
    if one is. Returns the exit status."""
    if len(arguments) > 2 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write("usage: python -m hwsim.validate [FOLDER [BANDS]]\n")
        return 2
    try:
        folder = arguments[0] if arguments else FOLDER
        written = write_reports(folder, bands=arguments[1] if len(arguments) == 2 else None)
    except HwsimError as error:
        sys.stderr.write(f"hwsim: error: {error}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in written)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
