"""The documentation builds with warnings as errors, and what is built loads nothing from a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Tags that a browser follows by itself, with an address elsewhere. Links that a person follows are fine.
LOADED = re.compile(
    r"<(?:script|link|img|iframe|source|video)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = ["build", "--quiet", "--strict", "--config-file", "docs/mkdocs.yml", "--site-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *command],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    found = {
        page.name: LOADED.findall(page.read_text(encoding="utf-8"))
        for page in pages
        if LOADED.search(page.read_text(encoding="utf-8"))
    }
    assert not found
    styles = [style.read_text(encoding="utf-8") for style in site.rglob("*.css")]
    assert styles
    assert not [style for style in styles if re.search(r"@import|url\([\"']?(?:https?:)?//", style)]


def test_pages_hold_what_the_code_says(site: Path) -> None:
    """One probe for each source: a spec, a command, a docstring, a pipeline, a run, a section of a file."""
    probes = {
        "reference/design.html": "Weight tiles fetched ahead of the array",
        "reference/workload.html": "as many as channels is depthwise",
        "reference/cli.html": "--weight-dtype FORMAT",
        "reference/python.html": "Run a workload on a design and return what was found.",
        "reference/technology.html": "Horowitz ISSCC 2014",
        "kinds/systolic.html": "array_loader",
        "kinds/eie.html": "activation_port",
        "walkthrough.html": "by hand:   10728",
        "examples.html": "depthwise1",
        "extending.html": "A device kind.",
        "time.html": "it takes no server and never queues",
        "glossary.html": "Slot pool.",
        "validation/tpu_v1.html": "Floor plan",
    }
    for page, text in probes.items():
        assert text in (site / page).read_text(encoding="utf-8"), page


def test_pictures_are_small() -> None:
    pictures = list((ROOT / "docs" / "pages" / "images").iterdir())
    assert pictures
    assert all(picture.stat().st_size < 150_000 for picture in pictures)
