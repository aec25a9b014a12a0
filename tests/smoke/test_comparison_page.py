"""The page of a comparison in a headless Chromium: nothing logged or asked for, no text cut off or faint, and
a table that sorts, filters and saves. Without Chromium these tests are skipped with that reason."""

from __future__ import annotations

from math import log10
from pathlib import Path

import pytest

from hwsim.comparison import compare
from hwsim.report import draw
from hwsim.workload import load_workload, matvec
from tests.browser import Browser
from tests.pages import NEEDS_CHROMIUM, asked, contrasts, cut_off, find, saved, shown, values, without_scripts
from tests.unit.report.folders import rows_of

pytestmark = NEEDS_CHROMIUM

DESIGNS = ["tpu_v1", "eie_64pe", "gemmini_16", "generic_x86"]
WIDTHS = (390, 800, 1280)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that EIE cannot run, in two batches, and a sparse layer that it can."""
    forms = [load_workload("lenet5"), load_workload("lenet5", batch=16), matvec(512, 512, density=0.1)]
    written = compare(forms, DESIGNS).save(tmp_path_factory.mktemp("page") / "out", draw).folder
    assert written is not None
    return written


def test_opening_logs_nothing_and_asks_for_nothing(page: Browser, folder: Path) -> None:
    assert page.log("browser") == []
    assert asked(page) == [(folder / "report.html").as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_or_scrolls_sideways(page: Browser, width: int) -> None:
    page.show(width, "light")
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert cut_off(page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_labels_of_an_axis_do_not_touch(page: Browser, width: int) -> None:
    page.show(width, "light")
    touching = page.run("""
      return [...document.querySelectorAll('.logbars tfoot svg')].flatMap((axis) => {
        const boxes = [...axis.querySelectorAll('text')].filter((t) => t.checkVisibility())
          .map((t) => [t.getBoundingClientRect(), t.textContent]);
        return boxes.slice(1).filter(([box], i) => box.left < boxes[i][0].right + 2).map(([, text]) => text);
      })
    """)
    assert touching == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_text_has_the_contrast_that_wcag_aa_asks(page: Browser, scheme: str, width: int) -> None:
    page.show(width, scheme)
    measured = contrasts(page)
    assert len(measured) > 200
    assert [one for one in measured if one[0] < 4.5] == []


def test_bars_are_as_long_as_their_logarithms_say(page: Browser, folder: Path) -> None:
    """Bars of one chart, in pixels, beside the file: equal ratios are equal lengths."""
    rows = rows_of(folder / "comparison.csv")
    at = {name: rows[0].index(name) for name in rows[0]}
    joules = [row[at["energy_per_inference_j"]] for row in rows[1:]]
    lengths = page.run("""
      return [...document.querySelectorAll('.logbars')[1].querySelectorAll('tbody td.bar svg')]
        .map((svg) => svg.querySelector('[class^=m]')?.getBoundingClientRect().width ?? null)
    """)
    assert [length is None for length in lengths] == [joule == "" for joule in joules]
    known = [(length, log10(float(joule))) for length, joule in zip(lengths, joules, strict=True) if joule]
    (low, least), (high, most) = min(known), max(known)
    for length, power in known:
        assert length == pytest.approx(low + (high - low) * (power - least) / (most - least), abs=1)


def test_the_table_sorts_filters_and_saves(page: Browser, folder: Path, tmp_path: Path) -> None:
    assert len(shown(page)) == 12
    assert page.run("return document.getElementById('found').textContent") == "12 of 12 rows"
    page.run("document.querySelector('#layertable th[data-column=latency_s] button').click()")
    times = [float(value) for value in values(page, "latency_s") if value]
    assert times == sorted(times, reverse=True)
    find(page, "gemmini")
    assert set(values(page, "design")) == {"gemmini_16"}
    find(page, "")
    page.run(
        "const s = document.getElementById('find-limit'); s.value = arguments[0];"
        " s.dispatchEvent(new Event('change'))",
        "lenet5",
    )
    assert set(values(page, "workload")) == {"lenet5"}
    headings, *rows = saved(page, tmp_path)
    assert len(rows) == 8
    whole = rows_of(folder / "comparison.csv")
    column = whole[0].index("latency_s")
    assert {row[headings.index("latency_s")] for row in rows} <= {row[column] for row in whole[1:]}


def test_the_page_is_whole_without_scripts(page: Browser, folder: Path) -> None:
    with without_scripts(page, folder) as count:
        assert count("#layertable tbody tr") == 12
        assert count("#find[hidden]") == 1
