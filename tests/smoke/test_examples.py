"""The examples run, and print what stands in the file beside them.

After a change that means to alter results, `make examples` writes those files anew: read the difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_what_it_says(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,  # nothing may hang on the folder that it is called from
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == example.with_suffix(".txt").read_text(encoding="utf-8")


def test_every_expected_output_belongs_to_an_example() -> None:
    assert len(EXAMPLES) >= 4
    assert {path.stem for path in (ROOT / "examples").glob("*.txt")} == {path.stem for path in EXAMPLES}


def test_the_readme_names_every_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [path.name for path in EXAMPLES if f"(examples/{path.name})" not in readme]
    assert not missing
