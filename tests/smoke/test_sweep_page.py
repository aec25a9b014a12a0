"""The page of a sweep in a headless Chromium: nothing logged or asked for, no text cut off or faint, keyboard
and screen readers, no scripts. Without Chromium these tests are skipped with that reason."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hwsim.explore.export import swept
from hwsim.report import draw
from tests.browser import Browser
from tests.pages import NEEDS_CHROMIUM, accessible, asked, contrasts, cut_off, fresh, without_scripts
from tests.sweep_pages import COUNT, choose, found
from tests.swept_points import answerless, sample_points

pytestmark = NEEDS_CHROMIUM

WIDTHS = (390, 800, 1280, 1920)


def test_opening_logs_nothing_and_asks_for_nothing(page: Browser, folder: Path) -> None:
    assert page.log("browser") == []
    assert asked(page) == [(folder / "report.html").as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_or_scrolls_sideways(chromium: Browser, networks: Path, width: int) -> None:
    page = fresh(chromium, networks, width)
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert cut_off(page) == []


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_of_the_scatter_do_not_touch(chromium: Browser, folder: Path, width: int) -> None:
    page = fresh(chromium, folder, width)
    for name in ("latency_s", "array.rows", "array.dataflow", "buffer.size", "utilization"):
        for axis in ("axis-x", "axis-y"):
            choose(page, axis, name)
        touching = page.run("""
          const boxes = [...document.querySelectorAll('#scatter svg text')]
            .map((t) => [t.getBoundingClientRect(), t.textContent]);
          return boxes.flatMap(([a, one], i) => boxes.slice(i + 1).filter(([b]) =>
            a.left < b.right && b.left < a.right && a.top + 2 < b.bottom - 2 && b.top + 2 < a.bottom - 2)
            .map(([, other]) => [one, other]));
        """)
        assert touching == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_text_has_the_contrast_that_wcag_aa_asks(
    chromium: Browser, networks: Path, scheme: str, width: int
) -> None:
    page = fresh(chromium, networks, width, scheme)
    page.run("hover(0)")
    measured = contrasts(page)
    assert len(measured) > 300
    assert [one for one in measured if one[0] < 4.5] == []


def test_the_keyboard_reaches_everything_and_focus_is_seen(page: Browser) -> None:
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    stops = []
    for _ in range(90):
        page.press("Tab")
        name, outline = page.run("""
          const e = document.activeElement;
          const style = getComputedStyle(e);
          return [e.id || e.getAttribute('aria-label') || e.closest('th')?.dataset.column || e.tagName,
                  style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth)];
        """)
        if name == "BODY":
            break
        assert outline >= 2, name
        stops.append(name)
    wanted = {
        "find-text", "find-limit", "only-feasible", "axis-x", "axis-colour", "scatter", "copy", "save",
        "after", "Lower end of array.rows", "Upper end of area", "latency_s", "limit",
    }  # fmt: skip
    assert wanted <= set(stops)


def test_screen_readers_find_names_and_headings(page: Browser) -> None:
    named = accessible(page)
    for role in (
        "button",
        "link",
        "searchbox",
        "combobox",
        "region",
        "slider",
        "checkbox",
        "columnheader",
        "application",
    ):
        assert named[role], role
        assert all(named[role]), role
    levels = page.run("""
      return [...document.querySelectorAll('h1, h2, h3')].filter((h) => h.checkVisibility())
        .map((h) => Number(h.tagName[1]));
    """)
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_page_says_its_answer_without_scripts(page: Browser, folder: Path) -> None:
    with without_scripts(page, folder) as count:
        assert count(".answer p") == len(swept(sample_points(COUNT)).sentences)
        assert count("#choices dd.act button[hidden]") == count("#choices dl > div") == 4
        assert count("#matters .bars") == 3
        assert count(".live[hidden]") == 4


def test_scripts_that_are_not_ours_do_not_run(page: Browser) -> None:
    page.run("""
      const script = document.createElement('script');
      script.textContent = 'window.taken = 1';
      document.body.append(script);
    """)
    assert page.run("return window.taken ?? null") is None
    assert any("Content Security Policy" in entry["message"] for entry in page.log("browser"))


def test_ten_thousand_points_open_and_can_be_used(chromium: Browser, tmp_path: Path) -> None:
    made = swept(sample_points(10_000)).save(tmp_path / "out", draw)
    page = fresh(chromium, made)
    assert found(page).startswith("10,000 of 10,000 points")
    choose(page, "axis-y", "area_mm2")
    choose(page, "find-text", "rows 64,")
    assert found(page).endswith("on the frontier")
    assert page.log("browser") == []


@pytest.mark.parametrize("name", ["none", "failed", "missed", "unasked", "single"])
def test_sweeps_without_an_answer_open_too(chromium: Browser, tmp_path: Path, name: str) -> None:
    if name == "single":  # one point, which no axis varies
        points = replace(sample_points(1), axes=(), indices=np.zeros((1, 0), dtype=np.int64))
    else:
        points = answerless()[name]
    page = fresh(chromium, swept(points).save(tmp_path / "out", draw))
    for axis in ("axis-x", "axis-y", "axis-colour"):
        for value in page.run(f"return [...document.querySelectorAll('#{axis} option')].map((o) => o.value)"):
            choose(page, axis, value)
    choose(page, "only-feasible", True)
    assert found(page).endswith("on the frontier")
    assert page.log("browser") == []
