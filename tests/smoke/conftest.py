"""Fixtures of the tests that open pages in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hwsim.explore.export import swept
from hwsim.report import draw
from tests.browser import Browser, browser
from tests.pages import fresh
from tests.sweep_pages import COUNT
from tests.swept_points import sample_points


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep. Tests of other pages have one of their own in its place."""
    return swept(sample_points(COUNT)).save(tmp_path_factory.mktemp("page") / "out", draw)


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep of three workloads."""
    points = sample_points(COUNT, workloads=("resnet50", "vgg16", "lenet5"))
    return swept(points).save(tmp_path_factory.mktemp("page") / "out", draw)


@pytest.fixture
def page(chromium: Browser, folder: Path) -> Browser:
    """The page, freshly opened, in a window 1280 wide."""
    return fresh(chromium, folder)
