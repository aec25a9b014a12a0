"""What tests of pages in Chromium share: opening them, what may be wrong with any page, what assistive
programs see, and the table that sorts, filters and saves."""

from __future__ import annotations

import csv
import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import browser as headless
from tests.browser import Browser

NEEDS_CHROMIUM = pytest.mark.skipif(not (headless.DRIVER and headless.BROWSER), reason=headless.MISSING)
# For every text: its colour and the first opaque colour behind it. SVG text is checked by its fill.
_CONTRASTS = """
const parse = (text) => {
  const n = text.match(/[\\d.]+/g).map(Number);
  return n.length < 4 || n[3] > 0 ? n.slice(0, 3) : null;
};
const light = (c) => {
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = c.map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const element = walk.currentNode.parentElement;
  if (!walk.currentNode.textContent.trim() || !element.checkVisibility()) continue;
  if (["SCRIPT", "STYLE", "title"].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const ink = parse(element instanceof SVGElement ? style.fill : style.color);
  const bar = element.classList.contains("in") ? element.previousElementSibling : null;
  let ground = bar && parse(getComputedStyle(bar).fill);
  for (let e = element; e && !ground; e = e.parentElement) {
    ground = parse(getComputedStyle(e).backgroundColor);
  }
  const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
  found.push([(a + 0.05) / (b + 0.05), walk.currentNode.textContent.trim().slice(0, 40)]);
}
return found;
"""
_OUTSIDE = """
return [...document.querySelectorAll('main *')].filter((e) => {
  if (e.closest('.scroll, .unseen, defs, pattern') || !e.checkVisibility()) return false;
  const box = e.getBoundingClientRect();
  return box.width > 0 && (box.left < -1 || box.right > innerWidth + 1);
}).map((e) => `${e.tagName} ${e.getAttribute('class')} ${e.textContent.trim().slice(0, 30)}`)
"""
_SHOWN = "return [...document.querySelectorAll('#layertable tbody tr')].filter((r) => !r.hidden)"


def fresh(chromium: Browser, folder: Path, width: int = 1280, scheme: str = "light") -> Browser:
    """The page of a folder, newly opened."""
    chromium.show(width, scheme)
    chromium.log("browser")
    chromium.requests()
    chromium.open((folder / "report.html").as_uri())
    # Places on the screen hold still for the mouse.
    chromium.run("document.documentElement.style.scrollBehavior = 'auto'")
    return chromium


def asked(page: Browser) -> list[str]:
    """What was asked for since the last call, but for what stands in the page itself."""
    return [address for address in page.requests() if not address.startswith("data:")]


def cut_off(page: Browser) -> list[str]:
    """What reaches out of the window, which does not scroll sideways."""
    outside: list[str] = page.run(_OUTSIDE)
    return outside


def contrasts(page: Browser) -> list[tuple[float, str]]:
    """Of every text its contrast to what is behind it, by WCAG, and its beginning."""
    return [(round(ratio, 2), text) for ratio, text in page.run(_CONTRASTS)]


@contextmanager
def without_scripts(page: Browser, folder: Path) -> Iterator[Callable[[str], int]]:
    """The page of a folder as a browser shows it that runs no scripts: a count of what a selector finds."""
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open((folder / "report.html").as_uri())
        document = page.command("DOM.getDocument")["root"]["nodeId"]

        def count(selector: str) -> int:
            return len(page.command("DOM.querySelectorAll", nodeId=document, selector=selector)["nodeIds"])

        yield count
    finally:
        page.command("Emulation.setScriptExecutionDisabled", value=False)


def accessible(page: Browser) -> Mapping[str, list[str]]:
    """Role -> the names of its elements, as assistive programs are told them."""
    page.command("Accessibility.enable")
    names: dict[str, list[str]] = defaultdict(list)
    for element in page.command("Accessibility.getFullAXTree")["nodes"]:
        if not element.get("ignored"):
            names[element["role"]["value"]].append(element.get("name", {}).get("value", ""))
    return names


def shown(page: Browser) -> list[list[str]]:
    """The cells of the rows that are shown, as text."""
    rows: list[list[str]] = page.run(f"{_SHOWN}.map((r) => [...r.cells].map((c) => c.textContent))")
    return rows


def values(page: Browser, column: str) -> list[str]:
    """What the shown rows hold in a column, in full."""
    script = """
      const heads = [...document.querySelectorAll("#layertable thead th")];
      const i = heads.findIndex((h) => h.dataset.column === arguments[0]);
    """
    found: list[str] = page.run(
        f"{script} {_SHOWN}.map((r) => r.cells[i].dataset.v ?? r.cells[i].textContent)", column
    )
    return found


def find(page: Browser, text: str) -> None:
    page.run(
        "const t = document.getElementById('find-text'); t.value = arguments[0];"
        " t.dispatchEvent(new Event('input'))",
        text,
    )


def saved(page: Browser, into: Path) -> list[list[str]]:
    """Press the button, and read the file that is downloaded."""
    page.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(into))
    page.run("document.getElementById('save').click()")
    for _ in range(200):
        # The browser makes an empty file of the name, fills another beside it, and renames that.
        files = [path for path in into.iterdir() if path.suffix == ".csv" and path.stat().st_size]
        if files:
            return list(csv.reader(io.StringIO(files[0].read_bytes().decode(), newline=""), strict=True))
        time.sleep(0.05)
    raise AssertionError("nothing was downloaded")
