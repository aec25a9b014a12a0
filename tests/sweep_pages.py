"""What tests of a sweep's page in Chromium share: setting its controls, and finding marks and axes on the
screen."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from tests.browser import Browser
from tests.swept_points import sample_points

COUNT = 300


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


def axis_of(page: Browser, name: str) -> tuple[float, float, float]:
    """Where an axis of the parallel coordinates stands in the window: x, its upper end, its lower end."""
    x, top, bottom = page.run(
        """
      document.getElementById('parallel').scrollIntoView({ block: 'center' });
      const names = [...document.querySelectorAll('#parallel-names > span')];
      const at = names.findIndex((name) => name.firstChild.textContent === arguments[0]);
      const box = document.querySelectorAll('#parallel-plot .rule')[at].getBoundingClientRect();
      return [box.left, box.top, box.bottom];
    """,
        name,
    )
    return x, top, bottom


def best_rows() -> list[int]:
    return [int(i) for i in np.flatnonzero(sample_points(COUNT).frontier)]
