"""The README shows what the commands print today."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def section(heading: str) -> list[str]:
    """The indented lines of a section, without empty ones."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = readme.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [line[4:] for line in found.splitlines() if line.startswith("    ") and line.strip()]


def printed(*arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from hwsim.cli.main import main; main()", *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "96", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return done.stdout


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def test_the_output_in_the_readme_is_what_the_demo_prints(tmp_path: Path) -> None:
    shown = section("What comes out")
    demo = printed("run", "resnet50", "--design", "tpu_v1", "--out", str(tmp_path / "demo"))
    assert shown == lines(re.split(r"\n(?=Note|Not )", demo)[0])


def test_the_comparison_in_the_readme_is_what_the_command_prints(tmp_path: Path) -> None:
    command, *shown = section("Side by side")
    compress = next(line for line in section("Compressed networks") if "compress" in line)
    printed(*compress.removeprefix("hwsim ").split(), cwd=tmp_path)
    output = printed(*command.removeprefix("hwsim ").split(), cwd=tmp_path)
    assert shown == lines(output.split("\nEnergy is ")[0])


def test_the_commands_on_compressed_networks_print_what_the_readme_shows(tmp_path: Path) -> None:
    shown = section("Compressed networks")
    commands = [line.removeprefix("hwsim ").split() for line in shown if line.startswith("hwsim ")]
    assert [command[0] for command in commands] == ["compress", "run", "run"]
    outputs = [printed(*command, cwd=tmp_path) for command in commands]
    expected = lines(outputs[0].split("\nnote ")[0])
    for output in outputs[1:]:
        expected += lines("Weights " + output.split("\nWeights ")[1].split("\nNote ")[0])
    assert shown[len(commands) :] == expected
    said = re.search(
        r"EIE takes ([\d.]+ \w+) and ([\d.]+ \w+) for what takes the TPU ([\d.]+ \w+) and ([\d.]+ \w+),",
        (ROOT / "README.md").read_text(encoding="utf-8"),
    )
    assert said is not None
    for output, found in ((outputs[2], said.groups()[:2]), (outputs[1], said.groups()[2:])):
        assert all(re.search(rf"^(time|energy) +{figure} ", output, flags=re.M) for figure in found)
