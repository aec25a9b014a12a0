"""The report page in a headless Chromium: no console errors, no requests, keyboard, table, contrast, paper.

Without Chromium these tests are skipped with that reason; `.ci/run` installs it where it can.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwsim.cli.main import main
from hwsim.compress import compress
from hwsim.pipeline import run
from hwsim.report import draw
from hwsim.result.folder import write_folder
from tests.browser import Browser
from tests.pages import (
    NEEDS_CHROMIUM,
    accessible,
    asked,
    contrasts,
    cut_off,
    find,
    fresh,
    saved,
    shown,
    values,
    without_scripts,
)
from tests.unit.report.folders import named_folder, rows_of, wide_folder

pytestmark = NEEDS_CHROMIUM

WIDTHS = (390, 1280, 1920)
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real network, with an override and a batch."""
    result = run("googlenet", "tpu_v1", batch=2, overrides=["array.rows=128"])
    return write_folder(result, tmp_path_factory.mktemp("page") / "out", draw)


def head(column: str) -> str:
    return f"document.querySelector('#layertable th[data-column={column}]')"


def test_opening_logs_nothing_and_asks_for_nothing(page: Browser, folder: Path) -> None:
    assert page.log("browser") == []
    assert asked(page) == [(folder / "report.html").as_uri()]
    assert (folder / "report.html").stat().st_size < 1.5e6


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_or_scrolls_sideways(page: Browser, width: int) -> None:
    page.show(width, "light")
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert cut_off(page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_verdict_is_in_the_first_screen(page: Browser, width: int) -> None:
    page.show(width, "light", height=844 if width < 600 else 900)
    page.run("scrollTo(0, 0)")
    words, bottom = page.run("""
      const cards = [...document.querySelectorAll('.figures > div')];
      return [cards.map((c) => c.querySelector('dt').textContent),
              Math.max(...cards.map((c) => c.getBoundingClientRect().bottom))];
    """)
    assert words == ["Time", "Throughput", "Energy", "Power", "Area", "Limited by", "Work", "Verified"]
    assert bottom <= page.run("return innerHeight")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [390, 1280])
def test_every_text_has_the_contrast_that_wcag_aa_asks(page: Browser, scheme: str, width: int) -> None:
    page.show(width, scheme)
    measured = contrasts(page)
    assert len(measured) > 300
    assert [one for one in measured if one[0] < 4.5] == []


def test_themes_differ_and_paper_is_white(page: Browser) -> None:
    grounds = []
    for scheme, media in (("light", ""), ("dark", ""), ("dark", "print")):
        page.show(1280, scheme, media)
        grounds.append(
            page.run(
                "return [getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.querySelector('.c0')).fill,"
                " getComputedStyle(document.querySelector('.controls')).display]"
            )
        )
    light, dark, paper = grounds
    assert light[0] != dark[0]
    assert light[1] != dark[1]
    assert paper == ["rgb(255, 255, 255)", light[1], "none"]


def test_columns_sort_both_ways_and_say_so(page: Browser) -> None:
    original = values(page, "number")
    assert page.run(f"return {head('number')}.getAttribute('aria-sort')") == "ascending"
    for column in ("elapsed_ps", "macs", "energy_j"):
        page.run(f"{head(column)}.querySelector('button').click()")
        down = [float(value) for value in values(page, column)]
        assert down == sorted(down, reverse=True)
        assert page.run(f"return {head(column)}.getAttribute('aria-sort')") == "descending"
        assert page.run("return document.querySelectorAll('[aria-sort]').length") == 1
        page.run(f"{head(column)}.querySelector('button').click()")
        assert [float(value) for value in values(page, column)] == sorted(down)
        assert page.run(f"return {head(column)}.getAttribute('aria-sort')") == "ascending"
    page.run(f"{head('kind')}.querySelector('button').click()")
    assert values(page, "kind") == sorted(values(page, "kind"))
    page.run(f"{head('number')}.querySelector('button').click()")
    page.run(f"{head('number')}.querySelector('button').click()")
    assert values(page, "number") == original


def test_the_table_can_be_filtered(page: Browser, folder: Path) -> None:
    operators = rows_of(folder / "operators.csv")
    names = [row[0] for row in operators[1:]]
    assert len(shown(page)) == len(names)
    find(page, "  POOL ")
    kept = values(page, "operator")
    assert 0 < len(kept) < len(names)
    assert [row for row in shown(page) if not any("pool" in cell.lower() for cell in row)] == []
    assert page.run("return document.getElementById('found').textContent").startswith(
        f"{len(kept)} of {len(names)} "
    )
    find(page, "")
    limits = set(values(page, "limit"))
    for limit in limits - {""}:
        page.run(
            "const s = document.getElementById('find-limit'); s.value = arguments[0];"
            " s.dispatchEvent(new Event('change'))",
            limit,
        )
        assert set(values(page, "limit")) == {limit}
    find(page, "nothing has this name")
    assert shown(page) == []


def test_the_download_equals_the_table(page: Browser, folder: Path, tmp_path: Path) -> None:
    page.run(f"{head('elapsed_ps')}.querySelector('button').click()")
    find(page, "conv")
    table = saved(page, tmp_path)
    columns = page.run(
        "return [...document.querySelectorAll('#layertable thead th')].map((h) => h.dataset.column)"
    )
    assert table[0] == columns
    assert [list(row) for row in zip(*(values(page, column) for column in columns), strict=True)] == table[1:]
    written = {
        row[0]: dict(zip(rows_of(folder / "operators.csv")[0], row, strict=True))
        for row in rows_of(folder / "operators.csv")
    }
    for row in table[1:]:
        said = dict(zip(columns, row, strict=True))
        for column in ("kind", "layer", "macs", "tiles", "elapsed_ps", "limit"):
            assert said[column] == written[said["operator"]][column]
    assert page.log("browser") == []


def test_odd_names_survive_the_download(chromium: Browser, tmp_path: Path) -> None:
    names = ('a,"b"', "</script><script>document.title='taken'</script>", "\u00e9 & <b>")
    out = named_folder(tmp_path / "out", names, workload="<script>document.title='taken'</script>")
    assert CliRunner().invoke(main, ["report", str(out)]).exit_code == 0
    fresh(chromium, out)
    assert chromium.log("browser") == []
    assert chromium.run("return document.title").startswith("<script>")
    assert values(chromium, "operator") == list(names)
    assert [row[1] for row in saved(chromium, tmp_path)[1:]] == list(names)


def test_scripts_that_are_not_ours_do_not_run(page: Browser) -> None:
    page.run("""
      const script = document.createElement('script');
      script.textContent = 'window.taken = 1';
      const box = document.createElement('div');
      box.innerHTML = '<img src=x onerror="window.taken = 2">';
      document.body.append(script, box);
    """)
    assert page.run("return window.taken ?? null") is None
    assert any("Content Security Policy" in entry["message"] for entry in page.log("browser"))


def test_the_keyboard_reaches_everything_and_focus_is_seen(page: Browser) -> None:
    page.run("document.activeElement.blur(); scrollTo(0, 0)")
    stops: list[tuple[str, str]] = []
    for _ in range(60):
        page.press("Tab")
        name, text, outline = page.run("""
          const e = document.activeElement;
          const style = getComputedStyle(e);
          return [e.id || e.tagName + (e.closest('th')?.dataset.column ?? ''), e.textContent.slice(0, 20),
                  style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth)];
        """)
        if name == "BODY":
            break
        assert outline >= 2, (name, text)
        stops.append((name, text))
    reached = {name for name, _ in stops}
    assert {"find-text", "find-limit", "save", "BUTTONelapsed_ps", "BUTTONlayer"} <= reached
    assert sum(name == "A" for name, _ in stops) >= 10
    page.run(f"{head('macs')}.querySelector('button').focus()")
    page.press("Enter")
    assert page.run(f"return {head('macs')}.getAttribute('aria-sort')") == "descending"


def test_screen_readers_find_names_headings_and_sortable_columns(page: Browser) -> None:
    named = accessible(page)
    for role in (
        "button",
        "link",
        "searchbox",
        "combobox",
        "image",
        "img",
        "region",
        "navigation",
        "columnheader",
        "rowheader",
    ):
        assert all(named[role]), role
    assert any(name.startswith("Roofline of") for name in named["image"] + named["img"])
    assert any(name.startswith("Timeline from") for name in named["image"] + named["img"])
    levels = page.run("return [...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_page_is_whole_without_scripts(page: Browser, folder: Path) -> None:
    with without_scripts(page, folder) as count:
        assert count("#layertable tbody tr") == len(rows_of(folder / "operators.csv")) - 1
        assert count("#find[hidden]") == 1
        assert count("#layertable thead button") == 0


def test_a_page_of_thousands_of_operators_opens(chromium: Browser, tmp_path: Path) -> None:
    out = wide_folder(tmp_path / "out", 4000)
    assert CliRunner().invoke(main, ["report", str(out)]).exit_code == 0
    fresh(chromium, out)
    assert chromium.log("browser") == []
    assert chromium.run("return document.getElementById('found').textContent").startswith("1000 of 1000 rows")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of a compression, and of runs of it on a machine that skips zeros and on a dense one."""
    made = tmp_path_factory.mktemp("compressed")
    found = compress("lenet5", "eie")
    pages = {"compression": found.save(made / "network")}
    for design in ("eie_64pe", "tpu_v1"):
        pages[design] = write_folder(run(found.workload, design), made / design, draw)
    return pages


COMPRESSED = ("compression", "eie_64pe", "tpu_v1")


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_pages_of_compressed_networks_open_whole(
    chromium: Browser, pages: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    page = fresh(chromium, pages[name], width, scheme)
    assert page.log("browser") == []
    assert asked(page) == [(pages[name] / "report.html").as_uri()]
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert [one for one in contrasts(page) if one[0] < 4.5] == []


@pytest.mark.parametrize(
    ("name", "table", "column"),
    [("compression", "layertable", "stored_bits"), ("eie_64pe", "weighttable", "held_bytes")],
)
def test_tables_of_weights_sort_alone(
    chromium: Browser, pages: dict[str, Path], name: str, table: str, column: str
) -> None:
    fresh(chromium, pages[name])
    cells = f"""
      const heads = [...document.querySelectorAll('#{table} thead th')];
      const i = heads.findIndex((h) => h.dataset.column === '{column}');
      return [...document.querySelectorAll('#{table} tbody tr')].map((r) => Number(r.cells[i].dataset.v));
    """
    before = chromium.run(cells)
    others = "return [...document.querySelectorAll('table.sortable')].map((t) => t.tBodies[0].textContent)"
    texts = chromium.run(others)
    chromium.run(f"document.querySelector('#{table} th[data-column={column}] button').click()")
    assert chromium.run(cells) == sorted(before, reverse=True) != before
    changed = [a != b for a, b in zip(texts, chromium.run(others), strict=True)]
    assert changed.count(True) == 1
