"""The page of a sweep in a headless Chromium: hover, click, axes, colours, ranges, filters, sorting, the CSV, the
keyboard, and the command that runs a point again. Without Chromium these tests are skipped with that reason."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hwsim.cli.main import main
from hwsim.explore.evaluate import Evaluator
from hwsim.explore.export import swept
from hwsim.explore.space import load_space
from hwsim.report import draw
from tests import browser as headless
from tests.browser import Browser
from tests.smoke.test_report_page import CONTRASTS, accessible, saved
from tests.swept_points import sample_points
from tests.unit.report.folders import rows_of

pytestmark = pytest.mark.skipif(not (headless.DRIVER and headless.BROWSER), reason=headless.MISSING)

COUNT = 300
WIDTHS = (390, 800, 1280, 1920)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with headless.browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return swept(sample_points(COUNT)).save(tmp_path_factory.mktemp("page") / "out", draw)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of three workloads."""
    points = sample_points(COUNT, workloads=("resnet50", "vgg16", "lenet5"))
    return swept(points).save(tmp_path_factory.mktemp("page") / "out", draw)


def fresh(chromium: Browser, folder: Path, width: int = 1280, scheme: str = "light") -> Browser:
    chromium.show(width, scheme)
    chromium.log("browser")
    chromium.requests()
    chromium.open((folder / "report.html").as_uri())
    # Places on the screen hold still for the mouse.
    chromium.run("document.documentElement.style.scrollBehavior = 'auto'")
    return chromium


@pytest.fixture
def page(chromium: Browser, folder: Path) -> Browser:
    return fresh(chromium, folder)


def until(asked: Callable[[], object]) -> None:
    """Wait for what the page does before its next picture."""
    for _ in range(100):
        if asked():
            return
        time.sleep(0.02)
    raise AssertionError("nothing happened")


def found(page: Browser) -> str:
    text: str = page.run("return document.getElementById('found').textContent")
    return text


def choose(page: Browser, name: str, value: object) -> None:
    page.run(
        "const e = document.getElementById(arguments[0]);"
        " if (e.type === 'checkbox') e.checked = arguments[1]; else e.value = arguments[1];"
        " e.dispatchEvent(new Event(e.type === 'search' ? 'input' : 'change'))",
        name,
        value,
    )


def place_of(page: Browser, row: int) -> tuple[float, float]:
    """Where a point is drawn, brought into the window."""
    x, y = page.run(
        """
      const plot = document.getElementById('scatter');
      plot.scrollIntoView({ block: 'center' });
      const range = (one) => {
        const seen = everyRow.filter((i) => outcomes.code(i) === 0);
        const ends = extent(one, seen);
        return [one, scale(one, ends, shouldBeLog(one, ends))];
      };
      const [[x, sx], [y, sy]] = ['axis-x', 'axis-y'].map((id) => range(dimensions.get(byId(id).value)));
      const frame = plot.querySelector('canvas').getBoundingClientRect();
      return [frame.left + sx.at(x.value(arguments[0])) * frame.width,
              frame.top + (1 - sy.at(y.value(arguments[0]))) * frame.height];
    """,
        row,
    )
    return x, y


def ink_at(page: Browser, x: float, y: float) -> list[int]:
    """The colour of the drawn marks at a place of the window: red, green, blue, alpha."""
    colour: list[int] = page.run(
        """
      const canvas = document.querySelector('#scatter canvas');
      const frame = canvas.getBoundingClientRect();
      const at = [(arguments[0] - frame.left) * canvas.width / frame.width,
                  (arguments[1] - frame.top) * canvas.height / frame.height];
      return [...canvas.getContext('2d').getImageData(...at.map(Math.round), 1, 1).data];
    """,
        x,
        y,
    )
    return colour


def best_rows() -> list[int]:
    return [int(i) for i in np.flatnonzero(sample_points(COUNT).frontier)]


def test_opening_logs_nothing_and_asks_for_nothing(page: Browser, folder: Path) -> None:
    assert page.log("browser") == []
    asked = [address for address in page.requests() if not address.startswith("data:")]
    assert asked == [(folder / "report.html").as_uri()]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_or_scrolls_sideways(chromium: Browser, networks: Path, width: int) -> None:
    page = fresh(chromium, networks, width)
    assert page.run("return document.documentElement.scrollWidth") <= width
    outside = page.run("""
      return [...document.querySelectorAll('main *')].filter((e) => {
        if (e.closest('.scroll, .unseen, defs, pattern') || !e.checkVisibility()) return false;
        const box = e.getBoundingClientRect();
        return box.width > 0 && (box.left < -1 || box.right > innerWidth + 1);
      }).map((e) => `${e.tagName} ${e.getAttribute('class')} ${e.textContent.trim().slice(0, 30)}`)
    """)
    assert outside == []


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
    measured = page.run(CONTRASTS)
    assert len(measured) > 300
    assert [(round(ratio, 2), text) for ratio, text in measured if ratio < 4.5] == []


def test_hover_shows_the_design(page: Browser) -> None:
    points = sample_points(COUNT)
    for row in best_rows()[:3]:
        page.point(*place_of(page, row))
        texts = page.run("return [...document.querySelectorAll('#tip > *')].map((e) => e.textContent)")
        hovered = page.run("return state.hovered")
        assert not page.run("return document.getElementById('tip').hidden")
        # Of points that lie at one place, one is told.
        for name in ("latency_s", "energy_j"):
            assert points.metrics[name][hovered] == pytest.approx(points.metrics[name][row], rel=0.03)
        assert f"rows {points.texts(hovered)['array.rows']}" in texts[0]
        assert texts[-1] == f"limited by {points.limits[hovered]}"
    page.point(5, 5)
    assert page.run("return document.getElementById('tip').hidden")


def test_click_opens_the_breakdown(page: Browser) -> None:
    points = sample_points(COUNT)
    x, y = place_of(page, best_rows()[-1])
    page.drag((x, y), (x, y))
    row = page.run("return state.opened")
    assert points.metrics["latency_s"][row] == pytest.approx(points.metrics["latency_s"][best_rows()[-1]], rel=0.03)
    assert page.run("return document.getElementById('h-opened').textContent") == f"Point {row + 1}"
    facts = dict(
        page.run(
            "return [...document.querySelectorAll('#opened .facts tr')].map((r) => [...r.cells].map((c) => c.textContent))"
        )
    )
    assert facts == {**points.texts(row), "limited by": points.limits[row]}
    figures = page.run(
        "return [...document.querySelectorAll('#opened .bars tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    )
    assert [line[0] for line in figures[:3]] == ["latency", "energy", "area"]
    better = (points.feasible & (points.metrics["latency_s"] < points.metrics["latency_s"][row])).sum()
    assert figures[0][3] == (f"rank {better + 1}" if better else "best")


def test_axes_and_colours_change_what_is_drawn(page: Browser) -> None:
    def picture() -> str:
        drawn: str = page.run("return document.querySelector('#scatter canvas').toDataURL()")
        return drawn

    seen = [picture()]
    for name, value in (
        ("axis-y", "area_mm2"), ("axis-x", "array.rows"), ("axis-colour", "energy_j"),
        ("axis-colour", "array.dataflow"), ("log-y", True), ("show-missing", False),
    ):  # fmt: skip
        choose(page, name, value)
        seen.append(picture())
        assert seen[-1] not in seen[:-1], (name, value)
    titles = page.run("return [...document.querySelectorAll('#scatter svg text')].map((t) => t.textContent)")
    assert {"array.rows", "area, less is better"} <= set(titles)
    legend = page.run("return [...document.querySelectorAll('#scatter-legend li')].map((l) => l.textContent)")
    assert legend[:2] == ["ws", "os"]
    choose(page, "axis-x", "array.dataflow")
    assert page.run("return document.getElementById('log-x').disabled")
    assert page.log("browser") == []


def test_marks_lie_where_their_figures_say(page: Browser) -> None:
    for row in best_rows():
        x, y = place_of(page, row)
        assert ink_at(page, x, y)[3] > 200, row
    frame = page.run("const f = document.querySelector('#scatter canvas').getBoundingClientRect(); return [f.right, f.bottom]")
    assert ink_at(page, frame[0] - 3, frame[1] - 3)[3] == 0


def test_the_line_joins_what_no_other_betters_in_both_figures(page: Browser) -> None:
    """Found anew by comparing all pairs."""
    points = sample_points(COUNT)
    choose(page, "axis-y", "area_mm2")
    rows = np.flatnonzero(points.feasible)
    pairs = np.stack([points.metrics["latency_s"], points.metrics["area_mm2"]], axis=1)[rows]
    least = {
        tuple(one)
        for one in pairs.tolist()
        if not any((other <= one).all() and (other < one).any() for other in pairs)
    }
    drawn = page.run("return scatter.best(state.scope).map((i) => [metrics[0].value(i), metrics[2].value(i)])")
    assert {tuple(one) for one in drawn} == least
    assert len(least) > 3


def axis_of(page: Browser, name: str) -> tuple[float, float, float]:
    """Where an axis of the parallel coordinates stands in the window: x, its upper end, its lower end."""
    x, top, bottom = page.run(
        """
      document.getElementById('parallel').scrollIntoView({ block: 'center' });
      const names = [...document.querySelectorAll('#parallel-names > span')].map((s) => s.firstChild.textContent);
      const box = document.querySelectorAll('#parallel-plot .rule')[names.indexOf(arguments[0])].getBoundingClientRect();
      return [box.left, box.top, box.bottom];
    """,
        name,
    )
    return x, top, bottom


def test_a_range_drawn_on_an_axis_filters_every_view(page: Browser) -> None:
    points = sample_points(COUNT)
    x, top, bottom = axis_of(page, "array.cols")
    page.drag((x, bottom + 6), (x, bottom - 20), (x, bottom - 0.4 * (bottom - top)))
    cols = np.array([int(points.texts(i).get("array.cols", 0)) for i in range(COUNT)])
    kept = int(((cols == 64) | (cols == 128)).sum())
    until(lambda: found(page).startswith(f"{kept} of {COUNT} points"))
    until(lambda: page.run("return document.getElementById('page-shown').textContent").endswith(f"of {kept}"))
    shown = page.run("return [...document.querySelectorAll('#point-rows tr')].map((r) => r.cells[2].textContent)")
    assert set(shown) <= {"64", "128"}
    x, top, bottom = axis_of(page, "array.cols")
    page.drag((x, top + 5), (x, top + 5))  # a click takes it away
    until(lambda: found(page).startswith(f"{COUNT} of {COUNT} points"))


def test_ends_of_ranges_move_with_the_keys(page: Browser) -> None:
    points = sample_points(COUNT)
    grip = "[...document.querySelectorAll('.grip')].find((g) => g.getAttribute('aria-label') === arguments[0])"
    page.run(f"{grip}.focus()", "Upper end of array.cols")
    page.press("ArrowDown")
    page.press("ArrowDown")
    cols = np.array([int(points.texts(i).get("array.cols", 0)) for i in range(COUNT)])
    kept = int(((cols == 64) | (cols == 128)).sum())
    until(lambda: found(page).startswith(f"{kept} of {COUNT} points"))
    said = page.run(f"const g = {grip}; return [g.getAttribute('aria-valuetext'), g.getAttribute('aria-valuenow')]", "Upper end of array.cols")
    assert said == ["128", "33"]
    page.press("Escape")
    until(lambda: found(page).startswith(f"{COUNT} of {COUNT} points"))
    page.run(f"{grip}.focus()", "Lower end of latency")
    page.press("End")
    until(lambda: found(page).startswith("1 of "))
    page.run("document.getElementById('clear').click()")
    until(lambda: found(page).startswith(f"{COUNT} of {COUNT} points"))


def test_filters_agree_with_the_points(page: Browser) -> None:
    points = sample_points(COUNT)
    best = int(points.frontier.sum())
    choose(page, "only-feasible", True)
    assert found(page).startswith(f"{points.feasible.sum()} of {COUNT} points, {best} on the frontier")
    choose(page, "only-frontier", True)
    assert found(page).startswith(f"{best} of {COUNT} points")
    page.run("document.getElementById('clear').click()")
    assert found(page).startswith(f"{COUNT} of {COUNT}")
    choose(page, "find-limit", "dram")
    assert found(page).startswith(f"{points.limits.count('dram')} of {COUNT}")
    choose(page, "find-text", "  DATAFLOW OS ")
    both = sum(
        limit == "dram" and points.texts(i).get("array.dataflow") == "os" for i, limit in enumerate(points.limits)
    )
    assert found(page).startswith(f"{both} of {COUNT}")
    choose(page, "find-text", "nothing has this")
    until(lambda: "no point passes" in page.run("return document.getElementById('page-shown').textContent"))
    assert page.log("browser") == []


def test_the_table_sorts_and_turns_its_pages(page: Browser) -> None:
    points = sample_points(COUNT)

    def numbers() -> list[int]:
        shown: list[int] = page.run(
            "return [...document.querySelectorAll('#point-rows tr')].map((r) => Number(r.dataset.row))"
        )
        return shown

    def sort(column: str) -> None:
        page.run(f"document.querySelector('#point-head [data-column=\"{column}\"] button').click()")

    latency = np.where(np.isnan(points.metrics["latency_s"]), np.inf, points.metrics["latency_s"])
    assert numbers() == np.argsort(latency, kind="stable")[:25].tolist()
    sort("latency_s")
    slowest = np.where(np.isnan(points.metrics["latency_s"]), -np.inf, points.metrics["latency_s"])
    assert numbers() == np.argsort(-slowest, kind="stable")[:25].tolist()
    sort("throughput_per_s")  # more is better: it begins with the most
    assert page.run(
        "return document.querySelector('#point-head [aria-sort]').dataset.column"
    ) == "throughput_per_s"
    rates = [points.metrics["throughput_per_s"][i] for i in numbers()]
    assert rates == sorted(rates, reverse=True)
    first = numbers()
    page.run("document.getElementById('after').click()")
    assert not set(first) & set(numbers())
    page.run("document.getElementById('before').click()")
    assert numbers() == first
    page.run("document.querySelector('#point-rows button').click()")
    assert page.run("return [state.opened, document.activeElement.id]") == [first[0], "opened"]


def test_the_download_has_every_digit_of_what_passes(page: Browser, folder: Path, tmp_path: Path) -> None:
    choose(page, "only-feasible", True)
    until(lambda: "of 300" not in page.run("return document.getElementById('page-shown').textContent"))
    headings, *rows = saved(page, tmp_path)
    written = rows_of(folder / "points.csv")
    known = [name for name in written[0] if name in headings]
    assert headings == known
    at = [written[0].index(name) for name in known]
    kept = [[row[i] for i in at] for row in written[1:] if row[written[0].index("feasible")] == "true"]

    def exact(table: list[list[str]]) -> list[tuple[object, ...]]:
        def cell(text: str) -> object:
            try:
                return float(text)
            except ValueError:
                return text

        return sorted((tuple(map(cell, row)) for row in table), key=str)

    assert exact(rows) == exact(kept)
    assert len(rows) == sample_points(COUNT).feasible.sum()


def test_odd_texts_survive_the_page_and_the_download(chromium: Browser, tmp_path: Path) -> None:
    """Points with a reason that has quotes, a comma and markup."""
    made = swept(sample_points(40)).save(tmp_path / "out", draw)
    page = fresh(chromium, made)
    page.run("openPoint(16)")
    assert 'conv "1", <b>: no room & no host' in page.run("return document.getElementById('opened').textContent")
    reasons = [row[-3] for row in saved(page, tmp_path)[1:]]
    assert sum(reason.startswith('conv "1", <b>: no room & no host') for reason in reasons) == 2
    assert page.log("browser") == []


def test_a_workload_at_a_time(chromium: Browser, networks: Path) -> None:
    page = fresh(chromium, networks)
    assert found(page).startswith("100 of 100 points")
    cards = "return [...document.querySelectorAll('#choices [data-workload]')].filter((e) => e.checkVisibility()).map((e) => e.dataset.workload)"
    assert set(page.run(cards)) == {"resnet50"}
    choose(page, "find-workload", "vgg16")
    assert set(page.run(cards)) == {"vgg16"}
    assert page.run("return workloads.text(state.opened)") == "vgg16"
    choose(page, "find-workload", "")
    assert found(page).startswith(f"{COUNT} of {COUNT} points")
    choose(page, "find-workload", "resnet50")
    page.run("document.querySelector('#choices [data-workload=resnet50] button').click()")
    assert page.run("return workloads.text(state.opened)") == "resnet50"
    assert page.log("browser") == []


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
        "find-text", "find-limit", "only-feasible", "axis-x", "axis-colour", "scatter", "copy", "save", "after",
        "Lower end of array.rows", "Upper end of area", "latency_s", "limit",
    }  # fmt: skip
    assert wanted <= set(stops)


def test_arrows_go_along_the_frontier_and_are_said(page: Browser) -> None:
    points = sample_points(COUNT)
    page.run("document.getElementById('scatter').focus()")
    seen = []
    for _ in range(4):
        page.press("ArrowRight")
        seen.append(page.run("return state.hovered"))
    assert all(points.frontier[row] for row in seen)
    latencies = [points.metrics["latency_s"][row] for row in seen]
    assert latencies == sorted(latencies)
    assert page.run("return document.getElementById('said').textContent").startswith(f"Point {seen[-1] + 1}: rows")
    page.press("Enter")
    assert page.run("return state.opened") == seen[-1]
    page.press("Escape")
    assert page.run("return state.hovered") is None


def test_screen_readers_find_names_and_headings(page: Browser) -> None:
    nodes = accessible(page)

    def named(role: str) -> list[str]:
        return [n.get("name", {}).get("value", "") for n in nodes if n["role"]["value"] == role]

    for role in ("button", "link", "searchbox", "combobox", "region", "slider", "checkbox", "columnheader", "application"):
        assert named(role), role
        assert all(named(role)), role
    levels = page.run("return [...document.querySelectorAll('h1, h2, h3')].filter((h) => h.checkVisibility()).map((h) => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_page_says_its_answer_without_scripts(page: Browser, folder: Path) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open((folder / "report.html").as_uri())
        document = page.command("DOM.getDocument")["root"]["nodeId"]

        def count(selector: str) -> int:
            return len(page.command("DOM.querySelectorAll", nodeId=document, selector=selector)["nodeIds"])

        assert count(".answer p") == len(swept(sample_points(COUNT)).sentences)
        assert count("#choices dd.act button[hidden]") == count("#choices dl > div") == 4
        assert count("#matters .bars") == 3
        assert count(".live[hidden]") == 4
    finally:
        page.command("Emulation.setScriptExecutionDisabled", value=False)


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
    """To the last bit, as shells read it: with a quantity in quotes, a batch, an axis that does not count, and a
    recipe."""
    (tmp_path / "space.yaml").write_text(SPACE)
    space = load_space(tmp_path / "space.yaml")
    indices = np.unique(space.canonical(space.grid(0, space.total)), axis=0)
    points = points_over(space, indices)
    page = fresh(chromium, swept(points).save(tmp_path / "page", draw))
    monkeypatch.chdir(tmp_path)
    design = [axis.name for axis in points.axes].index("design")
    recipe = [axis.name for axis in points.axes].index("recipe")
    for machine, compressed in ((0, 0), (0, 1), (1, 1)):
        rows = np.flatnonzero((points.indices[:, design] == machine) & (points.indices[:, recipe] == compressed))
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


def points_over(space: Any, indices: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """The points of a space as a store gives them back."""
    from hwsim.explore.store import Store

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
