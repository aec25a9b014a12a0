"""A small space, and evaluators that stand in for the real one: quick, slow, and some that go wrong."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from hwsim.arrays import Int64Array
from hwsim.explore.outcome import UNSUPPORTED, Found, Outcomes, outcomes
from hwsim.explore.space import Space
from tests.conftest import ROOT

DESIGN = ROOT / "tests" / "tiny.yaml"
SPACE = """
name: tiny_space
workloads: [lenet5]
designs: [{design}]
axes:
  array.rows: {{low: 1, high: {rows}, step: 1}}
  array.cols: {{low: 1, high: 16, step: 1}}
  array.dataflow: [ws, os]
  weight_fifo.depth_tiles: {{values: [1, 2], when: array.dataflow == ws}}
constraints: [area_mm2 <= 200, array.rows != 3]
objectives: [latency_s, energy_j, area_mm2]
"""


def write_space(folder: Path, rows: int = 16) -> Path:
    """A space file of rows * 16 * 3 points, less 48 that a constraint leaves out."""
    path = folder / "space.yaml"
    path.write_text(SPACE.format(design=DESIGN, rows=rows), encoding="utf-8")
    return path


class Quick:
    """Figures by a formula that has a frontier, ties, and points that cannot run."""

    def __init__(self, space: Space) -> None:
        self.axes = len(space.axes)

    def evaluate(self, indices: Int64Array) -> Outcomes:
        return outcomes([self.found(*row) for row in np.asarray(indices).tolist()])

    def found(self, r: int, c: int, flow: int, depth: int) -> Found:
        if (r + 3 * c) % 11 == 0:
            return Found(UNSUPPORTED, f"point {r} {c} cannot run")
        area_mm2 = (1.0 + r) * (1 + c) + 0.1 * depth
        latency_s = (1 + flow) / 3 / ((1 + r) * (1 + c)) ** 0.5
        energy_j = 0.1 + abs(r - c) / 7 - 0.01 * depth
        return Found(
            limit="array" if r < c else "memory", latency_s=latency_s, energy_j=energy_j, area_mm2=area_mm2
        )


class Slow(Quick):
    """Four milliseconds a point, so that there is time to interrupt it."""

    def evaluate(self, indices: Int64Array) -> Outcomes:
        time.sleep(0.004 * len(indices))
        return super().evaluate(indices)


class Fatal(Quick):
    """One point ends the process."""

    def found(self, r: int, c: int, flow: int, depth: int) -> Found:
        if (r, c, flow, depth) == (5, 5, 1, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().found(r, c, flow, depth)


class Faulty(Quick):
    """One point raises what nobody foresaw."""

    def found(self, r: int, c: int, flow: int, depth: int) -> Found:
        if (r, c, flow, depth) == (5, 5, 1, 0):
            raise ZeroDivisionError("deliberate")
        return super().found(r, c, flow, depth)


class Unborn(Quick):
    """Its processes end before they can evaluate anything."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        os._exit(3)
