"""Predicted against measured times as an SVG file: both axes logarithmic, a colour for each group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]  # measured and predicted microseconds

# Okabe and Ito's colours, which most readers with a colour vision deficiency can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999933")
SIDE = 480  # px of the plot
LEFT, TOP, BELOW, LEGEND = 64, 12, 44, 250
WITHIN = 1.25  # lines beside the diagonal: a quarter too long, and as many times too short


def scatter(groups: Mapping[str, Points]) -> str:
    """The file's text. Every point has a place: axes hold all of them."""
    values = [value for points in groups.values() for pair in points for value in pair]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    high = max(high, low + 1)

    def at(value: float) -> float:
        return (math.log10(value) - low) / (high - low) * SIDE

    size = f'width="{LEFT + SIDE + LEGEND}" height="{TOP + SIDE + BELOW}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<g transform="translate({LEFT} {TOP})">',
    ]
    for power in range(low, high + 1):
        x, label = at(10.0**power), _microseconds(power)
        parts.append(f'<path d="M{x:.1f} 0V{SIDE}M0 {SIDE - x:.1f}H{SIDE}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{SIDE + 16}" text-anchor="middle">{label}</text>')
        parts.append(f'<text x="-6" y="{SIDE - x + 4:.1f}" text-anchor="end">{label}</text>')
    off = math.log10(WITHIN) / (high - low) * SIDE
    parts.append(f'<path d="M0 {SIDE}L{SIDE} 0" stroke="#444"/>')
    parts.append(
        f'<path d="M{off:.1f} {SIDE}L{SIDE} {off:.1f}M0 {SIDE - off:.1f}L{SIDE - off:.1f} 0" stroke="#444" '
        'stroke-dasharray="4 4"/>'
    )
    for index, (name, points) in enumerate(groups.items()):
        colour, hollow = COLOURS[index % len(COLOURS)], index >= len(COLOURS)
        paint = (
            f'fill="{"none" if hollow else colour}" stroke="{colour}" stroke-width="{0.8 if hollow else 0}"'
        )
        parts.append(f'<g {paint} fill-opacity="0.55">')
        parts += [
            f'<circle cx="{at(measured):.1f}" cy="{SIDE - at(predicted):.1f}" r="2.4"/>'
            for measured, predicted in points
        ]
        y = 10 + 18 * index
        parts.append(f'<circle cx="{SIDE + 18}" cy="{y}" r="4"/></g>')
        parts.append(f'<text x="{SIDE + 28}" y="{y + 4}">{escape(name)}</text>')
    parts.append(f'<text x="{SIDE / 2:.0f}" y="{SIDE + 36}" text-anchor="middle">measured</text>')
    parts.append(
        f'<text transform="translate(-48 {SIDE / 2:.0f}) rotate(-90)" text-anchor="middle">predicted</text>'
    )
    return "\n".join([*parts, "</g></svg>"]) + "\n"


def _microseconds(power: int) -> str:
    """10**power us, in a unit that suits it."""
    unit, scale = ("s", 6) if power >= 6 else ("ms", 3) if power >= 3 else ("us", 0)
    return f"{10.0 ** (power - scale):g} {unit}"
