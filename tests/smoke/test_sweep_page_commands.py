"""The commands that the page of a sweep gives for its points: run as a shell reads them, and copied. Without
Chromium these tests are skipped with that reason."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from hwsim.arrays import Int64Array
from hwsim.cli.main import main
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.export import swept
from hwsim.explore.space import Space, load_space
from hwsim.explore.store import Store
from hwsim.explore.stored import Points
from hwsim.report import draw
from tests.browser import Browser
from tests.pages import NEEDS_CHROMIUM, fresh
from tests.sweep_pages import until

pytestmark = NEEDS_CHROMIUM

SPACE = """
name: again
workloads: [lenet5]
designs: [tpu_v1, eie_64pe]
axes:
  array.rows: {values: [32, 64], when: design == tpu_v1}
  clock: ["500 MHz", "1 GHz"]
  workload.batch: [1, 2]
  recipe: [none, eie]
"""


def test_the_command_of_a_point_gives_its_figures_again(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, as shells read it: with a quantity in quotes, a batch, an axis that does not count,
    and a recipe."""
    (tmp_path / "space.yaml").write_text(SPACE)
    space = load_space(tmp_path / "space.yaml")
    indices = np.unique(space.canonical(space.grid(0, space.total)), axis=0)
    points = points_over(space, indices)
    page = fresh(chromium, swept(points).save(tmp_path / "page", draw))
    monkeypatch.chdir(tmp_path)
    design = [axis.name for axis in points.axes].index("design")
    recipe = [axis.name for axis in points.axes].index("recipe")
    for machine, compressed in ((0, 0), (0, 1), (1, 1)):
        rows = np.flatnonzero(
            (points.indices[:, design] == machine) & (points.indices[:, recipe] == compressed)
        )
        row = int(rows[-1])
        assert points.status[row] == 0, points.reasons[row]
        page.run("openPoint(arguments[0])", row)
        lines = page.run("return document.getElementById('command').textContent").splitlines()
        assert len(lines) == 1 + compressed
        for line in lines:
            program, *arguments = shlex.split(line)
            assert program == "hwsim"
            more = ["--json", "--no-verify", "--out", "out"] if arguments[0] == "run" else ["--quiet"]
            ran = CliRunner().invoke(main, [*arguments, *more])
            assert ran.exit_code == 0, ran.output
        summary = json.loads(ran.stdout)
        for name in ("latency_s", "energy_j", "area_mm2"):
            assert summary[name] == points.metrics[name][row], (line, name)


def points_over(space: Space, indices: Int64Array) -> Points:
    """The points of a space as a store gives them back."""
    with Store.open(None, space) as store:
        active = space.active(indices)
        places = [
            [at if on else None for at, on in zip(row, counts, strict=True)]
            for row, counts in zip(indices.tolist(), active.tolist(), strict=True)
        ]
        store.put(space.keys(indices), places, Evaluator(space).evaluate(indices), np.zeros(len(indices)))
        return store.points()


def test_the_command_can_be_copied(page: Browser) -> None:
    page.command("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.run("document.getElementById('copy').scrollIntoView({ block: 'center' })")
    x, y = page.run(
        "const b = document.getElementById('copy').getBoundingClientRect(); return [b.left + 9, b.top + 9]"
    )
    page.drag((x, y), (x, y))
    until(lambda: page.run("return document.getElementById('copy').textContent") == "Copied")
