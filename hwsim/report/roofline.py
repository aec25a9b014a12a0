"""The roofline: how fast each layer was, over how many MACs it does for each byte of memory traffic.

Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009, with MACs for floating-point operations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwsim.report.reading import OperatorRow, Run
from hwsim.report.ticks import Tick, decades
from hwsim.report.wording import NARROW, percent, quantity, short
from hwsim.units import PS_PER_S, counted

TRAFFIC = ("read", "write", "transfer")  # the actions that are counted in bytes
LABELS = 4  # layers named in the figure
SHAPES = 5  # told apart by shape and colour; further limits share the last
MAX_POINTS = 1500  # drawn; the layers that took longest


@dataclass(frozen=True)
class Point:
    """A layer: position in percent, radius in px, and the shape of what limits it."""

    x: float
    y: float
    radius: float
    mark: int
    title: str
    label: str = ""
    drop: int = 4  # px from the mark's middle down to the label's base line


@dataclass(frozen=True)
class Roofline:
    """The figure. The slanted roof goes from the left edge to the ridge; None where memory is unlimited."""

    points: tuple[Point, ...]
    limits: tuple[tuple[str, int], ...]  # what limits layers, and its mark
    whole: Point
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    peak: Tick
    slope: tuple[float, float, float, float] | None  # x1 y1 x2 y2
    slope_label: str
    port: str
    left_out: int  # layers without MACs or without traffic


@dataclass(frozen=True)
class _Layer:
    name: str
    intensity: float
    per_s: float
    share: float
    limit: str


def memory_bytes(run: Run, port: str) -> dict[str, int]:
    """Operator -> bytes that it moved through a port."""
    moved: dict[str, int] = {}
    for row in run.usage:
        if row.component == port and row.action in TRAFFIC:
            moved[row.operator] = moved.get(row.operator, 0) + row.count
    return moved


def executed(run: Run) -> dict[str, int]:
    """Operator -> its MACs, or the multiplications that stand in for them where those are fewer: what an
    algorithm or a zero saves is no work of the machine, which else would seem to stand above its roof, and
    nor is what padding zeros add."""
    done: dict[str, int] = {}
    for row in run.usage:
        if row.action.startswith("mac_"):
            done[row.operator] = done.get(row.operator, 0) + row.count
    return {row.name: min(row.macs, max(0, done.get(row.name, 0) - row.padding)) for row in run.operators}


def memory_port(run: Run) -> str:
    """The resource that carries most bytes of the layers with MACs; "" where none is charged for bytes."""
    working = {row.name for row in run.operators if row.macs}
    totals: dict[str, int] = {}
    for row in run.usage:
        if row.component in run.summary.busy_share and row.action in TRAFFIC and row.operator in working:
            totals[row.component] = totals.get(row.component, 0) + row.count
    return max(totals, key=lambda name: totals[name], default="")


def roofline(run: Run) -> Roofline | None:
    """The figure, or None where no layer has both MACs and traffic (a memory without limit)."""
    port = memory_port(run)
    moved = memory_bytes(run, port)
    said, servers = run.summary, _servers(run)
    done = executed(run)
    layers = [
        _Layer(
            row.name, done[row.name] / moved[row.name], done[row.name] / (span_ps / PS_PER_S),
            row.elapsed_ps / PS_PER_S / said.latency_s, row.limit,
        )
        for row in run.operators
        if done[row.name] and moved.get(row.name) and (span_ps := occupied_ps(row, servers))
    ]  # fmt: skip
    peak, busy_s = said.clock_hz * said.macs_per_cycle, said.busy_share.get(port, 0.0) * said.latency_s
    if not layers or not peak or not busy_s:
        return None
    bandwidth = sum(moved.values()) / busy_s
    left_out = len(run.operators) - len(layers)
    layers.sort(key=lambda layer: -layer.share)
    useful = sum(done.values())
    total = _Layer("the whole run", useful / sum(moved.values()), useful / said.latency_s, 1.0, "")
    return _draw(layers[:MAX_POINTS], total, peak, bandwidth, port, left_out)


def occupied_ps(row: OperatorRow, servers: Mapping[str, int]) -> float:
    """How long a layer is held to have taken: its share of the run, or longer where it kept a resource busy
    for longer (weights that came during earlier layers). So no layer stands above a roof."""
    busy = [row.busy_ps.get(name, 0) / count for name, count in servers.items()]
    return max(row.elapsed_ps, *busy, 0)


def _servers(run: Run) -> dict[str, int]:
    """Resource -> its servers, from busy time in all and the share that this is of the run. Pure delays have
    no share and are left out."""
    span_ps = run.summary.latency_s * PS_PER_S
    totals = {name: sum(row.busy_ps.get(name, 0) for row in run.operators) for name in run.summary.busy_share}
    return {
        name: max(1, round(totals[name] / (share * span_ps)))
        for name, share in run.summary.busy_share.items()
        if share and span_ps
    }


@dataclass(frozen=True, slots=True)
class _Frame:
    """The decades that both axes span. Places are in percent, from the left and from the top."""

    x_low: int
    x_high: int
    y_low: int
    y_high: int

    def x(self, intensity: float) -> float:
        return 100 * (math.log10(intensity) - self.x_low) / (self.x_high - self.x_low)

    def y(self, per_s: float) -> float:
        return 100 * (self.y_high - math.log10(per_s)) / (self.y_high - self.y_low)

    def x_ticks(self) -> tuple[Tick, ...]:
        return tuple(Tick(self.x(10.0**e), _power(e)) for e in range(self.x_low, self.x_high + 1))

    def y_ticks(self) -> tuple[Tick, ...]:
        exponents = range(self.y_low, self.y_high + 1)
        return tuple(Tick(self.y(10.0**e), quantity(10.0**e, "MAC/s")) for e in exponents)


def _draw(
    layers: Sequence[_Layer], total: _Layer, peak: float, bandwidth: float, port: str, left_out: int
) -> Roofline:
    intensities = [total.intensity, *(layer.intensity for layer in layers)]
    rates = [total.per_s, *(layer.per_s for layer in layers)]
    ridge = peak / bandwidth
    frame = _Frame(
        *decades(min(ridge, *intensities), 3 * max(ridge, *intensities)),
        *decades(min(rates), max(peak * 1.5, *rates)),
    )
    order = sorted(
        {p.limit for p in layers}, key=lambda limit: -sum(p.share for p in layers if p.limit == limit)
    )
    marks = {limit: min(index, SHAPES - 1) for index, limit in enumerate(order)}
    start = max(10.0**frame.x_low, 10.0**frame.y_low / bandwidth)
    slope = (frame.x(start), frame.y(start * bandwidth), frame.x(ridge), frame.y(peak))
    return Roofline(
        tuple(reversed(_points(layers, frame, marks, peak))),  # so that labels and the largest lie on top
        tuple((limit or "nothing", marks[limit]) for limit in order),
        Point(frame.x(total.intensity), frame.y(total.per_s), 8, 0, f"{total.name}\n{_rates(total)}"),
        frame.x_ticks(),
        frame.y_ticks(),
        Tick(frame.y(peak), f"peak {quantity(peak, 'MAC/s')}"),
        slope if start < ridge else None,
        f"{port} {quantity(bandwidth, 'B/s')}",
        port,
        left_out,
    )


def _points(layers: Sequence[_Layer], frame: _Frame, marks: Mapping[str, int], peak: float) -> list[Point]:
    """The layers, the longest first; names where there is room."""
    points = []
    placed: list[tuple[float, float]] = []
    for layer in layers:
        x, y = frame.x(layer.intensity), frame.y(layer.per_s)
        room = len(placed) < LABELS and all(abs(x - a) > 18 or abs(y - b) > 8 for a, b in placed)
        if room:
            placed.append((x, y))
        title = (
            f"{layer.name}\n{_rates(layer)}, {percent(layer.share)} of the time\n"
            f"limited by {layer.limit or 'nothing'}"
        )
        radius = 3.5 + 14 * math.sqrt(min(layer.share, 1.0))
        drop = 20 if y - frame.y(peak) < 4 else 4
        label = short(layer.name) if room else ""
        points.append(Point(x, y, radius, marks[layer.limit], title, label, drop))
    return points


def _rates(layer: _Layer) -> str:
    return f"{quantity(layer.intensity, 'MAC/B')}, {quantity(layer.per_s, 'MAC/s')}"


def _power(exponent: int) -> str:
    return f"{10.0**exponent:g}" if exponent < 3 else quantity(10.0**exponent, "").replace(NARROW, "")


def describe(figure: Roofline) -> str:
    """The figure in a sentence, for those who cannot see it."""
    return (
        f"Roofline of {counted(len(figure.points), 'layer')}: MACs per second over MACs per byte of "
        f"{figure.port}, both logarithmic. {figure.peak.label}, {figure.slope_label}. "
        f"{figure.whole.title.replace(chr(10), ': ')}."
    )
