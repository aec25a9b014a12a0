"""What a notebook shows of a Result: its figures in a small table, and how busy its resources were as bars.
Knows the Result's own figures, and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from hwsim.units import format_si

if TYPE_CHECKING:
    from hwsim.result.result import Result

INK, GROUND = "#2f6fab", "#8884"  # seen on light and dark pages
_BARS = 8
_ROW, _LEFT, _BAR, _RIGHT = 20, 150, 240, 60  # pixels


def result_html(result: Result) -> str:
    """A table and a plot as one piece of HTML that needs nothing beside it."""
    checked = {None: "not computed", False: "wrong", True: "computed, and right"}[result.verified]
    rows = (
        ("time of one batch", f"{format_si(result.latency_s, 's')} (batch {result.batch:,})"),
        ("throughput", f"{result.throughput_per_s:,.5g} /s"),
        ("error of the time", result.error_words),
        ("energy", format_si(result.energy_j, "J")),
        ("average power", format_si(result.average_power_w, "W")),
        ("area of the modelled parts", f"{result.area_mm2:,.4g} mm\u00b2"),
        ("busiest resource", result.limit),
        ("useful share of the peak rate", f"{result.utilization:.1%}"),
        ("numbers", checked),
    )
    title = f"{result.workload} on {result.design}, {result.dtype}"
    return framed(title, [table(rows), bars(result.busy_share, "Busy share of the run, by resource")])


def framed(title: str, parts: Iterable[str]) -> str:
    """Parts below a title. `title` is text; the parts are HTML."""
    return f'<div class="hwsim"><strong>{escape(title)}</strong>{"".join(parts)}</div>'


def table(rows: Iterable[Sequence[str]], headings: Sequence[str] = ()) -> str:
    """Rows of text as an HTML table."""
    head = "".join(f"<th>{escape(text)}</th>" for text in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def bars(shares: Mapping[str, float], title: str) -> str:
    """The largest of some shares of one as bars, an SVG."""
    shown = sorted(shares.items(), key=lambda one: -one[1])[:_BARS]
    height, width = _ROW * len(shown), _LEFT + _BAR + _RIGHT
    lines = []
    for i, (name, share) in enumerate(shown):
        y = i * _ROW
        lines.append(
            f'<text x="{_LEFT - 6}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y + 4}" width="{_BAR}" height="12" fill="{GROUND}"/>'
            f'<rect x="{_LEFT}" y="{y + 4}" width="{_BAR * min(share, 1):.1f}" height="12" fill="{INK}"/>'
            f'<text x="{_LEFT + _BAR + 6}" y="{y + 14}">{share:.1%}</text>'
        )
    return svg(width, height, title, "".join(lines))


def svg(width: int, height: int, title: str, drawn: str) -> str:
    """A drawing with its title below it, which screen readers read too."""
    said = escape(title)
    return (
        f'<figure style="margin:0.5em 0"><svg role="img" aria-label="{said}" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-size="12" fill="currentColor" '
        f'font-family="sans-serif">{drawn}</svg><figcaption>{said}</figcaption></figure>'
    )
