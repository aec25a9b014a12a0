"""The README shows what the command prints today."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_output_in_the_readme_is_what_the_demo_prints(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## What comes out")[1].split("## ")[0]
    shown = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    arguments = ["run", "resnet50", "--design", "tpu_v1", "--out", str(tmp_path / "demo")]
    done = subprocess.run(
        [sys.executable, "-c", "from hwsim.cli.main import main; main()", *arguments],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "96", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    printed = re.split(r"\n(?=Note|Not )", done.stdout)[0]
    assert [line for line in shown if line] == [
        line.rstrip() for line in printed.splitlines() if line.strip()
    ]
