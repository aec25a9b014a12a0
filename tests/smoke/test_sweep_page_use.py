"""The page of a sweep in a headless Chromium, used: hover, click, axes, colours, ranges, filters, table,
CSV. Without Chromium these tests are skipped with that reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwsim.explore.export import swept
from hwsim.report import draw
from tests.browser import Browser
from tests.pages import NEEDS_CHROMIUM, fresh, saved
from tests.sweep_pages import COUNT, axis_of, best_rows, choose, found, ink_at, place_of, until
from tests.swept_points import sample_points
from tests.unit.report.folders import rows_of

pytestmark = NEEDS_CHROMIUM


def test_hover_shows_the_design(page: Browser) -> None:
    points = sample_points(COUNT)
    for row in best_rows()[:3]:
        page.point(*place_of(page, row))
        texts = page.run("return [...document.querySelectorAll('#tip > *')].map((e) => e.textContent)")
        hovered = page.run("return state.hovered")
        assert not page.run("return document.getElementById('tip').hidden")
        # Of points that lie at one place, one is told.
        for name in page.run("return ['axis-x', 'axis-y'].map((id) => byId(id).value)"):
            assert points.metrics[name][hovered] == pytest.approx(points.metrics[name][row], rel=0.03)
        assert f"rows {points.texts(hovered)['array.rows']}" in texts[0]
        assert texts[-1] == f"limited by {points.limits[hovered]}"
    page.point(5, 5)
    assert page.run("return document.getElementById('tip').hidden")


def cells(page: Browser, rows: str) -> list[list[str]]:
    """The texts of table rows."""
    texts: list[list[str]] = page.run(
        "return [...document.querySelectorAll(arguments[0])]"
        ".map((r) => [...r.cells].map((c) => c.textContent))",
        rows,
    )
    return texts


def test_click_opens_the_breakdown(page: Browser) -> None:
    points = sample_points(COUNT)
    x, y = place_of(page, best_rows()[-1])
    page.drag((x, y), (x, y))
    row = page.run("return state.opened")
    for name in page.run("return ['axis-x', 'axis-y'].map((id) => byId(id).value)"):
        assert points.metrics[name][row] == pytest.approx(points.metrics[name][best_rows()[-1]], rel=0.03)
    assert page.run("return document.getElementById('h-opened').textContent") == f"Point {row + 1}"
    facts = dict(cells(page, "#opened .facts tr"))
    assert facts == {**points.texts(row), "limited by": points.limits[row]}
    figures = cells(page, "#opened .bars tr")
    assert [line[0] for line in figures[:3]] == ["latency", "energy", "area"]
    better = (points.feasible & (points.metrics["latency_s"] < points.metrics["latency_s"][row])).sum()
    assert figures[0][3] == (f"rank {better + 1}" if better else "best")
    (rate,) = (line for line in figures if line[0] == "throughput")  # more is better
    rates = points.metrics["throughput_per_s"]
    better = (points.feasible & (rates > rates[row])).sum()
    assert rate[3] == (f"rank {better + 1}" if better else "best")


def test_axes_and_colours_change_what_is_drawn(page: Browser) -> None:
    def picture() -> str:
        drawn: str = page.run("return document.querySelector('#scatter canvas').toDataURL()")
        return drawn

    seen = [picture()]
    for name, value in (
        ("axis-y", "utilization"), ("axis-x", "array.rows"), ("axis-colour", "energy_j"),
        ("axis-colour", "array.dataflow"), ("log-y", False), ("show-missing", False),
    ):  # fmt: skip
        choose(page, name, value)
        seen.append(picture())
        assert seen[-1] not in seen[:-1], (name, value)
    titles = page.run("return [...document.querySelectorAll('#scatter svg text')].map((t) => t.textContent)")
    assert {"array.rows", "utilization, more is better"} <= set(titles)
    legend = page.run("return [...document.querySelectorAll('#scatter-legend li')].map((l) => l.textContent)")
    assert legend[:2] == ["ws", "os"]
    choose(page, "axis-x", "array.dataflow")
    assert page.run("return document.getElementById('log-x').disabled")
    assert page.log("browser") == []


def test_marks_lie_where_their_figures_say(page: Browser) -> None:
    for row in best_rows():
        x, y = place_of(page, row)
        assert ink_at(page, x, y)[3] > 200, row
    frame = page.run("""
      const frame = document.querySelector('#scatter canvas').getBoundingClientRect();
      return [frame.right, frame.bottom];
    """)
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
    drawn = page.run(
        "return scatter.best(state.scope).map((i) => [metrics[0].value(i), metrics[2].value(i)])"
    )
    assert {tuple(one) for one in drawn} == least
    assert len(least) > 3


def test_the_first_view_is_of_two_objectives_that_trade(page: Browser) -> None:
    lengths = page.run("""
      const of = (x, y) => scatter.best(state.scope, dimensions.get(x), dimensions.get(y)).length;
      const shown = ['axis-x', 'axis-y'].map((id) => byId(id).value);
      return [of(...shown), of('latency_s', 'energy_j'), of('latency_s', 'area_mm2'),
              of('energy_j', 'area_mm2')];
    """)
    assert lengths[0] == max(lengths[1:])
    assert len(set(lengths[1:])) > 1


def test_a_range_drawn_on_an_axis_filters_every_view(page: Browser) -> None:
    points = sample_points(COUNT)
    x, top, bottom = axis_of(page, "array.cols")
    page.drag((x, bottom + 6), (x, bottom - 20), (x, bottom - 0.4 * (bottom - top)))
    cols = np.array([int(points.texts(i).get("array.cols", 0)) for i in range(COUNT)])
    kept = int(((cols == 64) | (cols == 128)).sum())
    until(lambda: found(page).startswith(f"{kept} of {COUNT} points"))
    until(lambda: page.run("return document.getElementById('page-shown').textContent").endswith(f"of {kept}"))
    shown = page.run(
        "return [...document.querySelectorAll('#point-rows tr')].map((r) => r.cells[2].textContent)"
    )
    assert set(shown) <= {"64", "128"}
    x, top, bottom = axis_of(page, "array.cols")
    page.drag((x, top + 5), (x, top + 5))  # a click takes it away
    until(lambda: found(page).startswith(f"{COUNT} of {COUNT} points"))


def test_ends_of_ranges_move_with_the_keys(page: Browser) -> None:
    points = sample_points(COUNT)
    grip = (
        "[...document.querySelectorAll('.grip')].find((g) => g.getAttribute('aria-label') === arguments[0])"
    )
    page.run(f"{grip}.focus()", "Upper end of array.cols")
    page.press("ArrowDown")
    page.press("ArrowDown")
    cols = np.array([int(points.texts(i).get("array.cols", 0)) for i in range(COUNT)])
    kept = int(((cols == 64) | (cols == 128)).sum())
    until(lambda: found(page).startswith(f"{kept} of {COUNT} points"))
    said = page.run(
        f"const g = {grip}; return [g.getAttribute('aria-valuetext'), g.getAttribute('aria-valuenow')]",
        "Upper end of array.cols",
    )
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
        limit == "dram" and points.texts(i).get("array.dataflow") == "os"
        for i, limit in enumerate(points.limits)
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
    assert (
        page.run("return document.querySelector('#point-head [aria-sort]').dataset.column")
        == "throughput_per_s"
    )
    rates = [points.metrics["throughput_per_s"][i] for i in numbers()]
    assert rates == sorted(rates, reverse=True)
    first = numbers()
    page.run("document.getElementById('after').click()")
    assert not set(first) & set(numbers())
    page.run("document.getElementById('before').click()")
    assert numbers() == first
    shown = cells(page, "#point-rows tr")
    wanted = [points.texts(row).get("buffer.size", "") for row in first]
    assert [row[3] for row in shown] == wanted
    assert "" in wanted  # where an axis does not count, its cell is empty
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
    assert 'conv "1", <b>: no room & no host' in page.run(
        "return document.getElementById('opened').textContent"
    )
    reasons = [row[-3] for row in saved(page, tmp_path)[1:]]
    assert sum(reason.startswith('conv "1", <b>: no room & no host') for reason in reasons) == 2
    assert page.log("browser") == []


def test_a_workload_at_a_time(chromium: Browser, networks: Path) -> None:
    page = fresh(chromium, networks)
    assert found(page).startswith("100 of 100 points")
    cards = """
      return [...document.querySelectorAll('#choices [data-workload]')].filter((e) => e.checkVisibility())
        .map((e) => e.dataset.workload);
    """
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
    assert page.run("return document.getElementById('said').textContent").startswith(
        f"Point {seen[-1] + 1}: rows"
    )
    page.press("Enter")
    assert page.run("return state.opened") == seen[-1]
    page.press("Escape")
    assert page.run("return state.hovered") is None
